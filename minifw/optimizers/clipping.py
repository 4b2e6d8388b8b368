"""Gradient clipping: between ``objective.backward()`` and ``optimizer.step()``."""

import math
from collections.abc import Iterable

import numpy as np

from minifw._engine.packing import check_parameters, gradient_vectors, why_not_finite
from minifw._tools.numbers import check_positive
from minifw.core.optimizer import Optimizer
from minifw.core.parameter import Parameter
from minifw.errors import NonFiniteError
from minifw.typing import Array

__all__ = ["clip_grad_norm", "clip_grad_value"]


def clip_grad_norm(parameters: Iterable[Parameter] | Optimizer, max_norm: float) -> float:
    """Scale all gradients by one factor, so their joint norm is at most `max_norm`.

    The norm is the root of the sum of squares over all elements of all gradients. If
    it is above `max_norm`, every gradient is multiplied by max_norm / norm; the
    direction is kept.

    Parameters
    ----------
    parameters : iterable of Parameter, or Optimizer
        ``model.parameters()``, or the optimizer that steps them.
    max_norm : float
        Above 0.

    Returns
    -------
    float
        The norm before.

    Raises
    ------
    NonFiniteError
        If a gradient, or the norm, is not finite; nothing is changed.

    Notes
    -----
    PyTorch's ``clip_grad_norm_`` divides by norm + 1e-6, and returns what is not finite
    unless asked to raise. Where an optimizer has packed the parameters, this is one
    product of a vector with itself, and one with a factor.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent
    neural networks", 2013, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Parameter, clip_grad_norm
    >>> p, q = Parameter(np.zeros(1)), Parameter(np.zeros(1))
    >>> p.grad, q.grad = [3.0], [4.0]
    >>> clip_grad_norm([p, q], max_norm=1.0)
    5.0
    >>> p.grad, q.grad
    (array([0.6]), array([0.8]))
    """
    limit = check_positive("clip_grad_norm", "max_norm", max_norm)
    found = _found("clip_grad_norm", parameters)
    vectors = gradient_vectors(found)
    norm = math.hypot(*map(_norm, vectors))  # which scales, so it cannot overflow early
    if not math.isfinite(norm):
        why = why_not_finite(found) or f"the norm of all gradients overflows {found[0].dtype}"
        raise NonFiniteError(f"clip_grad_norm: {why}; nothing was changed")
    if norm > limit:
        for vector in vectors:
            vector *= limit / norm
    return norm


def clip_grad_value(parameters: Iterable[Parameter] | Optimizer, max_value: float) -> None:
    """Limit every element of every gradient to [-max_value, max_value].

    Parameters
    ----------
    parameters : iterable of Parameter, or Optimizer
        ``model.parameters()``, or the optimizer that steps them.
    max_value : float
        Above 0.

    Raises
    ------
    NonFiniteError
        If a gradient is not finite; nothing is changed.

    Notes
    -----
    As PyTorch's ``clip_grad_value_``, which lets NaN pass. The direction changes; see
    `clip_grad_norm`.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Parameter, clip_grad_value
    >>> p = Parameter(np.zeros(3))
    >>> p.grad = [0.5, -4.0, 3.0]
    >>> clip_grad_value([p], max_value=1.0)
    >>> p.grad
    array([ 0.5, -1. ,  1. ])
    """
    limit = check_positive("clip_grad_value", "max_value", max_value)
    found = _found("clip_grad_value", parameters)
    vectors = gradient_vectors(found)
    if not all(math.isfinite(_norm(vector)) for vector in vectors):
        why = why_not_finite(found)
        if why:
            raise NonFiniteError(f"clip_grad_value: {why}; nothing was changed")
    limit = min(limit, float(np.finfo(found[0].dtype).max))
    for vector in vectors:
        np.clip(vector, -limit, limit, out=vector)


def _found(owner: str, parameters: Iterable[Parameter] | Optimizer) -> tuple[Parameter, ...]:
    if isinstance(parameters, Optimizer):
        parameters._vector.refresh()
        return parameters.parameters
    return check_parameters(owner, parameters)


def _norm(vector: Array) -> float:
    """Return the Euclidean norm; where the squares leave the range of the dtype, by scaling."""
    with np.errstate(all="ignore"):
        square = float(vector.dot(vector))
        # Below this the squares of elements that count may have been rounded to 0.
        tiny = float(np.finfo(vector.dtype).tiny) / float(np.finfo(vector.dtype).eps) * vector.size
        if tiny < square < math.inf:
            return math.sqrt(square)
        largest = float(np.abs(vector).max(initial=0.0))
        if not 0.0 < largest < math.inf:
            return largest  # 0, infinite or NaN
        scaled = vector / largest
        return largest * math.sqrt(float(scaled.dot(scaled)))
