"""The verdicts on memory and precision: layouts, dtypes, and who writes where."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from minifw.testing._equal import Results, same, unchanged
from minifw.testing._layer_subject import LayerCheck, LayerSubject, generator_states
from minifw.testing._questions import (
    Subject,
    keeps_dtype,
    layouts,
    leaves_parameters,
    not_through_float32,
    run,
    writes_nothing,
)
from minifw.testing._report import Failure, NotApplicable

__all__ = ["MEMORY_CHECKS"]

FLOAT32_ROUNDING = 1e-3  # what float32 may differ from float64 by, where the layer is no worse


def _in_both_modes(question: Callable[[Subject], None]) -> Callable[[LayerSubject], None]:
    def check(s: LayerSubject) -> None:
        for training in (True, False):
            question(replace(s, training=training))

    return check


def _leaves_buffers_in_eval(s: LayerSubject) -> None:
    s = replace(s, training=False)
    layer, inputs = s.twin(), s.inputs()
    before = {name: buffer.copy() for name, buffer in layer.named_buffers()}
    if not before:
        raise NotApplicable("there are no buffers")
    run(s, layer, inputs)
    for name, buffer in layer.named_buffers():
        if name in before:
            what = f"in eval mode, forward changes the buffer {name}: only if self.training"
            unchanged(buffer, before[name], what)


def _dtype(s: LayerSubject) -> None:
    _has_a_dtype(s)
    layer = s.twin(np.float32)
    states = generator_states(layer)
    results = run(s, layer, s.inputs(dtype=np.float32))
    keeps_dtype(results, np.float32)
    if not states:  # which draws others in another dtype
        wide = s.forward(s.twin(), s.inputs())
        narrow: Results = {"y": results["y"].astype(np.float64)}
        same("in float64 and in float32", wide, narrow, FLOAT32_ROUNDING)


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
    results = run(s, s.twin(), s.inputs())
    keeps_dtype(results, np.float64)
    not_through_float32(results)


MEMORY_CHECKS: tuple[LayerCheck, ...] = (
    ("memory layouts, read-only", layouts),
    ("writes into nothing of others", _in_both_modes(writes_nothing)),
    ("leaves parameters alone", _in_both_modes(leaves_parameters)),
    ("leaves buffers alone in eval mode", _leaves_buffers_in_eval),
    ("parameters of one dtype", _one_dtype),
    ("float32 in, float32 out", _dtype),
    ("float64 throughout", _precision),
)
