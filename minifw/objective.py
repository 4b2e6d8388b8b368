"""What training minimises: the loss of a model's prediction."""

import math
from typing import NoReturn

from minifw._core.checks import describe
from minifw._core.errors import NonFiniteError
from minifw._core.layer import Layer
from minifw._core.parameter import GradientWatch
from minifw._core.typing import Array
from minifw._diagnosis import explain_gradient, explain_loss
from minifw.losses import Loss

__all__ = ["Objective"]

# A loss that is not finite; and what NumPy raises on the way to one, if it is set to raise.
_NUMERICAL = (FloatingPointError, RuntimeWarning)


class Objective:
    """The loss of a model's prediction, as a function of the model's parameters.

    It does what calling the model and the loss in turn does, with three
    differences. It joins a final activation with the loss where the loss
    declares a joint form (`Loss.joins`), which is exact where the two apart
    saturate. It skips the gradient with respect to the input. And it raises at
    the first loss or gradient that is not finite, naming the layer in which
    that arose, the pass and the step.

    Parameters
    ----------
    model : Layer
    loss : Loss

    Attributes
    ----------
    model, loss
        As given.
    steps : int
        How many times `backward` was called: the step of the messages.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import BCELoss, Dense, Objective, Sequential, Sigmoid
    >>> model = Sequential(Dense(1, 1), Sigmoid())
    >>> model[0].weight.value = [[1.0]]
    >>> objective = Objective(model, BCELoss())
    >>> objective.forward(np.array([[1000.0]]), np.array([[0.0]]))
    1000.0
    >>> objective.backward()
    >>> model[0].bias.grad, objective.prediction
    (array([1.]), array([[1.]]))
    """

    def __init__(self, model: Layer, loss: Loss) -> None:
        if not isinstance(model, Layer):
            raise TypeError(f"Objective expects model to be a layer, got {describe(model)}")
        if not isinstance(loss, Loss):
            hint = f"; write {loss.__name__}()" if isinstance(loss, type) else ""
            raise TypeError(f"Objective expects loss to be a loss, got {describe(loss)}{hint}")
        self.model = model
        self.loss = loss
        self.steps = 0
        body, activation = model.split_last()
        joined = loss.joined_with(activation) if body is not None else None
        # What runs: the body into the joint form, or else the model into the loss.
        self._body: Layer = model if joined is None or body is None else body
        self._head: Loss = loss if joined is None else joined
        self._activation = None if joined is None else activation
        self._watch: GradientWatch | None = None
        self._latest: tuple[Array, Array, Array] | None = None  # x, target, output of the body

    def forward(self, x: Array, target: Array) -> float:
        """Return the loss of the model's prediction for `x`.

        Raises
        ------
        NonFiniteError
            If the loss is not finite, saying where that arose.
        """
        self._latest = None  # until this forward has succeeded
        output: Array | None = None
        cause: Exception | None = None
        try:
            output = self._body.forward(x)
            value = self._head.forward(output, target)
        except _NUMERICAL as error:
            value, cause = math.nan, error
        except Exception as error:
            if output is not None and self._activation is not None:
                error.add_note(f"in the joint form of {self._activation!r} and {self.loss!r}")
            raise
        if output is None or not math.isfinite(value):
            where = explain_loss(self._body, x, target)
            fallback = f"it arose in {self._head!r}, in the forward pass; every layer was finite"
            self._refuse("the loss", where, fallback, cause)
        self._latest = x, target, output
        return value

    def backward(self) -> None:
        """Set the gradient of every parameter of the model.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        NonFiniteError
            If a gradient is not finite, saying where that arose.
        """
        if self._latest is None:
            raise RuntimeError("Objective.backward needs a forward before it; call forward first")
        cause = None
        try:
            self._body.backward_parameters(self._head.backward())
        except _NUMERICAL as error:
            cause = error
        if self._watch is None:  # now, for a layer may make its parameters in forward
            self._watch = GradientWatch(self._body.parameters())
        if cause or not self._watch.finite():
            where = explain_gradient(self._body, self._head, *self._latest[:2])
            self._refuse("a gradient", where, "it arose in the backward pass", cause)
        self.steps += 1

    @property
    def prediction(self) -> Array:
        """The model's prediction in the latest `forward`.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        """
        if self._latest is None:
            raise RuntimeError(
                "Objective.prediction needs a forward before it; call forward first"
            )
        output = self._latest[2]
        return output if self._activation is None else self._activation.forward(output)

    def _refuse(
        self, what: str, where: str | None, fallback: str, cause: Exception | None
    ) -> NoReturn:
        """Raise the one error that says all; or NumPy's, where it was about something else."""
        if isinstance(cause, NonFiniteError):
            cause = None  # a loss that said less
        if cause is not None and where is None:
            raise cause
        raise NonFiniteError(
            f"{what} is not finite at step {self.steps}: {where or fallback}"
        ) from cause

    def __call__(self, x: Array, target: Array) -> float:
        """Return ``forward(x, target)``."""
        return self.forward(x, target)

    def __repr__(self) -> str:
        return f"Objective({self.model!r}, {self.loss!r})"
