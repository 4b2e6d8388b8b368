"""Adam, and Adam with decoupled weight decay."""

import math
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from minifw._tools.arrays import finite_squares
from minifw._tools.numbers import check_decay_rate, check_positive
from minifw._tools.options import Option, Vector
from minifw.core.optimizer import Group
from minifw.core.parameter import Parameter
from minifw.optimizers._elementwise import Elementwise
from minifw.typing import Array

__all__ = ["Adam", "AdamW"]


def _pair(owner: str, name: str, value: tuple[float, float]) -> tuple[float, float]:
    """Return `value` as two floats, or raise unless both are at least 0 and below 1."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{owner} expects {name} to be a pair of numbers, got {value!r}")
    first, second = (check_decay_rate(owner, f"{name}[{i}]", value[i]) for i in (0, 1))
    return first, second


class Adam(Elementwise):
    """Steps of about lr in every element, by running means of the gradient and of its square.

    In step t = 1, 2, ..., with all operations by element::

        g     = dtheta + weight_decay theta
        m     <- beta1 m + (1 - beta1) g          m, v start at 0
        v     <- beta2 v + (1 - beta2) g^2
        theta <- theta - lr m' / (sqrt(v') + eps)
                 m' = m / (1 - beta1^t),  v' = v / (1 - beta2^t)

    Parameters
    ----------
    parameters : iterable of Parameter
        ``model.parameters()``.
    lr : float, default 1e-3
        The learning rate, above 0. The paper's default, as the next two.
    betas : pair of float, default (0.9, 0.999)
        beta1 and beta2, at least 0 and below 1.
    eps : float, default 1e-8
        Above 0; it keeps the quotient finite. It is added to sqrt(v') as in the
        paper's algorithm 1 and in PyTorch.
    weight_decay : float, default 0.0
        The factor of theta that is added to the gradient. It is then scaled like the
        gradient: see `AdamW`.
    no_decay : iterable of Parameter, default ()
        Parameters that do not decay; see `biases_and_norms`.

    Attributes
    ----------
    betas, eps, weight_decay
        As given; they may be assigned later.
    m, v : array of shape (number of elements,)

    Raises
    ------
    NonFiniteError
        By `step`, if a gradient is not finite, or so large that its square may
        overflow; nothing is changed.

    Notes
    -----
    What is computed is the formula with its fraction expanded by r = sqrt(1 - beta2^t),
    which saves two passes: lr r / (1 - beta1^t) * m / (sqrt(v) + eps r). Long vectors are
    updated in blocks that stay in the cache; nothing is allocated in a step.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", 2015,
    algorithm 1.

    Examples
    --------
    The first step is lr for any gradient, large or small:

    >>> import numpy as np
    >>> from minifw import Adam, Parameter
    >>> p = Parameter(np.ones(3))
    >>> optimizer = Adam([p], lr=0.1)
    >>> p.grad = [100.0, -1e-3, 0.0]
    >>> optimizer.step()
    >>> p.value.round(4)
    array([0.9, 1.1, 1. ])
    """

    betas = Option(_pair)
    eps = Option(check_positive)
    _betas: tuple[float, float]  # what is kept of each
    _eps: float
    m: Array
    v: Array
    _vectors: ClassVar = {"m": Vector(), "v": Vector(squares=True)}
    _accepts = staticmethod(finite_squares)

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        self.betas = betas  # checked, as the others, before any parameter is moved
        self.eps = eps
        super().__init__(parameters, lr, weight_decay, no_decay)

    def _prepare(self, option: str) -> None:
        super()._prepare(option)
        if option == "betas":
            self._shares = [self._constant(x) for beta in self.betas for x in (beta, 1 - beta)]

    def update(self, values: Array, grads: Array) -> None:
        """Make the step of the class docstring."""
        beta1, beta2 = self._betas
        t = self.steps + 1
        root = math.sqrt(1 - beta2**t)
        self._now = self._lr * root / (1 - beta1**t), self._eps * root
        super().update(values, grads)

    def rule(self, p: Array, g: Array, s: Array, m: Array, v: Array) -> None:
        """Move p against m, in units of the root of v."""
        beta1, rest1, beta2, rest2 = self._shares
        rate, eps = self._now
        m *= beta1
        m += np.multiply(g, rest1, s)
        np.multiply(g, g, s)
        s *= rest2
        v *= beta2
        v += s
        np.sqrt(v, s)
        s += eps
        np.divide(m, s, s)
        s *= rate
        p -= s


class AdamW(Adam):
    """Adam whose weight decay is a step of its own, and not a part of the gradient.

    ::

        theta <- theta - lr weight_decay theta
        theta <- theta - lr m' / (sqrt(v') + eps)      as in `Adam`, with g = dtheta

    In `Adam` the decay is divided by sqrt(v'): weights with large gradients decay
    less. Here all decay alike.

    Parameters
    ----------
    parameters, lr, betas, eps
        As those of `Adam`.
    weight_decay : float, default 0.01
        PyTorch's default; lr times it is the share that each weight loses in a step.
    no_decay : iterable of Parameter, default ()
        Parameters that do not decay; see `biases_and_norms`.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", 2019,
    algorithm 2. There the decay is not multiplied by lr, but by a schedule's factor
    of it; PyTorch multiplies by lr, and so does this.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import AdamW, Parameter
    >>> weight, bias = Parameter(np.ones(2)), Parameter(np.ones(2))
    >>> optimizer = AdamW([weight, bias], lr=0.1, weight_decay=0.5, no_decay=[bias])
    >>> optimizer.step()
    >>> weight.value, bias.value
    (array([0.95, 0.95]), array([1., 1.]))
    """

    _decoupled = True

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay, no_decay=no_decay)
