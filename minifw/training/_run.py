"""The state of a run: its place, and its values so far."""

import math
from dataclasses import dataclass, field
from typing import Any, ClassVar

from minifw._tools.generators import generator_of
from minifw._tools.numbers import check_count, check_flag, check_number, or_none
from minifw._tools.options import Kept, is_a
from minifw.storage.tree import PLAIN
from minifw.training._history import History
from minifw.training._hooks import EVENTS
from minifw.training._totals import Totals


def _check_plan(owner: str, name: str, plan: Any) -> Any:
    if not isinstance(plan, dict) or not all(isinstance(one, PLAIN) for one in plan.values()):
        raise TypeError(f"{owner} expects {name} to be a dict of plain values, got {plan!r}")
    return plan


def _check_due(owner: str, name: str, due: Any) -> Any:
    if due is not None and due["event"] not in EVENTS:
        raise ValueError(f"{owner} expects {name} to be of an event, got {due!r}")
    return due


def _check_drawn(_owner: str, _name: str, drawn: Any) -> Any:
    for state in (drawn or {}).values():
        generator_of(state["bits"])
    return drawn


@dataclass
class Run(Kept):
    """The state of a run. A checkpoint holds all of it but `owed`, `latest`, `torn` and `kept`.

    Attributes
    ----------
    totals : Totals
        The sums of the current epoch.
    history : History
        What each epoch brought.
    epoch : int
        The number of the current epoch, or of the last one, from 1.
    batch, step : int
        How many batches of this epoch, and of the run, are done.
    batch_loss : float
        The loss of the latest batch.
    begun : bool
        Whether an epoch is under way.
    validating : bool
        Whether the batches of this epoch are done, and its validation is due.
    place : int
        How many batches of this pass through the data are done.
    drawn : dict or None
        The states of the generators that this pass was drawn by, at its start; None between two.
    why : str or None
        Why the run is to stop, or was stopped.
    plan : dict
        What an epoch has in common with its resumption: the rows, the size of a batch, ...
    due : dict or None
        The event of which some callbacks have yet to hear, and their keys.
    seen : int or None
        A checksum of the latest batch.
    first : int or None
        A checksum of the first batch of this pass, where an iterable has no generator to save.
    varies : bool
        Whether that differed from pass to pass.
    owed : dict
        The states of generators that a loaded run had in its data, until `fit` is given them.
    latest : tuple or None
        The latest batch: x, y and the weights.
    torn : bool
        Whether something is under way that cannot be gone on with, such as a step.
    kept : dict or None
        The checkpoint of an interruption, for the end of a run may change the weights.
    """

    _in_checkpoint: ClassVar = {
        "totals": None,
        "history": None,
        "epoch": check_count,
        "batch": check_count,
        "step": check_count,
        "batch_loss": check_number,
        "begun": check_flag,
        "validating": check_flag,
        "place": check_count,
        "drawn": _check_drawn,
        "why": is_a(str, type(None)),
        "plan": _check_plan,
        "due": _check_due,
        "seen": or_none(check_count),
        "first": or_none(check_count),
        "varies": check_flag,
    }

    totals: Totals
    history: History = field(default_factory=History)
    epoch: int = 0
    batch: int = 0
    step: int = 0
    batch_loss: float = math.nan
    begun: bool = False
    validating: bool = False
    place: int = 0
    drawn: dict[str, Any] | None = None
    why: str | None = None
    plan: dict[str, Any] = field(default_factory=dict)
    due: dict[str, Any] | None = None
    seen: int | None = None
    first: int | None = None
    varies: bool = False
    owed: dict[str, Any] = field(default_factory=dict)
    latest: tuple[Any, Any, Any] | None = None
    torn: bool = False
    kept: dict[str, Any] | None = None

    @property
    def batch_x(self) -> Any:
        """The inputs of the latest batch."""
        return None if self.latest is None else self.latest[0]

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the run of a checkpoint, or raise if it holds none."""
        super().load_state_dict(state)
        if len(self.history) != self.epoch - self.begun:
            raise ValueError(
                f"its history has {len(self.history)} epochs, and its run is in epoch {self.epoch}"
            )
