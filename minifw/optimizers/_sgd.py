"""Gradient descent."""

from collections.abc import Iterable

from minifw._core.parameter import Parameter
from minifw._core.typing import Array
from minifw.optimizers._optimizer import Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent, theta <- theta - lr dtheta; stochastic when fed with batches.

    Parameters
    ----------
    parameters : iterable of Parameter
        ``model.parameters()``.
    lr : float
        The learning rate, above 0; the notes use 1.2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> p = Parameter(np.array([1.0, 2.0]))
    >>> optimizer = SGD([p], lr=0.1)
    >>> p.grad = [10.0, 0.0]
    >>> optimizer.step()
    >>> p.value
    array([0., 2.])
    """

    def __init__(self, parameters: Iterable[Parameter], lr: float) -> None:
        super().__init__(parameters, lr)

    def update(self, values: Array, grads: Array) -> None:
        """Subtract lr times the gradient."""
        values -= self._rate * grads
