"""What the checks of layers, losses and optimizers share: factors and sentences."""

import math

import numpy as np
import numpy.typing as npt

from minifw.testing._numeric import Slopes, mismatches
from minifw.typing import Array

__all__ = [
    "constant_factor",
    "disagreement",
    "factor_sentence",
    "worst",
]

SPREAD = 1e-6  # of the slopes that are possible, relatively, from which on both ends are told
CLOSE = 1e-5  # how near, relatively, a factor is to the size that it is taken for


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
    found = [_of_constant(size), *(_of_size(size, first[n], n) for n in sorted(first))]
    if not any(found):  # from one mistake; or else from two at once
        found = [_of_size_and_two(size, first[n], n) for n in sorted(first)]
    readings = [reading for reading in found if reading]
    return f"{sign}it is {times}" + (f": {' or '.join(readings)}" if readings else "")


def _of_size(size: float, name: str, number: int) -> str:
    """Read a factor as a forgotten 1/N, or one too many."""
    if _near(size, number):
        fault = "a mean is taken forward and a sum differentiated, the 1/N is missing"
        return f"{number} is {name}, {fault}"
    if _near(size, 1 / number):
        fault = "a sum is taken forward and a mean differentiated, there is a 1/N too many"
        return f"{number} is {name}, {fault}"
    return ""


def _of_size_and_two(size: float, name: str, number: int) -> str:
    """Read a factor as a forgotten 1/N and a forgotten 2."""
    if _near(size, 2 * number):
        return f"that is 2 times {name}, the 1/N of a mean and a 1/2 are missing"
    if _near(size, number / 2):
        return f"that is half of {name}, the 1/N of a mean is missing, and a factor 2"
    return ""


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


def disagreement(analytic: Array, slopes: Slopes) -> float:
    """Return the largest difference to the true gradient, relative to its largest element."""
    asked = ~np.isnan(slopes.value)
    scale = float(np.max(np.abs(slopes.value[asked]), initial=0.0))
    error = float(np.max(np.abs(analytic - slopes.value)[asked], initial=0.0))
    return error / scale if scale > 0 else np.inf


def _whole(number: float) -> bool:
    return _near(number, round(number)) and abs(number) >= 1


def _near(number: float, other: float) -> bool:
    return abs(number - other) <= CLOSE * abs(other)
