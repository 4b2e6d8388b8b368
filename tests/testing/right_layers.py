"""Layers that are right, and of kinds that minifw has not: the kit must have nothing to say."""

from collections.abc import Callable

import numpy as np

import minifw
from minifw import Array, Conv2D, Dense, HardTanh, Layer, Parameter, Sequential, Tanh

Shape = tuple[int, ...]
Pair = tuple[Layer, Array]
Function = Callable[[Array], Array]


def batch(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


class Scale(Layer):
    """The design's example, to the letter."""

    def __init__(self, features: int) -> None:
        self.scale = Parameter(np.ones(features))

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * self.scale.value

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = (dy * x).sum(axis=0)
        return dy * self.scale.value


class Relu(Layer):
    """y = max(x, 0)."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.maximum(x, 0)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return dy * (x > 0)


class Elu(Layer):
    """y = x above 0, alpha (exp(x) - 1) below."""

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, x: Array) -> Array:
        y = np.where(x > 0, x, self.alpha * np.expm1(np.minimum(x, 0)))
        self.save(x, y)
        return y

    def backward(self, dy: Array) -> Array:
        x, y = self.saved()
        return np.where(x > 0, dy, dy * (y + self.alpha))


class Swish(Layer):
    """y = x sigmoid(b x), with a slope b for each feature."""

    def __init__(self, features: int) -> None:
        self.slope = Parameter(np.ones(features))

    def forward(self, x: Array) -> Array:
        s = 1 / (1 + np.exp(-self.slope.value * x))
        self.save(x, s)
        return x * s

    def backward(self, dy: Array) -> Array:
        x, s = self.saved()
        self.slope.grad[...] = (dy * x * x * s * (1 - s)).sum(axis=0)
        return dy * (s + self.slope.value * x * s * (1 - s))


class Softmax(Layer):
    """y = exp(x) / sum(exp(x)), over the last axis."""

    def forward(self, x: Array) -> Array:
        e = np.exp(x - x.max(axis=-1, keepdims=True))
        y: Array = e / e.sum(axis=-1, keepdims=True)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        dx: Array = y * (dy - (dy * y).sum(axis=-1, keepdims=True))
        return dx


class LayerNorm(Layer):
    """y = (x - mean) / sqrt(var + eps) over the features, times gamma, plus beta."""

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        self.gamma = Parameter(np.ones(features))
        self.beta = Parameter(np.zeros(features))
        self.eps = eps

    def forward(self, x: Array) -> Array:
        std: Array = np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)
        z: Array = (x - x.mean(axis=-1, keepdims=True)) / std
        self.save(z, std)
        return z * self.gamma.value + self.beta.value

    def backward(self, dy: Array) -> Array:
        z, std = self.saved()
        self.gamma.grad[...] = (dy * z).sum(axis=0)
        self.beta.grad[...] = dy.sum(axis=0)
        dz = dy * self.gamma.value
        mean = dz.mean(axis=-1, keepdims=True)
        dx: Array = (dz - mean - z * (dz * z).mean(axis=-1, keepdims=True)) / std
        return dx


class BatchNorm(Layer):
    """The same over the batch; running statistics in eval mode."""

    def __init__(self, features: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        self.gamma = Parameter(np.ones(features))
        self.mean, self.var = np.zeros(features), np.ones(features)
        self.momentum, self.eps = momentum, eps
        self.batch_mode = True

    def forward(self, x: Array) -> Array:
        self.batch_mode = self.training
        if self.training:
            mean, var = x.mean(axis=0), x.var(axis=0)
            self.mean += self.momentum * (mean - self.mean)
            self.var += self.momentum * (var - self.var)
        else:
            mean, var = self.mean, self.var
        std: Array = np.sqrt(var + self.eps).astype(x.dtype)
        z: Array = ((x - mean) / std).astype(x.dtype)
        self.save(z, std)
        return z * self.gamma.value

    def backward(self, dy: Array) -> Array:
        z, std = self.saved()
        self.gamma.grad[...] = (dy * z).sum(axis=0)
        dz = dy * self.gamma.value
        if not self.batch_mode:
            return dz / std
        dx: Array = (dz - dz.mean(axis=0) - z * (dz * z).mean(axis=0)) / std
        return dx


class StrictBatchNorm(BatchNorm):
    """Running statistics that are state, and no batch of one example in train mode."""

    buffers = ("mean", "var")

    def forward(self, x: Array) -> Array:
        if self.training and len(x) == 1:
            raise ValueError(f"StrictBatchNorm expects more than one example, got {x.shape}")
        return super().forward(x)


class Dropout(Layer):
    """y = x / (1 - p) with probability 1 - p, else 0; x itself in eval mode."""

    def __init__(self, p: float = 0.5, rng: int | None = None) -> None:
        self.p = p
        self.rng = np.random.default_rng(rng)

    def forward(self, x: Array) -> Array:
        mask = np.ones_like(x)
        if self.training:
            kept = self.rng.random(x.shape) >= np.full(x.shape, self.p)
            mask = np.asarray(kept, x.dtype) / (1 - self.p)
        self.save(mask)
        return x * mask

    def backward(self, dy: Array) -> Array:
        (mask,) = self.saved()
        return dy * mask


class MaxOfPairs(Layer):
    """y[j] = max(x[2j], x[2j+1]): as max pooling."""

    def forward(self, x: Array) -> Array:
        if x.ndim != 2 or x.shape[1] % 2:
            raise ValueError(f"MaxOfPairs expects x of shape (batch, even), got {x.shape}")
        pairs = x.reshape(len(x), -1, 2)
        first = pairs[..., 0] >= pairs[..., 1]
        self.save(first)
        return np.where(first, pairs[..., 0], pairs[..., 1])

    def backward(self, dy: Array) -> Array:
        (first,) = self.saved()
        return np.stack([dy * first, dy * np.logical_not(first)], axis=-1).reshape(len(dy), -1)


class Flatten(Layer):
    """y is x with one axis of features: a view."""

    def forward(self, x: Array) -> Array:
        if x.ndim < 2:
            raise ValueError(f"Flatten expects a batch, got the shape {x.shape}")
        self.save(x)
        return x.reshape(len(x), -1)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return dy.reshape(x.shape)


class Logarithm(Layer):
    """y = log(x), of positive numbers alone."""

    def forward(self, x: Array) -> Array:
        if not (x > 0).all():
            raise ValueError("Logarithm expects positive numbers")
        self.save(x)
        y: Array = np.log(x)
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return dy / x

    def output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


class Pick(Layer):
    """y = table[x], of whole numbers x: an embedding."""

    def __init__(self, rows: int, features: int, rng: int = 0) -> None:
        self.table = Parameter(np.random.default_rng(rng).standard_normal((rows, features)))

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = self.table.value[np.asarray(x, int)]
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.table.grad[...] = 0
        np.add.at(self.table.grad, np.asarray(x, int), dy)
        return np.zeros(x.shape)


class Arctanh(Layer):
    """y = arctanh(x), of numbers between -1 and 1."""

    def forward(self, x: Array) -> Array:
        if not (np.abs(x) < 1).all():
            raise ValueError("Arctanh expects numbers between -1 and 1")
        self.save(x)
        y: Array = np.arctanh(x)
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return dy / (1 - x * x)


class Threshold(Layer):
    """y = log(1 + exp(x)), and x itself from a threshold on: felt far from a check's numbers."""

    def __init__(self, threshold: float = 20.0) -> None:
        self.threshold = threshold

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.where(x > self.threshold, x, np.logaddexp(0, x))

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return np.where(x > self.threshold, dy, dy / (1 + np.exp(-x)))


class UnitLength(Layer):
    """y = x / max(|x|, eps), row by row: eps is felt by rows of zeros alone."""

    def __init__(self, eps: float = 1e-12) -> None:
        self.eps = eps

    def forward(self, x: Array) -> Array:
        norm = np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), self.eps).astype(x.dtype)
        y: Array = x / norm
        self.save(y, norm)
        return y

    def backward(self, dy: Array) -> Array:
        y, norm = self.saved()
        dx: Array = (dy - y * (dy * y).sum(axis=-1, keepdims=True)) / norm
        return dx


class Window(Layer):
    """A sum over a window, each step `dilation` apart; of width 1 it does nothing."""

    def __init__(self, width: int, dilation: int = 1, wrap: bool = True, label: str = "") -> None:
        self.offsets = [dilation * i for i in range(width)]
        self.label = label
        if width > 1 and not wrap:
            raise ValueError("Window expects wrap where width is more than 1")

    def forward(self, x: Array) -> Array:
        if x.ndim != 2:
            raise ValueError(f"Window expects x of shape (batch, features), got {x.shape}")
        return np.asarray(sum(np.roll(x, -offset, axis=1) for offset in self.offsets), x.dtype)

    def backward(self, dy: Array) -> Array:
        return np.asarray(sum(np.roll(dy, offset, axis=1) for offset in self.offsets), dy.dtype)


class Running(Layer):
    """y = x - mean, the running one if tracked: else momentum is of no use."""

    def __init__(self, track: bool = True, momentum: float = 0.1) -> None:
        self.track, self.momentum = track, momentum

    def forward(self, x: Array) -> Array:
        share = self.momentum if self.track else 0.0
        return x * (1 - share)

    def backward(self, dy: Array) -> Array:
        return dy * (1 - self.momentum) if self.track else dy


class OneHot(Layer):
    """y[i] is row x[i] of the unit matrix; no parameter and no x says in which dtype."""

    def __init__(self, size: int) -> None:
        self.size = size

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = np.eye(self.size)[x]
        return y

    def backward(self, dy: Array) -> Array:  # noqa: ARG002
        (x,) = self.saved()
        return np.zeros(x.shape)


class KeepsItsDType(Scale):
    """A scale that fills an array of the dtype that its constructor was told."""

    def __init__(self, features: int, dtype: type = np.float64) -> None:
        self.dtype = np.dtype(dtype)
        self.scale = Parameter(np.ones(features, dtype))

    def forward(self, x: Array) -> Array:
        y = np.zeros(x.shape, self.dtype)
        y += super().forward(x)
        return y


class Applies(Layer):
    """y = f(x) for a function with a derivative, which may have no name: no pickle holds it."""

    def __init__(self, function: Function, derivative: Function) -> None:
        self.function, self.derivative = function, derivative

    def forward(self, x: Array) -> Array:
        self.save(x)
        return self.function(x)

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        return dy * self.derivative(x)


class Centred(Layer):
    """y = x - the running mean, as it was before this batch came."""

    buffers = ("mean",)

    def __init__(self, features: int) -> None:
        self.mean = np.zeros(features)

    def forward(self, x: Array) -> Array:
        if x.shape[1:] != self.mean.shape:
            raise ValueError(f"Centred expects {self.mean.shape}, got {x.shape}")
        y: Array = x - self.mean
        if self.training:
            self.mean += 0.1 * (x.mean(axis=0) - self.mean)
        return y

    def backward(self, dy: Array) -> Array:
        return dy.copy()


class RowMax(Layer):
    """The largest of each row; NumPy itself refuses another number of axes."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = x[np.arange(len(x)), x.argmax(axis=1)]
        return y[:, np.newaxis]

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx = np.zeros_like(x)
        dx[np.arange(len(x)), x.argmax(axis=1)] = dy[:, 0]
        return dx


class Steps(Layer):
    """y = x times the differences of knots, which must rise."""

    def __init__(self) -> None:
        self.knots = Parameter(np.array([0.5, 1.0, 1.5, 2.0]))

    def forward(self, x: Array) -> Array:
        steps = np.diff(self.knots.value)
        if not (steps > 0).all():
            raise ValueError(f"Steps expects knots that rise, got {self.knots.value}")
        self.save(x)
        return x * steps

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        slope = (dy * x).sum(axis=0)
        self.knots.grad[...] = np.append(0.0, slope) - np.append(slope, 0.0)
        dx: Array = dy * np.diff(self.knots.value)
        return dx


class Fine(Layer):
    """y = sin(1e8 x w), with w near 1e-8."""

    def __init__(self, features: int) -> None:
        self.w = Parameter(np.full(features, 1e-8))

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = np.sin(x * self.w.value / 1e-8)
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        slope = dy * np.cos(x * self.w.value / 1e-8) / 1e-8
        self.w.grad[...] = (slope * x).sum(axis=0)
        dx: Array = slope * self.w.value
        return dx


class BatchMax(Layer):
    """y = x - the largest of each column in training: few rows matter to the others."""

    def forward(self, x: Array) -> Array:
        largest = x == x.max(axis=0)
        self.save((largest & self.training).astype(x.dtype))
        y: Array = x - x.max(axis=0) * self.training
        return y

    def backward(self, dy: Array) -> Array:
        (largest,) = self.saved()
        dx: Array = dy - largest * dy.sum(axis=0)
        return dx


class Annealed(Layer):
    """y = x / t with a t that falls at every training forward: a plain number."""

    def __init__(self, t: float = 2.0, decay: float = 0.99) -> None:
        self.t, self.decay = t, decay

    def forward(self, x: Array) -> Array:
        if self.training:
            self.t = max(0.1, self.t * self.decay)
        self.save(np.array(self.t))
        return x / self.t

    def backward(self, dy: Array) -> Array:
        (t,) = self.saved()
        return dy / float(t)


class OldGenerators(Layer):
    """Dropout that draws from a RandomState, and then from two generators in a list."""

    def __init__(self, seed: int = 0) -> None:
        self.old = np.random.RandomState(seed)
        self.rngs = [np.random.default_rng(seed), np.random.default_rng(seed + 1)]

    def forward(self, x: Array) -> Array:
        keep = np.ones(x.shape, x.dtype)
        if self.training:
            keep *= 2 * (self.old.rand(*x.shape) < 0.5)
            for rng in self.rngs:
                keep *= rng.random(x.shape, x.dtype) < 0.9
        self.save(keep)
        return x * keep

    def backward(self, dy: Array) -> Array:
        (keep,) = self.saved()
        dx: Array = dy * keep
        return dx


class Power(Layer):
    """y = x^p: with most other p, a negative x is out of its domain. And a name for people."""

    def __init__(self, p: float = 2.0, name: str | None = None) -> None:
        self.p, self.name = p, name

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x**self.p

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx: Array = dy * self.p * x ** (self.p - 1)
        return dx


class NamedDType(Scale):
    """A scale that casts to the dtype whose name its constructor was told."""

    def __init__(self, features: int, dtype: str = "float64") -> None:
        self.dtype = dtype
        self.scale = Parameter(np.ones(features, dtype))

    def forward(self, x: Array) -> Array:
        return super().forward(x.astype(self.dtype))


class UnitRows(Layer):
    """y = x W' for rows of length 1: a domain that is no box."""

    def __init__(self, features: int, outputs: int, rng: int | None = None) -> None:
        self.w = Parameter(np.random.default_rng(rng).standard_normal((outputs, features)))

    def output_shape(self, shape: Shape) -> Shape:
        return (*shape[:-1], self.w.shape[0])

    def forward(self, x: Array) -> Array:
        if not np.allclose(np.linalg.norm(x, axis=-1), 1, atol=1e-4):
            raise ValueError("rows of x must be of length 1")
        self.save(x)
        return x @ self.w.value.T

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.w.grad[...] = dy.T @ x
        return dy @ self.w.value


def unit_rows(x: Array) -> Array:
    unit: Array = x / np.linalg.norm(x, axis=1, keepdims=True)
    return unit


class Reciprocal(Layer):
    """y = 1 / x, which refuses 0."""

    def forward(self, x: Array) -> Array:
        if not x.all():
            raise ValueError("Reciprocal expects numbers other than 0")
        self.save(1 / x)
        return 1 / x

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        return -dy * y * y


class LogRatio(Layer):
    """y = log x - its mean, which refuses what is not above 0 (Aitchison, 1982)."""

    def forward(self, x: Array) -> Array:
        if not (x > 0).all():
            raise ValueError("LogRatio expects numbers above 0")
        self.save(x)
        y: Array = np.log(x) - np.log(x).mean(axis=-1, keepdims=True)
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx: Array = (dy - dy.mean(axis=-1, keepdims=True)) / x
        return dx


class OfTheBatch(Layer):
    """x - its mean over the batch, in both modes, as is meant."""

    declared = {"rows": "it is used in training alone"}  # noqa: RUF012

    def forward(self, x: Array) -> Array:
        self.save()
        y: Array = x - x.mean(axis=0)
        return y

    def backward(self, dy: Array) -> Array:
        self.saved()
        dx: Array = dy - dy.mean(axis=0)
        return dx


class LargestOfAll(Layer):
    """The largest of a row, and dy shared among equal ones."""

    def forward(self, x: Array) -> Array:
        y: Array = x.max(axis=-1, keepdims=True)
        hot = (x == y).astype(x.dtype)
        self.save(hot / hot.sum(axis=-1, keepdims=True))
        return y

    def backward(self, dy: Array) -> Array:
        (share,) = self.saved()
        return dy * share


class MovingMean(Layer):
    """The mean of each place of time and all before it: of any length, and causal."""

    def forward(self, x: Array) -> Array:
        self.save()
        n = np.arange(1.0, x.shape[1] + 1)[:, None].astype(x.dtype)
        y: Array = np.cumsum(x, axis=1) / n
        return y

    def backward(self, dy: Array) -> Array:
        self.saved()
        n = np.arange(1.0, dy.shape[1] + 1)[:, None].astype(dy.dtype)
        dx: Array = np.cumsum((dy / n)[:, ::-1], axis=1)[:, ::-1]
        return dx.copy()


RIGHT: dict[str, Pair] = {
    "one over x": (Reciprocal(), 1 + batch(4, 3) ** 2),
    "a log ratio": (LogRatio(), 1 + batch(4, 3) ** 2),
    "declared: of the batch": (OfTheBatch(), batch(6, 3)),
    "declared, inside": (Sequential(Dense(3, 3, rng=0), OfTheBatch()), batch(6, 3)),
    "the largest, shared": (LargestOfAll(), batch(4, 5)),
    "the largest, shared, tied": (LargestOfAll(), np.round(batch(4, 5))),
    "a moving mean": (MovingMean(), batch(3, 4, 2)),
    "attention at one place": (minifw.MultiHeadAttention(4, 1, rng=0), batch(3, 1, 4)),
    "a largest of the batch": (BatchMax(), batch(5, 3, seed=1)),
    "annealed": (Annealed(), batch(5, 3)),
    "old generators": (OldGenerators(), batch(5, 3)),
    "a power": (Power(), batch(5, 3)),
    "a power with a name": (Power(3.0, "cube"), batch(5, 3)),
    "dtype by name": (NamedDType(3), batch(5, 3)),
    "dtype by name, float32": (NamedDType(3, "float32"), batch(5, 3).astype(np.float32)),
    "rows of length 1": (UnitRows(3, 2, rng=0), unit_rows(batch(5, 3))),
    "a bias that batch norm takes away": (
        Sequential(Dense(3, 3, rng=0), minifw.BatchNorm(3)),
        batch(5, 3, seed=1),
    ),
    "a bias that batch norm takes away, images": (
        Sequential(Conv2D(2, 3, 2, rng=0), minifw.BatchNorm(3)),
        batch(2, 2, 4, 4),
    ),
    "a running mean that is read": (Centred(3), batch(6, 3)),
    "the largest of a row": (RowMax(), batch(4, 3)),
    "knots that must rise": (Steps(), batch(4, 3)),
    "tiny parameters": (Fine(3), batch(4, 3)),
    "softmax, saturated": (Softmax(), 100 * batch(4, 3)),
    "tanh, saturated": (Tanh(), 30 * batch(4, 3)),
    "tanh, at its end": (Tanh(), batch(4, 3) + 100),
    "one-hot": (OneHot(5), np.array([0, 4, 2, 2])),
    "dtype kept": (KeepsItsDType(3, np.float32), batch(4, 3).astype(np.float32)),
    "functions": (Applies(lambda x: x * x, lambda x: 2 * x), batch(4, 3)),
    "a threshold of 20": (Threshold(), batch(4, 3)),
    "an eps under a maximum": (UnitLength(), batch(4, 3)),
    "a window": (Window(2, dilation=2), batch(4, 5)),
    "a window of one": (Window(1, dilation=2, label="first"), batch(4, 5)),
    "momentum for nothing": (Running(track=False), batch(4, 3)),
    "arctanh": (Arctanh(), np.random.default_rng(0).uniform(-0.9, 0.9, (4, 3))),
    "scale": (Scale(3), batch(4, 3)),
    "relu": (Relu(), batch(4, 3)),
    "relu, at its kink": (Relu(), np.array([[0.0, 1.0, -1.0], [1e-9, -1e-9, 0.0]])),
    "relu, of ones": (Relu(), np.ones((4, 3))),
    "bounds that few inputs reach": (HardTanh(-3.0, 3.0), batch(4, 3)),
    "elu": (Elu(0.7), batch(4, 3)),
    "swish": (Swish(3), batch(4, 3)),
    "softmax": (Softmax(), batch(4, 3)),
    "softmax, images": (Softmax(), batch(2, 3, 4)),
    "layer norm": (LayerNorm(4), batch(4, 4)),
    "batch norm": (BatchNorm(3), batch(6, 3)),
    "batch norm, strict": (StrictBatchNorm(3), batch(6, 3)),
    "batch norm, strict, of one feature": (StrictBatchNorm(1), batch(6, 1)),
    "dropout": (Dropout(0.4, rng=1), batch(4, 6)),
    "max of pairs": (MaxOfPairs(), batch(4, 6)),
    "max of pairs, tied": (MaxOfPairs(), np.ones((4, 6))),
    "flatten": (Flatten(), batch(2, 3, 4)),
    "logarithm": (Logarithm(), np.abs(batch(4, 3))),
    "embedding": (Pick(7, 3), np.array([[1, 2], [2, 6], [0, 0]])),
}
