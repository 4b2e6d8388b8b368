"""The verdict on a layer far out."""

from dataclasses import replace
from functools import partial

import numpy as np

from minifw.testing._equal import Results
from minifw.testing._extremes import Outcome, last_finite
from minifw.testing._layer_subject import LayerCheck, LayerSubject
from minifw.testing._report import Failure, NotApplicable

__all__ = ["EXTREME_CHECKS"]

SCALES = (1e2, 1e4)  # of x: exp overflows beyond 709
HUGE = 1e50  # an output that grows beyond it before it overflows is as large as that in truth
NEAR = 10.0  # an x below it that gives NaN is out of the layer's domain, as 2 is for arctanh


def _finite_far_out(s: LayerSubject) -> None:
    if not (s.differentiable and s.any_sign):
        raise NotApplicable("x has a domain")
    for scale in SCALES:
        for training in (True, False):
            at = partial(_at, replace(s, training=training))
            outcome = at(scale)
            if not (outcome.wrong and outcome.overflowed):
                continue
            last, before = last_finite(at, scale)  # if it is not finite at 1, others speak of that
            far = before and last * np.abs(s.x).max() > NEAR
            if far and np.abs(before.results["y"]).max() < HUGE:
                raise Failure(
                    f"with x {scale:,.0f} times as large, {outcome.wrong} is not finite, and y "
                    "does not grow to that: a formula overflows, such as an exp of a large number"
                )


def _at(s: LayerSubject, scale: float) -> Outcome:
    layer, x = s.twin(), s.given(np.float64) * scale

    def call() -> Results:
        y = layer.forward(x)
        return {"y": y, **s.backward(layer, {"dy": s.cotangent(y)})}

    return Outcome.of(call)


EXTREME_CHECKS: tuple[LayerCheck, ...] = (("finite at extremes", _finite_far_out),)
