"""Every optimizer over 100 steps against its published rule, written out element by element."""

import copy
import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from cases import OPTIMIZER_CASES

import minifw
from minifw import (
    SGD,
    Accumulate,
    Adagrad,
    Adam,
    AdamW,
    Array,
    Averaged,
    Dense,
    Lion,
    Lookahead,
    NAdam,
    NonFiniteError,
    Objective,
    Optimizer,
    Parameter,
    RMSprop,
    Rprop,
    Sequential,
    Sigmoid,
    Tanh,
    biases_and_norms,
    clip_grad_norm,
    clip_grad_value,
)
from minifw.losses import BCELoss
from minifw.optimizers import _elementwise

STEPS = 100
TOLERANCE = 1e-10

Rule: TypeAlias = Callable[[float, list[float], list[float]], float]
"""From where one number starts, its gradients and the learning rates: where it ends."""


# -- the rules: one number, plain Python, as the papers write them ----------------------------


def sgd(momentum: float = 0.0, decay: float = 0.0, *, nesterov: bool = False) -> Rule:
    """PyTorch's form of Polyak, 1964, equation 9, and of Sutskever et al., 2013."""

    def rule(theta: float, gradients: list[float], rates: list[float]) -> float:
        buffer = None
        for gradient, lr in zip(gradients, rates, strict=True):
            g = gradient + decay * theta
            buffer = g if buffer is None else momentum * buffer + g
            theta -= lr * (g + momentum * buffer if nesterov else buffer)
        return theta

    return rule


def adam(
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    decay: float = 0.0,
    *,
    decoupled: bool = False,
) -> Rule:
    """Kingma and Ba, 2015, algorithm 1; Loshchilov and Hutter, 2019, in PyTorch's form."""
    b1, b2 = betas

    def rule(theta: float, gradients: list[float], rates: list[float]) -> float:
        m = v = 0.0
        for t, (gradient, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
            g = gradient
            if decoupled:
                theta -= lr * decay * theta
            else:
                g += decay * theta
            m = b1 * m + (1 - b1) * g
            v = b2 * v + (1 - b2) * g * g
            m_hat, v_hat = m / (1 - b1**t), v / (1 - b2**t)
            theta -= lr * m_hat / (math.sqrt(v_hat) + eps)
        return theta

    return rule


def rmsprop(
    alpha: float = 0.99,
    eps: float = 1e-8,
    decay: float = 0.0,
    momentum: float = 0.0,
    *,
    centered: bool = False,
) -> Rule:
    """Hinton's lecture 6.5 and Graves, 2013, equations 38 to 45; PyTorch's eps."""

    def rule(theta: float, gradients: list[float], rates: list[float]) -> float:
        square = mean = buffer = 0.0
        for gradient, lr in zip(gradients, rates, strict=True):
            g = gradient + decay * theta
            square = alpha * square + (1 - alpha) * g * g
            mean = alpha * mean + (1 - alpha) * g
            variance = square - mean * mean if centered else square
            buffer = momentum * buffer + g / (math.sqrt(variance) + eps)
            theta -= lr * buffer
        return theta

    return rule


def adagrad(
    lr_decay: float = 0.0, decay: float = 0.0, initial: float = 0.0, eps: float = 1e-10
) -> Rule:
    """Duchi, Hazan and Singer, 2011, figure 1 with diagonal matrices; PyTorch's lr_decay."""

    def rule(theta: float, gradients: list[float], rates: list[float]) -> float:
        total = initial
        for t, (gradient, lr) in enumerate(zip(gradients, rates, strict=True)):
            g = gradient + decay * theta
            total += g * g
            theta -= lr / (1 + t * lr_decay) * g / (math.sqrt(total) + eps)
        return theta

    return rule


def nadam(decay: float = 0.0, psi: float = 4e-3) -> Rule:
    """Dozat, 2016, algorithm 2, with PyTorch's schedule of mu."""

    def mu(t: int) -> float:
        return float(0.9 * (1 - 0.5 * 0.96 ** (t * psi)))

    def rule(theta: float, gradients: list[float], rates: list[float]) -> float:
        m = v = 0.0
        product = 1.0
        for t, (gradient, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
            g = gradient + decay * theta
            product *= mu(t)
            m = 0.9 * m + 0.1 * g
            v = 0.999 * v + 0.001 * g * g
            m_hat = mu(t + 1) * m / (1 - product * mu(t + 1)) + (1 - mu(t)) * g / (1 - product)
            theta -= lr * m_hat / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
        return theta

    return rule


def lion(betas: tuple[float, float] = (0.9, 0.99), decay: float = 0.0) -> Rule:
    """Chen et al., 2023, algorithm 2."""
    b1, b2 = betas

    def rule(theta: float, gradients: list[float], rates: list[float]) -> float:
        m = 0.0
        for g, lr in zip(gradients, rates, strict=True):
            c = b1 * m + (1 - b1) * g
            theta -= lr * ((c > 0) - (c < 0) + decay * theta)
            m = b2 * m + (1 - b2) * g
        return theta

    return rule


def rprop(etas: tuple[float, float] = (0.5, 1.2), low: float = 1e-6, high: float = 50) -> Rule:
    """Igel and Huesken, 2000, iRprop-."""

    def rule(theta: float, gradients: list[float], rates: list[float]) -> float:
        size, before = rates[0], 0.0
        for gradient in gradients:
            g = gradient
            if g * before > 0:
                size = size * etas[1]
            elif g * before < 0:
                size, g = size * etas[0], 0.0
            size = min(max(size, low), high)
            theta -= size * ((g > 0) - (g < 0))
            before = g
        return theta

    return rule


def lookahead(inner: float, k: int, alpha: float) -> Rule:
    """Zhang et al., 2019, algorithm 1, around plain descent with a decay of `inner`."""

    def rule(theta: float, gradients: list[float], rates: list[float]) -> float:
        slow = theta
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), start=1):
            theta -= lr * (g + inner * theta)
            if t % k == 0:
                theta = slow = slow + alpha * (theta - slow)
        return theta

    return rule


Make: TypeAlias = Callable[[list[Parameter]], Optimizer]

RULES: dict[str, tuple[Make, Rule]] = {
    "SGD": (lambda p: SGD(p, lr=0.1), sgd()),
    "SGD momentum": (lambda p: SGD(p, lr=0.1, momentum=0.9), sgd(0.9)),
    "SGD decay": (lambda p: SGD(p, lr=0.1, weight_decay=0.3), sgd(decay=0.3)),
    "SGD momentum decay": (
        lambda p: SGD(p, lr=0.1, momentum=0.7, weight_decay=0.3),
        sgd(0.7, 0.3),
    ),
    "SGD Nesterov": (
        lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        sgd(0.9, nesterov=True),
    ),
    "SGD Nesterov decay": (
        lambda p: SGD(p, lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.2),
        sgd(0.9, 0.2, nesterov=True),
    ),
    "Adam": (Adam, adam()),
    "Adam options": (
        lambda p: Adam(p, 0.1, betas=(0.8, 0.95), eps=0.1),
        adam((0.8, 0.95), 0.1),
    ),
    "Adam betas 0": (lambda p: Adam(p, 0.1, betas=(0.0, 0.0)), adam((0.0, 0.0))),
    "Adam decay": (lambda p: Adam(p, 0.1, weight_decay=0.3), adam(decay=0.3)),
    "AdamW": (AdamW, adam(decay=0.01, decoupled=True)),
    "AdamW decay": (
        lambda p: AdamW(p, 0.1, weight_decay=0.3),
        adam(decay=0.3, decoupled=True),
    ),
    "RMSprop": (RMSprop, rmsprop()),
    "RMSprop options": (lambda p: RMSprop(p, 0.1, alpha=0.8, eps=0.1), rmsprop(0.8, 0.1)),
    "RMSprop momentum decay": (
        lambda p: RMSprop(p, momentum=0.9, weight_decay=0.3),
        rmsprop(momentum=0.9, decay=0.3),
    ),
    "RMSprop centered": (lambda p: RMSprop(p, centered=True), rmsprop(centered=True)),
    "RMSprop all": (
        lambda p: RMSprop(p, 0.1, 0.9, 1e-3, weight_decay=0.3, momentum=0.5, centered=True),
        rmsprop(0.9, 1e-3, 0.3, 0.5, centered=True),
    ),
    "Adagrad": (Adagrad, adagrad()),
    "Adagrad options": (
        lambda p: Adagrad(
            p, 0.1, lr_decay=0.1, weight_decay=0.3, initial_accumulator_value=0.5, eps=0.01
        ),
        adagrad(0.1, 0.3, 0.5, 0.01),
    ),
    "NAdam": (NAdam, nadam()),
    "NAdam options": (
        lambda p: NAdam(p, 0.1, weight_decay=0.3, momentum_decay=0.5),
        nadam(0.3, 0.5),
    ),
    "Lion": (Lion, lion()),
    "Lion options": (lambda p: Lion(p, 0.1, (0.5, 0.8), 0.3), lion((0.5, 0.8), 0.3)),
    "Rprop": (Rprop, rprop()),
    "Rprop options": (
        lambda p: Rprop(p, 0.1, (0.3, 2.0), (0.05, 0.5)),
        rprop((0.3, 2.0), 0.05, 0.5),
    ),
    "Lookahead": (lambda p: Lookahead(SGD(p, 0.1)), lookahead(0.0, 5, 0.5)),
    "Lookahead options": (
        lambda p: Lookahead(SGD(p, 0.1, weight_decay=0.3), k=3, alpha=0.8),
        lookahead(0.3, 3, 0.8),
    ),
    "Averaged": (lambda p: Averaged(SGD(p, 0.1, momentum=0.9)), sgd(0.9)),
    "Accumulate": (lambda p: Accumulate(SGD(p, 0.1, momentum=0.9), 3), sgd(0.9)),
}


def walk(make: Make, factors: list[float]) -> tuple[Array, Array, Array, list[float]]:
    """Return start, gradients, end and rates of a walk on fixed random gradients."""
    rng = np.random.default_rng(7)
    parameters = [Parameter(rng.standard_normal(shape)) for shape in ((3, 2), (4,))]
    start = np.concatenate([p.value.ravel() for p in parameters])
    gradients = rng.standard_normal((len(factors), start.size)) * 10.0 ** rng.uniform(-3, 3, 10)
    optimizer = make(parameters)
    base, rates = optimizer.lr, []
    for gradient, factor in zip(gradients, factors, strict=True):
        parameters[0].grad = gradient[:6].reshape(3, 2)
        parameters[1].grad = gradient[6:]
        optimizer.lr = base * factor  # as a schedule does
        rates.append(optimizer.lr)
        optimizer.step()
    return start, gradients, np.concatenate([p.value.ravel() for p in parameters]), rates


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("schedule", ["constant", "changing"])
@pytest.mark.parametrize("block", [_elementwise.BLOCK, 3], ids=["one block", "blocks of 3"])
def test_a_walk_follows_the_published_rule(
    name: str, schedule: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_elementwise, "BLOCK", block)
    make, rule = RULES[name]
    changing = schedule == "changing"
    factors = [1 / (1 + t % 7) if changing else 1.0 for t in range(STEPS)]
    start, gradients, end, rates = walk(make, factors)
    expected = [
        rule(float(theta), gradients[:, i].tolist(), rates) for i, theta in enumerate(start)
    ]
    np.testing.assert_allclose(end, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_every_public_optimizer_has_a_rule_and_stands_in_the_table() -> None:
    public = {getattr(minifw, name) for name in vars(minifw)["__all__"]}
    optimizers = {c for c in public if isinstance(c, type) and issubclass(c, Optimizer)}
    optimizers.discard(Optimizer)
    for made in (
        {type(make([Parameter(np.ones(2))])) for make, _ in RULES.values()},
        {type(make([Parameter(np.ones(2))])) for make in OPTIMIZER_CASES.values()},
    ):
        assert made == optimizers


def test_adam_is_the_same_in_blocks_of_any_length(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for block in (1, 7, 64, 1000):
        monkeypatch.setattr(_elementwise, "BLOCK", block)
        p = Parameter(np.linspace(-1, 1, 100))
        optimizer = Adam([p])
        for step in range(3):
            p.grad = np.sin(np.arange(100.0) + step)
            optimizer.step()
        ends.append(p.value.copy())
    for end in ends[1:]:
        np.testing.assert_array_equal(end, ends[0])


# -- what does not decay ----------------------------------------------------------------------

DECAYING: dict[str, Callable[..., Optimizer]] = {
    "SGD": lambda p, **options: SGD(p, 0.1, weight_decay=0.5, **options),
    "SGD momentum": lambda p, **options: SGD(p, 0.1, momentum=0.5, weight_decay=0.5, **options),
    "Adam": lambda p, **options: Adam(p, 0.1, weight_decay=0.5, **options),
    "AdamW": lambda p, **options: AdamW(p, 0.1, weight_decay=0.5, **options),
    "RMSprop": lambda p, **options: RMSprop(p, 0.1, weight_decay=0.5, **options),
    "Adagrad": lambda p, **options: Adagrad(p, 0.1, weight_decay=0.5, **options),
    "NAdam": lambda p, **options: NAdam(p, 0.1, weight_decay=0.5, **options),
    "Lion": lambda p, **options: Lion(p, 0.1, weight_decay=0.5, **options),
    "Lookahead": lambda p, **options: Lookahead(SGD(p, 0.1, weight_decay=0.5, **options)),
}


@pytest.mark.parametrize("name", DECAYING)
def test_a_parameter_left_out_goes_as_if_there_were_no_decay(name: str) -> None:
    """And the others as if all decayed: each element goes its own way."""
    make = DECAYING[name]
    rng = np.random.default_rng(0)
    ends = []
    for left_out, decay in ((1, 0.5), (None, 0.5), (None, 0.0)):
        parameters = [Parameter(np.full(shape, 2.0)) for shape in ((2, 2), (3,), (1, 2))]
        options = {} if left_out is None else {"no_decay": [parameters[left_out]]}
        optimizer: Any = make(parameters, **options)
        optimizer.weight_decay = decay
        rng = np.random.default_rng(0)
        for _ in range(10):
            for p in parameters:
                p.grad = rng.standard_normal(p.shape)
            optimizer.step()
        ends.append([p.value.copy() for p in parameters])
    mixed, decayed, plain = ends
    for index, expected in ((0, decayed), (1, plain), (2, decayed)):
        np.testing.assert_allclose(mixed[index], expected[index], rtol=1e-14)
    assert not np.allclose(decayed[0], plain[0])


def test_biases_and_norms_are_the_parameters_with_at_most_one_axis() -> None:
    model = Sequential(Dense(2, 3, rng=0), Tanh(), Sequential(Dense(3, 1, rng=1), Sigmoid()))
    names = {id(p): name for name, p in model.named_parameters()}
    assert [names[id(p)] for p in biases_and_norms(model)] == ["0.bias", "2.0.bias"]
    assert biases_and_norms(Tanh()) == []
    with pytest.raises(TypeError, match="expects a layer, got a list"):
        biases_and_norms(model.parameters())  # type: ignore[arg-type]


@pytest.mark.parametrize("make", DECAYING.values(), ids=DECAYING)
def test_no_decay_is_checked(make: Callable[..., Optimizer]) -> None:
    p, stranger = Parameter(np.ones(2)), Parameter(np.ones(2))
    with pytest.raises(ValueError, match="no_decay to be among its parameters"):
        make([p], no_decay=[stranger])
    with pytest.raises(TypeError, match="got a Parameter; put it in a list"):
        make([p], no_decay=p)
    with pytest.raises(TypeError, match="no_decay to be parameters, got a str"):
        make([p], no_decay=["bias"])
    with pytest.raises(TypeError, match="no_decay to be parameters, got a Dense"):
        make([p], no_decay=Dense(2, 1))


# -- refusals, states, extremes ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda p: SGD(p, 0.1, momentum=1.0), ValueError, "SGD expects momentum .* below 1"),
        (lambda p: SGD(p, 0.1, momentum=-0.1), ValueError, "momentum"),
        (lambda p: SGD(p, 0.1, momentum=math.nan), ValueError, "momentum"),
        (lambda p: SGD(p, 0.1, momentum="0"), TypeError, "momentum"),  # type: ignore[arg-type]
        (lambda p: SGD(p, 0.1, nesterov=True), ValueError, "a momentum above 0 with nesterov"),
        (lambda p: SGD(p, 0.1, momentum=0.5, nesterov=1), TypeError, "nesterov"),  # type: ignore[arg-type]
        (lambda p: SGD(p, 0.1, weight_decay=-1.0), ValueError, "weight_decay"),
        (lambda p: SGD(p, 0.1, weight_decay=math.inf), ValueError, "weight_decay"),
        (lambda p: SGD(p, 0.1, 0.9), TypeError, "positional"),  # type: ignore[call-arg]
        (lambda p: Adam(p, betas=(0.9, 1.0)), ValueError, r"Adam expects betas\[1\]"),
        (lambda p: Adam(p, betas=(-0.1, 0.9)), ValueError, r"betas\[0\]"),
        (lambda p: Adam(p, betas=0.9), TypeError, "betas to be a pair"),  # type: ignore[arg-type]
        (lambda p: Adam(p, betas=(0.9,)), TypeError, "betas to be a pair"),  # type: ignore[arg-type]
        (lambda p: Adam(p, eps=0.0), ValueError, "eps"),
        (lambda p: AdamW(p, weight_decay=-1.0), ValueError, "AdamW expects weight_decay"),
        (lambda p: RMSprop(p, alpha=1.0), ValueError, "RMSprop expects alpha"),
        (lambda p: RMSprop(p, eps=-1.0), ValueError, "eps"),
        (lambda p: RMSprop(p, momentum=1.5), ValueError, "momentum"),
        (lambda p: RMSprop(p, centered=None), TypeError, "centered"),  # type: ignore[arg-type]
        (lambda p: Adagrad(p, lr_decay=-1.0), ValueError, "Adagrad expects lr_decay"),
        (lambda p: Adagrad(p, initial_accumulator_value=-1.0), ValueError, "initial_acc"),
        (lambda p: Adagrad(p, eps=0), ValueError, "eps"),
        (lambda p: NAdam(p, momentum_decay=-1.0), ValueError, "NAdam expects momentum_decay"),
        (lambda p: Lion(p, betas=(0.9, 1.0)), ValueError, r"Lion expects betas\[1\]"),
        (lambda p: Rprop(p, etas=(0.5, 0.9)), ValueError, "etas to rise, below and above 1"),
        (lambda p: Rprop(p, etas=(1.0, 1.2)), ValueError, "etas to rise, below and above 1"),
        (lambda p: Rprop(p, step_sizes=(1.0, 0.1)), ValueError, "step_sizes to rise, got"),
        (lambda p: Rprop(p, step_sizes=(0.0, 0.1)), ValueError, r"step_sizes\[0\]"),
    ],
)
def test_a_bad_option_is_refused_and_moves_nothing(
    make: Any, error: type[Exception], message: str
) -> None:
    p = Parameter(np.ones(2))
    held = p.value
    q = Parameter(np.ones(2))
    with pytest.raises(error, match=message):
        make([p, q])
    assert p.value is held


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (lambda p: SGD(p, 0.1), "momentum", 1.5),
        (lambda p: SGD(p, 0.1), "nesterov", 1),
        (lambda p: SGD(p, 0.1), "weight_decay", -3),
        (Adam, "betas", (2.0, 2.0)),
        (Adam, "betas", "ab"),
        (Adam, "betas", None),
        (Adam, "eps", math.nan),
        (AdamW, "weight_decay", math.nan),
        (RMSprop, "alpha", 1.0),
        (RMSprop, "eps", 0.0),
        (RMSprop, "weight_decay", math.inf),
        (RMSprop, "momentum", -0.1),
        (RMSprop, "centered", None),
        (Adagrad, "lr_decay", "0"),
        (Adagrad, "weight_decay", -1.0),
        (Adagrad, "eps", -1.0),
        (NAdam, "mu_product", 1.5),
        (Rprop, "etas", (2.0, 3.0)),
    ],
)
def test_what_the_constructor_refuses_is_refused_later_and_changes_nothing(
    make: Make, name: str, value: Any
) -> None:
    optimizer = make([Parameter(np.ones(2))])
    before, kind = optimizer.state_dict(), type(optimizer).__name__
    with pytest.raises((TypeError, ValueError), match=f"{kind} expects {name}"):
        setattr(optimizer, name, value)
    assert getattr(optimizer, name) == before[name]
    state = {**before, name: value, "lr": 0.7, "steps": 3}
    with pytest.raises(ValueError, match=rf"load_state_dict: expects {name}"):
        optimizer.load_state_dict(state)
    assert getattr(optimizer, name) == before[name]
    assert (optimizer.lr, optimizer.steps) == (before["lr"], 0)


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (Adam, {"m": None}, "m is None, not a float64 array"),
        (Adam, {"m": np.array([0, math.nan])}, "m holds NaN"),
        (Adam, {"m": np.array([0, "a"])}, "m is "),
        (Adam, {"v": np.array([-1.0, 0])}, "v holds numbers below 0"),
        (RMSprop, {"v": np.array([math.inf, 0])}, "v holds NaN or infinity"),
        (RMSprop, {"velocity": np.ones(3)}, r"velocity has shape \(3,\)"),
        (Adagrad, {"v": np.ones(3)}, r"v has shape \(3,\)"),
        (lambda p: SGD(p, 0.1), {"velocity": np.ones((2, 1))}, "velocity has shape"),
        (Adam, {"steps": -1}, "steps to be at least 0, got -1"),
        (Adam, {"steps": 1.5}, "steps to be a whole number, got 1.5"),
        (Adam, {"steps": -1, "eps": 0.0, "lr": "1"}, "eps .*; expects lr .*; expects steps"),
    ],
)
def test_a_state_that_no_run_can_have_is_refused_and_changes_nothing(
    make: Make, change: dict[str, Any], message: str
) -> None:
    p = Parameter(np.ones(2))
    optimizer = make([p])
    p.grad = [1.0, 2.0]
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match=message):
        optimizer.load_state_dict({**before, "lr": 0.7, **change})
    after = optimizer.state_dict()
    assert all(np.array_equal(after[key], before[key]) for key in before)


@pytest.mark.parametrize(
    "make",
    [
        lambda p: Adam(p, eps=1e-46),
        lambda p: Adagrad(p, eps=1e-60),
        lambda p: RMSprop(p, eps=1e-60),
        lambda p: SGD(p, 0.1, weight_decay=1e39),
        lambda p: Adagrad(p, initial_accumulator_value=1e39),
        lambda p: Rprop(p, step_sizes=(1e-6, 1e39)),
    ],
)
def test_a_number_has_to_be_one_in_the_dtype_of_the_parameters(make: Make) -> None:
    """A gradient of 0 moves nothing: not 0 / 0, nor 0 times infinity."""
    with pytest.raises(ValueError, match="a normal number of float32, got 1e"):
        make([Parameter(np.zeros(2, np.float32))])
    p = Parameter(np.zeros(2))
    make([p]).step()
    np.testing.assert_array_equal(p.value, 0)


def test_a_momentum_may_be_assigned_later() -> None:
    """Until then its vectors are 0: the walk is that of the published rule from there on."""
    walks = []
    for late in (False, True):
        p = Parameter(np.ones(2))
        optimizer = RMSprop([p], momentum=0.0 if late else 0.9, centered=not late)
        if late:
            optimizer.momentum, optimizer.centered = 0.9, True
        for grad in ([1.0, -2.0], [3.0, 0.5], [-1.0, 1.0]):
            p.grad = grad
            optimizer.step()
        walks.append(p.value.tobytes())
    assert walks[0] == walks[1]
    before = p.value.copy()
    optimizer.momentum, optimizer.centered = 0.0, False
    v = optimizer.v * 0.99 + 0.01
    p.grad = np.ones(2)
    optimizer.step()
    np.testing.assert_allclose(p.value, before - 0.01 / (np.sqrt(v) + 1e-8), rtol=1e-12)


@pytest.mark.parametrize("name", OPTIMIZER_CASES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_resumed_walk_is_bit_identical_under_a_changing_rate(name: str, dtype: type) -> None:
    def start() -> tuple[list[Parameter], Optimizer]:
        parameters = [Parameter(np.ones(shape, dtype)) for shape in ((3, 2), (4,))]
        return parameters, OPTIMIZER_CASES[name](parameters)

    def go(parameters: list[Parameter], optimizer: Optimizer, first: int, last: int) -> None:
        for step in range(first, last):
            rng = np.random.default_rng(step)
            for p in parameters:
                p.grad = rng.standard_normal(p.shape).astype(dtype)
            optimizer.lr *= 0.97
            optimizer.step()

    parameters, optimizer = start()
    go(parameters, optimizer, 0, 10)
    state = copy.deepcopy(optimizer.state_dict())
    values = [p.value.copy() for p in parameters]
    go(parameters, optimizer, 10, 20)
    twins, twin = start()
    for p, value in zip(twins, values, strict=True):
        p.value = value
    twin.load_state_dict(state)
    go(twins, twin, 10, 20)
    for p, q in zip(parameters, twins, strict=True):
        assert p.value.tobytes() == q.value.tobytes()
    assert twin.lr == optimizer.lr


def test_a_state_with_momentum_goes_into_plain_sgd_and_back() -> None:
    p, q = Parameter(np.ones(2)), Parameter(np.ones(2))
    plain, rolling = SGD([p], 0.1), SGD([q], 0.1, momentum=0.9)
    q.grad = np.ones(2)
    rolling.step()
    first = plain.state_dict()
    plain.load_state_dict(rolling.state_dict())
    p.value = q.value
    p.grad = np.ones(2)
    plain.step()
    rolling.step()
    np.testing.assert_array_equal(p.value, q.value)
    rolling.load_state_dict(first)
    assert rolling.velocity is None
    assert rolling.momentum == 0.0


ADAPTIVE: dict[str, Make] = {
    "Adam": Adam,
    "AdamW": AdamW,
    "RMSprop": RMSprop,
    "RMSprop centered": lambda p: RMSprop(p, centered=True),
    "Adagrad": Adagrad,
    "NAdam": NAdam,
}


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(np.float32, 1e13), (np.float64, 1e140), (np.float32, 1e-30), (np.float64, 1e-200)],
)
def test_large_and_tiny_gradients_move_and_stay_finite(
    name: str, dtype: type, size: float
) -> None:
    p = Parameter(np.zeros(3, dtype))
    optimizer = ADAPTIVE[name]([p])
    for _ in range(20):
        p.grad = np.array([size, -size, 0.0], dtype)
        optimizer.step()
    assert p.value.dtype == dtype
    assert np.isfinite(p.value).all()
    assert p.value[0] <= 0.0 <= p.value[1]
    assert p.value[2] == 0.0
    if size > 1:
        assert p.value[0] < 0.0


@pytest.mark.parametrize("name", ADAPTIVE)
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e18), (np.float64, 1e152)])
def test_a_gradient_whose_square_may_overflow_is_refused_and_changes_nothing(
    name: str, dtype: type, size: float
) -> None:
    p = Parameter(np.zeros(3, dtype))
    optimizer = ADAPTIVE[name]([p])
    before = copy.deepcopy(optimizer.state_dict())
    p.grad = np.array([1.0, size, 0.0], dtype)
    with pytest.raises(NonFiniteError, match=r"the square of the .*, 1e.* clip"):
        optimizer.step()
    np.testing.assert_array_equal(p.value, 0)
    for key, value in optimizer.state_dict().items():
        np.testing.assert_array_equal(value, before[key])
    assert clip_grad_norm(optimizer, 1.0) == pytest.approx(size)
    optimizer.step()


def test_many_gradients_near_the_limit_are_accepted() -> None:
    """The sum of their squares is above the limit, none of them is."""
    p = Parameter(np.zeros(10_000, np.float32))
    optimizer = Adam([p])
    p.grad = np.full(10_000, 2e14, np.float32)
    optimizer.step()
    np.testing.assert_allclose(p.value, -1e-3, rtol=1e-5)


# -- numbers that are too small to keep ---------------------------------------------------------

FADING: dict[str, Make] = {
    "SGD": lambda p: SGD(p, 0.1, momentum=0.5),
    "Adam": Adam,
    "AdamW": lambda p: AdamW(p, weight_decay=0.0, betas=(0.5, 0.9)),
    "RMSprop": lambda p: RMSprop(p, alpha=0.5, centered=True, momentum=0.5),
    "NAdam": NAdam,
    "Lion": Lion,
}


def vectors(optimizer: Optimizer) -> list[Array]:
    return [v for v in optimizer.state_dict().values() if isinstance(v, np.ndarray)]


@pytest.mark.parametrize("name", FADING)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_has_faded_becomes_zero_at_steps_divisible_by_256(name: str, dtype: type) -> None:
    p = Parameter(np.zeros(4, dtype))
    optimizer = FADING[name]([p])
    bound = float(np.finfo(dtype).tiny / np.finfo(dtype).eps)
    p.grad = np.array([1.0, 1.0, 0.0, 0.0], dtype)
    optimizer.step()
    optimizer.steps = 254
    state = optimizer.state_dict()
    for key in ("m", "mean", "velocity"):
        if key in state:
            state[key][:] = [1e3 * bound, bound / 4, -bound / 4, -1e3 * bound]
    if "v" in state:
        state["v"][:] = bound / 4
    optimizer.load_state_dict(state)
    p.grad = np.zeros(4, dtype)
    optimizer.step()  # 255: nothing is set to 0
    assert all((v != 0).all() for v in vectors(optimizer))
    optimizer.step()
    assert optimizer.steps == 256
    for vector in vectors(optimizer):
        np.testing.assert_array_equal(vector != 0, [True, False, False, True])


def test_squares_stay_where_a_mean_or_a_gradient_would_be_divided_by_their_root() -> None:
    """And the sum of Adagrad stays anyway, for it does not fade."""
    tiny = np.full(2, 1e-20)
    for make in (lambda p: Adam(p, eps=1e-300), RMSprop, Adagrad):
        p = Parameter(np.zeros(2))
        optimizer: Any = make([p])
        optimizer.steps = 255
        optimizer.v[:] = 1e-300
        p.grad = np.zeros(2) if make is Adagrad else tiny * 1e-135  # the square is 1e-310
        if make is Adagrad:
            optimizer.v[:] = 1e-300
        optimizer.step()
        assert (optimizer.v > 0).all()


@pytest.mark.parametrize("name", FADING)
@pytest.mark.parametrize("saved_at", [255, 256, 300])
def test_a_resumed_run_fades_at_the_same_steps(name: str, saved_at: int) -> None:
    def run(optimizer: Optimizer, last: int) -> None:
        (p,) = optimizer.parameters
        while optimizer.steps < last:
            scale = np.float32(10) ** -np.float32(optimizer.steps / 8)  # subnormal from step 304
            p.grad = scale * np.array([1, -1, 1e-3, 1e-20], np.float32)
            optimizer.step()

    p, q = (Parameter(np.ones(4, np.float32)) for _ in range(2))
    whole, first = FADING[name]([p]), FADING[name]([q])
    run(whole, 600)
    run(first, saved_at)
    second = FADING[name]([q])
    second.load_state_dict(first.state_dict())
    run(second, 600)
    assert p.value.tobytes() == q.value.tobytes()
    for a, b in zip(vectors(whole), vectors(second), strict=True):
        assert a.tobytes() == b.tobytes()


# -- clipping ---------------------------------------------------------------------------------


def gradients(*values: Any, dtype: type = np.float64) -> list[Parameter]:
    parameters = [Parameter(np.zeros(np.shape(v), dtype)) for v in values]
    for p, v in zip(parameters, values, strict=True):
        p.grad = np.asarray(v, dtype)
    return parameters


@pytest.mark.parametrize("packed", [False, True, "optimizer", "reversed"])
@pytest.mark.parametrize("max_norm", [0.5, 5.0, 13.0, 100.0])
def test_clipping_by_norm(packed: Any, max_norm: float) -> None:
    parameters = gradients([[3.0, 0.0], [0.0, 0.0]], [4.0, 0.0], [12.0])
    before = [p.grad.copy() for p in parameters]
    optimizer = SGD(parameters, 0.1) if packed else None
    target: Any = optimizer if packed == "optimizer" else parameters
    target = parameters[::-1] if packed == "reversed" else target
    assert clip_grad_norm(target, max_norm) == pytest.approx(13.0, rel=1e-15)
    factor = min(1.0, max_norm / 13.0)
    for p, grad in zip(parameters, before, strict=True):
        np.testing.assert_allclose(p.grad, grad * factor, rtol=1e-15)


@pytest.mark.parametrize("packed", [False, True])
def test_clipping_by_value(packed: bool) -> None:
    parameters = gradients([[3.0, -0.5]], [-4.0, 0.0])
    if packed:
        SGD(parameters, 0.1)
    clip_grad_value(parameters, 1)
    np.testing.assert_array_equal(parameters[0].grad, [[1.0, -0.5]])
    np.testing.assert_array_equal(parameters[1].grad, [-1.0, 0.0])


def test_a_part_of_the_parameters_can_be_clipped() -> None:
    parameters = gradients([3.0], [4.0], [12.0])
    SGD(parameters, 0.1)
    assert clip_grad_norm(parameters[:2], 1.0) == pytest.approx(5.0)
    np.testing.assert_allclose([p.grad[0] for p in parameters], [0.6, 0.8, 12.0])


@pytest.mark.parametrize(
    ("dtype", "size"),
    [(np.float32, 1e30), (np.float32, 1e-30), (np.float64, 1e300), (np.float64, 1e-250)],
)
def test_the_norm_survives_where_the_squares_do_not(dtype: type, size: float) -> None:
    parameters = gradients([3 * size], [4 * size], dtype=dtype)
    limit = float(dtype(size))
    assert clip_grad_norm(parameters, limit) == pytest.approx(5 * size, rel=1e-6)
    np.testing.assert_allclose([p.grad[0] / dtype(size) for p in parameters], [0.6, 0.8], 1e-5)
    clip_grad_value(parameters, 1e308)


def test_zero_gradients_have_norm_zero() -> None:
    parameters = gradients([0.0, 0.0])
    assert clip_grad_norm(parameters, 1.0) == 0.0
    np.testing.assert_array_equal(parameters[0].grad, 0)


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_clipping_what_is_not_finite_is_an_error(clip: Any, bad: float) -> None:
    parameters = gradients([30.0], [bad, 1.0])
    message = (
        r"gradient of parameter 1, of shape \(2,\), is not finite in 1 of 2 elements; nothing"
    )
    with pytest.raises(NonFiniteError, match=f"{clip.__name__}: the {message}"):
        clip(parameters, 1.0)
    assert parameters[0].grad[0] == 30.0


def test_a_norm_that_overflows_is_an_error() -> None:
    with pytest.raises(NonFiniteError, match="norm of all gradients overflows float64"):
        clip_grad_norm(gradients([1.7e308], [1.7e308]), 1.0)


@pytest.mark.parametrize("clip", [clip_grad_norm, clip_grad_value])
def test_what_cannot_be_clipped_is_refused(clip: Any) -> None:
    name = clip.__name__
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"{name} expects max_"):
            clip(gradients([1.0]), bad)
    with pytest.raises(TypeError, match=f"{name} expects parameters, .* pass its .parameters()"):
        clip(Dense(2, 1), 1.0)
    with pytest.raises(TypeError, match="put it in a list"):
        clip(Parameter(np.ones(2)), 1.0)
    with pytest.raises(ValueError, match="at least one parameter"):
        clip([], 1.0)


def test_the_objective_says_where_a_clipped_gradient_went_wrong() -> None:
    class Broken(Tanh):
        def backward(self, dy: Array) -> Array:
            return dy * math.nan

    model = Sequential(Dense(2, 3, rng=0), Broken(), Dense(3, 1, rng=1), Sigmoid())
    objective = Objective(model, BCELoss())
    optimizer = SGD(model.parameters(), 0.1)
    objective.forward(np.ones((4, 2)), np.ones((4, 1)))
    objective.backward()
    with pytest.raises(NonFiniteError, match=r"Broken\(\)"):
        clip_grad_norm(optimizer, 1.0)


# -- the notes' network -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "steps", "cost"),
    [
        (lambda p: SGD(p, 0.3, momentum=0.9), 500, 0.35),
        (lambda p: Adam(p, 0.05), 500, 0.35),
        (lambda p: AdamW(p, 0.05, weight_decay=1e-3), 500, 0.35),
        (lambda p: RMSprop(p, 0.01), 500, 0.4),
        (lambda p: Adagrad(p, 0.3), 500, 0.4),
    ],
    ids=["momentum", "Adam", "AdamW", "RMSprop", "Adagrad"],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_optimizer_trains_the_notes_network(
    make: Make, steps: int, cost: float, dtype: type
) -> None:
    points, labels = minifw.datasets.planar_flower()
    x: Array = points.astype(dtype)
    y: Array = labels.astype(dtype)
    model = Sequential(
        Dense(2, 4, rng=3, dtype=dtype), Tanh(), Dense(4, 1, rng=4, dtype=dtype), Sigmoid()
    )
    objective = Objective(model, BCELoss())
    optimizer = make(model.parameters())
    for _ in range(steps):
        value = objective.forward(x, y)
        objective.backward()
        clip_grad_norm(optimizer, 10.0)
        optimizer.step()
    assert value < cost
