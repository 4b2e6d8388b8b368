"""More than one machine: data-parallel training on MPI, through mpi4py."""

import copy
import math
import sys
import time
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

import numpy as np

from minifw._engine.team import Team
from minifw._tools.checks import check_is, describe
from minifw._tools.extras import needs
from minifw._tools.generators import find_generators
from minifw._tools.options import delegated
from minifw._tools.rows import cut, first
from minifw.core.layer import Layer
from minifw.core.loss import Loss
from minifw.core.objective import Objective
from minifw.errors import NonFiniteError
from minifw.optimizers import Optimizer
from minifw.training._team import ALONE, by_rank
from minifw.typing import Array

__all__ = ["DataParallel"]

_T = TypeVar("_T")

# What stands before the gradient in the one buffer that is added up over the ranks: the weight of
# the rank's rows; its loss times that; whether it failed; whether it was asked to stop; whether it
# is in a step (and not between steps, in `together`). Then what tells batches of different lengths
# apart: two digits of the length, and the square of each. (Numbers are equal if and only if the
# square of their sum is their count times the sum of their squares.)
_WEIGHT, _LOSS, _FAILED, _ASKED, _STEP, _DIGITS = range(6)
_HEAD = _DIGITS + 4

# So long a rank waits for the one that failed first to end the job with its own message.
_GRACE_SECONDS = 5.0


class DataParallel(Team, Optimizer):
    """Steps an optimizer by the gradient of a batch whose rows are shared out over MPI's ranks.

    Every rank holds the whole model. In each step it computes the gradient of its own rows of
    the batch; one all-reduce adds these up, weighted by what the rows count, and all ranks
    make the same step. So the parameters stay the same on all of them.

    Parameters
    ----------
    optimizer : Optimizer
        Built over the model's parameters, on every rank. Parameters and state are copied from rank
        0.
    comm : mpi4py.MPI.Comm, optional
        By default ``MPI.COMM_WORLD``: all processes that ``mpirun`` started.

    Attributes
    ----------
    optimizer : Optimizer
        As given: `lr`, `steps` and `state_dict` are its own.
    comm : mpi4py.MPI.Comm
    rank, size : int
        The number of this process, from 0; how many there are.
    main : bool
        Whether this is rank 0: the one that should print and write.
    asked : bool
        Whether any rank had been asked to stop when the latest step was made.
    torn : bool
        Whether an error, such as a second Ctrl-C, came while the ranks exchanged numbers: they
        cannot meet again.

    Raises
    ------
    ImportError
        If mpi4py or an MPI library is not installed.
    RuntimeError
        On all ranks, when one of them raises in `gradient` or `together`, or is elsewhere.
    ValueError
        On all ranks, when they give `gradient` batches of different lengths.
    NonFiniteError
        On all ranks, when a loss or a gradient of one is not finite.

    Notes
    -----
    In a job of more than one rank over COMM_WORLD, an error that nobody catches prints its
    traceback with the number of the rank and ends the job (``MPI_Abort``): the others would never
    end. ``sys.exit`` on one rank alone is not an error to Python; run ``mpirun -n 4 python -m
    mpi4py script.py`` where a script does that.

    A job of one rank trains with the same bits as the optimizer alone.

    Examples
    --------
    The same lines on every rank; with ``mpirun -n 4`` each has a quarter of the rows:

    >>> from minifw import BCELoss, Dense, Objective, SGD, Sequential, Sigmoid, Tanh
    >>> from minifw.datasets import planar_flower
    >>> from minifw.interop.mpi import DataParallel
    >>> x, y = planar_flower()
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    >>> objective = Objective(model, BCELoss())
    >>> parallel = DataParallel(SGD(model.parameters(), lr=1.2))
    >>> for iteration in range(100):
    ...     cost = parallel.gradient(objective, x, y)
    ...     parallel.step()
    >>> if parallel.main:
    ...     print(f"{cost:.3f}")
    0.343
    """

    lr: Any = delegated("optimizer")
    steps: Any = delegated("optimizer")
    update: Any = delegated("optimizer")
    state_dict: Any = delegated("optimizer")
    load_state_dict: Any = delegated("optimizer")
    _kind: Any = delegated("optimizer")
    outermost = True  # around every other wrapper

    def __init__(self, optimizer: Optimizer, comm: Any = None) -> None:
        mpi = _mpi()
        if not isinstance(optimizer, Optimizer) or isinstance(optimizer, DataParallel):
            raise TypeError(
                f"DataParallel expects an optimizer such as SGD, got {describe(optimizer)}"
            )
        if comm is None:
            comm = mpi.COMM_WORLD
        check_is("DataParallel", "comm to be an MPI.Intracomm", comm, mpi.Intracomm)
        self.optimizer, self._vector = optimizer, optimizer._vector
        self.comm = comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self.main = self.rank == 0
        self.asked = self.torn = False
        self._latest = object()  # stands for the latest time that all ranks met
        self._sum = mpi.SUM
        self._in_place = mpi.IN_PLACE
        self._averaged = False
        self._weight = 1.0  # of the rows that `shard` gave out
        self._prepared: weakref.WeakSet[Layer] = weakref.WeakSet()
        self._buffer: Array = np.zeros(0, self._vector.values.dtype)
        # The base of a length's digits: sums of squares are exact in the dtype of the buffer.
        exact = 2 ** (np.finfo(self._buffer.dtype).nmant + 1)
        self._base = max(2, math.isqrt(exact // self.size))
        if self.size > 1:
            if comm.Get_size() == mpi.COMM_WORLD.Get_size():
                _end_the_job_at_an_error(comm)
            shapes = comm.allgather((self._vector.values.shape, str(self._vector.values.dtype)))
            if len(set(shapes)) > 1:
                raise ValueError(
                    "DataParallel expects the same model on every rank, got "
                    f"{' and '.join(sorted({f'{s[0]} {d} numbers' for s, d in shapes}))}"
                )
            comm.Bcast(self._vector.values)
            optimizer.load_state_dict(comm.bcast(optimizer.state_dict()))

    # -- as an optimizer -----------------------------------------------------------

    def step(self) -> None:
        """Average the gradients, unless that was done, and let the optimizer make its step."""
        if not self._averaged:
            self.average()
        self._averaged, self._weight = False, 1.0
        self.optimizer.step()

    def __repr__(self) -> str:
        return f"DataParallel({self.optimizer!r}, rank {self.rank} of {self.size})"

    # -- a step ----------------------------------------------------------------------

    def rows(self, count: int) -> slice:
        """Return which of `count` rows are this rank's: as equal parts as can be.

        Examples
        --------
        >>> from minifw import SGD, Parameter
        >>> from minifw.interop.mpi import DataParallel
        >>> DataParallel(SGD([Parameter([0.0])], lr=1.0)).rows(10)  # of one rank
        slice(0, 10, None)
        """
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def shard(self, *arrays: Array) -> tuple[Array, ...]:
        """Return this rank's rows of each array, and weight the next `step` by their number."""
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1:
            raise ValueError(
                f"DataParallel.shard expects arrays of one length, got {sorted(lengths)}"
            )
        mine = self.rows(lengths.pop())
        self._weight = float(mine.stop - mine.start)
        return tuple(array[mine] for array in arrays)

    def average(self, loss: float = 0.0, weight: float | None = None) -> float:
        """Replace the gradients by their weighted mean over the ranks; return the losses' mean.

        For a loop that calls forward and backward itself; `step` does it where nobody did.

        Parameters
        ----------
        loss : float, default 0.0
            Of this rank's rows.
        weight : float, optional
            What they count: their number, or the sum of their weights; 0 for none, and then
            loss and gradient are not looked at. By default the weight of the latest `shard`.
        """
        own = self._weight if weight is None else float(weight)
        if not (own >= 0 and np.isfinite(own)):
            raise ValueError(f"DataParallel expects weight to be at least 0, got {weight!r}")
        if self.size > 1:
            loss = self._reduce(loss, own, [], [])
        self._averaged = True
        return loss

    def gradient(
        self,
        objective: Objective,
        x: Any,
        target: Any,
        sample_weight: Any = None,
        *,
        local: bool = False,
        measure: Callable[[Any, Any, Any], None] | None = None,
        asked: bool = False,
    ) -> float:
        """Set the gradient of a batch on all ranks, each working on its rows; return its loss.

        Parameters
        ----------
        objective : Objective
        x, target : array of shape (batch, ...)
            The whole batch, the same on all ranks; ranks that give other numbers of rows get an
            error. Where there are fewer rows than ranks, some ranks have none, and wait. Tuples
            of several inputs and outputs.
        sample_weight : array of shape (batch,), or more leading axes, or a tuple, optional
            With several outputs, all parts of the loss have to count the same on each rank.
        local : bool, default False
            Whether the rows are this rank's own, which no other has; there may be none.
        measure : callable, optional
            Called with the prediction, the target and the weights of this rank's rows.
        asked : bool, default False
            Whether this rank was asked to stop; the attribute `asked` then says so on all.

        Returns
        -------
        float
            The mean loss of the whole batch.
        """
        self.prepare(objective.model)
        batch = None if local else (len(first(x)), sample_weight is not None)
        if batch and self.size > 1:
            x, target, sample_weight = cut((x, target, sample_weight), self.rows(batch[0]))
        buffers = [b for _, b in objective.model.named_buffers() if b.dtype.kind == "f"]
        before = [b.copy() for b in buffers] if self.size > 1 else []
        self._latest = object()
        loss = weight = 0.0
        try:
            if len(first(x)):
                weight = self._weight_of(objective.loss, x, target, sample_weight)
            if weight:
                inner = self.optimizer  # which may be `Accumulate`, that works in pieces
                own = inner if isinstance(inner, Team) else ALONE
                loss = own.gradient(objective, x, target, sample_weight, measure=measure)
        except BaseException as error:
            self.tell(error)
            raise
        self.asked = asked
        if self.size > 1:
            loss = self._reduce(loss, weight, buffers, before, asked, batch=batch)
        self._averaged = True
        return loss

    def _weight_of(self, loss: Loss, x: Any, target: Any, sample_weight: Any) -> float:
        """Return what this rank's rows count, or raise if one number cannot say it."""
        counts = loss.total_weights(first(x), target, sample_weight)
        if self.size > 1 and not np.allclose(counts, counts[0], rtol=1e-12, atol=0):
            raise ValueError(
                f"DataParallel expects all parts of {loss!r} to count the same on a rank, got "
                f"{', '.join(f'{count:g}' for count in counts)}; one mean over the ranks would "
                "weight them wrongly: give all outputs the same weights, or train on one rank"
            )
        return sum(counts)

    def _reduce(
        self,
        loss: float,
        weight: float,
        buffers: list[Array],
        before: list[Array],
        asked: bool = False,
        *,
        batch: tuple[int, bool] | None = None,
    ) -> float:
        """Do the one all-reduce of a step, and put the means in their places."""
        vector = self._vector
        if vector.memory.moved:
            vector.refresh()
        extra = sum(b.size for b in buffers)
        size = vector.grads.size
        total = self._empty(size)
        total[_WEIGHT], total[_ASKED], total[_STEP] = weight, asked, 1
        if batch is not None:  # else digits of 0, which no whole batch has
            code = (2 * batch[0] + batch[1] + 1) % self._base**2
            for at, digit in enumerate(divmod(code, self._base), _DIGITS):
                total[at], total[at + 2] = digit, digit**2
        if weight:  # else the gradients are an earlier step's
            total[_LOSS] = weight * loss
            with np.errstate(over="ignore"):  # the optimizer says it, on all ranks
                np.multiply(vector.grads, weight, out=total[_HEAD:])
        self._meet(total)
        everything = float(total[_WEIGHT])
        self.asked = bool(total[_ASKED])
        self._check_lengths([int(v) for v in total[_DIGITS:_HEAD]], batch)
        self.torn = bool(extra)  # there is more to exchange
        if not everything:
            raise self._of_all(
                ValueError("DataParallel: no row of any rank counts; all weights are 0")
            )
        np.divide(total[_HEAD:], everything, out=vector.grads)
        if extra:
            self._average_buffers(buffers, before, weight / everything)
        self.torn = False
        return float(total[_LOSS]) / everything

    def _check_lengths(self, sums: list[int], batch: tuple[int, bool] | None) -> None:
        """Raise on all ranks if they were given batches that differ in length, or in weights."""
        high, low, high2, low2 = sums
        if self.size * high2 == high**2 and self.size * low2 == low**2:
            return
        texts = []
        for one in self.comm.allgather(batch):
            weighted = " with weights" if one and one[1] else ""
            texts.append(f"{one[0]} rows{weighted}" if one else "rows of its own")
        raise self._of_all(
            ValueError(
                "DataParallel.gradient expects the whole batch, the same on every rank, got "
                f"{by_rank(texts)}; give it to all of them, or local=True on all for rows that "
                "only one rank has"
            )
        )

    def _average_buffers(self, buffers: list[Array], before: list[Array], share: float) -> None:
        """Add the mean of the changes, so what does not change keeps its bits."""
        changes = [(b - a).ravel() * share for b, a in zip(buffers, before, strict=True)]
        change = np.concatenate(changes)
        self.comm.Allreduce(self._in_place, change, op=self._sum)
        parts = np.split(change, np.cumsum([b.size for b in buffers])[:-1])
        for buffer, old, part in zip(buffers, before, parts, strict=True):
            buffer[...] = old + part.reshape(buffer.shape)

    # -- all ranks as one --------------------------------------------------------------

    def prepare(self, model: Layer) -> None:
        """Copy a model's buffers from rank 0, and give each rank its own random numbers.

        `gradient` and `Trainer` do it once for each model. The generators of layers (`Dropout`),
        equal on all ranks at first, continue from seeds that they and the rank give; rank 0
        keeps its own.
        """
        if self.size == 1 or model in self._prepared:
            return
        self._prepared.add(model)
        state = self.together(model.state_dict)[0]
        model.load_state_dict(state)
        self.scatter(model)

    def scatter(self, model: Layer) -> None:
        """Let the generators of a model continue from seeds that differ by rank; not on rank 0."""
        if self.main:
            return
        for generator in find_generators({"model": model}).values():
            if isinstance(generator, np.random.Generator):
                bits: Any = generator.bit_generator
            else:
                bits = generator._bit_generator
            seed = np.random.Generator(copy.deepcopy(bits)).integers(2**32, size=8).tolist()
            bits.state = type(bits)([*seed, self.rank]).state

    def together(self, work: Callable[[], _T]) -> list[_T]:
        """Return what `work` returns on every rank; if it raises on one, raise on all.

        Every rank has to call it.

        Examples
        --------
        >>> from minifw import SGD, Parameter
        >>> from minifw.interop.mpi import DataParallel
        >>> parallel = DataParallel(SGD([Parameter([0.0])], lr=1.0))
        >>> parallel.together(lambda: parallel.rank)  # of one rank
        [0]
        """
        if self.size == 1:
            return [work()]
        self._latest = object()  # what was raised before, all ranks have left behind
        try:
            result = work()
        except BaseException as error:
            self.tell(error)
            raise
        self._meet(self._empty(self._vector.grads.size))
        found: list[_T] = self.comm.allgather(result)
        self.torn = False
        return found

    def heard(self, asked: bool) -> bool:  # noqa: ARG002 - of this rank, which told the others
        """Return whether any rank had been asked to stop when the latest step was made."""
        return self.asked

    def tell(self, error: BaseException) -> None:
        """Let the other ranks raise a RuntimeError where they next wait for this one.

        For an error that is caught on this rank alone, outside `gradient` and `together`, which
        do it themselves, as `Trainer.fit` does. An error that all ranks know is not told again.

        Examples
        --------
        >>> from minifw import SGD, Parameter
        >>> from minifw.interop.mpi import DataParallel
        >>> parallel = DataParallel(SGD([Parameter([0.0])], lr=1.0))
        >>> try:
        ...     raise OSError("disk full")
        ... except OSError as error:
        ...     parallel.tell(error)  # of one rank: there is nobody to tell
        """
        if self.size == 1 or self.torn or self._known(error):
            return
        total = self._empty(self._vector.grads.size)
        total[_FAILED] = 1
        self.torn, self._latest = True, object()
        self.comm.Allreduce(self._in_place, total, op=self._sum)
        self.comm.allgather(
            (isinstance(error, NonFiniteError), f"{type(error).__name__}: {error}")
        )
        self._of_all(error)

    def _empty(self, size: int) -> Array:
        """Return the buffer, of zeros."""
        if self._buffer.size != _HEAD + size:
            self._buffer = np.zeros(_HEAD + size, self._vector.values.dtype)
        self._buffer[...] = 0
        return self._buffer

    def _meet(self, total: Array) -> None:
        """Add up the buffers of all ranks, which is where they wait for each other."""
        if self.torn:
            raise RuntimeError(
                "DataParallel cannot go on after an error that came while the ranks exchanged "
                "numbers, such as a second Ctrl-C; start the job again"
            )
        own_step = bool(total[_STEP])
        self.torn, self._latest = True, object()  # until all is exchanged
        self.comm.Allreduce(self._in_place, total, op=self._sum)
        if total[_FAILED]:
            self._raise(self.comm.allgather(None))
        stepping = round(float(total[_STEP]))
        if stepping not in (0, self.size):
            here = "in a step" if own_step else "not"
            raise self._of_all(
                RuntimeError(
                    f"DataParallel: {stepping} of {self.size} ranks are in a step, rank "
                    f"{self.rank} is {here}; every rank needs the same number of batches, and "
                    "callbacks that stop training must do so on all ranks"
                )
            )

    def _of_all(self, error: BaseException) -> BaseException:
        """Note that all ranks raise an error now, this one or another."""
        vars(error)["known_since"] = self._latest
        self.torn = False
        return error

    def _known(self, error: BaseException) -> bool:
        """Return whether all ranks have raised since they last met: this, or what it came from."""
        cause: BaseException | None = error
        while cause is not None:
            if vars(cause).get("known_since") is self._latest:
                return True
            cause = cause.__context__
        return False

    def _raise(self, errors: list[tuple[bool, str] | None]) -> None:
        """Raise what the ranks that failed have said."""
        told = {rank: said for rank, said in enumerate(errors) if said is not None}
        text = "; ".join(f"rank {rank} failed: {said[1]}" for rank, said in told.items())
        numerical = all(said[0] for said in told.values())
        error = NonFiniteError(text) if numerical else RuntimeError(text)
        vars(error)["of_another_rank"] = True
        raise self._of_all(error)


def _end_the_job_at_an_error(comm: Any) -> None:
    """Let an error that nobody catches end all processes, after its traceback was printed."""
    before = sys.excepthook
    if getattr(before, "ends_the_job", False):
        return

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if getattr(error, "of_another_rank", False):
            time.sleep(_GRACE_SECONDS)  # the rank that failed prints its own, and ends the job
        print(f"rank {comm.Get_rank()} of {comm.Get_size()}:", file=sys.stderr)  # noqa: T201
        before(kind, error, trace)
        sys.stdout.flush()
        sys.stderr.flush()
        comm.Abort(1)

    vars(hook)["ends_the_job"] = True
    sys.excepthook = hook


def _mpi() -> Any:
    with needs("minifw.interop.mpi", "mpi4py and an MPI library", "mpi"):
        from mpi4py import MPI  # noqa: PLC0415 - optional
    return MPI
