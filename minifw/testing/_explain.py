"""What went wrong with a gradient, of a layer or of a loss."""

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from minifw.testing._equal import looks_like_float32
from minifw.testing._numeric import Slopes, mismatches
from minifw.typing import Array

SPREAD = 1e-6  # of the slopes that are possible, relatively, from which on both ends are told
DIGITS = 1e-4  # a gradient that is this near, relative to the largest, is right but imprecise
MOST = 0.8  # of the elements at the places that are wrong; some may be right by chance
CLOSE = 1e-5  # how near, relatively, a factor is to the size that it is taken for


@dataclass(frozen=True)
class Fault:
    """A gradient that was found, and the true one by differences."""

    found: Array
    true: Slopes

    @cached_property
    def wrong(self) -> npt.NDArray[np.bool_]:
        """Where it is wrong."""
        return mismatches(self.found, self.true)

    @property
    def asked(self) -> npt.NDArray[np.bool_]:
        """Where the differences were taken."""
        return np.asarray(~np.isnan(self.true.value))


def explain(fault: Any, explanations: Iterable[Callable[[Any], str | None]]) -> str:
    """Return what went wrong by the first explanation that fits, or "" if none does."""
    with np.errstate(all="ignore"):
        for explanation in explanations:
            sentence = None
            with contextlib.suppress(Exception):  # the subject may refuse what is tried here
                sentence = explanation(fault)
            if sentence:
                return sentence
    return ""


def zero(f: Fault) -> str | None:
    """Find that nothing was computed."""
    return None if f.found[f.asked].any() else "it is zero everywhere"


def precision(f: Fault) -> str | None:
    """Find a gradient that is right except for its last digits."""
    scale = np.abs(f.true.value[f.asked]).max()
    error = np.abs(f.found - f.true.value)[f.asked].max()
    if not error < DIGITS * scale:
        return None
    digits = f"it has {-np.log10(error / scale):.0f} digits only: a lower precision"
    if looks_like_float32(f.found):
        return f"{digits}, float32, is hidden inside"
    return (
        f"{digits} is hidden inside, or an epsilon or another constant differs between forward "
        "and backward, or an iteration stops early"
    )


def one_side(f: Fault, name: str, at: Array) -> str | None:
    """Find a gradient that is right on one side of a value of something only."""
    right, wrong = at[f.asked & ~f.wrong], at[f.wrong]
    if not right.size or not wrong.size:
        return None
    for sign, word, low, high in ((">", "above", wrong, right), ("<", "below", right, wrong)):
        if low.max() < high.min():
            if low.max() <= 0 <= high.min():
                return f"it is right only where {name} {sign} 0"
            edge = (low.max() + high.min()) / 2
            return f"it is right only where {name} is {word} {edge:.2g} or so"
    return None


def along_an_axis(f: Fault, first: int = 0) -> str | None:
    """Find a gradient that is right at some places of one axis, and wrong at the others."""
    if not f.asked.all():
        return None
    for axis in range(first, f.wrong.ndim):
        lines = np.moveaxis(f.wrong, axis, 0).reshape(f.wrong.shape[axis], -1)
        bad = np.asarray(lines.any(axis=1))
        true = np.moveaxis(f.true.value, axis, 0).reshape(lines.shape)
        if not true[~bad].any():  # what nothing depends on is right in any case
            continue
        if lines.shape[1] > 1 and not bad.all() and lines[bad].mean() > MOST:
            return f"it is wrong at {places_of(bad)} of axis {axis}, and right elsewhere"
    return None


def places_of(bad: npt.NDArray[np.bool_]) -> str:
    """Return where it is so, as an index: [4:8] of a range, else all places."""
    places = np.flatnonzero(bad)
    start, stop = int(places[0]), int(places[-1]) + 1
    if len(places) == stop - start > 2:
        return f"[{start}:{stop}]"
    return str(places.tolist())


def constant_factor(analytic: Array, slopes: Slopes) -> float | None:
    """Return f if the analytic gradient is f times the true one in every element, else None.

    Of a single element every error is a factor; that says something only if it
    is a whole number, or one over a whole number.
    """
    asked = ~np.isnan(slopes.value)
    given, true = analytic[asked], slopes.value[asked]
    square = float(true @ true)
    factor = float(given @ true) / square if square > 0 else 0.0
    if factor == 0 or not np.isfinite(factor) or np.any(mismatches(analytic / factor, slopes)):
        return None
    if np.count_nonzero(true) == 1 and not (_whole(factor) or _whole(1 / factor)):
        return None
    return factor


def factor_sentence(factor: float, sizes: dict[str, int]) -> str:
    """Say what a constant factor is likely to come from.

    `sizes` maps a name, such as "the batch size", to what it was in the check;
    the sizes differ from each other, and from 1 and 2, where that can be had.
    """
    size = abs(factor)
    if _near(size, 1):
        return "its sign is wrong"
    sign = "its sign is wrong, and " if factor < 0 else ""
    times = f"{size:.6g} times too large" if size > 1 else f"{1 / size:.6g} times too small"
    first = {number: name for name, number in reversed(sizes.items()) if number > 1}
    found = [_of_constant(size), *_of_sizes(size, first, ONE_MISTAKE)]
    if not any(found):  # from one mistake; or else from two at once
        found = _of_sizes(size, first, TWO_MISTAKES)
    readings = [reading for reading in found if reading]
    return f"{sign}it is {times}" + (f": {' or '.join(readings)}" if readings else "")


# By the power of a size that a factor is, and a number before it: what was forgotten.
ONE_MISTAKE = (
    (1, 1.0, "{} is {}, a mean is taken forward and a sum differentiated, the 1/N is missing"),
    (
        -1,
        1.0,
        "{} is {}, a sum is taken forward and a mean differentiated, there is a 1/N too many",
    ),
)
TWO_MISTAKES = (
    (1, 2.0, "that is 2 times {1}, the 1/N of a mean and a 1/2 are missing"),
    (1, 0.5, "that is half of {1}, the 1/N of a mean is missing, and a factor 2"),
)


def _of_sizes(size: float, sizes: dict[int, str], mistakes: Iterable[Any]) -> list[str]:
    """Read a factor as one of a size."""
    return [
        sentence.format(number, sizes[number])
        for number in sorted(sizes)
        for power, times, sentence in mistakes
        if _near(size, times * number**power)
    ]


def _of_constant(size: float) -> str:
    """Read a factor as the derivative of a constant that was forgotten."""
    if _near(size, 2):
        return "a missing 1/2?"
    if _near(size, 1 / 2):
        return "a missing factor 2?"
    for base in (2, 10):
        if _near(size, math.log(base)) or _near(size, 1 / math.log(base)):
            return f"that is ln {base}, a log of base {base} is taken for a natural one"
    return ""


def worst(name: str, analytic: Array, slopes: Slopes, wrong: npt.NDArray[np.bool_]) -> str:
    """Name the element that is most wrong, its analytic and its numeric value, and how many are.

    As in "dx[1, 2] is 0.5, differences give 1.0; 7 of 12 elements are wrong".
    """
    distance = np.where(wrong, np.abs(analytic - slopes.value), -1.0)
    distance[np.isnan(distance)] = np.inf  # a NaN is as wrong as can be
    index = np.unravel_index(int(np.argmax(distance)), distance.shape)
    place = ", ".join(str(i) for i in index)
    asked = int(np.sum(~np.isnan(slopes.value)))
    low, high = slopes.low[index], slopes.high[index]
    kink = high - low > SPREAD * max(abs(low), abs(high))
    numeric = f"{low:.10g} to {high:.10g}" if kink else f"{slopes.value[index]:.10g}"
    return (
        f"{name}[{place}] is {analytic[index]:.10g}, differences give {numeric}; "
        f"{int(np.sum(wrong))} of {asked} elements are wrong"
    )


def _whole(number: float) -> bool:
    return _near(number, round(number)) and abs(number) >= 1


def _near(number: float, other: float) -> bool:
    return abs(number - other) <= CLOSE * abs(other)
