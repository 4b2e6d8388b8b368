"""RMSprop and Adagrad: a learning rate for each element, by the size of its gradients."""

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from minifw._tools.arrays import finite_squares
from minifw._tools.numbers import (
    check_decay_rate,
    check_flag,
    check_non_negative,
    check_normal,
    check_positive,
)
from minifw._tools.options import Option, Vector
from minifw.core.optimizer import Group
from minifw.core.parameter import Parameter
from minifw.optimizers._elementwise import Elementwise, over_root
from minifw.typing import Array

__all__ = ["Adagrad", "RMSprop"]


class RMSprop(Elementwise):
    """The gradient over a running root mean square of it.

    ::

        g     = dtheta + weight_decay theta
        v     <- alpha v + (1 - alpha) g^2        v, a, b start at 0
        a     <- alpha a + (1 - alpha) g          if centered
        r     = sqrt(v) + eps,  or  sqrt(v - a^2) + eps  if centered
        theta <- theta - lr g / r,  or, with momentum,
        b     <- momentum b + g / r,  theta <- theta - lr b

    Parameters
    ----------
    parameters : iterable of Parameter
        ``model.parameters()``.
    lr : float, default 0.01
        The learning rate, above 0. All defaults are PyTorch's.
    alpha : float, default 0.99
        How much of the mean is kept in a step: at least 0 and below 1.
    eps : float, default 1e-8
        Above 0; it keeps the quotient finite.
    weight_decay : float, default 0.0
        The factor of theta that is added to the gradient.
    momentum : float, default 0.0
        At least 0 and below 1.
    centered : bool, default False
        Whether the mean is taken out: r estimates the standard deviation then.
    no_decay : iterable of Parameter, default ()
        Parameters that do not decay; see `biases_and_norms`.

    Attributes
    ----------
    alpha, eps, weight_decay, momentum, centered
        As given; they may be assigned later.
    v : array of shape (number of elements,)
    mean, velocity : array of shape (number of elements,) or None
        a and b; each is made at the first step that uses it.

    Raises
    ------
    NonFiniteError
        By `step`, if a gradient is not finite, or so large that its square may
        overflow; nothing is changed.

    Notes
    -----
    v - a^2 cannot be negative but by rounding, and counts as 0 then. A gradient that
    does not change has no deviation: centered, its step grows towards lr g / eps.

    References
    ----------
    T. Tieleman and G. Hinton, lecture 6.5 of "Neural networks for machine
    learning", 2012; centered: A. Graves, "Generating sequences with recurrent
    neural networks", 2013, equations 38 to 45, with eps outside the root, as PyTorch.

    Examples
    --------
    The first step is lr / sqrt(1 - alpha), for any gradient:

    >>> import numpy as np
    >>> from minifw import Parameter, RMSprop
    >>> p = Parameter(np.ones(2))
    >>> optimizer = RMSprop([p], lr=0.01)
    >>> p.grad = [100.0, -0.1]
    >>> optimizer.step()
    >>> p.value.round(6)
    array([0.9, 1.1])
    """

    alpha = Option(check_decay_rate)
    eps = Option(check_positive)
    momentum = Option(check_decay_rate)
    centered = Option(check_flag)
    v: Array
    mean: Array | None
    velocity: Array | None
    _vectors: ClassVar = {
        "v": Vector(squares=True),
        "mean": Vector(when="centered"),
        "velocity": Vector(when="momentum"),
    }
    _accepts = staticmethod(finite_squares)

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        *,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        own = {"alpha": alpha, "eps": eps, "momentum": momentum, "centered": centered}
        super().__init__(parameters, lr, weight_decay, no_decay, **own)

    def rule(self, p: Array, g: Array, s: Array, *state: Any) -> None:
        """Move p against g, or its momentum, in units of its root mean square."""
        (v, a, b), alpha = state, self.alpha
        np.multiply(g, g, s)
        s *= 1 - alpha
        v *= alpha
        v += s
        if a is None:
            np.sqrt(v, s)
        else:
            a *= alpha
            a += np.multiply(g, 1 - alpha, s)
            np.subtract(v, np.multiply(a, a, s), s)
            np.sqrt(np.maximum(s, 0, out=s), s)
        s += self.eps
        np.divide(g, s, s)
        if b is not None:
            b *= self.momentum
            b += s
        p -= np.multiply(s if b is None else b, self._rate, s)


class Adagrad(Elementwise):
    """The gradient over the root of the sum of all its squares so far.

    In step t = 1, 2, ...::

        g     = dtheta + weight_decay theta
        v     <- v + g^2                          v starts at initial_accumulator_value
        theta <- theta - lr / (1 + (t - 1) lr_decay) * g / (sqrt(v) + eps)

    Parameters
    ----------
    parameters : iterable of Parameter
        ``model.parameters()``.
    lr : float, default 0.01
        The learning rate, above 0. All defaults are PyTorch's.
    lr_decay : float, default 0.0
        At least 0.
    weight_decay : float, default 0.0
        The factor of theta that is added to the gradient.
    initial_accumulator_value : float, default 0.0
        At least 0.
    eps : float, default 1e-10
        Above 0; it keeps the quotient finite.
    no_decay : iterable of Parameter, default ()
        Parameters that do not decay; see `biases_and_norms`.

    Attributes
    ----------
    lr_decay, weight_decay, eps
        As given; they may be assigned later.
    v : array of shape (number of elements,)

    Raises
    ------
    NonFiniteError
        By `step`, if a gradient is not finite, or so large that a sum of its squares
        may overflow; nothing is changed.

    References
    ----------
    J. Duchi, E. Hazan and Y. Singer, "Adaptive subgradient methods for online
    learning and stochastic optimization", 2011, figure 1, with diagonal matrices.

    Examples
    --------
    Under a constant gradient the steps are lr, lr / sqrt(2), lr / sqrt(3) and so on:

    >>> import numpy as np
    >>> from minifw import Adagrad, Parameter
    >>> p = Parameter(np.zeros(1))
    >>> optimizer = Adagrad([p], lr=1.0)
    >>> p.grad = [-5.0]
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     print(p.value.round(4))
    [1.]
    [1.7071]
    [2.2845]
    """

    lr_decay = Option(check_non_negative)
    eps = Option(check_positive)
    v: Array
    _vectors: ClassVar = {"v": Vector(squares=True, fades=False)}
    _accepts = staticmethod(finite_squares)

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        lr: float = 0.01,
        *,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        name = type(self).__name__
        initial = check_non_negative(name, "initial_accumulator_value", initial_accumulator_value)
        super().__init__(parameters, lr, weight_decay, no_decay, lr_decay=lr_decay, eps=eps)
        self.v += check_normal(name, "initial_accumulator_value", initial, self.v.dtype)

    def update(self, values: Array, grads: Array) -> None:
        """Make the step of the class docstring."""
        self._now = self._lr / (1 + self.steps * self.lr_decay), self.eps
        super().update(values, grads)

    def rule(self, p: Array, g: Array, s: Array, v: Array) -> None:
        """Move p against g, in units of the root of v."""
        v += np.multiply(g, g, s)
        over_root(p, g, v, s, self._now)
