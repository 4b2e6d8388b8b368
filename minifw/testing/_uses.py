"""Which use of a value backward leaves out: forward runs with single operands held constant.

A watched array sees the NumPy calls on it. Where an operand of a call is held at its value, the
differences of forward belong to a backward that takes it for a constant. So the kit finds the
expression whose derivative is missing, or has a wrong sign or factor.
"""

import ast
import linecache
import sys
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

import numpy as np

from minifw.typing import Array

REDUCTIONS = ("reduce", "sum", "mean", "var", "std", "norm", "max", "min", "amax", "amin")
SILENT = (str(Path(np.__file__).parent), __file__)  # files that call for others


class Use(NamedTuple):
    """An operand at a place of the source: all calls that are made there."""

    code: CodeType
    instruction: int
    operand: int

    def shown(self, count: int) -> str:
        """Return the operand and its expression, as they stand in the source."""
        line, end, first, last = [*self.code.co_positions()][self.instruction // 2]
        if line is None or end is None:
            return f"an operand of {self.code.co_name}"
        lines = [linecache.getline(self.code.co_filename, n) for n in range(line, end + 1)]
        lines[-1] = lines[-1].encode()[:last].decode()
        lines[0] = lines[0].encode()[first:].decode()
        text = " ".join(part.strip() for part in lines)
        try:
            operands = [ast.unparse(node) for node in _operands(ast.parse(text).body[0])]
        except (IndexError, SyntaxError):  # typed into an interpreter that keeps no source
            return f"operand {self.operand + 1} of a call in {self.code.co_name}, line {line}"
        times = f", {count} times in one forward" if count > 1 else ""
        where = f"`{text}` ({self.code.co_name}, line {line}{times})"
        return f"`{operands[self.operand]}` in {where}" if operands else where


def _operands(node: Any) -> list[ast.expr]:
    found: list[ast.expr] = []
    match node:
        case ast.Expr():
            found = _operands(node.value)
        case ast.AugAssign():
            found = [node.target, node.value]
        case ast.BinOp():
            found = [node.left, node.right]
        case ast.UnaryOp():
            found = [node.operand]
        case ast.Call(func=ast.Attribute(value=ast.Name(id="np"))):
            found = [x for a in node.args for x in (a.elts if isinstance(a, ast.List) else [a])]
        case ast.Call(func=ast.Attribute(value=array)):  # a method
            found = [array, *node.args]
    return found


class Watched(np.ndarray[Any, Any]):
    """An array whose NumPy calls are seen."""

    runs: Any = None
    __array_priority__ = 1e3

    def __array_finalize__(self, source: Any) -> None:
        self.runs = getattr(source, "runs", None)

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, **options: Any) -> Any:
        arrays = (*given, *options.get("out", ()))
        runs = next(a.runs for a in arrays if isinstance(a, Watched))
        return runs.call(getattr(ufunc, method), given, options)

    def __array_function__(self, function: Any, _: Any, args: Any, options: Any) -> Any:
        return self.runs.call(function, args, options)


class Runs:
    """Runs of one forward: the first keeps all operands, the others may hold some of them.

    Calls in `foreign` files, or in a layer inside, do not count.
    """

    def __init__(self, foreign: str) -> None:
        self._foreign, self._inside = foreign, False
        self.uses: dict[Use, bool] = {}  # whether it is a sum, or the like
        self.counts = Counter[Use]()
        self._kept: list[list[Array]] = []

    def watch(self, array: Array) -> Watched:
        """Return a view of an array that is watched."""
        view = array.view(Watched)
        view.runs = self
        return view

    def __call__(
        self, forward: Callable[[], Any], held: Collection[Use] = (), spared: int = -1
    ) -> Any:
        """Run forward; of many calls at one place, the one of this number is not held."""
        self._calls, self._held, self._spared = 0, held, spared
        self._times = Counter[Use]()
        return forward()

    def groups(self) -> list[tuple[tuple[Use, ...], int]]:
        """Return what to hold, and the call that is spared.

        The uses one by one; all sums and the like of a function, and all of all; and of what is
        called many times all but the first, or the last.
        """
        sums = [use for use, is_sum in self.uses.items() if is_sum]
        codes = dict.fromkeys(use.code for use in sums)
        functions = [tuple(use for use in sums if use.code is code) for code in codes]
        groups = [*((use,) for use in self.uses), *functions, tuple(sums)]
        many = [((use,), n) for use, count in self.counts.items() if count > 1 for n in (1, count)]
        return [*((group, -1) for group in groups), *many]

    def inside(self, _: str, __: object, ___: str, call: Callable[..., Any], *xs: Any) -> Any:
        """Call a layer inside, which is checked separately: see `listening`."""
        before, self._inside = self._inside, True
        try:
            return _each(call(*xs), self._followed)
        finally:
            self._inside = before

    def call(self, function: Callable[..., Any], given: Any, options: dict[str, Any]) -> Any:
        """Make a call; its results are watched, too."""
        frame = sys._getframe(2)
        while frame.f_back and frame.f_code.co_filename.startswith(SILENT):
            frame = frame.f_back
        if self._inside or frame.f_code.co_filename.startswith(self._foreign):
            return self._made(function, _each(given, _plain), options)
        uses = (Use(frame.f_code, frame.f_lasti, i) for i in range(sys.maxsize))
        seen: list[Array] = []
        kept = self._kept[self._calls] if self._calls < len(self._kept) else None

        def operand(array: Any) -> Any:
            use = next(uses)
            if not (isinstance(array, np.ndarray) and array.dtype.kind == "f"):
                return _plain(array)
            if kept is None:
                self.counts[use] += 1
                self.uses[use] = self.uses.get(use, False) or function.__name__ in REDUCTIONS
            seen.append(_plain(array) if kept is None else kept[len(seen)])
            self._times[use] += 1
            held = use in self._held and self._times[use] != self._spared
            return seen[-1] if held else _plain(array)

        arguments = _each(given, operand)
        if kept is None:
            self._kept.append([array.copy() for array in seen])
        self._calls += 1
        return self._made(function, arguments, options)

    def _made(self, function: Callable[..., Any], arguments: Any, options: dict[str, Any]) -> Any:
        result = function(*arguments, **_each(options, _plain))
        if "out" in options:
            (result,) = options["out"]
        return _each(result, self._followed)

    def _followed(self, value: Any) -> Any:
        real = isinstance(value, np.ndarray | np.floating) and not isinstance(value, Watched)
        return self.watch(np.asarray(value)) if real else value


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Watched) else value


def _each(thing: Any, change: Callable[[Any], Any]) -> Any:
    """Return a thing with what it holds changed: a tuple, a list, a dict, or the thing itself."""
    if isinstance(thing, tuple | list):
        return type(thing)([_each(one, change) for one in thing])
    if isinstance(thing, dict):
        return {name: _each(one, change) for name, one in thing.items()}
    return change(thing)
