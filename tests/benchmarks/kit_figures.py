"""How good the author's kit is: faults caught, diagnoses right, false alarms, and speed.

    .venv/bin/python tests/benchmarks/kit_figures.py [seeds]

The wrong layers of tests/wrong_layers.py are each checked once; the right ones
(minifw's own, and those of tests/right_layers.py) with as many seeds as are
asked for, 1000 by default.
"""

import statistics
import sys
import time
from multiprocessing import Pool
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from cases import LAYER_CASES
from right_layers import RIGHT
from wrong_layers import WRONG, answer

from minifw import Array, Layer
from minifw.testing import CheckError, check_layer

SEEDS = 1000
RIGHT_LAYERS: dict[str, tuple[Layer, Array]] = {**LAYER_CASES, **RIGHT}


def alarms(job: tuple[str, int]) -> list[str]:
    """Check one right layer with many seeds; return what it was wrongly told."""
    name, seeds = job
    layer, x = RIGHT_LAYERS[name]
    found = []
    for seed in range(seeds):
        try:
            check_layer(layer, x, seed=seed)
        except CheckError as error:
            faults = "; ".join(f"{v.name}: {v.message}" for v in error.report.failures)
            found.append(f"{name}, seed {seed}: {faults}")
    return found


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    answers = [answer(wrong) for wrong in WRONG]
    caught, right = (sum(part) for part in zip(*answers, strict=True))
    print(f"wrong layers: {caught} of {len(WRONG)} caught, {right} with the right diagnosis")

    times = []
    for layer, x in RIGHT_LAYERS.values():
        start = time.perf_counter()
        check_layer(layer, x)
        times.append((time.perf_counter() - start) * 1e3)
    middle = statistics.median(times)
    print(f"a check takes {middle:.0f} ms in the median, {max(times):.0f} ms at most")

    with Pool() as pool:
        found = pool.map(alarms, [(name, seeds) for name in RIGHT_LAYERS], chunksize=1)
    count = sum(len(f) for f in found)
    print(f"right layers: {count} false alarms in {seeds} seeds of {len(RIGHT_LAYERS)} layers")
    for line in [line for lines in found for line in lines][:20]:
        print("  " + line)


if __name__ == "__main__":
    main()
