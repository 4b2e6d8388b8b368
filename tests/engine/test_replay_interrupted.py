"""Ctrl-C or a lack of memory at any line of a step: the objective works on, with the same bits."""

import copy
import sys
from types import FrameType
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    BatchNorm,
    Dense,
    Dropout,
    MSELoss,
    Objective,
    ReLU,
    Residual,
    Sequential,
)
from minifw._engine.recorder import Dice, Recorded

TEXT, RECORDED, BOTH_WAYS, REPLAYED = range(4)  # what the steps are


class Interruption:
    """Raises an error at a line of the package, counted from the first one that runs."""

    def __init__(self, at: int, error: BaseException) -> None:
        self.left, self.error = at, error

    def __enter__(self) -> None:
        self.before = sys.gettrace()
        sys.settrace(self.trace)

    def __exit__(self, kind: object, error: object, _: object) -> bool:
        sys.settrace(self.before)
        return error is self.error

    def trace(self, frame: FrameType, event: str, _: object) -> Any:
        if "minifw" not in frame.f_code.co_filename:
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise self.error
        return self.trace


def prepared(step: int) -> tuple[Objective, Any]:
    body = Residual(Sequential(Dense(4, 4, rng=2), ReLU()))
    model = Sequential(Dense(3, 4, rng=0), BatchNorm(4), Dropout(0.3, rng=1), body)
    objective = Objective(model, MSELoss())
    SGD(model.parameters(), lr=0.1)
    for seed in range(step):
        objective.forward(*batch(seed))
        objective.backward()
    return objective, model


def batch(seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((6, 3)), rng.standard_normal((6, 4))


def seen(objective: Objective, model: Any) -> list[bytes]:
    arrays = [objective.prediction, *model.state_dict().values()]
    arrays += [parameter.grad for parameter in model.parameters()]
    return [array.tobytes() for array in arrays]


def holds_recorder(value: Any, depth: int = 4) -> bool:
    if isinstance(value, Recorded | Dice):
        return True
    inside = value.values() if isinstance(value, dict) else value
    looked_into = depth > 0 and isinstance(value, dict | tuple | list)
    return looked_into and any(holds_recorder(one, depth - 1) for one in inside)


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("step", [TEXT, RECORDED, BOTH_WAYS, REPLAYED])
def test_an_interrupted_step_leaves_an_objective_that_works(step: int, error: Any) -> None:
    counter = Interruption(-1, error())
    objective, _ = prepared(step)
    with counter:
        objective.forward(*batch(step))
        objective.backward()
    lines = -1 - counter.left
    for at in np.random.default_rng(step).integers(1, lines, 5):
        objective, model = prepared(step)
        with Interruption(int(at), error()):  # MemoryError of a recording: the text goes on
            objective.forward(*batch(step))
            objective.backward()
        assert np.isfinite(np.concatenate([p.grad.ravel() for p in model.parameters()])).all()
        assert not any(holds_recorder(vars(layer)) for _, layer in model._all_layers())
        twin, loss = copy.deepcopy((model, objective.loss))
        other = Objective(twin, loss, replay=False)
        for seed in range(5):
            for one in (objective, other):
                one.forward(*batch(seed))
                one.backward()
            assert seen(objective, model) == seen(other, twin)
        if error is KeyboardInterrupt:
            assert any(recording.agrees for recording in objective._step._recordings)
