"""Networks that PyTorch is asked about: the table of cases, and Graphs of all kinds.

`check_there` and `check_back` need torch. The script tests/data/torch/make_modules.py runs them
and records the sources that it ran, and so do the tests, where torch is installed.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from cases import CASES

from minifw import (
    ELU,
    GELU,
    GRU,
    LSTM,
    Add,
    Array,
    BatchNorm,
    Columns,
    Concat,
    Conv1D,
    Conv2D,
    Dense,
    Embedding,
    Flatten,
    Flip,
    Graph,
    Join,
    Layer,
    LayerNorm,
    MaxPool2D,
    MeanOverTime,
    Mish,
    MultiHeadAttention,
    Multiply,
    NTKDense,
    PReLU,
    ReLU,
    Residual,
    Scale,
    Sequential,
    Sigmoid,
    SiLU,
    SinusoidalPositions,
    Softmax,
    Softplus,
    Tanh,
)

EXACT = 1e-12
Made = tuple[Layer, tuple[Any, ...]]

MASK = np.array([[1, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0], [0, 1, 0, 1]], bool)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def siamese() -> Made:
    shared = Sequential(Dense(3, 4, rng=0), Tanh())
    graph = Graph("a", "b", u=(shared, "a"), v=(shared, "b"), y=(Add(), "u", "v"))
    return graph, (normal(5, 3), normal(5, 3, seed=1))


def tied() -> Made:
    graph = Graph("x", code=Dense(4, 4, bias=False, rng=0), t=Tanh(), back=Dense(4, 4, rng=1))
    graph["back"].weight = graph["code"].weight
    return graph, (normal(5, 4),)


def shared_inside() -> Made:
    norm = BatchNorm(3)
    first, second = Sequential(Dense(3, 3, rng=0), norm), Sequential(Dense(3, 3, rng=1), norm)
    return Graph("x", a=(first, "x"), b=(second, "a")), (normal(5, 3),)


def images() -> Made:
    body = Residual(Sequential(Conv2D(4, 4, 3, padding=1, rng=1), BatchNorm(4)))
    rest = (ReLU(), MaxPool2D(2), body, Flatten(), Dense(64, 8, rng=2), BatchNorm(8))
    net = Sequential(Conv2D(1, 4, 3, padding=1, rng=0), BatchNorm(4), *rest, Dense(8, 2, rng=3))
    net[0].freeze()
    net[1].freeze()
    return net, (normal(6, 1, 8, 8),)


def joined_images() -> Made:
    lines = {"up": (Conv2D(1, 2, 1, rng=0), "x"), "y": (Join(), "up", "x"), "z": BatchNorm(3)}
    return Graph("x", **lines), (normal(2, 1, 3, 3),)


def table() -> Made:
    x = normal(5, 3)
    x[:, 2] = [0, 1, 2, 3, 1]
    words = Sequential(Columns(2, whole=True), Embedding(4, 2, rng=0))
    lines = {"n": (Columns(0, 1), "t"), "c": (words, "t"), "y": (Join(), "n", "c")}
    return Graph("t", **lines, z=Dense(4, 1, rng=1)), (x,)


def masked(kind: Any) -> Made:
    read = (kind(3, 2, return_state=True, rng=0), "x", "m")
    graph = Graph("x", "m", read=read, outputs=("read.y", "read.h"))
    return graph, (normal(4, 4, 3), MASK)


def started(kind: Any) -> Made:
    again = (kind(3, 2, return_sequences=False, rng=1), "x", None, "h")
    return Graph("x", "h", y=again), (normal(4, 4, 3), normal(4, 2))


def attention() -> Made:
    asks = (MultiHeadAttention(4, 2, rng=0), "x", "memory", "m")
    looks_back = (MultiHeadAttention(4, 2, causal=True, rng=1), "a", "mask=m")
    lines = {"a": asks, "b": looks_back, "c": (MeanOverTime(), "b", "m")}
    return Graph("x", "memory", "m", **lines), (normal(4, 4, 4), normal(4, 4, 4, seed=1), MASK)


def nested() -> Made:
    inner = Graph("x", a=Dense(3, 2, rng=0), b=(Tanh(), "a"), outputs=("a", "b"))
    return Graph("x", inner=inner, y=(Multiply(), "inner.a", "inner.b")), (normal(5, 3),)


def evaluated() -> Made:
    return Sequential(Dense(3, 3, rng=0), BatchNorm(3)).eval(), (normal(5, 3),)


def words_of_python() -> Made:
    lines = {"class": Dense(3, 3, rng=0), "nn": Tanh(), "y": (Join(), "nn", "self")}
    return Graph("self", **lines), (normal(5, 3),)


GRAPHS: dict[str, Callable[[], Made]] = {
    "siamese": siamese,
    "tied": tied,
    "shared inside": shared_inside,
    "images": images,
    "joined images": joined_images,
    "table": table,
    "LSTM, masked": lambda: masked(LSTM),
    "GRU, masked": lambda: masked(GRU),
    "LSTM, started": lambda: started(LSTM),
    "GRU, started": lambda: started(GRU),
    "attention": attention,
    "nested": nested,
    "evaluated": evaluated,
    "words of Python": words_of_python,
}


def random_graph(seed: int) -> Made:
    """Return a Graph of random lines, of rows or of sequences, which all have 4 features."""
    rng = np.random.default_rng(seed)
    of_rows: list[Callable[[], Layer]] = [
        lambda: BatchNorm(4),
        lambda: Concat(Dense(4, 1, rng=seed), Sequential(Dense(4, 3, rng=seed), Tanh())),
        lambda: NTKDense(4, 4, rng=seed),
        lambda: PReLU(4),
    ]
    of_steps: list[Callable[[], Layer]] = [
        lambda: LSTM(4, 4, rng=seed),
        lambda: GRU(4, 4, rng=seed),
        lambda: Conv1D(4, 4, 3, padding="causal", rng=seed),
        lambda: MultiHeadAttention(4, 2, causal=bool(rng.random() < 0.5), rng=seed),
        lambda: SinusoidalPositions(4),
        Flip,
    ]
    both: list[Callable[[], Layer]] = [
        *(Tanh, Sigmoid, SiLU, GELU, Softplus, Softmax, ELU, Mish),
        lambda: Dense(4, 4, rng=seed),
        lambda: LayerNorm(4),
        lambda: Scale(4, 0.5),
        lambda: Sequential(Dense(4, 6, rng=seed), ReLU(), Dense(6, 4, rng=seed + 1)),
    ]
    steps = bool(seed % 2)
    kinds = both + (of_steps if steps else of_rows)
    values, lines = ["x"], dict[str, Any]()
    for number in range(int(rng.integers(2, 9))):
        name = f"v{number}"
        if rng.random() < 0.35:
            taken = rng.choice(values, int(rng.integers(2, 4)))
            joins = [Add(), Multiply()]
            lines[f"j{number}"] = (Join(), *taken)
            lines[name] = Dense(4 * len(taken), 4, rng=seed + number)
            if rng.random() < 0.7:
                del lines[f"j{number}"]
                lines[name] = (joins[int(rng.integers(2))], *taken)
        else:
            lines[name] = (kinds[int(rng.integers(len(kinds)))](), str(rng.choice(values)))
        values.append(name)
    inner = {one for line in lines.values() if isinstance(line, tuple) for one in line[1:]}
    free = tuple(one for one in values[1:] if one not in inner)
    x = normal(3, 5, 4, seed=seed) if steps else normal(6, 4, seed=seed)
    return Graph("x", **lines, outputs=free), (x,)


NETWORKS: dict[str, Callable[[], Made]] = {
    **{case.name: lambda c=case: (c.make(np.float64), (c.x(4),)) for case in CASES},  # type: ignore[misc]
    **GRAPHS,
}


def check_there(torch: Any, layer: Layer, xs: tuple[Any, ...]) -> None:
    """Hold outputs and all gradients of the module against the layer's, and what it tells."""
    from minifw.interop.torch import to_torch  # noqa: PLC0415

    module = to_torch(layer)
    tensors = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in xs]
    ours, theirs = several(layer(*xs)), several(module(*tensors))
    dys = [normal(*y.shape, seed=9).astype(y.dtype) for y in ours]
    dxs = several(layer.backward(*dys))
    pairs = list(zip(ours, theirs, strict=True))
    smooth = [
        (z * torch.tensor(dy)).sum() for z, dy in zip(theirs, dys, strict=True) if z.requires_grad
    ]
    if smooth:
        sum(smooth).backward()
    for dx, x in zip(dxs, tensors, strict=False):
        pairs += [(dx, x.grad)] if x.grad is not None else []
    named = dict(module.named_parameters())
    for (_, own), other in zip(layer.named_parameters(), named.values(), strict=True):
        assert own.frozen is not other.requires_grad
        pairs += [(own.grad, other.grad)] if not own.frozen else []
    exact = 2e-5 if ours[0].dtype == np.float32 else EXACT
    for own, other in pairs:
        found = other.detach().numpy()
        assert found.dtype == own.dtype
        np.testing.assert_allclose(found, own, rtol=exact, atol=exact)
    assert module.training == layer.training


def check_back(layer: Layer, xs: tuple[Any, ...]) -> None:
    """Hold what comes back from PyTorch against the layer, bit by bit."""
    from minifw.interop.torch import from_torch, to_torch  # noqa: PLC0415

    back = from_torch(to_torch(layer))
    for own, other in zip(several(layer.eval()(*xs)), several(back.eval()(*xs)), strict=True):
        np.testing.assert_array_equal(own, other)


def several(made: Any) -> tuple[Any, ...]:
    return made if isinstance(made, tuple) else (made,)
