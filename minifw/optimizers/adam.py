"""Adam, with decoupled weight decay, and with Nesterov's momentum."""

import math
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from minifw._tools.arrays import finite_squares
from minifw._tools.numbers import check_fraction, check_non_negative, check_positive
from minifw._tools.options import Option, Vector
from minifw.core.optimizer import Group
from minifw.core.parameter import Parameter
from minifw.optimizers._elementwise import Elementwise, Pair, check_pair, over_root
from minifw.typing import Array

__all__ = ["Adam", "AdamW", "NAdam"]


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

    betas = Option(check_pair)
    eps = Option(check_positive)
    _betas: Pair  # what is kept of each
    _eps: float
    m: Array
    v: Array
    _vectors: ClassVar = {"m": Vector(), "v": Vector(squares=True)}
    _accepts = staticmethod(finite_squares)

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        lr: float = 1e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        super().__init__(parameters, lr, weight_decay, no_decay, betas=betas, eps=eps)

    def _prepare(self, option: str) -> None:
        super()._prepare(option)
        if option == "betas":
            self._shares = [self._constant(x) for beta in self.betas for x in (beta, 1 - beta)]

    def update(self, values: Array, grads: Array) -> None:
        """Make the step of the class docstring."""
        root = math.sqrt(1 - self._betas[1] ** (self.steps + 1))
        self._now = self._rate_of_m(self._lr * root), self._eps * root
        super().update(values, grads)

    def _rate_of_m(self, rate: float) -> float:
        """Return `rate`, which is lr r, over the part of m that is not its start."""
        return rate / (1 - self._betas[0] ** (self.steps + 1))

    def rule(self, p: Array, g: Array, s: Array, m: Array, v: Array) -> None:
        """Move p against m, in units of the root of v."""
        beta1, rest1, beta2, rest2 = self._shares
        m *= beta1
        m += np.multiply(g, rest1, s)
        np.multiply(g, g, s)
        s *= rest2
        v *= beta2
        v += s
        over_root(p, m, v, s, self._now)


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
        As in `Adam`.
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
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        *,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        super().__init__(parameters, lr, betas, eps, weight_decay, no_decay=no_decay)


class NAdam(Adam):
    """Adam with Nesterov's momentum: m' looks ahead by one step.

    In step t = 1, 2, ..., with m, v and v' as in `Adam`::

        mu_t  = beta1 (1 - 0.96^(t momentum_decay) / 2)
        m'    = mu_(t+1) m / (1 - mu_1 ... mu_(t+1)) + (1 - mu_t) g / (1 - mu_1 ... mu_t)
        theta <- theta - lr m' / (sqrt(v') + eps)

    Parameters
    ----------
    parameters, betas, eps, weight_decay, no_decay
        As in `Adam`.
    lr : float, default 2e-3
        The learning rate, above 0. All defaults are PyTorch's.
    momentum_decay : float, default 4e-3
        psi, at least 0: how soon mu rises from beta1 / 2 to beta1.

    Attributes
    ----------
    betas, eps, weight_decay, momentum_decay
        As given; they may be assigned later.
    m, v : array of shape (number of elements,)
    mu_product : float
        mu_1 ... mu_t.

    Raises
    ------
    NonFiniteError
        As `Adam` does.

    Notes
    -----
    The paper leaves the schedule of mu open; PyTorch's is the one above. PyTorch's
    ``decoupled_weight_decay`` is left out.

    References
    ----------
    T. Dozat, "Incorporating Nesterov momentum into Adam", 2016, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import NAdam, Parameter
    >>> p = Parameter(np.ones(3))
    >>> optimizer = NAdam([p], lr=0.1)
    >>> p.grad = [100.0, -1e-3, 0.0]
    >>> optimizer.step()
    >>> p.value.round(4)
    array([0.8944, 1.1056, 1.    ])
    """

    momentum_decay = Option(check_non_negative)
    mu_product = Option(check_fraction, counts=True)

    def __init__(  # noqa: PLR0917 - PyTorch's order
        self,
        parameters: Iterable[Parameter | Group],
        lr: float = 2e-3,
        betas: Pair = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        *,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        self.momentum_decay = momentum_decay  # checked before any parameter is moved
        self.mu_product = 1.0
        super().__init__(parameters, lr, betas, eps, weight_decay, no_decay=no_decay)

    def _rate_of_m(self, rate: float) -> float:
        t, psi = self.steps + 1, self.momentum_decay
        mu, ahead = (self._betas[0] * (1 - 0.96 ** (i * psi) / 2) for i in (t, t + 1))
        self.mu_product = product = round(self.mu_product * mu, 30)  # and no subnormal number
        self._share = rate * (1 - mu) / (1 - product)
        rate *= ahead / (1 - product * ahead)
        return rate

    def rule(self, p: Array, g: Array, s: Array, m: Array, v: Array) -> None:
        """Move p against m and against g, in units of the root of v."""
        super().rule(p, g, s, m, v)
        over_root(p, g, v, s, (self._share, self._now[1]))
