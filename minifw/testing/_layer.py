"""The verdicts on a layer."""

import copy

import numpy as np

from minifw._tools.checks import describe
from minifw.core.layer import Layer
from minifw.testing._layer_arguments import ARGUMENT_CHECKS, USE_CHECKS
from minifw.testing._layer_calls import CALL_CHECKS
from minifw.testing._layer_copies import COPY_CHECKS, REFUSAL_CHECKS, STATE_CHECKS
from minifw.testing._layer_extremes import EXTREME_CHECKS
from minifw.testing._layer_gradients import GRADIENT_CHECKS
from minifw.testing._layer_memory import MEMORY_CHECKS
from minifw.testing._layer_subject import LayerCheck, LayerSubject
from minifw.testing._report import Report, judge
from minifw.typing import Array

__all__ = ["LAYER_CHECKS", "check_layer", "layer_subject"]


def check_layer(layer: Layer, x: Array, *, seed: int = 0) -> Report:
    """Check everything that the contract of a layer asks, and say what is wrong.

    Parameters
    ----------
    layer : Layer
        It is copied, and left as it is.
    x : array
        A batch that it accepts; the checks draw others like it. Whole numbers
        are taken for indices, and not differentiated.
    seed : int, default 0
        Of everything random in the checks.

    Returns
    -------
    Report
        Prints as a table of named verdicts.

    Raises
    ------
    CheckError
        If a verdict failed. It is an AssertionError, and its `report` holds all
        verdicts: all failures at once.

    Notes
    -----
    Gradients are those of sum(dy * y) for a random dy, at random values of the
    parameters, in float64, by a five-point formula with a step that fits (see
    `minifw.testing._numeric`).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense
    >>> from minifw.testing import check_layer
    >>> x = np.random.default_rng(0).standard_normal((4, 3))
    >>> check_layer(Dense(3, 2), x).passed
    True
    """
    __tracebackhide__ = True
    subject = layer_subject(layer, x, seed)
    judge(repr(layer), LAYER_CHECKS[:1], subject)  # or else all would say that it takes no x
    return judge(repr(layer), LAYER_CHECKS, subject)


def layer_subject(layer: Layer, x: Array, seed: int = 0) -> LayerSubject:
    """Return what the checks take, or raise if it is no layer or no batch."""
    if not isinstance(layer, Layer):
        hint = f"; write {layer.__name__}(...)" if isinstance(layer, type) else ""
        raise TypeError(f"check_layer expects a layer, got {describe(layer)}{hint}")
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu" or x.ndim < 1 or not x.size:
        raise TypeError(
            f"check_layer expects x to be an array, a batch of numbers, got {describe(x)}"
        )
    copied: object = copy.deepcopy(layer).train()
    if not isinstance(copied, Layer):
        raise TypeError(f"check_layer expects train() to return the layer, got {describe(copied)}")
    return LayerSubject(layer, x, seed)


LAYER_CHECKS: tuple[LayerCheck, ...] = (
    *GRADIENT_CHECKS,
    *STATE_CHECKS,  # these three before those that they have consequences in
    *MEMORY_CHECKS,
    *EXTREME_CHECKS,
    *USE_CHECKS,
    *CALL_CHECKS,
    *COPY_CHECKS,
    *ARGUMENT_CHECKS,
    *REFUSAL_CHECKS,
)
