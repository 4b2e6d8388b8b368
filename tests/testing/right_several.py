"""Right layers of several inputs or outputs: the kit must have nothing to say."""

from typing import Any

import numpy as np
from right_layers import batch

from minifw import (
    Add,
    Array,
    BatchNorm,
    Dense,
    Graph,
    Join,
    Layer,
    Multiply,
    Parameter,
    Sequential,
    Tanh,
)


class Bilinear(Layer):
    """y_k = a' W_k b."""

    def __init__(self, a: int, b: int, out: int) -> None:
        self.weight = Parameter(batch(out, a, b))

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        y: Array = np.einsum("ni,kij,nj->nk", a, self.weight.value, b)
        return y

    def backward(self, dy: Array) -> Any:
        (a, b), weight = self.saved(), self.weight.value
        self.weight.grad[...] = np.einsum("nk,ni,nj->kij", dy, a, b)
        da = np.einsum("nk,kij,nj->ni", dy, weight, b)
        return da, np.einsum("nk,kij,ni->nj", dy, weight, a)


class Latent(Layer):
    """z = mu + exp(s / 2) e, e normal; kl is the divergence of z from N(0, 1)."""

    output_names = ("z", "kl")

    def __init__(self, rng: int | None = None) -> None:
        self.rng = np.random.default_rng(rng)

    def forward(self, mu: Array, s: Array) -> Any:
        drawn = self.rng.standard_normal(mu.shape) if self.training else np.zeros(mu.shape)
        e = np.asarray(drawn, mu.dtype)
        self.save(mu, s, e)
        kl = (np.exp(s) + mu**2 - 1 - s).sum(axis=1, keepdims=True) / 2
        return mu + np.exp(s / 2) * e, kl

    def backward(self, dz: Array, dkl: Array) -> Any:
        mu, s, e = self.saved()
        return dz + dkl * mu, dz * e * np.exp(s / 2) / 2 + dkl * (np.exp(s) - 1) / 2


class Distance(Layer):
    """y = |a - b|^2, (batch, 1)."""

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a - b)
        y: Array = np.sum((a - b) ** 2, axis=1, keepdims=True)
        return y

    def backward(self, dy: Array) -> Any:
        (d,) = self.saved()
        return 2 * dy * d, -2 * dy * d


class MaskedMean(Layer):
    """The mean over time of the steps that count."""

    def forward(self, x: Array, mask: Array | None = None) -> Array:
        counts: Array = np.ones(x.shape[:2]) if mask is None else np.asarray(mask, np.float64)
        number = np.maximum(counts.sum(axis=1, keepdims=True), 1)
        share = np.asarray(counts / number, x.dtype)
        self._saved_masked = mask is not None
        self.save(x, share)
        y: Array = np.einsum("ntf,nt->nf", x, share)
        return y

    def backward(self, dy: Array) -> Any:
        _, share = self.saved()
        dx = dy[:, None, :] * share[:, :, None]
        return (dx, None) if self._saved_masked else dx


class OverTime(Layer):
    """h_t = cell(x_t, h_{t-1}), h_0 = 0; y is the last: one cell, used as often as x is long."""

    def __init__(self, cell: Layer, size: int) -> None:
        self.cell, self.size = cell, size

    def forward(self, x: Array) -> Array:
        h: Array = np.zeros((len(x), self.size), x.dtype)
        self._saved_memories = []
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            self._saved_memories.append(self.cell.memory())
        self.save(x)
        return h

    def backward(self, dy: Array) -> Array:
        self.saved()
        dh, dxs, back = dy, list[Array](), self.cell.backward
        for memory in reversed(self._saved_memories):
            self.cell.recall(memory)
            dx, dh = back(dh)  # type: ignore[assignment]
            dxs.insert(0, dx)  # type: ignore[arg-type]
            back = self.cell.backward_adding
        return np.stack(dxs, axis=1)


class Split(Layer):
    """Whole numbers in: a row of the table for each, and where they are not 0, which is a mask."""

    output_names = ("y", "keep")

    def __init__(self) -> None:
        self.table = Parameter(batch(4, 2))

    def forward(self, x: Array) -> Any:
        self.save(x)
        return self.table.value[x], x != 0

    def backward(self, dy: Array, _: Array) -> Array:
        (x,) = self.saved()
        for row in range(len(self.table.value)):
            self.table.grad[row] = dy[x == row].sum(axis=0)
        return np.zeros(x.shape, dy.dtype)


def _tied() -> Sequential:
    model = Sequential(Dense(3, 3, rng=0), Tanh(), Dense(3, 3, rng=1))
    model[2].weight = model[0].weight
    return model


def _siamese() -> Graph:
    tower = Sequential(Dense(3, 4, rng=0), Tanh(), BatchNorm(4))
    return Graph("a", "b", u=(tower, "a"), v=(tower, "b"), y=(Distance(), "u", "v"))


def _vae() -> Graph:
    return Graph(
        "x",
        mu=(Dense(3, 2, rng=1), "x"),
        s=(Dense(3, 2, rng=2), "x"),
        z=(Latent(3), "mu", "s"),
        y=(Dense(2, 3, rng=5), "z.z"),
        outputs=("y", "z.kl"),
    )


def _with_a_mask() -> Graph:
    lines: dict[str, Any] = {"m": (MaskedMean(), "x", "keep"), "y": Dense(2, 2, rng=0)}
    return Graph("x", "keep", **lines)


_block = Sequential(Dense(3, 3, rng=2), Tanh())
_cell = Graph("x", "h", both=(Join(), "x", "h"), y=Sequential(Dense(5, 3, rng=0), Tanh()))
_mask = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 1]], bool)
_frozen = Sequential(Dense(3, 3, rng=0), Tanh(), Dense(3, 2, rng=1))
_frozen[0].freeze()

SEVERAL: dict[str, tuple[Layer, Any]] = {
    "Bilinear": (Bilinear(3, 4, 2), (batch(5, 3), batch(5, 4))),
    "Latent": (Latent(0), (batch(4, 2), batch(4, 2, seed=1))),
    "Distance": (Distance(), (batch(4, 3), batch(4, 3, seed=1))),
    "Add": (Add(), (batch(4, 3), batch(4, 3, seed=1), batch(4, 3, seed=2))),
    "Multiply": (Multiply(), (batch(4, 3), batch(4, 3, seed=1), batch(4, 3, seed=2))),
    "Join": (Join(), (batch(4, 3), batch(4, 2))),
    "a mask": (MaskedMean(), (batch(4, 3, 2), _mask)),
    "no mask": (MaskedMean(), (batch(4, 3, 2), None)),
    "a mask as an output": (Split(), np.array([[0, 1, 3], [2, 0, 1]])),
    "a loop with memories": (OverTime(_cell, 3), batch(4, 3, 2)),
    "a tied Sequential": (_tied(), batch(4, 3)),
    "a frozen layer": (_frozen, batch(4, 3)),
    "Graph, one layer twice": (_siamese(), (batch(6, 3), batch(6, 3, seed=1))),
    "Graph, a block three times": (Graph("x", a=_block, b=_block, c=_block), batch(4, 3)),
    "Graph, two outputs": (_vae(), batch(4, 3)),
    "Graph, a mask": (_with_a_mask(), (batch(4, 3, 2), _mask)),
}
