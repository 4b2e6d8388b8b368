"""The contract of a loss."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import numpy as np

from minifw._core.checks import DTYPES, check_array, describe
from minifw._core.errors import NonFiniteError
from minifw._core.layer import Layer
from minifw._core.traits import RemembersArguments, SavesForBackward
from minifw._core.typing import Array

__all__ = ["Joins", "Loss"]

Joins: TypeAlias = Mapping[type[Layer], Callable[[Any, Any], "Loss"]]


class Loss(RemembersArguments, SavesForBackward, ABC):
    """A number that says how far a prediction is from its target: two methods.

    ``forward(prediction, target)`` returns the mean over all elements, in nats
    where it is a log; ``backward()`` returns its derivative with respect to the
    prediction.

    Attributes
    ----------
    joins : class attribute, a dict {activation class: function}
        The activations with which this very class has a joint form that is
        exact where the two apart are not. The function is called with the loss
        and the activation, and returns the loss that takes the activation's
        *input* as its prediction. `Objective` asks for it. Subclasses do not
        inherit it: what they change, the joint form would not know.
    applies : class attribute, a tuple of activation classes
        Those that the loss applies itself. `Objective` warns if the model has
        applied one already.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Loss
    >>> class SquaredError(Loss):
    ...     '''L = mean((p - t)^2); dp = 2 (p - t) / n.'''
    ...     def forward(self, prediction, target):
    ...         self.check(prediction, target)
    ...         error = prediction - target
    ...         self.save(error)
    ...         return self.finite(float(np.mean(error**2)))
    ...     def backward(self):
    ...         (error,) = self.saved()
    ...         return 2 * error / error.size
    >>> loss = SquaredError()
    >>> loss.forward(np.array([[1.0], [2.0]]), np.array([[1.0], [4.0]]))
    2.0
    >>> loss.backward()
    array([[ 0.],
           [-2.]])
    """

    joins: ClassVar[Joins] = MappingProxyType({})
    applies: ClassVar[tuple[type[Layer], ...]] = ()

    @abstractmethod
    def forward(self, prediction: Array, target: Array) -> float:
        """Return the mean loss over all elements."""

    @abstractmethod
    def backward(self) -> Array:
        """Return dL/dprediction of the latest ``forward``."""

    def __call__(self, prediction: Array, target: Array) -> float:
        """Return ``forward(prediction, target)``."""
        return self.forward(prediction, target)

    def joined_with(self, activation: Layer) -> "Loss | None":
        """Return the joint form of `activation` and this loss, or None if none is declared."""
        declared: Joins = vars(type(self)).get("joins", {})
        join = declared.get(type(activation))
        if join is None:
            return None
        joined: object = join(self, activation)
        if isinstance(joined, Loss):
            return joined
        raise TypeError(
            f"{type(self).__name__}.joins: the function for {type(activation).__name__} must "
            f"return a loss, it returned {joined!r}"
        )

    def check(self, prediction: Array, target: Array) -> None:
        """Raise unless both are non-empty float arrays of one shape and one dtype."""
        try:
            same = prediction.shape == target.shape and prediction.dtype == target.dtype
            if same and prediction.dtype in DTYPES and prediction.size and prediction.ndim:
                return
        except AttributeError:  # not an array
            pass
        check_array(self, "prediction", prediction)
        if not isinstance(target, np.ndarray) or target.dtype != prediction.dtype:
            raise TypeError(
                f"{self!r} expects target in the dtype of prediction, {prediction.dtype}, got "
                f"{describe(target)}; use np.asarray(target, dtype=np.{prediction.dtype})"
            )
        if target.shape != prediction.shape:
            fix = ""
            if target.squeeze().shape == prediction.squeeze().shape:  # but for axes of length 1
                fix = f"; use target.reshape({prediction.shape})"
            elif target.T.shape == prediction.shape:
                fix = "; one example per row: target.T"
            raise ValueError(
                f"{self!r} expects target in the shape of prediction, {prediction.shape}, "
                f"got {target.shape}{fix}"
            )

    def finite(self, value: float) -> float:
        """Return `value`, the loss, or raise if it is NaN or infinite."""
        if math.isfinite(value):
            return value
        raise NonFiniteError(f"{self!r}: the loss is {value}")
