"""Small data sets in the plane, generated: nothing is downloaded; and `split`, for any data.

Every other function returns ``x``, an array of shape (examples, 2), and ``y``, an
array of shape (examples, 1) holding the class as 0.0 or 1.0: one example per
row, the first class first, so shuffle before you take mini-batches. Each
feature lies contiguous in memory (Fortran order), as in the notes' X, of which
``x`` is the transpose: with few features and many examples that is what NumPy
multiplies fastest.
"""

import math
import operator
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from minifw._tools.checks import describe
from minifw._tools.numbers import check_fraction, check_non_negative, check_rng, check_size
from minifw.typing import RNG, Array

__all__ = ["blobs", "circles", "moons", "planar_flower", "spiral", "split"]

LegacyRNG: TypeAlias = "np.random.RandomState | np.random.Generator | int | None"

_CLASSES = 2


def planar_flower(
    examples: int = 400, *, noise: float = 0.2, rng: LegacyRNG = 1
) -> tuple[Array, Array]:
    """Return the notes' flower: two classes in the petals of a rose.

    The class j in {0, 1} has the angles t = linspace(3.12 j, 3.12 (j + 1)) +
    noise and the radii r = 4 sin(4 t) + noise, at the points (r sin t, r cos t).

    Parameters
    ----------
    examples : int, default 400
        The number of points in both classes together.
    noise : float, default 0.2
        The standard deviation of the noise, in radians and in units of length.
    rng : Generator, RandomState, int or None, default 1
        The source of the noise. An int seeds NumPy's legacy generator, as the
        notes do: the default gives exactly the notes' points.

    Returns
    -------
    x : array of shape (examples, 2)
    y : array of shape (examples, 1)

    Examples
    --------
    >>> from minifw.datasets import planar_flower
    >>> x, y = planar_flower()
    >>> x.shape, y.shape, float(y.mean())
    ((400, 2), (400, 1), 0.5)
    >>> x[0].round(5).tolist()
    [1.20444, 3.57611]
    """
    sizes = _sizes("planar_flower", examples)
    noise = check_non_negative("planar_flower", "noise", noise)
    generator = _legacy_rng(rng)
    points = []
    for j, n in enumerate(sizes):
        t = np.linspace(j * 3.12, (j + 1) * 3.12, n) + noise * generator.standard_normal(n)
        r = 4 * np.sin(4 * t) + noise * generator.standard_normal(n)
        points.append(_columns(r * np.sin(t), r * np.cos(t)))
    return _labelled(points)


def spiral(
    examples: int = 400, *, noise: float = 0.1, turns: float = 1.5, rng: RNG = None
) -> tuple[Array, Array]:
    """Return two interleaved arms of a spiral, half a turn apart, with radii up to 1.

    Parameters
    ----------
    examples : int, default 400
    noise : float, default 0.1
        The standard deviation of the angle's noise, in radians.
    turns : float, default 1.5
        How many times an arm winds around the centre.
    rng : Generator, int or None

    Returns
    -------
    x : array of shape (examples, 2)
    y : array of shape (examples, 1)

    Examples
    --------
    >>> from minifw.datasets import spiral
    >>> x, y = spiral(100, rng=0)
    >>> x.shape, y.shape
    ((100, 2), (100, 1))
    """
    sizes, generator, noise, turns = _given("spiral", examples, rng, noise=noise, turns=turns)
    points = []
    for j, n in enumerate(sizes):
        r = np.linspace(0, 1, n)
        t = 2 * np.pi * turns * r + np.pi * j + noise * generator.standard_normal(n)
        points.append(_columns(r * np.sin(t), r * np.cos(t)))
    return _labelled(points)


def moons(examples: int = 400, *, noise: float = 0.1, rng: RNG = None) -> tuple[Array, Array]:
    """Return two interleaving half circles of radius 1, as scikit-learn's ``make_moons``.

    Parameters
    ----------
    examples : int, default 400
    noise : float, default 0.1
        The standard deviation of the noise in both coordinates.
    rng : Generator, int or None

    Returns
    -------
    x : array of shape (examples, 2)
    y : array of shape (examples, 1)

    Examples
    --------
    >>> from minifw.datasets import moons
    >>> x, y = moons(4, noise=0, rng=0)
    >>> x.round(6).tolist()
    [[1.0, 0.0], [-1.0, 0.0], [0.0, 0.5], [2.0, 0.5]]
    """
    sizes, generator, noise = _given("moons", examples, rng, noise=noise)
    upper, lower = (np.linspace(0, np.pi, n) for n in sizes)
    points = [
        _columns(np.cos(upper), np.sin(upper)),
        _columns(1 - np.cos(lower), 0.5 - np.sin(lower)),
    ]
    return _labelled([p + noise * generator.standard_normal(p.shape) for p in points])


def circles(
    examples: int = 400, *, noise: float = 0.1, factor: float = 0.5, rng: RNG = None
) -> tuple[Array, Array]:
    """Return a circle of radius 1 and, as the class 1, one of radius `factor` within.

    Parameters
    ----------
    examples : int, default 400
    noise : float, default 0.1
        The standard deviation of the noise in both coordinates.
    factor : float, default 0.5
        The radius of the inner circle.
    rng : Generator, int or None

    Returns
    -------
    x : array of shape (examples, 2)
    y : array of shape (examples, 1)

    Examples
    --------
    >>> import numpy as np
    >>> from minifw.datasets import circles
    >>> x, y = circles(4, noise=0, rng=0)
    >>> np.hypot(x[:, 0], x[:, 1]).tolist()
    [1.0, 1.0, 0.5, 0.5]
    """
    sizes, generator, noise, factor = _given("circles", examples, rng, noise=noise, factor=factor)
    points = []
    for radius, n in zip((1.0, factor), sizes, strict=True):
        t = np.linspace(0, 2 * np.pi, n, endpoint=False)
        circle = radius * _columns(np.cos(t), np.sin(t))
        points.append(circle + noise * generator.standard_normal(circle.shape))
    return _labelled(points)


def blobs(
    examples: int = 400, *, std: float = 1.0, distance: float = 6.0, rng: RNG = None
) -> tuple[Array, Array]:
    """Return two round normal clouds with centres at (-distance/2, 0) and (distance/2, 0).

    Parameters
    ----------
    examples : int, default 400
    std : float, default 1.0
        The standard deviation of either cloud in both coordinates.
    distance : float, default 6.0
        Between the centres; at 6 standard deviations a line parts almost all.
    rng : Generator, int or None

    Returns
    -------
    x : array of shape (examples, 2)
    y : array of shape (examples, 1)

    Examples
    --------
    >>> from minifw.datasets import blobs
    >>> x, y = blobs(4, std=0, rng=0)
    >>> x.tolist()
    [[-3.0, 0.0], [-3.0, 0.0], [3.0, 0.0], [3.0, 0.0]]
    """
    sizes, generator, std, distance = _given("blobs", examples, rng, std=std, distance=distance)
    points = []
    for centre, n in zip((-distance / 2, distance / 2), sizes, strict=True):
        points.append(np.array([centre, 0.0]) + std * generator.standard_normal((n, 2)))
    return _labelled(points)


def split(
    *arrays: Any, share: float = 0.2, rng: RNG = None, stratify: Any = None
) -> tuple[Any, ...]:
    """Return two parts of each array, such as x and y, with the same rows of each: most, and some.

    The rows are shuffled. Of n rows the second parts get n times `share`, rounded up.

    Parameters
    ----------
    *arrays : array, list, or table of pandas or polars, of one length
        Each keeps its type. In a tuple or dict of several inputs each is split.
    share : float, default 0.2
        Of the rows, for the second parts.
    rng : Generator, int or None
    stratify : array_like of shape (examples,), optional
        Labels, of which both parts get their shares, up to one row of each.

    Returns
    -------
    tuple
        The two parts of the first array, of the second one, and so on.

    Raises
    ------
    ValueError
        If the lengths differ, a part would have no row, or a label to stratify has one row.
    TypeError
        If there is no array, or one without rows.

    Notes
    -----
    Sizes, order of the results and shares of the classes are as in scikit-learn's
    ``train_test_split``, whose ``test_size`` is `share`; the rows differ. Equal remainders go to
    the labels that come first.

    Examples
    --------
    >>> from minifw.datasets import moons, split
    >>> x, y = moons(400, rng=0)
    >>> x_train, x_val, y_train, y_val = split(x, y, share=0.25, rng=0, stratify=y)
    >>> x_train.shape, x_val.shape, float(y_train.mean()), float(y_val.mean())
    ((300, 2), (100, 2), 0.5, 0.5)
    """
    lengths: list[int] = []
    _each(arrays, lambda data: lengths.append(_length(data)))
    if not lengths:
        raise TypeError("split expects at least one array, got none")
    if len({*lengths}) > 1:
        raise ValueError(f"split expects arrays of one length, got {', '.join(map(str, lengths))}")
    n = lengths[0]
    held = math.ceil(round(check_fraction("split", "share", share) * n, 6))  # 0.07 * 100 > 7
    if not 0 < held < n:
        raise ValueError(f"split expects a row or more for either part, got share={share} of {n}")
    order = check_rng("split", rng).permutation(n)
    codes = np.zeros(n, np.intp) if stratify is None else _codes(stratify, n)
    quota, rest = np.divmod(np.bincount(codes) * held, n)  # the largest remainders get one more
    quota[np.argsort(-rest, kind="stable")[: held - quota.sum()]] += 1
    chosen = np.zeros(n, bool)
    for code, count in enumerate(quota):
        chosen[order[codes[order] == code][:count]] = True
    parts = order[~chosen[order]], order[chosen[order]]
    return tuple([_each(one, partial(_rows, rows=p)) for one in arrays for p in parts])


def _each(data: Any, do: Callable[[Any], Any]) -> Any:
    """Return what `do` gives for an array, or for each one of a tuple or dict."""
    if isinstance(data, tuple):
        return tuple([_each(one, do) for one in data])
    if isinstance(data, dict):
        return {name: _each(one, do) for name, one in data.items()}
    return do(data)


def _length(data: Any) -> int:
    shape = getattr(data, "shape", (len(data),) if isinstance(data, list) else ())
    if not shape:
        raise TypeError(f"split expects arrays, lists or tables, got {describe(data)}")
    return int(shape[0])  # a sparse matrix has no length


def _rows(data: Any, rows: Any) -> Any:
    if isinstance(data, list):
        return [data[row] for row in rows]
    return data.iloc[rows] if hasattr(data, "iloc") else data[rows]


def _codes(stratify: Any, n: int) -> Any:
    """Return for each row the number of its label, in the order in which they come."""
    labels = np.ravel(stratify).tolist()
    seen = {label: code for code, label in enumerate(dict.fromkeys(labels))}
    codes = np.array([seen[label] for label in labels])
    fault = "" if len(labels) == n else f"one label for each of {n} rows, got {len(labels)} labels"
    if not fault and np.bincount(codes).min() == 1:
        fault = (
            f"two rows or more of each label, got one of {[*seen][np.bincount(codes).argmin()]!r}"
        )
    if fault:
        raise ValueError(f"split expects stratify to hold {fault}")
    return codes


def _sizes(owner: str, examples: int) -> tuple[int, int]:
    """Divide the examples between the classes, evenly or with one more in the first."""
    total = check_size(owner, "examples", examples)
    if total < _CLASSES:
        raise ValueError(
            f"{owner} expects examples to be at least {_CLASSES}, one per class, got {examples}"
        )
    return total - total // _CLASSES, total // _CLASSES


def _given(owner: str, examples: int, rng: RNG, **numbers: float) -> tuple[Any, ...]:
    """Return the sizes of the classes, a generator, and the numbers, which are 0 or above."""
    checked = [check_non_negative(owner, name, value) for name, value in numbers.items()]
    return _sizes(owner, examples), check_rng(owner, rng), *checked


def _columns(first: Array, second: Array) -> Array:
    return np.stack([first, second]).T  # (n, 2)


def _labelled(points: Sequence[Array]) -> tuple[Array, Array]:
    x = np.asfortranarray(np.concatenate(points))  # (examples, 2)
    y = np.concatenate([np.full((len(p), 1), float(j)) for j, p in enumerate(points)])
    return x, y


def _legacy_rng(rng: LegacyRNG) -> "np.random.Generator | np.random.RandomState":
    if isinstance(rng, np.random.RandomState):
        return rng
    if rng is None or isinstance(rng, np.random.Generator):
        return check_rng("planar_flower", rng)
    if isinstance(rng, bool) or not hasattr(rng, "__index__"):
        raise TypeError(
            "planar_flower expects rng to be a numpy.random.RandomState, a "
            f"numpy.random.Generator, an int or None, got {rng!r}"
        )
    seed = operator.index(rng)
    if not 0 <= seed < 2**32:  # what the legacy generator accepts
        raise ValueError(f"planar_flower expects rng to be a seed from 0 to 2**32 - 1, got {seed}")
    return np.random.RandomState(seed)
