"""What the benchmarks make of the times that they take."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return lambda name: importlib.import_module(f"peers.{name}")


def test_pages_say_what_was_measured(peers: Callable[[str], Any]) -> None:
    pages, stored = peers("pages"), peers("report").load()
    assert {*peers("pieces").PIECES, *peers("workloads").WORKLOADS} <= {
        *next(iter(stored.values()))
    }
    marked = 0
    for path in pages.pages():
        text = path.read_text(encoding="utf-8")
        assert pages.refreshed(text, stored) == text, path
        assert not [*pages.faults(text, stored)], path
        marked += len(pages.NUMBER.findall(text))
    assert marked > 20


def test_a_figure_that_was_not_measured_is_found(peers: Callable[[str], Any]) -> None:
    pages = peers("pages")
    rows = [{"name": "minifw", "ratio": 1.0, "median": 2e-5}, {"name": "torch", "ratio": 0.4}]
    stored = {"here": {"W1": {"rows": rows}}, "there": {}}
    text = "20<!-- W1 minifw us --> us, 2.5<!-- W1 torch inverse --><!-- claim: W1 torch < 1 -->"
    assert pages.refreshed(text, stored) == text
    assert not [*pages.faults(text, stored)]
    assert pages.refreshed(text.replace("2.5", "2.4"), stored) == text
    assert [*pages.faults(text.replace("< 1", "> 1"), stored)]
    assert [*pages.faults(text.replace("inverse", "s"), {"here": {}})]


def test_ratios_are_taken_turn_by_turn(peers: Callable[[str], Any]) -> None:
    measure = peers("measure")
    find = peers("contender").find
    # A machine that is slowed down to a half, then to a quarter: the medians are equal, though
    # the peer is never quicker, and in the median turn takes twice as long.
    times = {"minifw": [1.0, 2.0, 4.0], "notes": [2.0, 2.0, 12.0], "floor": [0.5, 1.0, 1.0]}
    rows = {row.name: row for row in measure.rows_of(times, {name: find(name) for name in times})}
    notes = rows["notes"]
    assert (notes.low, notes.median, notes.high) == (2.0, 2.0, 7.0)
    assert (notes.ratio_low, notes.ratio, notes.ratio_high) == (1.5, 2.0, 2.5)
    assert notes.floor == 4.0  # of 4, 2 and 12
    assert rows["minifw"].ratio == rows["minifw"].ratio_low == rows["minifw"].ratio_high == 1.0


def test_networks_for_tables_are_compared_set_by_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    tables = importlib.import_module("tables")
    monkeypatch.setattr(tables, "CONTENDERS", {tables.OURS: None, tables.AUTHORS: None})
    results = {
        "banana": {  # 20 % worse, and as good in the seed after
            tables.OURS: {"error": [0.24, 0.20], "seconds": [1.0, 2.0]},
            tables.AUTHORS: {"error": [0.20, 0.20], "seconds": [4.0, 4.0]},
        },
        "diabetes": {  # 20 % worse in both, in another unit
            tables.OURS: {"error": [60.0, 60.0], "seconds": [1.0, 1.0]},
            tables.AUTHORS: {"error": [50.0, 50.0], "seconds": [1.0, 1.0]},
        },
    }
    apart, ranks = tables.sentences(results)
    assert "by +15.0% +- 5.0% in the mean over the sets (from +10.0% to +20.0%)" in apart
    assert "0.50 of theirs" in apart
    assert ranks.endswith(f"{tables.OURS} 1.88, {tables.AUTHORS} 1.12.")
