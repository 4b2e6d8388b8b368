"""The initializers against the published formulas, alone and inside a Dense."""

import inspect
import math
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

import minifw
from minifw import (
    Array,
    Constant,
    Dense,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Initializer,
    LecunNormal,
    Normal,
    Ones,
    Uniform,
    Zeros,
)

Shape = tuple[int, ...]

SIGMAS = 5  # a bound of five standard errors; all seeds are fixed, so nothing is flaky

# (out, in) and (out, in, *kernel) with fan_in and fan_out far apart, and fans counted by hand:
# an output unit of a 3 x 5 kernel over 16 channels sees 16 * 15 numbers.
SHAPES: list[tuple[Shape, int, int]] = [
    ((400, 100), 100, 400),
    ((100, 400), 400, 100),
    ((256, 64, 3), 192, 768),
    ((96, 16, 3, 5), 240, 1440),
    ((16, 96, 3, 5), 1440, 240),
    ((64, 16, 2, 3, 4), 384, 1536),
]


@dataclass(frozen=True)
class Rule:
    """An initializer, and the standard deviation that its paper asks for."""

    make: Callable[[], Initializer]
    std: Callable[[int, int], float]
    """Of fan_in and fan_out."""

    uniform: bool


RULES = {
    # Glorot and Bengio 2010: W ~ U[-sqrt(6)/sqrt(n_j + n_j+1), ...], Var[W] = 2/(n_i + n_i+1).
    "GlorotUniform": Rule(GlorotUniform, lambda i, o: math.sqrt(6 / (i + o)) / math.sqrt(3), True),
    "GlorotNormal": Rule(GlorotNormal, lambda i, o: math.sqrt(2 / (i + o)), False),
    # He et al. 2015: n_l Var[w_l] / 2 = 1, n_l being the inputs of one unit.
    "HeUniform": Rule(HeUniform, lambda i, _: math.sqrt(6 / i) / math.sqrt(3), True),
    "HeNormal": Rule(HeNormal, lambda i, _: math.sqrt(2 / i), False),
    # LeCun et al. 1998: sigma_w = m^(-1/2), m being the inputs of one unit.
    "LecunNormal": Rule(LecunNormal, lambda i, _: i**-0.5, False),
    "Normal": Rule(lambda: Normal(0.3), lambda *_: 0.3, False),
    "Normal, default": Rule(Normal, lambda *_: 0.01, False),
    "Uniform": Rule(lambda: Uniform(0.3), lambda *_: 0.3 / math.sqrt(3), True),
}
FAN_BASED = [GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunNormal]
EVERY = {
    **{name: rule.make for name, rule in RULES.items()},
    "Constant": lambda: Constant(0.5),
    "Zeros": Zeros,
    "Ones": Ones,
}

each_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
each_uniform = pytest.mark.parametrize(
    "rule",
    [rule for rule in RULES.values() if rule.uniform],
    ids=[name for name, rule in RULES.items() if rule.uniform],
)
each_shape = pytest.mark.parametrize(("shape", "fan_in", "fan_out"), SHAPES)
each_initializer = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_every_public_initializer_is_tested_here() -> None:
    public = {getattr(minifw, name) for name in vars(minifw)["__all__"]}
    classes = {c for c in public if inspect.isclass(c) and issubclass(c, Initializer)}
    assert {type(make()) for make in EVERY.values()} == classes - {Initializer}


# -- what all have in common ------------------------------------------------------------


@each_initializer
@pytest.mark.parametrize("shape", [(1, 1), (3, 2), (2, 3, 4), (2, 3, 5, 4)])
def test_it_returns_a_float64_array_of_the_shape(
    make: Callable[[], Initializer], shape: Shape
) -> None:
    array = make()(shape, generator())
    assert isinstance(array, np.ndarray)
    assert array.shape == shape
    assert array.dtype == np.float64


@each_initializer
def test_it_is_determined_by_the_seed(make: Callable[[], Initializer]) -> None:
    first, again = make()((5, 7), generator(3)), make()((5, 7), generator(3))
    np.testing.assert_array_equal(first, again)
    assert not np.shares_memory(first, again)


@each_rule
def test_a_random_one_advances_the_generator(rule: Rule) -> None:
    rng, init = generator(3), rule.make()
    first, second = init((5, 7), rng), init((5, 7), rng)
    assert not np.isin(first, second).any()
    assert not np.isin(first, init((5, 7), generator(4))).any()


@each_rule
def test_it_does_not_touch_the_global_random_state(rule: Rule) -> None:
    kept = np.random.get_state()
    try:
        np.random.seed(20)  # nobody else's seed
        before: Any = np.random.get_state(legacy=False)
        rule.make()((5, 7), generator())
        after: Any = np.random.get_state(legacy=False)
    finally:
        np.random.set_state(kept)
    np.testing.assert_array_equal(after["state"].pop("key"), before["state"].pop("key"))
    assert after == before


# -- the published formulas -------------------------------------------------------------


@each_rule
@each_shape
def test_the_variance_is_the_published_one(
    rule: Rule, shape: Shape, fan_in: int, fan_out: int
) -> None:
    weight = rule.make()(shape, generator(1))
    n, std = weight.size, rule.std(fan_in, fan_out)
    assert abs(weight.mean()) < SIGMAS * std / math.sqrt(n)
    # The mean of w^2 has the variance (kurtosis - 1) sigma^4 / n.
    kurtosis = 9 / 5 if rule.uniform else 3
    error = std**2 * math.sqrt((kurtosis - 1) / n)
    assert abs(np.mean(weight**2) - std**2) < SIGMAS * error


@each_rule
@each_shape
def test_the_distribution_is_normal_or_uniform_as_the_name_says(
    rule: Rule, shape: Shape, fan_in: int, fan_out: int
) -> None:
    weight = rule.make()(shape, generator(2))
    std = rule.std(fan_in, fan_out)
    for sigmas in (0.25, 1, 1.6):
        p = 1 - sigmas / math.sqrt(3) if rule.uniform else 2 * NormalDist().cdf(-sigmas)
        error = math.sqrt(p * (1 - p) / weight.size)
        assert abs(np.mean(np.abs(weight) > sigmas * std) - p) < SIGMAS * error


@each_uniform
@each_shape
def test_a_uniform_one_reaches_its_bounds_and_no_further(
    rule: Rule, shape: Shape, fan_in: int, fan_out: int
) -> None:
    weight = rule.make()(shape, generator(3))
    bound = rule.std(fan_in, fan_out) * math.sqrt(3)
    assert np.abs(weight).max() <= bound * (1 + 1e-15)  # the formula here rounds as well
    # No draw in the outer 40/n of either half has a probability of exp(-20).
    assert weight.max() > bound * (1 - 40 / weight.size)
    assert weight.min() < -bound * (1 - 40 / weight.size)


@each_rule
@each_shape
def test_units_and_inputs_are_drawn_independently(
    rule: Rule, shape: Shape, fan_in: int, fan_out: int
) -> None:
    weight = rule.make()(shape, generator(4)).reshape(shape[0], -1)
    variance = rule.std(fan_in, fan_out) ** 2
    for one, other in ((weight[1:], weight[:-1]), (weight[:, 1:], weight[:, :-1])):
        assert abs(np.mean(one * other)) < SIGMAS * variance / math.sqrt(one.size)


@pytest.mark.parametrize("value", [0.0, 0.5, -1e300, 7, np.float32(0.25)])
def test_constant_is_its_value_to_the_last_bit(value: float) -> None:
    for shape in [(), (3,), (2, 3), (2, 3, 4)]:
        array = Constant(value)(shape, generator())
        np.testing.assert_array_equal(array, np.full(shape, value, np.float64), strict=True)


def test_zeros_are_0_and_ones_are_1() -> None:
    for shape in [(), (3,), (2, 3), (2, 3, 4)]:
        np.testing.assert_array_equal(Zeros()(shape, generator()), np.zeros(shape), strict=True)
        np.testing.assert_array_equal(Ones()(shape, generator()), np.ones(shape), strict=True)


def test_normal_of_std_0_is_0() -> None:
    np.testing.assert_array_equal(Normal(0)((2, 3), generator()), np.zeros((2, 3)))


def test_normal_is_the_notes_randn_times_0_01() -> None:
    # Of a Generator; the notes' own numbers come of NumPy's legacy generator.
    expected = generator(3).standard_normal((4, 2)) * 0.01
    np.testing.assert_array_equal(Normal(0.01)((4, 2), generator(3)), expected)


@pytest.mark.parametrize("make", [lambda: Normal(0.5), lambda: Uniform(0.5)])
@pytest.mark.parametrize("shape", [(), (6,)])
def test_one_without_fans_serves_every_shape(
    make: Callable[[], Initializer], shape: Shape
) -> None:
    assert np.shape(make()(shape, generator())) == shape


# -- the repr and the messages ----------------------------------------------------------


@pytest.mark.parametrize(
    ("init", "shown"),
    [
        (GlorotUniform(), "GlorotUniform()"),
        (GlorotNormal(), "GlorotNormal()"),
        (HeUniform(), "HeUniform()"),
        (HeNormal(), "HeNormal()"),
        (LecunNormal(), "LecunNormal()"),
        (Zeros(), "Zeros()"),
        (Ones(), "Ones()"),
        (Constant(0.5), "Constant(0.5)"),
        (Constant(value=-2), "Constant(value=-2)"),
        (Normal(), "Normal()"),
        (Normal(0.02), "Normal(0.02)"),
        (Normal(std=0.02), "Normal(std=0.02)"),
        (Uniform(0.25), "Uniform(0.25)"),
        (Uniform(bound=0.25), "Uniform(bound=0.25)"),
    ],
)
def test_the_repr_shows_the_arguments(init: Initializer, shown: str) -> None:
    assert repr(init) == shown
    assert repr(Dense(2, 3, init=init)) == f"Dense(2, 3, init={shown})"


@each_initializer
def test_it_can_be_pickled(make: Callable[[], Initializer]) -> None:
    init = make()
    twin = pickle.loads(pickle.dumps(init))
    assert repr(twin) == repr(init)
    np.testing.assert_array_equal(twin((2, 3), generator(1)), init((2, 3), generator(1)))


@pytest.mark.parametrize("init", FAN_BASED)
@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_shape_without_fans_is_refused_with_the_fix(
    init: type[Initializer], shape: Shape
) -> None:
    with pytest.raises(ValueError, match="use Zeros, Constant, Normal or Uniform") as caught:
        init()(shape, generator())
    message = str(caught.value)
    assert message.startswith(f"{init.__name__}() expects a weight of shape (out, in, ...)")
    assert str(shape) in message
    assert "\n" not in message


@pytest.mark.parametrize("init", [Normal, Uniform])
@pytest.mark.parametrize(
    "value", [-1, -1e-300, math.nan, math.inf, -math.inf, pytest.param(10**400, id="10**400")]
)
def test_a_width_below_0_or_not_finite_is_a_value_error(
    init: type[Normal | Uniform], value: float
) -> None:
    argument = "std" if init is Normal else "bound"
    with pytest.raises(ValueError, match=f"^{init.__name__} expects {argument} to be finite and"):
        init(value)


def test_uniform_of_bound_0_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"^Uniform expects bound to be finite and above 0, got 0"
    ):
        Uniform(0)


@pytest.mark.parametrize("init", [Normal, Uniform, Constant])
@pytest.mark.parametrize("value", ["a", "0.5", b"1", None, [0.1], 0.1j])
def test_an_argument_of_a_wrong_type_is_a_type_error(
    init: type[Normal | Uniform | Constant], value: Any
) -> None:
    argument = {Normal: "std", Uniform: "bound", Constant: "value"}[init]
    with pytest.raises(TypeError, match=f"^{init.__name__} expects {argument} to be a number"):
        init(value)


@pytest.mark.parametrize("init", [*FAN_BASED, Zeros, Ones])
@pytest.mark.parametrize(("args", "options"), [((0.5,), {}), ((), {"gain": 2.0})])
def test_an_argument_that_it_does_not_have_is_refused(
    init: Any, args: tuple[float, ...], options: dict[str, float]
) -> None:
    with pytest.raises(TypeError, match="argument"):
        init(*args, **options)


def test_an_initializer_is_abstract_until_it_can_be_called() -> None:
    class Nothing(Initializer):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Nothing()  # type: ignore[abstract]


# -- inside a Dense ---------------------------------------------------------------------


@each_initializer
def test_dense_starts_as_its_init_says(make: Callable[[], Initializer]) -> None:
    layer = Dense(7, 5, init=make(), rng=3)
    np.testing.assert_array_equal(layer.weight.value, make()((5, 7), generator(3)))


def test_dense_starts_glorot_uniform_with_a_bias_of_0() -> None:
    layer = Dense(100, 400, rng=3)
    expected = generator(3).uniform(-math.sqrt(6 / 500), math.sqrt(6 / 500), (400, 100))
    np.testing.assert_array_equal(layer.weight.value, expected)
    assert layer.bias is not None
    np.testing.assert_array_equal(layer.bias.value, np.zeros(400), strict=True)


@each_initializer
def test_the_init_is_of_the_weight_and_not_of_the_bias(make: Callable[[], Initializer]) -> None:
    layer = Dense(7, 5, init=make(), rng=3)
    assert layer.bias is not None
    np.testing.assert_array_equal(layer.bias.value, np.zeros(5))


def test_dense_of_a_seed_is_the_same_twice() -> None:
    first, again, other = Dense(4, 5, rng=3), Dense(4, 5, rng=3), Dense(4, 5, rng=4)
    np.testing.assert_array_equal(first.weight.value, again.weight.value)
    assert not np.isin(first.weight.value, other.weight.value).any()


def test_dense_without_a_seed_takes_fresh_entropy() -> None:
    assert not np.isin(Dense(4, 5).weight.value, Dense(4, 5).weight.value).any()


def test_dense_draws_from_a_generator_and_advances_it() -> None:
    rng, again = generator(3), generator(3)
    layers = [Dense(4, 5, rng=rng) for _ in range(2)]
    for layer in layers:
        bound = math.sqrt(6 / 9)
        np.testing.assert_array_equal(layer.weight.value, again.uniform(-bound, bound, (5, 4)))
    assert not np.isin(layers[0].weight.value, layers[1].weight.value).any()


@each_initializer
def test_dense_of_float32_holds_the_float64_draw_rounded(make: Callable[[], Initializer]) -> None:
    layer = Dense(7, 5, init=make(), dtype=np.float32, rng=3)
    assert layer.bias is not None
    expected = make()((5, 7), generator(3)).astype(np.float32)
    np.testing.assert_array_equal(layer.weight.value, expected, strict=True)
    np.testing.assert_array_equal(layer.bias.value, np.zeros(5, np.float32), strict=True)


def test_a_plain_function_is_an_init() -> None:
    seen = []

    def ramp(shape: Shape, rng: np.random.Generator) -> Array:
        seen.append((shape, rng))
        return np.arange(math.prod(shape), dtype=np.float64).reshape(shape)

    rng = generator()
    layer = Dense(2, 3, init=ramp, rng=rng)
    np.testing.assert_array_equal(layer.weight.value, [[0, 1], [2, 3], [4, 5]])
    assert seen == [((3, 2), rng)]


def test_a_lambda_that_draws_is_an_init() -> None:
    layer = Dense(2, 3, init=lambda shape, rng: rng.standard_normal(shape), rng=5)
    np.testing.assert_array_equal(layer.weight.value, generator(5).standard_normal((3, 2)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("returned", [np.float32, np.int64])
def test_an_init_may_return_float32_or_whole_numbers(returned: type, dtype: type) -> None:
    values: Any = np.array([[1, 2], [3, 4]], returned)
    layer = Dense(2, 2, init=lambda _shape, _rng: values, dtype=dtype)
    np.testing.assert_array_equal(layer.weight.value, values.astype(dtype), strict=True)


def test_an_init_has_to_be_finite_in_the_dtype_of_the_layer() -> None:
    def huge(shape: Shape, rng: np.random.Generator) -> Array:
        return 1e300 * rng.standard_normal(shape)

    assert np.isfinite(Dense(2, 2, init=huge, rng=0).weight.value).all()
    with pytest.raises(ValueError, match=r"Dense expects .*huge.* finite numbers of float32$"):
        Dense(2, 2, init=huge, dtype=np.float32, rng=0)
    with pytest.raises(ValueError, match=r"to return numbers, got a complex128 array"):
        Dense(2, 2, init=lambda shape, _rng: np.zeros(shape, complex), rng=0)


def test_an_init_with_a_truth_value_of_false_is_used() -> None:
    class Empty(Ones):
        def __len__(self) -> int:
            return 0

    np.testing.assert_array_equal(Dense(2, 2, init=Empty()).weight.value, np.ones((2, 2)))


def test_the_weight_is_not_the_array_that_the_init_keeps() -> None:
    kept = np.ones((3, 2))
    layers = [Dense(2, 3, init=lambda _shape, _rng: kept) for _ in range(2)]
    layers[0].weight.value[...] = 5
    np.testing.assert_array_equal(layers[1].weight.value, np.ones((3, 2)))
    np.testing.assert_array_equal(kept, np.ones((3, 2)))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (6,), (1, 3, 2), (1, 2)])
def test_an_init_of_a_wrong_shape_is_a_value_error(shape: Shape) -> None:
    def wrong(_shape: Shape, _rng: np.random.Generator) -> Array:
        return np.ones(shape)

    with pytest.raises(ValueError, match=r"^Dense expects .*wrong.* to return the shape \(3, 2\)"):
        Dense(2, 3, init=wrong)


@pytest.mark.parametrize(
    "init",
    [
        *(0.01, 1, True, "glorot_uniform"),
        *(0, False, "", [], {}),  # what Python takes for false is no default either
        pytest.param(np.ones((3, 2)), id="a weight"),
        pytest.param(np.zeros((1, 1)), id="a single 0"),
    ],
    ids=repr,
)
def test_an_init_that_cannot_be_called_is_a_type_error_with_the_fix(init: Any) -> None:
    with pytest.raises(TypeError, match=r"^Dense expects init to be callable") as caught:
        Dense(2, 3, init=init)
    assert "assign to layer.weight.value" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_an_init_raises_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        Dense(2, 3, init=lambda shape, _rng: np.ones(shape) * (1 // 0))


@pytest.mark.parametrize("rng", [-1, 1.5, "a", True])
def test_a_wrong_rng_is_named(rng: Any) -> None:
    error = ValueError if rng == -1 else TypeError
    with pytest.raises(error, match=r"^Dense expects rng to be"):
        Dense(2, 3, rng=rng)
