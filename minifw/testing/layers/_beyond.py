"""A layer beyond the x that was given: other lengths and sizes of x, ties, other sizes of dy."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from minifw.testing._equal import ROUNDING, Results, copies, same
from minifw.testing._numeric import Slopes, along, mismatches, wrong_slope
from minifw.testing._report import Failure, NotApplicable, declared, told
from minifw.testing._state import undoing
from minifw.testing.layers._compare import compare
from minifw.testing.layers._situation import Situation, analytic, arrays_of, function_of
from minifw.testing.layers._subject import LayerSubject, gradients
from minifw.typing import Array

SIZES = (10.0, 100.0, 0.1, 0.01)  # times x
POWERS = (2.0**20, 2.0**-20)  # times dy: powers of two round nothing
SQUARED = 0.5  # the power of dy, from which on it is more than a part that is clipped
LINEAR = 1e-9  # what is left of the digits once dx of a dy of zeros is subtracted
FLOOR = 1e-290  # of slopes: below it numbers are denormal, and lose their digits
LEVELS = (1 / 6, 1 / 2, 5 / 6)  # quantiles of x, to which all its numbers are moved


def meant(s: LayerSubject) -> dict[str, str]:
    """Return the gradients that are declared to be no derivatives, and why.

    A dx that is none spoils the gradients of all that comes before it in a container.
    """
    found = dict(declared(s.layer))
    for name, inner in s.layer.named_layers():
        for one, reason in declared(inner).items():
            if one.startswith("dx"):
                found.update(dict.fromkeys((*s.dxs, *gradients(s.layer)), reason))
            found[f"d{name}.{one[1:]}"] = reason
    return found


def slope_along(situation: Situation, directions: Results) -> Slopes:
    """Return the one slope where all inputs and parameters named are moved at once."""
    there, arrays = function_of(situation)
    centres, t = {name: arrays[name].copy() for name in directions}, np.zeros(1)

    def forward() -> Array:
        for name, direction in directions.items():
            arrays[name][...] = centres[name] + t[0] * direction
        return there()

    return along(forward, t, np.ones(1), situation.dy)


def _right_along(situation: Situation) -> bool:
    """Whether all gradients together give the slope along a random direction."""
    s, left = situation.subject, declared(situation.subject.layer)
    found = analytic(situation, earlier=s.input(draw=2))
    arrays = arrays_of(s, situation.layer(), situation.inputs)
    rng, directions = s.rng(7), Results()
    for name in found.keys() - left.keys():
        if found[name].shape != arrays[name].shape:
            return False
        directions[name] = np.asarray(rng.standard_normal(arrays[name].shape))
    given = sum((float(np.sum(found[name] * moved)) for name, moved in directions.items()), 0.0)
    if not np.isfinite(given):
        return True

    def slope(reach: float) -> Slopes:
        return slope_along(situation, {name: reach * moved for name, moved in directions.items()})

    true = wrong_slope(slope, given)
    return true is None or max(abs(given), abs(true)) < FLOOR


def _hold(situation: Situation) -> None:
    """Hold all gradients against differences: one by one only if they are wrong together."""
    if not _right_along(situation):
        for of_x in (True, False):
            with suppress(NotApplicable):
                compare(situation, of_x=of_x)


# -- lengths ---------------------------------------------------------------------------


def other_lengths(s: LayerSubject) -> Iterator[tuple[tuple[str, ...], int, int, Results]]:
    """Yield which inputs, which axis, its length and a batch; one more, one less and 1.

    Each input alone, and all together that are of one length.
    """
    xs, more = s.input(), s.input(draw=8)
    pairs = [(axis, x.shape[axis]) for x in xs.values() for axis in range(1, x.ndim)]
    for axis, n in dict.fromkeys(pairs):
        alike = [name for name, x in xs.items() if x.ndim > axis and x.shape[axis] == n]
        for names in dict.fromkeys(((*alike,), *((name,) for name in alike))):
            for length in dict.fromkeys((n + 1, n - 1, 1)):
                if length in (0, n):
                    continue
                changed = {
                    name: np.concatenate([xs[name], more[name]], axis).take(range(length), axis)
                    for name in names
                }
                yield names, axis, length, {**xs, **changed}


def lengths(s: LayerSubject) -> dict[str, Any]:
    """Hold the gradients against differences wherever an axis may be longer or shorter."""
    tried, broadcast, before = dict[str, set[int]](), "", s.input()
    for names, axis, length, xs in other_lengths(s):
        what = " and ".join(f"{name} of shape {xs[name].shape}" for name in names)
        dxs = answers(s, xs, f"with {what}")
        if not dxs:
            continue
        for dx in s.real:
            shape = xs[s.dxs[dx]].shape
            if dxs[dx].shape != shape:
                broadcast = broadcast or f"with {what}, {dx} has the shape {dxs[dx].shape}"
                if length > 1:
                    raise Failure(f"{broadcast}: refuse another shape in a ValueError")
        width = axis == before[names[0]].ndim - 1
        if broadcast or _fixed_by_the_first(s, xs, what, width=width):
            continue
        with told(f"backward is right for the given length alone: with {what}, "):
            _hold(Situation.where(s, xs, training=True))
        where = f"axis {axis} of {' and '.join(names)}"
        tried.setdefault(where, {before[names[0]].shape[axis]}).add(length)
    if broadcast:
        raise NotApplicable(f"{broadcast}, as it is broadcast: refuse it, unless that is meant")
    parts = [f"another length of {where} than {_listed(of)}" for where, of in tried.items()]
    return {"untried": ", ".join(parts)}


def _listed(numbers: set[int]) -> str:
    first, *rest = map(str, sorted(numbers))
    return first if not rest else f"{', '.join([first, *rest[:-1]])} and {rest[-1]}"


def answers(s: LayerSubject, xs: Results, what: str, *, rank: bool = False) -> Results:
    """Return what backward gives for these inputs; nothing if they are refused in a sentence.

    Or if forward gives nothing, or nothing finite. Of a wrong rank, NumPy's IndexError says
    how many axes there are, and how many are asked for.
    """
    layer = s.twin(training=False)
    try:
        ys = s.forward(layer, copies(xs))
        dxs = s.backward(layer, s.cotangents(ys))
    except Exception as error:  # noqa: BLE001 - the wrong type is the finding
        clear = (ValueError, TypeError, IndexError) if rank else (ValueError, TypeError)
        if isinstance(error, clear) and str(error):
            return {}
        said = f"{type(error).__name__}: {error}" if str(error) else f"{error!r} without a word"
        raise Failure(
            f"{what}, it raised {said}; a ValueError that says which shape is expected would be "
            "clear"
        ) from None
    whole = all(y.size and np.isfinite(y).all() for y in ys.values())
    return dxs if whole else {}


def _fixed_by_the_first(s: LayerSubject, xs: Results, what: str, *, width: bool) -> bool:
    """Whether the first forward has fixed the width; raise if it has fixed more than that."""
    fresh, used = s.twin(), s.twin()
    undo, ys = undoing(used), s.forward(fresh, copies(xs))
    s.forward(used, s.input())
    undo()
    kept = "forward keeps what belongs to the length of an earlier x: make it in each forward; "
    try:
        with told(f"{kept}with {what} after another, "):
            same("as after none", ys, s.forward(used, copies(xs)), ROUNDING)
    except Failure:
        if not width:
            raise
        return True
    return False


# -- sizes -----------------------------------------------------------------------------


def sizes(s: LayerSubject) -> dict[str, Any]:
    """Hold the gradients against differences far out, and near 0."""
    if not s.real:
        raise NotApplicable("x holds whole numbers")
    given = s.input()
    farthest = max(float(np.abs(given[s.dxs[dx]]).max()) for dx in s.real)
    for size in SIZES:
        xs = s.scaled(size, given)
        if not s.takes(s.twin(), xs):
            continue
        farthest = max(farthest, *(float(np.abs(xs[s.dxs[dx]]).max()) for dx in s.real))
        for training in (True, False):
            with told(f"with x {size:g} times as large, "):
                _hold(Situation.where(s, xs, training=training))
    return {"untried": f"|x| above {farthest:.3g}"}


def linear(s: LayerSubject) -> None:
    """Ask for the gradients of a dy that is much larger, and much smaller."""
    situation, left = Situation.of(s, training=True), meant(s)
    one, rest = (analytic(_times(situation, factor)) for factor in (1.0, 0.0))
    names = [name for name in one if name not in left]
    if not names:
        raise NotApplicable(next(iter(left.values()), "there are no gradients"))
    for factor in POWERS:
        other = analytic(_times(situation, factor))
        for name in names:
            expected, found = one[name] - rest[name], (other[name] - rest[name]) / factor
            margin = LINEAR * max(np.abs(a).max(initial=0) for a in (one[name], rest[name]))
            far = np.abs(found - expected)
            if not (far > margin).any():
                continue
            place = tuple(int(i) for i in np.unravel_index(np.argmax(far), far.shape))
            smaller = abs(found[place]) < abs(expected[place])
            cause = "clips large gradients" if smaller == (factor > 1) else "drops small ones"
            at, times = f"{name}{list(place)}", found[place] / (expected[place] or 1)
            if np.log(abs(times) or 1) / np.log(factor) > SQUARED:
                raise Failure(
                    "backward multiplies dy by itself, or by a gradient that has dy in it: each "
                    f"term must have dy once (with dy {factor:g} times as large, {at} is "
                    f"{times:.3g} times what it must be)"
                )
            raise Failure(
                f"backward {cause}, and must be linear in dy: a clip belongs to the optimizer's "
                f"step, not to a layer (with dy {factor:g} times as large, {at} is "
                f"{times:.3g} times what it must be)"
            )


def _times(situation: Situation, factor: float) -> Situation:
    return situation.with_dys(lambda _, dy: factor * dy)


def in_full_size(s: LayerSubject) -> dict[str, Any]:
    """Hold all gradients against differences for the whole x, along one direction."""
    if not s.whole:
        raise NotApplicable("x is small, and nothing was cut off")
    full = replace(s, xs=s.whole, whole=())
    shapes = [[x.shape for x in xs if x is not None] for xs in (s.whole, s.xs)]
    whole, part = (" and ".join(map(str, of)) for of in shapes)
    if not _right_along(Situation.where(full, full.given(np.float64), training=True)):
        raise Failure(f"backward is right for x of shape {part}, and wrong for {whole}")
    return {"untried": f"x of shape {whole} or more, but along one direction; {part} was"}


# -- ties ------------------------------------------------------------------------------


def ties(s: LayerSubject) -> None:
    """Move numbers of a row that are equal together: they stay equal, and no kink is crossed."""
    left = declared(s.layer)
    names = [dx for dx in s.real if dx not in left]
    if not names:
        raise NotApplicable(next(iter(left.values()), "x holds whole numbers"))
    for xs in (s.given(np.float64), {name: _tied(x) for name, x in s.input().items()}):
        groups = _groups([xs[s.dxs[dx]] for dx in names])
        if np.bincount(groups.ravel()).max() > 1 and s.takes(s.twin(), xs):
            _hold_together(Situation.where(s, xs, training=True), names, groups)


def _tied(x: Array) -> Array:
    """Return numbers of x itself, three at most, in place of those that are near them."""
    if x.dtype.kind != "f":
        return x
    levels = np.quantile(x, LEVELS, method="nearest")
    tied: Array = levels[np.abs(x[..., None] - levels).argmin(axis=-1)]
    return tied


def _groups(arrays: list[Array]) -> Array:
    """Return a number for each of what is equal in a row, all inputs of the row side by side."""
    rows = np.concatenate([x.reshape(len(x), -1) for x in arrays], axis=1)
    inverse = [np.unique(row, return_inverse=True)[1].ravel() for row in rows]
    return np.array([one + i * rows.shape[1] for i, one in enumerate(inverse)])


def _hold_together(situation: Situation, names: list[str], groups: Array) -> None:
    """Hold the sums of gradients over equal numbers against differences."""
    s, found = situation.subject, analytic(situation)
    shapes = [found[dx].shape for dx in names]
    ends = np.cumsum([int(np.prod(shape[1:])) for shape in shapes])[:-1]

    def slopes(speeds: Array) -> tuple[float, Slopes]:
        parts = np.split(speeds[groups], ends, axis=1)
        moved = {dx: part.reshape(of) for dx, part, of in zip(names, parts, shapes, strict=True)}
        given = sum(float(np.sum(found[dx] * part)) for dx, part in moved.items())
        return given, slope_along(situation, moved)

    def wrong(given: float, true: Slopes) -> bool:
        return bool(mismatches(np.full((), given), true).any()) and abs(given) > FLOOR

    if not wrong(*slopes(s.rng(8).standard_normal(groups.max() + 1))):
        return
    for group in np.flatnonzero(np.bincount(groups.ravel()) > 1):
        given, true = slopes(np.arange(groups.max() + 1) == group + 0.0)
        if wrong(given, true):
            raise Failure(
                "where numbers of x are equal (a tie), each gets all of dy: share it among them, "
                f"or give it to one (moved together, {np.sum(groups == group)} numbers of row "
                f"{np.argwhere(groups == group)[0][0]} have the slope {float(true.value):.6g}, "
                f"{' and '.join(names)} there add up to {given:.6g})"
            )
