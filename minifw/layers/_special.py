"""Functions that NumPy lacks, or takes long for: each of all elements of an array."""

import math

import numpy as np

from minifw._tools.arrays import between
from minifw.typing import Array

__all__ = ["expm1", "log1p", "normal", "sigmoids"]

# Rational approximations of Phi(x) to 18 digits: W. J. Cody, "Rational Chebyshev approximations
# for the error function", Mathematics of Computation 23 (1969), 631-637, rescaled from erf to
# Phi in his ANORM (Algorithm 715, ACM Transactions on Mathematical Software 19 (1993), 22-32).
# Coefficients of the highest power first.
INNER = 0.66291  # below: Phi(-a) = 1/2 - a R(a^2)
OUTER = math.sqrt(32)  # up to here: Phi(-a) = exp(-a^2/2) R(a)
# fmt: off
INNER_RATIO = (
    (6.5682337918207449113e-2, 2.2352520354606839287, 1.6102823106855587881e2,
     1.0676894854603709582e3, 1.8154981253343561249e4),
    (1.0, 4.7202581904688241870e1, 9.7609855173777669322e2,
     1.0260932208618978205e4, 4.5507789335026729956e4),
)
MIDDLE_RATIO = (
    (1.0765576773720192317e-8, 3.9894151208813466764e-1, 8.8831497943883759412,
     9.3506656132177855979e1, 5.9727027639480026226e2, 2.4945375852903726711e3,
     6.8481904505362823326e3, 1.1602651437647350124e4, 9.8427148383839780218e3),
    (1.0, 2.2266688044328115691e1, 2.3538790178262499861e2,
     1.5193775994075548050e3, 6.4855582982667607550e3, 1.8615571640885098091e4,
     3.4900952721145977266e4, 3.8912003286093271411e4, 1.9685429676859990727e4),
)
OUTER_RATIO = (  # beyond: Phi(-a) = exp(-a^2/2) / a (1/sqrt(2 pi) - R(1/a^2) / a^2)
    (2.3073441764940173030e-2, 2.1589853405795699000e-1, 1.2740116116024736390e-1,
     2.2235277870649807000e-2, 1.4216191932278934660e-3, 2.9112874951168792000e-5),
    (1.0, 1.2842600961449112100, 4.6823821248086511800e-1,
     6.5988137868928551500e-2, 3.7823963320275824400e-3, 7.2975155508396620500e-5),
)
SINGLE_RATIO = (  # of float32: Phi(-a) = exp(-a^2/2) R(a) for every a, to 1/20 of its epsilon
    (0.3989469103, 3.938118127, 17.75891305, 42.47899579, 48.45939166),
    (1.0, 9.872023091, 45.50048629, 116.5450862, 162.2880327, 96.91878274),
)
# fmt: on
NOWHERE = 40.0  # exp(-a^2/2) is 0 there in float64, whose smallest number is exp(-745)
GRID = 16.0  # a multiple of 1/16 below 40 has at most 10 bits, so its square is exact
PEAK = 1 / math.sqrt(2 * math.pi)  # phi(0)

SMALL = 2.0**-120  # beside 1 it is nothing, and it has a logarithm
SIGMOID_REACH = 80.0  # exp of it is finite in float32, and s(-80) far below the last digit of 1


def normal(x: Array) -> tuple[Array, Array]:
    """Return Phi(x), the standard normal distribution, and its density phi(x).

    Both keep their relative accuracy, a few units in the last place, down to the
    smallest normal number. Neither erf nor erfc is taken on the way: Phi(x) is
    erfc(-x / sqrt(2)) / 2, but x / sqrt(2), rounded, costs x^2 units out in the
    tail. For the same reason a^2 is split before it is an exponent, as in
    Cody's program: with g = a rounded to a grid on which g^2 is exact,

        a^2/2 = g^2/2 + (a - g)(a + g)/2.

    What the sum loses in rounding, d, comes back as exp(s) (1 + d): a second
    exponential, as Cody has, takes longer.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw.layers._special import normal
    >>> normal(np.array([-10.0, 0.0, 1e30]))[0]
    array([7.61985302e-24, 5.00000000e-01, 1.00000000e+00])
    """
    a = np.abs(x)  # all arrays here have the shape of x
    np.minimum(a, NOWHERE, out=a)
    g = np.trunc(a * GRID) / GRID
    exact, rest = g * g * -0.5, (g - a) * (g + a) * 0.5
    exponent = exact + rest
    gauss = np.exp(exponent)
    gauss += gauss * (rest - (exponent - exact))

    tail = _tail(a, gauss) if x.dtype == np.float64 else gauss * _ratio(SINGLE_RATIO, a)
    tail -= x > 0  # Phi(x) is Phi(-a) or 1 - Phi(-a)
    gauss *= PEAK
    return np.abs(tail, out=tail), gauss


def _tail(a: Array, gauss: Array) -> Array:
    """Return Phi(-a) for a of at least 0, given exp(-a^2/2)."""
    # Two ratios for every element are faster than to part the elements in two.
    tail = np.where(
        a < INNER, 0.5 - a * _ratio(INNER_RATIO, a * a), gauss * _ratio(MIDDLE_RATIO, a)
    )
    outer = a > OUTER
    if outer.any():  # which is rare
        far = a[outer]
        inverse = 1 / (far * far)
        tail[outer] = gauss[outer] / far * (PEAK - inverse * _ratio(OUTER_RATIO, inverse))
    return tail


def _ratio(coefficients: tuple[tuple[float, ...], tuple[float, ...]], t: Array) -> Array:
    """Return the ratio of two polynomials."""
    above, below = coefficients
    numerator = _polynomial(above, t)
    numerator /= _polynomial(below, t)
    return numerator


def _polynomial(coefficients: tuple[float, ...], t: Array) -> Array:
    """Return a polynomial, by Horner's rule."""
    leading, *middle, last = coefficients
    value = leading * t
    for coefficient in middle:
        value += coefficient
        value *= t
    value += last
    return value


def sigmoids(x: Array) -> tuple[Array, Array]:
    """Return s(x) and s(-x) = 1 - s(x), s being the sigmoid: both accurate where they are tiny.

    With e = exp(x) they are e / (1 + e) and 1 / (1 + e). x is at most 80, so e is
    finite: who has a larger one takes 80 in its place.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw.layers._special import sigmoids
    >>> sigmoids(np.array([0.0, -100.0]))
    (array([5.00000000e-01, 3.72007598e-44]), array([0.5, 1. ]))
    """
    e = np.exp(x)  # all arrays here have the shape of x
    rest = 1 + e
    np.reciprocal(rest, out=rest)
    e *= rest
    return e, rest


def expm1(x: Array, e: Array) -> Array:
    """Return exp(x) - 1 to all digits, for x of at most 0, given e = exp(x).

    e was rounded: exp(x) is e exp(r) with r = x - log(e), and as r is small, e (1 + r). So
    exp(x) - 1 = (e - 1) + e r. NumPy takes 9 to 18 ns a number where it has no vector form of
    expm1, and this 3 ns in float32 and 7 in float64.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw.layers._special import expm1
    >>> x = np.array([-1e-20, -1e4])
    >>> expm1(x, np.exp(x))
    array([-1.e-20, -1.e+00])
    """
    lost: Array = x - np.log(between(e, SMALL, 1))
    return (e - 1) + e * lost


def log1p(x: Array) -> Array:
    """Return log(1 + x) to all digits, for x of at least 0.

    What u = 1 + x lost in rounding, x - (u - 1), has the slope 1 / u. NumPy takes 12 ns a number
    where it has no vector form of log1p, and this 4 ns.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw.layers._special import log1p
    >>> log1p(np.array([1e-20, 1.0]))
    array([1.00000000e-20, 6.93147181e-01])
    """
    u: Array = 1 + x
    return np.log(u) + (x - (u - 1)) / u
