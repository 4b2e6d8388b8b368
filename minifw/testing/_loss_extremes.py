"""A loss at the extremes of its domain."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from minifw.errors import NonFiniteError, SaturationWarning
from minifw.losses import Loss
from minifw.testing._loss_subject import LossSubject, Pair, run
from minifw.typing import Array

__all__ = ["Outcome", "extremes"]

SCALES = (1e2, 1e4, 1e8)  # exp overflows beyond 709, and float64 loses 1 beside 1e16
EDGES = (0.0, 1e-300, 1e-12, 1 - 1e-8, 1 - 2.0**-52, 1.0)  # of a probability
HUGE = 1e100  # a loss that grows beyond it before it overflows is as large as that in truth
ROWS = 8  # of those given, from first to last: enough for targets of each kind
HALVINGS = 30  # of the largest scale: enough to come back to 1


@dataclass(frozen=True)
class Outcome:
    """What came of a forward and backward: an error, or a loss, its gradient and warnings."""

    error: Exception | None = None
    value: float = math.nan
    gradient: Array | None = None
    warned: tuple[warnings.WarningMessage, ...] = ()

    @classmethod
    def of(cls, loss: Loss, pair: Pair) -> "Outcome":
        """Run a loss."""
        with (
            warnings.catch_warnings(record=True) as warned,
            np.errstate(all="warn", under="ignore"),
        ):
            warnings.simplefilter("always")
            try:
                value, gradient = run(loss, pair)
            except (ValueError, TypeError) as error:
                return cls(error)
        return cls(None, value, gradient, tuple(warned))

    @property
    def fault(self) -> str:
        """What is not finite, or what NumPy warned of; "" if all is well."""
        if self.error is not None:
            hint = "; clip the prediction, or refuse it with a ValueError"
            rest = hint if isinstance(self.error, NonFiniteError) else ""
            return f"it raised {type(self.error).__name__}: {self.error}{rest}"
        if not math.isfinite(self.value):
            return f"the loss is {self.value}"
        if self.gradient is None or not np.isfinite(self.gradient).all():
            return "the gradient is not finite"
        for w in self.warned:
            own = issubclass(w.category, SaturationWarning)
            if issubclass(w.category, RuntimeWarning) and not own:
                return f"NumPy warns: {w.message}"
        return ""

    @property
    def refused(self) -> bool:
        """Whether the prediction was refused as out of the domain."""
        return self.error is not None and not isinstance(self.error, NonFiniteError)

    @property
    def saturated(self) -> bool:
        """Whether the loss itself says that its gradient is hidden."""
        return any(issubclass(w.category, SaturationWarning) for w in self.warned)


def extremes(s: LossSubject) -> Iterator[tuple[str, Pair, Outcome]]:
    """Yield the extremes that are in the domain of the loss."""
    prediction, target = _some_rows(s)
    for scale in () if s.clips else SCALES:  # what is clipped is no probability
        pair = prediction * scale, target
        outcome = Outcome.of(s.twin(), pair)
        outside = s.bounded and not math.isfinite(outcome.value)
        if not (outcome.refused or outside or (outcome.fault and _grows(s, scale))):
            yield f"predictions {scale:,.0f} times as large", pair, outcome
    for edge in EDGES if s.bounded else ():
        pair = np.full_like(prediction, edge), target
        outcome = Outcome.of(s.twin(), pair)
        if not outcome.refused:
            yield f"predictions of {_edge_name(edge)}", pair, outcome


def _some_rows(s: LossSubject) -> Pair:
    prediction, target = s.given()
    rows = np.unique(np.linspace(0, len(prediction) - 1, ROWS).astype(int))
    return prediction[rows], target[rows]


def _edge_name(edge: float) -> str:
    return f"{edge:g}" if edge <= 1 / 2 or edge == 1 else f"1 - {1 - edge:.0e}"


def _grows(s: LossSubject, scale: float) -> bool:
    """Return whether the loss itself overflows, as an exponential does, not just its formula."""
    prediction, target = _some_rows(s)
    for halvings in range(1, HALVINGS):
        outcome = Outcome.of(s.twin(), (prediction * scale / 2**halvings, target))
        if not outcome.fault and outcome.gradient is not None:
            return max(abs(outcome.value), float(np.abs(outcome.gradient).max())) > HUGE
    return False
