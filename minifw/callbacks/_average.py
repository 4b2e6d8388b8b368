"""The mean of the weights over the steps, validated and left in the model."""

from typing import Any, ClassVar

import numpy as np

from minifw._tools.changes import CHANGES
from minifw._tools.numbers import check_count, check_decay_rate, or_none
from minifw._tools.options import Option
from minifw._tools.warn import warn_of_run
from minifw.optimizers.wrappers import move_mean
from minifw.training import Callback, Trainer
from minifw.typing import Array

FIRST = 0.1  # the part of the mean that the first weights may have at the end


def _check_arrays(owner: str, name: str, arrays: Any) -> list[Array]:
    """Return a part of a state, or raise unless it is a list of finite arrays."""
    if isinstance(arrays, list) and arrays and all(map(_is_finite, arrays)):
        return arrays
    raise ValueError(f"{owner} expects {name} to be a list of finite arrays")


def _is_finite(array: Any) -> bool:
    floats = isinstance(array, np.ndarray) and array.dtype.kind == "f"
    return floats and bool(np.isfinite(array).all())


_arrays = or_none(_check_arrays)


class Average(Callback):
    """Validate and leave the mean of the weights over the steps: EMA or SWA.

    Training continues with the weights themselves. From the validation of an epoch to the next
    epoch, and after `fit`, the model has their mean: the columns ``val_...`` measure the
    mean, and `EarlyStopping` keeps the best mean.

    Parameters
    ----------
    decay : float, optional
        At least 0 and below 1, such as 0.999, for an exponential moving average (EMA);
        without it all steps count alike, as in stochastic weight averaging (SWA).
    start : int, default 0
        How many epochs come before the first whose steps count. Without decay the late epochs
        should count alone: SWA's authors take the last quarter.

    Attributes
    ----------
    decay, start
        As given; they may be assigned later.
    count : int
        How many steps the mean is of; while it is 0, the model has the weights themselves.

    Raises
    ------
    ValueError
        At the start of training, if the trainer has another `Average`; during training, if a
        callback assigns an optimizer of other parameters after `start`.

    Warns
    -----
    TrainingWarning
        If the run ends before `start`, or has so few steps that the weights of the first one keep
        more than a tenth of the mean: 1 / (1 - decay) should be well below the number of steps.

    Notes
    -----
    The optimizer `Averaged` keeps the same mean for a loop that you write yourself. Here the
    buffers that are floats (the means and variances of `BatchNorm`) are averaged as the parameters
    are, as PyTorch's ``AveragedModel(use_buffers=True)`` and Lightning do; Keras leaves them as
    training has them. That is near to the statistics that the averaged weights give. For these
    themselves, run some epochs of training batches through the model in train mode, after `fit`.

    Put it before the other callbacks: `EarlyStopping` behind it leaves the best mean. A checkpoint
    holds the weights and the mean, and the run continues with the same bytes. A new run
    begins with the mean that the last one left.

    References
    ----------
    P. Izmailov et al., "Averaging weights leads to wider optima and better generalization",
    2018, algorithm 1; B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic
    approximation by averaging", 1992.

    Examples
    --------
    >>> from minifw import Average, Dense, MSELoss, SGD, Trainer
    >>> model = Dense(1, 1, bias=False)
    >>> model.weight.value = [[0.0]]
    >>> optimizer = SGD(model.parameters(), lr=0.25)
    >>> trainer = Trainer(model, MSELoss(), optimizer, callbacks=[Average()])
    >>> history = trainer.fit([[1.0]], [[1.0]], epochs=2)  # to 0.5, 0.75
    >>> model.weight.value
    array([[0.625]])
    """

    _in_checkpoint: ClassVar = {"count": check_count, "_mean": _arrays, "_kept": _arrays}

    decay = Option(or_none(check_decay_rate))
    start = Option(check_count)
    count = 0
    _mean: list[Array] | None = None
    _kept: list[Array] | None = None  # the weights, while the mean is in their place
    _seen: tuple[Any, ...] = ()

    def __init__(self, decay: float | None = None, start: int = 0) -> None:
        self.decay, self.start = decay, start

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Forget an earlier run; raise if there are two, and warn if the run is too short."""
        if sum(isinstance(one, Average) for one in trainer.callbacks) > 1:
            raise ValueError(
                "Average expects to be the only one of its kind, got two; leave one out"
            )
        self.count, self._mean, self._kept, self._seen = 0, None, None, ()
        steps = max(0, trainer.epochs - self.start) * (trainer.batches or 10**9)  # unknown: enough
        if (self.decay or 0.0) ** steps > FIRST:  # of no steps it is 1
            warn_of_run(
                f"{self!r} makes its mean of {steps} steps, which are too few; pass a smaller "
                "start, or a decay whose 1 / (1 - decay) is well below the number of steps"
            )

    def on_epoch_begin(self, trainer: Trainer) -> None:
        """Train with the weights themselves."""
        if self._kept is not None:
            self._put(trainer, self._kept)
            self._kept = None

    def on_batch_end(self, trainer: Trainer) -> None:
        """Move the mean."""
        if trainer.epoch <= self.start:
            return
        arrays = self._found(trainer)
        self._mean = self._mean or [np.zeros_like(array) for array in arrays]
        self.count += 1
        for mean, array in zip(self._mean, arrays, strict=True):
            move_mean(mean, array, self.count, self.decay)

    def on_validation_begin(self, trainer: Trainer) -> None:
        """Put the mean in place of the weights."""
        if self._mean is not None and self._kept is None:
            self._kept = [array.copy() for array in self._found(trainer)]
            self._put(trainer, self._mean)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Leave the mean."""
        self.on_validation_begin(trainer)

    def _found(self, trainer: Trainer) -> list[Array]:
        """Return what is averaged: the vector of all parameters, and the buffers of floats."""
        vector = trainer.optimizer._vector
        now = vector, vector.memory.moved, CHANGES.count
        if self._seen != now:  # else all is where it was: the search costs as much as a small step
            vector.refresh()
            buffers = [b for _, b in trainer.model.named_buffers() if b.dtype.kind == "f"]
            arrays = [vector.values, *buffers]
            shapes = [a.shape for a in arrays]
            if any([a.shape for a in one] != shapes for one in (self._mean, self._kept) if one):
                raise ValueError(
                    "Average expects the parameters that its mean is of, got others; load a "
                    "checkpoint of this model, or let it start with the new optimizer"
                )
            self._seen, self._arrays = now, arrays
        return self._arrays

    def _put(self, trainer: Trainer, values: list[Array]) -> None:
        for array, value in zip(self._found(trainer), values, strict=True):
            array[...] = value

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, or raise if no run leaves such."""
        if (state["mean"] is None) != (state["count"] == 0):
            raise ValueError(f"Average expects a mean of {state['count']} steps, got another")
        super().load_state_dict(state)

    def __repr__(self) -> str:
        return f"Average(decay={self.decay}, start={self.start})"
