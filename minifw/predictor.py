"""Predictions planned once: the NumPy calls of a forward, on weights of its own."""

import copy
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from minifw._engine.prediction import ROWS, survey
from minifw._planning.plan import leaves
from minifw._planning.stages import IN_EVAL, Call, Product
from minifw._tools.checks import describe
from minifw._tools.rows import Rows, in_blocks
from minifw.core.layer import Layer
from minifw.layers import Dense, Softmax
from minifw.typing import Array

__all__ = ["Predictor"]

KEPT = 4  # sizes of batches: one row, a block, what is left of one, and one to spare


class Predictor:
    """A model as it is now, for predictions alone: the quickest way to serve one.

    It gives what ``model.predict`` gives, bit for bit, from a copy of the model that it keeps:
    the model may be trained on. For a row or a few it takes a fraction of the time.

    Parameters
    ----------
    model : Layer

    Attributes
    ----------
    planned : bool
        Whether the predictions are planned: the model begins with `Dense`, and consists of
        that, `Tanh`, `ReLU`, `Sigmoid`, `Softmax`, `Dropout` and `Sequential`. Any other model
        works, too, in about the time of its ``forward``.

    Raises
    ------
    TypeError
        If `model` is not a layer.

    Notes
    -----
    Threads may share a predictor; its calls share arrays, so one waits for the other. To
    predict in several threads at once, give each a copy (`copy.deepcopy`). A copy or a pickle
    has a model of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, Predictor, Sequential, Sigmoid
    >>> model = Sequential(Dense(2, 1), Sigmoid())
    >>> model[0].weight.value = [[1.0, -1.0]]
    >>> predict = Predictor(model)
    >>> predict([[3, 3], [1, 1001]])
    array([[0.5],
           [0. ]])
    """

    def __init__(self, model: Layer) -> None:
        if not isinstance(model, Layer):
            raise TypeError(f"Predictor expects model to be a layer, got {describe(model)}")
        self._model = copy.deepcopy(model).eval()
        layers = leaves(self._model)
        self.planned = type(layers[0]) is Dense and all(_known(layer) for layer in layers)
        self._layers = layers if self.planned else []
        _, self._dtype, self._whole = survey(self._model)
        self._plans: dict[Any, _Plan] = {}  # by the shape of x; the latest made last
        self._lock = Lock()  # of their arrays

    def __call__(self, x: npt.ArrayLike) -> Array:
        """Return the model's outputs for all rows of `x`.

        Parameters
        ----------
        x : array of shape (examples, ...)
            It is cast to the dtype of the parameters.

        Returns
        -------
        array of shape (examples, ...)
            A new one.

        Raises
        ------
        TypeError, ValueError
            If `x` holds no real numbers, or no rows, or not of the model's shape.
        """
        if type(x) is np.ndarray and x.dtype == self._dtype:
            plan = self._plans.get(x.shape)
            if plan is not None:
                with self._lock:
                    return plan.run(x).copy()
        rows = Rows("Predictor", "x", x, self._dtype, whole=self._whole)
        with self._lock:
            y = in_blocks(rows, ROWS, self._run)
            # One block is in the array of a plan, or is what a layer got and returned.
            return y.copy() if len(rows) <= ROWS else y

    def _run(self, x: Array) -> Array:
        """Return the outputs for a block of rows, in an array that the next call may reuse."""
        if not self.planned or x.shape[1:] != self._layers[0].input_shape:
            return self._model(x)
        if x.shape not in self._plans:
            if len(self._plans) == KEPT:
                del self._plans[next(iter(self._plans))]
            self._plans[x.shape] = _Plan(self._layers, len(x))
        return self._plans[x.shape].run(x)

    def __getstate__(self) -> dict[str, Any]:
        """Leave the plans behind: they are made anew around the copied model."""
        return {"_model": self._model}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_model"])  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"Predictor({self._model!r})"


class _Plan:
    """The calls for one size of batch."""

    def __init__(self, layers: list[Layer], batch: int) -> None:
        self._first = Product(layers[0], batch)
        self._y, spare = self._first.y, True
        self._calls: list[Call] = self._first.add_bias()
        for layer in layers[1:]:
            stage = IN_EVAL[type(layer)](layer, self._y, spare)
            self._y, spare = stage.y, stage.spare
            self._calls += stage.forward

    def run(self, x: Array) -> Array:
        self._first.times(x)
        for call in self._calls:
            call()
        return self._y


def _known(layer: Layer) -> bool:
    along_rows = not isinstance(layer, Softmax) or layer.axis == -1
    return type(layer) in IN_EVAL and along_rows and "forward" not in vars(layer)
