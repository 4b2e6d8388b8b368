"""What is wrong with the gradient of a loss: the faults that a layer cannot have.

They are asked before the questions of a layer.
"""

import copy
from typing import Any

import numpy as np

from minifw.testing._explain import (
    DIGITS,
    along_an_axis,
    constant_factor,
    factor_sentence,
    one_side,
)
from minifw.testing._numeric import Slopes, numerical_gradient
from minifw.testing.layers._fault import LayerFault
from minifw.testing.layers._situation import analytic, numeric
from minifw.typing import Array

NEAR = 1e-6  # a gradient that is this near to another, relatively, is taken for it
TIMES = {1: "missing in it", -1: "in it once too often"}


def _pair(f: LayerFault) -> tuple[Array, Any]:
    name = f.situation.subject.dxs[f.name].replace("offset", "prediction")
    inputs = f.situation.inputs
    return inputs[name], inputs.get(name.replace("prediction", "target"))


def _alike(f: LayerFault) -> bool:
    """Whether the target has the shape of the prediction, and real numbers."""
    p, t = _pair(f)
    return t is not None and t.dtype.kind == "f" and bool(t.shape == p.shape)


def _near(found: Array, true: Array) -> bool:
    size = np.abs(true).max()
    return bool(size > 0 and np.allclose(found, true, rtol=0.0, atol=NEAR * size))


def _not_finite(f: LayerFault) -> str | None:
    return None if np.isfinite(f.found).all() else "it holds NaN or infinity"


def _weights(f: LayerFault) -> str | None:
    """Fit weights that were left out, or multiplied in twice."""
    for name in f.situation.subject.layer.others[:1]:  # type: ignore[attr-defined]
        w = f.situation.inputs[name]
        w = w.reshape(*w.shape, *(1,) * (f.found.ndim - w.ndim))
        for power, words in TIMES.items() if w.any() else ():
            if constant_factor(f.found * w**power, f.true) is not None:
                return f"the weights are {words}"
    return None


def _factor(f: LayerFault) -> str | None:
    factor = constant_factor(f.found, f.true)
    if factor is None or abs(factor - 1) < DIGITS:
        return None
    elements, rows = f.found.size, len(f.found)
    sizes = {"the number of elements": elements}
    if rows < elements:
        sizes["the batch size"] = rows
        sizes["the number of elements of a row"] = elements // rows
    return factor_sentence(factor, sizes)


def _of_a_logit(f: LayerFault) -> str | None:
    """Fit a derivative with the slope of a sigmoid in it."""
    p, _ = _pair(f)
    if p.min() > 0 and p.max() < 1:
        if constant_factor(f.found / (p * (1 - p)), f.true) is not None:
            return "it is the derivative by the logit before a sigmoid: divide by p (1 - p)"
        return None
    s = 1 / (1 + np.exp(-p))
    for power, words in (-1, "once too often"), (1, "missing"):
        if constant_factor(f.found * (s * (1 - s)) ** power, f.true) is not None:
            return f"the slope of the sigmoid, s (1 - s), is {words} in it"
    return None


def _of_probabilities(f: LayerFault) -> str | None:
    """Fit -1 / p at the label of each row, of p = softmax(scores)."""
    p, t = _pair(f)
    if t is None or t.dtype.kind not in "iu" or p.ndim != 2 or t.size != len(p):
        return None
    chance = np.exp(p - p.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    there = np.arange(p.shape[1]) == t.reshape(-1, 1)
    ratios = (f.found * chance)[there]
    if f.found[~there].any() or not _near(ratios, ratios[0] + 0 * ratios):
        return None
    return "it is the derivative by the probabilities: the softmax's own derivative is missing"


def _of_another_argument(f: LayerFault) -> str | None:
    """Fit the derivative with respect to the target, or of the loss of the two exchanged."""
    p, t = _pair(f)
    if not _alike(f):
        return None
    if t.min() >= 0 and t.max() <= 1:
        t = 0.1 + 0.8 * t  # labels of 0 and 1 cannot be moved outwards
    loss: Any = copy.deepcopy(f.situation.subject.layer).inner  # type: ignore[attr-defined]
    true = numerical_gradient(lambda moved: loss.forward(moved, t), p)
    of_target = numerical_gradient(lambda moved: loss.forward(p, moved), t)
    exchanged = numerical_gradient(lambda moved: loss.forward(t, moved), p)
    loss.forward(p, t)
    found = loss.backward()
    if _near(found, true):
        return None
    if _near(found, of_target):
        return "it is the derivative with respect to the target, not the prediction"
    if _near(found, exchanged):
        return "it is the derivative of the other direction: prediction and target are exchanged"
    return None


def _sides(f: LayerFault) -> str | None:
    """Fit a gradient that is right on one side of something, or a factor too large on each."""
    p, t = _pair(f)
    places = {}
    if t is not None and t.shape == p.shape:
        places = {"the target is not 0": t != 0, "the prediction is above its target": p > t}
    elif t is not None and t.dtype.kind in "iu" and p.ndim == 2 and t.size == len(p):
        places = {"the class is the target's": np.arange(p.shape[1]) == t.reshape(-1, 1)}
    for name, there in {**places, "the prediction is above 0": p > 0}.items():
        inside, outside = _of_part(f, there), _of_part(f, ~there)
        if inside == "right" and outside:
            return f"it is right only where {name}; elsewhere {outside}"
        if outside == "right" and inside:
            more = "" if inside == "it is wrong" else f"; there {inside}"
            return f"it is wrong only where {name}{more}"
        if inside and outside and "it is wrong" not in (inside, outside) and inside != outside:
            return f"where {name}, {inside}; elsewhere {outside}"
    return None


def _of_part(f: LayerFault, there: Any) -> str:
    """Say what is wrong in a part of the gradient: "right", or "" if only some of it is wrong."""
    asked = there & f.asked
    if not f.wrong[asked].any():
        return "right" if asked.any() else ""
    if not f.found[asked].any():
        return "it is zero"
    part = Slopes(*(np.where(there, array, np.nan) for array in vars(f.true).values()))
    factor = constant_factor(f.found, part)
    if factor is not None:
        return factor_sentence(factor, {})
    return "it is wrong" if f.wrong[asked].all() else ""


def _condition(f: LayerFault) -> str | None:
    """Fit a gradient that is not 0 where the loss does not change, as of what is left out."""
    still = (f.true.low <= 0) & (f.true.high >= 0) & f.asked
    left_in, left_out = f.wrong & still, f.wrong & ~still & (f.found == 0)
    if not left_in.any() or (f.wrong & ~left_in & ~left_out).any():
        return None
    also = ", and 0 where it does" if left_out.any() else ""
    return (
        f"it is not 0 where the loss does not change with the prediction{also}, as in row "
        f"{np.argwhere(left_in)[0][0]}: backward must leave out what forward leaves out, or clamps"
    )


def _size(f: LayerFault) -> str | None:
    """Fit a gradient that is right on one side of a residual, or of its size."""
    p, t = _pair(f)
    sides = (
        {"prediction - target": p - t, "|prediction - target|": abs(p - t)} if _alike(f) else {}
    )
    return next(filter(None, (one_side(f, *side) for side in sides.items())), None)


def _part(f: LayerFault) -> str | None:
    places, part = along_an_axis(f), _of_part(f, f.wrong)
    return places and f"{places}{'' if part == 'it is wrong' else f'; there {part}'}"


def _term(f: LayerFault) -> str | None:
    """Fit a gradient, or an error, that other targets do not change."""
    other = {**f.situation.inputs, "target": f.situation.inputs["target"][::-1].copy()}
    at = f.situation.at(inputs=other)
    moved, true = analytic(at)[f.name], numeric(at, f.name).value
    error, again = f.found - f.true.value, moved - true
    if np.array_equal(moved, f.found) and not _near(true[f.asked], f.true.value[f.asked]):
        return "it is the same with other targets: the target is missing in it"
    same = np.array_equal(other["target"], f.situation.inputs["target"])
    if same or not _near(again[f.asked], error[f.asked]):
        return None
    return (
        "its error is the same with other targets: the term that has the target in it is right, "
        "and the term of the prediction alone is wrong"
    )


LOSS_EXPLANATIONS = (
    *(_not_finite, _weights, _factor, _of_a_logit, _of_probabilities, _of_another_argument),
    *(_condition, _sides, _size, _part, _term),
)
