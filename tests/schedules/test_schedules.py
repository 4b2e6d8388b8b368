"""Every schedule against its closed form or published table, resumed, and refused."""

import copy
import json
import math
import pickle
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
from recorded import recorded

from minifw import (
    SGD,
    Adam,
    CosineCyclesLR,
    CosineLR,
    ExponentialLR,
    LinearWarmup,
    OneCycleLR,
    Optimizer,
    Parameter,
    ReduceOnPlateau,
    Schedule,
    StepLR,
)

STEPS = 60
BASE = 0.3
TOLERANCE = 1e-10


def optimizer(lr: float = BASE, dtype: type = np.float64) -> Optimizer:
    return SGD([Parameter(np.ones(2, dtype))], lr=lr)


def cosine_by_recursion(eta_min: float, total: int) -> list[float]:
    """PyTorch's recursive form of the same curve, which knows no closed form."""
    rates = [BASE]
    for t in range(1, total + 1):
        above, below = 1 + math.cos(math.pi * t / total), 1 + math.cos(math.pi * (t - 1) / total)
        rates.append(above / below * (rates[-1] - eta_min) + eta_min)
    return rates


def one_cycle(max_lr: float, total: int, pct: float, div: float, final_div: float) -> list[float]:
    """PyTorch's loop over phases."""
    initial = max_lr / div
    ends = (pct * total - 1, total - 1)
    lows_highs = ((initial, max_lr), (max_lr, initial / final_div))
    rates = []
    for t in range(total):
        start = 0.0
        for index, (end, (first, second)) in enumerate(zip(ends, lows_highs, strict=True)):
            if t <= end or index == 1:
                part = (t - start) / (end - start)
                rates.append(second + (first - second) / 2 * (math.cos(math.pi * part) + 1))
                break
            start = end
    return rates


Make: TypeAlias = Callable[[Optimizer], Schedule]

CASES: dict[str, tuple[Make, list[float]]] = {
    "StepLR": (
        lambda o: StepLR(o, 7, 0.5),
        [BASE * 0.5**k for k in range(STEPS // 7 + 1) for _ in range(7)],
    ),
    "StepLR, default": (
        lambda o: StepLR(o, 30),
        [BASE] * 30 + [BASE / 10] * 30,
    ),
    "ExponentialLR": (
        lambda o: ExponentialLR(o, 0.9),
        np.multiply.accumulate([BASE] + [0.9] * STEPS).tolist(),
    ),
    "ExponentialLR, rising": (
        lambda o: ExponentialLR(o, 1.1),
        np.multiply.accumulate([BASE] + [1.1] * STEPS).tolist(),
    ),
    "CosineLR": (
        lambda o: CosineLR(o, 40),
        [*cosine_by_recursion(0.0, 40), *[0.0] * 20],
    ),
    "CosineLR, eta_min": (
        lambda o: CosineLR(o, 50, eta_min=0.05),
        [*cosine_by_recursion(0.05, 50), *[0.05] * 10],
    ),
    "CosineCyclesLR": (  # one, two and four steps to a quarter of the cycles
        lambda o: CosineCyclesLR(o, 28, cycles=3),
        [
            BASE * (1 - math.cos(2 * math.pi * math.log2(1 + t / 4))) / 2 if t < 28 else 0.0
            for t in range(STEPS + 1)
        ],
    ),
    "LinearWarmup": (
        LinearWarmup,
        [BASE * f / 15 for f in (5, 7, 9, 11, 13)] + [BASE] * 55,
    ),
    "LinearWarmup from 0": (
        lambda o: LinearWarmup(o, 4, 0.0),
        [0.0, BASE / 4, BASE / 2, BASE * 3 / 4] + [BASE] * 55,
    ),
    "LinearWarmup, CosineLR": (
        lambda o: LinearWarmup(o, 10, 0.5, then=CosineLR(o, 40)),
        [BASE * (0.5 + 0.05 * t) for t in range(10)] + cosine_by_recursion(0.0, 40),
    ),
    "LinearWarmup, StepLR": (
        lambda o: LinearWarmup(o, 3, 0.1, then=StepLR(o, 20)),
        [BASE * f for f in (0.1, 0.4, 0.7)] + [BASE] * 20 + [BASE / 10] * 20,
    ),
    "OneCycleLR": (lambda o: OneCycleLR(o, 2.0, STEPS), one_cycle(2.0, STEPS, 0.3, 25, 1e4)),
    "OneCycleLR, options": (
        lambda o: OneCycleLR(o, 2.0, STEPS, 0.55, div_factor=10, final_div_factor=3),
        one_cycle(2.0, STEPS, 0.55, 10, 3),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_rates_are_those_of_the_closed_form(name: str) -> None:
    make, expected = CASES[name]
    expected = expected[:STEPS]
    chosen = optimizer()
    schedule = make(chosen)
    found = [chosen.lr]
    for _ in expected[1:]:
        schedule.step()
        found.append(chosen.lr)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=1e-300)
    assert schedule.steps == len(expected) - 1
    assert schedule.optimizer is chosen


@pytest.mark.parametrize("name", CASES)
def test_a_resumed_schedule_goes_on_bit_by_bit(name: str) -> None:
    make, _ = CASES[name]
    first = optimizer()
    schedule = make(first)
    for _ in range(23):
        schedule.step()
    state = json.loads(json.dumps(schedule.state_dict()))
    second = optimizer(0.017)  # as a checkpoint of the optimizer may have left it
    twin = make(second)
    twin.load_state_dict(state)
    assert second.lr == first.lr
    for _ in range(30):
        schedule.step()
        twin.step()
        assert second.lr == first.lr
    assert twin.state_dict() == schedule.state_dict()


@pytest.mark.parametrize("name", CASES)
def test_a_schedule_is_copied_and_pickled_with_its_optimizer(name: str) -> None:
    schedule = CASES[name][0](optimizer())
    for twin in (copy.deepcopy(schedule), pickle.loads(pickle.dumps(schedule))):
        before = schedule.optimizer.lr
        for _ in range(20):
            twin.step()
        assert schedule.optimizer.lr == before
        assert schedule.steps == 0
        assert twin.optimizer.lr == max(twin.rate(20), np.finfo(np.float64).tiny)
    assert repr(schedule).startswith(f"{type(schedule).__name__}(SGD(")


def test_what_comes_to_zero_moves_nothing() -> None:
    for dtype in (np.float32, np.float64):
        p = Parameter(np.ones(2, dtype))
        chosen = Adam([p], lr=0.1)
        schedule = CosineLR(chosen, 1)
        schedule.step()
        p.grad = np.ones(2)
        chosen.step()
        np.testing.assert_array_equal(p.value, 1)
        chosen.lr = 0.1
        decaying = ExponentialLR(chosen, 1e-300)
        for _ in range(5):
            decaying.step()  # underflows


def test_a_rate_that_overflows_is_refused_by_the_optimizer() -> None:
    schedule = ExponentialLR(optimizer(), 1e200)
    schedule.step()
    with pytest.raises(ValueError, match="SGD expects lr"):
        schedule.step()


@pytest.mark.parametrize("pct", [0.0, 0.01, 0.5, 1.0])
@pytest.mark.parametrize("total", [1, 2, 3, 10])
def test_one_cycle_is_defined_for_any_part_and_length(pct: float, total: int) -> None:
    schedule = OneCycleLR(optimizer(), 1.0, total, pct)
    rates = [schedule.rate(t) for t in range(total + 3)]
    assert all(0 < rate <= 1 for rate in rates)
    if total == 1:
        assert rates == [1.0, *[1 / 25 / 1e4] * 3]  # PyTorch's one step has the final rate
    else:
        assert rates[total - 1 :] == [1 / 25 / 1e4] * 4 or pct == 1.0
    assert rates[total:] == [rates[-1]] * 3


def test_the_schedule_that_follows_has_its_clock_set() -> None:
    chosen = optimizer()
    then = StepLR(chosen, 2)
    warmup = LinearWarmup(chosen, 3, then=then)
    seen = []
    for _ in range(6):
        warmup.step()
        seen.append(then.steps)
    assert seen == [0, 0, 0, 1, 2, 3]
    assert warmup.then is then


# -- the plateau --------------------------------------------------------------------------------


def rates_of_plateau(values: Any, **options: Any) -> list[float]:
    chosen = optimizer()
    schedule, rates = ReduceOnPlateau(chosen, **options), []
    for value in values.tolist():
        schedule.step(value)
        rates.append(chosen.lr)
    return rates


def pytorchs_plateau(torch: Any, values: Any, **options: Any) -> list[float]:
    chosen = torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=BASE)
    schedule, rates = torch.optim.lr_scheduler.ReduceLROnPlateau(chosen, **options), []
    for value in values.tolist():
        schedule.step(value)
        rates.append(chosen.param_groups[0]["lr"])
    return rates


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"patience": 0},
        {"patience": 2, "factor": 0.5},
        {"patience": 1, "threshold": 0.1},
        {"patience": 1, "threshold": 0.1, "threshold_mode": "abs"},
        {"patience": 0, "factor": 0.9, "threshold": 0.01, "threshold_mode": "abs"},
        {"patience": 0, "factor": 0.9, "threshold": 0.0, "threshold_mode": "abs"},
        {"patience": 2, "mode": "max"},
        {"patience": 2, "mode": "max", "threshold_mode": "abs", "threshold": 0.05},
        {"patience": 1, "cooldown": 3},
        {"patience": 0, "min_lr": 0.01},
        {"patience": 0, "eps": 0.05},
    ],
    ids=str,
)
def test_the_plateau_is_pytorchs_and_its_mirror_image(options: dict[str, Any]) -> None:
    """Of positive values it is PyTorch's; what falls is to "min" what rises is to "max"."""
    rng = np.random.default_rng(0)
    values = 1 / (1 + np.arange(80) / 10) + 0.05 * rng.standard_normal((5, 80))
    by_amount = options.get("threshold_mode") == "abs"
    values = values.round(2) - 0.3 if by_amount else np.abs(values)  # with ties, of both signs
    if by_amount:  # steps of the threshold, which rounding makes larger or smaller
        values[-1] = np.round(2 - max(options["threshold"], 0.01) * (np.arange(80) // 2), 2)
    (expected,) = recorded(
        f"schedules/plateau {options}",
        (values, options, BASE),
        lambda torch: [np.array([pytorchs_plateau(torch, run, **options) for run in values])],
    )
    other = {"min": "max", "max": "min"}[options.get("mode", "min")]
    for run, rates in zip(values, expected, strict=True):
        np.testing.assert_allclose(rates_of_plateau(run, **options), rates, rtol=TOLERANCE)
        mirrored = rates_of_plateau(-run, **{**options, "mode": other})
        np.testing.assert_allclose(mirrored, rates, rtol=TOLERANCE)
    assert options == {} or expected.min() < BASE


@pytest.mark.parametrize(
    ("mode", "better", "not_better"),
    [
        ("min", [-1.0, -1.0002, -1.0004], [-1.0, -1.00009, -1.0, -0.9, 0.0]),
        ("max", [-1.0, -0.9998, 0.0, 1e-300], [-1.0, -1.0, -0.99991, -1.00009, -7.0]),
    ],
)
def test_the_plateau_of_negative_values(
    mode: str, better: list[float], not_better: list[float]
) -> None:
    """The margin is threshold |best|: what stays, or gets worse, is not better."""
    schedule = ReduceOnPlateau(optimizer(), mode)
    for value in better:
        schedule.step(value)
        assert (schedule.best, schedule.bad_steps) == (value, 0)
    schedule = ReduceOnPlateau(optimizer(), mode)
    for bad, value in enumerate(not_better):
        schedule.step(value)
        assert (schedule.best, schedule.bad_steps) == (-1.0, bad)


def test_the_plateau_resumes_before_and_after_its_first_value() -> None:
    values = [1.0, 2.0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.4, 0.5, 0.6, 0.7]
    for stop in (0, 1, 5):
        first, second = optimizer(), optimizer()
        schedule, twin = (ReduceOnPlateau(o, patience=1, cooldown=1) for o in (first, second))
        for value in values[:stop]:
            schedule.step(value)
        twin.load_state_dict(json.loads(json.dumps(schedule.state_dict())))
        for value in values[stop:]:
            schedule.step(value)
            twin.step(value)
            assert first.lr == second.lr


@pytest.mark.parametrize("value", [math.nan, math.inf, "1", None])
def test_the_plateau_refuses_what_is_no_number(value: Any) -> None:
    schedule = ReduceOnPlateau(optimizer())
    with pytest.raises((ValueError, TypeError), match=r"ReduceOnPlateau\.step expects value"):
        schedule.step(value)
    assert schedule.steps == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_no_schedule_begins_where_another_has_come_to_0(dtype: type) -> None:
    chosen = optimizer(dtype=dtype)
    first = CosineLR(chosen, 2)
    for _ in range(2):
        first.step()
    with pytest.raises(ValueError, match=r"got lr=\S+e-\d+, .*; assign optimizer\.lr"):
        CosineLR(chosen, 10)
    OneCycleLR(chosen, 0.5, 10)  # it has a rate of its own
    np.testing.assert_allclose(chosen.lr, 0.5 / 25, rtol=1e-12)
    chosen.lr = BASE
    assert CosineLR(chosen, 10).base_lr == BASE


# -- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda o: StepLR(o, 0), ValueError, "StepLR expects step_size"),
        (lambda o: StepLR(o, 1.5), TypeError, "step_size"),  # type: ignore[arg-type]
        (lambda o: StepLR(o, 1, 0.0), ValueError, "gamma"),
        (lambda o: ExponentialLR(o, -1.0), ValueError, "ExponentialLR expects gamma"),
        (lambda o: CosineLR(o, 0), ValueError, "CosineLR expects total_steps"),
        (lambda o: CosineLR(o, 3, -1.0), ValueError, "eta_min"),
        (lambda o: LinearWarmup(o, 3, 1.5), ValueError, "start_factor to be between 0 and 1"),
        (lambda o: LinearWarmup(o, 3, -0.5), ValueError, "start_factor"),
        (lambda o: LinearWarmup(o, 3, then=ReduceOnPlateau(o)), TypeError, "got a ReduceOnPl"),  # type: ignore[arg-type]
        (lambda o: LinearWarmup(o, 3, then=StepLR(optimizer(), 3)), ValueError, "same optimizer"),
        (lambda o: OneCycleLR(o, 0.0, 10), ValueError, "OneCycleLR expects max_lr"),
        (lambda o: OneCycleLR(o, 1.0, 10, 1.5), ValueError, "pct_start"),
        (lambda o: OneCycleLR(o, 1.0, 10, div_factor=0.0), ValueError, "div_factor"),
        (lambda o: ReduceOnPlateau(o, "least"), ValueError, "mode to be 'min' or 'max'"),
        (lambda o: ReduceOnPlateau(o, factor=1.0), ValueError, "factor to be below 1"),
        (lambda o: ReduceOnPlateau(o, patience=-1), ValueError, "patience"),
        (lambda o: ReduceOnPlateau(o, patience=0.5), TypeError, "patience"),  # type: ignore[arg-type]
        (lambda o: ReduceOnPlateau(o, threshold_mode="x"), ValueError, "threshold_mode"),
        (lambda o: StepLR(o.parameters, 3), TypeError, "StepLR expects an optimizer"),
    ],
)
def test_a_bad_option_is_refused_and_the_rate_stays(
    make: Callable[[Any], Any], error: type[Exception], message: str
) -> None:
    chosen = optimizer()
    with pytest.raises(error, match=message):
        make(chosen)
    assert chosen.lr == BASE


def test_an_option_is_checked_when_it_is_assigned_and_then_used() -> None:
    schedule = StepLR(optimizer(), 2, 0.5)
    with pytest.raises(ValueError, match="StepLR expects gamma to be finite and above 0"):
        schedule.gamma = -1.0
    schedule.gamma = 0.1
    assert schedule.rate(2) == BASE * 0.1


@pytest.mark.parametrize(
    ("make", "change", "message"),
    [
        (ReduceOnPlateau, {"mode": "banana"}, "mode to be 'min' or 'max'"),
        (ReduceOnPlateau, {"factor": 1.0}, "factor to be below 1"),
        (ReduceOnPlateau, {"best": math.nan}, "best to be finite"),
        (ReduceOnPlateau, {"bad_steps": -1}, "bad_steps to be at least 0"),
        (lambda o: CosineLR(o, 3), {"total_steps": 0}, "total_steps to be at least 1"),
        (lambda o: CosineLR(o, 3), {"steps": 1.5}, "steps to be a whole number"),
        (lambda o: CosineLR(o, 3), {"base_lr": math.nan}, "base_lr to be finite"),
        (lambda o: CosineLR(o, 3), {"lr": 1e-320}, "lr to be a normal number of float64"),
        (lambda o: StepLR(o, 3), {"step_size": 0, "gamma": 0.0}, "gamma .*; expects step_size"),
        (lambda o: OneCycleLR(o, 1.0, 9), {"pct_start": 2.0}, "pct_start to be between 0 and 1"),
        (lambda o: OneCycleLR(o, 1.0, 9), {"div_factor": 0.0}, "div_factor to be finite and"),
    ],
)
def test_a_state_that_the_constructor_refuses_changes_nothing(
    make: Callable[[Any], Any], change: dict[str, Any], message: str
) -> None:
    chosen = optimizer()
    schedule = make(chosen)
    before = schedule.state_dict()
    with pytest.raises(ValueError, match=rf"load_state_dict.* expects {message}"):
        schedule.load_state_dict({**before, "lr": 0.7, **change})
    assert schedule.state_dict() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gamma": None}, "gamma is missing"),
        ({"extra": 1.0}, "extra is unexpected"),
        ({"gamma": "x"}, "gamma is 'x', not like 0.5"),
        ({"lr": -1.0}, "expects lr"),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(
    change: dict[str, Any], message: str
) -> None:
    chosen = optimizer()
    schedule = LinearWarmup(chosen, 2, then=StepLR(chosen, 3, 0.5))
    schedule.step()
    before = schedule.state_dict()
    then = {**before["then"], "steps": 9, **change}
    then = {name: value for name, value in then.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        schedule.load_state_dict({**before, "steps": 9, "then": then})
    with pytest.raises(ValueError, match="then is missing"):
        schedule.load_state_dict({k: v for k, v in before.items() if k != "then"})
    with pytest.raises(TypeError, match="expects a dict, got a NoneType"):
        schedule.load_state_dict(None)  # type: ignore[arg-type]
    assert schedule.state_dict() == before
