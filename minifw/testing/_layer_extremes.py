"""The verdict on a layer far out: what overflows in a formula, and not in truth."""

import numpy as np

from minifw.testing._layer_subject import LayerCheck, LayerSubject
from minifw.testing._report import Failure, NotApplicable
from minifw.typing import Array

__all__ = ["EXTREME_CHECKS"]

SCALES = (1e2, 1e4)  # of x: exp overflows beyond 709
HUGE = 1e50  # an output that grows beyond it before it overflows is as large as that in truth
NEAR = 10.0  # an x below it that gives NaN is out of the layer's domain, as 2 is for arctanh
SHRINK = 2.0**-0.25  # from scale to scale: so small that exp(x^4) is seen beyond HUGE
SHRINKINGS = 54  # from the largest scale back to 1


def _finite_far_out(s: LayerSubject) -> None:
    if not (s.differentiable and s.any_sign):
        raise NotApplicable("x has a domain")
    for scale in SCALES:
        for training in (True, False):
            wrong = _not_finite(s, scale, training=training)
            if (
                wrong
                and _overflows(s, scale, training=training)
                and _unlike_its_neighbours(s, scale, training=training)
            ):
                raise Failure(
                    f"with x {scale:,.0f} times as large, {wrong} is not finite, and y does not "
                    "grow to that: a formula overflows, such as an exp of a large number"
                )


def _run(s: LayerSubject, scale: float, *, training: bool) -> tuple[Array, Array]:
    layer = s.twin(training=training)
    y = layer.forward(s.given(np.float64) * scale)
    return y, layer.backward(s.cotangent(y))


def _not_finite(s: LayerSubject, scale: float, *, training: bool) -> str:
    """Return what is not finite, or ""."""
    try:
        results = _run(s, scale, training=training)
    except Exception:  # noqa: BLE001 - it refuses x
        return ""
    pairs = zip(("y", "dx"), results, strict=True)
    return next((name for name, result in pairs if not np.isfinite(result).all()), "")


def _overflows(s: LayerSubject, scale: float, *, training: bool) -> bool:
    """Whether NumPy says so; else the layer has a domain."""
    try:
        with np.errstate(over="raise"):
            _run(s, scale, training=training)
    except FloatingPointError:
        return True
    except Exception:  # noqa: BLE001 - as above
        return False
    return False


def _unlike_its_neighbours(s: LayerSubject, scale: float, *, training: bool) -> bool:
    """Whether y is of ordinary size at the largest x, far out, at which all is finite still."""
    size = float(np.abs(s.x).max())
    for _ in range(SHRINKINGS):
        scale *= SHRINK
        if not _not_finite(s, scale, training=training):
            y, _ = _run(s, scale, training=training)
            return scale * size > NEAR and float(np.abs(y).max()) < HUGE
    return False  # it was not finite at 1, of which others speak


EXTREME_CHECKS: tuple[LayerCheck, ...] = (("finite at extremes", _finite_far_out),)
