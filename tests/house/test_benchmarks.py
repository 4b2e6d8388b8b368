"""What the benchmarks make of the times that they take."""

import importlib
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_ratios_are_taken_turn_by_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    measure = importlib.import_module("peers.measure")
    find = importlib.import_module("peers.contender").find
    # A machine that is slowed down to a half, then to a quarter: the medians are equal, though
    # the peer is never quicker, and in the median turn takes twice as long.
    times = {"minifw": [1.0, 2.0, 4.0], "notes": [2.0, 2.0, 12.0], "floor": [0.5, 1.0, 1.0]}
    rows = {row.name: row for row in measure.rows_of(times, {name: find(name) for name in times})}
    notes = rows["notes"]
    assert (notes.low, notes.median, notes.high) == (2.0, 2.0, 7.0)
    assert (notes.ratio_low, notes.ratio, notes.ratio_high) == (1.5, 2.0, 2.5)
    assert notes.floor == 4.0  # of 4, 2 and 12
    assert rows["minifw"].ratio == rows["minifw"].ratio_low == rows["minifw"].ratio_high == 1.0
