"""Weight decay, and which parameters are left out of it."""

from collections.abc import Iterable

import numpy as np

from minifw._tools.checks import describe
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.typing import Array

__all__ = ["biases_and_norms", "decay_mask"]


def biases_and_norms(model: Layer) -> list[Parameter]:
    """Return the parameters of `model` that are commonly left out of weight decay.

    The rule is: those with at most one axis. In minifw and elsewhere these are
    the biases, the scales and shifts of normalisations and learnable slopes; a
    matrix or a stack of filters, which multiplies an input, has two axes or more.

    Parameters
    ----------
    model : Layer

    Returns
    -------
    list of Parameter
        To be passed as ``no_decay``.

    Examples
    --------
    >>> from minifw import AdamW, Dense, Sequential, Tanh, biases_and_norms
    >>> model = Sequential(Dense(2, 4, rng=0), Tanh(), Dense(4, 1, rng=1))
    >>> biases_and_norms(model)
    [Parameter(shape=(4,), dtype=float64), Parameter(shape=(1,), dtype=float64)]
    >>> optimizer = AdamW(model.parameters(), no_decay=biases_and_norms(model))
    """
    if not isinstance(model, Layer):
        raise TypeError(f"biases_and_norms expects a layer, got {describe(model)}")
    return [parameter for parameter in model.parameters() if parameter.value.ndim <= 1]


def decay_mask(
    owner: str, parameters: Iterable[Parameter], no_decay: Iterable[Parameter]
) -> Array | None:
    """Return a vector of 1 where `parameters` decay and 0 where not; None if all do."""
    if not isinstance(no_decay, Iterable) or isinstance(no_decay, Layer):
        hint = "; put it in a list" if isinstance(no_decay, Parameter) else ""
        raise TypeError(
            f"{owner} expects no_decay to be parameters, got {describe(no_decay)}{hint}"
        )
    left_out = list(no_decay)
    for item in left_out:
        if not isinstance(item, Parameter):
            raise TypeError(f"{owner} expects no_decay to be parameters, got {describe(item)}")
    found = tuple(parameters)
    ids = {id(item) for item in left_out}
    if not ids <= {id(parameter) for parameter in found}:
        raise ValueError(f"{owner} expects no_decay to be among its parameters, one is not")
    if not ids:
        return None
    parts = [np.full(p.size, 0.0 if id(p) in ids else 1.0, p.dtype) for p in found]
    return np.concatenate(parts)
