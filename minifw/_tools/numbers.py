"""Checks of single arguments: numbers, sizes, flags, dtypes and seeds."""

import contextlib
import math
import operator
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, TypeVar

import numpy as np

from minifw._tools.checks import DTYPES, SMALLEST_DTYPE, describe
from minifw.typing import DType, Generator

_T = TypeVar("_T")
_Check: TypeAlias = Callable[[str, str, float], float]


def check_size(owner: str, name: str, value: int, least: int = 1) -> int:
    """Return `value` as an int, or raise unless it is a whole number of at least `least`."""
    size = _whole_number(owner, name, value)
    if size < least:
        raise ValueError(f"{owner} expects {name} to be at least {least}, got {value!r}")
    return size


check_count = partial(check_size, least=0)


def check_axis(owner: str, name: str, axis: int) -> int:
    """Return `axis` as an int, or raise unless it is a whole number other than 0, the batch."""
    index = _whole_number(owner, name, axis)
    if index == 0:
        raise ValueError(f"{owner} expects {name} to be other than 0, which is the batch")
    return index


def _whole_number(owner: str, name: str, value: int) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{owner} expects {name} to be a whole number, got {value!r}")
    return operator.index(value)


def check_flag(owner: str, name: str, value: bool) -> bool:
    """Return `value`, or raise unless it is True or False."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{owner} expects {name} to be True or False, got {describe(value)}")
    return bool(value)


def check_choice(*choices: object) -> Callable[[str, str, Any], Any]:
    """Return a check that a value is one of the choices."""

    def check(owner: str, name: str, value: Any) -> Any:
        if value not in choices:
            *first, last = map(repr, choices)
            raise ValueError(
                f"{owner} expects {name} to be {', '.join(first)} or {last}, got {value!r}"
            )
        return value

    return check


def or_none(check: Callable[[str, str, _T], _T]) -> Callable[[str, str, _T | None], _T | None]:
    """Return the check of an option that may be None as well."""

    def checked(owner: str, name: str, value: _T | None) -> _T | None:
        return None if value is None else check(owner, name, value)

    return checked


def check_number(owner: str, name: str, value: float) -> float:
    """Return `value` as a float, or raise unless it is a number, NaN and infinity included."""
    if isinstance(value, bool | str | bytes):
        raise TypeError(f"{owner} expects {name} to be a number, got {value!r}")
    try:
        return float(value)
    except OverflowError:  # of a whole number
        return math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{owner} expects {name} to be a number, got {value!r}") from None


def check_finite_number(owner: str, name: str, value: float) -> float:
    """Return `value` as a float, or raise unless it is finite."""
    number = check_number(owner, name, value)
    if not math.isfinite(number):
        raise ValueError(f"{owner} expects {name} to be finite, got {value!r}")
    return number


def check_positive(owner: str, name: str, value: float) -> float:
    """Return `value` as a float, or raise unless it is finite and above 0."""
    number = check_number(owner, name, value)
    if not 0.0 < number < math.inf:
        raise ValueError(f"{owner} expects {name} to be finite and above 0, got {value!r}")
    return number


def check_non_negative(owner: str, name: str, value: float) -> float:
    """Return `value` as a float, or raise unless it is finite and at least 0."""
    number = check_number(owner, name, value)
    if not 0.0 <= number < math.inf:
        raise ValueError(f"{owner} expects {name} to be finite and at least 0, got {value!r}")
    return number


def check_finite_in(owner: str, name: str, number: float, dtype: DType) -> float:
    """Return `number`, or raise if it is infinite in `dtype`."""
    if abs(number) > float(np.finfo(dtype).max):
        raise ValueError(f"{owner} expects {name} to be finite in {dtype}, got {number!r}")
    return number


def finite_in_both(check: _Check) -> _Check:
    """Return the check of a number that a layer without parameters meets in either dtype."""

    def checked(owner: str, name: str, value: float) -> float:
        return check_finite_in(owner, name, check(owner, name, value), SMALLEST_DTYPE)

    return checked


def check_normal(owner: str, name: str, number: float, dtype: DType) -> float:
    """Return `number`, or raise if in `dtype` it would be infinite, or 0 or nearly so."""
    limits = np.finfo(dtype)
    if number and not float(limits.tiny) <= abs(number) <= float(limits.max):
        raise ValueError(
            f"{owner} expects {name} to be a normal number of {dtype}, got {number!r}"
        )
    return number


def check_fraction(owner: str, name: str, value: float) -> float:
    """Return `value` as a float, or raise unless it is between 0 and 1."""
    number = check_number(owner, name, value)
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{owner} expects {name} to be between 0 and 1, got {value!r}")
    return number


def check_decay_rate(owner: str, name: str, value: float) -> float:
    """Return `value` as a float, or raise unless it is at least 0 and below 1."""
    number = check_number(owner, name, value)
    if not 0.0 <= number < 1.0:
        raise ValueError(f"{owner} expects {name} to be at least 0 and below 1, got {value!r}")
    return number


def check_dtype(owner: str, dtype: object) -> DType:
    """Return `dtype` as a NumPy dtype, or raise unless it is float32 or float64."""
    if dtype is not None:  # which NumPy takes for float64
        with contextlib.suppress(TypeError):
            found: DType = np.dtype(dtype)  # type: ignore[call-overload]
            if found in DTYPES:
                return found
    raise TypeError(f"{owner} expects dtype to be float64 or float32, got {dtype!r}")


def check_rng(owner: str, rng: object) -> Generator:
    """Return a generator made from `rng`: a Generator itself, a seed, or None."""
    if isinstance(rng, np.random.Generator):
        return rng
    if rng is None:
        return np.random.default_rng()
    if isinstance(rng, bool) or not hasattr(rng, "__index__"):
        legacy = isinstance(rng, np.random.RandomState)
        raise TypeError(
            f"{owner} expects rng to be a numpy.random.Generator, an int or None, got {rng!r}"
            f"{'; use np.random.default_rng(seed)' if legacy else ''}"
        )
    seed = operator.index(rng)
    if seed < 0:
        raise ValueError(f"{owner} expects rng to be a seed of at least 0, got {rng!r}")
    return np.random.default_rng(seed)
