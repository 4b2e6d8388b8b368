"""What ``import minifw`` costs beyond ``import numpy``.

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


def main() -> None:
    milliseconds("import minifw")  # fills the caches of the disk
    pairs = [(milliseconds("import numpy"), milliseconds("import minifw")) for _ in range(TURNS)]
    numpy, minifw = (statistics.median(times) for times in zip(*pairs, strict=True))
    extra = statistics.median(ours - theirs for theirs, ours in pairs)
    print(f"numpy  {numpy:6.1f} ms")
    print(f"minifw {minifw:6.1f} ms, {extra:.1f} ms more")


if __name__ == "__main__":
    main()
