"""Optimizers around another: it makes the step, and then they do their own work.

Lookahead and Averaged; and Accumulate, which sees to the gradient before the step.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from minifw._engine.prediction import survey
from minifw._engine.team import Team
from minifw._tools.checks import check_is
from minifw._tools.numbers import (
    check_count,
    check_decay_rate,
    check_fraction,
    check_size,
    or_none,
)
from minifw._tools.options import Option, Vector, delegated, options_of
from minifw._tools.rows import cut, first
from minifw.core.objective import Objective
from minifw.core.optimizer import Optimizer
from minifw.typing import Array

__all__ = ["Accumulate", "Averaged", "Lookahead"]


class Wrapper(Optimizer):
    """An optimizer that lets another make the step, and then does its own `update`.

    A subclass names its options, and the vectors of its state in `_vectors`.
    """

    lr: Any = delegated("optimizer")
    steps: Any = delegated("optimizer")
    weight_decay: Any = delegated("optimizer")  # if the optimizer has one
    declared: Any = delegated("optimizer")  # to the kit
    outermost = False  # whether it works only around all others

    def __init__(self, optimizer: Optimizer) -> None:
        owner = type(self).__name__
        check_is(owner, "an optimizer, such as SGD", optimizer, Optimizer, call="(parameters)")
        if getattr(optimizer, "outermost", False):
            kind = type(optimizer).__name__
            raise ValueError(
                f"{owner} expects an optimizer that works inside it, got {kind}, which works only "
                f"around all others; write {kind}({owner}(...))"
            )
        self.optimizer, self._vector = optimizer, optimizer._vector

    def step(self) -> None:
        """Let the optimizer update the parameters, and continue from there."""
        self.optimizer.step()
        self.update(self._vector.values, self._vector.grads)

    def _values(self) -> Array:
        """Return the vector of all parameters, wherever they are now."""
        self._vector.refresh()
        return self._vector.values

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the options and vectors, and the state of the optimizer."""
        own = {name: getattr(self, name) for name in (*options_of(type(self)), *self._vectors)}
        return {**copy.deepcopy(own), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, or raise as `Optimizer` does."""
        before = self.optimizer.state_dict()
        try:
            super().load_state_dict(state)
        except (TypeError, ValueError):
            self.optimizer.load_state_dict(before)
            raise

    def _taken(self, key: str, own: Any, new: Any) -> Any:
        if key != "optimizer":
            return super()._taken(key, own, new)
        self.optimizer.load_state_dict(new)  # undone where there is another fault
        return self.optimizer


class Lookahead(Wrapper):
    """Every k steps of an optimizer, the parameters go back to a point on their way.

    ::

        k times:  theta <- a step of the optimizer
        theta <- phi + alpha (theta - phi)        phi is theta before the k steps

    Parameters
    ----------
    optimizer : Optimizer
        Over the parameters; any one.
    k : int, default 5
        The steps between two returns. The paper's defaults.
    alpha : float, default 0.5
        From 0 to 1: which part of the way is kept.

    Attributes
    ----------
    optimizer : Optimizer
        As given: `lr` and `steps` are its own.
    k, alpha
        As given; they may be assigned later.
    slow : array of shape (number of elements,) or None
        phi; None between a return and the next step.

    Raises
    ------
    NonFiniteError, RuntimeError
        By `step`, as the optimizer does.

    Notes
    -----
    Call `step` of this one only; a schedule may be built over either. The optimizer keeps
    its own state at a return, as in the paper's experiments. Under `DataParallel` it stands
    inside: ``DataParallel(Lookahead(...))``.

    References
    ----------
    M. Zhang, J. Lucas, G. Hinton and J. Ba, "Lookahead optimizer: k steps forward, 1 step
    back", 2019, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Lookahead, Parameter
    >>> p = Parameter(np.zeros(1))
    >>> optimizer = Lookahead(SGD([p], lr=1.0), k=2)
    >>> p.grad = [-1.0]
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     print(p.value)
    [1.]
    [1.]
    [2.]
    [2.]
    """

    k = Option(check_size)
    alpha = Option(check_fraction)
    slow: Any  # or None
    _vectors: ClassVar = {"slow": Vector(when="k")}

    def __init__(self, optimizer: Optimizer, k: int = 5, alpha: float = 0.5) -> None:
        super().__init__(optimizer)
        self.k = k
        self.alpha = alpha
        self.slow = None

    def step(self) -> None:
        """Let the optimizer make its step; the k-th is followed by the return."""
        start = self._values().copy() if self.slow is None else self.slow
        self.optimizer.step()
        self.slow = start  # now, for a step that is refused changes nothing
        self.update(self._vector.values, self._vector.grads)

    def update(self, values: Array, grads: Array) -> None:  # noqa: ARG002
        """Go back after k steps."""
        if self.steps % self.k == 0:
            values -= self.slow
            values *= self.alpha
            values += self.slow
            self.slow = None  # what is loaded before the next step counts


def move_mean(mean: Array, value: Array, n: int, decay: float | None) -> None:
    """Move the mean of n - 1 arrays to the mean of n; `Averaged` has the formulas."""
    share = 1 / n if decay is None or n == 1 else 1 - decay
    mean += share * (value - mean)


class Averaged(Wrapper):
    """The mean of the parameters over the steps of an optimizer, beside them.

    After its n-th step that counts::

        a <- a + (theta - a) / n                      without decay: the mean, as in SWA
        a <- decay a + (1 - decay) theta              an exponential moving average;
                                                      the first a is theta

    The training continues as if it were not there.

    Parameters
    ----------
    optimizer : Optimizer
        Over the parameters; any one.
    decay : float, optional
        At least 0 and below 1, such as 0.999; without it all steps count alike.
    start : int, default 0
        How many steps of the optimizer come before the first that counts.

    Attributes
    ----------
    optimizer : Optimizer
        As given: `lr` and `steps` are its own.
    decay, start
        As given; they may be assigned later.
    average : array of shape (number of elements,)
        a, in the order of `parameters`.
    count : int
        n.

    Raises
    ------
    NonFiniteError, RuntimeError
        By `step`, as the optimizer does.

    Notes
    -----
    The validation of a `Trainer` measures the parameters themselves; for the average call
    ``trainer.evaluate``, ``predict`` or ``save`` inside the block of `averaged`. The callback
    `Average` keeps the same mean, and its validation is of the mean.

    The buffers of a model are not averaged: the means of a `BatchNorm` belong to the training
    weights, not to the average. Inside the block, call ``model.train()`` and ``model.forward`` on
    some epochs of training batches before the evaluation. This is PyTorch's ``update_bn``; the
    means stay so until training moves them again.

    The results are as in PyTorch's ``AveragedModel``, with ``get_ema_multi_avg_fn(decay)``
    or by default, if it is updated after each step. A mean without decay should not begin
    at the start of training: see `start`. Call `step` of this one only. Under
    `DataParallel` it stands inside: ``DataParallel(Averaged(...))``.

    References
    ----------
    P. Izmailov et al., "Averaging weights leads to wider optima and better generalization",
    2018, algorithm 1; B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic
    approximation by averaging", 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Averaged, Parameter
    >>> p = Parameter(np.zeros(1))
    >>> optimizer = Averaged(SGD([p], lr=1.0))
    >>> p.grad = [-1.0]
    >>> for _ in range(3):  # to 1, 2, 3
    ...     optimizer.step()
    >>> with optimizer.averaged():
    ...     print(p.value)
    [2.]
    >>> p.value
    array([3.])
    """

    decay = Option(or_none(check_decay_rate))
    start = Option(check_count)
    count = Option(check_count, counts=True)
    _vectors: ClassVar = {"average": Vector()}

    def __init__(self, optimizer: Optimizer, decay: float | None = None, start: int = 0) -> None:
        super().__init__(optimizer)
        self.decay = decay
        self.start = start
        self.count = 0
        self.average = self.zeros()
        self._inside = False  # the block of `averaged`

    def update(self, values: Array, grads: Array) -> None:  # noqa: ARG002
        """Move the average."""
        if self.steps > self.start:
            self.count += 1
            move_mean(self.average, values, self.count, self.decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Put the average in place of the parameters for a ``with`` block.

        Until a step counts, they stay as they are. A step or an assignment inside the block
        is lost, and raises a RuntimeError at its end; so does a checkpoint, at once, because it
        would hold the average in their place.
        """
        kept, steps, outer = self._values().copy(), self.steps, self._inside
        if self.count:
            self._vector.values[...] = self.average
        put, self._inside = self._values().copy(), True
        try:
            yield
        finally:
            found, self._inside = self._values().copy(), outer
            self._vector.values[...] = kept
        if self.steps != steps or not np.array_equal(found, put, equal_nan=True):
            raise RuntimeError(
                "Averaged expects no step and no assignment inside averaged(), at whose end they "
                "are lost; do it after the block"
            )

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state; refuse inside `averaged`."""
        if self._inside:
            raise RuntimeError(
                "Averaged expects no state_dict, and so no checkpoint, inside averaged(), where "
                "the average is in the place of the parameters; take it after the block"
            )
        return super().state_dict()


class Accumulate(Team, Wrapper):
    """Works on a batch in pieces, adds up their gradients, and lets an optimizer make one step.

    ::

        grad = (w_1 grad_1 + ... + w_k grad_k) / (w_1 + ... + w_k)

    where grad_i is the gradient of the mean loss of piece i, and w_i is what its rows count. That
    is the gradient of the whole batch, in the memory of one piece.

    Parameters
    ----------
    optimizer : Optimizer
        Over the parameters; any one.
    micro_batch_size : int
        How many rows a piece has; the last one of a batch has the rest. A rest of one row joins
        the piece before it where the model has a layer that needs two, such as `BatchNorm`.

    Attributes
    ----------
    optimizer : Optimizer
        As given: `lr` and `steps` are its own.
    micro_batch_size
        As given; it may be assigned later.

    Raises
    ------
    NonFiniteError, RuntimeError
        By `step`, as the optimizer does.

    Notes
    -----
    In `Trainer.fit`, ``batch_size=256`` stays one step on 256 rows, whatever the size of the
    pieces. So schedules, ``trainer.step``, `ClipGradNorm` and every callback see what
    they would see without it. In frameworks that add up the gradients of several steps,
    a step of k of them is ``batch_size=k * micro_batch_size`` here.

    `BatchNorm` and `Dropout` see the pieces one by one: the means are of a piece, and move once
    for each.

    It stands around other wrappers: ``Accumulate(Averaged(...))``. A loop that you write
    yourself calls `gradient` before `step`. Under `DataParallel` it stands inside, and cuts
    the rows of each rank: ``DataParallel(Accumulate(...))``.

    References
    ----------
    P. Goyal et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Accumulate, Dense, MSELoss, Trainer
    >>> x, y = np.arange(10.0).reshape(5, 2), np.ones((5, 1))
    >>> ends = []
    >>> for wrap in (lambda one: one, lambda one: Accumulate(one, micro_batch_size=2)):
    ...     model = Dense(2, 1, rng=0)
    ...     trainer = Trainer(model, MSELoss(), wrap(SGD(model.parameters(), lr=0.01)))
    ...     history = trainer.fit(x, y, epochs=3, batch_size=5)
    ...     ends.append(model.weight.value.round(12).tolist())
    >>> ends[0] == ends[1], trainer.step
    (True, 3)
    """

    micro_batch_size = Option(check_size)
    outermost = True

    def __init__(self, optimizer: Optimizer, micro_batch_size: int) -> None:
        super().__init__(optimizer)
        self.micro_batch_size = micro_batch_size

    def update(self, values: Array, grads: Array) -> None:
        """Do nothing more: the optimizer has made the step."""

    def gradient(
        self,
        objective: Objective,
        x: Any,
        target: Any,
        sample_weight: Any = None,
        *,
        measure: Callable[[Any, Any, Any], None] | None = None,
        asked: bool = False,  # noqa: ARG002 - there is no other process to tell
    ) -> float:
        """Set the gradient of a batch, piece by piece, and return the mean loss.

        Parameters
        ----------
        objective : Objective
        x, target : array of shape (batch, ...)
            Tuples of several inputs and outputs.
        sample_weight : array of shape (batch,), or more leading axes, or a tuple, optional
            With several outputs, all parts of the loss have to count the same in each piece.
        measure : callable, optional
            Called with the prediction, the target and the weights of each piece.
        asked : bool, default False
            Not used: there is no other process to tell.
        """
        steps = objective.steps
        whole, loss, total = (x, target, sample_weight), 0.0, self.zeros()
        weights = _weights(objective, *whole)
        if not weights.all():
            objective.forward(*whole)  # which says that nothing counts
        for rows in self._pieces(objective, len(first(x))):
            piece = cut(whole, rows)
            shares = _weights(objective, *piece) / weights
            if not np.allclose(shares, shares[0], rtol=1e-12, atol=0):
                raise ValueError(
                    f"Accumulate expects all parts of {objective.loss!r} to count the same in a "
                    f"piece, got {', '.join(f'{share:g}' for share in shares)} of the batch; "
                    "give all outputs the same weights, or micro_batch_size the batch's"
                )
            if shares[0]:  # else it counts nothing
                loss += shares[0] * objective.forward(*piece)
                if measure is not None:
                    measure(objective.prediction, *piece[1:])
                objective.backward()
                objective.steps = steps  # which counts batches, however many pieces they have
                total += shares[0] * self._vector.grads
        self._vector.grads[...] = total
        objective.steps = steps + 1
        return float(loss)

    def _pieces(self, objective: Objective, rows: int) -> list[slice]:
        """Return the rows of each piece; a rest of too few for a layer joins the one before."""
        ends = [*range(self.micro_batch_size, rows, self.micro_batch_size), rows]
        rest = rows % self.micro_batch_size
        if len(ends) > 1 and rest:  # only then is there something to look for
            least = max([layer.least_rows for layer in survey(objective.model).layers])
            ends = ends[:-2] + ends[-1:] if rest < least else ends
        return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _weights(objective: Objective, x: Any, target: Any, sample_weight: Any) -> Array:
    """Return what the rows count in each part of the loss."""
    return np.array(objective.loss.total_weights(first(x), target, sample_weight))
