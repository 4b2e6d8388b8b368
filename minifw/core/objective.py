"""What training minimises: the loss of a model's prediction."""

import math
import operator
from functools import partial
from typing import NoReturn

import numpy as np

from minifw._engine.diagnosis import Batch, explain_gradient, explain_loss, refuse
from minifw._engine.packing import Gradients
from minifw._engine.replay import Replay
from minifw._engine.sharing import check_unshared, counted, holds_foreign, refuse_mixture
from minifw._tools.changes import CHANGES
from minifw._tools.checks import describe
from minifw._tools.numbers import check_flag
from minifw._tools.warn import warn_user
from minifw.core.layer import Identity, Layer
from minifw.core.loss import Loss
from minifw.errors import NonFiniteError
from minifw.typing import Array, Target

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
    replay : bool, default True
        Whether the NumPy calls of a small step are recorded and made again, with the same
        bits, which is quicker. With False the text of the layers runs every time, as a
        debugger needs it.

    Attributes
    ----------
    model, loss
        As given; to train another, build another objective.
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

    def __init__(self, model: Layer, loss: Loss, *, replay: bool = True) -> None:
        if not isinstance(model, Layer):
            raise TypeError(f"Objective expects model to be a layer, got {describe(model)}")
        if not isinstance(loss, Loss):
            hint = f"; write {loss.__name__}()" if isinstance(loss, type) else ""
            raise TypeError(f"Objective expects loss to be a loss, got {describe(loss)}{hint}")
        self._model, self._loss = model, loss
        self.steps = 0
        self._replay = check_flag("Objective", "replay", replay)
        self._join()
        self._latest: Batch | None = None
        self._saved: list[object] = []  # what layers and loss had saved after the latest forward

    def _join(self) -> None:
        """Join the model with the loss; again, if layers of the model are replaced later."""
        self._network, self._head, self._activation = _joined(self._model, self._loss)
        self._step = Replay(self._network, self._head, enabled=self._replay)
        self._layers = self._named_layers()
        self._counts = holds_foreign(self._model)
        self._count = CHANGES.count
        self._gradients: Gradients | None = None
        self._used_twice: list[Layer] = []

    @property
    def model(self) -> Layer:
        """The model."""
        return self._model

    @property
    def loss(self) -> Loss:
        """The loss."""
        return self._loss

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
        if CHANGES.count != self._count:
            self._look()
        step, batch = self._step, (x, target, sample_weight)
        try:
            if self._counts:
                run = partial(step.forward, *batch)
                value, self._used_twice = counted(self._network, run)
            else:
                value = step.forward(*batch)
        except _NUMERICAL as error:
            self._refuse_loss(batch, error)
        except Exception as error:
            if self._activation is not None and step.output is not None:
                error.add_note(f"in the joint form of {self._activation!r} and {self.loss!r}")
            raise
        if not math.isfinite(value):
            self._refuse_loss(batch, NonFiniteError(f"the loss is {value}"))
        self._saved = step.saved()
        self._latest = batch
        return value

    def _named_layers(self) -> list[tuple[str, Layer, type[Layer]]]:
        return [(name, layer, type(layer)) for name, layer in self._model._all_layers()]

    def _look(self) -> None:
        """Look whether layers were replaced since; parameters may have been in any case."""
        if self._layers != self._named_layers():
            self._join()
        self._count, self._gradients = CHANGES.count, None

    def backward(self) -> None:
        """Set the gradient of every parameter of the model.

        Raises
        ------
        RuntimeError
            If there was no `forward` before, or if a layer ran another one since.
        NonFiniteError
            If a gradient is not finite, saying where that arose.
        """
        self._check_forward("backward")
        if not all(map(operator.is_, self._step.saved(), self._saved)):
            refuse_mixture(self._step.parts, self._saved)
        if self._gradients is None:
            check_unshared(self._network, self._used_twice)
        cause = None
        try:
            self._step.backward()
        except _NUMERICAL as error:
            cause = error
        if self._gradients is None:  # not sooner, for a layer may make its parameters in forward
            self._gradients = Gradients(self._network.parameters())
        if cause or not self._gradients.sign(self):
            refuse("a gradient", self.steps, self.explain_gradient(), cause)
        self.steps += 1

    @property
    def prediction(self) -> Array:
        """The model's prediction in the latest `forward`.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        """
        self._check_forward("prediction")
        output: Array = self._step.output
        if self._activation is not None:
            return self._activation.forward(output)
        return output.copy("K")  # the layer needs its own for backward, a replay for the next step

    def explain_gradient(self) -> str | None:
        """Return where the first value of the latest backward that is not finite arose.

        An optimizer asks it when it meets one; None if it cannot be found.
        """
        if self._latest is None:
            return None
        return explain_gradient(self._network, self._head, self._latest)

    def _check_forward(self, name: str) -> None:
        if self._latest is None:
            raise RuntimeError(f"Objective.{name} needs a forward before it; call forward first")

    def _refuse_loss(self, batch: Batch, error: Exception) -> NoReturn:
        output = self._step.output
        where = explain_loss(self._network, self._head, batch, self.steps)
        drawn = where is None and output is not None and not np.isfinite(output).all()
        # A NaN in the output that does not come up again: the error was about it.
        refuse("the loss", self.steps, where, None if drawn else error)

    def __call__(self, x: Array, target: Target, sample_weight: Array | None = None) -> float:
        """Return ``forward(x, target, sample_weight)``."""
        return self.forward(x, target, sample_weight)

    def __getstate__(self) -> dict[str, object]:
        """Leave the latest batch behind, as the layers leave what they saved of it."""
        return {**vars(self), "_latest": None, "_saved": []}

    def __repr__(self) -> str:
        return f"Objective({self.model!r}, {self.loss!r})"


def _joined(model: Layer, loss: Loss) -> tuple[Layer, Loss, Layer | None]:
    """Return what runs: the network, the loss after it, and the activation in that loss."""
    before, last = model.split_last()
    joint = loss.joined_with(last)
    if joint is not None:
        return before or Identity(), joint, last
    if type(last) in loss.applies:
        warn_user(
            f"{loss!r} applies {type(last).__name__} itself, but the model ends in {last!r}; "
            "leave that out, or take the loss that expects it"
        )
    return model, loss, None
