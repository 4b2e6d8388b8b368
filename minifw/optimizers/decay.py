"""Weight decay, and which parameters are left out of it."""

from minifw._tools.checks import describe
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter

__all__ = ["biases_and_norms"]


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
