"""The processes that train one model together, as the trainer sees them; mostly one, `Alone`."""

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
    def heard(self, asked: bool) -> bool: ...
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


class Alone:
    """A team of one process: there is nobody to wait for, or to tell."""

    rank, size, main, asked, torn = 0, 1, True, False, False

    def prepare(self, model: Layer) -> None:
        """Leave the model as it is."""

    def scatter(self, model: Layer) -> None:
        """Leave its generators as they are."""

    def together(self, work: Callable[[], _T]) -> list[_T]:
        """Return what the work returns."""
        return [work()]

    def tell(self, error: BaseException) -> None:
        """Tell nobody."""

    def heard(self, asked: bool) -> bool:
        """Return whether training is to end after this batch, of what this process was asked."""
        return asked

    def gradient(
        self,
        objective: Objective,
        x: Any,
        target: Any,
        sample_weight: Any = None,
        *,
        measure: Callable[[Any, Any, Any], None] | None = None,
        asked: bool = False,  # noqa: ARG002 - for `heard`, of several processes
    ) -> float:
        """Set the gradient of a batch, and return its loss."""
        loss = objective.forward(x, target, sample_weight)
        if measure is not None:  # now, for a callback may run another forward
            measure(objective.prediction, target, sample_weight)
        objective.backward()
        return loss


ALONE = Alone()


def agreed(owner: str, team: Team, facts: Mapping[str, Any]) -> None:
    """Raise, on all ranks, unless the facts are the same on each."""
    if team.size == 1:
        return
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
    if team.size == 1:
        return
    states = team.together(totals.state_dict)
    totals.merge(states)
    if loss:
        totals.loss = sum(state["loss"] for state in states)
        totals.weight = sum(state["weight"] for state in states)


def joined(team: Team, tree: dict[str, Any], totals: Totals) -> dict[str, Any]:
    """Return the checkpoint of all ranks: the sums of all, and beside them what each has alone."""
    if team.size == 1:
        return tree
    run = tree["run"]
    parts = team.together(lambda: {"generators": tree["generators"], "totals": run["totals"]})
    totals.load_state_dict(run["totals"])
    totals.merge([part["totals"] for part in parts])
    return {**tree, "run": {**run, "totals": totals.state_dict()}, "ranks": parts}


def parted(team: Team, tree: dict[str, Any]) -> dict[str, Any]:
    """Return the checkpoint of this rank, of that of all; the sums so far are those of rank 0."""
    ranks, run = tree.get("ranks", []), tree["run"]
    if len(ranks) == team.size:
        own = ranks[team.rank]
        return {**tree, "generators": own["generators"], "run": {**run, "totals": own["totals"]}}
    if team.main:
        return tree
    return {**tree, "run": {**run, "totals": {**run["totals"], "sums": {}, "kept": []}}}
