"""The function that training minimises: the loss of a model's prediction."""

import math
from collections.abc import Iterable
from functools import partial
from itertools import zip_longest
from typing import Any, NoReturn

import numpy as np

from minifw._engine.diagnosis import Batch, explain_gradient, explain_loss, refuse
from minifw._engine.heads import check_heads, check_penalty, joined, outputs_of, penalised
from minifw._engine.packing import Gradients, note_replaced
from minifw._engine.replay import Replay
from minifw._engine.sharing import check_shared, counted, holds_foreign
from minifw._tools.changes import CHANGES
from minifw._tools.checks import check_is
from minifw._tools.numbers import check_flag
from minifw.core.layer import Identity, Layer
from minifw.core.loss import Loss, Penalty
from minifw.errors import NonFiniteError

__all__ = ["Objective"]

# NonFiniteError is the first; NumPy raises the first, and warnings made errors the second.
_NUMERICAL = (FloatingPointError, RuntimeWarning)


class Objective:
    """The loss of a model's prediction, as a function of the model's parameters.

    It calls the model and the loss, with three differences. It joins a final activation with the
    loss if the loss declares a joint form (`Loss.joins`), which is exact where the two saturate
    separately. It skips the gradient with respect to the input. And it raises at the first loss or
    gradient that is not finite, naming the layer in which that arose, the pass and the step.

    Parameters
    ----------
    model : Layer
        With several inputs, x is a tuple of arrays.
    loss : Loss
        One that takes several outputs, such as `SumLoss`, if the model gives several.
    penalties : sequence of Penalty, default ()
        What is added to the loss, such as ``L2(model, 0.01)``.
    replay : bool, default True
        Whether the NumPy calls of a small step are recorded and made again, with the same
        bits, which is faster. With False the Python code of the layers runs every time, so
        a debugger can stop in it.

    Attributes
    ----------
    model, loss
        As given; to train another, build another objective.
    steps : int
        How many calls of `backward` succeeded; error messages name the step by it.

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

    def __init__(
        self,
        model: Layer,
        loss: Loss,
        *,
        penalties: Iterable[Penalty] = (),
        replay: bool = True,
    ) -> None:
        check_is("Objective", "model to be a layer", model, Layer)
        check_is("Objective", "loss to be a loss", loss, Loss, call="()")
        check_heads(model, loss)
        self._model, self._loss = model, loss
        self._penalties = tuple(penalties)
        for penalty in self._penalties:
            check_is("Objective", "penalties", penalty, Penalty)
        self.steps = 0
        self._replay = check_flag("Objective", "replay", replay)
        self._join()
        self._latest: Batch | None = None

    def _join(self) -> None:
        """Join the model with the loss; again, if layers of the model are replaced later."""
        for penalty in self._penalties:
            check_penalty(self._model, penalty)
        self._network, self._head, self._activations = joined(self._model, self._loss, Identity)
        self._step = Replay(self._network, self._head, enabled=self._replay)
        self._layers = self._named_layers()
        self._parameters = [parameter for _, parameter in self._model.named_parameters()]
        self._counts_uses = holds_foreign(self._model)  # a layer in it may run twice unnoticed
        self._count = CHANGES.count  # grows with every assignment to a layer; see `_look`
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

    def forward(self, x: Any, target: Any, sample_weight: Any = None) -> float:
        """Return the loss of the model's prediction for `x`, and the penalties.

        With `sample_weight`, of shape (batch,) or more of the prediction's axes, it is the
        weighted mean. With several inputs, x is a tuple, and of several outputs the target.

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
            if self._counts_uses:
                value, self._used_twice = counted(self._network, partial(step.forward, *batch))
            else:
                value = step.forward(*batch)
        except _NUMERICAL as error:
            self._refuse_loss(batch, error)
        except Exception as error:
            if any(self._activations) and step.output is not None:
                names = " and ".join(map(repr, filter(None, (*self._activations, self.loss))))
                error.add_note(f"in the joint form of {names}")
            raise
        if not math.isfinite(value):
            self._refuse_loss(batch, NonFiniteError(f"the loss is {value}"))
        self._latest = batch
        return value + self.penalty() if self._penalties else value

    def penalty(self) -> float:
        """Return the sum of the penalties."""
        return penalised(self._penalties, self.steps)

    def _named_layers(self) -> list[tuple[str, Layer, type[Layer]]]:
        return [(name, layer, type(layer)) for name, layer in self._model._all_layers()]

    def _look(self) -> None:
        """Look whether layers were replaced since; parameters may have been in any case."""
        if self._layers != self._named_layers():
            before = self._parameters
            self._join()
            # An optimizer of layers that are gone, as from a list, raises at its next step.
            note_replaced(self._model, "layers", before, self._parameters)
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
        self._check_backward("backward")
        cause = None
        try:
            self._step.backward()
            for penalty in self._penalties:
                penalty.backward()
        except _NUMERICAL as error:
            cause = error
        if self._counts_uses:  # an author's backward may leave its layers as it recalled them
            self._step.note_saved()
        if self._gradients is None:  # not in `_join`: a layer may make its parameters in forward
            self._gradients = Gradients(self._network.parameters())
        # Names this objective as the author, for the optimizers; False if a gradient that no
        # optimizer holds is not finite.
        if cause or not self._gradients.sign(self):
            refuse("a gradient", self.steps, self.explain_gradient(), cause)
        self.steps += 1

    def input_gradient(self) -> Any:
        """Return dL/dx of the latest `forward`; the gradients of the parameters stay as they are.

        With several inputs, it is a tuple, with None for masks and whole numbers.

        Raises
        ------
        RuntimeError
            As by `backward`.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import MSELoss, Objective, Tanh
        >>> objective = Objective(Tanh(), MSELoss())
        >>> loss = objective.forward(np.array([[0.0]]), np.array([[-1.0]]))
        >>> objective.input_gradient()
        array([[2.]])
        """
        self._check_backward("input_gradient")
        kept = [(p, p.grad.copy()) for p in self._network.parameters()]
        try:
            return self._step.backward(everything=True)
        finally:
            for parameter, grad in kept:
                parameter.grad[...] = grad

    def _check_backward(self, name: str) -> None:
        self._check_forward(name)
        if self._gradients is None or self._counts_uses:  # a list in a layer changes unnoticed
            check_shared(self._network, self._used_twice)

    @property
    def prediction(self) -> Any:
        """The model's prediction in the latest `forward`; a tuple of several outputs.

        Raises
        ------
        RuntimeError
            If there was no `forward` before.
        """
        self._check_forward("prediction")
        outputs = outputs_of(self._step.output)
        # A copy: the layer needs its own for backward, and a replay for the next step.
        pairs = zip_longest(outputs, self._activations)
        made = tuple([y.copy("K") if last is None else last.forward(y) for y, last in pairs])
        return made if len(made) > 1 else made[0]

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
        outputs = outputs_of(self._step.output)
        where = explain_loss(self._network, self._head, batch, self.steps)
        drawn = where is None and not all(y is None or np.isfinite(y).all() for y in outputs)
        # NaN in the output, but not in a second run: drawn at random. It caused the error.
        refuse("the loss", self.steps, where, None if drawn else error)

    def __call__(self, x: Any, target: Any, sample_weight: Any = None) -> float:
        """Return ``forward(x, target, sample_weight)``."""
        return self.forward(x, target, sample_weight)

    def __getstate__(self) -> dict[str, object]:
        """Leave the latest batch behind, as the layers leave what they saved of it."""
        return {**vars(self), "_latest": None}

    def __repr__(self) -> str:
        return f"Objective({self.model!r}, {self.loss!r})"
