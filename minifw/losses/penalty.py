"""Penalties: functions of parameters that are added to a loss."""

import math
from collections.abc import Iterable

import numpy as np

from minifw._engine.packing import check_parameters
from minifw._tools.numbers import check_flag, check_non_negative
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.core.loss import Penalty
from minifw.core.parameter import Parameter
from minifw.errors import NonFiniteError

__all__ = ["L1", "L2"]


class _OfWeights(Penalty):
    """The rate, times a sum over the elements of weights."""

    rate = Option(check_non_negative)

    def __init__(
        self, parameters: Layer | Iterable[Parameter], rate: float, *, biases: bool = False
    ) -> None:
        name = type(self).__name__
        self._of: Layer | tuple[Parameter, ...] = (
            parameters if isinstance(parameters, Layer) else check_parameters(name, parameters)
        )
        self.rate = rate
        self._biases = check_flag(name, "biases", biases)

    def parameters(self) -> list[Parameter]:
        """Return those that it is of: each once, without frozen ones."""
        of = self._of
        found = [p for _, p in of.named_parameters()] if isinstance(of, Layer) else of
        fit = [p for p in found if self._biases or p.value.ndim > 1]
        if not fit:
            raise ValueError(
                f"{self!r} expects at least one weight of two or more axes, got none; with "
                "biases=True all parameters count"
            )
        return [p for p in fit if not p.frozen]

    def _total(self, cost: np.ufunc) -> float:
        """Return the rate times the sum of what each element costs, taken in float64."""
        with np.errstate(over="ignore", invalid="ignore"):
            costs = [cost(p.value, dtype=np.float64).sum() for p in self.parameters()]
            value = self.rate * float(sum(costs))
        if not math.isfinite(value):
            raise NonFiniteError(f"{self!r}: the penalty is {value}")
        return value


class L2(_OfWeights):
    """Half the squares of the weights: they shrink in proportion to their size.

        L2 = rate / 2 sum(theta^2),    dL2/dtheta = rate theta.

    It is what `SGD(weight_decay=rate)` adds to the gradient, but counts in the loss as well.

    Parameters
    ----------
    parameters : Layer, or iterable of Parameter
        Parameters of two axes or more count, each once, and no frozen ones. A layer is asked for
        them at each call: a parameter that is replaced or frozen later is followed.
    rate : float
        Finite and at least 0.
    biases : bool, default False
        Whether parameters of one axis count as well: biases, and the scales of norms.

    Attributes
    ----------
    rate : float

    References
    ----------
    Krogh and Hertz, "A Simple Weight Decay Can Improve Generalization", 1991, equation 2.

    Examples
    --------
    >>> from minifw import Dense, L2
    >>> layer = Dense(2, 1)
    >>> layer.weight.value = [[3.0, -4.0]]
    >>> penalty = L2(layer, rate=0.1)
    >>> penalty.forward()
    1.25
    >>> penalty.backward()
    >>> layer.weight.grad
    array([[ 0.3, -0.4]])
    """

    def forward(self) -> float:
        """Return rate / 2 sum(theta^2)."""
        return self._total(np.square) / 2

    def backward(self) -> None:
        """Add rate theta to each gradient."""
        for p in self.parameters():
            p.grad[...] += self.rate * p.value


class L1(_OfWeights):
    """The amounts of the weights: small ones are pulled to 0 as strongly as large ones.

        L1 = rate sum(|theta|),    dL1/dtheta = rate sign(theta),

    and 0, which is one of the slopes there, where theta = 0.

    Parameters
    ----------
    parameters : Layer, or iterable of Parameter
        Parameters of two axes or more count, each once, and no frozen ones. A layer is asked for
        them at each call: a parameter that is replaced or frozen later is followed.
    rate : float
        Finite and at least 0.
    biases : bool, default False
        Whether parameters of one axis count as well: biases, and the scales of norms.

    Attributes
    ----------
    rate : float

    References
    ----------
    Tibshirani, "Regression Shrinkage and Selection via the Lasso", 1996, in the form with a
    penalty in place of a bound.

    Examples
    --------
    >>> from minifw import Dense, L1
    >>> layer = Dense(2, 1)
    >>> layer.weight.value = [[3.0, -4.0]]
    >>> penalty = L1(layer, rate=0.5)
    >>> penalty.forward()
    3.5
    >>> penalty.backward()
    >>> layer.weight.grad
    array([[ 0.5, -0.5]])
    """

    def forward(self) -> float:
        """Return rate sum(|theta|)."""
        return self._total(np.abs)

    def backward(self) -> None:
        """Add rate sign(theta) to each gradient."""
        for p in self.parameters():
            p.grad[...] += self.rate * np.sign(p.value)
