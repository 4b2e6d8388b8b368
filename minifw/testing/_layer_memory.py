"""The verdicts on memory and precision: layouts, dtypes, and who writes where."""

import numpy as np

from minifw.testing._compare import layouts, looks_like_float32
from minifw.testing._layer_same import gradients, rounding, same, same_gradients
from minifw.testing._layer_situation import INPUT, Situation, analytic
from minifw.testing._layer_subject import LayerCheck, LayerSubject, generator_states
from minifw.testing._report import Failure, NotApplicable
from minifw.typing import Array

__all__ = ["MEMORY_CHECKS"]

FLOAT32_ROUNDING = 1e-3  # what float32 may differ from float64 by, where the layer is no worse


def _layouts(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    expected = analytic(situation)
    y = situation.layer().forward(situation.x)
    inputs, cotangents = layouts(situation.x), layouts(situation.dy)
    for name, x in inputs.items():
        layer = situation.layer()
        try:
            same(f"x {name}, y differs", y, layer.forward(x), rounding(y))
            found = gradients(layer, layer.backward(cotangents[name]))
        except Failure:
            raise
        except Exception as error:  # noqa: BLE001 - told with the layout
            raise Failure(
                f"with x and dy {name} it raised {type(error).__name__}: {error}"
            ) from None
        same_gradients(f"x and dy {name}", expected, found, rounded=True)


def _writes_nothing(s: LayerSubject) -> None:
    for training in (True, False):
        situation = Situation.of(s, training=training)
        layer = situation.layer()
        x, dy = situation.x.copy(), situation.dy.copy()
        y = layer.forward(x)
        y_then = y.copy()
        _unchanged(x, situation.x, "forward writes into its input x")
        dx = layer.backward(dy)
        dx_then = dx.copy()
        _unchanged(dy, situation.dy, "backward writes into dy")
        _unchanged(x, situation.x, "backward writes into the x of the forward before")
        _unchanged(y, y_then, "backward writes into the y that forward had handed out")
        later = layer.forward(s.input(draw=3))
        layer.backward(s.cotangent(later, draw=3))
        _unchanged(y, y_then, "a second forward writes into the y that the first handed out")
        _unchanged(dx, dx_then, "a second backward writes into the dx that the first handed out")
        if np.shares_memory(y, later):
            raise Failure("the results of two forwards share memory")


def _leaves_parameters(s: LayerSubject) -> None:
    for training in (True, False):
        situation = Situation.of(s, training=training)
        layer = situation.layer()
        # Not its buffers: a layer may write into those.
        before = {name: p.value.copy() for name, p in layer.named_parameters()}
        for method, argument in (("forward", situation.x), ("backward", situation.dy)):
            getattr(layer, method)(argument)
            for name, parameter in layer.named_parameters():
                _unchanged(
                    parameter.value,
                    before[name],
                    f"{method} changes the parameter {name}: that is the optimizer's business",
                )


def _leaves_buffers_in_eval(s: LayerSubject) -> None:
    situation = Situation.of(s, training=False)
    layer = situation.layer()
    before = {name: buffer.copy() for name, buffer in layer.named_buffers()}
    if not before:
        raise NotApplicable("there are no buffers")
    layer.forward(situation.x)
    layer.backward(situation.dy)
    for name, buffer in layer.named_buffers():
        if name in before:
            what = f"in eval mode, forward changes the buffer {name}: only if self.training"
            _unchanged(buffer, before[name], what)


def _unchanged(now: Array, then: Array, otherwise: str) -> None:
    if not np.array_equal(now, then, equal_nan=True):
        raise Failure(otherwise)


def _dtype(s: LayerSubject) -> None:
    _has_a_dtype(s)
    situation = Situation.of(s, training=True)
    layer = s.twin(np.float32)
    states = generator_states(layer)
    y = layer.forward(s.input(dtype=np.float32))
    results = {"y": y, **gradients(layer, layer.backward(s.cotangent(y)))}
    _check_dtype(s, results, np.float32)
    if not states:  # which draws others in another dtype
        wide = situation.layer().forward(situation.x)
        largest = float(np.max(np.abs(wide), initial=0.0))
        same(
            "float64 and float32, y differs",
            wide,
            y.astype(np.float64),
            FLOAT32_ROUNDING * largest,
        )


def _check_dtype(s: LayerSubject, results: dict[str, Array], dtype: type) -> None:
    for name, array in results.items():
        if array.dtype != dtype and (name != INPUT or s.differentiable):
            what = "y" if name == "y" else f"d{name}"
            cause = ": a hidden cast"
            if dtype == np.float32:
                cause += (
                    " by a float64 array, or by a number of NumPy's, as np.sqrt(4) is: "
                    "use float(...) or .astype(x.dtype)"
                )
            raise Failure(f"{np.dtype(dtype)} in, {what} is {array.dtype}{cause}")


def _one_dtype(s: LayerSubject) -> None:
    dtypes = {name: parameter.dtype for name, parameter in s.layer.named_parameters()}
    if not dtypes:
        raise NotApplicable("there are no parameters")
    first, *others = dtypes
    for other in others:
        if dtypes[other] != dtypes[first]:
            raise Failure(
                f"the parameter {first} is {dtypes[first]}, and {other} is {dtypes[other]}: make "
                "all in one dtype, as that of an argument dtype"
            )


def _has_a_dtype(s: LayerSubject) -> None:
    if not (s.differentiable or s.layer.parameters()):
        raise NotApplicable("neither x nor a parameter says in which dtype it computes")


def _precision(s: LayerSubject) -> None:
    _has_a_dtype(s)
    situation = Situation.of(s, training=True)
    layer = situation.layer()
    results = {"y": layer.forward(situation.x)}
    results.update(gradients(layer, layer.backward(situation.dy)))
    _check_dtype(s, results, np.float64)
    for name, array in results.items():
        what = "y" if name == "y" else f"d{name}"
        # A gradient that is 0 but for rounding, as that of a bias before BatchNorm, holds small
        # multiples of one power of 2, which float32 has as well.
        if looks_like_float32(array) and np.abs(array).max() > rounding(*results.values()):
            raise Failure(f"float64 in, but {what} holds float32 numbers: a hidden cast")


MEMORY_CHECKS: tuple[LayerCheck, ...] = (
    ("memory layouts, read-only", _layouts),
    ("writes into nothing of others", _writes_nothing),
    ("leaves parameters alone", _leaves_parameters),
    ("leaves buffers alone in eval mode", _leaves_buffers_in_eval),
    ("parameters of one dtype", _one_dtype),
    ("float32 in, float32 out", _dtype),
    ("float64 throughout", _precision),
)
