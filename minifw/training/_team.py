"""Several processes that train one model together, as the trainer sees them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from minifw._core.layer import Layer
from minifw._core.typing import Array, Target
from minifw.objective import Objective
from minifw.training._totals import Totals

__all__ = ["Team", "gather", "joined", "own_part"]

_T = TypeVar("_T")


@runtime_checkable
class Team(Protocol):
    """An optimizer that shares out the rows of a batch; `minifw.interop.mpi` has one."""

    rank: int
    size: int
    main: bool
    asked: bool

    def prepare(self, model: Layer) -> None: ...
    def scatter(self, model: Layer) -> None: ...
    def together(self, work: Callable[[], _T]) -> list[_T]: ...
    def gradient(
        self,
        objective: Objective,
        x: Array,
        target: Target,
        sample_weight: Array | None = None,
        *,
        measure: Callable[[Array, Target, Array | None], None] | None = None,
        asked: bool = False,
    ) -> float: ...


def gather(team: Team, totals: Totals, *, loss: bool = False) -> None:
    """Make the metrics, and the loss if it is not yet so, those of all ranks."""
    states = team.together(totals.state_dict)
    totals.merge(states)
    if loss:
        totals.loss = sum(state["loss"] for state in states)
        totals.weight = sum(state["weight"] for state in states)


def own_part(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a checkpoint is another on each rank."""
    return {"generators": tree["generators"], "totals": tree["totals"]}


def joined(
    totals: Totals, own: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return the totals of all ranks, for a run that goes on with another number of them."""
    totals.load_state_dict(own)
    totals.merge([part["totals"] for part in parts])
    return totals.state_dict()
