"""What is wrong with the gradient of a loss: it is compared with the faults that people make."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from minifw.testing._compare import constant_factor, disagreement, factor_sentence, worst
from minifw.testing._loss_subject import LossSubject, Pair, near, run
from minifw.testing._numeric import EPSILON, STEPS, Slopes, differences, mismatches
from minifw.typing import Array

__all__ = ["LossFault", "loss_fault"]

RESOLVED = 1e-9  # the room, relative to the prediction, below which no difference can be taken
FLOAT32_DIGITS = 1e-5  # a gradient that is this near, relatively, is right but imprecise
NOISE = 1e-8  # of slopes, relative to all sizes: 1e-11 or so in float64, 1e-4 in float32


@dataclass(frozen=True)
class LossFault:
    """A gradient, and the slopes that it is held against; both per room of each prediction.

    A prediction is moved relatively to the room that it has in its domain. So a
    probability of 1e-300 can be moved as one of 1/2, and weighs as much.
    """

    subject: LossSubject
    pair: Pair
    weights: dict[str, Array]
    room: Array
    slopes: Slopes
    gradient: Array

    @property
    def found(self) -> Array:
        """The analytic gradient."""
        return self.gradient * self.room

    @cached_property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Where it is wrong."""
        return mismatches(self.found, self.slopes)

    @property
    def asked(self) -> npt.NDArray[np.bool_]:
        """Where differences were taken."""
        return np.asarray(~np.isnan(self.slopes.value))

    @property
    def noisy(self) -> bool:
        """Whether the loss has too few digits for its differences."""
        if not self.asked.any():
            return False
        value = self.subject.twin().forward(*self.pair, **self.weights)
        sizes = abs(value), np.abs(self.pair[0]).max(), np.nanmax(np.abs(self.slopes.value))
        return bool(np.nanmedian(self.slopes.error) > NOISE * max(sizes))

    def sentence(self, *, clamps: bool = False) -> str:
        """Say where it is wrong, and the first explanation that fits."""
        unscaled = Slopes(*(part / self.room for part in vars(self.slopes).values()))
        found = worst("gradient", self.gradient, unscaled, self.wrong)
        explanations = (_clamp, *EXPLANATIONS) if clamps else EXPLANATIONS
        reasons = (explanation(self) for explanation in explanations)
        reason = next((r for r in reasons if r), "")
        return f"{found}: {reason}" if reason else found


_Explanation: TypeAlias = Callable[[LossFault], str | None]


def loss_fault(s: LossSubject, pair: Pair, weights: dict[str, Array] | None = None) -> LossFault:
    """Return the gradient at a point, and the slopes by differences."""
    weights = weights or {}
    prediction, target = pair
    value, gradient = run(s.twin(), pair, **weights)
    loss, room, offset = s.twin(), _room(s, prediction), np.zeros_like(prediction)

    def moved() -> Array:
        return np.array([loss.forward(prediction + room * offset, target.copy(), **weights)])

    if not room.any():
        slopes = Slopes(*(np.full(room.shape, np.nan) for _ in range(4)))
        return LossFault(s, pair, weights, room, slopes, gradient)
    slopes = differences(moved, offset, np.ones(1), s.rng(5))
    slopes.error[...] += _rounding(value, prediction, room, slopes)
    for part in vars(slopes).values():
        part[room == 0] = np.nan
    return LossFault(s, pair, weights, room, slopes, gradient)


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


def _zero(f: LossFault) -> str | None:
    return None if f.found[f.asked].any() else "it is zero everywhere"


def _imprecise(f: LossFault) -> str | None:
    error = disagreement(f.found, f.slopes)
    if error > FLOAT32_DIGITS:
        return None
    return (
        f"it agrees to {-math.log10(error):.0f} digits only: "
        "a lower precision, as of float32, is hidden inside"
    )


def _factor(f: LossFault) -> str | None:
    factor = constant_factor(f.found, f.slopes)
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
    s, (prediction, target) = f.subject, f.pair
    if not s.alike or f.weights:
        return None
    if target.min() >= 0 and target.max() <= 1:
        target = 0.1 + 0.8 * target  # labels of 0 and 1 cannot be moved outwards
    target = target.copy()
    loss = s.twin()
    try:
        _, gradient = run(s.twin(), (prediction, target))
        slopes = differences(
            lambda: np.array([loss.forward(prediction, target)]), target, np.ones(1)
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
    size = np.abs(f.pair[0] - f.pair[1])
    right, wrong = size[f.asked & ~f.wrong], size[f.wrong]
    if not right.size:
        return None
    for word, low, high in (("below", right, wrong), ("above", wrong, right)):
        if low.max() < high.min():
            edge = (low.max() + high.min()) / 2
            return f"it is right only where |prediction - target| is {word} {edge:.2g} or so"
    return None


def _part_ignored(f: LossFault) -> str | None:
    if f.gradient[f.wrong].any():
        return None
    if f.gradient.ndim > 1:
        rows = f.wrong.reshape(len(f.wrong), -1)
        columns = f.wrong.reshape(-1, f.wrong.shape[-1])
        for name, axis in (("row", rows), ("column", columns.T)):
            (hit,) = np.nonzero(axis.any(axis=1))
            if axis[hit].all() and len(hit) < len(axis):
                return f"it ignores {name} {', '.join(map(str, hit))}: it is zero there"
    return f"it ignores {int(f.wrong.sum())} elements: it is zero there"


def _unweighted(f: LossFault) -> str | None:
    if not f.weights:
        return None
    _, plain = run(f.subject.twin(), f.pair)
    same = near(plain, f.gradient)
    return "the weights are missing in it: it equals the unweighted gradient" if same else None


def _clamp(f: LossFault) -> str | None:
    if not f.slopes.value[f.wrong].any():
        return "there is a clamp in the loss but not in the gradient"
    if not f.gradient[f.wrong].any():
        return "there is a clamp in the gradient but not in the loss"
    return None


EXPLANATIONS: tuple[_Explanation, ...] = (
    _not_a_number,
    _noisy,
    _unweighted,
    _zero,
    _imprecise,
    _factor,
    _of_target,
    _one_side,
    _part_ignored,
    _one_size,
)
