"""A wrong gradient, recognised by a formula: of another slope, another sum, another weight."""

from collections.abc import Callable
from functools import partial
from itertools import permutations

import numpy as np

from minifw.testing._equal import copies, near
from minifw.testing.layers._fault import LayerFault
from minifw.testing.layers._situation import numeric
from minifw.typing import Array

NEAR = 1e-5  # a gradient that is this near to another, relatively, is taken for it
_near = partial(near, digits=NEAR)

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
    "1 - 2 y": lambda _, y: 1 - 2 * y,
    "(1 - y)^2": lambda _, y: (1 - y) ** 2,
    "y (1 - y)^2": lambda _, y: y * (1 - y) ** 2,
    "1 - e^y": lambda _, y: 1 - np.exp(y),
    "1 / (1 + e^-y)": lambda _, y: 1 / (1 + np.exp(-y)),
    "2 x^2": lambda x, _: 2 * x**2,
    "3 x^2": lambda x, _: 3 * x**2,
    "1 / cosh x": lambda x, _: 1 / np.cosh(x),
    "1 - tanh(y)^2": lambda _, y: 1 - np.tanh(y) ** 2,
    "1 - (1 - y^2)^2": lambda _, y: 1 - (1 - y**2) ** 2,
}


def another_slope(f: LayerFault) -> str | None:
    """Fit dy times a slope of another formula, and say what slope it must be."""
    slopes, right, dy = *_slopes(f), f.situation.dy
    for name, slope in slopes.items():
        if name not in right and _near(f.found, dy * slope):
            return f"it is dy times {name}" + (f", and must be dy times {right[0]}" * bool(right))
    for name, slope in slopes.items():
        if right and name not in right and _near(f.found, slope):
            return f"it is {name}, without dy, and must be dy times {right[0]}"
    return None


def must_be(f: LayerFault) -> str | None:
    """Name the slope, if it is one of the formulas."""
    _, right = _slopes(f)
    return f"it must be dy times {right[0]}" if right else None


def _slopes(f: LayerFault) -> tuple[dict[str, Array], list[str]]:
    """Return the slopes by all formulas, and which of them are right."""
    s, x, dy = f.situation.subject, f.x, f.situation.dy
    if not (f.of_input and f.asked.all() and x.shape == dy.shape == f.found.shape):
        return {}, []
    if not np.abs(f.true.value).max() > NEAR * np.abs(dy).max():
        return {}, []
    (y,) = s.forward(f.situation.layer(), copies(f.situation.inputs)).values()
    slopes = {name: slope(x, y) for name, slope in SLOPES.items()}
    return slopes, [name for name, slope in slopes.items() if _near(dy * slope, f.true.value)]


def of_another_dy(f: LayerFault) -> str | None:
    """Fit the gradient for a dy that was summed, or whose axes were exchanged by reshape."""
    s = f.situation
    if s.batch == 1 or len(s.subject.dys) > 1:
        return None
    for axis in range(s.dy.ndim):
        if s.dy.shape[axis] > 1 and f.fits_dys(lambda _, a: a.sum(axis, keepdims=True) + 0 * a):  # noqa: B023
            return f"it is right for dy summed over axis {axis}: the sum comes too early"
        if s.dy.shape[axis] > 1 and f.fits_dys(lambda _, a: a.take([0], axis) + 0 * a):  # noqa: B023
            return f"it is right with place 0 of axis {axis} of dy at all places"
    for order in permutations(range(s.dy.ndim)):
        cut = tuple(s.dy.shape[axis] for axis in order)
        if order == tuple(range(s.dy.ndim)):
            continue
        reads = lambda _, a: a.reshape(cut).transpose(np.argsort(order))  # noqa: B023, E731
        writes = lambda _, a: a.transpose(order).reshape(a.shape)  # noqa: B023, E731
        if f.fits_dys(reads) or f.fits_dys(writes):
            return (
                f"it is right for dy with its axes in the order {order}: reshape alone does not "
                "exchange axes, and what is transposed must be so at both ends"
            )
    return None


def times_a_number(f: LayerFault) -> str | None:
    """Fit the right gradient times x or y, or divided by it."""
    x, dy = f.x, f.situation.dy
    if f.situation.batch == 1 or x.shape != dy.shape or not f.asked.all():
        return None
    (y,) = f.situation.subject.forward(f.situation.layer(), copies(f.situation.inputs)).values()
    for name, value in (("x", x), ("y", y)):
        for power, words in ((1, "is in it once too often"), (-1, "is missing in it")):
            other = (f.matrix @ (dy * value**power).ravel()).reshape(f.found.shape)
            if (not f.of_input or _near(f.true.value * value**power, other)) and _near(
                f.found, other
            ):
                return f"the factor {name} {words}"
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
