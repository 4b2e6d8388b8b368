"""What training minimises: the loss of a model's prediction."""

import math
import warnings
from typing import NoReturn

import numpy as np

from minifw._engine.diagnosis import Batch, explain_gradient, explain_loss
from minifw._engine.packing import Gradients
from minifw._planning import Plan, Plans
from minifw._tools.checks import describe
from minifw.core.layer import Layer
from minifw.errors import NonFiniteError
from minifw.losses import Loss
from minifw.typing import Array, Target

__all__ = ["Objective"]

# A loss that is not finite; and what NumPy raises on the way to one, if it is set to raise.
_NUMERICAL = (FloatingPointError, RuntimeWarning)


class _Input(Layer):
    """y = x: what is left of a model that is an activation alone, when that is joined."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x

    def backward(self, dy: Array) -> Array:
        return dy


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
        body, last = model.split_last()
        joined = loss.joined_with(last)
        if type(last) in loss.applies:
            warnings.warn(
                f"{loss!r} applies {type(last).__name__} itself, but the model ends in {last!r}; "
                "leave that out, or take the loss that expects it",
                UserWarning,
                stacklevel=2,
            )
        # What runs: the body into the joint form, or else the model into the loss.
        self._body: Layer = model if joined is None else body or _Input()
        self._head: Loss = loss if joined is None else joined
        self._activation = None if joined is None else last
        layers = [layer for _, layer in self._body._all_layers()]
        self._savers: list[Layer | Loss] = [*layers, self._head]
        self._gradients: Gradients | None = None
        self._plans = Plans(self._body, self._head)
        # the batch, the output of the body, what layers and loss saved, and the plan, if any
        self._latest: tuple[Batch, Array, list[object], Plan | None] | None = None

    def forward(self, x: Array, target: Target, sample_weight: Array | None = None) -> float:
        """Return the loss of the model's prediction for `x`.

        With `sample_weight`, of shape (batch,), it is the weighted mean.

        Raises
        ------
        TypeError
            If there are weights, and the loss does not take them.
        NonFiniteError
            If the loss is not finite, saying where that arose.
        """
        self._latest = None  # until this forward has succeeded
        output: Array | None = None
        cause: Exception | None = None
        plan = self._plans.of(x, target) if sample_weight is None else None
        try:
            if plan is not None:
                output = plan.output
                value = plan.forward(x, target)
            else:
                output = self._body.forward(x)
                value = self._head(output, target, sample_weight)
        except _NUMERICAL as error:
            value, cause = math.nan, error
        except Exception as error:
            if output is not None and self._activation is not None:
                error.add_note(f"in the joint form of {self._activation!r} and {self.loss!r}")
            raise
        try:
            finite = math.isfinite(value)
        except TypeError:
            raise TypeError(
                f"{self._head!r}.forward must return a float, it returned {describe(value)}"
            ) from None
        if not finite or output is None:
            where = explain_loss(self._body, self._head, (x, target, sample_weight), self.steps)
            if where is None and output is not None and not np.isfinite(output).all():
                cause = None  # it is about this output, though it does not come up again
            self._refuse("the loss", where, cause)
        saved: list[object] = [one._saved for one in self._savers]
        self._latest = (x, target, sample_weight), output, saved, plan
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
        _, output, saved, plan = self._latest
        for index, one in enumerate(self._savers):
            if one._saved is not saved[index]:
                raise RuntimeError(
                    "Objective.backward differentiates Objective.forward, but "
                    f"{self._named(index)} ran another forward since; do that after backward"
                )
        cause = None
        try:
            if plan is not None and self._gradients is not None:
                plan.backward()
            else:
                dy = self._head.backward()
                if self._gradients is None:  # now, for a layer may make its parameters in forward
                    self._check_derivative(dy, output)
                    self._gradients = Gradients(self._body.parameters())
                self._body.backward_parameters(dy)
        except _NUMERICAL as error:
            cause = error
        if cause or not (self._gradients and self._gradients.sign(self)):
            self._refuse("a gradient", self.explain_gradient(), cause)
        self.steps += 1

    def explain_gradient(self) -> str | None:
        """Return where the first value of the latest backward that is not finite arose.

        An optimizer asks it when it meets one; None if it cannot be found.
        """
        if self._latest is None:
            return None
        return explain_gradient(self._body, self._head, self._latest[0])

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
        _, output, _, _ = self._latest
        if self._activation is not None:
            return self._activation.forward(output)
        return output.copy("K")  # the layer needs its own for backward, a plan for the next step

    def _named(self, index: int) -> str:
        inside = 0 < index < len(self._savers) - 1
        return f"{self._savers[index]!r}{', which is in the model,' if inside else ''}"

    def _check_derivative(self, dy: Array, output: Array) -> None:
        if not isinstance(dy, np.ndarray) or dy.shape != output.shape:
            raise TypeError(
                f"{self._head!r}.backward must return an array of the shape of the prediction, "
                f"{output.shape}, it returned {describe(dy)}"
            )

    def _refuse(self, what: str, where: str | None, cause: Exception | None) -> NoReturn:
        """Raise the one error that says all; or NumPy's, where it was about something else."""
        if isinstance(cause, NonFiniteError):
            cause = None  # a loss that said less
        if cause is not None and where is None:
            raise cause
        where = where or "where it arose did not show when the step was done again"
        raise NonFiniteError(f"{what} is not finite at step {self.steps}: {where}") from cause

    def __call__(self, x: Array, target: Target, sample_weight: Array | None = None) -> float:
        """Return ``forward(x, target, sample_weight)``."""
        return self.forward(x, target, sample_weight)

    def __getstate__(self) -> dict[str, object]:
        """Leave the latest batch behind, as the layers leave what they saved of it."""
        return {**vars(self), "_latest": None}

    def __repr__(self) -> str:
        return f"Objective({self.model!r}, {self.loss!r})"
