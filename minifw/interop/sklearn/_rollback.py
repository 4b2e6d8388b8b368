"""Restores an estimator after a training that ended in an error."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minifw._tools.generators import find_generators, load_state, state_of


@contextmanager
def undone_by_errors(estimator: Any) -> Iterator[None]:
    """Leave the estimator as it was if the block raises: fitted as before, or not at all."""
    before = dict(vars(estimator))
    model: Any = before.get("model_")
    optimizer: Any = before.get("optimizer_")
    if model is not None:  # a warm start and a partial fit change these in place
        weights, state = model.state_dict(), optimizer and optimizer.state_dict()
        roots = {"rng": before["_rng"], "model": model}
        generators = [(g, state_of(g)) for g in find_generators(roots).values()]
    try:
        yield
    except BaseException:
        vars(estimator).clear()
        vars(estimator).update(before)
        if model is not None:
            model.load_state_dict(weights)
            if optimizer is not None:
                optimizer.load_state_dict(state)
            for generator, bits in generators:
                load_state(generator, bits)
        raise
