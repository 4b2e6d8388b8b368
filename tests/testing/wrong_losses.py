"""Losses that are wrong on purpose, each after a mistake that real projects made.

Each stands with the words that the kit's diagnosis must contain.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minifw import Array, BCELoss, BCEWithLogitsLoss, Loss, Sigmoid

Batch = tuple[Array, Any]


@dataclass(frozen=True)
class Wrong:
    """A wrong loss, a batch that it accepts, and what must be said of it."""

    name: str
    make: Callable[[], Loss]
    words: str
    batch: Callable[[], Batch]


def regression() -> Batch:
    """Return predictions and targets with residuals of both signs."""
    rng = np.random.default_rng(0)
    prediction, target = rng.standard_normal((2, 7, 3))
    return prediction, target


def column() -> Batch:
    """Return the same with one column."""
    rng = np.random.default_rng(3)
    prediction, target = rng.standard_normal((2, 8, 1))
    return prediction, target


def probabilities() -> Batch:
    """Return probabilities with labels of both kinds."""
    rng = np.random.default_rng(1)
    return rng.uniform(0.05, 0.95, (8, 1)), np.array([[0.0], [1.0]] * 4)


def logits() -> Batch:
    """Return logits with labels of both kinds."""
    rng = np.random.default_rng(2)
    return rng.standard_normal((8, 1)), np.array([[0.0], [1.0]] * 4)


def classes() -> Batch:
    """Return logits of three classes with whole-number labels."""
    rng = np.random.default_rng(4)
    return rng.standard_normal((7, 3)), np.array([0, 1, 2, 0, 1, 2, 1])


# -- the right ones, which the wrong ones change in one place ----------------------------


class Squared(Loss):
    """L = mean((p - t)^2)."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        error = prediction - target
        self.save(error)
        return self.finite(float(np.mean(error**2)))

    def backward(self) -> Array:
        (error,) = self.saved()
        return 2 * error / error.size


class Absolute(Loss):
    """L = mean(|p - t|)."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        error = prediction - target
        self.save(error)
        return self.finite(float(np.mean(np.abs(error))))

    def backward(self) -> Array:
        (error,) = self.saved()
        return np.sign(error) / error.size


class Huber(Loss):
    """L = mean(r^2 / 2 where |r| < 1/2, |r| / 2 - 1/8 beyond), r = p - t."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        error = prediction - target
        self.save(error)
        size = np.abs(error)
        return self.finite(float(np.mean(np.where(size < 0.5, error**2 / 2, size / 2 - 0.125))))

    def backward(self) -> Array:
        (error,) = self.saved()
        return error.clip(-0.5, 0.5) / error.size


class CrossEntropy(Loss):
    """L = mean over rows of -log softmax(p)[target], for whole-number targets."""

    def forward(self, prediction: Array, target: Any) -> float:
        if len(prediction) != len(target):
            raise ValueError(f"expected {len(prediction)} labels, got {len(target)}")
        shifted = prediction - prediction.max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        rows = np.arange(len(target))
        one_hot = np.zeros_like(prediction)
        one_hot[rows, target] = 1
        self.save(np.exp(log_p), one_hot)
        return self.finite(-float(np.mean(log_p[rows, target])))

    def backward(self) -> Array:
        p, one_hot = self.saved()
        return (p - one_hot) / len(p)


class Poisson(Loss):
    """L = mean(exp(p) - t p): it overflows by nature, and says so."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        with np.errstate(over="ignore", invalid="ignore"):
            rate = np.exp(prediction)
            value = float(np.mean(rate - target * prediction))
        self.save(rate, target)
        return self.finite(value)

    def backward(self) -> Array:
        rate, target = self.saved()
        return (rate - target) / target.size


class Weighted(Loss):
    """L = mean(w (p - t)^2)."""

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> float:
        self.check(prediction, target)
        error = prediction - target
        w = np.ones_like(error) if weight is None else weight
        if w.shape != error.shape:
            raise ValueError(f"expected a weight of shape {error.shape}, got {w.shape}")
        self.save(error, w)
        return self.finite(float(np.mean(w * error**2)))

    def backward(self) -> Array:
        error, w = self.saved()
        return 2 * w * error / error.size


class Masked(Loss):
    """L = mean of (p - t)^2 over the targets that are there: the others are NaN."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        there = ~np.isnan(target)
        error = np.where(there, prediction - target, 0.0).astype(prediction.dtype)
        self.save(error, there)
        return self.finite(float(np.sum(error**2) / max(there.sum(), 1)))

    def backward(self) -> Array:
        error, there = self.saved()
        return 2 * error / max(int(there.sum()), 1)


class Clipped(Loss):
    """Binary cross-entropy as in textbooks: the prediction is clipped."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        p = np.clip(prediction, 1e-12, 1 - 1e-12)
        self.save(p, target)
        return float(-np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)))

    def backward(self) -> Array:
        p, target = self.saved()
        return (p - target) / (p * (1 - p)) / p.size


class Focal(Loss):
    """L = mean(-(1 - q)^2 log q), q the probability of the label (Lin and others, 2017)."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        p = np.clip(prediction, 1e-7, 1 - 1e-7)
        q = np.where(target == 1, p, 1 - p)
        self.save(q, target)
        return float(-np.mean((1 - q) ** 2 * np.log(q)))

    def backward(self) -> Array:
        q, target = self.saved()
        slope = 2 * (1 - q) * np.log(q) - (1 - q) ** 2 / q
        return np.where(target == 1, slope, -slope) / q.size


class Dice(Loss):
    """L = 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1), over the whole batch."""

    declared: ClassVar[dict[str, str]] = {"rows": "the ratio is of the whole batch"}

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        self.save(prediction, target)
        both, all_ = float(np.sum(prediction * target)), float(np.sum(prediction + target))
        return self.finite(1 - (2 * both + 1) / (all_ + 1))

    def backward(self) -> Array:
        p, t = self.saved()
        both, all_ = float(np.sum(p * t)), float(np.sum(p + t))
        gradient: Array = ((2 * both + 1) / (all_ + 1) - 2 * t) / (all_ + 1)
        return gradient


class Pairs(Loss):
    """L = mean over all pairs of rows i < j of (p_i - p_j - t_i + t_j)^2."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        error = prediction - target
        apart = error[:, np.newaxis] - error
        count = max(len(error) * (len(error) - 1), 1)
        self.save(apart)
        return self.finite(float(np.sum(apart**2) / count))

    def backward(self) -> Array:
        (apart,) = self.saved()
        count = max(len(apart) * (len(apart) - 1), 1)
        gradient: Array = 4 * apart.sum(axis=1) / count
        return gradient


class Tversky(Loss):
    """L = 1 - both / (both + 0.3 of p alone + 0.7 of t alone): no sign is refused."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        both = float(np.sum(prediction * target))
        all_ = both + float(
            np.sum(0.3 * prediction * (1 - target) + 0.7 * (1 - prediction) * target)
        )
        self.save(prediction, target)
        return self.finite(np.divide(all_ - both, all_))

    def backward(self) -> Array:
        p, t = self.saved()
        both = np.sum(p * t)
        all_ = both + np.sum(0.3 * p * (1 - t) + 0.7 * (1 - p) * t)
        of_all = t + 0.3 * (1 - t) - 0.7 * t
        gradient: Array = -(t * all_ - both * of_all) / all_**2
        return gradient


class Mixture(Loss):
    """L = mean(s + (t - m)^2 / 2 exp(-2 s)): prediction (N, 2) is m and s, the log of a width."""

    def forward(self, prediction: Array, target: Array) -> float:
        if prediction.shape[1:] != (2,) or target.shape != (len(prediction), 1):
            raise ValueError(f"expected (N, 2) and (N, 1), got {prediction.shape}, {target.shape}")
        m, s = prediction[:, :1], prediction[:, 1:]
        with np.errstate(over="ignore"):
            z = (m - target) * np.exp(-s)
            value = float(np.mean(s + z**2 / 2))
        self.save(s, z)
        return self.finite(value)

    def backward(self) -> Array:
        s, z = self.saved()
        return np.concatenate([z * np.exp(-s), 1 - z**2], axis=1) / len(z)


class LogSums(CrossEntropy):
    """Cross-entropy by sums of logarithms that cancel: far out its last digits are lost."""

    def backward(self) -> Array:
        p, one_hot = self.saved()
        return (p - one_hot) / len(p)

    def forward(self, prediction: Array, target: Any) -> float:
        value = super().forward(prediction, target)
        shift = 3 * np.abs(prediction).max()
        log_p = (prediction + shift) - np.logaddexp.reduce(prediction + shift, 1, keepdims=True)
        self.save(np.exp(log_p), self.saved()[1])
        return value


def shares() -> Batch:
    """Return the probabilities of four outcomes, twice."""
    prediction, target = np.random.default_rng(6).dirichlet(np.full(4, 3.0), (2, 7))
    return prediction, target


def two_columns() -> Batch:
    """Return a mean and the log of a width, and a target for each."""
    rng = np.random.default_rng(5)
    return rng.standard_normal((7, 2)), rng.standard_normal((7, 1))


def with_gaps() -> Batch:
    """Return a column with targets that are missing."""
    prediction, target = column()
    target[[0, 3]] = np.nan
    return prediction, target


RIGHT: list[tuple[Callable[[], Loss], Callable[[], Batch]]] = [
    (BCELoss, probabilities),
    (BCEWithLogitsLoss, logits),
    (Squared, regression),
    (Squared, column),
    (Absolute, regression),
    (Huber, regression),
    (CrossEntropy, classes),
    (Poisson, regression),
    (Weighted, regression),
    (Masked, with_gaps),
    (Clipped, probabilities),
    (Focal, probabilities),
    (Dice, probabilities),
    (Pairs, column),
    (Tversky, probabilities),
    (Mixture, two_columns),
    (LogSums, classes),
]


# -- factors -----------------------------------------------------------------------------


class SumDifferentiated(Squared):
    def backward(self) -> Array:
        (error,) = self.saved()
        return 2 * error


class MeanDifferentiated(Squared):
    def forward(self, prediction: Array, target: Array) -> float:
        return super().forward(prediction, target) * prediction.size


class MeanOverRowsOnly(Squared):
    def backward(self) -> Array:
        (error,) = self.saved()
        return 2 * error / len(error)


class MeanTwice(CrossEntropy):
    """The 1/N is in the gradient of the loss, and again in the gradient of the softmax."""

    def backward(self) -> Array:
        return super().backward() / len(self.saved()[0])


class TwoForgotten(Squared):
    def backward(self) -> Array:
        (error,) = self.saved()
        return error / error.size


class HalfForgotten(Squared):
    def forward(self, prediction: Array, target: Array) -> float:
        return super().forward(prediction, target) / 2


class Bits(BCELoss):
    """Reports bits, and differentiates nats."""

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        return super().forward(prediction, target, sample_weight) / float(np.log(2))


class SignFlipped(Squared):
    def backward(self) -> Array:
        (error,) = self.saved()
        return -2 * error / error.size


# -- another function --------------------------------------------------------------------


class ZeroGradient(Squared):
    """The author thought that backward adds to an array of zeros."""

    def backward(self) -> Array:
        (error,) = self.saved()
        return np.zeros_like(error)


class OfTheTarget(BCELoss):
    """dL/dt = log((1 - p) / p)."""

    def backward(self) -> Array:
        p, q, target, _ = self.saved()
        return (np.log(q) - np.log(p)) / target.size


class OneSidedAbsolute(Absolute):
    """The sign taken for a step, as of a ReLU."""

    def backward(self) -> Array:
        (error,) = self.saved()
        return (error > 0) / error.size


class LabelsOnly(BCELoss):
    """-t / p alone: the part of label 0 is forgotten."""

    def backward(self) -> Array:
        p, _, target, _ = self.saved()
        gradient: Array = -target / p / target.size
        return gradient


class DiagonalSoftmax(CrossEntropy):
    """The softmax's Jacobian taken for its diagonal."""

    def backward(self) -> Array:
        p, one_hot = self.saved()
        return -one_hot * (1 - p) / len(p)


class UnclippedHuber(Huber):
    def backward(self) -> Array:
        (error,) = self.saved()
        return error / error.size


class HuberClippedAbove(Huber):
    def backward(self) -> Array:
        (error,) = self.saved()
        return error.clip(max=0.5) / error.size


class LastRowIgnored(Squared):
    """A loop that ends one row early."""

    def backward(self) -> Array:
        (error,) = self.saved()
        gradient = np.zeros_like(error)
        for row in range(len(error) - 1):
            gradient[row] = 2 * error[row] / error.size
        return gradient


class SignOfOneColumn(Squared):
    """As of the negative example of a triplet."""

    def backward(self) -> Array:
        gradient = super().backward()
        gradient[:, 1] *= -1
        return gradient


class FirstColumnOnly(Squared):
    def backward(self) -> Array:
        (error,) = self.saved()
        gradient = np.zeros_like(error)
        gradient[:, 0] = 2 * error[:, 0] / error.size
        return gradient


class DividesByZero(Squared):
    """The derivative of a root, 0 / 0 where the author multiplied out."""

    def backward(self) -> Array:
        (error,) = self.saved()
        masked = np.where(error > 0, error, 0.0)
        return 2 * error / error.size * masked / masked


class Divergence(Loss):
    """L = mean(t log(t / p)), and the derivative of the other direction."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        p, t = np.maximum(prediction, 1e-12), np.maximum(target, 1e-12)
        self.save(p, t)
        return self.finite(float(np.mean(target * np.log(t / p))))

    def backward(self) -> Array:
        p, t = self.saved()
        return (np.log(p / t) + 1) / p.size


class OtherAlpha(Focal):
    """The weight of a class in forward, and of the other one in backward."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        self.save(prediction, target)
        q = np.where(target == 1, prediction, 1 - prediction)
        return float(-np.mean(np.where(target == 1, 0.2, 0.6) * np.log(q)))

    def backward(self) -> Array:
        p, target = self.saved()
        return np.where(target == 1, -0.6 / p, 0.2 / (1 - p)) / p.size


class LeftIn(Masked):
    """What forward leaves out has a gradient."""

    def backward(self) -> Array:
        error, there = self.saved()
        return 2 * (error + 0.1 * (1 - there)) / max(int(there.sum()), 1)


class OtherTerm(CrossEntropy):
    """The target is right, and the prediction's own term is not."""

    def backward(self) -> Array:
        p, one_hot = self.saved()
        return (p**2 - one_hot) / len(p)


class InfiniteAtTheEdge(Clipped):
    """Clips in forward alone."""

    def forward(self, prediction: Array, target: Array) -> float:
        value = super().forward(prediction, target)
        self.save(prediction, target)
        return value


class WritesTheTarget(Poisson):
    def forward(self, prediction: Array, target: Array) -> float:
        target[...] = np.round(target)
        return super().forward(prediction, target)


class WeightsTwice(Weighted):
    def backward(self) -> Array:
        error, w = self.saved()
        return 2 * w * w * error / error.size


class HalfJoint(BCEWithLogitsLoss):
    def backward(self) -> Array:
        return super().backward() / 2


class HalfInTheJointForm(BCELoss):
    joins: ClassVar[Any] = {Sigmoid: lambda _loss, _sigmoid: HalfJoint()}


class MoreJoint(BCEWithLogitsLoss):
    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        return super().forward(prediction, target, sample_weight) + 1e-3


class MoreInTheJointForm(BCELoss):
    joins: ClassVar[Any] = {Sigmoid: lambda _loss, _sigmoid: MoreJoint()}


# -- precision ---------------------------------------------------------------------------


class Float32Gradient(Squared):
    def backward(self) -> Array:
        (error,) = self.saved()
        return (2 * error.astype(np.float32) / error.size).astype(error.dtype)


class Float32Loss(Squared):
    def forward(self, prediction: Array, target: Array) -> float:
        super().forward(prediction, target)
        return float(np.mean((prediction - target).astype(np.float32) ** 2))


class Float64Gradient(Squared):
    """A float64 constant array widens the gradient."""

    def backward(self) -> Array:
        (error,) = self.saved()
        factor: Array = np.full(1, 2 / error.size)
        return error * factor


# -- results -----------------------------------------------------------------------------


class NumpyScalar(Squared):
    def forward(self, prediction: Array, target: Array) -> float:
        return np.float64(super().forward(prediction, target))


class Flattened(Squared):
    def backward(self) -> Array:
        return super().backward().ravel()


class NoMean(Squared):
    """Returns one loss per row."""

    def forward(self, prediction: Array, target: Array) -> float:
        super().forward(prediction, target)
        return np.mean((prediction - target) ** 2, axis=1)  # type: ignore[no-any-return]


# -- extremes ----------------------------------------------------------------------------


class ClampInTheLoss(BCELoss):
    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        super().forward(prediction, target, sample_weight)
        p = prediction.clip(1e-7, 1 - 1e-7)
        return -float(np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)))


class ClampInTheGradient(BCELoss):
    def backward(self) -> Array:
        p = self.saved()[0]
        inside = (p > 1e-7) & (p < 1 - 1e-7)
        return super().backward() * inside


class UnclampedBinary(BCELoss):
    """log(0), and 0 log 0."""

    def forward(self, prediction: Array, target: Array, *_: Any) -> float:
        super().forward(prediction, target)
        terms = target * np.log(prediction) + (1 - target) * np.log(1 - prediction)
        return self.finite(-float(np.mean(terms)))


class OfTheLogits(UnclampedBinary):
    """The gradient by z, of which p is the sigmoid: inside of (0, 1), too, it is wrong."""

    def forward(self, prediction: Array, target: Array, *_: Any) -> float:
        loss = super().forward(prediction, target)
        self.save((prediction - target) / target.size)
        return loss

    def backward(self) -> Array:
        return np.array(self.saved()[0])


class NaiveLogits(Loss):
    """log(sigmoid(z)), which is log(0) from a logit of 37 on."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        p = 1 / (1 + np.exp(-prediction))
        self.save(p, target)
        terms = target * np.log(p) + (1 - target) * np.log(1 - p)
        return self.finite(-float(np.mean(terms)))

    def backward(self) -> Array:
        p, target = self.saved()
        return (p - target) / target.size


class UnshiftedSoftmax(CrossEntropy):
    """exp of a logit of 1000."""

    def forward(self, prediction: Array, target: Any) -> float:
        super().forward(prediction, target)
        p = np.exp(prediction) / np.exp(prediction).sum(axis=1, keepdims=True)
        return -float(np.mean(np.log(p[np.arange(len(target)), target])))


class NaNSwallowed(Squared):
    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        error = np.nan_to_num(prediction - target)
        self.save(error)
        return float(np.mean(error**2))


# -- order of calls ----------------------------------------------------------------------


class KeepsTheFirst(Squared):
    """A cache that is filled once."""

    _error: Array | None = None

    def forward(self, prediction: Array, target: Array) -> float:
        value = super().forward(prediction, target)
        if self._error is None:
            self._error = prediction - target
        return value

    def backward(self) -> Array:
        self.saved()
        error = self._error
        if error is None:
            raise RuntimeError("no forward")
        return 2 * error / error.size

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k != "_error"}


class KeepsTheTarget(Squared):
    """Looks at a target only when it is another array, though its numbers may have changed."""

    _seen: Array | None = None
    _doubled: Array

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        if target is not self._seen:
            self._seen, self._doubled = target, 2 * target
        error = prediction - self._doubled / 2
        self.save(error)
        return float(np.mean(error**2))


class ReusesItsBuffer(Squared):
    """One gradient array for all batches of a shape."""

    _buffer: Array | None = None

    def backward(self) -> Array:
        (error,) = self.saved()
        if self._buffer is None or self._buffer.shape != error.shape:
            self._buffer = np.empty_like(error)
        return np.multiply(error, 2 / error.size, out=self._buffer)


class ScalesInPlace(Squared):
    """A second backward divides again."""

    def backward(self) -> Array:
        (error,) = self.saved()
        error *= 2 / error.size
        return error.copy()


class WritesThePrediction(Squared):
    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        prediction -= target
        self.save(prediction.copy())
        return float(np.mean(prediction**2))


class ZeroBeforeForward(Squared):
    def backward(self) -> Array:
        return np.zeros(1) if self._saved is None else super().backward()


class OwnAttribute(Squared):
    """Keeps its cache in an attribute that is not there before forward."""

    def forward(self, prediction: Array, target: Array) -> float:
        self._error = prediction - target
        return super().forward(prediction, target)

    def backward(self) -> Array:
        return 2 * self._error / self._error.size


class Jitters(Squared):
    """Label noise from a generator that nobody seeds."""

    def forward(self, prediction: Array, target: Array) -> float:
        shape: tuple[int, ...] = target.shape
        noise = 1e-13 * np.random.default_rng().standard_normal(shape)
        return super().forward(prediction, target + noise.astype(target.dtype))


class SumOfSquares(Squared):
    """A sum, forward and backward."""

    def forward(self, prediction: Array, target: Array) -> float:
        return super().forward(prediction, target) * prediction.size

    def backward(self) -> Array:
        return super().backward() * self.saved()[0].size


class SumOfBinary(BCELoss):
    """Summed over the rows, with the mean over a row's elements."""

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        return super().forward(prediction, target, sample_weight) * len(prediction)

    def backward(self) -> Array:
        gradient = super().backward()
        return gradient * len(gradient)


class WeightsNotShared(Squared):
    """The mean of w times the losses: not divided by the sum of the weights."""

    def forward(
        self, prediction: Array, target: Array, sample_weight: Array | None = None
    ) -> float:
        self.check(prediction, target)
        error = prediction - target
        w = np.ones((len(error), 1)) if sample_weight is None else sample_weight.reshape(-1, 1)
        self.save(error, w.astype(error.dtype))
        return self.finite(float(np.mean(w * error**2)))

    def backward(self) -> Array:
        error, w = self.saved()
        gradient: Array = 2 * w * error / error.size
        return gradient


# -- arguments ---------------------------------------------------------------------------


class Broadcasts(Squared):
    """(N,) against (N, 1) is a loss over N x N pairs."""

    def forward(self, prediction: Array, target: Array) -> float:
        error = prediction - target
        self.save(error)
        return float(np.mean(error**2))


class OneRowForAll(CrossEntropy):
    """A single label is taken for all rows."""

    def forward(self, prediction: Array, target: Any) -> float:
        return super().forward(prediction, np.broadcast_to(target, len(prediction)))


class FlatMemory(Squared):
    """Reads the memory, whatever the order of its axes."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        error = prediction - target.ravel(order="K").reshape(target.shape)
        self.save(error)
        return float(np.mean(error**2))


class NeedsToWrite(Squared):
    """Sets the shape of what it was given, or moves it and moves it back."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        prediction += 0.0
        return super().forward(prediction, target)


class HoldsALambda(Squared):
    def __init__(self) -> None:
        self.power = lambda error: error**2


class WeightsIgnored(Weighted):
    def backward(self) -> Array:
        error, _ = self.saved()
        return 2 * error / error.size


class WeightsSquared(Weighted):
    """Normalises by the wrong sum: ones are no longer neutral."""

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> float:
        w = weight if weight is None else weight / weight.sum()
        return super().forward(prediction, target, w)


class WeightsOfOnesAdded(Weighted):
    """1 + w in place of w."""

    def forward(self, prediction: Array, target: Array, weight: Array | None = None) -> float:
        w = weight if weight is None else (1 + weight) / 2
        return super().forward(prediction, target, w)


class IgnoresDelta(Huber):
    """Its bend stays where it was."""

    def __init__(self, delta: float = 0.5) -> None:
        self.delta = delta


class BendOfTheDefault(Loss):
    """Its gradient bends where the default says."""

    def __init__(self, delta: float = 0.5) -> None:
        self.delta = delta

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        error, d = prediction - target, self.delta
        self.save(error)
        size = np.abs(error)
        return self.finite(float(np.mean(np.where(size < d, error**2 / 2, d * (size - d / 2)))))

    def backward(self) -> Array:
        (error,) = self.saved()
        return error.clip(-0.5, 0.5) / error.size


class IgnoresFactor(Squared):
    """The factor is for the loss of a later version."""

    def __init__(self, factor: float = 1.0) -> None:  # noqa: ARG002
        super().__init__()


WRONG_LOSSES = [
    Wrong("mean reported, sum differentiated", SumDifferentiated, "1/N is missing", regression),
    Wrong("the same, one column", SumDifferentiated, "1/N is missing", column),
    Wrong("sum reported, mean differentiated", MeanDifferentiated, "1/N too many", regression),
    Wrong("mean over rows only", MeanOverRowsOnly, "elements of a row", regression),
    Wrong("divided by N twice", MeanTwice, "the batch size", classes),
    Wrong("factor 2 forgotten", TwoForgotten, "missing factor 2", regression),
    Wrong("1/2 forgotten", HalfForgotten, "missing 1/2", regression),
    Wrong("bits reported, nats differentiated", Bits, "ln 2", probabilities),
    Wrong("sign flipped", SignFlipped, "sign is wrong", regression),
    Wrong("zero gradient", ZeroGradient, "zero everywhere", regression),
    Wrong("derivative of the target", OfTheTarget, "with respect to the target", probabilities),
    Wrong("one-sided |r|", OneSidedAbsolute, "above its target", regression),
    Wrong("label 1 only", LabelsOnly, "the target is not 0", probabilities),
    Wrong("diagonal softmax", DiagonalSoftmax, "the class is the target's", classes),
    Wrong("Huber without its bend", UnclippedHuber, "|prediction - target| is below", regression),
    Wrong(
        "last row ignored",
        LastRowIgnored,
        "of axis 0, and right elsewhere",
        regression,
    ),
    Wrong("first column only", FirstColumnOnly, "it is wrong at [1, 2] of axis 1", regression),
    Wrong(
        "one sign",
        SignOfOneColumn,
        "wrong at [1] of axis 1, and right elsewhere; there its sign is wrong",
        regression,
    ),
    Wrong("0 / 0", DividesByZero, "NaN", regression),
    Wrong("the other direction", Divergence, "prediction and target are exchanged", shares),
    Wrong("alpha of the other class", OtherAlpha, "not 0, it is 3 times too large", probabilities),
    Wrong("what is left out", LeftIn, "it is not 0 where the loss does not change", with_gaps),
    Wrong("one term of two", OtherTerm, "the term of the prediction alone is wrong", classes),
    Wrong("infinite at 0", InfiniteAtTheEdge, "predictions of 0, the gradient", probabilities),
    Wrong("writes the target", WritesTheTarget, "writes into the target", regression),
    Wrong("weights twice", WeightsTwice, "the weights are in it once too often", regression),
    Wrong(
        "half in the joint form",
        HalfInTheJointForm,
        "joined with Sigmoid, gradient: it is 2 times too small",
        probabilities,
    ),
    Wrong(
        "more in the joint form",
        MoreInTheJointForm,
        "the joint form against activation and loss in turn, loss differs",
        probabilities,
    ),
    Wrong("float32 gradient", Float32Gradient, "float32", regression),
    Wrong("float32 loss", Float32Loss, "float32", regression),
    Wrong("float64 gradient of float32", Float64Gradient, "must be float32", regression),
    Wrong("NumPy scalar", NumpyScalar, "Python float", regression),
    Wrong("flat gradient", Flattened, "in the shape of the prediction", regression),
    Wrong("a loss per row", NoMean, "Python float", regression),
    Wrong(
        "clamp in the loss", ClampInTheLoss, "it is not 0 where the loss does not", probabilities
    ),
    Wrong("clamp in the gradient", ClampInTheGradient, "there it is zero", probabilities),
    Wrong("of the logits", OfTheLogits, "gradient[", probabilities),
    Wrong("clipped above", HuberClippedAbove, "where prediction - target is above", regression),
    Wrong("log(0)", UnclampedBinary, "predictions of 0", probabilities),
    Wrong("log of a sigmoid", NaiveLogits, "times as large", logits),
    Wrong("softmax without its shift", UnshiftedSoftmax, "times as large", classes),
    Wrong("NaN swallowed", NaNSwallowed, "passes silently", regression),
    Wrong("the first cache is kept", KeepsTheFirst, "belongs to an earlier", regression),
    Wrong("target cached by identity", KeepsTheTarget, "old values", regression),
    Wrong("one buffer for all", ReusesItsBuffer, "handed out earlier", regression),
    Wrong("scales its cache", ScalesInPlace, "second backward", regression),
    Wrong("writes the prediction", WritesThePrediction, "writes into the pred", regression),
    Wrong("zeros before forward", ZeroBeforeForward, "backward before forward", regression),
    Wrong("no cache before forward", OwnAttribute, "self.saved()", regression),
    Wrong("unseeded noise", Jitters, "each time", regression),
    Wrong("broadcasts", Broadcasts, "was broadcast", column),
    Wrong("one label for all", OneRowForAll, "one row of the target", classes),
    Wrong("reads memory order", FlatMemory, "Fortran-ordered", regression),
    Wrong("needs to write", NeedsToWrite, "read-only", regression),
    Wrong("holds a lambda", HoldsALambda, "pickled", regression),
    Wrong("argument kept, not read", IgnoresDelta, "delta=0.5 is ignored", regression),
    Wrong("default in the gradient", BendOfTheDefault, "does not follow delta", regression),
    Wrong("argument dropped", IgnoresFactor, "factor=1.0 is ignored", regression),
    Wrong("a sum, in both", SumOfSquares, "it is a sum over the batch", regression),
    Wrong("a sum over rows, in both", SumOfBinary, "it is a sum over the batch", probabilities),
    Wrong("weights not divided", WeightsNotShared, "divided by their sum", regression),
    Wrong("weights ignored", WeightsIgnored, "weights are missing", regression),
    Wrong("weights normalised", WeightsSquared, "weight of ones", regression),
    Wrong("weights added", WeightsOfOnesAdded, "whose weight is 0", regression),
]
