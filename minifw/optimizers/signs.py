"""Lion and Rprop: steps by the sign of a gradient, and not by its size."""

from collections.abc import Iterable
from functools import partial
from typing import ClassVar

import numpy as np

from minifw._tools.numbers import check_positive
from minifw._tools.options import Option, Vector
from minifw.core.optimizer import Group
from minifw.core.parameter import Parameter
from minifw.optimizers._elementwise import Elementwise, Pair, check_pair
from minifw.typing import Array

__all__ = ["Lion", "Rprop"]


class Lion(Elementwise):
    """Steps of lr in every element, by the sign of a running mean of the gradient.

    ::

        theta <- theta - lr weight_decay theta
        theta <- theta - lr sign(beta1 m + (1 - beta1) g)      g = dtheta
        m     <- beta2 m + (1 - beta2) g                       m starts at 0

    Parameters
    ----------
    parameters : iterable of Parameter
        ``model.parameters()``.
    lr : float, default 1e-4
        The learning rate, above 0. The authors take a third to a tenth of AdamW's.
    betas : pair of float, default (0.9, 0.99)
        beta1 and beta2, at least 0 and below 1.
    weight_decay : float, default 0.0
        Decoupled, as in `AdamW`: lr times it is the share that each weight loses in a
        step. The authors take three to ten times AdamW's.
    no_decay : iterable of Parameter, default ()
        Parameters that do not decay; see `biases_and_norms`.

    Attributes
    ----------
    betas, weight_decay
        As given; they may be assigned later.
    m : array of shape (number of elements,)

    Notes
    -----
    A sign needs no second moment: the state is half of Adam's. The noise of a sign does
    not shrink with the gradient; the paper found it better in large batches only. PyTorch
    has no Lion; defaults and order are as in the authors' own code.

    References
    ----------
    X. Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Lion, Parameter
    >>> p = Parameter(np.ones(3))
    >>> optimizer = Lion([p], lr=0.1)
    >>> p.grad = [100.0, -1e-3, 0.0]
    >>> optimizer.step()
    >>> p.value
    array([0.9, 1.1, 1. ])
    """

    betas = Option(check_pair)
    _betas: Pair  # what is kept of it
    m: Array
    _vectors: ClassVar = {"m": Vector()}
    _decoupled = True

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        lr: float = 1e-4,
        betas: Pair = (0.9, 0.99),
        weight_decay: float = 0.0,
        *,
        no_decay: Iterable[Parameter] = (),
    ) -> None:
        super().__init__(parameters, lr, weight_decay, no_decay, betas=betas)

    def rule(self, p: Array, g: Array, s: Array, m: Array) -> None:
        """Move p by lr against the sign of a mean of m and g."""
        beta1, beta2 = self._betas
        d = self._scratch[1][: s.size]  # free, as a decoupled decay takes the first only
        np.multiply(m, beta1, s)
        s += np.multiply(g, 1 - beta1, d)
        np.sign(s, s)
        s *= self._rate
        p -= s
        m *= beta2
        m += np.multiply(g, 1 - beta2, d)


def _rising(owner: str, name: str, value: Pair, over: float = 0.0) -> Pair:
    """Return two numbers above 0, or raise unless the second is above the first and `over`."""
    low, high = check_pair(owner, name, value, check_positive)
    if not low < (over or high) <= high:
        around = f", below and above {over:g}" if over else ""
        raise ValueError(f"{owner} expects {name} to rise{around}, got {value!r}")
    return low, high


class Rprop(Elementwise):
    """A step size for each element, by whether its gradient keeps its sign.

    With s the step sizes, which start at lr, (a, b) = etas and [low, high] = step_sizes::

        g h > 0:   s <- min(b s, high)                  h is the g of the step before
        g h < 0:   s <- max(a s, low),  then g <- 0     it went too far: a pause
        theta <- theta - s sign(g)

    Parameters
    ----------
    parameters : iterable of Parameter
        ``model.parameters()``.
    lr : float, default 1e-2
        The first step size, above 0. All defaults are PyTorch's.
    etas : pair of float, default (0.5, 1.2)
        a and b: the first above 0 and below 1, the second above 1.
    step_sizes : pair of float, default (1e-6, 50)
        low and high, above 0.

    Attributes
    ----------
    etas, step_sizes
        As given; they may be assigned later.
    step_size : array of shape (number of elements,)
        s. An lr that is assigned after the first step has no effect.
    direction : array of shape (number of elements,)
        The sign of h; 0 after a pause.

    Notes
    -----
    It is for full batches, as in ``objective.forward(x, y)`` on all data: the sign of the
    gradient of a small batch changes by chance, and each change halves a step. PyTorch
    keeps h itself; only its sign counts.

    References
    ----------
    M. Riedmiller and H. Braun, "A direct adaptive method for faster backpropagation
    learning: the RPROP algorithm", 1993; the pause without going back is from C. Igel and M.
    Huesken, "Improving the Rprop learning algorithm", 2000, iRprop-.

    Examples
    --------
    The third step finds that the second went too far, and pauses:

    >>> import numpy as np
    >>> from minifw import Parameter, Rprop
    >>> p = Parameter(np.ones(1))
    >>> optimizer = Rprop([p], lr=0.1)
    >>> for slope in (5.0, 3.0, -1.0, -1.0):
    ...     p.grad = [slope]
    ...     optimizer.step()
    ...     print(p.value.round(4))
    [0.9]
    [0.78]
    [0.78]
    [0.84]
    """

    etas = Option(partial(_rising, over=1.0))
    step_sizes = Option(_rising)
    step_size: Array
    direction: Array
    _vectors: ClassVar = {
        "step_size": Vector(squares=True, fades=False),
        "direction": Vector(fades=False),
    }
    declared = "lr"  # it is a first step only

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        lr: float = 1e-2,
        etas: Pair = (0.5, 1.2),
        step_sizes: Pair = (1e-6, 50),
    ) -> None:
        super().__init__(parameters, lr, 0.0, (), etas=etas, step_sizes=step_sizes)
        # The learning rates of groups are first steps, too: no later step is scaled by them.
        self._factors = vars(self).pop("lr_factors", 1.0)

    def update(self, values: Array, grads: Array) -> None:
        """Make the step of the class docstring."""
        if not self.steps:
            self.step_size[...] = self._lr * self._factors
        super().update(values, grads)

    def rule(self, p: Array, g: Array, s: Array, size: Array, direction: Array) -> None:
        """Move p by its step size against the sign of g, unless that has turned."""
        np.sign(g, s)
        direction *= s
        turned = direction < 0
        for eta, where in zip(self.etas, (turned, direction > 0), strict=True):
            np.multiply(size, eta, size, where=where)
        np.clip(size, *self.step_sizes, out=size)
        s[turned] = 0
        direction[...] = s
        s *= size
        p -= s

    def _check_fits(self, name: str, value: object) -> None:
        for one in value if isinstance(value, tuple) else (value,):
            super()._check_fits(name, one)
