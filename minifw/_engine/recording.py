"""One step as it was recorded, and what must be put back when both ways were tried."""

import copy
import operator
from abc import ABC
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Any, Generic, Protocol

import numpy as np

from minifw._engine.heads import outputs_of
from minifw._engine.packing import Memory
from minifw._engine.recorder import Dice, Recorder, Unseen, plain, run
from minifw._tools.arguments import KeepsArguments
from minifw._tools.cache import SavesForBackward
from minifw._tools.changes import CHANGES, CountsChanges, CountsClassChanges
from minifw.typing import Array, Target

# Bytes of all arrays of a step. A replayed step takes 0.6 of the text's time at 0.1 MB, 0.8 to 0.9
# at 1 MB, and 0.96 at 4 MB, which is not worth the memory that it holds.
LIMIT = 2**21
NO_TARGET = np.zeros(())  # of a prediction

# Attributes of these types change by assignment alone, or are seen: arrays and generators.
FIXED = (
    *(bool, int, float, complex, str, type(None), type, np.dtype, np.generic),
    *(np.ndarray, np.random.Generator),
)
# What a layer is made of besides classes whose changes are counted.
BASES = {*SavesForBackward.__mro__, KeepsArguments, ABC, Generic, Protocol}


class Recording:
    """The calls of one step, with the arrays that they work on.

    Attributes
    ----------
    key : tuple
        The modes of all layers, shapes, strides and dtypes of a batch that it is for.
    output : array
        What the network gives.
    saved : list
        The attributes of each part, with what a forward saved in it; none for a prediction.
    noted : list
        What `save` was given in each part.
    agrees, refused : bool
        Whether it may be used alone; whether it never may.
    """

    def __init__(self, key: tuple[Any, ...]) -> None:
        self.key = key
        self.agrees = self.refused = False
        self.calls: Any = None

    def record(
        self, network: Any, loss: Any, parts: Sequence[Any], x: Any, target: Target
    ) -> None:
        """Record the text of the layers and the loss, forward and backward."""
        if loss is not None and not all(p._memory.packed for p in network.parameters()):
            raise Unseen("an optimizer may still move the parameters")
        self.x: Any = each(lambda array: array.copy("K"), x)
        self.target = target.copy("K")
        recorder = Recorder(LIMIT - sum(a.nbytes for a in (*outputs_of(self.x), target)))
        try:
            self._record(recorder, network, loss, parts)
        finally:
            recorder.let_go()

    def _record(self, recorder: Recorder, network: Any, loss: Any, parts: Sequence[Any]) -> None:
        target = self.target
        twin, twin_loss = copy.deepcopy((network, loss), self._stand_ins(network, parts, recorder))
        if loss is not None:
            self._check_target = loss.check_target  # which a replay asks, before its calls
            vars(twin_loss).update(check_target=ignored, finite=_float64)
        twins = [*(layer for _, layer in twin._all_layers()), *losses(twin_loss)]
        before = [value for part in twins for _, value in attributes(part)]
        output = twin.forward(*map(recorder.hold, outputs_of(self.x)))
        self.output = self.value = recorder.written(output)
        if loss is not None:
            self._check_target(self.output, target)
            self.value = recorder.written(twin_loss.forward(output, recorder.hold(self.target)))
        memo: dict[int, Any] = {}
        alive = [part._all_saved() for part in twins]
        saved = [{"_saved": None, **_plain(one, memo)} for one in alive]
        calls, recorder.calls = recorder.calls, []
        if loss is not None:
            recorder.written(dy := twin_loss.backward())
            twin.backward_parameters(dy)
        after = [value for part in twins for _, value in attributes(part)]
        if len(before) != len(after) or any(map(operator.is_not, before, after)):
            raise Unseen("an attribute was assigned")
        pairs = zip(parts, saved, strict=True)
        self.saved = [] if loss is None else [(vars(part), one) for part, one in pairs]
        self.noted = [one["_saved"] for _, one in self.saved]
        self._guarded = State(parts, ()) if recorder.guarded else None
        self.results, self.backward_calls = recorder.results, tuple(recorder.calls)
        self.calls = tuple(calls)

    def _stand_ins(self, network: Any, parts: Sequence[Any], recorder: Recorder) -> dict[int, Any]:
        """Return what deepcopy puts in place of arrays, parameters and generators, by id.

        A copy of the layers made so works on their very arrays, recorded, and the layers are
        not touched: whatever interrupts the text, they are as they were.
        """
        memo: dict[int, Any] = {}
        for value in (value for part in parts for _, value in attributes(part)):
            if isinstance(value, np.ndarray):
                memo[id(value)] = recorder.hold(value)
            elif isinstance(value, np.random.Generator):
                memo[id(value)] = Dice(value, recorder)
        memories: dict[int, Memory] = {}
        for _, parameter in network.named_parameters():
            memory = parameter._memory
            if id(memory) not in memories:
                memory.note_reader(self)
                memories[id(memory)] = held = copy.copy(memory)
                held.values, held.grads = recorder.hold(memory.values), recorder.hold(memory.grads)
            memo[id(parameter)] = stand_in = copy.copy(parameter)
            stand_in._place_in(memories[id(memory)], parameter._start, parameter.shape)
        return memo

    def let_go(self) -> None:
        """Hold no array any more: an optimizer moves the parameters, and asks who does."""
        key = self.key
        vars(self).clear()
        vars(self).update(key=key, agrees=False, refused=True, calls=None)

    def forward(self, x: Any, target: Target) -> float:
        """Return the loss of another batch; nan for a prediction."""
        if type(x) is tuple:
            for own, new in zip(self.x, x, strict=True):
                own[...] = new
        else:
            self.x[...] = x
        if self.saved:
            self._check_target(self.output, target)
            self.target[...] = target
        if self._guarded is not None:  # a condition may come out otherwise
            self._guarded.note_numbers()
        try:
            run(self.calls)
        except BaseException:
            if self._guarded is not None:
                self._guarded.put_back_numbers()
            for own, _ in self.saved:  # of two forwards by now: backward has to refuse
                own["_saved"] = None
            raise
        for own, saved in self.saved:
            if own.get("_saved") is not saved["_saved"]:  # of another forward since
                own.update(saved)
        return float(self.value) if self.saved else np.nan


class State:
    """What layers, losses and parameters hold, and where their generators are."""

    def __init__(self, parts: Sequence[Any], parameters: Sequence[Any]) -> None:
        self._attributes = [(vars(part), dict(vars(part))) for part in parts]
        values = [value for part in parts for _, value in attributes(part)]
        self._grads = [parameter.grad for parameter in parameters]
        arrays = [*self._grads, *(p.value for p in parameters)]
        arrays += [value for value in values if isinstance(value, np.ndarray)]
        self._arrays = [(array, array.copy()) for array in arrays]
        self._generators = [g.bit_generator for g in values if isinstance(g, np.random.Generator)]
        self._places = [generator.state for generator in self._generators]

    @property
    def content(self) -> list[Any]:
        """What the arrays and generators hold now."""
        return [*(a for a, _ in self._arrays), *(repr(g.state) for g in self._generators)]

    def note_numbers(self) -> None:
        """Note what the arrays and generators hold now; no call of NumPy changes the rest."""
        for array, numbers in self._arrays:
            numbers[...] = array
        self._places = [generator.state for generator in self._generators]

    def put_back_numbers(self) -> None:
        """Make the arrays and generators what they were."""
        for array, numbers in self._arrays:
            array[...] = numbers
        for generator, place in zip(self._generators, self._places, strict=True):
            generator.state = place

    def put_back(self) -> None:
        """Make all what it was."""
        self.put_back_numbers()
        for own, attributes in self._attributes:
            for name in own.keys() - attributes.keys():
                del own[name]
            own.update(attributes)

    def disturb(self, factor: float, results: Sequence[Array]) -> None:
        """Scale what a step reads; fill what it writes with NaN, to see that it is written."""
        for array in (array for array, _ in self._arrays if array.dtype.kind == "f"):
            np.multiply(array, factor, out=array)
        for array in (array for array in (*self._grads, *results) if array.dtype.kind == "f"):
            array.fill(np.nan)


def replayable(parts: Sequence[Any], loss: Any, outer: Any = None) -> bool:
    """Return whether the classes declare it themselves, and no object or class changes in place.

    `outer` is a part that no part may hold.
    """
    inner = {id(part) for part in parts if part is not outer}
    declared = [part for part in parts if hasattr(part, "_walk") or part is loss]
    kinds = {base for part in parts for base in type(part).__mro__}
    return (
        all(vars(type(part)).get("replayable") is True for part in declared)
        and sum("finite" in vars(base) for base in type(loss).__mro__) < 2  # the Loss's own
        and all(_fixed(value, inner) for part in parts for _, value in attributes(part))
        and all(kind in BASES or isinstance(kind, CountsClassChanges) for kind in kinds)
        and not any(map(_has_tables, kinds))
    )


def _fixed(value: Any, parts: set[int]) -> bool:
    if isinstance(value, tuple):
        changing = np.ndarray | np.random.Generator
        return all(_fixed(item, parts) and not isinstance(item, changing) for item in value)
    if isinstance(value, np.ndarray):
        # A copy of the layer has a copy of a read-only one, which others may write into.
        return value.flags.writeable
    counted = hasattr(value, "_memory") or id(value) in parts
    return counted or isinstance(value, FIXED)


def _has_tables(kind: type) -> bool:
    """Return whether a class has an attribute that can change in place."""
    own = [value for name, value in vars(kind).items() if name not in ("formulas", "joins")]
    return any(isinstance(value, list | set | np.ndarray) for value in own)


def losses(loss: Any) -> list[Any]:
    """Return a loss, and the losses in its attributes."""
    if not isinstance(loss, CountsChanges):
        return []
    inner = [value for _, value in attributes(loss) if not hasattr(value, "_walk")]
    return [loss, *chain.from_iterable(map(losses, inner))]


def attributes(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a layer or a loss, except for its mode and what a forward saved."""
    for name, value in vars(part).items():
        if not name.startswith("_saved") and name not in ("training", "_arguments"):
            yield name, value


def holdings(network: Any, parts: Sequence[Any]) -> list[Any]:
    """Return what an assignment to these parts, or to a class, replaces by something else."""
    memories = [parameter._memory for _, parameter in network.named_parameters()]
    # One that no optimizer packed is not kept alive: its arrays would look as if held.
    held = [CHANGES.classes, *(memory if memory.packed else None for memory in memories)]
    for part in parts:
        held += [part, type(part), *chain.from_iterable(attributes(part))]
    return held


def each(function: Callable[[Array], Any], x: Any) -> Any:
    """Return what a function makes of an array, or of each of a tuple."""
    return tuple(map(function, x)) if type(x) is tuple else function(x)


def turned(array: Array, factor: float = 1) -> Array:
    """Return the numbers turned around, in an array that lies in memory as this one."""
    result = np.empty_like(array)
    result[...] = (
        array[::-1, ..., ::-1] if array.ndim > 1 else array[::-1] if array.ndim else array
    )
    if array.dtype.kind == "f":
        result *= factor
    return locked(result)


def locked(array: Array) -> Array:
    """Return a view to read from: a text that writes into its x is found out."""
    view = array.view()
    view.flags.writeable = False
    return view


def _plain(value: Any, memo: dict[int, Any]) -> Any:
    """Return what was saved without its recorder; of one container always the same one."""
    if id(value) in memo:
        return memo[id(value)]
    if type(value) is dict:
        memo[id(value)] = {name: _plain(item, memo) for name, item in value.items()}
    elif type(value) in (tuple, list):
        memo[id(value)] = type(value)(_plain(item, memo) for item in value)
    elif isinstance(value, (np.ndarray, *FIXED)) or type(value) is object:
        return plain(value)
    else:
        raise Unseen("what was saved cannot be looked into")
    return memo[id(value)]


def bits(value: Any) -> Any:
    """Return numbers, arrays, lists and dicts of them in a form that can be compared."""
    if isinstance(value, list | tuple):
        return [bits(item) for item in value]
    if isinstance(value, dict):
        return {key: bits(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | float):
        array = np.asarray(value)
        return array.shape, array.dtype.str, hash(array.tobytes())
    return value if isinstance(value, str | int) else None


def ignored(*_: object) -> None:
    """Stand for a check that a replay makes before its calls."""


def _float64(value: Any) -> Any:
    """Stand for `Loss.finite`: a replay's caller looks whether the loss is finite."""
    return value if value.dtype == np.float64 else value.astype(np.float64)
