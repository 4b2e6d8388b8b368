"""Smooth relatives of the rectifier: x times a gate that opens from 0 to 1, and its integral.

All arrays here have the shape of x. That an exponential, or a product with one, underflows to 0
is right, and no fault.
"""

import math
from typing import ClassVar, Literal

import numpy as np

from minifw._tools.arrays import between
from minifw._tools.numbers import check_positive, finite_in_both
from minifw._tools.options import Option
from minifw.layers._special import SIGMOID_REACH, log1p, normal, sigmoids
from minifw.layers.activations import _Curve
from minifw.typing import Array, Formulas

__all__ = ["GELU", "Mish", "SiLU", "Softplus"]

# The form with tanh: Hendrycks and Gimpel, section 2.
TANH_SCALE = math.sqrt(2 / math.pi)
TANH_CUBIC = 0.044715
# Where that gate is 0 and 1 in float64, with an argument of the sigmoid of at most 50.
TANH_REACH = (-32.0, 8.0)
MISH_REACH = 24.0  # beyond, 1 - t is below 1e-20, and x t' as well


def _form(owner: str, name: str, value: Literal["none", "tanh"]) -> Literal["none", "tanh"]:
    if value not in ("none", "tanh"):
        raise ValueError(f'{owner} expects {name} to be "none" or "tanh", got {value!r}')
    return value


class GELU(_Curve):
    """y = x Phi(x), Phi being the standard normal distribution; dx = dy (Phi(x) + x phi(x)).

    phi(x) = exp(-x^2/2) / sqrt(2 pi) is the derivative of Phi, and the rest the
    product rule. Phi keeps its relative accuracy where it is tiny: there,
    1 + erf(x / sqrt(2)) would round to 0.

    ``approximate="tanh"`` takes another gate in place of Phi,

        G(x) = (1 + tanh(u)) / 2 = s(2u),    u = sqrt(2/pi) (x + 0.044715 x^3),
        G'(x) = 2u' s(2u) s(-2u),            u' = sqrt(2/pi) (1 + 0.134145 x^2),

    s being the sigmoid, which does not cancel as 1 + tanh(u) does: y = x G(x)
    and dx = dy (G(x) + x G'(x)). It differs from the exact form by up to 5e-4.

    Parameters
    ----------
    approximate : "none" (default) or "tanh"
        Which form; PyTorch's name and default. Models that were trained with
        the one should be run with it: GPT-2 is with "tanh", BERT with "none".

    References
    ----------
    D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units (GELUs)", 2016,
    arXiv:1606.08415, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import GELU
    >>> layer = GELU()
    >>> layer.forward(np.array([[-20.0, -1.0, 1.0, 1e30]]))
    array([[-5.50724824e-88, -1.58655254e-01,  8.41344746e-01,
             1.00000000e+30]])
    >>> layer.backward(np.ones((1, 4)))
    array([[-1.10143605e-86, -8.33154706e-02,  1.08331547e+00,
             1.00000000e+00]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} * Phi({x})",
        "dx": "{dy} * (Phi({x}) + {x} * phi({x}))",
    }

    approximate = Option(_form)

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate = approximate

    def _curve(self, x: Array, y: Array, slope: Array) -> None:
        """Set y = x Phi(x) and its slope Phi(x) + x phi(x), or the same with G and G'."""
        if self.approximate == "none":
            gate, density = normal(x)
            np.multiply(x, density, out=slope)
        else:
            gate = _tanh_gate(x, slope)
        slope += gate
        np.multiply(x, gate, out=y)


def _tanh_gate(x: Array, rise: Array) -> Array:
    """Return G(x), and set `rise` to x G'(x)."""
    near = x.clip(*TANH_REACH)
    np.multiply(near, near, out=rise)
    rise *= 2 * TANH_SCALE * TANH_CUBIC
    two_u = rise + 2 * TANH_SCALE
    two_u *= near
    gate, rest = sigmoids(two_u)
    rise *= 3
    rise += 2 * TANH_SCALE  # 2u'
    rise *= near
    rise *= gate
    rise *= rest
    return gate


class SiLU(_Curve):
    """y = x s(x), s being the sigmoid; dx = dy s (1 + x (1 - s)). Also known as swish.

    s' = s (1 - s), and the rest is the product rule: s + x s (1 - s) = s + y (1 - s).

    References
    ----------
    S. Elfwing, E. Uchibe and K. Doya, "Sigmoid-Weighted Linear Units for Neural
    Network Function Approximation in Reinforcement Learning", Neural Networks
    107 (2018), equations 5 and 6. P. Ramachandran, B. Zoph and Q. V. Le,
    "Searching for Activation Functions", 2017, arXiv:1710.05941.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SiLU
    >>> SiLU().forward(np.array([[-100.0, 0.0, 1e4]]))
    array([[-3.72007598e-42,  0.00000000e+00,  1.00000000e+04]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} * sigmoid({x})",
        "dx": "{dy} * s * (1 + {x} * (1 - s)), s = sigmoid({x})",
    }

    def _curve(self, x: Array, y: Array, slope: Array) -> None:
        """Set y = x s, and its slope s + y (1 - s)."""
        np.negative(x, out=slope)
        with np.errstate(over="ignore"):  # where exp(-x) is infinite, s is next to 0
            np.exp(slope, out=slope)
        slope += 1
        np.reciprocal(slope, out=slope)  # s
        np.multiply(x, slope, out=y)
        slope += (1 - slope) * y


class Mish(_Curve):
    """y = x t with t = tanh(log(1 + exp(x))); dx = dy (t + x t').

    With e = exp(x) and n = e (e + 2), which is (1 + e)^2 - 1,

        t = n / (n + 2),    t' = 4 e (e + 1) / (n + 2)^2,

    for tanh(log(z)) is (z^2 - 1) / (z^2 + 1). Nothing is subtracted, so t keeps
    its relative accuracy where it is tiny. From x = 24 on, where t and the slope have
    long rounded to 1, e is left at exp(24).

    References
    ----------
    D. Misra, "Mish: A Self Regularized Non-Monotonic Activation Function", BMVC
    2020, arXiv:1908.08681, equation 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Mish
    >>> Mish().forward(np.array([[-100.0, 0.0, 1e4]]))
    array([[-3.72007598e-42,  0.00000000e+00,  1.00000000e+04]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "{x} * t, t = tanh(log(1 + e^{x}))",
        "dx": "{dy} * (t + {x} * (1 - t^2) * sigmoid({x})), t = tanh(log(1 + e^{x}))",
    }

    def _curve(self, x: Array, y: Array, slope: Array) -> None:
        """Set y = x t, and its slope t + x t'."""
        near = between(x, -math.inf, MISH_REACH)
        e = np.exp(near)
        n = e * (e + 2)
        inverse = 1 / (n + 2)
        t = n * inverse
        np.multiply(x, t, out=y)
        np.add(t, near * e * inverse * (4 * (e + 1) * inverse), out=slope)


class Softplus(_Curve):
    """y = log(1 + exp(b x)) / b, a smooth max(x, 0); dx = dy s(b x), s being the sigmoid.

    With e = exp(b x), the derivative is e / (1 + e) = s(b x). Where b x is above 80, e is
    left at exp(80), so it cannot overflow: y has long rounded to x, which it is never
    below, and the slope to 1.

    Parameters
    ----------
    beta : float, default 1.0
        The sharpness b; PyTorch's name and default. A large one gives nearly ReLU.

    Notes
    -----
    PyTorch's second argument, the threshold above which it returns x to keep
    exp(b x) from overflowing, has no place here: the form above is exact for
    every x.

    References
    ----------
    C. Dugas, Y. Bengio, F. Bélisle, C. Nadeau and R. Garcia, "Incorporating
    Second-Order Functional Knowledge for Better Option Pricing", NIPS 2000.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Softplus
    >>> Softplus().forward(np.array([[-100.0, 0.0, 1e4]]))
    array([[3.72007598e-44, 6.93147181e-01, 1.00000000e+04]])
    """

    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {
        "y": "log(1 + e^({beta} {x})) / {beta}",
        "dx": "{dy} * sigmoid({beta} {x})",
    }

    beta = Option(finite_in_both(check_positive))

    def __init__(self, beta: float = 1.0) -> None:
        self.beta = beta

    def _curve(self, x: Array, y: Array, slope: Array) -> None:
        """Set y = max(x, log(1 + e) / b), and its slope e / (1 + e)."""
        with np.errstate(over="ignore"):  # an infinite b x is as right as a large one
            e = between(x * self.beta, -math.inf, SIGMOID_REACH)
        np.exp(e, out=e)
        np.maximum(x, log1p(e) / self.beta, out=y)
        np.divide(e, 1 + e, out=slope)
