"""The loss and the metrics of data, in eval mode."""

import numpy as np

from minifw._engine.reasons import Place, explain
from minifw._engine.team import Team
from minifw._tools.rows import first
from minifw.core.objective import Objective
from minifw.errors import NonFiniteError
from minifw.training._data import Batch, Cuts, Pass, Source
from minifw.training._team import ALONE, gather
from minifw.training._totals import Totals


def measure(
    objective: Objective,
    data: Source,
    size: int,
    totals: Totals,
    *,
    where: str = "",
    team: Team = ALONE,
) -> dict[str, float]:
    """Add all batches to `totals` and return its values; the model is left as it was.

    In a team, each rank takes as many of the batches as any other, and the sums count all.
    """

    def add() -> None:
        """Add all batches, or this rank's."""
        batch: Batch | None = None
        done = 0  # examples before the batch
        try:
            with objective.model.evaluating():
                for index, batch in enumerate(data.batches(Pass(Cuts(size)))):
                    x, y, weight = batch
                    mine = index % team.size == team.rank
                    count = sum(objective.loss.total_weights(first(x), y, weight)) if mine else 0
                    if count:  # else it counts nothing
                        totals.loss += objective.forward(x, y, weight) * count
                        totals.weight += count
                        if totals.measured:
                            totals.measure(objective.prediction, y, weight)
                    done += len(first(x))
        except (NonFiniteError, ValueError) as error:
            if batch is None:
                raise
            rows = None if data.rows is None else np.arange(done, done + len(first(batch[0])))
            explain(error, objective.model, batch, Place(data.owner, where, rows))
        finally:
            objective._latest = None  # no gradient is asked of an evaluation

    team.together(add)
    gather(team, totals, loss=True)
    return totals.values()
