"""The contract of a loss."""

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar, TypeAlias

import numpy as np

from minifw._tools.arguments import KeepsArguments
from minifw._tools.arrays import LONG, constant, equal_shares
from minifw._tools.cache import SavesForBackward
from minifw._tools.checks import check_alike, check_cases, check_sample_weight, describe, weigh
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.errors import NonFiniteError
from minifw.typing import Array, Formulas, Target

__all__ = ["Joins", "Loss", "Penalty"]

Joins: TypeAlias = Mapping[type[Layer], Callable[[Any, Any], "Loss | None"]]


class Loss(KeepsArguments, SavesForBackward):
    """A number that says how far a prediction is from its target: two methods.

    ``forward(prediction, target)`` returns the mean over all elements, in nats
    where it is a log; ``backward()`` returns its derivative with respect to the
    prediction. A ``forward`` may take a third argument ``sample_weight=None``,
    one weight for each example, of shape (batch,), or for each place of more leading
    axes, as (batch, time); minifw's own do, and `shares` does the work.

    Attributes
    ----------
    joins : class attribute, a dict {activation class: function}
        The activations with which this class itself has a joint form that is
        exact where the two apart are not. The function is called with the loss
        and the activation, and returns the loss that takes the activation's
        *input* as its prediction, or None if these two do not go together.
        `Objective` asks for it. Subclasses do not inherit it, because the joint form would not
        know their changes.
    applies : class attribute, a tuple of activation classes
        The activations that the loss applies itself. `Objective` warns if the model has
        applied one already.
    takes_labels : class attribute, a bool
        Whether a target of whole numbers is labels. `Trainer` then leaves it as it
        is; else it casts the target to the dtype of the prediction.
    takes_several : class attribute, a bool
        Whether prediction and target are tuples, of one array for each output of the model.
        ``backward`` then returns a tuple as well.
    takes_target : class attribute, a bool
        Whether there is a target. If not, ``forward`` is given None, or ignores it.
    midpoint : class attribute, a float
        The prediction above which a yes-or-no metric takes it for a yes: 0.5, of a
        probability; 0 where the prediction is a logit.
    replayable : class attribute, a bool
        Whether all that ``forward`` and ``backward`` do is NumPy calls on prediction,
        target and options, the same ones for every batch of a shape. A step is then
        recorded, and made again without the Python between the calls.
    formulas : class attribute, a dict {str: str}, optional
        What `trace` writes beside the values, as in `Layer`: "L", the loss, and
        "dp", its derivative. In braces stand p, the prediction, t, the target, n,
        the number of elements, and m, the number of rows.

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
    ...         return self.finite(np.mean(error**2))
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
    takes_labels: ClassVar[bool] = False
    takes_several: ClassVar[bool] = False
    takes_target: ClassVar[bool] = True
    midpoint: ClassVar[float] = 0.5
    replayable: ClassVar[bool] = False
    formulas: ClassVar[Formulas] = MappingProxyType({})

    _case_axes: ClassVar[int] = 0  # the last axes that make one case, and have one weight: classes
    _weighted: ClassVar[bool] = False  # whether forward takes sample_weight, by its signature

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._weighted = "sample_weight" in inspect.signature(cls.forward).parameters

    @abstractmethod
    def forward(self, prediction: Any, target: Any) -> float:
        """Return the mean loss over all elements."""

    @abstractmethod
    def backward(self) -> Array | tuple[Array, ...]:
        """Return dL/dprediction of the latest ``forward``; a tuple of several predictions."""

    def __call__(
        self,
        prediction: Array | tuple[Array, ...],
        target: Target | tuple[Target | None, ...] | None,
        sample_weight: Array | tuple[Array | None, ...] | None = None,
    ) -> float:
        """Return ``forward(prediction, target)``, with the weights if there are any.

        Raises
        ------
        TypeError
            If there are weights, and ``forward`` does not take them.
        """
        forward: Callable[..., float] = self.forward
        if sample_weight is None:
            return self.returned(forward(prediction, target))
        if not self._weighted:
            raise TypeError(
                f"{self!r} takes no sample_weight; give its forward a third argument "
                "sample_weight=None"
            )
        return self.returned(forward(prediction, target, sample_weight=sample_weight))

    def returned(self, value: float) -> float:
        """Return `value`, or raise if ``forward`` returned no number."""
        try:
            math.isfinite(value)
        except TypeError:
            raise TypeError(
                f"{self!r}.forward must return a float, it returned {describe(value)}"
            ) from None
        return value

    def _heads(self) -> "Sequence[Loss | None]":
        """Return the losses of the outputs: this one alone, except for `SumLoss`."""
        return (self,)

    def _with_heads(self, heads: "Sequence[Loss | None]") -> "Loss":
        """Return this loss with the joint forms of its heads in their place."""
        return heads[0] or self

    def joined_with(self, activation: Layer) -> "Loss | None":
        """Return the joint form of `activation` and this loss, or None if none is declared."""
        declared: Joins = vars(type(self)).get("joins", {})
        if (join := declared.get(type(activation))) is None:
            return None
        joined: object = join(self, activation)
        if joined is None or isinstance(joined, Loss):
            return joined
        raise TypeError(
            f"{type(self).__name__}.joins: the function for {type(activation).__name__} must "
            f"return a loss or None, it returned {joined!r}"
        )

    def check(self, prediction: Array, target: Target) -> None:
        """Raise unless both are non-empty float arrays of one shape and dtype that fit the loss.

        The values are left to `check_target`, which is called.
        """
        check_alike(self, prediction, target)
        if self._case_axes:
            check_cases(self, prediction, self._case_axes)
        self.check_target(np.asarray(prediction), np.asarray(target))

    def check_target(self, prediction: Array, target: Target) -> None:
        """Raise if the loss cannot take the values of a target; by default it takes all.

        It is called with arrays whose shapes and dtypes fit, before each step: by `check`, and
        when a recorded step is made again, which asks nothing else of a batch.
        """

    def shares(self, prediction: Array, sample_weight: Array | None = None) -> Array:
        """Return the share of each element in the mean: sum(shares * losses) is the mean.

        Without weights it is 1 / n for all n elements, an array without axes.
        With the weight w_i of each example i it is w_i / sum(w), divided among
        the elements of i, in the shape (batch, 1, ...) that broadcasts against
        them. An example of weight 2 then counts as if it were there twice. Weights of more leading
        axes, as (batch, time), weight each step: a step of weight 0 does not count, like padding.

        Raises
        ------
        TypeError
            If the weights are no array in the dtype of the prediction.
        ValueError
            If they do not have leading axes of the prediction (of a loss of classes,
            except for these), or are not finite, at least 0, and one above 0.
        """
        if sample_weight is None:
            return constant(1 / prediction.size, prediction.dtype)
        axes = prediction.ndim - self._case_axes
        check_sample_weight(self, sample_weight, prediction.shape[:axes], prediction.dtype)
        share: Array = sample_weight / sample_weight.max()  # its shape; its sum cannot overflow
        share /= share.sum() * (prediction.size // share.size)
        return share.reshape(*share.shape, *(1,) * (prediction.ndim - share.ndim))

    def total_weight(self, target: Target, sample_weight: Array | None = None) -> float:
        """Return the weight of this batch's mean in the mean over several batches.

        Their number, or the sum of their weights. A loss whose mean is divided by something
        else says so here.

        Parameters
        ----------
        target : array of shape (batch, ...)
            Of a loss that takes none, any array of this length, as the prediction.
        sample_weight : array of shape (batch,), or more leading axes, optional

        Raises
        ------
        ValueError
            If a weight is below 0 or not finite, or, where weights are given, a label is not a
            class, also in a batch that counts nothing.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import CrossEntropyLoss, MSELoss
        >>> MSELoss().total_weight(np.zeros((3, 1)), np.array([1.0, 0.5, 0.5]))
        2.0
        >>> CrossEntropyLoss(weight=[1.0, 4.0]).total_weight(np.array([0, 1, 1]))
        9.0
        """
        return float(len(target)) if sample_weight is None else weigh(self, sample_weight)

    def total_weights(
        self, batch: Target, target: Target, sample_weight: Array | None = None
    ) -> tuple[float, ...]:
        """Return the `total_weight` of each part of the loss; it has one, except for `SumLoss`.

        `batch` is any array of the batch's length, for a part without a target.
        """
        by_target = self.takes_target and not self.takes_several  # a tuple has no rows
        return (self.total_weight(target if by_target else batch, sample_weight),)

    def mean(self, costs: Array, share: Array) -> float:
        """Return the mean of the costs by their `shares`, or raise if it is NaN or infinite.

        Long sums of float32 numbers are taken in float64.
        """
        if share.ndim:
            total = np.add.reduce(costs * share, None, np.float64)
        elif costs.size < LONG:
            total = costs.ravel("K").dot(equal_shares(costs.size, costs.dtype))
        else:
            total = np.add.reduce(costs, None, np.float64) / costs.size
        return self.finite(total)

    def finite(self, value: float | Array) -> float:
        """Return `value`, the loss, as a float, or raise if it is NaN or infinite."""
        number = float(value)
        if math.isfinite(number):
            return number
        raise NonFiniteError(f"{self!r}: the loss is {number}")


class Penalty(KeepsArguments, ABC):
    """A function of parameters that is added to a loss: two methods.

    ``forward()`` returns it as a number, and ``backward()`` adds its derivative to the
    gradients, after the model's ``backward`` has set them. The parameters are read as they are
    at each call, and nothing is kept in between.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, Penalty
    >>> class SumToOne(Penalty):
    ...     '''(sum(theta) - 1)^2; its derivative is 2 (sum(theta) - 1) for each element.'''
    ...     def __init__(self, parameter):
    ...         self.parameter = parameter
    ...     def forward(self):
    ...         return float((self.parameter.value.sum() - 1) ** 2)
    ...     def backward(self):
    ...         self.parameter.grad[...] += 2 * (self.parameter.value.sum() - 1)
    >>> layer = Dense(2, 1)
    >>> layer.weight.value = [[1.0, 2.0]]
    >>> penalty = SumToOne(layer.weight)
    >>> penalty.forward()
    4.0
    >>> penalty.backward()
    >>> layer.weight.grad
    array([[4., 4.]])
    """

    @abstractmethod
    def forward(self) -> float:
        """Return the penalty."""

    @abstractmethod
    def backward(self) -> None:
        """Add the derivative to the gradients of the parameters, in place."""

    def parameters(self) -> list[Parameter]:
        """Return the parameters whose gradients are changed, if they are known."""
        return []
