"""Layers that are wrong in one way each, as people's layers have been.

Every entry says what the kit must answer: words that its message contains.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from right_layers import (
    BatchNorm,
    Dropout,
    Elu,
    LayerNorm,
    MaxOfPairs,
    Pick,
    Relu,
    Scale,
    Softmax,
    StrictBatchNorm,
    Swish,
    batch,
)

from minifw import Array, Dense, Layer, Parameter, Sequential, Sigmoid, Tanh
from minifw.testing import CheckError, check_layer


@dataclass(frozen=True)
class Wrong:
    """A layer with a fault."""

    kind: str
    make: Callable[[], Layer]
    x: Any
    says: str
    """What the diagnosis must say: all words of one of the alternatives between bars."""


WRONG: list[Wrong] = []


def wrong(
    kind: str, says: str, *arguments: Any, x: Any = None
) -> Callable[[type[Layer]], type[Layer]]:
    """Enter a class into the table."""

    def enter(layer: type[Layer]) -> type[Layer]:
        given = batch(4, 3) if x is None else x
        WRONG.append(Wrong(f"{kind}: {layer.__name__}", lambda: layer(*arguments), given, says))
        return layer

    return enter


# -- a constant factor -----------------------------------------------------------------


@wrong("factor", "2 times too large")
class SquareTwice(Layer):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return x**2 / 2

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return 2 * x * dy  # of x^2, the 1/2 forgotten


@wrong("factor", "2 times too small")
class SquareOnce(Layer):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return x**2

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return x * dy


@wrong("factor", "batch size", 3)
class MeanedScale(Scale):
    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.scale.grad /= len(dy)  # the mean belongs to the loss
        return dx


@wrong("factor", "batch size", 3, 2)
class MeanedDense(Dense):
    """joelnet's and many a course's: dW = dZ A' / m inside the layer."""

    def backward_parameters(self, dy: Array) -> None:
        super().backward_parameters(dy)
        self.weight.grad /= len(dy)


@wrong("factor", "number of features", x=batch(4, 6))
class MeanOfFeatures(Layer):
    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = x.mean(axis=-1, keepdims=True)
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return dy * np.ones_like(x)  # the sum's


@wrong("factor", "too small", 0.5, 1)
class UnscaledDropout(Dropout):
    """Inverted forward, plain backward."""

    def backward(self, dy: Array) -> Array:
        return super().backward(dy) * (1 - self.p if self.training else 1)


# -- the sign --------------------------------------------------------------------------


@wrong("sign", "sign")
class NegatedTanh(Tanh):
    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        return dy * (y * y - 1)


@wrong("sign", "sign")
class Cosine(Layer):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.asarray(np.cos(x))

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return np.asarray(dy * np.sin(x))


@wrong("sign", "sign", 3)
class NegatedShift(Layer):
    def __init__(self, features: int) -> None:
        self.shift = Parameter(np.zeros(features))

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x - self.shift.value

    def backward(self, dy: Array) -> Array:
        self.saved()
        self.shift.grad[...] = dy.sum(axis=0)
        return dy.copy()


# -- a transpose -----------------------------------------------------------------------


@wrong("transpose", "transposed", 3, 3)
class TransposedWeight(Dense):
    def backward_parameters(self, dy: Array) -> None:
        super().backward_parameters(dy)
        self.weight.grad = self.weight.grad.T.copy()


@wrong("transpose", "transposed", 3, 3)
class TransposedBilinear(Layer):
    """y = x W, with dW = dy' x in place of x' dy."""

    def __init__(self, features: int, out: int) -> None:
        self.weight = Parameter(batch(features, out, seed=3))

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.asarray(x @ self.weight.value)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.weight.grad[...] = dy.T @ x
        return np.asarray(dy @ self.weight.value.T)


@wrong("transpose", "weight is transposed in it", 3, 3)
class WrongWayBack(Dense):
    """dx = dy W' in place of dy W, which fits where W is square."""

    def backward(self, dy: Array) -> Array:
        self.backward_parameters(dy)
        return np.asarray(dy @ self.weight.value.T)


@wrong("transpose", "transposed", x=batch(4, 3))
class TransposedResult(Tanh):
    def backward(self, dy: Array) -> Array:
        return super().backward(dy).T


# -- zero, or nothing at all -----------------------------------------------------------


@wrong("zero", "zero everywhere")
class ZeroGradient(Tanh):
    def backward(self, dy: Array) -> Array:
        return np.zeros_like(super().backward(dy))


@wrong("zero", "zero everywhere", 3)
class DetachedScale(Scale):
    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.scale.grad[...] = 0
        return dx


@wrong("zero", "never sets", 3, 2)
class ForgottenBias(Dense):
    def backward_parameters(self, dy: Array) -> None:
        (x,) = self.saved()
        self.weight.grad[...] = dy.T @ x


@wrong("zero", "a part", 3, 2)
class HalfABias(Dense):
    def backward_parameters(self, dy: Array) -> None:
        (x,) = self.saved()
        self.weight.grad[...] = dy.T @ x
        if self.bias is not None:
            self.bias.grad[0] = dy[:, 0].sum()


# -- right in places -------------------------------------------------------------------


@wrong("places", "only where x > 0")
class EluOperator(Elu):
    """``x > 0.0 + ...``: the comparison swallows the sum (tinynn and others)."""

    def backward(self, dy: Array) -> Array:
        x, _ = self.saved()
        return dy * (x > 0.0 + np.exp(np.minimum(x, 0)) * 0)


@wrong("places", "only where x > 0")
class LeakyWithoutLeak(Layer):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.where(x > 0, x, 0.1 * x)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return dy * (x > 0)


@wrong("places", "only where x < 0")
class CappedAtZero(Layer):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.where(x > 0, 2 * x, 0.5 * x)

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy * 0.5


@wrong("places", "where |x|", x=batch(8, 6))
class HardTanhPassing(Layer):
    """A clamp in forward, and none in backward."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x.clip(-1, 1)

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy.copy()


# -- a sum over broadcast axes ---------------------------------------------------------


@wrong("sum", "a sum over the batch is forgotten", 3)
class UnsummedScale(Scale):
    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = dy * x
        return dy * self.scale.value


@wrong("sum", "sum over the batch is missing", 3)
class LastRowScale(Scale):
    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        for one_dy, one_x in zip(dy, x, strict=True):
            self.scale.grad[...] = one_dy * one_x
        return dy * self.scale.value


@wrong("sum", "sum over the batch is missing", 3, 2)
class FirstRowBias(Dense):
    def backward_parameters(self, dy: Array) -> None:
        super().backward_parameters(dy)
        if self.bias is not None:
            self.bias.grad[...] = dy[0]


@wrong("sum", "sum over", x=batch(4, 1))
class UnsummedSpread(Layer):
    """One feature becomes three; dx keeps all three."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * np.array([1.0, 2.0, 3.0], x.dtype)

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy * np.array([1.0, 2.0, 3.0], dy.dtype)


# -- a stale cache ---------------------------------------------------------------------


@wrong("stale", "latest")
class KeepsTheFirst(Layer):
    kept: Array | None = None

    def forward(self, x: Array) -> Array:
        if self.kept is None or self.kept.shape != x.shape:
            self.kept = x
        self.save(x)
        return x**3

    def backward(self, dy: Array) -> Array:
        if self.kept is None:
            self.saved()
        return 3 * np.asarray(self.kept) ** 2 * dy


@wrong("stale", "latest", 3)
class KeepsPrevious(Scale):
    previous: Array | None = None

    def forward(self, x: Array) -> Array:
        y = x * self.scale.value
        self.save(x if self.previous is None or len(self.previous) != len(x) else self.previous)
        self.previous = x
        return y


@wrong(
    "stale",
    "in eval mode, after two forwards|in eval mode, dscale: it belongs to an earlier forward",
    3,
)
class CachesOnlyInTraining(Scale):
    def forward(self, x: Array) -> Array:
        if self.training or self._saved is None:
            self.save(x)
        return x * self.scale.value


# -- one mode's formula in the other ---------------------------------------------------


@wrong("mode", "gradient of train mode, in eval mode", 3, x=batch(6, 3))
class BatchNormBatchAlways(BatchNorm):
    """The statistics of the batch in backward, whatever the mode (tinynn)."""

    def backward(self, dy: Array) -> Array:
        (z, _), x = self.saved(), self.x
        mean, std = x.mean(axis=0), np.sqrt(x.var(axis=0) + self.eps)
        z = (x - mean) / std
        self.gamma.grad[...] = (dy * z).sum(axis=0)
        dz = dy * self.gamma.value
        dx: Array = (dz - dz.mean(axis=0) - z * (dz * z).mean(axis=0)) / std
        return dx

    def forward(self, x: Array) -> Array:
        self.x = x
        return super().forward(x)


@wrong("mode", "eval mode", 0.5, 1)
class DropoutInEval(Dropout):
    def forward(self, x: Array) -> Array:
        mask = np.asarray(self.rng.random(x.shape) >= self.p, x.dtype) / (1 - self.p)
        self.save(mask)
        return x * mask if self.training else x.copy()


@wrong("mode", "mode changed|eval()", 0.5, 1)
class DropoutAsksLate(Dropout):
    """Reads the mode in backward, when it may have changed."""

    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        return dx if self.training else dy.copy()


@wrong("statistics", "`x` in `x.mean(axis=0)`", 3, x=batch(6, 3))
class BatchNormConstantStatistics(BatchNorm):
    """Takes the mean and the variance for constants in backward."""

    def backward(self, dy: Array) -> Array:
        z, std = self.saved()
        self.gamma.grad[...] = (dy * z).sum(axis=0)
        return dy * self.gamma.value / std


@wrong("statistics", "`x` in `np.abs(x)`")
class RowScaled(Layer):
    """y = x / max|x| of each row, the maximum held constant in backward."""

    def forward(self, x: Array) -> Array:
        top: Array = np.abs(x).max(axis=-1, keepdims=True)
        self.save(top)
        return x / top

    def backward(self, dy: Array) -> Array:
        (top,) = self.saved()
        return dy / top


# -- a diagonal for a Jacobian ---------------------------------------------------------


@wrong("diagonal", "diagonal of the Jacobian")
class DiagonalSoftmax(Softmax):
    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        return dy * y * (1 - y)


@wrong("diagonal", "diagonal of the Jacobian")
class DiagonalLogSoftmax(Layer):
    def forward(self, x: Array) -> Array:
        e = np.exp(x)
        p: Array = e / e.sum(axis=-1, keepdims=True)
        self.save(p)
        return np.asarray(np.log(p))

    def backward(self, dy: Array) -> Array:
        (p,) = self.saved()
        return dy * (1 - p)


@wrong("diagonal", "diagonal of the Jacobian")
class DiagonalNorm(Layer):
    """y = x / |x|, with each output's own derivative alone."""

    def forward(self, x: Array) -> Array:
        r: Array = np.sqrt((x * x).sum(axis=-1, keepdims=True))
        self.save(x, r)
        return x / r

    def backward(self, dy: Array) -> Array:
        x, r = self.saved()
        return dy * (1 / r - x * x / r**3)


# -- parameters changed in backward ----------------------------------------------------


@wrong("update", "backward changes the parameter", 3)
class UpdatesBefore(Scale):
    """The update within backward, before dx is computed (many a course)."""

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = (dy * x).sum(axis=0)
        self.scale.value -= 0.1 * self.scale.grad
        return dy * self.scale.value


@wrong("update", "backward changes the parameter", 3, 2)
class UpdatesAfter(Dense):
    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        self.weight.value -= 0.01 * self.weight.grad
        return dx


# -- a lower precision -----------------------------------------------------------------


@wrong("precision", "float32")
class ThroughFloat32(Tanh):
    def backward(self, dy: Array) -> Array:
        return super().backward(dy).astype(np.float32).astype(dy.dtype)


@wrong("precision", "precision|float32", 3)
class ScaleThroughFloat32(Scale):
    def forward(self, x: Array) -> Array:
        self.save(x.astype(np.float32).astype(x.dtype))
        return x * self.scale.value


@wrong("precision", "float64 in, y is float32|float32")
class ReturnsFloat32(Sigmoid):
    def forward(self, x: Array) -> Array:
        return super().forward(x).astype(np.float32)


@wrong("precision", "float32 in, y is float64")
class ReturnsFloat64(Relu):
    def forward(self, x: Array) -> Array:
        return super().forward(x).astype(np.float64)


@wrong("precision", "digits")
class RoughDerivative(Layer):
    """A table's six digits for sqrt(pi)."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.asarray(np.exp(-(x**2)) / np.sqrt(np.pi))

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return np.asarray(-2 * x * np.exp(-(x**2)) / 1.77245 * dy) + 1e-9 * x


@wrong("precision", "y holds float32 numbers")
class ForwardInFloat32(Tanh):
    """The gradient is right, and what is differentiated is rough."""

    def forward(self, x: Array) -> Array:
        y: Array = np.tanh(x.astype(np.float32)).astype(x.dtype)
        self.save(np.tanh(x))
        return y * 1.1 / 1.1


@wrong("precision", "NaN or infinity")
class GivesNaN(Tanh):
    def forward(self, x: Array) -> Array:
        return super().forward(x) * np.nan


# -- dy --------------------------------------------------------------------------------


@wrong("dy", "dy is ignored")
class IgnoresDy(Tanh):
    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        return 1 - y * y + 0 * dy


@wrong("dy", "dy is passed on as it came")
class PassesDyOn(Tanh):
    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy.copy()


@wrong("dy", "dy is ignored", 3)
class IgnoresDyOfAParameter(Scale):
    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = x.sum(axis=0)
        return dy * self.scale.value


# -- a path left out -------------------------------------------------------------------


@wrong("path", "`x` in `x + self.inner")
class ResidualWithoutPath(Layer):
    def __init__(self) -> None:
        self.inner = Dense(3, 3, rng=0)

    def forward(self, x: Array) -> Array:
        return x + self.inner.forward(x)

    def backward(self, dy: Array) -> Array:
        return self.inner.backward(dy)


@wrong("path", "2 times too large")
class ResidualTwice(ResidualWithoutPath):
    def backward(self, dy: Array) -> Array:
        return 2 * dy + self.inner.backward(dy)


@wrong("path", "by `self.inner.forward(x)` in `x + self.inner.forward(x)`")
class InnerTwice(ResidualWithoutPath):
    """The expressions inside Dense are not the author's."""

    def __init__(self) -> None:
        self.inner: Any = Sequential(Dense(3, 3, rng=0), Swish(3))

    def backward(self, dy: Array) -> Array:
        dx: Array = dy + 2 * self.inner.backward(dy)
        return dx


@wrong("path", "by `c * c` in `(c * c).mean(axis=-1, keepdims=True)`", x=batch(4, 5))
class NoVarianceTerm(Layer):
    def forward(self, x: Array) -> Array:
        c = x - x.mean(axis=-1, keepdims=True)
        std: Array = np.sqrt((c * c).mean(axis=-1, keepdims=True) + 0.1)
        self.save(std)
        y: Array = c / std
        return y

    def backward(self, dy: Array) -> Array:
        (std,) = self.saved()
        dx: Array = (dy - dy.mean(axis=-1, keepdims=True)) / std
        return dx


@wrong("update", "only the last of them counts: an index repeats, or windows", x=batch(4, 6))
class Windows(Layer):
    """Sums over windows that overlap, whose gradients are assigned."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.stack([x[:, i : i + 3].sum(axis=1) for i in range(x.shape[1] - 2)], axis=1)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx = np.zeros_like(x)
        for i in range(dy.shape[1]):
            dx[:, i : i + 3] = dy[:, i : i + 1]
        return dx


@wrong("path", "the derivative by `h` in `self.scale.value * h`", 3, x=batch(2, 4, 3))
class TruncatedInTime(Scale):
    """h_t = tanh(x_t + u h_(t-1)), and a gradient that takes h_(t-1) for a constant."""

    def forward(self, x: Array) -> Array:
        h = np.zeros_like(x)
        for t in range(x.shape[1]):
            h[:, t] = np.tanh(x[:, t] + self.before(h[:, t - 1]) * (t > 0))
        self.save(h)
        return h

    def before(self, h: Array) -> Array:
        return self.scale.value * h

    def backward(self, dy: Array) -> Array:
        (h,) = self.saved()
        dx: Array = dy * (1 - h**2)
        self.scale.grad[...] = (dx[:, 1:] * h[:, :-1]).sum(axis=(0, 1))
        return dx


# -- accumulation ----------------------------------------------------------------------


@wrong("accumulate", "adds to", 3)
class Accumulates(Scale):
    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad += (dy * x).sum(axis=0)
        return dy * self.scale.value


@wrong("accumulate", "adds to", 7, 3, x=np.array([[1, 2], [2, 6], [0, 0]]))
class AccumulatingEmbedding(Pick):
    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        np.add.at(self.table.grad, np.asarray(x, int), dy)
        return np.zeros(x.shape)


# -- writing into what belongs to others -----------------------------------------------


@wrong("writes", "forward writes into its input x")
class InPlaceRelu(Relu):
    def forward(self, x: Array) -> Array:
        self.save(x > 0)
        x *= x > 0
        return x


@wrong("writes", "backward writes into dy")
class InPlaceDy(Tanh):
    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        dy *= 1 - y * y
        return dy


@wrong("writes", "handed out|share memory")
class OneBuffer(Layer):
    buffer: Array | None = None

    def forward(self, x: Array) -> Array:
        if self.buffer is None or self.buffer.shape != x.shape or self.buffer.dtype != x.dtype:
            self.buffer = np.empty(x.shape, x.dtype)
        np.tanh(x, out=self.buffer)
        self.save(self.buffer)
        return self.buffer

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        return dy * (1 - y * y)


@wrong("arguments", "seed what it draws", 0.4, 0)
class Unseeded(Dropout):
    def __init__(self, p: float, rng: int) -> None:  # noqa: ARG002
        super().__init__(p)
        self.rng = np.random.default_rng()


@wrong("arguments", "seed what it draws|would lose matrix", 3)
class DrawsAConstant(Layer):
    """A random projection that no state holds."""

    def __init__(self, features: int) -> None:
        self.matrix = np.random.default_rng().standard_normal((features, 2))

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x @ self.matrix

    def backward(self, dy: Array) -> Array:
        return dy @ self.matrix.T


@wrong("arguments", "does not follow alpha")
class SlopeOfTheDefault(Elu):
    def backward(self, dy: Array) -> Array:
        x, _ = self.saved()
        return dy * np.where(x > 0, 1.0, np.exp(np.minimum(x, 0)))


SHARED = Dense(3, 3, rng=0)


@wrong("arguments", "share the parameter inner.weight")
class SharedDefault(Layer):
    def __init__(self, inner: Dense = SHARED) -> None:
        self.inner = inner

    def forward(self, x: Array) -> Array:
        return self.inner.forward(x)

    def backward(self, dy: Array) -> Array:
        return self.inner.backward(dy)


@wrong("where", "1 of|2 of|3 of|right only where", 3)
class PositiveWeights(Scale):
    """y = x |w| with the derivative for w above 0."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * np.abs(self.scale.value)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = (dy * x).sum(axis=0)
        return dy * np.abs(self.scale.value)


@wrong("stale", "of another batch size")
class FirstBatchSize(Relu):
    """Divides by the length of the first batch that it saw, as a mean over the batch."""

    rows = 0

    def forward(self, x: Array) -> Array:
        self.rows = self.rows or len(x)
        return super().forward(x) / self.rows

    def backward(self, dy: Array) -> Array:
        return super().backward(dy) / self.rows


@wrong("mode", "in eval mode, a second forward of the same x gives another y", 0.4, 1)
class AlwaysDrops(Dropout):
    def forward(self, x: Array) -> Array:
        mode, self.training = self.training, True
        y = super().forward(x)
        self.training = mode
        return y


@wrong("mode", "such as a norm, a running variance", 3, x=batch(6, 3))
class ForgetsTheRunningVariance(StrictBatchNorm):
    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        return dx if self.batch_mode else dy * self.gamma.value


@wrong("writes", "a second backward writes into the dx that the first handed out")
class OneGradient(Tanh):
    buffer: Array | None = None

    def forward(self, x: Array) -> Array:
        self.buffer = np.empty_like(x)
        return super().forward(x)

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        assert self.buffer is not None
        return np.multiply(dy, 1 - y * y, out=self.buffer)


@wrong("writes", "the y that forward had handed out|backward twice")
class SpoilsItsOutput(Tanh):
    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        y *= y
        return dy * (1 - y)


# -- constructor arguments -------------------------------------------------------------


@wrong("argument", "alpha=0.7 is ignored", 0.7)
class IgnoresAlpha(Elu):
    def __init__(self, alpha: float = 1.0) -> None:  # noqa: ARG002
        super().__init__(1.0)


@wrong("argument", "bias=True is ignored", 3, 2)
class IgnoresBias(Layer):
    def __init__(self, features: int, out: int, bias: bool = True) -> None:  # noqa: ARG002
        self.inner = Dense(features, out, rng=0)

    def forward(self, x: Array) -> Array:
        return self.inner.forward(x)

    def backward(self, dy: Array) -> Array:
        return self.inner.backward(dy)


@wrong("argument", "eps=1e-05 is ignored", 4, x=batch(4, 4))
class IgnoresEps(LayerNorm):
    def __init__(self, features: int, eps: float = 1e-5) -> None:  # noqa: ARG002
        super().__init__(features)


@wrong("argument", "slope=0.3 is ignored", 0.3)
class KeepsButNeverReads(Relu):
    def __init__(self, slope: float) -> None:
        self.slope = slope


@wrong("argument", "mode='same' is ignored", "same")
class IgnoresText(Relu):
    def __init__(self, mode: str) -> None:
        pass


@wrong("argument", "bounds=(-1.0, 2.0) is ignored", (-1.0, 2.0))
class IgnoresTuple(Relu):
    def __init__(self, bounds: tuple[float, float]) -> None:
        self.bounds = bounds


@wrong("argument", "limit=None is ignored")
class IgnoresNone(Relu):
    def __init__(self, limit: float | None = None) -> None:
        self.limit = limit


# -- shapes ----------------------------------------------------------------------------


@wrong("shape", "output_shape", 3, 2)
class LiesAboutShape(Dense):
    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return input_shape


@wrong("shape", "output_shape((3,)) is ()", 3)
class SqueezesOne(Scale):
    def forward(self, x: Array) -> Array:
        return super().forward(x).squeeze()


@wrong("shape", "keep the batch")
class LosesTheBatch(Relu):
    def forward(self, x: Array) -> Array:
        return super().forward(x).ravel()


@wrong("shape", "must return an array, it returned None")
class ForgetsToReturn(Relu):
    def backward(self, dy: Array) -> Array:
        super().backward(dy)
        return None  # type: ignore[return-value]


@wrong("shape", "clear|no attribute|IndexError", 3)
class UnclearRefusal(Scale):
    def forward(self, x: Array) -> Array:
        columns = [x[:, j] * self.scale.value[j] for j in range(x.shape[1])]
        self.save(x)
        return np.stack(columns, axis=1)


# -- the rest of the contract ----------------------------------------------------------


@wrong("contract", "backward_parameters", 3, 2)
class OtherBackwardParameters(Dense):
    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.weight.grad[...] = dy.T @ x
        if self.bias is not None:
            self.bias.grad[...] = dy.sum(axis=0)
        return np.asarray(dy @ self.weight.value)

    def backward_parameters(self, dy: Array) -> None:
        self.backward(dy / len(dy))


@wrong("contract", "forward draws from NumPy's global generator")
class Jitters(Relu):
    def forward(self, x: Array) -> Array:
        return super().forward(x) * (1 + 1e-3 * np.random.random())


@wrong("contract", "must lie in self.save")
class OwnCache(Layer):
    def forward(self, x: Array) -> Array:
        self.mask = x > 0
        return x * self.mask

    def backward(self, dy: Array) -> Array:
        return dy * self.mask


@wrong("contract", "deepcopy", 3)
class SharedParameter(Scale):
    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedParameter":
        twin = SharedParameter(*self._arguments[0])
        twin.scale = self.scale
        return twin


@wrong("contract", "deepcopy shares the buffer mean", 3, x=batch(6, 3))
class SharedBuffer(StrictBatchNorm):
    def __deepcopy__(self, memo: dict[int, Any]) -> "SharedBuffer":
        twin = SharedBuffer(*self._arguments[0]).train(self.training)
        twin.load_state_dict(self.state_dict())
        twin.mean = self.mean
        return twin


@wrong("contract", "Fortran|strided|memory layouts|contiguous")
class AssumesContiguous(Relu):
    def forward(self, x: Array) -> Array:
        flat = np.frombuffer(x.tobytes("A"), x.dtype).reshape(x.shape)
        return super().forward(flat)


@wrong("contract", "forward writes into its input x")
class WritesThenRestores(Relu):
    def forward(self, x: Array) -> Array:
        x += 1
        x -= 1
        return super().forward(x)


@wrong("contract", "row 0 alone", x=batch(6, 4))
class WrongAxis(Softmax):
    """Centres by the largest of the whole batch: right, until a row is far below."""

    def forward(self, x: Array) -> Array:
        if len(x) == 1:
            return super().forward(x * 2)
        return super().forward(x)


@wrong("rows", "only row 0 is right")
class FirstRowOnly(Tanh):
    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        dx[1:] *= np.arange(1, len(dx)).reshape(-1, *[1] * (dx.ndim - 1)) + 0.5
        return dx


@wrong("path", "once too often|elements are wrong", x=batch(4, 6))
class BothOfAPair(MaxOfPairs):
    """The gradient goes to both numbers of a pair, not to the larger alone."""

    def backward(self, dy: Array) -> Array:
        self.saved()
        return np.repeat(dy, 2, axis=-1)


@wrong("chain", "elements are wrong", 3)
class ForgetsTheProductRule(Swish):
    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        _, s = self.saved()
        return dy * s + 0 * dx


@wrong("container", "layer 1, Tanh(): its forward runs, and its backward is never called")
class SkipsALayer(Sequential):
    def __init__(self) -> None:
        super().__init__(Dense(3, 4, rng=0), Tanh(), Dense(4, 2, rng=1))

    def backward(self, *dys: Array) -> Array:
        return np.asarray(self[0].backward(self[2].backward(*dys)))


@wrong("eval", "in eval mode, a row of y depends on other rows")
class CentredByTheBatch(Layer):
    def forward(self, x: Array) -> Array:
        self.save()
        y: Array = x - x.mean(axis=0)
        return y

    def backward(self, dy: Array) -> Array:
        self.saved()
        dx: Array = dy - dy.mean(axis=0)
        return dx


@wrong("eval", "in eval mode, a row of y depends on other rows", x=batch(6, 4))
class SoftmaxOfColumns(Layer):
    """Over the batch in place of the features, forward and backward."""

    def forward(self, x: Array) -> Array:
        e = np.exp(x - x.max(axis=0))
        y: Array = e / e.sum(axis=0)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        dx: Array = y * (dy - (dy * y).sum(axis=0))
        return dx


@wrong("eval", "forward changes the buffer count")
class CountsInEval(Tanh):
    buffers = ("count",)

    def __init__(self) -> None:
        self.count = np.zeros(1)

    def forward(self, x: Array) -> Array:
        self.count += 1
        return super().forward(x)


@wrong("shared", "where all layers share it")
class MaskOfTheClass(Layer):
    mask = np.zeros(1, bool)

    def forward(self, x: Array) -> Array:
        self.save()
        MaskOfTheClass.mask = x > 0
        y: Array = x * MaskOfTheClass.mask
        return y

    def backward(self, dy: Array) -> Array:
        self.saved()
        dx: Array = dy * MaskOfTheClass.mask
        return dx


@wrong("shared", "where all layers share it")
class CacheOfADefault(Layer):
    def forward(self, x: Array, cache: dict[str, Array] = {}) -> Array:  # noqa: B006 - the fault
        self.save()
        self._cache = cache
        cache["y"] = np.tanh(x)
        return cache["y"].copy()

    def backward(self, dy: Array) -> Array:
        self.saved()
        dx: Array = dy * (1 - self._cache["y"] ** 2)
        return dx

    def __deepcopy__(self, memo: dict[int, object]) -> "CacheOfADefault":
        twin = CacheOfADefault()
        twin.training = self.training
        return twin


@wrong("extremes", "with x 10,000 times as large, y is not finite")
class UnshiftedSoftmax(Softmax):
    def forward(self, x: Array) -> Array:
        e = np.exp(x)
        y: Array = e / e.sum(axis=-1, keepdims=True)
        self.save(y)
        return y


@wrong("extremes", "times as large, y is not finite", 8.0)
class NaiveSoftplus(Layer):
    """log(1 + exp(b x)) / b, as it is written."""

    def __init__(self, b: float) -> None:
        self.b = b

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = np.log(1 + np.exp(self.b * x)) / self.b
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx: Array = dy / (1 + np.exp(-self.b * x))
        return dx


@wrong("dtype", "the parameter scale is float32, and shift is float64", 3)
class MixedDTypes(Layer):
    def __init__(self, features: int) -> None:
        self.scale = Parameter(np.ones(features, np.float32))
        self.shift = Parameter(np.zeros(features))

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * self.scale.value + self.shift.value

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = (dy * x).sum(axis=0)
        self.shift.grad[...] = dy.sum(axis=0)
        return dy * self.scale.value


@wrong("container", "after eval(), inner is in train mode still")
class KeepsItToItself(Layer):
    def __init__(self) -> None:
        self.inner = Tanh()

    def train(self, mode: bool = True) -> "KeepsItToItself":
        self.training = mode
        return self

    def forward(self, x: Array) -> Array:
        return self.inner.forward(x)

    def backward(self, dy: Array) -> Array:
        return self.inner.backward(dy)


# -- what is said, and what not ---------------------------------------------------------


@wrong("said", "y depends on an earlier forward, by h", 3)
class CarriesItsState(Layer):
    """y = tanh(w x + h), and h = y is kept from call to call."""

    def __init__(self, features: int) -> None:
        self.w = Parameter(np.ones(features))
        self.h = np.zeros(features)

    def forward(self, x: Array) -> Array:
        y: Array = np.tanh(self.w.value * x + self.h)
        self.h = y.mean(axis=0)
        self.save(x, y)
        return y

    def backward(self, dy: Array) -> Array:
        x, y = self.saved()
        dz = dy * (1 - y**2)
        self.w.grad[...] = (dz * x).sum(axis=0)
        dx: Array = dz * self.w.value
        return dx


@wrong("said", "the Jacobian times dy: backward must multiply with its transpose")
class NotTransposed(Layer):
    """y = x M with a square M, and dx = dy M."""

    buffers = ("matrix",)

    def __init__(self) -> None:
        self.matrix = np.random.default_rng(0).standard_normal((3, 3))

    def forward(self, x: Array) -> Array:
        self.save()
        return x @ self.matrix

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy @ self.matrix


@wrong("said", "wrong with others, such as alpha = -", x=batch(6, 4))
class ClipsAtAlpha(Layer):
    """y = clip(x, 0, alpha), with no thought of an alpha below 0 (PACT: Choi and others, 2018)."""

    def __init__(self) -> None:
        self.alpha = Parameter(np.ones(2))

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.clip(x, 0, np.repeat(self.alpha.value, 2))

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        alpha = np.repeat(self.alpha.value, 2)
        self.alpha.grad[...] = (dy * (x >= alpha)).sum(axis=0).reshape(2, 2).sum(axis=1)
        dx: Array = dy * ((x > 0) & (x < alpha))
        return dx


@wrong("said", "shifted by one place", x=batch(4, 5))
class TurnsOnwards(Layer):
    """y = x, turned by two places, and dx turned by two more in place of back."""

    def forward(self, x: Array) -> Array:
        self.save()
        return np.roll(x, 2, axis=1)

    def backward(self, dy: Array) -> Array:
        self.saved()
        return np.roll(dy, 2, axis=1)


@wrong("said", "at [3] of axis 1 it is zero", x=batch(4, 5))
class LeavesOneOut(Layer):
    """y[j] = x[j] x[j + 1], with x[j + 1] taken for constant at one place."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x[:, :-1] * x[:, 1:]

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx = np.zeros_like(x)
        dx[:, :-1] += dy * x[:, 1:]
        dx[:, 1:] += dy * x[:, :-1]
        dx[:, 3] -= dy[:, 2] * x[:, 2]
        return dx


# -- beyond the given x ----------------------------------------------------------------


@wrong(
    "length",
    "backward is right for the given length alone: with x of shape (5, 5, 2), dx",
    x=batch(3, 4, 2),
)
class MeanOfFour(Layer):
    """The mean over time, with the length of today's x written into backward."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = x.mean(axis=1)
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return np.repeat(dy[:, None] / 4, x.shape[1], axis=1)


@wrong("length", "forward keeps what belongs to the length of an earlier x", x=batch(3, 4, 2))
class FirstPositions(Layer):
    """x + the number of the place, made for the length that came first."""

    def __init__(self) -> None:
        self.places: Array | None = None

    def forward(self, x: Array) -> Array:
        self.save()
        if self.places is None:
            self.places = np.arange(float(x.shape[1]))[:, None]
        return x + self.places.astype(x.dtype)

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy.copy()


@wrong("length", "dx has the shape (5, 3): refuse another shape", 3)
class FixedWidth(Layer):
    """The sum of the features, with dx of a width that is fixed."""

    def __init__(self, features: int) -> None:
        self.features = features

    def forward(self, x: Array) -> Array:
        self.save()
        y: Array = x.sum(axis=1, keepdims=True)
        return y

    def backward(self, dy: Array) -> Array:
        self.saved()
        return np.repeat(dy, self.features, axis=1)


@wrong("size", "with x 10 times as large, dx:")
class Relu6WithoutItsEnd(Layer):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.clip(x, 0, 6)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return dy * (x > 0)


@wrong("size", "with x 100 times as large, dx:|with x 10 times as large, dx:")
class SoftplusThatEnds(Layer):
    """log(1 + e^x), whose slope is forgotten where it is 1."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.logaddexp(0, x).astype(x.dtype)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx: Array = dy * np.where(x > 20, 0, 1 / (1 + np.exp(-np.minimum(x, 20))))
        return dx


@wrong(
    "size",
    "with x 0.01 times as large, dx",
    x=1 + batch(4, 3) ** 2,
)
class CubeOfLargeOnes(Layer):
    """x^3, with a slope that is held above a bound."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x**3

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return dy * np.maximum(3 * x**2, 1e-2)


@wrong("linear", "backward clips large gradients")
class ClipsDy(Tanh):
    def backward(self, dy: Array) -> Array:
        return super().backward(np.clip(dy, -50, 50))


@wrong("linear", "backward drops small ones")
class DropsSmallDy(Tanh):
    def backward(self, dy: Array) -> Array:
        return super().backward(np.where(np.abs(dy) < 1e-4, 0, dy).astype(dy.dtype))


@wrong("linear", "clips large gradients, and must be linear in dy", 3, 2)
class ClipsTheWeights(Dense):
    def backward_parameters(self, dy: Array) -> None:
        super().backward_parameters(dy)
        np.clip(self.weight.grad, -100, 100, out=self.weight.grad)


@wrong("identity", "backward puts another Parameter in the place of scale", 3)
class ReplacesInBackward(Scale):
    def backward(self, dy: Array) -> Array:
        dx = super().backward(dy)
        gradient = self.scale.grad
        self.scale = Parameter(self.scale.value)
        self.scale.grad = gradient
        return dx


@wrong("identity", "puts another Parameter in the place of scale, and an optimizer", 3)
class ReplacesInEval(Scale):
    def train(self, mode: bool = True) -> "ReplacesInEval":
        super().train(mode)
        self.scale = Parameter(self.scale.value)
        return self


@wrong("shared", "where all layers share it", 0.5, 1)
class MasksOfTheClass(Dropout):
    masks: list[Array] = []  # noqa: RUF012 - the fault

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        self.masks[:] = self.saved()
        return y

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy * self.masks[0]


@wrong("shared", "where all layers share it")
class CacheOfTheConstructor(Tanh):
    def __init__(self, cache: list[Array] = []) -> None:  # noqa: B006 - the fault
        self.cache = cache

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        self.cache.append(y)
        return y.copy()

    def backward(self, dy: Array) -> Array:
        self.saved()
        y = self.cache.pop()
        return dy * (1 - y * y)


class Gate:
    """A helper that is no layer."""

    def __init__(self, features: int) -> None:
        self.parts = [{"w": Parameter(np.ones(features))}]


@wrong("hidden", "gate.parts.0.w is a Parameter that parameters() does not find, as Gate is no", 3)
class WithAHelper(Layer):
    def __init__(self, features: int) -> None:
        self.gate = Gate(features)

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * self.gate.parts[0]["w"].value

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        w = self.gate.parts[0]["w"]
        w.grad[...] = (dy * x).sum(axis=0)
        dx: Array = dy * w.value
        return dx


@wrong("tie", "each gets all of dy: share it among them", x=batch(4, 6))
class AllOfTheLargest(Layer):
    def forward(self, x: Array) -> Array:
        y: Array = x.max(axis=1, keepdims=True)
        self.save(x, y)
        return y

    def backward(self, dy: Array) -> Array:
        x, y = self.saved()
        dx: Array = dy * (x == y)
        return dx


@wrong("tie", "each gets all of dy", x=np.array([[1.0, 1, 0], [0, 2, 2], [3, 3, 3]]))
class TiesAsGiven(AllOfTheLargest):
    pass


@wrong("kept", "after a change of last")
class EchoOfTheLast(Layer):
    def __init__(self) -> None:
        self.last: Array | float = 0.0

    def forward(self, x: Array) -> Array:
        self.save()
        y: Array = x + 0.01 * np.asarray(self.last).mean().astype(x.dtype)
        self.last = x.copy()
        return y

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy.copy()


@wrong("kept", "y depends on an earlier forward, by scale")
class FirstScale(Layer):
    def __init__(self) -> None:
        self.scale: float | None = None

    def forward(self, x: Array) -> Array:
        self.save()
        self.scale = self.scale or float(np.abs(x).max())
        return x / self.scale

    def backward(self, dy: Array) -> Array:
        self.saved()
        assert self.scale is not None
        return dy / self.scale


@wrong("kept", "forward draws from NumPy's global generator, np.random, or seeds it")
class SeedsAll(Tanh):
    def forward(self, x: Array) -> Array:
        np.random.seed(0)
        return super().forward(x)


@wrong("kept", "backward draws random numbers", 0.5, 1)
class MaskOfBackward(Dropout):
    def backward(self, dy: Array) -> Array:
        self.forward(dy)
        return super().backward(dy)


@wrong("declared", "it declares 'dW', which is none of rows, dx, dscale", 3)
class DeclaresNothing(Scale):
    declared = "dW"


@wrong("rows", "wrong", 3)
class DeclaredButWrong(Scale):
    """Its rows may depend on each other: its gradient must be right all the same."""

    declared = "rows"

    def backward(self, dy: Array) -> Array:
        return 2 * super().backward(dy)


def answer(wrong: Wrong) -> tuple[bool, bool]:
    """Return whether the kit catches a wrong layer, and whether its first sentence says how."""
    try:
        check_layer(wrong.make(), wrong.x)
    except CheckError as error:
        text = error.report.failures[0].message
        return True, any(words in text for words in wrong.says.split("|"))
    return False, False
