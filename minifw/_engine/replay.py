"""A training step or a prediction: the text of the layers, or its recording made again.

Small steps spend their time in Python. From the second batch of one shape on, the NumPy calls
that the text made are made again, into arrays of their own: the same functions on the same
numbers in the same order, hence the same bits. No layer and no formula is known here.

A batch of a new shape goes through the text. At the second one the text is recorded, on a copy
of the layers whose arrays write down what is done to them. The third one goes both ways, and the
recording is used alone only if all bits agree. An assignment to a layer, to a loss, to a class
of theirs, or a parameter that moves, ends all recordings; each mode has its own.
"""

import copy
import operator
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from minifw._engine.packing import Memory
from minifw._engine.protocols import AnyLayer, AnyLoss
from minifw._engine.recording import Dice, Recorder, Unseen, plain, run
from minifw._tools.changes import CHANGES, CountsChanges
from minifw._tools.checks import describe
from minifw.typing import Array, Target

__all__ = ["Replay"]

# Bytes of all arrays of a step. A replayed step takes 0.6 of the text's time at 0.1 MB, 0.8 to 0.9
# at 1 MB, and 0.96 at 4 MB, which is not worth the memory that it holds.
LIMIT = 2**21
KEPT = 4  # recordings: of full batches and of an epoch's last one, in train and in eval mode
NO_TARGET = np.zeros(())  # of a prediction

OTHER = 0.75  # a factor that is exact in floating point

# Attributes of these types change by assignment alone, or are seen: arrays and generators.
FIXED = (
    *(bool, int, float, complex, str, type(None), type, np.dtype, np.generic),
    *(np.ndarray, np.random.Generator),
)

Key: TypeAlias = tuple[Any, ...]
"""The modes of all layers."""


class Replay:
    """The layers and then the loss, by their text or by its recording.

    Parameters
    ----------
    network : Layer
    loss : Loss or None
        With None the step is a prediction.
    enabled : bool
        Whether anything is recorded.

    Attributes
    ----------
    output : array or None
        What the network gave in the latest forward. The next step may write over it.
    parts : list
        The layers and the loss.
    """

    def __init__(self, network: AnyLayer, loss: AnyLoss | None, *, enabled: bool = True) -> None:
        self.network, self.loss, self.enabled = network, loss, enabled
        self.output: Any = None
        self.parts: list[Any] = []
        self._owns: list[dict[str, Any]] = []  # the attributes of each
        self._count = self._modes_count = -1  # of changes, when the parts were looked at
        self._modes: Key = ()
        self._held: list[Any] = []  # what was assigned to the parts by then
        self._recordings: list[Recording] = []
        self._now: Recording | None = None  # what made the latest forward

    def forward(self, x: Array, target: Target, sample_weight: Array | None = None) -> float:
        """Return the loss; nan for a prediction."""
        if CHANGES.count != self._count:
            self._look()
        self.output = self._now = None
        recording = self._find(x, target) if sample_weight is None else None
        if recording is not None:
            try:
                value = recording.forward(x, target)
            except Unseen:
                pass
            else:
                self.output, self._now = recording.output, recording
                return value
        return self._text(x, target, sample_weight)

    def _text(self, x: Array, target: Target, sample_weight: Array | None = None) -> float:
        with np.errstate(under="ignore"):  # that a number is rounded to 0 is no fault
            self.output = self.network(x)
            if self.loss is None:
                return np.nan
            return self.loss(self.output, target, sample_weight)

    def backward(self) -> None:
        """Set the gradients of all parameters."""
        if self._now is not None and CHANGES.count == self._count:
            try:
                return run(self._now.backward_calls)
            except Unseen:
                pass
        return self._text_backward()

    def _text_backward(self) -> None:
        loss: Any = self.loss
        with np.errstate(under="ignore"):
            dy: Any = loss.backward()
            if not isinstance(dy, np.ndarray) or dy.shape != self.output.shape:
                raise TypeError(
                    f"{loss!r}.backward must return an array of the shape of the prediction, "
                    f"{self.output.shape}, it returned {describe(dy)}"
                )
            self.network.backward_parameters(dy)

    def saved(self) -> list[Any]:
        """Return what each part has saved by now."""
        return [own.get("_saved") for own in self._owns]

    def predict(self, x: Array) -> Array:
        """Return the network's output, which the next call may write over."""
        if CHANGES.count != self._count:
            self._look()
        recording = self._find(x, NO_TARGET)
        if recording is not None:
            try:
                recording.forward(x, NO_TARGET)
            except Unseen:
                pass
            else:
                return recording.output
        self._text(x, NO_TARGET)
        output: Array = self.output
        return output

    def _look(self) -> None:
        """Look whether what was assigned concerns these parts; if so, forget all recordings."""
        self.parts = [*(layer for _, layer in self.network._all_layers()), *_losses(self.loss)]
        self._owns = [vars(part) for part in self.parts]
        memories = [parameter._memory for parameter in self.network.parameters()]
        # One that no optimizer packed is not kept alive: its arrays would look as if held.
        held = [CHANGES.classes, *(memory if memory.packed else None for memory in memories)]
        for part in self.parts:
            held += [part, type(part), *chain.from_iterable(_attributes(part))]
        if len(held) != len(self._held) or not all(map(operator.is_, held, self._held)):
            self._recordings = []
        self._held, self._count, self._modes_count = held, CHANGES.count, -1

    @property
    def possible(self) -> bool:
        """Whether all layers and the loss declare that they can be recorded."""
        if CHANGES.count != self._count:
            self._look()
        return self.enabled and _replayable(self.parts, self.loss)

    def _find(self, x: Array, target: Target) -> "Recording | None":
        """Return a recording for this batch that may be used alone, or None."""
        if not self.enabled or type(x) is not np.ndarray or type(target) is not np.ndarray:
            return None
        if CHANGES.modes != self._modes_count:
            self._modes_count = CHANGES.modes
            self._modes = tuple([getattr(part, "training", None) for part in self.parts])
        for recording in self._recordings:
            if recording.suits(self._modes, x, target):
                return recording if recording.agrees else self._judge(recording, x, target)
        recording = Recording(self._modes, x, target)
        self._recordings = [recording, *self._recordings[: KEPT - 1]]
        return None  # a shape that never comes again needs no recording

    def _judge(self, recording: "Recording", x: Array, target: Target) -> "Recording | None":
        """Record the text, or run both ways; return the recording once they agree."""
        if recording.calls is None and not recording.refused:
            recording.refused = not (self.possible and x.flags.forc and target.flags.forc)
        if recording.refused:
            return None
        state = State(self.parts, self.network.parameters())
        try:
            if recording.calls is None:
                with np.errstate(all="call", call=_accept):
                    recording.record(self.network, self.loss, self.parts, x, target)
            else:
                # A value that came past the recorder is the same for the same batch, so another
                # batch, and other parameters and options, are tried before this one.
                other = _turned(x, OTHER), _turned(target)
                recording.agrees = self._agree(recording, state, *other, OTHER)
                del other
                recording.agrees &= self._agree(recording, state, _locked(x), _locked(target))
                recording.refused = not recording.agrees
        except Exception:  # noqa: BLE001 - the text, which runs then, says what is wrong
            recording.refused, recording.agrees = True, False
        finally:
            state.put_back()
            self._count = CHANGES.count
        return recording if recording.agrees else None

    def _agree(
        self, recording: "Recording", state: "State", x: Array, target: Target, factor: float = 1
    ) -> bool:
        """Return whether text and recording make the same bits of a batch."""
        found = []
        for replayed in (False, True):
            state.disturb(factor, recording.results)
            value = recording.forward(x, target) if replayed else self._text(x, target)
            output = recording.output if replayed else self.output
            saved = []
            if self.loss is not None:
                saved = [part._all_saved() for part in self.parts]
                run(recording.backward_calls) if replayed else self._text_backward()
            found.append(_bits([value, output, saved, *state.content]))
            state.put_back()
        return bool(found[0] == found[1])

    def __deepcopy__(self, memo: dict[int, Any]) -> "Replay":
        """Return one without recordings: these hold arrays of their own model."""
        network, loss = copy.deepcopy((self.network, self.loss), memo)
        return Replay(network, loss, enabled=self.enabled)

    def __getstate__(self) -> dict[str, Any]:
        return {"network": self.network, "loss": self.loss, "enabled": self.enabled}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


class Recording:
    """The calls of one step, with the arrays that they work on.

    Attributes
    ----------
    output : array
        What the network gives.
    agrees, refused : bool
        Whether it may be used alone; whether it never may.
    """

    def __init__(self, modes: Key, x: Array, target: Target) -> None:
        self._modes = modes
        self._of_x = x.shape, x.strides, x.dtype
        self._of_target = target.shape, target.strides, target.dtype
        self.agrees = self.refused = False
        self.calls: Any = None

    def suits(self, modes: Key, x: Array, target: Target) -> bool:
        """Return whether a batch has these modes, shapes, layouts and dtypes."""
        shape, strides, dtype = self._of_x
        if modes != self._modes or x.shape != shape or x.strides != strides or x.dtype != dtype:
            return False
        shape, strides, dtype = self._of_target
        return target is NO_TARGET or (
            target.shape == shape and target.strides == strides and bool(target.dtype == dtype)
        )

    def record(
        self, network: Any, loss: Any, parts: Sequence[Any], x: Array, target: Target
    ) -> None:
        """Record the text of the layers and the loss, forward and backward."""
        if loss is not None and not all(p._memory.packed for p in network.parameters()):
            raise Unseen("an optimizer may still move the parameters")
        self.x, self.target = x.copy("K"), target.copy("K")
        recorder = Recorder(LIMIT - x.nbytes - target.nbytes)
        twin, twin_loss = copy.deepcopy((network, loss), _stand_ins(network, parts, recorder))
        if loss is not None:
            self._check_target = loss.check_target  # which a replay asks, before its calls
            vars(twin_loss).update(check_target=_accept, finite=_float64)
        twins = [*(layer for _, layer in twin._all_layers()), *_losses(twin_loss)]
        before = [value for part in twins for _, value in _attributes(part)]
        self.output = self.value = recorder.written(output := twin.forward(recorder.hold(self.x)))
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
        after = [value for part in twins for _, value in _attributes(part)]
        if len(before) != len(after) or any(map(operator.is_not, before, after)):
            raise Unseen("an attribute was assigned")
        self.saved: Any = [] if loss is None else [*zip(map(vars, parts), saved, strict=True)]
        self._guarded = parts if recorder.guarded else None
        self.results, self.backward_calls = recorder.results, tuple(recorder.calls)
        self.calls = tuple(calls)

    def forward(self, x: Array, target: Target) -> float:
        """Return the loss of another batch; nan for a prediction."""
        self.x[...] = x
        if self.saved:
            self._check_target(self.output, target)
            self.target[...] = target
        state = None if self._guarded is None else State(self._guarded, ())
        try:
            run(self.calls)
        except BaseException:
            if state is not None:
                state.put_back()
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
        values = [value for part in parts for _, value in _attributes(part)]
        self._grads = [parameter.grad for parameter in parameters]
        arrays = [*self._grads, *(p.value for p in parameters)]
        arrays += [value for value in values if isinstance(value, np.ndarray)]
        self._arrays = [(array, array.copy()) for array in arrays]
        generators = [g.bit_generator for g in values if isinstance(g, np.random.Generator)]
        self._generators = [(generator, generator.state) for generator in generators]

    @property
    def content(self) -> list[Any]:
        """What the arrays and generators hold now."""
        return [*(a for a, _ in self._arrays), *(repr(g.state) for g, _ in self._generators)]

    def put_back(self) -> None:
        """Make all what it was."""
        for array, numbers in self._arrays:
            array[...] = numbers
        for generator, state in self._generators:
            generator.state = state
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


def _stand_ins(network: Any, parts: Sequence[Any], recorder: Recorder) -> dict[int, Any]:
    """Return what deepcopy puts in the place of arrays, parameters and generators, by identity.

    A copy of the layers made so works on their very arrays, recorded, and the layers are
    not touched: whatever interrupts the text, they are as they were.
    """
    memo: dict[int, Any] = {}
    for value in (value for part in parts for _, value in _attributes(part)):
        if isinstance(value, np.ndarray):
            memo[id(value)] = recorder.hold(value)
        elif isinstance(value, np.random.Generator):
            memo[id(value)] = Dice(value, recorder)
    memories: dict[int, Memory] = {}
    for parameter in network.parameters():
        memory = parameter._memory
        if id(memory) not in memories:
            memories[id(memory)] = held = copy.copy(memory)
            held.values, held.grads = recorder.hold(memory.values), recorder.hold(memory.grads)
        memo[id(parameter)] = stand_in = copy.copy(parameter)
        stand_in._place_in(memories[id(memory)], parameter._start, parameter.shape)
    return memo


def _replayable(parts: Sequence[Any], loss: Any) -> bool:
    """Return whether the very classes declare it, and no object or class changes in place."""
    declared = [part for part in parts if hasattr(part, "_walk") or part is loss]
    return (
        all(vars(type(part)).get("replayable") is True for part in declared)
        and sum("finite" in vars(base) for base in type(loss).__mro__) < 2  # the Loss's own
        and all(_fixed(value, parts) for part in parts for _, value in _attributes(part))
        and not any(map(_has_tables, {base for part in parts for base in type(part).__mro__}))
    )


def _fixed(value: Any, parts: Sequence[Any]) -> bool:
    if type(value) is tuple:
        return all(_fixed(item, parts) and not isinstance(item, np.ndarray) for item in value)
    counted = hasattr(value, "_memory") or any(value is part for part in parts)
    return counted or isinstance(value, FIXED)


def _has_tables(kind: type) -> bool:
    """Return whether a class has an attribute that can change in place."""
    own = [value for name, value in vars(kind).items() if name not in ("formulas", "joins")]
    return any(isinstance(value, list | set | np.ndarray) for value in own)


def _losses(loss: Any) -> list[Any]:
    """Return a loss, and those that are its attributes."""
    if not isinstance(loss, CountsChanges):
        return []
    inner = [value for _, value in _attributes(loss) if not hasattr(value, "_walk")]
    return [loss, *chain.from_iterable(map(_losses, inner))]


def _attributes(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of a layer or a loss, but for its mode and what a forward saved."""
    for name, value in vars(part).items():
        if not name.startswith("_saved") and name not in ("training", "_arguments"):
            yield name, value


def _turned(array: Array, factor: float = 1) -> Array:
    """Return the numbers turned around, in an array that lies in memory as this one."""
    result = np.empty_like(array)
    result[...] = (
        array[::-1, ..., ::-1] if array.ndim > 1 else array[::-1] if array.ndim else array
    )
    if array.dtype.kind == "f":
        result *= factor
    return _locked(result)


def _locked(array: Array) -> Array:
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


def _bits(value: Any) -> Any:
    """Return numbers, arrays, lists and dicts of them in a form that can be compared."""
    if isinstance(value, list | tuple):
        return [_bits(item) for item in value]
    if isinstance(value, dict):
        return {key: _bits(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | float):
        array = np.asarray(value)
        return array.shape, array.dtype.str, hash(array.tobytes())
    return value if isinstance(value, str | int) else None


def _accept(*_: object) -> None:
    """Stand for a check that a replay makes before its calls."""


def _float64(value: Any) -> Any:
    """Stand for `Loss.finite`: a replay's caller looks whether the loss is finite."""
    return value if value.dtype == np.float64 else value.astype(np.float64)
