"""Several processes that train one model together, as the trainer sees them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar, runtime_checkable

from minifw.core.layer import Layer
from minifw.core.objective import Objective
from minifw.training._totals import Totals

_T = TypeVar("_T")

SHOWN = 5  # ranks, or values, that a message names


@runtime_checkable
class Team(Protocol):
    """An optimizer that shares out the rows of a batch; `minifw.interop.mpi` has one."""

    rank: int
    size: int
    main: bool
    asked: bool
    torn: bool

    def prepare(self, model: Layer) -> None: ...
    def scatter(self, model: Layer) -> None: ...
    def together(self, work: Callable[[], _T]) -> list[_T]: ...
    def tell(self, error: BaseException) -> None: ...
    def gradient(
        self,
        objective: Objective,
        x: Any,
        target: Any,
        sample_weight: Any = None,
        *,
        measure: Callable[[Any, Any, Any], None] | None = None,
        asked: bool = False,
    ) -> float: ...


def agreed(owner: str, team: Team, facts: Mapping[str, Any]) -> None:
    """Raise, on all ranks, unless the facts are the same on each."""
    every = team.together(lambda: dict(facts))
    names = list(dict.fromkeys(name for one in every for name in one))
    missing = object()
    other = [n for n in names if any(o.get(n, missing) != every[0].get(n, missing) for o in every)]
    if other:
        raise ValueError(
            f"{owner} expects the same data and arguments on every rank, got "
            f"{by_rank([', '.join(f'{n}={one.get(n)}' for n in other) for one in every])}; give "
            "every rank all rows, of which it works on its part, or call "
            "DataParallel.gradient(..., local=True) for rows that only one rank has"
        )


def by_rank(texts: Sequence[str]) -> str:
    """Return "a on rank 0; b on ranks 1, 2", of a text for each rank."""
    ranks: dict[str, list[str]] = {}
    for rank, text in enumerate(texts):
        ranks.setdefault(text, []).append(str(rank))
    parts = []
    for text, these in ranks.items():
        more = ", ..." if len(these) > SHOWN else ""
        ranked = f"rank{'s' * (len(these) > 1)} {', '.join(these[:SHOWN])}{more}"
        parts.append(f"{text} on {ranked}")
    return "; ".join(parts[:SHOWN]) + ("; ..." if len(parts) > SHOWN else "")


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
