"""A layer or a loss far out: what overflows in a formula, and not in truth."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from minifw.errors import NonFiniteError, SaturationWarning
from minifw.testing._equal import Results
from minifw.testing._layer_subject import LayerSubject
from minifw.testing._loss_subject import LossSubject
from minifw.testing._questions import run
from minifw.testing._report import Failure, NotApplicable

SCALES = (1e2, 1e4)  # of a layer's x: exp overflows beyond 709
HUGE = 1e50  # what grows beyond it before it overflows is as large as that in truth
NEAR = 10.0  # an x below it that gives NaN is out of the layer's domain, as 2 is for arctanh
LOSS_SCALES = (*SCALES, 1e8)  # float64 loses 1 beside 1e16
EDGES = (0.0, 1e-300, 1e-12, 1 - 1e-8, 1 - 2.0**-52, 1.0)  # of a probability
ROWS = 8  # of those given, from first to last: enough for targets of each kind
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
        """What is not finite, or what NumPy warned of; "" if all is well."""
        if self.error is not None:
            hint = "; clip the prediction, or refuse it with a ValueError"
            rest = hint if isinstance(self.error, NonFiniteError) else ""
            return f"it raised {type(self.error).__name__}: {self.error}{rest}"
        if self.wrong:
            array = self.results[self.wrong]
            return f"the {self.wrong} is {'not finite' if array.ndim else array}"
        for w in self.warned:
            if issubclass(w.category, RuntimeWarning) and not _is_saturation(w):
                return f"NumPy warns: {w.message}"
        return ""

    @property
    def refused(self) -> bool:
        """Whether what was given was refused as out of the domain."""
        known = isinstance(self.error, ValueError | TypeError)
        return known and not isinstance(self.error, NonFiniteError)

    @property
    def saturated(self) -> bool:
        """Whether the subject itself says that its gradient is hidden."""
        return any(map(_is_saturation, self.warned))


def _is_saturation(warned: warnings.WarningMessage) -> bool:
    return issubclass(warned.category, SaturationWarning)


def _last_finite(at: Callable[[float], Outcome], scale: float) -> tuple[float, Any]:
    """Return the largest scale, below one that is too large, at which all is finite.

    And what came of that; None if nothing was finite.
    """
    while scale > 1:
        scale *= SHRINK
        outcome = at(scale)
        if outcome.error is None and not outcome.wrong:
            return scale, outcome
    return scale, None


# -- layers ----------------------------------------------------------------------------


def finite_far_out(s: LayerSubject) -> None:
    """Look for what overflows in a layer, and not in truth."""
    if not (s.real and s.any_sign):
        raise NotApplicable("x has a domain")
    for scale in SCALES:
        for training in (True, False):
            at = partial(_at, replace(s, training=training))
            outcome = at(scale)
            if not (outcome.wrong and outcome.overflowed):
                continue
            last, before = _last_finite(
                at, scale
            )  # if it is not finite at 1, others speak of that
            if before is None:
                continue
            ends = [s.scaled(last), {name: before.results[name] for name in s.dys.values()}]
            x, y = (max(float(np.abs(a).max()) for a in end.values()) for end in ends)
            if x > NEAR and y < HUGE:
                raise Failure(
                    f"with x {scale:,.0f} times as large, {outcome.wrong} is not finite, and y "
                    "does not grow to that: a formula overflows, such as an exp of a large number"
                )


def _at(s: LayerSubject, scale: float) -> Outcome:
    layer, xs = s.twin(), s.scaled(scale)

    def call() -> Results:
        ys = s.forward(layer, xs)
        return {**ys, **s.backward(layer, s.cotangents(ys))}

    return Outcome.of(call)


# -- losses ----------------------------------------------------------------------------


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
        _, last = _last_finite(at, scale) if outcome.fault else (scale, None)
        if not (last and max(np.abs(array).max() for array in last.results.values()) > HUGE**2):
            yield f"predictions {scale:,.0f} times as large", scaled(scale), outcome
    for edge in EDGES if s.bounded else ():
        same = {**inputs, "prediction": np.full_like(inputs["prediction"], edge)}
        outcome = of(same)
        if not outcome.refused:
            yield f"predictions of {_edge_name(edge)}", same, outcome


def _edge_name(edge: float) -> str:
    return f"{edge:g}" if edge <= 1 / 2 or edge == 1 else f"1 - {1 - edge:.0e}"
