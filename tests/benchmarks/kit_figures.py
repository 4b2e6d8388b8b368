"""How good the author's kit is: faults caught, diagnoses right, false alarms, and speed.

    .venv/bin/python tests/benchmarks/kit_figures.py [seeds] [first]

The wrong layers, losses and optimizers of tests/testing/wrong_*.py are each checked
once; the right ones (minifw's own, and those of the tests) with as many seeds
as are asked for, 1000 by default. It takes hours; `first` goes on from a run that was stopped.
"""

import statistics
import sys
import time
from collections.abc import Callable
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
sys.path.insert(0, str(Path(__file__).parents[1] / "testing"))

import wrong_layers
import wrong_losses
import wrong_optimizers
from cases import LAYER_CASES, LOSS_CASES, OPTIMIZER_CASES
from right_layers import RIGHT

from minifw.testing import CheckError, Report, check_layer, check_loss, check_optimizer

SEEDS = 1000
SPAN = 50  # seeds of one job: many jobs keep every core busy to the end, and tell how far it is
SHOWN = 20  # false alarms, at most

Check = Callable[[int], Report]

LAYERS: dict[str, Check] = {
    name: lambda seed, case=case: check_layer(*case, seed=seed)  # type: ignore[misc]
    for name, case in {**LAYER_CASES, **RIGHT}.items()
}
LOSSES: dict[str, Check] = {
    name: lambda seed, case=case: check_loss(*case, seed=seed)  # type: ignore[misc]
    for name, case in {
        **LOSS_CASES,
        **{f"{make.__name__}, {b.__name__}": (make(), *b()) for make, b in wrong_losses.RIGHT},
    }.items()
}
OPTIMIZERS: dict[str, Check] = {
    name: lambda seed, make=make: check_optimizer(make, seed=seed)  # type: ignore[misc]
    for name, make in {**OPTIMIZER_CASES, **wrong_optimizers.RIGHT}.items()
}
RIGHT_ONES = {"layers": LAYERS, "losses": LOSSES, "optimizers": OPTIMIZERS}


def alarms(job: tuple[str, str, range]) -> list[str]:
    """Check one right thing with many seeds; return what it was wrongly told."""
    kind, name, seeds = job
    found = []
    for seed in seeds:
        try:
            RIGHT_ONES[kind][name](seed)
        except CheckError as error:
            faults = "; ".join(f"{v.name}: {v.message}" for v in error.report.failures)
            found.append(f"{name}, seed {seed}: {faults}")
    return found


def said(check: Callable[[], Report]) -> str:
    """Return the first sentence of what the kit finds."""
    try:
        check()
    except CheckError as error:
        return error.report.failures[0].message
    return ""


def print_faults() -> None:
    """Print how many wrong ones are caught, and how many explained."""
    layers = [wrong_layers.answer(w) for w in wrong_layers.WRONG]
    losses = [
        (said(lambda w=w: check_loss(w.make(), *w.batch())), w.words)  # type: ignore[misc]
        for w in wrong_losses.WRONG_LOSSES
    ]
    optimizers = [
        (said(lambda w=w: check_optimizer(w.make)), w.words)  # type: ignore[misc]
        for w in wrong_optimizers.WRONG_OPTIMIZERS
    ]
    for kind, answers in (
        ("layers", layers),
        ("losses", [(bool(text), words in text) for text, words in losses]),
        ("optimizers", [(bool(text), words in text) for text, words in optimizers]),
    ):
        caught, right = (sum(part) for part in zip(*answers, strict=True))
        print(f"wrong {kind}: {caught} of {len(answers)} caught, {right} explained first")


def print_times() -> None:
    """Print how long a check takes."""
    for kind, checks in RIGHT_ONES.items():
        times = []
        for check in checks.values():
            start = time.perf_counter()
            check(0)
            times.append((time.perf_counter() - start) * 1e3)
        middle = statistics.median(times)
        print(f"a check of {kind}: {middle:.0f} ms in the median, {max(times):.0f} ms at most")


def print_alarms(seeds: int, first: int) -> None:
    """Print how often right ones are called wrong; how far it is goes to standard error."""
    jobs = [
        (kind, name, range(start, min(start + SPAN, seeds)))
        for start in range(first, seeds, SPAN)
        for kind, checks in RIGHT_ONES.items()
        for name in checks
    ]
    found: dict[str, list[str]] = {kind: [] for kind in RIGHT_ONES}
    with Pool() as pool:
        for done, (job, lines) in enumerate(zip(jobs, pool.imap(alarms, jobs), strict=True), 1):
            found[job[0]] += lines
            if job != jobs[-1] and job[2] != jobs[done][2]:
                alarmed = sum(map(len, found.values()))
                print(f"{job[2].stop} seeds: {alarmed} false alarms", file=sys.stderr, flush=True)
    for kind, lines in found.items():
        count = len(RIGHT_ONES[kind])
        print(f"right {kind}: {len(lines)} false alarms, seeds {first} to {seeds - 1} of {count}")
        for line in lines[:SHOWN]:
            print("  " + line)


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    print_faults()
    print_times()
    print_alarms(seeds, first)


if __name__ == "__main__":
    main()
