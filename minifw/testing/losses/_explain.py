"""What is wrong with the gradient of a loss: it is compared with the faults that people make."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from minifw.testing._equal import Results, copies, rounding
from minifw.testing._explain import (
    Fault,
    along_an_axis,
    constant_factor,
    explain,
    factor_sentence,
    one_side,
    precision,
    worst,
    zero,
)
from minifw.testing._numeric import EPSILON, STEPS, Slopes, differences, mismatches
from minifw.testing._questions import run
from minifw.testing.losses._subject import PAIR, LossSubject
from minifw.typing import Array

RESOLVED = 1e-9  # the room, relative to the prediction, below which no difference can be taken
NOISE = 1e-8  # of slopes, relative to all sizes: 1e-11 or so in float64, 1e-4 in float32


@dataclass(frozen=True)
class LossFault(Fault):
    """A gradient, and the slopes that it is held against; both per room of each prediction.

    A prediction is moved relatively to the room that it has in its domain. So a
    probability of 1e-300 can be moved as one of 1/2, and weighs as much.
    """

    subject: LossSubject
    inputs: Results
    room: Array
    gradient: Array

    @property
    def pair(self) -> tuple[Array, Any]:
        """The prediction and the target."""
        return self.inputs["prediction"], self.inputs.get("target")

    @property
    def weighted(self) -> bool:
        """Whether the loss was given weights."""
        return not self.inputs.keys() <= {*PAIR}

    @property
    def noisy(self) -> bool:
        """Whether the loss has too few digits for its differences."""
        if not self.asked.any():
            return False
        loss = self.subject.forward(self.subject.twin(), self.inputs)["loss"]
        sizes = abs(float(loss)), np.abs(self.pair[0]).max(), np.nanmax(np.abs(self.true.value))
        return bool(np.nanmedian(self.true.error) > NOISE * max(sizes))

    def sentence(self, *, clamps: bool = False) -> str:
        """Say where it is wrong, and the first explanation that fits."""
        unscaled = Slopes(*(part / self.room for part in vars(self.true).values()))
        found = worst("gradient", self.gradient, unscaled, self.wrong)
        reason = explain(self, (_clamp, *EXPLANATIONS) if clamps else EXPLANATIONS)
        return f"{found}: {reason}" if reason else found


_Explanation: TypeAlias = Callable[[LossFault], str | None]


def loss_fault(s: LossSubject, inputs: Results) -> LossFault:
    """Return the gradient at a point, and the slopes by differences."""
    found, prediction = run(s, s.twin(), inputs), inputs["prediction"]
    loss, room, offset = s.twin(), _room(s, prediction), np.zeros_like(prediction)

    def moved() -> Array:
        return s.forward(loss, copies({**inputs, "prediction": prediction + room * offset}))[
            "loss"
        ]

    slopes = Slopes.unknown(room.shape)
    if room.any():
        slopes = differences(moved, offset, np.ones(()), s.rng(5))
        slopes.error[...] += _rounding(float(found["loss"]), prediction, room, slopes)
        for part in vars(slopes).values():
            part[room == 0] = np.nan
    return LossFault(found["gradient"] * room, slopes, s, inputs, room, found["gradient"])


def _rounding(value: float, prediction: Array, room: Array, slopes: Slopes) -> Array:
    """Return the errors that differences do not see in themselves.

    What the loss computes with, and not its value alone, has a machine epsilon:
    the logits of a softmax, say, whose loss may be 0. And so has a prediction
    that is moved. Of the steps, the smallest may have been taken by chance.
    """
    size, step = np.abs(prediction), STEPS[-1]
    resolution = np.divide(size, room, out=np.zeros_like(size), where=room > 0)
    rounding: Array = max(abs(value), size.max()) + resolution * np.abs(slopes.value)
    return EPSILON / step * rounding


def _room(s: LossSubject, prediction: Array) -> Array:
    """Return how far each prediction can be moved; 0 where that is nowhere.

    A probability can be moved to 0 or 1, a positive or negative number to 0,
    and others by their size or the usual size.
    """
    size = np.abs(prediction)
    if s.bounded:
        room = np.minimum(prediction, 1 - prediction)
    elif prediction.min() < 0 < prediction.max():
        room = np.maximum(size, size.mean())
    else:
        room = size
    return np.where(room > RESOLVED * size, room, 0.0)


def _not_a_number(f: LossFault) -> str | None:
    return None if np.isfinite(f.gradient).all() else "it holds a NaN or an infinity"


def _noisy(f: LossFault) -> str | None:
    return "the loss is computed in a lower precision, such as float32" if f.noisy else None


def _factor(f: LossFault) -> str | None:
    factor = constant_factor(f.found, f.true)
    if factor is None:
        return None
    elements, rows = f.gradient.size, len(f.gradient)
    sizes = {"the number of elements": elements}
    if rows < elements:
        sizes["the batch size"] = rows
        sizes["the number of elements of a row"] = elements // rows
    also = "; it equals the derivative with respect to the target" if _of_target(f) else ""
    return factor_sentence(factor, sizes) + also


def _of_target(f: LossFault) -> str | None:
    """Fit the derivative with respect to the target, at targets that can be moved."""
    s, target = f.subject, f.inputs["target"]
    if not s.alike or f.weighted:
        return None
    if target.min() >= 0 and target.max() <= 1:
        target = 0.1 + 0.8 * target  # labels of 0 and 1 cannot be moved outwards
    loss, inputs = s.twin(), copies({**f.inputs, "target": target})
    try:
        gradient = run(s, s.twin(), inputs)["gradient"]
        slopes = differences(
            lambda: s.forward(loss, inputs)["loss"], inputs["target"], np.ones(())
        )
    except ValueError:
        return None
    if mismatches(gradient, slopes).any():
        return None
    return "it is the derivative with respect to the target, not the prediction"


def _label_in(f: LossFault) -> Any:
    """Return where the target is a label's own place: not 0, or the column of its number."""
    prediction, target = f.pair
    if target.shape == prediction.shape:
        return target != 0
    if target.dtype.kind in "iu" and prediction.ndim == 2 and target.size == len(prediction):
        return np.arange(prediction.shape[1]) == target.reshape(-1, 1)
    return np.zeros(prediction.shape, bool)


def _one_side(f: LossFault) -> str | None:
    """Fit a gradient that is wrong on one side of something, and right on the other."""
    prediction, target = f.pair
    places = {"the target is not 0": _label_in(f), "the prediction is above 0": prediction > 0}
    if f.subject.alike:
        places["the prediction is above its target"] = prediction > target
    for name, there in places.items():
        if there[f.asked].all() or not there[f.asked].any():
            continue
        for words, wrong in (("right only where", ~there), ("wrong only where", there)):
            if np.array_equal(f.wrong, wrong & f.asked):
                ignored = "; where it is wrong it is zero" if not f.gradient[f.wrong].any() else ""
                return f"it is {words} {name}{ignored}"
    return None


def _one_size(f: LossFault) -> str | None:
    """Fit a gradient that is right for small residuals or for large ones, and wrong for others."""
    if not f.subject.alike:
        return None
    return one_side(f, "|prediction - target|", np.abs(f.pair[0] - f.pair[1]))


def _part_ignored(f: LossFault) -> str | None:
    if f.gradient[f.wrong].any():
        return None
    places = along_an_axis(f) or f"it ignores {int(f.wrong.sum())} elements"
    return f"{places}; where it is wrong it is zero"


def _unweighted(f: LossFault) -> str | None:
    if not f.weighted:
        return None
    pair = {name: array for name, array in f.inputs.items() if name in PAIR}
    plain = run(f.subject, f.subject.twin(), pair)["gradient"]
    same = np.allclose(plain, f.gradient, rtol=0.0, atol=10 * rounding(plain))
    return "the weights are missing in it: it equals the unweighted gradient" if same else None


def _clamp(f: LossFault) -> str | None:
    if not f.true.value[f.wrong].any():
        return "there is a clamp in the loss but not in the gradient"
    if not f.gradient[f.wrong].any():
        return "there is a clamp in the gradient but not in the loss"
    return None


EXPLANATIONS: tuple[_Explanation, ...] = (
    _not_a_number,
    _noisy,
    _unweighted,
    zero,
    precision,
    _factor,
    _of_target,
    _one_side,
    _part_ignored,
    _one_size,
)
