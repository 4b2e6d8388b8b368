"""A subject at extreme inputs: errors, results, warnings."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from minifw.errors import NonFiniteError, SaturationWarning
from minifw.testing._equal import Results

SCALES = (1e2, 1e4)  # of a layer's x: exp overflows beyond 709
HUGE = 1e50  # what grows beyond it before it overflows is as large as that in truth
SHRINK = 2.0**-0.25  # from scale to scale: so small that exp(x^4) is seen to be large


@dataclass(frozen=True)
class Outcome:
    """What came of a forward and backward: an error, or results and warnings."""

    error: Exception | None = None
    results: Results = field(default_factory=dict)
    warned: tuple[warnings.WarningMessage, ...] = ()

    @classmethod
    def of(cls, call: Callable[[], Results]) -> "Outcome":
        """Run a subject."""
        with (
            warnings.catch_warnings(record=True) as warned,
            np.errstate(all="warn", under="ignore"),
        ):
            warnings.simplefilter("always")
            try:
                return cls(None, call(), tuple(warned))
            except Exception as error:  # noqa: BLE001 - a refusal, or a finding
                return cls(error)

    @property
    def wrong(self) -> str:
        """The name of what is not finite, or ""."""
        pairs = self.results.items()
        return next((name for name, array in pairs if not np.isfinite(array).all()), "")

    @property
    def overflowed(self) -> bool:
        """Whether NumPy says so; else it has a domain."""
        return any("overflow" in str(w.message) for w in self.warned)

    @property
    def fault(self) -> str:
        """What is not finite, or what NumPy warned of; "" if all is well, or it was refused."""
        if isinstance(self.error, NonFiniteError):
            return (
                f"it raised {self.error}; rewrite the formula, clip the prediction, or refuse it "
                "with a ValueError"
            )
        if isinstance(self.error, ValueError | TypeError):
            return ""
        if self.error is not None:
            return f"it raised {type(self.error).__name__}: {self.error}"
        warned = [w for w in self.warned if issubclass(w.category, RuntimeWarning)]
        if self.wrong:
            return f"the {self.wrong} is not finite"
        return f"NumPy warns: {warned[0].message}" if warned and not self.saturated else ""

    @property
    def saturated(self) -> bool:
        """Whether the subject itself says that its gradient is hidden."""
        return any(issubclass(w.category, SaturationWarning) for w in self.warned)


def last_finite(at: Callable[[float], Outcome], scale: float) -> tuple[float, Any]:
    """Return the largest scale, below one that is too large, at which all is finite.

    And what came of that; None if nothing was finite.
    """
    while scale > 1:
        scale *= SHRINK
        outcome = at(scale)
        if outcome.error is None and not outcome.wrong:
            return scale, outcome
    return scale, None
