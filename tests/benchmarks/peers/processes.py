"""W7: the whole process of W1 with each contender, its import, its memory, its files."""

import math
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from statistics import median

from packaging.requirements import Requirement

import minifw
from peers.contender import CONTENDERS, find
from peers.measure import Row, rows_of
from peers.workloads import WORKLOADS, make_problem

__all__ = ["compare_processes"]

STEPS = 10_000
# Relative. The last thousands of steps on the flower go to and fro, so that rounding shows in
# the fourth digit of the last cost.
TOLERANCE = 1e-3
# Where it is set, each process compiles what pip has not; that is not what is compared.
NO_CACHE = "PYTHONDONTWRITEBYTECODE"
HERE = Path(__file__).parents[1]
DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # where that is not the name of the package


def compare_processes(names: Sequence[str], turns: int) -> list[Row]:
    """Run each contender in fresh interpreters, by turns.

    Raises
    ------
    RuntimeError
        If the last cost is another one than minifw's.
    """
    times: dict[str, list[float]] = {name: [] for name in names}
    imports: dict[str, list[float]] = {name: [] for name in names}
    memory: dict[str, list[float]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "problem.pickle"
        path.write_bytes(pickle.dumps(make_problem(WORKLOADS["W1"])))
        for turn in range(-1, turns):  # the first fills the caches of the disk
            costs = {}
            for name in names:
                steps = STEPS if turn >= 0 else 1
                seconds, (costs[name], imported, resident) = _run(name, path, steps)
                if turn >= 0:
                    times[name].append(seconds)
                    imports[name].append(imported)
                    memory[name].append(resident)
            for name, cost in costs.items():
                if not math.isclose(cost, costs["minifw"], rel_tol=TOLERANCE):
                    raise RuntimeError(f"the last costs differ: {name} has {cost}, {costs}")
    return [
        replace(
            row,
            extra={
                "import": median(imports[row.name]),
                "memory": median(memory[row.name]),
                "size": installed_size(CONTENDERS[row.name][0]) / 1e6,
            },
        )
        for row in rows_of(times, {name: find(name) for name in names})
    ]


def _run(name: str, path: Path, steps: int) -> tuple[float, list[float]]:
    command = [sys.executable, "-m", "peers.process", name, str(path), str(steps)]
    environment = {key: value for key, value in os.environ.items() if key != NO_CACHE}
    start = time.perf_counter()
    result = subprocess.run(
        [*command, find(name).imports],
        cwd=HERE,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if result.returncode:
        raise RuntimeError(f"the process of {name} failed: {result.stderr}")
    return seconds, [float(word) for word in result.stdout.split()[-3:]]


def installed_size(packages: Sequence[str]) -> int:
    """Return the bytes of the packages' files with all that they require, NumPy too."""
    todo, seen = [DISTRIBUTIONS.get(package, package) for package in ("numpy", *packages)], set()
    total = 0
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # an option that is not installed
            continue
        total += _bytes(distribution) if name != "minifw" else _own_bytes()
        for line in distribution.requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(requirement.name)
    return total


def _bytes(distribution: metadata.Distribution) -> int:
    paths = [Path(str(distribution.locate_file(file))) for file in distribution.files or []]
    return sum(path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file())


def _own_bytes() -> int:
    """Return the size of minifw, which may be installed as a link to its sources."""
    return sum(path.stat().st_size for path in Path(minifw.__file__).parent.rglob("*.py"))
