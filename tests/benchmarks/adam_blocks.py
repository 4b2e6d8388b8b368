"""An update of Adam in blocks of several lengths, against the same in whole vectors.

    .venv/bin/python tests/benchmarks/adam_blocks.py

"plain" is the update as one would write it, with temporaries; "whole" is minifw's with one block.
The contenders take turns; each figure is a median in milliseconds.
"""

import platform
import statistics
from collections.abc import Callable

import numpy as np
from peers.measure import repeated, take_turns

from minifw import Adam, Array, Parameter

BLOCKS = (16_384, 32_768, 65_536, 131_072)
SIZES = {10_000: 300, 1_000_000: 20, 10_000_000: 4}  # parameters, turns
WHOLE = 10**9


def plain(dtype: type, size: int, grad: Array) -> Callable[[], None]:
    """Return the update with temporaries."""
    p: Array = np.zeros(size, dtype)
    m, v = p.copy(), p.copy()

    def update() -> None:
        nonlocal p, m, v
        m = 0.9 * m + 0.1 * grad
        v = 0.999 * v + 0.001 * grad * grad
        p = p - 1e-3 * m / (np.sqrt(v) + 1e-8)

    return update


def blocked(dtype: type, size: int, grad: Array, block: int) -> Callable[[], None]:
    """Return minifw's update in blocks."""
    optimizer = Adam([Parameter(np.zeros(size, dtype))])
    length = min(size, block)
    optimizer._scratch = np.empty(length, dtype), np.empty(length, dtype)
    values = optimizer.parameters[0].value
    return lambda: optimizer.update(values, grad)


def main() -> None:
    """Print a line for each dtype and size."""
    print(f"NumPy {np.__version__}, Python {platform.python_version()}, {platform.machine()}")
    for dtype in (np.float32, np.float64):
        for size, turns in SIZES.items():
            grad: Array = np.random.default_rng(0).standard_normal(size).astype(dtype)
            contenders = {"plain": plain(dtype, size, grad)}
            for block in (WHOLE, *BLOCKS):
                name = "whole" if block == WHOLE else f"{block:,}"
                contenders[name] = blocked(dtype, size, grad, block)
            jobs = {name: repeated(update) for name, update in contenders.items()}
            times = take_turns(jobs, turns, "process")
            shown = (f"{name} {statistics.median(t) * 1e3:.3f}" for name, t in times.items())
            print(f"{dtype.__name__} {size:>10,}: {'; '.join(shown)}", flush=True)


if __name__ == "__main__":
    main()
