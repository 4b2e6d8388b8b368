"""Whether the arguments of the constructor of a layer, a loss or an optimizer matter.

One argument at a time gets another value. An argument is called ignored only where
nothing that can be seen depends on it and nothing reads what was kept of it; for
many a one matters far from the numbers of a check only, as a threshold of 20 does.
"""

import copy
import dis
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import CodeType
from typing import Any

import numpy as np

from minifw.testing._equal import alike, differing
from minifw.testing._report import Failure, NotApplicable

LARGER = 10.0  # times the input: a bound is felt only by what reaches it
SEEDS = (1, 2)  # for an argument named rng
LABELS = ("name", "label", "description")  # of arguments whose None stands for a string
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def bound(subject: Any) -> dict[str, Any]:
    """Return the constructor's arguments by name, defaults included."""
    args, kwargs = subject._arguments
    if type(subject).__init__ is object.__init__:
        raise NotApplicable("there are none")
    try:
        signature = inspect.signature(type(subject))
        arguments = signature.bind(*args, **kwargs)
    except (TypeError, ValueError):
        raise NotApplicable("the constructor's signature is not to be had") from None
    arguments.apply_defaults()
    if any(p.kind in VARIADIC for p in signature.parameters.values()):
        raise NotApplicable("the constructor takes any number of arguments")
    if not arguments.arguments:
        raise NotApplicable("there are none")
    return dict(arguments.arguments)


def construct(kind: type, arguments: dict[str, Any]) -> Any:
    """Call the constructor with arguments by name."""
    call = inspect.BoundArguments(inspect.signature(kind), copy.deepcopy(arguments))
    return kind(*call.args, **call.kwargs)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a subject, and what may depend on them.

    Attributes
    ----------
    kind : type
        The subject's class.
    given : dict of str to any
        The arguments that it was given, by name.
    behaviours : sequence of callables
        Each returns something that can be seen of a subject; the first never raises.
    parts : callable
        Returns a subject and all inside it whose attributes may keep an argument.
    what : str
        What the subject is called.
    fixed : dict of str to any
        Further arguments, which are not in question.
    """

    kind: type
    given: dict[str, Any]
    behaviours: Sequence[Callable[[Any], Any]]
    parts: Callable[[Any], list[Any]] = lambda subject: [subject]
    what: str = "layer"
    fixed: Mapping[str, Any] = field(default_factory=dict)

    def judge(self) -> None:
        """Raise if an argument is ignored, or if that cannot be told."""
        self._refuse_unseeded()
        ignored, unknown = [], []
        for name, value in self.given.items():
            shown = f"{name}={value!r}"
            changes = list(other_values(name, value))
            if not changes:
                unknown.append(f"{shown} is of a kind for which the kit knows no other value")
            elif not any(self._makes_a_difference(name, new) for new in changes):
                doubt = self._doubt(name, value, changes)
                if doubt:
                    unknown.append(f"{shown} {doubt}")
                else:
                    ignored.append(shown)
        if ignored:
            raise Failure(
                f"the argument {' and '.join(ignored)} is ignored: with another value the "
                f"{self.what} is the same"
            )
        if unknown:
            rest = "; the others matter" if len(unknown) < len(self.given) else ""
            raise NotApplicable("; ".join(unknown) + rest)

    def _refuse_unseeded(self) -> None:
        """Raise if two subjects of the same arguments, a seed among them, are not alike."""
        behaviour, before = self._before[0]
        if not alike(before, behaviour(self.build())):
            seed = f", rng={SEEDS[0]} among them," if "rng" in self.given else ""
            raise Failure(
                f"built twice from the same arguments{seed} the {self.what} is another each time: "
                "it draws from a source that no argument seeds"
            )

    @property
    def _base(self) -> dict[str, Any]:
        return {**self.given, "rng": SEEDS[0]} if "rng" in self.given else self.given

    def build(self, **changed: Any) -> Any:
        """Return a new subject, with other values of some arguments."""
        return construct(self.kind, {**self.fixed, **self._base, **changed})

    @cached_property
    def _before(self) -> list[tuple[Callable[[Any], Any], Any]]:
        """Return what is seen with the arguments as given, by each behaviour that can be seen."""
        found = []
        for behaviour in self.behaviours:
            try:
                found.append((behaviour, behaviour(self.build())))
            except Exception as error:  # noqa: BLE001 - rebuilding is another verdict
                if not found:  # a later one may be out of the layer's domain
                    raise NotApplicable(f"it cannot be rebuilt: {error}") from None
        return found

    def _makes_a_difference(self, name: str, new: Any) -> bool:
        for behaviour, before in self._before:
            try:
                after = behaviour(self.build(**{name: new}))
            except Exception:  # noqa: BLE001 - a refusal is a use
                return True
            if not alike(before, after):
                return True
        return False

    def _doubt(self, name: str, value: Any, changes: list[Any]) -> str:
        """Say why an argument that changes nothing may matter all the same, or "" if it cannot."""
        here = "with other values, nothing is different for this x and these arguments"
        # What differs with the same arguments, too, may be an identity.
        keepers = set[str]().union(*(self._differing(**{name: new}) for new in changes))
        keepers -= self._differing()
        if keepers:
            if keepers & self._read_later():
                return f"is read after the constructor, but {here}"
            # A label is kept for people, not to compute with.
            label = isinstance(value, str) or (value is None and name in LABELS)
            return "is kept, but not computed with" if label else ""
        if _loads(self.kind.__init__, name):  # type: ignore[misc]
            return f"is read in the constructor, but {here}"
        return ""

    def _differing(self, **changed: Any) -> set[str]:
        """Return the attributes that differ in a subject with other arguments."""
        pairs = zip(self.parts(self.build()), self.parts(self.build(**changed)), strict=False)
        return set[str]().union(*(differing(one, other) for one, other in pairs))

    def _read_later(self) -> set[str]:
        """Return the attributes that may be read after the constructor."""
        return set[str]().union(*(_named_in(type(part)) for part in self.parts(self.build())))


def other_values(name: str, value: Any) -> Iterator[Any]:  # noqa: C901 - a list of kinds
    """Yield other values that an argument could have; none for what is not understood."""
    match value:
        case _ if name == "rng":
            yield SEEDS[1]
        case bool():  # before int, of which it is a kind
            yield not value
        case int():
            yield from (value + 1, value + 2, value - 1, 2 * value + 3)
        case float():
            yield from (value * 0.75 if value else 0.25, value * 1.5 + 0.1)
            yield from (value * 1e-3 + 1e-3, value * 1e3 + 1e3)
        case str():
            yield f"{value}?"  # which nobody knows, so that most refuse it
        case None:
            yield from (1, 0.5)  # a wrong kind is refused
        case type() | np.dtype() if value in (float, np.float32, np.float64):
            yield np.float64 if value == np.float32 else np.float32
        case np.ndarray() if value.dtype.kind == "f":
            yield value * 0.75 + 0.1
        case tuple() | list() if value:
            for index, item in enumerate(value):
                for other in other_values("", item):
                    yield type(value)([*value[:index], other, *value[index + 1 :]])
            yield type(value)(value[:-1])


def _loads(function: Any, name: str) -> bool:
    """Return whether the code of a function reads one of its arguments; so too if not known."""
    code = getattr(function, "__code__", None)
    if code is None:
        return True
    return any(
        "LOAD" in i.opname and (i.argval == name or (type(i.argval) is tuple and name in i.argval))
        for i in dis.get_instructions(code)
    )


def _named_in(kind: type) -> set[str]:
    """Return all attributes that the methods of a class name, but for its constructor.

    A method that is overridden counts where one that overrides it calls super().
    """
    names: set[str] = set()
    closed = {"__init__", "__new__"}  # names of methods of which no further one is called
    for owner in kind.__mro__:
        for method_name, member in vars(owner).items():
            function = member.fget if isinstance(member, property) else member
            code = getattr(getattr(function, "__func__", function), "__code__", None)
            if code is None or method_name in closed:
                continue
            names.update(_names(code))
            if "super" not in code.co_names:
                closed.add(method_name)
    return names


def _names(code: CodeType) -> Iterator[str]:
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
            yield instruction.argval
    for constant in code.co_consts:
        if isinstance(constant, CodeType):  # a function inside
            yield from _names(constant)
