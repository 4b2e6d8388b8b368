"""A loss at extreme inputs, and at the edges of its domain."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from minifw.testing._equal import Results
from minifw.testing._extremes import HUGE, SCALES, Outcome, last_finite
from minifw.testing._questions import run
from minifw.testing.losses._adapter import LossSubject

FAR = 1e8  # whose square is 1e16, beside which float64 loses 1
EDGES = (0.0, 1e-300, 1e-12, 1 - 1e-8, 1 - 2.0**-52, 1.0)  # of a probability
ROWS = 8  # of those given, from first to last: enough for targets of each kind


def extremes(
    s: LossSubject, scales: tuple[float, ...] = SCALES
) -> Iterator[tuple[str, Results, Outcome]]:
    """Yield the extremes that are in the domain of the loss, and what comes of them."""
    given = s.given(np.float64)
    rows = np.unique(np.linspace(0, len(given[s.names[0]]) - 1, ROWS).astype(int))
    given = {"dy": np.ones(1), **{name: array[rows] for name, array in given.items()}}

    def at(scale: float) -> Outcome:
        return Outcome.of(partial(run, s, s.twin(), s.scaled(scale, given)))

    for scale in () if s.domain else scales:
        outcome = at(scale)
        # The loss itself may overflow, as an exponential does, not just its formula.
        _, last = last_finite(at, scale) if outcome.fault else (scale, None)
        if not (last and max(np.abs(array).max() for array in last.results.values()) > HUGE**2):
            yield f"predictions {scale:,.0f} times as large", s.scaled(scale, given), outcome
    for edge in EDGES if s.domain else ():
        inputs = {**given, "prediction": np.full_like(given["prediction"], edge)}
        name = f"{edge:g}" if edge <= 1 / 2 or edge == 1 else f"1 - {1 - edge:.0e}"
        yield f"predictions of {name}", inputs, Outcome.of(partial(run, s, s.twin(), inputs))
