"""Contenders take turns: the same maths is checked first, then their times are compared."""

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Protocol, TypeAlias

import numpy as np

from peers.contender import Contender, find
from peers.workloads import Problem, Workload, make_problem

__all__ = ["Row", "compare", "quartiles", "ratios", "repeated", "rows_of", "take_turns"]

# Relative. What some steps make of different orders of summation; the losses themselves have
# moved by far more.
TOLERANCE = {"float64": 1e-9, "float32": 2e-4}
BLOCK = 0.03  # seconds of a turn: long beside the clock, short beside the machine's moods

CLOCKS: dict[str, Callable[[], float]] = {
    "wall": time.perf_counter,
    "process": time.process_time,
}

Job: TypeAlias = Callable[[int], object]
"""What does so many steps."""


class Named(Protocol):
    """What a row says of a contender beside its times."""

    @property
    def label(self) -> str: ...

    @property
    def exact(self) -> bool: ...


@dataclass(frozen=True)
class Row:
    """What a contender took, in seconds a step (or a prediction, or a process; or in bytes).

    `ratio` is the median of its times by those of minifw turn by turn, so that above 1 minifw
    is faster; `ratio_low` and `ratio_high` are the quartiles of the same ratios. (The ratio of
    the medians may lie outside them: the two medians can be of different turns.) `floor` is
    the median of the ratios to the floor.
    """

    name: str
    label: str
    median: float
    low: float
    high: float
    ratio: float
    ratio_low: float
    ratio_high: float
    floor: float | None = None
    exact: bool = True
    extra: dict[str, float] | None = None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def compare(
    workload: Workload, names: Sequence[str], turns: int, clock: str = "wall"
) -> list[Row]:
    """Check that the contenders agree, let them take turns, and return a row for each.

    Raises
    ------
    RuntimeError
        If a loss or a prediction is another one than minifw's.
    """
    problem = make_problem(workload)
    contenders = {name: find(name)(problem) for name in names}
    check = _check_predictions if workload.predicts else _check_losses
    check(problem, contenders)
    _check_dtypes(problem, contenders)
    jobs = {
        name: repeated(contender.predict) if workload.predicts else contender.turn
        for name, contender in contenders.items()
    }
    groups = {name: contender.group for name, contender in contenders.items()}
    return rows_of(take_turns(jobs, turns, clock, groups), contenders)


def take_turns(
    jobs: Mapping[str, Job], turns: int, clock: str, groups: Mapping[str, int] | None = None
) -> dict[str, list[float]]:
    """Return the seconds of a step of each job, turn by turn."""
    now, names = CLOCKS[clock], [*jobs]
    counts = {
        name: _steps_of_a_turn(job, (groups or {}).get(name, 1)) for name, job in jobs.items()
    }
    gc.collect()
    gc.freeze()  # the collector should not walk through the modules of all peers in all turns
    times: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(turns):
        for name in _rotated(names, turn):
            start = now()
            jobs[name](counts[name])
            times[name].append((now() - start) / counts[name])
    gc.unfreeze()
    return times


def repeated(job: Callable[[], object]) -> Job:
    """Return what does a job so many times."""

    def jobs(count: int) -> None:
        for _ in range(count):
            job()

    return jobs


def rows_of(times: Mapping[str, list[float]], contenders: Mapping[str, Named]) -> list[Row]:
    """Return the statistics of the times, which were taken turn by turn."""
    ours = times["minifw"]
    floor = times.get("floor")
    rows = []
    for name, own in times.items():
        low, middle, high = quartiles(own)
        ratio_low, ratio, ratio_high = quartiles(ratios(own, ours))
        rows.append(
            Row(
                name,
                contenders[name].label,
                middle,
                low,
                high,
                ratio,
                ratio_low,
                ratio_high,
                statistics.median(ratios(own, floor)) if floor else None,
                contenders[name].exact,
            )
        )
    return rows


def ratios(own: list[float], others: list[float]) -> list[float]:
    """Return the ratios turn by turn: what slows the machine down for a while slows both."""
    return [a / b for a, b in zip(own, others, strict=True)]


def quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _rotated(names: Sequence[str], turn: int) -> list[str]:
    """Return the names in an order that differs from turn to turn."""
    at = turn % len(names)
    order = [*names[at:], *names[:at]]
    return order if turn % 2 else order[::-1]


def _steps_of_a_turn(job: Job, group: int) -> int:
    """Return how many steps take about as long as a turn should, after warming up."""
    count = group
    while True:
        start = time.perf_counter()
        job(count)
        seconds = time.perf_counter() - start
        if seconds > BLOCK / 2:
            return group * max(1, round(count * BLOCK / seconds / group))
        count *= 2 if seconds > BLOCK / 20 else 10


def _check_dtypes(problem: Problem, contenders: Mapping[str, Contender]) -> None:
    """Raise if someone has come to compute in another precision."""
    for name, contender in contenders.items():
        if contender.exact:
            dtype = np.asarray(contender.predict()).dtype
            if dtype != problem.workload.dtype:
                raise RuntimeError(f"{name} computes in {dtype}, not {problem.workload.dtype}")


def _check_losses(problem: Problem, contenders: Mapping[str, Contender]) -> None:
    steps = problem.workload.check_steps
    losses = {
        name: contender.run(steps) for name, contender in contenders.items() if contender.exact
    }
    ours = losses["minifw"]
    for name, loss in losses.items():
        tolerance = max(TOLERANCE[problem.workload.dtype], contenders[name].tolerance)
        if not math.isclose(loss, ours, rel_tol=tolerance):
            raise RuntimeError(
                f"the losses after {steps} steps differ: {loss} of {name}, {ours} of minifw"
            )


def _check_predictions(problem: Problem, contenders: Mapping[str, Contender]) -> None:
    ours = np.asarray(contenders["minifw"].predict())
    tolerance = TOLERANCE[problem.workload.dtype]
    for name, contender in contenders.items():
        if contender.exact:
            theirs = np.asarray(contender.predict())
            if theirs.shape != ours.shape:  # scikit-learn gives both classes of two
                theirs = theirs[:, 1:]
            if not np.allclose(theirs, ours, rtol=tolerance, atol=tolerance):
                raise RuntimeError(f"the predictions of {name} and minifw differ")
