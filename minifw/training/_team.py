"""What a trainer does with a team: the processes that train one model together."""

from collections.abc import Mapping, Sequence
from typing import Any

from minifw._engine.team import Team
from minifw.training._totals import Totals

SHOWN = 5  # ranks, or values, that a message names
ALONE = Team()


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
    """Add the metrics of all ranks, and the loss if that was not done."""
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
    """Return this rank's part of the checkpoint of all; the sums so far are rank 0's."""
    ranks, run = tree.get("ranks", []), tree["run"]
    if len(ranks) == team.size:
        own = ranks[team.rank]
        return {**tree, "generators": own["generators"], "run": {**run, "totals": own["totals"]}}
    if team.main:
        return tree
    return {**tree, "run": {**run, "totals": {**run["totals"], "sums": {}, "kept": []}}}
