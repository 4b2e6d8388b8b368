"""The whole of W1 in a process of its own: ``python -m peers.process NAME FILE STEPS``.

It prints the last cost, the seconds of the contender's import, and the megabytes that
are resident at the end.
"""

import sys
import time
from pathlib import Path

__all__: list[str] = []


def resident() -> float:
    """Return megabytes; not a number where the system has no /proc."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        return float("nan")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def main() -> None:
    name, path, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
    statement = sys.argv[4]
    start = time.perf_counter()
    exec(statement)  # noqa: S102 - an import, from the table of contenders
    seconds = time.perf_counter() - start
    import pickle  # noqa: PLC0415 - after the import that is measured

    from peers.contender import find  # noqa: PLC0415

    with Path(path).open("rb") as file:
        problem = pickle.load(file)
    cost = find(name)(problem).run(steps)
    print(cost, seconds, resident())


if __name__ == "__main__":
    main()
