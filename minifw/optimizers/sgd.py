"""Gradient descent, plain and with momentum."""

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from minifw._tools.numbers import check_decay_rate, check_flag
from minifw._tools.options import Option, Vector
from minifw.core.optimizer import Group
from minifw.core.parameter import Parameter
from minifw.optimizers._elementwise import Elementwise
from minifw.typing import Array

__all__ = ["SGD"]


class SGD(Elementwise):
    """Gradient descent, theta <- theta - lr dtheta; stochastic when fed with batches.

    With momentum and weight decay, as PyTorch does it::

        g     = dtheta + weight_decay theta
        v     <- momentum v + g              v starts at 0
        theta <- theta - lr v                or lr (g + momentum v) if nesterov

    Parameters
    ----------
    parameters : iterable of Parameter
        ``model.parameters()``.
    lr : float
        The learning rate, above 0; the notes use 1.2.
    momentum : float, default 0.0
        At least 0 and below 1; what of the last step is kept.
    nesterov : bool, default False
        Whether the gradient counts as if taken after the momentum's part of the
        step. It needs a momentum.
    weight_decay : float, default 0.0
        The factor of theta that is added to the gradient, the derivative of ``weight_decay / 2 *
        sum(theta^2)``.
    no_decay : iterable of Parameter, default ()
        Parameters that do not decay; see `biases_and_norms`.

    Attributes
    ----------
    momentum, nesterov, weight_decay
        As given; they may be assigned later.
    velocity : array of shape (number of elements,) or None
        v; made at the first step with momentum.

    Notes
    -----
    The defaults are PyTorch's. Its ``dampening``, a factor 1 - dampening of g, is
    left out: it is 0 in what is published, and a smaller lr does the same.

    References
    ----------
    B. T. Polyak, "Some methods of speeding up the convergence of iteration
    methods", 1964, equation 9. I. Sutskever, J. Martens, G. Dahl and G. Hinton, "On
    the importance of initialization and momentum in deep learning", 2013,
    equations 1 to 4, with lr taken out of v.

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

    A constant gradient is followed ever faster, up to 1 / (1 - momentum) times:

    >>> p = Parameter(np.zeros(1))
    >>> optimizer = SGD([p], lr=0.1, momentum=0.5)
    >>> p.grad = [-1.0]
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     print(p.value)
    [0.1]
    [0.25]
    [0.425]
    """

    momentum = Option(check_decay_rate)
    nesterov = Option(check_flag)
    velocity: Array | None
    _momentum: float  # where `Option` keeps momentum
    _vectors: ClassVar = {"velocity": Vector(when="momentum")}

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        lr: float,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        self.momentum = momentum  # checked, as the others, before any parameter is moved
        self.nesterov = nesterov
        if nesterov and not momentum:
            raise ValueError(
                f"{type(self).__name__} expects a momentum above 0 with nesterov, got {momentum!r}"
            )
        super().__init__(parameters, lr, weight_decay, no_decay)

    def _prepare(self, option: str) -> None:
        super()._prepare(option)
        if option == "momentum":
            self._share = self._constant(self.momentum)

    def update(self, values: Array, grads: Array) -> None:
        """Subtract lr times the gradient, or times the velocity."""
        step = self._scratch[0]  # room for a product; of a long vector only for a block of it
        if step.size == values.size and not (self._momentum or self._weight_decay):
            values -= np.multiply(grads, self._rate, step)
        else:
            super().update(values, grads)

    def rule(self, p: Array, g: Array, s: Array, v: Array | None = None) -> None:
        """Subtract lr times the gradient g, or times the velocity v; s is scratch."""
        if v is not None:
            v *= self._share
            v += g
            g = np.add(np.multiply(v, self._share, s), g, s) if self.nesterov else v
        p -= np.multiply(g, self._rate, s)
