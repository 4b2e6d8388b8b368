"""The nodes of a file: its constants, and which node or formula makes each value."""

from itertools import permutations
from typing import Any

import numpy as np

from minifw.interop.onnx._reading.constants import (
    DOMAINS,
    LARGEST,
    LARGEST_CONSTANT,
    VIEWS,
    Array,
    as_floats,
    computed,
)
from minifw.interop.onnx._reading.values import Formula, Found, Pattern, formulas

FLOATS = {1, 11}  # the types of ONNX that are float32 and float64: a cast to them rounds, no more

COMMUTATIVE = frozenset({"Add", "Mul"})

SAME = 2**16  # numbers of two constants that are compared, at most

HOPS = 8  # nodes that only hand a value on, of which a formula has no more in a row


def _kind(node: Any) -> str:
    """Return the operator of a node; one of another domain is none of ONNX."""
    return node.op_type if node.domain in DOMAINS else f"{node.domain}:{node.op_type}"


class Source:
    """The nodes of a file, its constants, and which node or pattern makes each value."""

    def __init__(self, onnx: Any, graph: Any, opset: int, outputs: frozenset[str]) -> None:
        self.onnx, self.opset, self.graph, self.outputs = onnx, opset, graph, outputs
        self.makers: dict[str, Any] = {}
        self.takers: dict[str, list[Any]] = {}
        self.constants: dict[str, Array] = {
            tensor.name: as_floats(onnx.numpy_helper.to_array(tensor))
            for tensor in graph.initializer
        }
        kinds = ["float16", "float32", "float64", "bool", "int8", "int16", "int32", "int64"]
        kinds += ["uint8", "uint16", "uint32", "uint64"]
        self.taken_types = {
            onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind)): np.dtype(kind) for kind in kinds
        }
        self.sizes: set[str] = set()  # values that depend on the shape of the input alone
        # Numbers that constants, and then layers, may have: a few times as many as the file
        held = 4 * sum(one.size for one in self.constants.values())
        self.left, self.layers = LARGEST_CONSTANT + held, LARGEST + held
        self.failed: dict[str, str] = {}  # constants that cannot be computed, and why
        for node in graph.node:
            self.makers |= {name: node for name in node.output if name}
            names = [name for name in node.input if name]
            for name in names:
                self.takers.setdefault(name, []).append(node)
            fixed = [name in self.constants or name in self.failed for name in names]
            inside = any(a.HasField("g") or a.graphs for a in node.attribute)  # as If has
            if all(fixed) and not inside:
                self.compute(node)
            elif not inside and (
                _kind(node) == "Shape"
                or all(one or name in self.sizes for one, name in zip(fixed, names, strict=True))
            ):
                self.sizes |= set(node.output)

    def compute(self, node: Any) -> None:
        """Compute the constants of a node, or note why they cannot be."""
        why = next((self.failed[name] for name in node.input if name in self.failed), None)
        if why is not None:
            self.failed |= dict.fromkeys(node.output, why)
            return
        try:
            arrays = [self.constants[name] for name in node.input if name]
            made = computed(self.onnx, self.opset, node, arrays, self.left)
            self.left -= 0 if node.op_type in VIEWS else sum(one.size for one in made)
        except Exception as error:  # noqa: BLE001 - raised where the constant is needed
            self.failed |= dict.fromkeys(node.output, f"{node.op_type}: {error}")
        else:
            self.constants |= dict(zip(node.output, made, strict=False))

    def plan(self) -> list[tuple[Any, Formula | None]]:
        """Return the nodes that are needed, in order, each with the formula that it ends."""
        needed, chosen = set(self.outputs), []
        for node in reversed(self.graph.node):
            if needed.isdisjoint(node.output) or node.output[0] in self.constants:
                continue
            whole = None if node.output[0] in self.sizes else self._formula(node)
            taken = node.input if whole is None else whole.found.values()
            needed |= {name for name in taken if isinstance(name, str)}
            chosen.append((node, whole))
        return chosen[::-1]

    def _formula(self, node: Any) -> Formula | None:
        for one in formulas.get(_kind(node), ()):
            inside: list[Any] = []
            found = self._match(node.output[0], one.form, {}, inside)
            if found is None:
                continue
            # What is taken elsewhere, too, is made for itself.
            names = {name for other in inside if other is not node for name in other.output}
            takers = (taker for name in names for taker in self.takers.get(name, ()))
            if not names & self.outputs and all(t in inside for t in takers) and one.when(found):
                return one._replace(found=found)
        return None

    def _match(self, name: str, form: Pattern, found: Found, inside: list[Any]) -> Found | None:
        """Return what the letters of a form stand for at a value, besides those found."""
        if isinstance(form, list):
            options = (self._match(name, one, found, inside) for one in form)
            return next((option for option in options if option is not None), None)
        if not isinstance(form, tuple):
            return self._match_end(name, form, found)
        (kind, _, letter), parts = form[0].partition(":"), form[1:]
        name, passed = self._origin(name)
        node = self.makers.get(name)
        if node is None or _kind(node) != kind or node.output[0] != name:
            return None
        before = found.get(letter, node) if letter else node  # what one letter stands for is alike
        names, more = [one for one in node.input if one], parts[-1:] == (...,)
        parts = parts[: len(parts) - more]
        alike = (before.attribute, before.input[1:]) == (node.attribute, node.input[1:])
        if not alike or len(names) < len(parts) or (len(names) > len(parts) and not more):
            return None
        for order in permutations(names) if kind in COMMUTATIVE else [names]:
            trial: Found | None = found | ({letter: node} if letter else {})
            seen = [*inside, *passed, node]
            for one, part in zip(order, parts, strict=False):
                trial = None if trial is None else self._match(one, part, trial, seen)
            if trial is not None:
                inside[:] = seen
                return trial
        return None

    def _match_end(self, name: str, form: str | float, found: Found) -> Found | None:
        """Match a letter or a number."""
        constant = self.constants.get(name)
        if not isinstance(form, str):
            # One of more axes could give them to what it is combined with
            if constant is None or constant.size != 1 or constant.ndim > 1:
                return None
            return found if np.isclose(constant, form, 1e-5) else None
        if constant is not None and (form.islower() or constant.size > LARGEST_CONSTANT):
            return None
        one: Any = constant if form.isupper() else name
        if one is None:
            return None
        known = found.get(form, one)
        if form.islower():
            same = self._origin(known)[0] == self._origin(name)[0]
        else:
            same = known is one or (one.size <= SAME and np.array_equal(known, one))
        return found | {form: known} if same else None

    def _origin(self, name: str) -> tuple[str, list[Any]]:
        """Return the value before nodes that only hand it on, and these nodes."""
        passed: list[Any] = []
        while (node := self.makers.get(name)) is not None and name not in self.constants:
            to = {a.i for a in node.attribute if a.name == "to"}
            kind = _kind(node)
            passes = kind == "Identity" or (kind == "Cast" and to <= FLOATS)
            if not passes or len(passed) == HOPS:
                break
            passed.append(node)
            name = node.input[0]
        return name, passed
