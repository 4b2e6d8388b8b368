"""Formulas that a graph spells out in several nodes, and the layer that each of them is.

A form is written as the formula is, from its last operator: ``("Mul", "x", ("Sigmoid", "x"))``.
A small letter stands for a value and a capital one for a constant, the same at each place; a
number is a constant of that value, and a list gives several forms. ``"Conv:c"`` also keeps the
node, and ``...`` at the end allows more inputs.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np

from minifw import layers
from minifw.core.layer import Layer
from minifw.interop.onnx._reading.images import conv
from minifw.interop.onnx._reading.shape import embedded
from minifw.interop.onnx._reading.values import Found, Node, Value, formula, in_dtype, product

SCALED = ("Mul", "x", "B")
EXP = ("Exp", "x")
MISH = ("Mul", [EXP, ("Exp", ("Min", "x", "C"))], ("Add", [EXP, ("Exp", ("Min", "x", "C"))], 2.0))
ERF = ("Add", ("Erf", [("Div", "x", math.sqrt(2)), ("Mul", "x", math.sqrt(0.5))]), 1.0)
CUBE = [("Pow", "x", 3.0), ("Mul", "x", ("Mul", "x", "x"))]
TANH = (
    "Add",
    ("Tanh", ("Mul", ("Add", "x", ("Mul", CUBE, 0.044715)), math.sqrt(2 / math.pi))),
    1.0,
)
SQUARE = [("Pow", "x", 2.0), ("Mul", "x", "x")]
ROOT = ("Sqrt", ("Add", ("ReduceMean:m", SQUARE, ...), "E"))
NORMAL = [("Div", "x", ROOT), ("Mul", "x", ("Reciprocal", ROOT)), ("Mul", "x", ("Div", 1.0, ROOT))]
CENTRED = ("Sub", "x", ("ReduceMean:n", "x", ...))
SPREAD = ("ReduceMean:m", [("Pow", CENTRED, 2.0), ("Mul", CENTRED, CENTRED)], ...)
NEGATIVE = ("Less", "x", 0.0)
TURNED = ("Add", "x", "N")
STANDARD = ("Div", CENTRED, ("Sqrt", ("Add", SPREAD, "E")))


def _large(found: Found, letter: str) -> bool:
    """Return whether a constant is 20 or more everywhere, or is left out."""
    return bool(np.all(found.get(letter, 20.0) >= 20.0))


@formula(
    ("Div", "x", ("Add", ("Exp", ("Neg", "x")), 1.0)), ("Mul", "x", ("Sigmoid", "x")), order="same"
)
def silu(*_: Any) -> Layer:
    """Read x / (1 + exp(-x))."""
    return layers.SiLU()


@formula(
    ("Div", ("Softplus", SCALED), "B"),
    ("Where", ("Greater", SCALED, "T"), "x", ("Div", ("Softplus", SCALED), "B")),
    ("Where", ("Greater", "x", "T"), "x", ("Softplus", "x")),
    when=lambda found: _large(found, "T"),  # below it the line is not softplus
    order="same",
)
def softplus(node: Node, found: Found) -> Layer:
    """log(1 + exp(b x)) / b; above 20 x itself, in PyTorch's, which differs by 2e-9."""
    node.broadcast(*(found[letter] for letter in "BT" if letter in found))
    return layers.Softplus(float(found.get("B", 1.0)))


@formula(
    ("Mul", "x", ("Div", MISH, ("Add", MISH, 2.0))),
    when=lambda found: _large(found, "C"),  # from there on n / (n + 2) is 1
    order="same",
)
def mish(node: Node, found: Found) -> Layer:
    """Read x n / (n + 2), n = e (e + 2), e = exp(x)."""
    node.broadcast(*(found[letter] for letter in "C" if letter in found))
    return layers.Mish()


def _halves(part: Any) -> list[Any]:
    """Return x part / 2 in the forms in which it is written."""
    return [
        ("Mul", ("Mul", "x", part), 0.5),
        ("Mul", ("Mul", "x", 0.5), part),
        ("Mul", "x", ("Mul", part, 0.5)),
    ]


@formula(*_halves(ERF), order="same")
def gelu(*_: Any) -> Layer:
    """Read x Phi(x)."""
    return layers.GELU()


@formula(*_halves(TANH), order="same")
def gelu_tanh(*_: Any) -> Layer:
    """Phi(x) by a tanh."""
    return layers.GELU("tanh")


@formula(("Add", ("Mul", STANDARD, "W"), "B"), STANDARD)
def layer_norm(node: Node, found: Found) -> Layer:
    """Read w (x - m) / sqrt(mean((x - m)^2) + eps) + b."""
    return normalization(layers.LayerNorm, node, found, ["m", "n"])


@formula(*[("Mul", one, "W") for one in NORMAL], *NORMAL)
def rms_norm(node: Node, found: Found) -> Layer:
    """Read x w / sqrt(mean(x^2) + eps)."""
    return normalization(layers.RMSNorm, node, found, ["m"])


def normalization(kind: Any, node: Node, found: Found, means: list[str]) -> Layer:
    """Return a normalisation over the last axes, over which all means have to be."""
    shape = node.shape or ()
    taken = {tuple(sorted(node.part(found[letter]).axes())) for letter in means}
    kept = all(node.part(found[letter]).attributes.get("keepdims", 1) for letter in means)
    (axes,) = taken if len(taken) == 1 else ((),)
    last = shape[len(shape) - len(axes) :]
    if not axes or list(axes) != [*range(axes[0], len(shape) + 1)] or not kept:
        raise node.refuse("minifw normalises over the last axes")
    given = {
        key: found[letter] for key, letter in (("weight", "W"), ("bias", "B")) if letter in found
    }
    node.broadcast(found["E"], *given.values())
    shapes = [one.shape[one.ndim - len(axes) :] for one in given.values()]
    if (
        None in last
        or any(one.size != math.prod(last) for one in given.values())
        or any(own != last for own in shapes)
    ):
        raise node.refuse(f"minifw needs one scale for each number of the last axes {last}")
    dtype = in_dtype(next(iter(given.values()), found["E"]))
    layer: Layer = kind(last, eps=float(found["E"]), affine=bool(given), **dtype)
    if given:
        layer.load_state_dict({key: one.reshape(last) for key, one in given.items()})
    return layer


def _product(source: str, w: str, b: str) -> list[Any]:
    return [("Add", ("MatMul", source, w), b), ("MatMul", source, w)]


def _by_head(source: str, w: str, b: str, shape: str, node: str) -> tuple[Any, ...]:
    return (f"Transpose:{node}", ("Reshape", _product(source, w, b), shape))


def _attention(memory: str) -> tuple[Any, ...]:
    """Return softmax(q k' c) v of all heads, times a matrix: as `export` writes it."""
    q, k = _by_head("x", "A", "B", "I", "q"), _by_head(memory, "C", "D", "J", "k")
    scores = ("MatMul", ("Mul", q, "S"), k)
    p = ("Softmax:p", [("Where", "M", scores, "N"), scores])
    z = ("Transpose:z", ("MatMul", p, _by_head(memory, "E", "F", "K", "v")))
    return ("MatMul", ("Reshape", z, "L"), "G")


@formula(*[f for m in "xm" for f in (("Add", _attention(m), "H"), _attention(m))])
def attention(node: Node, found: Found) -> Value:
    """softmax(q k' / sqrt(width)) v of each head, Wo z + bo."""
    heads, width = (int(n) for n in found["I"][2:])
    biased = {letter in found for letter in "BDFH"}
    layer = layers.MultiHeadAttention(
        heads * width, heads, causal="M" in found, bias="H" in found, **in_dtype(found["A"])
    )
    orders = [node.part(found[letter]).attributes.get("perm") for letter in "qkvz"]
    steps = [(value.shape or (None,))[0] for value in node.values] * 2
    # (batch, steps, heads, width), and (batch, steps, features)
    shapes = [(steps[at], heads, width) for at in (0, 1, 1)] + [(steps[0], heads * width)]
    if (
        orders != [[0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3], [0, 2, 1, 3]]
        or len(biased) > 1
        or any(tuple(found[letter][1:]) != own for letter, own in zip("IJKL", shapes, strict=True))
        or node.part(found["p"]).attributes.get("axis", -1) not in (-1, 3)
        or not np.allclose(found["S"], width**-0.5, rtol=1e-6)
        or ("M" in found and not np.array_equal(found["M"], np.tri(steps[0], steps[1])))
        or not found.get("N", -np.inf) <= -1e30
    ):
        raise node.refuse("minifw has attention of each step to all, or to all before it")
    state = {"in_proj_weight": np.concatenate([found[letter].T for letter in "ACE"])}
    state["out_proj.weight"] = found["G"].T
    if "H" in found:
        state |= {
            "in_proj_bias": np.concatenate([found[letter] for letter in "BDF"]),
            "out_proj.bias": found["H"],
        }
    layer.load_state_dict(state)
    return node.add(layer, *node.values)


@formula(("Reshape", ("Expand", ("Reshape", "x", "A"), "B"), "C"))
def up_sample(node: Node, found: Found) -> Layer:
    """Each pixel as a block, as `export` writes it."""
    (*_, down, _, across), shape = (int(n) for n in found["B"]), node.shape
    layer = layers.UpSample2D((down, across))
    grown = [[0, *shape[:2], 1, shape[2], 1], [1, 1, 1, down, 1, across]] if shape else []
    known = shape and len(shape) == 3 and [0, *layer.output_shape(shape)]
    if [found["A"].tolist(), found["B"].tolist(), found["C"].tolist()] != [*grown, known]:
        raise node.refuse("minifw makes images larger by whole factors, each pixel a block")
    return layer


@formula(
    ("Add", ("MatMul", "x", "W"), "B"),
    when=lambda found: (
        (found["W"].ndim, found["B"].shape[-1:]) == (2, found["W"].shape[1:])
        and found["B"].size == found["W"].shape[1]
    ),
)
def affine(node: Node, found: Found) -> Value:
    """Read x W + b."""
    node.broadcast(found["B"])
    return product(node, found["W"], found["B"])


@formula(
    ("Add", ("Conv:c", "x", "W"), "B"),
    when=lambda found: (
        found["W"].ndim - 1 <= found["B"].ndim <= found["W"].ndim
        and found["B"].shape[1 - found["W"].ndim] == found["B"].size == len(found["W"])
    ),
)
def conv_with_bias(node: Node, found: Found) -> Any:
    """conv(x) + b, with a number for each channel."""
    inputs = [node.x, found["W"], found["B"].reshape(-1)]
    return conv(replace(node.part(found["c"]), inputs=inputs))


@formula(
    ("Gather", "W", ("Where", NEGATIVE, TURNED, "x")),
    (
        "Gather",
        "W",
        ("Add", ("Mul", ("Cast", NEGATIVE), TURNED), ("Mul", "x", ("Cast", ("Not", NEGATIVE)))),
    ),
    when=lambda found: (
        found["W"].ndim == 2 and found["N"].size == 1 and found["N"].reshape(()) == len(found["W"])
    ),
)
def embedding(node: Node, found: Found) -> Value:
    """W[x], as Keras writes it; there a negative x counts from the end, here it is refused."""
    return embedded(node, found["W"], node.x)
