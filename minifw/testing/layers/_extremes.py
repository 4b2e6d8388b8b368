"""A layer at extreme inputs: the formula overflows where the true value does not."""

from functools import partial

import numpy as np

from minifw.testing._equal import Results
from minifw.testing._extremes import HUGE, SCALES, Outcome, last_finite
from minifw.testing._report import Failure, NotApplicable
from minifw.testing.layers._subject import LayerSubject

NEAR = 10.0  # an x below it that gives NaN is out of the layer's domain, as 2 is for arctanh


def finite_far_out(s: LayerSubject) -> None:
    """Look for what overflows in a layer, and not in truth."""
    if not (s.real and s.any_sign):
        raise NotApplicable("x has a domain")
    for scale in SCALES:
        for training in (True, False):
            at = partial(_at, s.in_mode(training))
            outcome = at(scale)
            if not (outcome.wrong and outcome.overflowed):
                continue
            last, before = last_finite(at, scale)  # if it is not finite at 1, others speak of that
            if before is None:
                continue
            ends = [s.scaled(last), {name: before.results[name] for name in s.dys.values()}]
            x, y = (max(float(np.abs(a).max()) for a in end.values()) for end in ends)
            if x > NEAR and y < HUGE:
                raise Failure(
                    f"with x {scale:,.0f} times as large, {outcome.wrong} is not finite, and y "
                    "does not grow to that: a formula overflows, such as an exp of a large number",
                    telling=0,
                )


def _at(s: LayerSubject, scale: float) -> Outcome:
    layer, xs = s.twin(), s.scaled(scale)

    def call() -> Results:
        ys = s.forward(layer, xs)
        return {**ys, **s.backward(layer, s.cotangents(ys))}

    return Outcome.of(call)
