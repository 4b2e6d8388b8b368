"""The generated data against the notes' generator and against plane geometry."""

import inspect
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.model_selection import train_test_split

from minifw import Array, datasets
from minifw.datasets import blobs, circles, moons, planar_flower, spiral, split

Dataset: TypeAlias = Callable[..., tuple[Array, Array]]

DATASETS: list[Dataset] = [planar_flower, spiral, moons, circles, blobs]
MODERN = [spiral, moons, circles, blobs]  # seeded as NumPy's SPEC 7 says

# The options that must be finite and at least 0.
OPTIONS: list[tuple[Dataset, str]] = [
    (planar_flower, "noise"),
    (spiral, "noise"),
    (spiral, "turns"),
    (moons, "noise"),
    (circles, "noise"),
    (circles, "factor"),
    (blobs, "std"),
    (blobs, "distance"),
]

MANY = 20_000
SIGMAS = 5  # a bound of five standard errors; all seeds are fixed, so nothing is flaky


def name_of(value: object) -> str | None:
    return value.__name__ if inspect.isfunction(value) else None


each_dataset = pytest.mark.parametrize("dataset", DATASETS, ids=name_of)
each_modern = pytest.mark.parametrize("dataset", MODERN, ids=name_of)
each_option = pytest.mark.parametrize(("dataset", "option"), OPTIONS, ids=name_of)


def notes_flower(
    examples_per_class: tuple[int, int],
    noise: float,
    randn: Callable[[int], Array],
) -> tuple[Array, Array]:
    """Return the notes' X and Y, one example per column, as the notes generate them."""
    m = sum(examples_per_class)
    x_columns = np.zeros((2, m))
    y_columns = np.zeros((1, m))
    start = 0
    for j in range(2):
        n = examples_per_class[j]
        t = np.linspace(j * 3.12, (j + 1) * 3.12, n) + randn(n) * noise
        r = 4 * np.sin(4 * t) + randn(n) * noise
        x_columns[0, start : start + n] = r * np.sin(t)
        x_columns[1, start : start + n] = r * np.cos(t)
        y_columns[0, start : start + n] = j
        start += n
    return x_columns, y_columns


def per_class(data: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return the points of the classes 0 and 1."""
    x, y = data
    return x[y[:, 0] == 0], x[y[:, 0] == 1]


def complex_points(points: Array) -> "np.ndarray[Any, np.dtype[np.complex128]]":
    return points[:, 0] + 1j * points[:, 1]


def assert_is_noise(residual: Array, std: float) -> None:
    """Hold the columns of (n, k) residuals against independent normals of mean 0."""
    n = len(residual)
    np.testing.assert_array_less(np.abs(residual.mean(axis=0)), SIGMAS * std / math.sqrt(n))
    found = np.sqrt(np.mean(residual**2, axis=0))
    np.testing.assert_array_less(np.abs(found - std), SIGMAS * std / math.sqrt(2 * n))
    beyond = np.mean(np.abs(residual) > std, axis=0)
    p = 2 * NormalDist().cdf(-1)  # a uniform of the same std has 0.42
    np.testing.assert_array_less(np.abs(beyond - p), SIGMAS * math.sqrt(p * (1 - p) / n))
    for first in range(residual.shape[1]):
        for second in range(first):
            product = np.mean(residual[:, first] * residual[:, second])
            assert abs(product) < SIGMAS * std**2 / math.sqrt(n)
    half = n // 2  # the two classes, or near enough: their noise is not the same
    products = np.mean(residual[:half] * residual[half : 2 * half], axis=0)
    np.testing.assert_array_less(np.abs(products), SIGMAS * std**2 / math.sqrt(half))


# -- what all have in common ------------------------------------------------------------


def test_every_public_data_set_is_tested_here() -> None:
    assert {dataset.__name__ for dataset in DATASETS} == {*datasets.__all__} - {"split"}


@each_dataset
@pytest.mark.parametrize("examples", [2, 3, 4, 7, 400, 401, np.int64(10)])
def test_one_example_per_row_and_the_first_class_first(dataset: Dataset, examples: int) -> None:
    x, y = dataset(examples, rng=0)
    assert x.shape == (examples, 2)
    assert y.shape == (examples, 1)
    assert x.dtype == y.dtype == np.float64
    ones = int(examples) // 2  # an odd one goes to the first class
    np.testing.assert_array_equal(y[:, 0], [0.0] * (int(examples) - ones) + [1.0] * ones)
    assert np.isfinite(x).all()


@each_dataset
def test_400_examples_are_the_default(dataset: Dataset) -> None:
    x, y = dataset()
    assert x.shape == (400, 2)
    assert y.sum() == 200


@each_dataset
@pytest.mark.parametrize("examples", [2, 401])
def test_each_feature_lies_contiguous_in_memory(dataset: Dataset, examples: int) -> None:
    x, y = dataset(examples, rng=0)
    assert x.flags.f_contiguous
    assert [x[:, feature].strides for feature in range(2)] == [(8,), (8,)]
    assert y[:, 0].strides == (8,)


@each_dataset
def test_what_is_returned_is_the_callers_own(dataset: Dataset) -> None:
    x, y = dataset(10, rng=0)
    expected = x.copy(), y.copy()
    x[...] = 7
    y[...] = 7
    for array, one in zip(dataset(10, rng=0), expected, strict=True):
        np.testing.assert_array_equal(array, one)


# -- randomness -------------------------------------------------------------------------


@each_dataset
@pytest.mark.parametrize("seed", [0, 3, 2**32 - 1, np.int64(3), np.uint8(3)])
def test_a_seed_gives_the_same_points_again(dataset: Dataset, seed: int) -> None:
    x, _ = dataset(50, rng=seed)
    np.testing.assert_array_equal(x, dataset(50, rng=seed)[0])
    np.testing.assert_array_equal(x, dataset(50, rng=int(seed))[0])
    assert not np.isin(x, dataset(50, rng=1234)[0]).all()


@each_modern
def test_a_seed_is_that_of_a_generator(dataset: Dataset) -> None:
    expected, _ = dataset(50, rng=np.random.default_rng(2**40))
    np.testing.assert_array_equal(dataset(50, rng=2**40)[0], expected)


@each_dataset
def test_a_generator_is_drawn_from_and_advanced(dataset: Dataset) -> None:
    rng, again = np.random.default_rng(5), np.random.default_rng(5)
    first, second = dataset(50, rng=rng)[0], dataset(50, rng=rng)[0]
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, dataset(50, rng=again)[0])
    np.testing.assert_array_equal(second, dataset(50, rng=again)[0])


@each_dataset
def test_no_seed_takes_fresh_entropy(dataset: Dataset) -> None:
    assert not np.array_equal(dataset(50, rng=None)[0], dataset(50, rng=None)[0])


@each_modern
def test_fresh_entropy_is_the_default(dataset: Dataset) -> None:
    assert not np.array_equal(dataset(50)[0], dataset(50)[0])


@each_dataset
@pytest.mark.parametrize("rng", [1, None, "Generator"])
def test_the_global_random_state_is_not_changed(dataset: Dataset, rng: Any) -> None:
    if rng == "Generator":
        rng = np.random.default_rng(0)
    kept = np.random.get_state()
    try:
        np.random.seed(20)  # nobody else's seed
        before: Any = np.random.get_state(legacy=False)
        dataset(50, rng=rng)
        after: Any = np.random.get_state(legacy=False)
    finally:
        np.random.set_state(kept)
    np.testing.assert_array_equal(after["state"].pop("key"), before["state"].pop("key"))
    assert after == before


@each_dataset
def test_the_global_random_state_is_not_read(dataset: Dataset) -> None:
    kept = np.random.get_state()
    try:
        np.random.seed(1)
        seeded, fresh = dataset(50, rng=3)[0], dataset(50, rng=None)[0]
        np.random.seed(1)
        assert not np.array_equal(dataset(50, rng=None)[0], fresh)
        np.random.seed(2)
        np.testing.assert_array_equal(dataset(50, rng=3)[0], seeded)
    finally:
        np.random.set_state(kept)


# -- planar_flower ----------------------------------------------------------------------


def test_the_flower_is_the_notes_to_the_last_bit() -> None:
    expected_x, expected_y = notes_flower((200, 200), 0.2, np.random.RandomState(1).randn)
    x, y = planar_flower()
    np.testing.assert_array_equal(x.T, expected_x)
    np.testing.assert_array_equal(y.T, expected_y)


@pytest.mark.parametrize("noise", [0, 0.2, 1.5])
@pytest.mark.parametrize(("examples", "sizes"), [(2, (1, 1)), (401, (201, 200))])
@pytest.mark.parametrize("seed", [0, 7])
def test_the_flower_of_any_size_noise_and_seed_is_the_notes_generator(
    examples: int, sizes: tuple[int, int], noise: float, seed: int
) -> None:
    expected, _ = notes_flower(sizes, noise, np.random.RandomState(seed).randn)
    x, _ = planar_flower(examples, noise=noise, rng=seed)
    np.testing.assert_array_equal(x.T, expected)


def test_the_flower_draws_from_a_random_state_and_advances_it() -> None:
    ours, notes = np.random.RandomState(1), np.random.RandomState(1)
    for _ in range(2):
        expected, _ = notes_flower((200, 200), 0.2, notes.randn)
        np.testing.assert_array_equal(planar_flower(rng=ours)[0].T, expected)
    assert ours.randn() == notes.randn()


def test_the_flower_draws_from_a_generator_and_advances_it() -> None:
    ours, expected_rng = np.random.default_rng(1), np.random.default_rng(1)
    expected, _ = notes_flower((200, 200), 0.2, expected_rng.standard_normal)
    np.testing.assert_array_equal(planar_flower(rng=ours)[0].T, expected)
    assert ours.standard_normal() == expected_rng.standard_normal()


# -- the geometry without noise ---------------------------------------------------------


def test_every_point_of_the_flower_is_on_the_rose() -> None:
    x, _ = planar_flower(2 * 313, noise=0)
    # The rose r = 4 sin 4t in Cartesian form: (x1^2 + x2^2)^5 = 256 x1^2 x2^2 (x2^2 - x1^2)^2.
    a, b = x[:, 0] ** 2, x[:, 1] ** 2
    np.testing.assert_allclose((a + b) ** 5, 256 * a * b * (b - a) ** 2, rtol=1e-9, atol=1e-9)
    assert np.hypot(x[:, 0], x[:, 1]).max() == pytest.approx(4, abs=1e-3)


@pytest.mark.parametrize("turns", [0.25, 1.0, 1.5, 3.0])
def test_an_arm_of_the_spiral_winds_evenly_from_the_centre_to_radius_1(turns: float) -> None:
    first, _ = per_class(spiral(202, noise=0, turns=turns, rng=0))
    np.testing.assert_allclose(np.hypot(*first.T), np.arange(101) / 100, rtol=1e-14)
    angle = np.unwrap(np.arctan2(first[1:, 0], first[1:, 1]))  # clockwise from the second axis
    expected = np.linspace(1, 100, 100) / 100 * 2 * np.pi * turns
    np.testing.assert_allclose(angle, expected, rtol=1e-12)


def test_a_spiral_winds_one_turn_and_a_half_by_default() -> None:
    np.testing.assert_array_equal(spiral(9, rng=0)[0], spiral(9, turns=1.5, rng=0)[0])


def test_the_arms_of_the_spiral_are_half_a_turn_apart() -> None:
    first, second = per_class(spiral(200, noise=0, rng=0))
    np.testing.assert_allclose(second, -first, rtol=0, atol=1e-14)


@pytest.mark.parametrize("examples", [2, 3, 10, 401])
def test_moons_are_half_circles_of_radius_1(examples: int) -> None:
    upper, lower = per_class(moons(examples, noise=0, rng=0))
    # Both start at one end and go on in even steps: exp(i t), and half a turn of it.
    t = [[math.pi * k / max(n - 1, 1) for k in range(n)] for n in (len(upper), len(lower))]
    np.testing.assert_allclose(complex_points(upper), np.exp(1j * np.array(t[0])), atol=1e-14)
    np.testing.assert_allclose(
        complex_points(lower), 1 + 0.5j - np.exp(1j * np.array(t[1])), atol=1e-14
    )


def test_the_upper_moon_opens_downwards_and_the_lower_upwards() -> None:
    upper, lower = per_class(moons(101, noise=0, rng=0))
    assert upper[:, 1].min() > -1e-15
    assert lower[:, 1].max() < 0.5 + 1e-15
    np.testing.assert_allclose([upper[0], upper[-1]], [[1, 0], [-1, 0]], atol=1e-15)
    np.testing.assert_allclose([lower[0], lower[-1]], [[0, 0.5], [2, 0.5]], atol=1e-15)


@pytest.mark.parametrize("factor", [0, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("examples", [2, 7, 400])
def test_circles_are_evenly_spread_at_radius_1_and_factor(examples: int, factor: float) -> None:
    outer, inner = per_class(circles(examples, noise=0, factor=factor, rng=0))
    for points, radius in ((outer, 1.0), (inner, factor)):
        n = len(points)
        root = np.exp(2j * np.pi * np.arange(n) / n)  # the n-th roots of 1
        np.testing.assert_allclose(complex_points(points), radius * root, rtol=0, atol=1e-14)


def test_the_inner_circle_has_half_the_radius_by_default() -> None:
    _, inner = per_class(circles(100, noise=0, rng=0))
    np.testing.assert_allclose(np.hypot(*inner.T), 0.5, rtol=1e-15)


@pytest.mark.parametrize("distance", [0, 1.5, 6.0])
def test_blobs_without_std_are_their_centres(distance: float) -> None:
    first, second = per_class(blobs(11, std=0, distance=distance, rng=0))
    np.testing.assert_array_equal(first, [[-distance / 2, 0]] * 6)
    np.testing.assert_array_equal(second, [[distance / 2, 0]] * 5)


def test_the_centres_of_blobs_are_6_apart_by_default() -> None:
    first, second = per_class(blobs(4, std=0, rng=0))
    np.testing.assert_array_equal(second - first, [[6, 0], [6, 0]])


# -- the noise --------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [0.01, 0.1, 2.0])
@pytest.mark.parametrize("dataset", [moons, circles], ids=name_of)
def test_noise_has_the_asked_std_in_both_coordinates(dataset: Dataset, noise: float) -> None:
    noisy, clean = dataset(MANY, noise=noise, rng=1)[0], dataset(MANY, noise=0, rng=2)[0]
    assert_is_noise(noisy - clean, noise)


@pytest.mark.parametrize("std", [0.1, 1.0, 5.0])
def test_blobs_have_the_asked_std_in_both_coordinates(std: float) -> None:
    x, y = blobs(MANY, std=std, distance=6.0, rng=1)
    assert_is_noise(x - np.hstack([6 * y - 3, np.zeros_like(y)]), std)


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.3])
def test_noise_of_the_spiral_is_in_the_angle_and_not_in_the_radius(noise: float) -> None:
    noisy, clean = (spiral(MANY, noise=n, rng=1)[0] for n in (noise, 0))
    radius = np.hypot(*clean.T)
    np.testing.assert_allclose(np.hypot(*noisy.T), radius, rtol=1e-14)
    seen = radius > 0  # the centre has no angle
    # x1 + i x2 = i r exp(-i t): the noise of t turns a point clockwise.
    turned = complex_points(noisy)[seen] / complex_points(clean)[seen]
    assert_is_noise(-np.angle(turned)[:, np.newaxis], noise)


def test_noise_of_a_small_angle_and_of_the_radius_of_the_flower() -> None:
    noise = 1e-4  # so small that the flower is linear in it
    noisy, clean = (planar_flower(MANY, noise=n, rng=1)[0] for n in (noise, 0))
    t = np.concatenate([np.linspace(3.12 * j, 3.12 * (j + 1), MANY // 2) for j in range(2)])
    r = 4 * np.sin(4 * t)
    out = np.stack([np.sin(t), np.cos(t)], axis=1)  # away from the centre
    along = np.stack([np.cos(t), -np.sin(t)], axis=1)  # where t grows
    shift = noisy - clean
    far = np.abs(r) > 1  # near the centre an angle is ill determined
    of_t = np.sum(shift * along, axis=1)[far] / r[far]
    of_r = np.sum(shift * out, axis=1)[far] - 16 * np.cos(4 * t[far]) * of_t
    assert_is_noise(np.stack([of_t, of_r], axis=1), noise)


@pytest.mark.parametrize(
    ("dataset", "option", "default"),
    [
        (planar_flower, "noise", 0.2),
        (spiral, "noise", 0.1),
        (moons, "noise", 0.1),
        (circles, "noise", 0.1),
        (blobs, "std", 1.0),
    ],
    ids=name_of,
)
def test_the_default_noise(dataset: Dataset, option: str, default: float) -> None:
    expected, _ = dataset(50, rng=4, **{option: default})
    np.testing.assert_array_equal(dataset(50, rng=4)[0], expected)


def test_a_line_misses_one_of_740_of_blobs_6_standard_deviations_apart() -> None:
    x, y = blobs(200_000, rng=1)
    missed = np.mean((x[:, :1] > 0) != y)
    p = NormalDist().cdf(-3)
    assert abs(missed - p) < SIGMAS * math.sqrt(p * (1 - p) / len(x))


# -- bad arguments ----------------------------------------------------------------------


def assert_names(error: BaseException, dataset: Dataset, argument: str) -> None:
    message = str(error)
    assert "\n" not in message
    assert message.startswith(dataset.__name__)
    assert argument in message.split()


@each_dataset
@pytest.mark.parametrize("examples", [0, 1, -3, np.int64(1)])
def test_examples_of_a_wrong_number_are_a_value_error(dataset: Dataset, examples: int) -> None:
    with pytest.raises(ValueError, match=f"got .*{examples}") as caught:
        dataset(examples)
    assert_names(caught.value, dataset, "examples")


@each_dataset
@pytest.mark.parametrize("examples", [2.5, 4.0, True, "a", "10", None, [10], 10j, math.nan])
def test_examples_of_a_wrong_type_are_a_type_error(dataset: Dataset, examples: Any) -> None:
    with pytest.raises(TypeError, match="whole number") as caught:
        dataset(examples)
    assert_names(caught.value, dataset, "examples")


@each_option
@pytest.mark.parametrize("value", [-1, -1e-300, math.nan, math.inf, -math.inf, np.float32("nan")])
def test_an_option_below_0_or_not_finite_is_a_value_error(
    dataset: Dataset, option: str, value: float
) -> None:
    with pytest.raises(ValueError, match="finite and at least 0, got") as caught:
        dataset(10, **{option: value})
    assert_names(caught.value, dataset, option)


@each_option
def test_an_option_too_large_for_a_float_is_a_value_error(dataset: Dataset, option: str) -> None:
    with pytest.raises(ValueError, match="finite and at least 0, got") as caught:
        dataset(10, **{option: 10**400})
    assert_names(caught.value, dataset, option)


@each_option
@pytest.mark.parametrize("value", [True, "a", "0.1", b"1", None, [0.1], 0.1j])
def test_an_option_of_a_wrong_type_is_a_type_error(
    dataset: Dataset, option: str, value: Any
) -> None:
    with pytest.raises(TypeError, match=r"expects .* to be a number, got") as caught:
        dataset(10, **{option: value})
    assert_names(caught.value, dataset, option)


@each_dataset
@pytest.mark.parametrize("rng", [-1, np.int64(-5)])
def test_a_negative_seed_is_a_value_error(dataset: Dataset, rng: int) -> None:
    with pytest.raises(ValueError, match=f"got .*{rng}") as caught:
        dataset(10, rng=rng)
    assert_names(caught.value, dataset, "rng")


def test_a_seed_too_large_for_the_legacy_generator_is_a_value_error() -> None:
    with pytest.raises(ValueError, match=f"got {2**32}") as caught:
        planar_flower(rng=2**32)
    assert_names(caught.value, planar_flower, "rng")


@each_dataset
@pytest.mark.parametrize("rng", [1.5, "a", True, [1], np.random, np.random.default_rng])
def test_an_rng_of_a_wrong_type_is_a_type_error(dataset: Dataset, rng: Any) -> None:
    with pytest.raises(TypeError, match="Generator, an int or None") as caught:
        dataset(10, rng=rng)
    assert_names(caught.value, dataset, "rng")


@each_modern
def test_the_legacy_generator_is_the_flowers_only(dataset: Dataset) -> None:
    with pytest.raises(TypeError, match="Generator, an int or None") as caught:
        dataset(10, rng=np.random.RandomState(1))
    assert_names(caught.value, dataset, "rng")


# -- split ------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.1, 0.2, 0.25, 0.29, 0.5, 0.9])
def test_a_split_has_the_sizes_and_classes_of_scikit_learn(share: float) -> None:
    generator = np.random.default_rng(0)
    for seed in range(50):
        n, classes = generator.integers(20, 300), generator.integers(2, 6)
        labels = np.append(generator.choice(classes, n), [*range(classes)] * 2)
        rows = np.arange(len(labels))
        parts = train_test_split(labels, test_size=share, stratify=labels, random_state=seed)
        names = np.array([f"class {label}" for label in labels])[:, np.newaxis]
        found = split(labels, rows, share=share, rng=seed, stratify=names)
        assert [len(part) for part in found[:2]] == [len(part) for part in parts]
        np.testing.assert_array_equal(np.sort(np.concatenate(found[2:])), rows)
        for own, theirs, k in zip(found[:2], parts, map(len, parts), strict=True):
            counts, wanted = (np.bincount(one, minlength=7) for one in (own, theirs))
            # They draw which of equal remainders gets one more; at those both are as near.
            exact = np.bincount(labels, minlength=7) * k / len(labels)
            np.testing.assert_allclose(abs(counts - exact).sum(), abs(wanted - exact).sum())
        assert [len(part) for part in split(labels, share=share)] == [len(part) for part in parts]


def test_a_split_has_the_same_rows_of_each_and_draws_them_from_all() -> None:
    x, y = moons(100, rng=0)
    parts = split(
        (x, y.ravel().tolist()), {"x": pd.DataFrame(x)}, pl.DataFrame(x), share=0.07, rng=1
    )
    for (array, labels), named, table in (parts[::2], parts[1::2]):
        assert isinstance(labels, list)
        rows = [int(np.flatnonzero((x == row).all(axis=1))[0]) for row in array]
        assert labels == y[rows, 0].tolist()
        assert named["x"].equals(pd.DataFrame(x).iloc[rows])
        assert table.equals(pl.DataFrame(x)[rows])
    assert [len(part) for part in parts[2:]] == [1, 1, 93, 7]  # of dicts, the length is one
    again = split(x, share=0.07, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(again[1], parts[1][0])
    means = [float(split(y, share=0.5, rng=seed)[1].mean()) for seed in range(50)]
    assert abs(np.mean(means) - 0.5) < SIGMAS * 0.05 / math.sqrt(50)
    assert split(csr_array(x), rng=0)[1].shape == (20, 2)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda _: split(), TypeError, "at least one array, got none"),
        (lambda x: split(x, x[:3]), ValueError, "arrays of one length, got 10, 3"),
        (lambda x: split(x, None), TypeError, "arrays, lists or tables, got a NoneType"),
        (lambda x: split(iter(x)), TypeError, "arrays, lists or tables, got an iterator"),
        (lambda x: split(pl.DataFrame(x).lazy()), TypeError, "got a LazyFrame"),
        (lambda x: split(x, share=0), ValueError, "a row or more for either part"),
        (lambda x: split(x, share=0.95), ValueError, "a row or more for either part"),
        (lambda x: split(x, share=20), ValueError, "share to be between 0 and 1, got 20"),
        (lambda x: split(x, share="all"), TypeError, "share to be a number"),  # type: ignore[arg-type]
        (lambda x: split(x, rng="seed"), TypeError, "rng"),  # type: ignore[arg-type]
        (lambda x: split(x, stratify=x), ValueError, "one label for each of 10 rows, got 20"),
        (
            lambda x: split(x, stratify=list("aaaaaaaaab")),
            ValueError,
            "each label, got one of 'b'",
        ),
    ],
)
def test_what_cannot_be_split_is_said(
    call: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"split expects .*{message}"):
        call(np.ones((10, 2)))
