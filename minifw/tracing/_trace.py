"""`trace`: one forward and backward of a copy, written down."""

import copy
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from minifw._engine.heads import outputs_of
from minifw._engine.listening import listening
from minifw._tools.checks import check_is
from minifw._tools.numbers import check_size
from minifw._tools.rows import as_array
from minifw._tools.tables import counted
from minifw.core.layer import Layer
from minifw.core.objective import Objective
from minifw.errors import NonFiniteError
from minifw.layers import Graph
from minifw.losses import Loss
from minifw.tracing._formulas import Names, formula_of, name_of
from minifw.tracing._recorder import BACKWARD, FORWARD, GIVEN, Recorder
from minifw.tracing._values import AnyArray, Trace

_PASSES = ("forward", "backward", "backward_parameters")
LEGEND = (
    "One example per row; ' is the transpose, * goes element by element; "
    "norm: sqrt(sum of squares)."
)


def trace(objective: Objective, x: Any, y: Any, *, depth: int | None = None) -> Trace:
    """Return every value of one forward and backward of `objective`, with symbol and formula.

    Parameters
    ----------
    objective : Objective
        It is left as it is: a copy of its model and its loss runs, in the modes
        that the layers are in. Parameters, gradients, running statistics and
        generators do not change.
    x : array of shape (batch, ...), or tuple of several
    y : array, or tuple of several
        The target, as the loss expects it.
    depth : int, optional
        How many levels of layers inside layers are shown, as of `summary`; all by default.
        What is deeper is folded: only what goes into and comes out of its layer is shown.

    Returns
    -------
    Trace

    Raises
    ------
    TypeError
        If `objective` is none.
    TypeError, ValueError
        If depth is not a whole number from 1 on.
    TypeError, ValueError
        What the layers and the loss raise for such an x and y.

    Notes
    -----
    The symbols are the notes', in minifw's convention of one example per row. A
    layer with parameters makes the next Z, one without makes the A that belongs to
    it (A1b, A1c if there are more), and W and b are its weight and bias. A final
    activation that is joined with the loss has no dA. dX is left out, as training
    does not need it. The formulas come from the layers: see ``formulas`` in `Layer`.

    In a `Graph` the values have its names, and so has what belongs to their layers: W_h is the
    weight of the line h. What is made inside a line goes by the path of its layer. A value
    that several lines take, and a parameter that is used several times or has a penalty, has
    its gradient written out as a sum: dh = dh(k) + dh(l), the terms being what the lines k and
    l return. With several outputs, Y and J carry the name.

    If the loss is not finite, the trace ends before it, and says so.

    Examples
    --------
    >>> from minifw import BCELoss, Dense, Objective, Sequential, Sigmoid, Tanh, trace
    >>> from minifw.datasets import planar_flower
    >>> x, y = planar_flower()
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    >>> values = trace(Objective(model, BCELoss()), x, y)
    >>> for row in values.rows[6:]:
    ...     print(row.formula, row.shape)
    Z1 = X W1' + b1 (400, 4)
    A1 = tanh(Z1) (400, 4)
    Z2 = A1 W2' + b2 (400, 1)
    A2 = sigmoid(Z2) (400, 1)
    J = -mean(Y * log A2 + (1 - Y) * log(1 - A2)) ()
    dZ2 = (A2 - Y) / 400 (400, 1)
    dW2 = dZ2' A1 (1, 4)
    db2 = column sums of dZ2 (1,)
    dA1 = dZ2 W2 (400, 4)
    dZ1 = dA1 * (1 - A1^2) (400, 4)
    dW1 = dZ1' X (4, 2)
    db1 = column sums of dZ1 (4,)
    >>> values["dW1"].shape
    (4, 2)
    """
    hint = "; write Objective(model, loss)" if isinstance(objective, Layer) else ""
    check_is("trace", "objective to be an Objective", objective, Objective, hint=hint)
    parts = objective.model, objective._network, objective._head, objective._activations
    model, body, head, activations, penalties = copy.deepcopy((*parts, objective._penalties))
    levels = None if depth is None else check_size("trace", "depth", depth)
    loss, recorder, notes = objective.loss, Recorder(model, body, levels), [LEGEND]
    xs = outputs_of(x)
    tails = [f"_{name}" for name in model.output_names] if loss.takes_several else [""]
    names = [name.rstrip("?*") for name in model.input_names]
    names = names if len(names) > 1 or isinstance(model, Graph) else ["X"]
    given = dict(zip(names, xs, strict=False))
    given |= dict(zip([f"Y{tail}" for tail in tails], outputs_of(y), strict=False))
    for name, one in given.items():
        recorder.add(GIVEN, name, "", "", None if one is None else as_array("trace", name, one))

    everything = np.errstate(all="ignore")  # what is not finite stands in the table
    with everything, listening(recorder.layers, _PASSES, recorder.around):
        output: Any = body.forward(*xs)
        arrays = outputs_of(output)
        weights = getattr(loss, "weights", None) or (1.0,) * len(arrays)
        pairs = zip(tails, weights, loss._heads(), head._heads(), activations, arrays, strict=True)
        outputs = [_Output(*one) for one in pairs]
        for index, one in enumerate(outputs):
            one.name(recorder, index)
        if penalties and not loss.takes_several:
            outputs[0].cost = "L"
        notes += [one.note for one in outputs if one.activation]
        try:
            cost = head.forward(output, y)
        except NonFiniteError as error:
            notes.append(f"J is not finite, and so there is no backward: {error}.")
        else:
            values = iter(getattr(head, "parts", (cost,)))
            total = [one.write_cost(recorder, next(values)) for one in outputs if one.loss]
            for number, penalty in enumerate(penalties, 1):
                total.append(f"R{number}")
                cost += recorder.penalise(total[-1], penalty)
            if total != ["J"]:
                recorder.add(FORWARD, "J", " + ".join(total), name_of(loss), np.array(cost))
            dys = outputs_of(head.backward())
            for one, dy in zip(outputs, dys, strict=True):
                one.write_gradient(recorder, dy)
            body.backward_parameters(*dys)
            for penalty in penalties:
                penalty.backward()
            recorder.add_sums()

    title = f"{name_of(model)} and {loss!r}: {counted(len(xs[0]), 'example')}"
    return Trace(title, recorder.rows(), notes)


@dataclass
class _Output:
    """An output of the model, its loss, and the activation that is joined with that."""

    tail: str
    weight: float
    loss: Loss | None
    head: Loss | None
    activation: Layer | None
    array: AnyArray

    def name(self, recorder: "Recorder", index: int) -> None:
        """Find the symbols."""
        self.cost, self.target = f"J{self.tail}", f"Y{self.tail}"
        self.factor = "" if self.weight == 1 else f"{self.weight:.4g} * "
        self.symbol = self.prediction = recorder.symbol(self.array)
        if self.activation is not None:
            self.prediction = recorder.activated(index, self.activation, self.array)

    @property
    def note(self) -> str:
        return (
            f"{self.activation!r} and {self.loss!r} are joined: {self.cost} and d{self.symbol} "
            f"come from {self.symbol} in one step, and d{self.prediction} is not formed."
        )

    def _formula(self, loss: Loss, key: str, symbol: str) -> str | None:
        """Return what a loss says of it."""
        n, rows = self.array.size, self.array.size // self.array.shape[-1]
        known = {"p": symbol, "t": self.target, "n": str(n), "m": str(rows)}
        return formula_of(loss, key, Names(loss, known))

    def write_cost(self, recorder: "Recorder", value: float) -> str:
        """Write down this output's loss; return the term that it is of the sum."""
        loss = cast("Loss", self.loss)
        formula = self._formula(loss, "L", self.prediction)
        formula = formula or f"{name_of(loss)}({self.prediction}, {self.target})"
        recorder.add(FORWARD, self.cost, formula, name_of(loss), np.array(value))
        return self.factor + self.cost

    def write_gradient(self, recorder: "Recorder", dy: AnyArray) -> None:
        """Write down the derivative of the loss."""
        head, formula = self.head, "0"
        if head is not None:
            formula = self._formula(head, "dp", self.symbol) or f"{name_of(head)}.backward()"
            if self.activation is not None:  # (sigmoid(Z2) - Y) / 400 is (A2 - Y) / 400
                formula = formula.replace(recorder.formulas[self.prediction], self.prediction)
            formula = f"{self.factor}({formula})" if self.factor else formula
        part = "(J)" if recorder.is_taken(self.symbol) else ""
        recorder.add(BACKWARD, f"d{self.symbol}{part}", formula, name_of(head or self.loss), dy)
