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
from typing import Any

import numpy as np

from minifw._engine.heads import applied, outputs_of
from minifw._engine.protocols import AnyLayer, AnyLoss
from minifw._engine.recorder import Unseen, run
from minifw._engine.recording import (
    NO_TARGET,
    Recording,
    State,
    bits,
    each,
    holdings,
    ignored,
    locked,
    losses,
    replayable,
    turned,
)
from minifw._engine.sharing import refuse_mixture
from minifw._tools.changes import CHANGES
from minifw._tools.checks import describe
from minifw.typing import Target

KEPT = 4  # recordings: of full batches and of an epoch's last one, in train and in eval mode

COST = 200  # steps by the text: a recording takes as long as some 10 to 50, and must be worth it

SAVED = operator.methodcaller("get", "_saved")  # in C: it is asked of each part in each step
OTHER = 0.75  # a factor that is exact in floating point


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
    shared : bool
        Whether others may read the parameters at any time. These are then never changed, not even
        for a moment: before a recording is used, others are tried in a copy of the network.
    """

    shared = False

    def __init__(self, network: AnyLayer, loss: AnyLoss | None, *, enabled: bool = True) -> None:
        self.network, self.loss, self.enabled = network, loss, enabled
        self.output: Any = None
        self.parts: list[Any] = []
        self._owns: list[dict[str, Any]] = []  # the attributes of each part
        self._saved: list[Any] = []  # by each part, of the latest forward
        self._count = self._modes_count = -1  # of changes, when the parts were looked at
        self._modes: tuple[Any, ...] = ()  # of all parts
        self._held: list[Any] = []  # what was assigned to the parts by then
        self._recordings: list[Recording] = []
        self._credit = KEPT * COST  # for recordings; a step by the text earns 1
        self._now: Recording | None = None  # what made the latest forward

    def forward(self, x: Any, target: Any, sample_weight: Any = None) -> float:
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
                self._saved = recording.noted
                return value
        if self.loss is not None:
            self._forget_saved()
        value = np.nan if self.shared else self._text(x, target, sample_weight)
        self.note_saved()
        return value

    def _text(self, x: Any, target: Any, sample_weight: Any = None) -> float:
        with np.errstate(under="ignore"):  # a number may be rounded to 0
            self.output = applied(self.network, x)
            if self.loss is None:
                return np.nan
            return self.loss(self.output, target, sample_weight)

    def backward(self, *, everything: bool = False) -> Any:
        """Set the gradients of all parameters; raise if a part ran another forward since.

        With `everything`, return dL/dx.
        """
        if any(map(operator.is_not, self._saved, map(SAVED, self._owns))):
            refuse_mixture(self.parts, self._saved)
        if self._now is not None and CHANGES.count == self._count and not everything:
            try:
                return run(self._now.backward_calls)
            except Unseen:
                pass
        return self._text_backward(everything)

    def _forget_saved(self) -> None:
        """Let go of what the step before saved, before this one takes memory of its own."""
        self._saved = []
        for own in self._owns:
            if own.get("_saved") is not None:
                own["_saved"], own["_saved_stamp"] = None, (None, None)

    def note_saved(self) -> None:
        """Note what each part has saved by now."""
        self._saved = list(map(SAVED, self._owns))

    def _text_backward(self, everything: bool = False) -> Any:
        with np.errstate(under="ignore"):
            network = self.network
            backward = network.backward if everything else network.backward_parameters
            loss: Any = self.loss
            dy, y = loss.backward(), self.output
            if type(dy) is np.ndarray and type(y) is np.ndarray and dy.shape == y.shape:
                return backward(dy)  # nearly always
            return backward(*self._cotangents(dy))

    def _cotangents(self, given: Any) -> tuple[Any, ...]:
        """Return dL/dy of each output, or raise unless there is one of its shape for each."""
        loss, dys = self.loss, outputs_of(given)
        for dy, y in zip(dys, outputs_of(self.output), strict=True):
            if not isinstance(dy, np.ndarray) or dy.shape != y.shape:
                raise TypeError(
                    f"{loss!r}.backward must return an array of the shape of the prediction, "
                    f"{y.shape}, it returned {describe(dy)}"
                )
        return dys

    def predict(self, x: Any) -> Any:
        """Return the network's output, which the next call may write over.

        Of a shared network None, unless it comes out of a recording.
        """
        self.forward(x, NO_TARGET)
        return self.output

    def _look(self) -> None:
        """Look whether what was assigned concerns these parts; if so, forget all recordings."""
        self.parts = [*(layer for _, layer in self.network._all_layers()), *losses(self.loss)]
        self._owns = [vars(part) for part in self.parts]
        count, held = CHANGES.count, holdings(self.network, self.parts)
        if len(held) != len(self._held) or not all(map(operator.is_, held, self._held)):
            self._recordings = []
        self._held, self._count, self._modes_count = held, count, -1

    def _parameters(self) -> list[Any]:
        return [parameter for _, parameter in self.network.named_parameters()]

    @property
    def possible(self) -> bool:
        """Whether all layers and the loss declare that they can be recorded."""
        if CHANGES.count != self._count:
            self._look()
        return self.enabled and replayable(self.parts, self.loss)

    def _find(self, x: Any, target: Target) -> "Recording | None":
        """Return a recording for this batch that may be used alone, or None."""
        if not self.enabled or type(target) is not np.ndarray:
            return None
        of_x: Any
        if type(x) is np.ndarray:
            of_x = x.shape, x.strides, x.dtype
        elif type(x) is tuple and all(type(one) is np.ndarray for one in x):
            of_x = [(one.shape, one.strides, one.dtype) for one in x]
        else:
            return None
        if CHANGES.modes != self._modes_count:
            self._modes_count = CHANGES.modes
            self._modes = tuple([getattr(part, "training", None) for part in self.parts])
        of_target = target is NO_TARGET or (target.shape, target.strides, target.dtype)
        key = self._modes, of_x, of_target
        for recording in self._recordings:
            if recording.key == key:
                return recording if recording.agrees else self._judge(recording, x, target)
        recording = Recording(key)
        self._recordings = [recording, *self._recordings[: KEPT - 1]]
        return None  # a shape that never comes again needs no recording

    def _judge(self, recording: "Recording", x: Any, target: Target) -> "Recording | None":
        """Record the text, or run both ways; return the recording once they agree."""
        self._credit = min(self._credit + 1, KEPT * COST)
        if recording.calls is None and not recording.refused:
            if self._credit < COST:  # shapes change all the time
                return None
            self._credit -= COST
            recording.refused = not (
                self.possible and all(array.flags.forc for array in (*outputs_of(x), target))
            )
        if recording.refused:
            return None
        state = State(self.parts, () if self.shared else self._parameters())
        try:
            # A trial says nothing of the user's numbers; the step reports their faults.
            with np.errstate(all="call", call=ignored):
                if recording.calls is None:
                    recording.record(self.network, self.loss, self.parts, x, target)
                else:
                    agrees = self._both_ways(recording, state, x, target)
                    recording.refused, recording.agrees = not agrees, agrees
        except Exception:  # noqa: BLE001 - the text, which runs then, says what is wrong
            recording.refused, recording.agrees = True, False
        finally:
            state.put_back()
            self._count = CHANGES.count
        return recording if recording.agrees else None

    def _both_ways(self, recording: "Recording", state: "State", x: Any, target: Any) -> bool:
        """Return whether text and recording agree on another batch, and on this one.

        A value that came past the recorder is the same for the same batch, so another batch,
        and other parameters and options, are tried first.
        """
        if self.shared:
            trial = Replay(copy.deepcopy(self.network), None)
            for _ in range(3):
                trial.predict(x)
            agrees = trial._now is not None
        else:
            other = each(lambda array: turned(array, OTHER), x), turned(target)
            agrees = self._agree(recording, state, *other, OTHER)
            del other
        return agrees and self._agree(recording, state, each(locked, x), locked(target))

    def _agree(
        self, recording: "Recording", state: "State", x: Any, target: Target, factor: float = 1
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
            found.append(bits([value, output, saved, *state.content]))
            state.put_back()
        return bool(found[0] == found[1])

    def __getstate__(self) -> dict[str, Any]:
        """Leave the recordings behind: they hold arrays of their own model."""
        return {"network": self.network, "loss": self.loss, "enabled": self.enabled}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]
