"""A loss far out, and at the edges of its domain."""

from collections.abc import Iterator

import numpy as np

from minifw.testing._equal import Results
from minifw.testing._extremes import HUGE, SCALES, Outcome, last_finite
from minifw.testing._questions import run
from minifw.testing.losses._subject import LossSubject

LOSS_SCALES = (*SCALES, 1e8)  # float64 loses 1 beside 1e16
EDGES = (0.0, 1e-300, 1e-12, 1 - 1e-8, 1 - 2.0**-52, 1.0)  # of a probability
ROWS = 8  # of those given, from first to last: enough for targets of each kind


def extremes(s: LossSubject) -> Iterator[tuple[str, Results, Outcome]]:
    """Yield the extremes that are in the domain of the loss."""
    rows = np.unique(np.linspace(0, len(s.prediction) - 1, ROWS).astype(int))
    inputs = {name: array[rows] for name, array in s.given().items()}

    def scaled(scale: float) -> Results:
        return {**inputs, "prediction": inputs["prediction"] * scale}

    def of(inputs: Results) -> Outcome:
        return Outcome.of(lambda: run(s, s.twin(), inputs))

    def at(scale: float) -> Outcome:
        return of(scaled(scale))

    for scale in () if s.clips else LOSS_SCALES:  # what is clipped is no probability
        outcome = at(scale)
        outside = s.bounded and ("loss" not in outcome.results or outcome.wrong == "loss")
        if outcome.refused or outside:
            continue
        # The loss itself may overflow, as an exponential does, not just its formula.
        _, last = last_finite(at, scale) if outcome.fault else (scale, None)
        if not (last and max(np.abs(array).max() for array in last.results.values()) > HUGE**2):
            yield f"predictions {scale:,.0f} times as large", scaled(scale), outcome
    for edge in EDGES if s.bounded else ():
        same = {**inputs, "prediction": np.full_like(inputs["prediction"], edge)}
        outcome = of(same)
        if not outcome.refused:
            yield f"predictions of {_edge_name(edge)}", same, outcome


def _edge_name(edge: float) -> str:
    return f"{edge:g}" if edge <= 1 / 2 or edge == 1 else f"1 - {1 - edge:.0e}"
