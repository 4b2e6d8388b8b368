"""What minifw costs beyond ``import numpy``: the names of the notes' network, and all names.

``import minifw`` alone loads no file before it is used, not even NumPy.

    .venv/bin/python tests/benchmarks/import_time.py

Whole processes of both kinds take turns; what counts is the median of the
differences, turn by turn.
"""

import statistics
import subprocess
import sys
import time

TURNS = 30  # enough for a median that is stable to a millisecond or so


def milliseconds(statement: str) -> float:
    """Return how long a fresh interpreter takes to run the statement."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return (time.perf_counter() - start) * 1e3


STATEMENTS = {
    "the notes' network": (
        "from minifw import BCELoss, Dense, Objective, SGD, Sequential, Sigmoid, Tanh"
    ),
    "all names": "from minifw import *",
}


def main() -> None:
    for what, statement in STATEMENTS.items():
        milliseconds(statement)  # fills the caches of the disk
        pairs = [
            (milliseconds("import numpy"), milliseconds(f"import numpy; {statement}"))
            for _ in range(TURNS)
        ]
        extra = statistics.median(ours - theirs for theirs, ours in pairs)
        numpy = statistics.median(theirs for theirs, _ in pairs)
        print(f"{what}: {extra:.1f} ms beyond the {numpy:.1f} ms of NumPy")


if __name__ == "__main__":
    main()
