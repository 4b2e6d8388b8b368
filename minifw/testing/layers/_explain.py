"""What went wrong with a gradient: it is compared with the faults that people make.

Each explanation is a function of the faulty gradient that returns a sentence,
or None where it does not fit. They are asked in turn, the more telling first.
"""

from collections.abc import Callable

import numpy as np

from minifw.testing._explain import (
    DIGITS,
    constant_factor,
    factor_sentence,
    one_side,
    places_of,
    precision,
    zero,
)
from minifw.testing._numeric import mismatches
from minifw.testing.layers import _formulas as formula
from minifw.testing.layers import _rerun as rerun
from minifw.testing.layers._fault import LayerFault
from minifw.testing.layers._situation import Situation, analytic, numeric
from minifw.typing import Array

FEW = 3  # different numbers, at least, whose order says something
ROUGH = 1e-2  # relative to the largest: of an approximation
POWERS = {  # of a parameter, by which the gradient is too large
    1: "it is multiplied by {} once too often",
    -1: "the factor {} is missing in it",
    -2: "it is divided by {}, and must be multiplied by it",
}
NEAR = 1e-5  # a gradient that is this near to another, relatively, is taken for it


def _not_written(f: LayerFault) -> str | None:
    if not np.isnan(f.found).any():
        return None
    if f.of_input:
        return "it holds NaN"
    again = analytic(f.situation, earlier=f.earlier, fill=0.0)[f.name]
    if np.isnan(again).any():
        return "it holds NaN"
    if not mismatches(again, f.true).any():
        return "backward adds to the gradient that was there: overwrite it (= in place of +=)"
    filled = analytic(f.situation, earlier=f.earlier, fill=7.0)[f.name]
    if (filled == 7.0).all():
        return "backward never sets it"
    return "backward sets only a part of it" if (filled == 7.0).any() else None


def _not_followed(f: LayerFault) -> str | None:
    if f.true.value[f.asked].any() or not f.found[f.asked].any():
        return None
    what = f.situation.subject.dxs.get(f.name, f.name.removeprefix("d"))
    return f"forward does not follow {what}: it keeps something from an earlier call, or rounds"


def _factor(f: LayerFault) -> str | None:
    factor = constant_factor(f.found, f.true)
    if factor is None or abs(factor - 1) < DIGITS:
        return None
    x, y = f.x, f.situation.dy
    sizes = {"the batch size": len(x), "the number of features": x.shape[-1]}
    if y.shape[-1] != x.shape[-1]:
        sizes["the number of outputs"] = y.shape[-1]
    if len(y):
        sizes["the number of elements of a batch"] = y.size
    if _same_for_another_batch(f, factor):
        sizes = {name: size for name, size in sizes.items() if "batch" not in name}
    return factor_sentence(factor, sizes)


def _same_for_another_batch(f: LayerFault, factor: float) -> bool:
    """Whether a batch of another size gives the same factor, which then is not a batch size."""
    subject, batch = f.situation.subject, f.situation.batch + 2
    try:
        other = Situation.of(subject, training=f.situation.training, batch=batch, draw=1)
        again = constant_factor(analytic(other)[f.name], numeric(other, f.name))
    except Exception:  # noqa: BLE001 - it may take one batch size only
        return False
    return again is not None and abs(again / factor - 1) < DIGITS


def _ignores_dy(f: LayerFault) -> str | None:
    if f.situation.batch == 1:  # of few numbers, some are like others by chance
        return None
    for dy in f.situation.subject.dys:
        for value, word in ((1.0, "ones"), (0.0, "zeros")):
            if f.fits_dys(lambda name, a: np.full_like(a, value) if name == dy else a):  # noqa: B023
                return f"{dy} is ignored: it is the gradient for a {dy} of {word}"
    if f.of_input and f.found.shape == f.situation.dy.shape and f.fits(f.situation.dy):
        return "dy is passed on as it came: the layer's own derivative is missing"
    return None


def _without_dy(f: LayerFault) -> str | None:
    """Find a term that dy is not a factor of."""
    if f.situation.subject.explanations:  # of a loss, which has no dy
        return None
    rest = analytic(f.situation.with_dys(lambda _, a: 0 * a), earlier=f.earlier)[f.name]
    if not np.isfinite(rest).all() or not rest[f.asked].any():
        return None
    return "it is not 0 for a dy of zeros: dy must be a factor of each of its terms"


def _of_another(f: LayerFault) -> str | None:
    """Fit the gradient of another input, or of another parameter."""
    s = f.situation.subject
    parameters = [f"d{name}" for name, _ in f.situation.layer().named_parameters()]
    for name in (s.real if f.of_input else parameters) if f.situation.batch > 1 else ():
        other = numeric(f.situation, name) if name != f.name else f.true
        if other is not f.true and other.value.shape == f.found.shape and f.fits(other):
            order = "return the gradients in the order of the inputs"
            return f"it is {name}: backward must {order if f.of_input else 'not exchange them'}"
    return None


def _approximate(f: LayerFault) -> str | None:
    scale = np.abs(f.true.value[f.asked]).max()
    if f.asked.sum() < FEW or np.abs(f.found - f.true.value)[f.asked].max() > ROUGH * scale:
        return None
    return "it is nearly right: backward differentiates another formula, as an approximation is"


def _one_place(f: LayerFault) -> str | None:
    """Fit a sum over an axis of y of which only one place was taken."""
    if f.of_input:
        wrong = f.wrong.reshape(len(f.found), -1)
        (right,) = np.nonzero(~wrong.any(axis=1))
        if right.size == 1 and len(wrong) > 2 and np.delete(wrong, right, axis=0).all():
            return f"only row {right[0]} is right"
    for axis, length in enumerate(
        f.situation.dy.shape if len(f.situation.subject.dys) == 1 else ()
    ):
        for place in {0, length - 1} if length > 1 else ():
            if f.fits_dys(lambda _, a: _only(a, axis, place)):  # noqa: B023
                if axis == 0:
                    return f"it is of row {place} alone: the sum over the batch is missing"
                return f"it is of place {place} of axis {axis} of dy alone: a sum is missing"
    return None


def _only(array: Array, axis: int, place: int) -> Array:
    """Return zeros except for one place of an axis."""
    there = np.moveaxis(np.zeros_like(array), axis, 0)
    there[place] = np.moveaxis(array, axis, 0)[place]
    return np.moveaxis(there, 0, axis)


def _same_places(f: LayerFault) -> str | None:
    """Fit the Jacobian without the derivatives of y by x at other places of an axis."""
    dy = f.situation.dy
    if not f.of_input or f.found.shape != dy.shape:
        return None
    places = np.indices(dy.shape).reshape(dy.ndim, -1)
    for axis in reversed(range(1, dy.ndim)):
        same = places[axis][:, None] == places[axis]
        if dy.shape[axis] > 1 and f.fits(((f.matrix * same) @ dy.ravel()).reshape(dy.shape)):
            return (
                f"each place of axis {axis} of y is differentiated by the same place of x alone, "
                "as by the diagonal of the Jacobian: the derivatives by the others are missing"
            )
    if f.fits((f.matrix.T @ dy.ravel()).reshape(dy.shape)):
        return "it is the Jacobian times dy: backward must multiply with its transpose"
    return None


def _assigned(f: LayerFault) -> str | None:
    """Fit the first or the last of several contributions to one number."""
    parts = f.matrix * f.situation.dy.ravel()
    there = np.abs(f.matrix) > NEAR * np.nanmax(np.abs(f.matrix))
    last = there.shape[1] - 1 - there[:, ::-1].argmax(axis=1)
    for place, word in ((last, "last"), (there.argmax(axis=1), "first")):
        one = np.take_along_axis(parts, place[:, None], axis=1)
        if (there.sum(axis=1) > 1).any() and f.fits(one.reshape(f.found.shape)):
            return (
                f"where several outputs depend on one number, only the {word} of them counts: an "
                "index repeats, or windows overlap; add (+= or np.add.at) in place of assigning"
            )
    return None


def _moved(f: LayerFault) -> str | None:
    """Fit the right numbers in other places, or summed."""
    true = f.true.value
    if not f.asked.all() or len(np.unique(true)) < 2:
        return None
    for axis, length in enumerate(true.shape if true.size >= FEW else ()):
        found, right = np.moveaxis(f.found, axis, 0), np.moveaxis(true, axis, 0)
        cases = (
            (length > FEW and _near(found[1:], right[:-1]), "shifted by one place up"),
            (length > FEW and _near(found[:-1], right[1:]), "shifted by one place down"),
            (length > 1 and _near(found, right[::-1]), "reversed"),
            (length > 1 and _near(found, right.sum(axis=0) + 0 * right), "summed"),
        )
        for fits, word in cases:
            if fits:
                return f"it is {word} along axis {axis}"
    axes = true.swapaxes(-1, -2) if true.ndim > 2 else true.T
    for exchanged, where in ((true.T, ""), (axes, " in its last two axes")):
        if _near(f.found, exchanged):
            return f"it is transposed{where}"
    if _near(f.found, true.sum() + 0 * true):
        return "it is one sum over all: name the axes that are summed, as in .sum(axis=0)"
    if true.size >= FEW and _near(np.sort(f.found, axis=None), np.sort(true, axis=None)):
        return "its numbers are right, but in other places: a permutation has to be inverted"
    return None


def _near(found: Array, other: Array) -> bool:
    alike = found.shape == other.shape
    return alike and np.allclose(found, other, rtol=NEAR, atol=NEAR**2)


def _statistics(f: LayerFault) -> str | None:
    """Fit an error that is constant along an axis, or linear in x: of a mean, and a variance."""
    x, error = f.x, f.found - f.true.value
    if not f.of_input or len(x) == 1 or not f.asked.all():
        return None
    for axis in range(x.ndim):
        if x.shape[axis] < FEW:
            continue
        e, v = (np.moveaxis(a, axis, 0).reshape(x.shape[axis], -1) for a in (error, x))
        e, v = e - e.mean(axis=0), v - v.mean(axis=0)
        rest = e - v * (e * v).sum(axis=0) / (v * v).sum(axis=0)
        for left, words in ((e, "a mean"), (rest, "a mean and a variance")):
            if np.abs(left).max() < NEAR * np.abs(error).max():
                return (
                    f"the derivative through {words} over axis {axis} is wrong or missing: check "
                    "its axes and its count"
                )
    return None


def _where(f: LayerFault) -> str | None:
    """Fit a gradient that is right on one side of a value of x, or of |x|, and wrong beyond."""
    x = f.x
    if not f.of_input or x.shape != f.wrong.shape or len(x) == 1:
        return None
    return one_side(f, f.of, x) or one_side(f, f"|{f.of}|", np.abs(x))


def _slices(f: LayerFault) -> str | None:
    """Fit a factor at some places of an axis, or one for each row."""
    for axis, length in enumerate(f.found.shape if f.asked.all() else ()):
        pair = (np.moveaxis(a, axis, 0).reshape(length, -1) for a in (f.found, f.true.value))
        found, true = pair
        square = (true**2).sum(axis=1)
        factors = (found * true).sum(axis=1) / square
        error = np.abs(found - factors[:, None] * true)
        if true.shape[1] < FEW or not square.all() or error.max() > NEAR * np.abs(true).max():
            continue
        bad = np.asarray(np.abs(factors - 1) > NEAR)
        if not bad.all() and np.ptp(factors[bad]) < NEAR * np.abs(factors).max():
            what = factor_sentence(factors[bad][0], {}) if factors[bad][0] else "it is zero"
            return f"at {places_of(bad)} of axis {axis} {what}; elsewhere it is right"
        if length > 1 and f.of_input and (power := _of_parameter(f, axis, factors)):
            return power
        if length > 1 and f.of_input and factors.all():
            return (
                f"it has another factor at each place of axis {axis}, {factors[0]:.6g} at the "
                "first: a number that belongs to the place, such as a norm, a running variance or "
                "its epsilon, is not forward's"
            )
    return None


def _of_parameter(f: LayerFault, axis: int, factors: Array) -> str | None:
    """Fit factors along an axis that are a power of a parameter."""
    for name, parameter in f.situation.layer().named_parameters():
        if parameter.value.shape != f.found.shape[axis : axis + 1]:
            continue
        for power, words in POWERS.items():
            if _near(factors, parameter.value**power):
                return words.format(name)
    return None


EXPLANATIONS: tuple[Callable[[LayerFault], str | None], ...] = (
    _not_written,
    _not_followed,
    rerun.draws_again,
    zero,
    rerun.stale,
    rerun.other_mode,
    _of_another,
    rerun.of_one_use,
    precision,
    _factor,
    _ignores_dy,
    _without_dy,
    formula.another_slope,
    formula.of_a_bias,
    _one_place,
    formula.of_another_dy,
    formula.times_a_number,
    _moved,
    _where,
)
BY_RUNNING: tuple[Callable[[LayerFault], str | None], ...] = (
    rerun.altered,
    rerun.of_another_x,
    rerun.use,
)
LATER: tuple[Callable[[LayerFault], str | None], ...] = (
    _same_places,
    _assigned,
    _approximate,
    _statistics,
    formula.through_a_sum,
    formula.where_none_is,
    formula.of_a_moved_weight,
    _slices,
    rerun.of_other_signs,
    formula.must_be,
)
