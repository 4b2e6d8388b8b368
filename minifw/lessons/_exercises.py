"""The exercises of docs/learn, by name: what each is held against, and its known slips."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from minifw import layers, losses, optimizers
from minifw.core.layer import Layer
from minifw.datasets import moons
from minifw.lessons._kinds import (
    Exercise,
    Forward,
    Inputs,
    LayerExercise,
    LossExercise,
    NetworkExercise,
    OptimizerExercise,
    ValueExercise,
)
from minifw.typing import Array


def _normal(*shape: int, arrays: int = 1) -> Inputs:
    return lambda rng: tuple(rng.standard_normal((arrays, *shape)))


def _whole(below: int, *shape: int) -> Inputs:
    return lambda rng: (rng.integers(0, below, shape),)


def _targets(*target: float, classes: int = 1, probable: bool = False) -> Inputs:
    """Return predictions, or probabilities, and the targets."""
    t = np.array(target, float).reshape(-1, 1) if classes == 1 else np.array(target, int)
    shape = (len(target), classes)
    return lambda rng: (rng.uniform(0.1, 0.9, shape) if probable else rng.normal(size=shape), t)


def _steps(rng: np.random.Generator) -> tuple[Any, ...]:
    """Return scores, (batch, time, classes), and labels."""
    return rng.normal(size=(2, 3, 4)), np.array([[0, 3, 1], [1, 2, 0]])


# -- what people write by mistake ------------------------------------------------------


def _softmax(s: Array, axis: Any = -1, largest: int | None = None) -> Array:
    """Return e^s over its sum along `axis`; first the largest along `largest` is taken off."""
    e = np.exp(s - s.max(axis=axis if largest is None else largest, keepdims=True))
    return np.asarray(e / e.sum(axis=axis, keepdims=True))


def _with(make: Callable[[], Any], **changes: Callable[[Array], Array]) -> Forward:
    """Return the forward of minifw's layer with the answer's parameters, some of them changed."""

    def forward(answer: Layer, *xs: Array) -> Array:
        state, layer = answer.state_dict(), make()
        layer.load_state_dict({**state, **{n: change(state[n]) for n, change in changes.items()}})
        return np.asarray(layer.train(answer.training).forward(*xs))

    return forward


def _norm(axis: int, ddof: int = 0, power: float = 0.5, over: Any = ()) -> Forward:
    def forward(own: Any, x: Array) -> Array:
        var = (x - x.mean(axis, keepdims=True)).var(
            axis if over == () else over, ddof=ddof, keepdims=True
        )
        n = (x - x.mean(axis, keepdims=True)) / (var + 1e-5) ** power
        return np.asarray(n * own.weight.value + own.bias.value)

    return forward


def _attention(
    _: Any,
    *qkv: Array,
    ahead: int | None = None,
    hidden: float = -1e30,
    back: bool = False,
    after: bool = False,
    exchanged: bool = False,
    scale: float = 0.5,
    softmax: Callable[[Array], Array] = _softmax,
) -> Array:
    """Return attention: `ahead` later places are seen, `scale` is the power of the width."""
    k, q, v = qkv if exchanged else (qkv[1], qkv[0], qkv[2])
    s = q @ k.swapaxes(-1, -2) / q.shape[-1] ** scale  # (..., queries, keys)
    if ahead is not None:
        seen = np.tri(s.shape[-2], s.shape[-1], ahead, dtype=bool)  # (queries, keys)
        if after:
            return np.asarray(softmax(s) * seen @ v)
        s = np.where(seen.T if back else seen, s, hidden)
    return np.asarray(softmax(s) @ v)


def _heads(
    own: Any, x: Array, *, heads: int = 2, cut: bool = True, join: bool = True, **wrong: Any
) -> Array:
    """Return causal attention by heads, which are cut and joined by transposing."""
    qkv = np.split(x @ own.in_proj_weight.value.T + own.in_proj_bias.value, 3, axis=-1)
    batch, time, _ = x.shape
    if cut:
        parts = [a.reshape(batch, time, heads, -1).swapaxes(1, 2) for a in qkv]
    else:
        parts = [a.reshape(batch, heads, time, -1) for a in qkv]
    z = _attention(own, *parts, **{"ahead": 0, **wrong})  # (batch, heads, time, width / heads)
    y = (z.swapaxes(1, 2) if join else z).reshape(x.shape)
    return np.asarray(y @ own.out_proj.weight.value.T + own.out_proj.bias.value)


# -- the numbers -----------------------------------------------------------------------


@cache
def _codes() -> Any:
    """Return Python's manual, a whole number for each character."""
    return np.unique(list("".join(topics.values())), return_inverse=True)[1]


def _pieces() -> tuple[Any, Any]:
    """Return pieces of it, (512, 16), and the characters that follow each of theirs."""
    length = len(_codes()) // 512
    pieces = _codes()[: 512 * length].reshape(512, length)
    return pieces[:, :16], pieces[:, 1:17]


@cache
def _entropy(length: int) -> float:
    """Return what the next `length` characters of Python's manual leave open, in nats."""
    text = _codes()
    parts = np.stack([text[i : len(text) - length + 1 + i] for i in range(length)])
    chance = np.unique(parts, axis=1, return_counts=True)[1] / parts.shape[1]
    return float(-(chance * np.log(chance)).sum())


def _moons(scale: float = 1.0, *, labels: bool = False) -> tuple[Array, Array]:
    """Return the clinic's data: one column may be scaled, and the classes be whole numbers."""
    x, y = moons(rng=0)
    return x * [scale, 1], y.ravel().astype(int) if labels else y


def _centred(_: Any, x: Array) -> Array:
    return np.asarray(x - x.mean(axis=1, keepdims=True))


def _slope(f: Any, x: float) -> float:
    return float({np.sin: np.cos, np.exp: np.exp}[f](x))


# -- the exercises ---------------------------------------------------------------------

# Of the clinic; the best line has a loss of 0.26.
PATIENT = NetworkExercise(_moons, losses.BCELoss, below=0.15, looks=True)
DW1 = -0.0602290696  # of the network with simple numbers, docs/learn/trace.md
DENSE, CONV = partial(layers.Dense, 3, 2), partial(layers.Conv2D, 2, 3, 3)
_labels, _logits = _targets(1, 0, 1, 1, 0, probable=True), _targets(0, 1, 1, 0, 1)

EXERCISES: dict[str, Exercise] = {
    # 0: the grader
    "scale": LayerExercise(_normal(4, 3), partial(layers.Scale, 3)),
    "square": LayerExercise(_normal(4, 3), reference=lambda _, x: x**2),
    "centre": LayerExercise(_normal(4, 3), reference=lambda _, x: x - x.mean(1, keepdims=True)),
    "elu": LayerExercise(_normal(4, 3), partial(layers.ELU, 0.1)),
    # 1: one unit
    "slope": ValueExercise(_slope, ((np.sin, 0.5), (np.exp, 1.0)), digits=1e-7),
    "sigmoid": LayerExercise(_normal(4, 3), layers.Sigmoid),
    "softplus": LayerExercise(_normal(4, 3), layers.Softplus),
    # 2: the notes' network
    "dense": LayerExercise(_normal(4, 3), DENSE),
    "tanh": LayerExercise(_normal(4, 3), layers.Tanh),
    "bce": LossExercise(_labels, losses.BCELoss, far=((0.99, 0.0), (0.01, 1.0))),
    # 3: every number
    "dW1": ValueExercise(lambda: DW1, digits=5e-3),  # of numbers rounded to four places
    # 4: a sigmoid and its loss
    "bce_with_logits": LossExercise(
        _logits, losses.BCEWithLogitsLoss, far=((20.0, 0.0), (40.0, 0.0), (1e3, 0.0))
    ),
    "huber": LossExercise(
        _targets(0.5, -0.7, 3, -3, 0),
        losses.HuberLoss,
        far=((0.5, 0.0), (1.5, 0.0), (-4.0, 0.0)),
    ),
    # 5: downhill
    "momentum": OptimizerExercise(partial(optimizers.SGD, lr=0.1, momentum=0.9)),
    "adam": OptimizerExercise(partial(optimizers.Adam, lr=0.1)),
    # 6: the clinic
    **{f"patient_{i}": PATIENT for i in range(1, 11)},
    "patient_6": replace(PATIENT, data=partial(_moons, 1000)),
    "patient_10": replace(
        PATIENT, data=partial(_moons, labels=True), loss=losses.CrossEntropyLoss
    ),
    # 7: ten classes
    "softmax": LayerExercise(_normal(4, 3), layers.Softmax),
    "cross_entropy": LossExercise(_targets(0, 3, 1, 1, 2, classes=4), losses.CrossEntropyLoss),
    # 8: images
    "conv2d": LayerExercise(_normal(2, 2, 5, 4), CONV),
    "max_pool": LayerExercise(_normal(2, 2, 4, 6), partial(layers.MaxPool2D, 2)),
    # 9: norms
    "layer_norm": LayerExercise(_normal(4, 5), partial(layers.LayerNorm, 5)),
    "batch_norm": LayerExercise(_normal(6, 3), partial(layers.BatchNorm, 3)),
    # 10: letters
    "unigram": ValueExercise(partial(_entropy, 1)),
    "bigram": ValueExercise(lambda: _entropy(2) - _entropy(1)),
    "embedding": LayerExercise(_whole(6, 4, 5), partial(layers.Embedding, 6, 3)),
    # 11: depth
    "residual": LayerExercise(_normal(4, 3), lambda: layers.Residual(layers.Dense(3, 3))),
    "gelu": LayerExercise(_normal(4, 3), partial(layers.GELU, "tanh")),
    "swish": LayerExercise(
        _normal(4, 3), reference=lambda own, x: x / (1 + np.exp(-own.slope.value * x))
    ),
    # 12: attention
    "attention": LayerExercise(_normal(2, 4, 3, arrays=3), reference=_attention),
    "causal_attention": LayerExercise(
        _normal(2, 4, 3, arrays=3), reference=partial(_attention, ahead=0)
    ),
    "heads": LayerExercise(
        _normal(2, 5, 4), partial(layers.MultiHeadAttention, 4, 2, causal=True), causal=True
    ),
    # 13: the GPT
    "dense_steps": LayerExercise(_normal(2, 4, 3), DENSE),
    "layer_norm_steps": LayerExercise(_normal(2, 4, 5), partial(layers.LayerNorm, 5)),
    "cross_entropy_steps": LossExercise(_steps, losses.CrossEntropyLoss),
    "gpt": NetworkExercise(_pieces, losses.CrossEntropyLoss, below=2.3),
}

# -- what people compute by mistake, by the name of its sentence -------------------------

_ATTENTION: dict[str, dict[str, Any]] = {
    "scores not scaled": {"scale": 0.0},
    "scores divided by the width": {"scale": 1.0},
    "scores multiplied": {"scale": -0.5},
    "softmax over the queries": {"softmax": partial(_softmax, axis=-2)},
    "divided by the sum over the queries": {"softmax": partial(_softmax, axis=-2, largest=-1)},
    "softmax over all scores": {"softmax": partial(_softmax, axis=(-2, -1), largest=-1)},
    "keys and queries exchanged": {"exchanged": True},
}
_MASKED = {
    **_ATTENTION,
    "mask missing": {"ahead": None},
    "mask sees one ahead": {"ahead": 1},
    "mask hides the present": {"ahead": -1},
    "mask of zeros": {"hidden": 0.0},
    "mask transposed": {"back": True},
    "mask after the softmax": {"after": True},
}
_CUT: dict[str, dict[str, Any]] = {
    "heads not transposed": {"cut": False, "join": False},
    "heads cut without a transpose": {"cut": False},
    "heads joined without a transpose": {"join": False},
    "one head": {"heads": 1},
}


def _each(forward: Any, table: dict[str, dict[str, Any]], **fixed: Any) -> dict[str, Forward]:
    return {name: partial(forward, **{**fixed, **wrong}) for name, wrong in table.items()}


SLIPS: dict[str, dict[str, Callable[..., Any]]] = {
    "slope": {"slope doubled": lambda f, x: 2 * _slope(f, x)},
    "sigmoid": {"sigmoid mirrored": lambda _, x: 1 / (1 + np.exp(x))},
    "dense": {
        "bias missing": _with(DENSE, bias=np.zeros_like),
        "bias subtracted": _with(DENSE, bias=np.negative),
    },
    "bce": {
        "first term alone": lambda p, t: -(t * np.log(p)).mean(),
        "labels exchanged": lambda p, t: losses.BCELoss().forward(p, 1 - t),
    },
    "bce_with_logits": {
        "labels exchanged": lambda p, t: losses.BCEWithLogitsLoss().forward(p, 1 - t)
    },
    "dW1": {"number without the mean": lambda: 3 * DW1},
    "centre": {"mean over the batch": lambda _, x: x - x.mean(axis=0)},
    "softmax": {
        "softmax over the batch": lambda _, x: _softmax(x, 0),
        "divided by the sum of a column": lambda _, x: _softmax(x, 0, -1),
    },
    "cross_entropy": {
        "all classes": lambda p, _: -np.log(_softmax(p)).sum() / 5,
        "softmax over columns": lambda p, t: -np.log(_softmax(p, 0, -1)[range(5), t]).mean(),
    },
    "conv2d": {
        "bias missing": _with(CONV, bias=np.zeros_like),
        "kernel flipped": _with(CONV, weight=lambda w: w[..., ::-1, ::-1]),
        "kernel transposed": _with(CONV, weight=lambda w: w.swapaxes(2, 3)),
    },
    "max_pool": {"mean of the window": lambda _, x: layers.AvgPool2D(2).forward(x)},
    "layer_norm": {
        "norm over the batch": _norm(0),
        "variance over n - 1": _norm(1, ddof=1),
        "root missing": _norm(1, power=1),
        "one variance": _norm(1, over=None),
        "bias missing": _with(partial(layers.LayerNorm, 5), bias=np.zeros_like),
    },
    "batch_norm": {
        "norm over the features": _norm(1),
        "variance over n - 1": _norm(0, ddof=1),
        "batch statistics in eval mode": _norm(0),
        "root missing": _norm(0, power=1),
    },
    "unigram": {"in bits": lambda: _entropy(1) / np.log(2)},
    "bigram": {
        "in bits": lambda: (_entropy(2) - _entropy(1)) / np.log(2),
        "of both characters": lambda: _entropy(2),
    },
    "attention": _each(_attention, _ATTENTION),
    "causal_attention": _each(_attention, _MASKED, ahead=0),
    "heads": _each(_heads, {**_MASKED, **_CUT}),
}
