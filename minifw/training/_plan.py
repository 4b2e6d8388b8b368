"""The plan of a fit: its data, and how they make an epoch."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from minifw._engine.prediction import inputs, survey
from minifw._tools.checks import describe
from minifw._tools.numbers import check_flag, check_size, or_none
from minifw._tools.rows import WHOLE, Fields
from minifw.core.layer import Layer
from minifw.core.loss import Loss
from minifw.core.optimizer import Optimizer
from minifw.training._data import Batch, Casting, Cuts, held_out, source
from minifw.training._run import Run

STREAMS = ("data", "validation")  # the iterables of a fit, as a checkpoint names them


class How(NamedTuple):
    """How the data make the epochs of a fit."""

    batch_size: int | None
    shuffle: bool
    steps_per_epoch: int | None
    drop_last: bool
    epochs: int

    def checked(self, owner: str) -> "How":
        """Return it as it is kept, or raise."""
        return How(
            or_none(check_size)(owner, "batch_size", self.batch_size),
            check_flag(owner, "shuffle", self.shuffle),
            or_none(check_size)(owner, "steps_per_epoch", self.steps_per_epoch),
            check_flag(owner, "drop_last", self.drop_last),
            check_size(owner, "epochs", self.epochs),
        )


class Plan:
    """The checked arguments of a fit."""

    def __init__(
        self, owner: str, casting: Casting, data: Batch, validation: Any, how: How, *, least: int
    ) -> None:
        how = how.checked(owner)
        self.train = train = source(owner, *data, casting)
        if train.one_shot and how.epochs > 1 and how.steps_per_epoch is None:
            raise ValueError(
                f"{owner} expects batches that it can go through {how.epochs} times, got "
                f"{describe(data[0])}, which gives them once; pass a list, or an object whose "
                "__iter__ starts again"
            )
        size = how.batch_size or train.rows or 1
        if how.drop_last and train.rows is not None and train.rows < size:
            raise ValueError(
                f"{owner} expects at least one batch of {size} rows with drop_last=True, got "
                f"{train.rows} rows; use a smaller batch_size"
            )
        self.how, self.cuts = how._replace(batch_size=size), Cuts(size, how.drop_last, least)
        self.held = held_out(owner, validation, casting, train, how.epochs)
        self.batches = how.steps_per_epoch or train.count(self.cuts)
        both = dict(zip(STREAMS, (self.train, self.held), strict=True))
        # Of the data and of the validation; kept, for a look at them may read a file.
        self.checksums = {n: None if one is None else one.checksum() for n, one in both.items()}
        streams = {name: None if one is None else one.stream for name, one in both.items()}
        # The iterables among them, which may hold random generators.
        self.streams = {name: one for name, one in streams.items() if one is not None}

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of it."""
        return {"rows": self.train.rows, **self.how._asdict(), **self.checksums}

    def facts(self) -> dict[str, Any]:
        """Return what has to be the same on all ranks, or they train on other rows, or wait."""
        plan = {name: fact for name, fact in self.to_dict().items() if name not in STREAMS}
        held = {} if self.held is None else self.held.facts()
        validation = {f"validation {name}": fact for name, fact in held.items()}
        return {**plan, **self.train.facts(), **validation}

    def check_resumes(self, owner: str, run: Run, columns: Sequence[str]) -> None:
        """Raise unless a run that was loaded is gone on with as it was begun."""
        if self.how.epochs < run.epoch:
            raise ValueError(
                f"{owner} expects epochs to be all of the run that was loaded, which is in epoch "
                f"{run.epoch}, got {self.how.epochs}"
            )
        if len(run.history) and run.history.columns != columns:
            raise ValueError(
                f"{owner} goes on with a run whose history has {', '.join(run.history.columns)}, "
                f"got arguments that give {', '.join(columns)}; a new Trainer over the same model "
                "begins a run with these"
            )
        plan = self.to_dict()
        begun = plan | run.plan if run.begun or run.drawn is not None else plan
        free = ("epochs", "validation")  # may be others from here on; as may the loss
        changed = [name for name in plan if plan[name] != begun[name] and name not in free]
        if changed:
            raise ValueError(
                f"{owner} goes on in the middle of epoch {run.epoch}, which was begun with "
                f"{', '.join(f'{name}={begun[name]}' for name in changed)}; got "
                f"{', '.join(f'{name}={plan[name]}' for name in changed)}"
            )


def casting_of(model: Layer, loss: Loss) -> Casting:
    """Return what the data of a model and a loss are cast to."""
    targets, labels = [], []
    names = model.output_names
    for name, one in zip(names, getattr(loss, "losses", (loss,) * len(names)), strict=False):
        # Of an author's loss of several outputs nobody knows how many targets it takes.
        needed = one is not None and one.takes_target and not one.takes_several
        targets.append(name if needed else f"{name}?")
        labels.append(WHOLE * (one is not None and one.takes_labels))
    y = Fields("y", "target", tuple(targets), tuple(labels), not loss.takes_several)
    optional = tuple([f"{name}?" for name in names])
    weight = Fields("sample_weight", "weight", optional, ("",) * len(names))
    return Casting(survey(model).dtype, inputs(model), y, weight)


def check_trained(owner: str, model: Layer, optimizer: Optimizer) -> None:
    """Raise unless the optimizer has all parameters that are trained."""
    held = {id(parameter) for parameter in optimizer.parameters}
    for name, parameter in model.named_parameters():
        if not parameter.frozen and id(parameter) not in held:
            raise ValueError(
                f"{owner} expects an optimizer of all that is trained, {optimizer!r} has not "
                f"{name}; assign a new one to trainer.optimizer, or freeze that layer"
            )
