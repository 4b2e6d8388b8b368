"""A loss at the extremes of its domain."""

from collections.abc import Iterator

import numpy as np

from minifw.testing._extremes import Outcome, last_finite
from minifw.testing._loss_subject import LossSubject, Pair
from minifw.testing._questions import run
from minifw.typing import Array

__all__ = ["extremes"]

SCALES = (1e2, 1e4, 1e8)  # exp overflows beyond 709, and float64 loses 1 beside 1e16
EDGES = (0.0, 1e-300, 1e-12, 1 - 1e-8, 1 - 2.0**-52, 1.0)  # of a probability
HUGE = 1e100  # a loss that grows beyond it before it overflows is as large as that in truth
ROWS = 8  # of those given, from first to last: enough for targets of each kind


def extremes(s: LossSubject) -> Iterator[tuple[str, Pair, Outcome]]:
    """Yield the extremes that are in the domain of the loss."""
    prediction, target = _some_rows(s)

    def of(prediction: Array) -> Outcome:
        inputs = {"prediction": prediction, "target": target}
        return Outcome.of(lambda: run(s, s.twin(), inputs))

    def at(scale: float) -> Outcome:
        return of(prediction * scale)

    for scale in () if s.clips else SCALES:  # what is clipped is no probability
        outcome = at(scale)
        outside = s.bounded and ("loss" not in outcome.results or outcome.wrong == "loss")
        if outcome.refused or outside:
            continue
        # The loss itself may overflow, as an exponential does, not just its formula.
        _, last = last_finite(at, scale) if outcome.fault else (scale, None)
        if not (last and max(np.abs(array).max() for array in last.results.values()) > HUGE):
            yield f"predictions {scale:,.0f} times as large", (prediction * scale, target), outcome
    for edge in EDGES if s.bounded else ():
        same = np.full_like(prediction, edge)
        outcome = of(same)
        if not outcome.refused:
            yield f"predictions of {_edge_name(edge)}", (same, target), outcome


def _some_rows(s: LossSubject) -> Pair:
    prediction, target = s.given()
    rows = np.unique(np.linspace(0, len(prediction) - 1, ROWS).astype(int))
    return prediction[rows], target[rows]


def _edge_name(edge: float) -> str:
    return f"{edge:g}" if edge <= 1 / 2 or edge == 1 else f"1 - {1 - edge:.0e}"
