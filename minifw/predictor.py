"""Fast predictions, from a copy of a model."""

import copy
from math import isfinite
from threading import Lock
from typing import Any

import numpy as np

from minifw._engine.prediction import ROWS, check_finite, in_blocks, inputs, survey
from minifw._engine.replay import Replay
from minifw._engine.steps import stepping
from minifw._tools.checks import describe
from minifw._tools.locks import mend_after_fork
from minifw._tools.numbers import check_flag
from minifw.core.layer import Layer

__all__ = ["Predictor"]


class Predictor:
    """A model as it is now, for predictions alone: the fastest way to serve one.

    It gives what ``model.predict`` gives, bit for bit, from a copy of the model that it keeps:
    the model may be trained on. For a row or a few it takes a fraction of the time.

    Parameters
    ----------
    model : Layer
    replay : bool, default True
        Whether NumPy calls are recorded at all. With False the text of the layers runs each
        time, as a debugger needs it.

    Attributes
    ----------
    planned : bool
        Whether small predictions are recorded and made again: all layers declare `replayable`.
        Any other model works, too, in about the time of its ``forward``.

    Raises
    ------
    TypeError
        If `model` is not a layer.

    Notes
    -----
    Threads may share a predictor; its calls share arrays, so one waits for the other. To
    predict in several threads at once, give each a copy (`copy.deepcopy`). A copy or a pickle
    has a model of its own.

    `step` serves a model of sequences place by place. A predictor keeps one such conversation,
    which a copy branches; other predictions do not disturb it.

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

    def __init__(self, model: Layer, *, replay: bool = True) -> None:
        if not isinstance(model, Layer):
            raise TypeError(f"Predictor expects model to be a layer, got {describe(model)}")
        self._model = copy.deepcopy(model).eval()
        self._step = Replay(self._model, None, enabled=check_flag("Predictor", "replay", replay))
        self._dtype, self._inputs = survey(self._model).dtype, inputs(self._model)
        self._plain = self._inputs.alone and len(self._model.output_names) == 1
        self._lock = Lock()  # of the arrays of the recordings, and of the state
        self._conversation: tuple[Any, Any] = None, None  # how many rows `step` had, and its state
        mend_after_fork(self)

    @property
    def planned(self) -> bool:
        """Whether small predictions are recorded and made again."""
        return self._step.possible

    def __call__(self, x: Any, *, allow_nan: bool = False) -> Any:
        """Return the model's outputs for all rows of `x`.

        Parameters
        ----------
        x : array of shape (examples, ...)
            It is cast to the dtype of the parameters. With several inputs, it is a tuple of
            arrays, or a dict by name.
        allow_nan : bool, default False
            Whether outputs may be NaN or infinite.

        Returns
        -------
        array of shape (examples, ...), or a tuple of several outputs
            New ones.

        Raises
        ------
        TypeError, ValueError
            If `x` holds no real numbers, or no rows, or not of the model's shape.
        NonFiniteError
            If an output is NaN or infinite; it names the first such row, and whether that
            row of `x` is finite.
        """
        if self._plain and type(x) is np.ndarray and x.dtype == self._dtype and 0 < len(x) <= ROWS:
            with self._lock:
                y = self._step.predict(x)
                if y.ndim and len(y) == len(x):
                    y = y.copy()
                    if not (allow_nan or (y.size == 1 and isfinite(y.item()))):
                        check_finite("Predictor", x, y)  # half a microsecond: not for one number
                    return y
        rows: Any = self._inputs.rows("Predictor", x, self._dtype)
        with self._lock:
            names = self._model.output_names
            y = in_blocks(rows, ROWS, self._step.predict, names, allow_nan=allow_nan)
            # One block is in the array of a recording, or is what a layer got and returned.
            return y.copy() if len(rows) <= ROWS and self._plain else y

    def step(self, x: Any, *, allow_nan: bool = False) -> Any:
        """Return the model's outputs at one more place of time, and keep the state.

        Parameters
        ----------
        x : array of shape (batch, ...)
            One place of each sequence, without the axis of time. It is cast as in a call; of
            several inputs it is a tuple of arrays, or a dict by name.
        allow_nan : bool, default False
            Whether outputs may be NaN or infinite.

        Returns
        -------
        array of shape (batch, ...), or a tuple of several outputs
            What the model gives at this place for all places since `reset`.

        Raises
        ------
        TypeError
            If a layer cannot advance by one place; see `Layer.step`.
        ValueError
            If `x` is not of the model's shape, or has another number of rows than before.
        NonFiniteError
            If an output is NaN or infinite.

        Notes
        -----
        A step that raises does not count: the next one continues from the places before.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import LSTM, Predictor
        >>> predict = Predictor(LSTM(2, 1, rng=0))
        >>> first, second = predict.step([[1, 2]]), predict.step([[1, 2]])
        >>> predict.reset()
        >>> bool(second == first), bool(predict.step([[1, 2]]) == first)
        (False, True)
        """
        rows: Any = self._inputs.rows("Predictor.step", x, self._dtype)
        made: list[Any] = []  # the new state, which counts if the outputs are finite

        def go_on(x: Any) -> Any:
            y, new = self._model.step(x, state)
            made.append(new)
            return y

        with self._lock, stepping():
            count, state = self._conversation
            if count not in (None, len(rows)):
                raise ValueError(
                    f"Predictor.step expects {count} rows, as at the places before, got "
                    f"{len(rows)}; for other sequences call reset() first"
                )
            names = self._model.output_names
            y = in_blocks(rows, len(rows), go_on, names, allow_nan=allow_nan)
            self._conversation = len(rows), made[0]
        return y

    def reset(self) -> None:
        """Forget all places: the next `step` is the first of new sequences."""
        self._conversation = None, None

    def _after_fork(self) -> None:
        self._lock = Lock()  # another thread may have held it, which the child does not have

    def __getstate__(self) -> dict[str, Any]:
        """Leave the recordings behind: they are made for the copied model."""
        steps = copy.deepcopy(self._conversation)
        return {"model": self._model, "replay": self._step.enabled, "steps": steps}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["model"], replay=state["replay"])  # type: ignore[misc]
        self._conversation = state["steps"]

    def __repr__(self) -> str:
        return f"Predictor({self._model!r})"
