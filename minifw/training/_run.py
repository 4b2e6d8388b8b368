"""The state of a run: its place, and its values so far."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minifw._tools.checks import describe
from minifw._tools.generators import generator_of
from minifw._tools.numbers import check_flag, check_number, check_size
from minifw.storage.tree import PLAIN
from minifw.training._history import History
from minifw.training._hooks import EVENTS
from minifw.training._totals import Totals


@dataclass
class Run:
    """The state of a run. A checkpoint holds all of it but `latest`, `torn` and `kept`.

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

    def to_dict(self) -> dict[str, Any]:
        """Return a copy of what a checkpoint holds."""
        plain = {name: copy.deepcopy(getattr(self, name)) for name in _KINDS}
        return {**plain, "totals": self.totals.state_dict(), "history": self.history.state_dict()}

    @classmethod
    def from_dict(cls, state: Mapping[str, Any], totals: Totals) -> "Run":
        """Return the run of a checkpoint, or raise a ValueError or TypeError if it holds none."""
        plain = {name: _checked(name, state.get(name)) for name in _KINDS}
        history = History()
        history.load_state_dict(state["history"])
        totals.load_state_dict(state["totals"])
        run = cls(totals, history, **plain)
        if len(history) != run.epoch - run.begun:
            raise ValueError(
                f"its history has {len(history)} epochs, and its run is in epoch {run.epoch}"
            )
        return run


_TEXT: Any = (str, type(None))
_DICT: Any = (dict, type(None))
# What a checkpoint holds of a run beside its history and totals, and what each may be.
_KINDS: dict[str, Any] = {
    "epoch": int,
    "batch": int,
    "step": int,
    "batch_loss": float,
    "begun": bool,
    "validating": bool,
    "place": int,
    "drawn": _DICT,
    "why": _TEXT,
    "plan": dict,
    "due": _DICT,
    "seen": (int, type(None)),
    "first": (int, type(None)),
    "varies": bool,
}


def _checked(name: str, value: Any) -> Any:
    """Return a value of a checkpoint, or raise unless it is one that a run can have."""
    kinds = _KINDS[name]
    if kinds is int:
        return check_size("a checkpoint", name, value, least=0)
    if kinds is float:
        return check_number("a checkpoint", name, value)
    if kinds is bool:
        return check_flag("a checkpoint", name, value)
    if not isinstance(value, kinds):
        raise TypeError(f"its {name} is {describe(value)}")
    if name == "drawn":
        for state in (value or {}).values():
            generator_of(state["bits"])
    if name == "plan" and not all(isinstance(one, PLAIN) for one in value.values()):
        raise TypeError(f"its {name} is {value!r}")
    if name == "due" and value is not None and value.get("event") not in EVENTS:
        raise ValueError(f"its {name} is {value!r}")
    return value
