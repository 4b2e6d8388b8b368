"""Which learning rate suits: the loss while it grows."""

import math
from functools import partial
from os import PathLike
from typing import Any, ClassVar

from minifw._tools.numbers import check_positive, check_size
from minifw._tools.options import Option, is_a
from minifw._tools.warn import warn_of_run
from minifw.plots import learning_curves
from minifw.training import Callback, Trainer

MEMORY = 0.9  # the part of the loss that comes from the batches before, in the smoothed one
PUT_BACK = ("model", "optimizer")
WORSE = 4.0  # at how many times the lowest smoothed loss the test ends


class LearningRateTest(Callback):
    """Let the learning rate grow from batch to batch, and look at which one the loss gets worse.

    ::

        lr_i = low (high / low)^(i / (steps - 1))        i = 0, 1, ...

    It ends the run after `steps` batches, or where the loss, smoothed, is four times its lowest.
    Then it puts back the parameters, the buffers and the optimizer as they were before. It is the
    last of the callbacks, because another callback might change them at the end of training.

    Parameters
    ----------
    low, high : float, default 1e-6, 10.0
        The first learning rate and the last; above 0.
    steps : int, default 100
        How many batches; `fit` needs epochs for as many.

    Attributes
    ----------
    low, high, steps
        As given; they may be assigned later.
    lrs, losses : list of float
        The learning rate of each step, and the loss of the batch before that step.

    Raises
    ------
    ValueError
        At the start of training, if the run has fewer batches than `steps`, if `high` is not
        above `low`, or if another callback comes after it.
    RuntimeError
        By `suggestion` and `plot`, before a `fit`.

    Warns
    -----
    TrainingWarning
        If the data come to an end before the test does.

    Notes
    -----
    It is the only callback that sets the learning rate: leave `Scheduled` out. The random
    generators are not put back. A checkpoint holds the test with the state to put back, and the
    test continues from there.

    References
    ----------
    L. N. Smith, "Cyclical learning rates for training neural networks", 2017 (2015), section 3.3.

    Examples
    --------
    >>> from minifw import BCELoss, Dense, LearningRateTest, SGD, Sequential, Sigmoid, Tanh
    >>> from minifw import Trainer
    >>> from minifw.datasets import planar_flower
    >>> x, y = planar_flower()
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    >>> optimizer, test = SGD(model.parameters(), lr=1.2), LearningRateTest(high=1000.0)
    >>> history = Trainer(model, BCELoss(), optimizer, callbacks=[test], rng=0).fit(x, y, epochs=8)
    >>> 0.1 < test.suggestion < 10, optimizer.lr
    (True, 1.2)
    """

    low = Option(check_positive)
    high = Option(check_positive)
    steps = Option(partial(check_size, least=2))
    _in_checkpoint: ClassVar = {"lrs": is_a(list), "losses": is_a(list), "_before": is_a(dict)}

    def __init__(self, low: float = 1e-6, high: float = 10.0, steps: int = 100) -> None:
        self.low, self.high, self.steps = low, high, steps
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self._before: dict[str, Any] = {}  # the states that are put back

    @property
    def smoothed(self) -> list[float]:
        """The losses as means that forget: of each batch a tenth, the rest from those before."""
        mean, found = 0.0, []
        for n, loss in enumerate(self.losses, 1):
            mean = MEMORY * mean + (1 - MEMORY) * loss
            found.append(mean / (1 - MEMORY**n))
        return found

    @property
    def suggestion(self) -> float:
        """A tenth of the learning rate at which the smoothed loss was lowest."""
        if not self.lrs:
            raise RuntimeError("LearningRateTest has made no step to judge by; call fit first")
        smoothed = self.smoothed
        return self.lrs[smoothed.index(min(smoothed))] / 10

    def on_fit_begin(self, trainer: Trainer) -> None:
        """Keep what there is; raise if the run is too short, or the end would not be its own."""
        if trainer.callbacks[-1] is not self:
            raise ValueError(
                f"LearningRateTest expects to be last; move it behind {trainer.callbacks[-1]!r}"
            )
        if self.low >= self.high:
            raise ValueError(f"LearningRateTest expects high above {self.low}, got {self.high}")
        batches = trainer.batches or self.steps  # where it is unknown
        if trainer.epochs * batches < self.steps:
            raise ValueError(
                f"LearningRateTest expects {self.steps} batches, got {trainer.epochs * batches}; "
                f"give fit epochs={math.ceil(self.steps / batches)}, or the test fewer steps"
            )
        self.lrs, self.losses = [], []
        self._before = {name: getattr(trainer, name).state_dict() for name in PUT_BACK}

    def on_backward_end(self, trainer: Trainer) -> None:
        """Set the rate of this step."""
        part = min(1.0, len(self.lrs) / (self.steps - 1))  # an ended test may be gone on with
        trainer.optimizer.lr = self.low * (self.high / self.low) ** part

    def on_batch_end(self, trainer: Trainer) -> None:
        """Note the loss, and end the run if it has seen enough."""
        self.lrs.append(trainer.optimizer.lr)
        self.losses.append(trainer.batch_loss)
        smoothed = self.smoothed
        best, last = min(smoothed), smoothed[-1]
        if len(self.lrs) >= self.steps or last - best > (WORSE - 1) * abs(best):
            trainer.stop(f"the test ends at lr {self.lrs[-1]:.2g}; try lr {self.suggestion:.2g}")

    def on_fit_end(self, trainer: Trainer) -> None:
        """Put back what there was."""
        for name in PUT_BACK:
            getattr(trainer, name).load_state_dict(self._before[name])
        if trainer.history.stopped is None:
            warn_of_run(
                f"LearningRateTest made {len(self.lrs)} of {self.steps} steps; give more epochs"
            )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        before = state["before"] or self._before  # it is empty before the first run
        super().load_state_dict({**state, "before": before})

    def plot(self, path: str | PathLike[str] | None = None) -> Any:
        """Draw the smoothed loss against the learning rate; return the figure of matplotlib.

        Parameters
        ----------
        path : str or path-like, optional
            The file to write.

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        RuntimeError
            Before a `fit`.
        """
        suggestion, curves = self.suggestion, {"step": self.lrs, "loss": self.smoothed}
        figure = learning_curves(curves, time="learning rate")
        figure.axes[0].set(xscale="log", xlim=(self.lrs[0], self.lrs[-1]))
        figure.axes[0].axvline(suggestion, color="grey", linestyle=":")
        if path is not None:
            figure.savefig(path)
        return figure
