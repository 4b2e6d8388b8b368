"""One run of the command: which workloads, which contenders, and what is printed."""

import argparse

from peers import pages, report
from peers.contender import CONTENDERS, find, installed
from peers.measure import compare
from peers.pieces import PIECES, compare_piece
from peers.processes import compare_processes
from peers.workloads import WORKLOADS, Workload

__all__ = ["run"]

PROCESS = "W7"
PROCESS_TURNS = 21  # as of most workloads; with all peers a turn takes some 45 seconds
NOT_ALONE = {"floor", "onnx", "sklearn-steps", "torch-fused"}  # what no one would start for W1


def run(options: argparse.Namespace) -> None:
    """Do what the command line says."""
    wanted = [name for name in options.only.split(",") if name] or [*CONTENDERS]
    names = [name for name in CONTENDERS if name in {"minifw", *wanted} and installed(name)]
    missing = [name for name in CONTENDERS if name not in names and not installed(name)]
    print(report.machine())
    print(", ".join(f"{name} {version}" for name, version in report.versions().items()))
    print(f"threads: {options.threads}; clock: {options.clock}")
    print(f"not installed, so not run: {', '.join(missing) or 'none'}\n")
    if options.list:
        return
    stored = report.load()
    results = stored.setdefault(report.machine(), {})
    for name in _chosen(options.workload):
        key = name if options.threads == 1 else f"{name} with {options.threads} threads"
        clock = "wall" if name == PROCESS else options.clock
        if name == PROCESS:
            turns = options.turns or PROCESS_TURNS
            rows = compare_processes(_able(names, WORKLOADS["W1"], NOT_ALONE), turns)
        elif name in PIECES:
            piece = PIECES[name]
            if piece.module == "sides" and "torch" not in names:
                continue
            turns, clock = options.turns or piece.turns, piece.clock or clock
            rows = compare_piece(piece, turns, clock)
        else:
            workload = WORKLOADS[name]
            turns = options.turns or workload.turns
            rows = compare(workload, _able(names, workload), turns, clock)
        results[key] = report.result(rows, turns, options.threads, clock)
        print(report.text(key, results[key]), flush=True)
        if options.write:
            pages.write(stored)
    if options.write:
        from peers.plot import draw  # noqa: PLC0415 - matplotlib, which only this needs

        draw(stored)


def _able(names: list[str], workload: Workload, without: set[str] | None = None) -> list[str]:
    without = without or set()
    return [name for name in names if name not in without and find(name).supports(workload)]


def _chosen(text: str) -> list[str]:
    known = [*WORKLOADS, PROCESS, *PIECES]
    if text == "all":
        return known
    chosen = []
    for word in text.split(","):
        found = [name for name in known if name == word or name.startswith(f"{word}-")]
        if not found:
            raise SystemExit(f"there is no workload {word}; there are {', '.join(known)}")
        chosen += found
    return [*dict.fromkeys(chosen)]
