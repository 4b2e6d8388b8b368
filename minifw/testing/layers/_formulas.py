"""A wrong gradient, recognised by a formula: of another slope, another sum, another weight."""

from collections.abc import Callable

import numpy as np

from minifw.testing._equal import copies
from minifw.testing.layers._fault import LayerFault
from minifw.testing.layers._situation import numeric
from minifw.typing import Array

NEAR = 1e-5  # a gradient that is this near to another, relatively, is taken for it

# Slopes that people write, as functions of x and y.
SLOPES: dict[str, Callable[[Array, Array], Array]] = {
    "y (1 - y)": lambda _, y: y * (1 - y),
    "1 - y^2": lambda _, y: 1 - y**2,
    "e^x": lambda x, _: np.exp(x),
    "2 x": lambda x, _: 2 * x,
    "1 / (1 + e^-x)": lambda x, _: 1 / (1 + np.exp(-x)),
    "1 / x": lambda x, _: 1 / x,
    "x > 0": lambda x, _: (x > 0).astype(float),
    "x (1 - x)": lambda x, _: x * (1 - x),
    "1 - x^2": lambda x, _: 1 - x**2,
    "1 / (1 + e^x)": lambda x, _: 1 / (1 + np.exp(x)),
    "e^-x": lambda x, _: np.exp(-x),
    "y (1 + y)": lambda _, y: y * (1 + y),
    "1 + y^2": lambda _, y: 1 + y**2,
    "1 - y": lambda _, y: 1 - y,
    "1 + y": lambda _, y: 1 + y,
    "1 - x": lambda x, _: 1 - x,
    "y^2": lambda _, y: y**2,
    "x^2": lambda x, _: x**2,
    "x": lambda x, _: x,
    "y": lambda _, y: y,
    "1 / (y (1 - y))": lambda _, y: 1 / (y * (1 - y)),
    "1 / (1 - y^2)": lambda _, y: 1 / (1 - y**2),
    "1 / y": lambda _, y: 1 / y,
    "y > 0": lambda _, y: (y > 0).astype(float),
}


def another_slope(f: LayerFault) -> str | None:
    """Fit dy times a slope of another formula, and say what slope it must be."""
    s, x, dy = f.situation.subject, f.x, f.situation.dy
    if not (f.of_input and f.asked.all() and x.shape == dy.shape == f.found.shape):
        return None
    (y,) = s.forward(f.situation.layer(), copies(f.situation.inputs)).values()
    slopes = {name: slope(x, y) for name, slope in SLOPES.items()}
    right = [name for name, slope in slopes.items() if _near(dy * slope, f.true.value)]
    for name, slope in slopes.items():
        if name not in right and _near(f.found, dy * slope):
            return f"it is dy times {name}" + (f", and must be dy times {right[0]}" * bool(right))
    for name, slope in slopes.items():
        if right and name not in right and _near(f.found, slope):
            return f"it is {name}, without dy, and must be dy times {right[0]}"
    return None


def of_a_bias(f: LayerFault) -> str | None:
    """Fit the sum of dy, of a parameter that is not only added."""
    dy = f.situation.dy
    if (
        f.of_input
        or f.found.shape != dy.shape[dy.ndim - f.found.ndim :]
        or f.found.ndim == dy.ndim
    ):
        return None
    if not _near(f.found, dy.sum(axis=tuple(range(dy.ndim - f.found.ndim)))):
        return None
    return "it is the sum of dy, as of a bias: what the parameter is multiplied with is missing"


def through_a_sum(f: LayerFault) -> str | None:
    """Fit an error that is a multiple of y along an axis: of the sum that y was divided by."""
    dy, error = f.situation.dy, f.found - f.true.value
    if not (f.of_input and f.asked.all() and error.shape == dy.shape):
        return None
    (y,) = f.situation.subject.forward(f.situation.layer(), copies(f.situation.inputs)).values()
    for axis in range(1, y.ndim):
        e, v = (np.moveaxis(a, axis, 0).reshape(y.shape[axis], -1) for a in (error, y))
        if len(e) > 2 and _near(v * (e * v).sum(axis=0) / (v * v).sum(axis=0), e):
            return (
                f"the derivative through the sum over axis {axis} that y is divided by is wrong "
                "or missing: check what is summed, and over which axis"
            )
    return None


def where_none_is(f: LayerFault) -> str | None:
    """Fit a gradient that is not 0 at elements of x that no output depends on."""
    if not f.of_input:
        return None
    none = ~f.matrix.any(axis=1).reshape(f.found.shape) & f.asked
    if (none == f.asked).all() or not f.found[none].any():
        return None
    at = ", ".join(str(i) for i in np.argwhere(none & (f.found != 0))[0])
    return (
        f"it is not 0 at {f.name}[{at}] and others that no output depends on: only an element "
        "that forward takes gets a gradient"
    )


def of_a_moved_weight(f: LayerFault) -> str | None:
    """Fit the gradient for a weight with its axes flipped or exchanged."""
    for name, parameter in f.situation.layer().named_parameters() if f.of_input else ():
        if parameter.value.ndim < 2:
            continue
        moves: dict[str, Callable[[Array], Array]] = {
            "flipped along its last two axes": lambda w: w[..., ::-1, ::-1].copy(),
            "flipped along its last axis": lambda w: w[..., ::-1].copy(),
            "transposed in its last two axes": lambda w: w.swapaxes(-1, -2).copy(),
        }
        for how, move in moves.items():
            if move(parameter.value).shape != parameter.value.shape:
                continue
            if f.fits(numeric(f.situation.at(altered=(name, move)), f.name)):
                return f"it is the gradient for {name} {how}"
    return None


def _near(found: Array, other: Array) -> bool:
    size = np.abs(other).max()
    return bool(np.isfinite(size) and np.allclose(found, other, rtol=0, atol=NEAR * size))
