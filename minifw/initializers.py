"""How the weights of a layer start: a call with a shape and a generator gives an array.

``fan_in`` and ``fan_out`` are the numbers of inputs and outputs of one unit. A
weight has the shape (out, in) or (out, in, *kernel), as in PyTorch, so
fan_in = in * prod(kernel) and fan_out = out * prod(kernel).
"""

import math
from abc import ABC, abstractmethod

import numpy as np

from minifw._tools.arguments import KeepsArguments
from minifw._tools.numbers import check_finite_number, check_non_negative, check_positive
from minifw.typing import Array, Generator, Shape

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Initializer",
    "LecunNormal",
    "Normal",
    "Ones",
    "Uniform",
    "Zeros",
]


class Initializer(KeepsArguments, ABC):
    """What the initializers here have in common; any function of (shape, rng) serves as well.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, Initializer
    >>> class Identity(Initializer):
    ...     '''1 on the diagonal, else 0.'''
    ...     def __call__(self, shape, rng):
    ...         return np.eye(*shape)
    >>> Dense(2, 2, init=Identity()).weight.value
    array([[1., 0.],
           [0., 1.]])
    """

    @abstractmethod
    def __call__(self, shape: Shape, rng: Generator) -> Array:
        """Return a float64 array of `shape`, drawn from `rng` if it is random."""


class Constant(Initializer):
    """Every element is `value`.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Constant
    >>> Constant(0.5)((2, 2), np.random.default_rng(0))
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """

    def __init__(self, value: float) -> None:
        self.value = check_finite_number(type(self).__name__, "value", value)

    def __call__(self, shape: Shape, rng: Generator) -> Array:  # noqa: ARG002
        """Return the array."""
        return np.full(shape, self.value)


class Zeros(Constant):
    """Every element is 0: right for a bias; weights of 0 would keep all units alike.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Zeros
    >>> rng = np.random.default_rng(0)
    >>> Zeros()((3,), rng)
    array([0., 0., 0.])
    """

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """Every element is 1: right for a scale.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Ones
    >>> rng = np.random.default_rng(0)
    >>> Ones()((3,), rng)
    array([1., 1., 1.])
    """

    def __init__(self) -> None:
        super().__init__(1.0)


class Normal(Initializer):
    """Normal with mean 0 and standard deviation `std`; 0.01 is what the notes use.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Normal
    >>> Normal(std=0.01)((2, 3), np.random.default_rng(0)).shape
    (2, 3)
    """

    def __init__(self, std: float = 0.01) -> None:
        self.std = check_non_negative("Normal", "std", std)

    def __call__(self, shape: Shape, rng: Generator) -> Array:
        """Return the array."""
        return rng.standard_normal(shape) * self.std


class Uniform(Initializer):
    """Uniform between -`bound` and `bound`.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Uniform
    >>> rng = np.random.default_rng(0)
    >>> bool(abs(Uniform(0.1)((100, 100), rng)).max() <= 0.1)
    True
    """

    def __init__(self, bound: float) -> None:
        self.bound = check_positive("Uniform", "bound", bound)

    def __call__(self, shape: Shape, rng: Generator) -> Array:
        """Return the array."""
        return rng.uniform(-self.bound, self.bound, shape)


class GlorotUniform(Initializer):
    """Uniform with variance 2 / (fan_in + fan_out); the default of `Dense`.

    It keeps the variance of activations and of gradients about the same from
    layer to layer where the activation is near the identity around 0, as tanh
    is. The bound is sqrt(6 / (fan_in + fan_out)): Glorot and Bengio,
    "Understanding the difficulty of training deep feedforward neural networks",
    AISTATS 2010, equation 16.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import GlorotUniform
    >>> rng = np.random.default_rng(0)
    >>> weight = GlorotUniform()((100, 300), rng)  # 300 inputs, 100 outputs
    >>> bool(np.isclose(weight.var(), 2 / (300 + 100), rtol=0.05))
    True
    """

    def __call__(self, shape: Shape, rng: Generator) -> Array:
        """Return the array."""
        fan_in, fan_out = _fans(self, shape)
        bound = math.sqrt(6 / (fan_in + fan_out))
        return rng.uniform(-bound, bound, shape)


class GlorotNormal(Initializer):
    """Normal with variance 2 / (fan_in + fan_out): Glorot and Bengio 2010, equation 12.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import GlorotNormal
    >>> rng = np.random.default_rng(0)
    >>> weight = GlorotNormal()((100, 300), rng)  # 300 inputs, 100 outputs
    >>> bool(np.isclose(weight.var(), 2 / (300 + 100), rtol=0.05))
    True
    """

    def __call__(self, shape: Shape, rng: Generator) -> Array:
        """Return the array."""
        fan_in, fan_out = _fans(self, shape)
        return rng.standard_normal(shape) * math.sqrt(2 / (fan_in + fan_out))


class HeUniform(Initializer):
    """Uniform with variance 2 / fan_in, the bound being sqrt(6 / fan_in); see `HeNormal`.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import HeUniform
    >>> rng = np.random.default_rng(0)
    >>> weight = HeUniform()((100, 300), rng)  # 300 inputs, 100 outputs
    >>> bool(np.isclose(weight.var(), 2 / 300, rtol=0.05))
    True
    """

    def __call__(self, shape: Shape, rng: Generator) -> Array:
        """Return the array."""
        bound = math.sqrt(6 / _fans(self, shape)[0])
        return rng.uniform(-bound, bound, shape)


class HeNormal(Initializer):
    """Normal with variance 2 / fan_in, for layers before a ReLU.

    A ReLU halves the variance, the factor 2 restores it: He, Zhang, Ren and
    Sun, "Delving Deep into Rectifiers", ICCV 2015, equation 10.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import HeNormal
    >>> rng = np.random.default_rng(0)
    >>> weight = HeNormal()((100, 300), rng)  # 300 inputs, 100 outputs
    >>> bool(np.isclose(weight.var(), 2 / 300, rtol=0.05))
    True
    """

    def __call__(self, shape: Shape, rng: Generator) -> Array:
        """Return the array."""
        return rng.standard_normal(shape) * math.sqrt(2 / _fans(self, shape)[0])


class LecunNormal(Initializer):
    """Normal with variance 1 / fan_in: LeCun et al., "Efficient BackProp", 1998, equation 16.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import LecunNormal
    >>> rng = np.random.default_rng(0)
    >>> weight = LecunNormal()((100, 300), rng)  # 300 inputs, 100 outputs
    >>> bool(np.isclose(weight.var(), 1 / 300, rtol=0.05))
    True
    """

    def __call__(self, shape: Shape, rng: Generator) -> Array:
        """Return the array."""
        return rng.standard_normal(shape) * math.sqrt(1 / _fans(self, shape)[0])


def _fans(owner: Initializer, shape: Shape) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(
            f"{owner!r} expects a weight of shape (out, in, ...), got the shape {shape}; "
            "use Zeros, Constant, Normal or Uniform"
        )
    kernel = math.prod(shape[2:])
    return shape[1] * kernel, shape[0] * kernel
