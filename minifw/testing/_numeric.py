"""Derivatives by differences: the truth that an analytic gradient is held against.

A smooth function is differenced with the five-point formula

    f'(t) = (8 (f(t+h) - f(t-h)) - (f(t+2h) - f(t-2h))) / 12h + O(h^4),

(Abramowitz and Stegun, 25.3.6), whose two errors, h^4 and the machine epsilon
over h, are of one size near h = 1e-3: eleven digits or so. The same with half
the step tells how far it can be trusted. Where the two disagree, as they do
within reach of a kink, the step is made smaller: it is stepped around. A point
that lies on a kink has two one-sided slopes, and every value between them is a
derivative there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from minifw._tools.checks import describe
from minifw.typing import Array, Shape

STEPS = (1e-3, 1e-4, 1e-5)  # relative to a value above 1; half of each is taken, too
TINY = 1e-2  # a number below it may be moved relatively to itself
FAIR = 1e-6  # an error, relative to the slope, with which that is good enough
GOOD = 1e-10  # an error, relative to the slope, with which no smaller step is tried
ONE_SIDED = 1e-6  # the step of a one-sided slope, which has half the digits of the step
EPSILON = float(np.finfo(np.float64).eps)

RELATIVE = 1e-8  # what an analytic gradient may differ by: a sixth of what float32 would cause
SAFETY = 30.0  # on the estimated error of the differences
KINK = 1e-3  # one-sided slopes that differ by more than this, relative to the larger, are a kink

MAX_ELEMENTS = 50  # of one array; of a larger one, some are drawn, and a direction is added
MAX_OF_LARGE = 20  # of an array with more than LARGE elements, whose layer takes its time
LARGE = 1000
SHORT = 2.0**-6  # of a direction
MIN_ELEMENTS, MAX_OF_ALL = 5, 200  # of one of many arrays, and of all together
KEPT = 300_000  # numbers of f(), times the elements; each is kept for some nine steps


@dataclass(frozen=True)
class Slopes:
    """Slopes of a number along the single elements of an array; arrays of its shape.

    Attributes
    ----------
    value : array
        The slope; NaN where it was not asked for.
    error : array
        How far `value` can be wrong.
    low, high : array
        At a kink, the smaller and the larger of the one-sided slopes; else `value`, less and
        more what rounding hides.
    """

    value: Array
    error: Array
    low: Array
    high: Array

    @classmethod
    def unknown(cls, shape: Shape) -> "Slopes":
        """Return slopes of which none was asked for yet."""
        return cls(*(np.full(shape, np.nan) for _ in range(4)))


def numerical_gradient(f: Callable[[Array], float], array: Array) -> Array:
    """Return the gradient of the number ``f(array)`` with respect to the array, by differences.

    Parameters
    ----------
    f : callable
        Called with the array while one of its elements is moved a little. The
        array is moved in place, so `f` may as well read it from where it
        lives, as in ``parameter.value``.
    array : array of float64
        Restored afterwards. A read-only one is copied.

    Returns
    -------
    array of the same shape
        At a kink of `f`, the mean of the slopes on both sides.

    Raises
    ------
    TypeError
        If the array is not float64: no other has the digits that this takes.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw.testing import numerical_gradient
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> numerical_gradient(lambda x: float(np.sum(x**3)), x).round(6)
    array([[ 3., 12.],
           [27., 48.]])
    """
    if not isinstance(array, np.ndarray) or array.dtype != np.float64:
        raise TypeError(
            f"numerical_gradient expects a float64 array, got {describe(array)}; "
            "use array.astype(np.float64)"
        )
    moved = array if array.flags.writeable else array.copy()
    return differences(lambda: np.array([f(moved)]), moved, np.ones(1)).value


def usual(size: int) -> int:
    """Return of how many elements of an array slopes are taken, where arrays are few."""
    of_large = MAX_OF_LARGE if size <= LARGE**2 else MIN_ELEMENTS
    return min(size, MAX_ELEMENTS if size <= LARGE else of_large)


class Jacobian:
    """The derivatives of an array ``f()`` by single elements of another, which `f` reads.

    What `f` gave is kept: the slopes of sum(dy * f()) for another dy need no further forward.
    With `rng`, of a large array only some elements are taken, drawn from it, and one of `every` of
    these, if there are many arrays: `along` looks at all.
    """

    def __init__(
        self,
        f: Callable[[], Array],
        array: Array,
        rng: np.random.Generator | None = None,
        every: float = 1.0,
    ) -> None:
        self._f, self._array, self._here = f, array, f()
        self._kept: dict[tuple[int, float], Array] = {}
        most = max(MIN_ELEMENTS, round(usual(array.size) / every))
        few = rng is not None and array.size > most
        self.places = (
            rng.choice(array.size, most, replace=False) if few and rng else range(array.size)
        )
        self._keeps = self._here.size * len(self.places) <= KEPT

    def slopes(self, dy: Array) -> Slopes:
        """Return the slopes of sum(dy * f())."""
        slopes = Slopes.unknown(self._array.shape)
        for place in self.places:
            index = np.unravel_index(place, self._array.shape)
            found = _slope(partial(self._at, place), abs(float(self._array[index])), dy)
            for part, number in zip(vars(slopes).values(), found, strict=True):
                part[index] = number
        return slopes

    @cached_property
    def matrix(self) -> Array:
        """The derivative of each number of f() by each element: (elements, numbers of f())."""
        rows = np.full((self._array.size, self._here.size), np.nan)
        for place in self.places:
            h = STEPS[0] * max(1.0, abs(float(self._array.flat[place])))
            a, b, c, d = (self._at(place, t) for t in (h / 2, -h / 2, h, -h))
            rows[place] = ((8 * (a - b) - (c - d)) / (6 * h)).ravel()
        return rows

    def _at(self, place: int, offset: float) -> Array:
        if not offset:
            return self._here
        found = self._kept.get((place, offset))
        if found is None:
            found = _moved(
                self._f, self._array, np.unravel_index(place, self._array.shape), offset
            )
            if self._keeps:
                self._kept[place, offset] = found
        return found


def differences(
    f: Callable[[], Array], array: Array, dy: Array, rng: np.random.Generator | None = None
) -> Slopes:
    """Return the slopes of sum(dy * f()) along the elements of `array`: see `Jacobian`."""
    return Jacobian(f, array, rng).slopes(dy)


def along(f: Callable[[], Array], array: Array, direction: Array, dy: Array) -> Slopes:
    """Return the slope of sum(dy * f()) along a direction, in which all elements are moved.

    It is the sum of the direction times the gradient: one number, to which every
    element adds (as in the checks of HIPS autograd).
    """
    size = float(np.max(np.abs(array)))
    found = _slope(lambda offset: _moved(f, array, ..., offset * direction), size, dy)
    return Slopes(*(np.array(number) for number in found))


def wrong_slope(slope: Callable[[float], Slopes], given: float) -> float | None:
    """Return the slope along a direction times a number, if it is not that number times `given`.

    Of thousands of kinks, as of a ReLU each, some lie in reach: so it is asked with a short reach.
    """
    for reach in (1.0, SHORT):
        true = slope(reach)
        if not mismatches(np.array(reach * given), true).any():
            return None
    return float(true.value) / reach


def _moved(f: Callable[[], Array], array: Array, index: Any, offset: Any) -> Array:
    centre = array[index].copy()
    try:
        array[index] = centre + offset
        return f()
    finally:
        array[index] = centre


def mismatches(analytic: Array, numeric: Slopes) -> npt.NDArray[np.bool_]:
    """Return where an analytic gradient is wrong: beyond rounding, and between no two slopes."""
    asked = ~np.isnan(numeric.value)
    scale = np.max(np.abs(numeric.value[asked]), initial=0.0)
    margin = SAFETY * numeric.error + RELATIVE * scale
    low = np.minimum(numeric.value, numeric.low) - margin
    high = np.maximum(numeric.value, numeric.high) + margin
    with np.errstate(invalid="ignore"):
        right = (low <= analytic) & (analytic <= high)  # not so of a NaN
    return np.asarray(asked & ~right)


def _weighted(dy: Array, difference: Array) -> float:
    return float(np.sum(dy * difference))


def _five_point(
    at: Callable[[float], Array], dy: Array, units: tuple[float, ...]
) -> tuple[float, float, float, Any]:
    """Return the slope of sum(dy * at(t)) at 0 by the best step, and how far it can be wrong.

    And the unit of that step, and which numbers any step moves.
    """
    weighted = partial(_weighted, dy)
    best, scale = (0.0, np.inf), units[-1]
    moves: Any = np.zeros((), bool)
    refusal: Exception | None = None
    for unit in units:
        for h in (step * unit for step in STEPS):
            try:
                near, middle, far = ((at(t), at(-t)) for t in (h / 2, h, 2 * h))
            except ValueError as out:  # of the domain; a shorter step may stay inside
                refusal = out
                continue
            fine = (8 * weighted(near[0] - near[1]) - weighted(middle[0] - middle[1])) / (6 * h)
            coarse = (8 * weighted(middle[0] - middle[1]) - weighted(far[0] - far[1])) / (12 * h)
            moves = moves | (far[0] != far[1])
            rounding = EPSILON * float(np.sum(np.abs(dy * near[0]) * moves)) / h
            gap = abs(fine - coarse)
            error = gap + rounding
            if error < best[1]:
                best, scale = (fine, error), unit
            if error <= GOOD * abs(fine) or gap <= rounding:
                break  # a shorter step would round more
        if best[1] <= FAIR * abs(best[0]):
            break
    if refusal is not None and best[1] == np.inf:
        raise refusal
    return *best, scale, moves


def _slope(
    at: Callable[[float], Array], size: float, dy: Array
) -> tuple[float, float, float, float]:
    """Return the slope of sum(dy * at(t)) at 0, its error, and the one-sided ones.

    The smaller comes first. `size` is that of what is moved.
    """
    weighted = partial(_weighted, dy)
    # A number that is tiny may have to be moved by less: relatively to itself.
    units = (size, max(1.0, size)) if 0 < size < TINY else (max(1.0, size),)
    value, error, scale, moves = _five_point(at, dy, units)
    h = ONE_SIDED * scale
    here, up, down = at(0.0), at(h), at(-h)
    right, left = weighted(up - here) / h, weighted(here - down) / h
    steepest = max(abs(right), abs(left))
    rounding = EPSILON * float(np.sum(np.abs(dy * here) * moves)) / h
    noise = EPSILON * float(np.sum(np.abs(dy * here)))  # of one evaluation of f
    blur = SAFETY * noise / h  # of a one-sided slope
    gap = abs(right - left)
    if gap > KINK * steepest:
        room = blur if gap <= blur else 0.0  # no kink: the rounding of a slope that is 0
        return value, error, min(left, right) - room, max(left, right) + room
    # Two five-point formulas that reach over the same kink may agree with each other better
    # than shorter steps; the shortest step of all tells.
    middle_slope = (right + left) / 2
    low, high = value, value
    if abs(value - middle_slope) > KINK * steepest + SAFETY * rounding:
        if abs(value - middle_slope) > KINK * steepest + blur:
            low, high = middle_slope, middle_slope
        value, error = middle_slope, rounding
    # Where f saturates, a slope below this moves no number of it by as much as rounding does.
    unseen = noise / (STEPS[0] * scale)
    return value, error, min(low, value) - unseen, max(high, value) + unseen
