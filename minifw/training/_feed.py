"""The batches of a fit, epoch after epoch: passes through the data, each in a new order."""

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np

from minifw._engine.team import Team
from minifw._tools.generators import AnyGenerator, find_generators, load_states, state_of
from minifw._tools.rows import first
from minifw._tools.warn import warn_user
from minifw.training._data import Batch, Pass, checksum
from minifw.training._plan import Plan
from minifw.training._run import Run
from minifw.typing import Generator


class Feed:
    """Gives the batches of each epoch, and keeps in `Run` where it is."""

    def __init__(
        self, plan: Plan, run: Run, rng: Generator, team: Team, others: Collection[int]
    ) -> None:
        self._plan, self._run, self._rng, self._team = plan, run, rng, team
        self._loaded = run.step > 0
        self._others = others  # the ids of the generators that more than the data draw from
        self._pass: Iterator[Batch] | None = None
        self._order: Any = None  # of the rows in this pass

    def epoch(self) -> Iterator[Batch]:
        """Return the batches that are left in this epoch: of the pass, or so many."""
        steps = self._plan.how.steps_per_epoch
        return self.begin() if steps is None else self._several(steps)

    def _several(self, steps: int) -> Iterator[Batch]:
        """Yield the batches that are left of so many, of the current pass or of the next."""
        run = self._run
        while run.batch < steps:
            for batch in self.begin():
                yield batch
                if run.batch == steps:
                    return
            run.torn = True
            self._end_pass()
            run.torn = False

    def end(self) -> None:
        """End an epoch, and with it the pass, unless an epoch has a number of steps."""
        if self._plan.how.steps_per_epoch is None:
            self._end_pass()

    def _end_pass(self) -> None:
        self._pass, self._run.drawn, self._run.place = None, None, 0

    def begin(self) -> Iterator[Batch]:
        """Return the current pass, or begin one: what is left of an old one, or a new one.

        The generators of an iterable that is gone on with are put back to the start of the pass,
        for its first batches are drawn again.
        """
        if self._pass is not None:
            return self._pass
        run, train = self._run, self._plan.train
        rows = train.rows if self._plan.how.shuffle else None
        found: dict[str, AnyGenerator] = {} if rows is None else {"rng": self._rng}
        if train.stream is not None:
            found = find_generators({"data": train.stream})
        now, resumed = _states(found), run.drawn is not None
        if run.drawn is not None:
            load_states(found, run.drawn)
        else:
            if rows is not None:  # in the order of the first rank
                load_states(found, self._team.together(lambda: now)[0])
            run.drawn = _states(found)
        self._order = None if rows is None else self._rng.permutation(rows)
        if resumed and rows is not None:
            load_states(found, now)
        passed = partial(self._check_passed, found) if resumed else None
        self._pass = train.batches(Pass(self._plan.cuts, self._order, run.place, passed))
        if train.stream is not None and not found:
            self._pass = self._noted(self._pass)
            if self._loaded and run.varies:
                self._warn("its passes differ, and no generator was found in it")
        self._loaded = False
        return self._pass

    def _noted(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Note whether an iterable without a generator to save gives others in each pass."""
        run = self._run
        for batch in batches:
            if run.place == 0:
                first = checksum(batch)
                run.varies |= run.first not in (None, first)
                run.first = first
            yield batch

    def _check_passed(self, found: Mapping[str, AnyGenerator], batch: Batch) -> None:
        """Warn if the last batch that is passed by is another one, or others draw as well."""
        if any(id(one) in self._others for one in found.values()):
            self._warn("the model or a callback draws from its generator, too")
        elif checksum(batch) != self._run.seen and not self._run.varies:
            self._warn(f"its batch {self._run.place} is another one")

    def _warn(self, why: str) -> None:
        warn_user(
            f"Trainer.fit: the iterable does not go on bit by bit, for {why}; let it draw by a "
            "numpy.random.Generator of its own, in an attribute, which a checkpoint holds"
        )

    def rows(self, batch: Batch) -> Any:
        """Return the numbers of the rows of the current batch, if they have any."""
        if self._plan.train.rows is None:
            return None
        start = self._run.place * self._plan.cuts.size
        rows = np.arange(start, start + len(first(batch[0])))
        return rows if self._order is None else self._order[rows]


def _states(generators: Mapping[str, AnyGenerator]) -> dict[str, Any]:
    return {name: state_of(one) for name, one in generators.items()}
