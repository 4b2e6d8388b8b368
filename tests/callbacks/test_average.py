"""The callback Average: the mean is validated, kept and left, and training does not see it."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    Array,
    Average,
    Averaged,
    BatchNorm,
    Callback,
    Checkpoint,
    Dense,
    EarlyStopping,
    MSELoss,
    Optimizer,
    Sequential,
    Tanh,
    Trainer,
    TrainingWarning,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 3))
Y = X[:, :1] - X[:, 1:2] + 0.3 * RNG.standard_normal((40, 1))
VALIDATION = (X[:15] + 1, Y[:15])


class Keep(Callback):
    """Keeps the state of the model after each step."""

    def __init__(self) -> None:
        self.states: list[dict[str, Array]] = []

    def on_batch_end(self, trainer: Trainer) -> None:
        self.states.append(trainer.model.state_dict())


def trainer(*callbacks: Callback, wrap: Any = lambda optimizer: optimizer) -> Trainer:
    model = Sequential(Dense(3, 6, rng=0), BatchNorm(6), Tanh(), Dense(6, 1, rng=1))
    optimizer: Optimizer = wrap(SGD(model.parameters(), lr=0.3, momentum=0.5))
    return Trainer(model, MSELoss(), optimizer, callbacks=callbacks, rng=2)


def mean_of(states: list[dict[str, Array]], decay: float | None) -> dict[str, Array]:
    """Return the mean of parameters and buffers, term by term."""
    count = len(states)
    if decay is None:
        shares = [1 / count] * count
    else:
        shares = [(1 - decay) * decay ** (count - 1 - i) for i in range(count)]
        shares[0] = decay ** (count - 1)
    pairs = list(zip(shares, states, strict=True))
    return {name: sum(share * state[name] for share, state in pairs) for name in states[0]}  # type: ignore[misc]


def loss_of(state: dict[str, Array]) -> float:
    other = trainer()
    other.model.load_state_dict(state)
    return other.evaluate(*VALIDATION)["loss"]


@pytest.mark.parametrize("decay", [None, 0.0, 0.6])
@pytest.mark.parametrize("start", [0, 2])
def test_the_validation_is_of_the_mean_which_is_left(decay: float | None, start: int) -> None:
    keep, plain = Keep(), trainer()
    averaged = trainer(Average(decay, start), keep)
    histories = [
        one.fit(X, Y, epochs=4, batch_size=16, validation=VALIDATION) for one in (plain, averaged)
    ]
    assert histories[0]["loss"] == histories[1]["loss"]  # the training is the same
    for epoch in range(1, 5):
        states = keep.states[3 * start : 3 * epoch]
        mean = mean_of(states, decay) if states else keep.states[3 * epoch - 1]
        assert np.isclose(histories[1]["val_loss"][epoch - 1], loss_of(mean), rtol=1e-12)
    for name, value in averaged.model.state_dict().items():
        np.testing.assert_allclose(value, mean[name], rtol=1e-12, err_msg=name)


def test_it_is_the_mean_of_the_wrapper() -> None:
    callback, wrapped = trainer(Average(0.7)), trainer(wrap=lambda one: Averaged(one, 0.7))
    for one in (callback, wrapped):
        one.fit(X, Y, epochs=3, batch_size=16)
    optimizer: Any = wrapped.optimizer
    assert np.array_equal(callback.optimizer._vector.values, optimizer.average)


def test_callbacks_behind_it_keep_the_best_mean(tmp_path: Path) -> None:
    best = Checkpoint(tmp_path / "best.npz", best=True)
    early, keep = EarlyStopping(patience=2), Keep()
    one = trainer(Average(0.5), best, early, keep)
    history = one.fit(X, Y, epochs=30, batch_size=16, validation=VALIDATION)
    assert history.stopped
    assert early.best_epoch < len(history)
    assert np.isclose(one.evaluate(*VALIDATION)["loss"], early.best, rtol=1e-12)
    mean = mean_of(keep.states[: 3 * early.best_epoch], 0.5)
    for name, value in one.model.state_dict().items():
        np.testing.assert_allclose(value, mean[name], rtol=1e-12, err_msg=name)
    other = trainer(Average(0.5), best, EarlyStopping(patience=2), keep)
    other.load_checkpoint(tmp_path / "best.npz")
    assert np.isclose(other.evaluate(*VALIDATION)["loss"], early.best, rtol=1e-12)


def test_the_mean_is_left_by_ctrl_c_and_the_run_goes_on(tmp_path: Path) -> None:
    class Press(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.step == 8:
                signal.raise_signal(signal.SIGINT)

    keep, whole = Keep(), trainer(Average())
    cut = trainer(Average(), keep, Press())
    cut.fit(X, Y, epochs=4, batch_size=16)
    np.testing.assert_allclose(
        cut.model.state_dict()["0.weight"], mean_of(keep.states, None)["0.weight"], rtol=1e-12
    )
    cut.save_checkpoint(tmp_path / "run.npz")
    again = trainer(Average())
    again.load_checkpoint(tmp_path / "run.npz")
    for one in (whole, again):
        one.fit(X, Y, epochs=4, batch_size=16)
    assert again.optimizer._vector.values.tobytes() == whole.optimizer._vector.values.tobytes()


def test_a_new_run_has_a_mean_of_its_own() -> None:
    average, keep = Average(), Keep()
    one = trainer(average, keep)
    one.fit(X, Y, epochs=2, batch_size=16)
    left = one.model.state_dict()["3.weight"]
    keep.states.clear()
    one.optimizer.lr = 1e-9
    one.fit(X, Y, epochs=1, batch_size=16)
    assert average.count == 3
    np.testing.assert_allclose(keep.states[0]["3.weight"], left, atol=0.2)  # begun from the mean
    mean = mean_of(keep.states, None)["3.weight"]
    np.testing.assert_allclose(one.model.state_dict()["3.weight"], mean, rtol=1e-12)
    average.start = 1
    with pytest.warns(TrainingWarning, match="makes its mean of 0 steps, which are too few"):
        one.fit(X, Y, epochs=1, batch_size=16)
    assert average.count == 0
    assert np.array_equal(one.model.state_dict()["3.weight"], keep.states[-1]["3.weight"])


def test_wrong_options_are_refused_and_the_look() -> None:
    with pytest.raises(ValueError, match="Average expects decay to be at least 0 and below 1"):
        Average(1.0)
    with pytest.raises(ValueError, match="Average expects start to be at least 0"):
        Average().start = -1
    assert repr(Average(0.9)) == "Average(decay=0.9, start=0)"


def test_a_decay_of_a_longer_run_warns_and_two_means_are_refused() -> None:
    with pytest.warns(TrainingWarning, match=r"mean of 6 steps.* 1 / \(1 - decay\) is well below"):
        trainer(Average(0.999)).fit(X, Y, epochs=2, batch_size=16)
    trainer(Average(0.6)).fit(X, Y, epochs=2, batch_size=16)  # 0.6^6 is 0.05
    trainer(Average(0.999)).fit([(X, Y)] * 2, epochs=1500)
    with pytest.raises(ValueError, match="Average expects to be the only one of its kind"):
        trainer(Average(), Average(0.5)).fit(X, Y, epochs=2)


FAULTS: dict[str, Any] = {
    "a list": {"count": [1]},
    "no mean": {"mean": None},
    "a scalar": {"mean": 0.5},
    "of scalars": {"mean": [0.5]},
    "empty": {"kept": []},
    "not finite": {"kept": [np.array([np.nan])]},
    "text": {"mean": [np.array(["a"])]},
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_state_of_no_run_is_refused(name: str) -> None:
    average = Average()
    trainer(average).fit(X, Y, epochs=1)
    state = average.state_dict()
    with pytest.raises((TypeError, ValueError), match="Average expects"):
        average.load_state_dict(state | FAULTS[name])
    assert average.state_dict() == state


def test_a_mean_of_another_model_is_refused(tmp_path: Path) -> None:
    one = trainer(Average())
    one.fit(X, Y, epochs=1)
    average: Any = one.callbacks[0]
    average._mean = [np.zeros(3)]
    one.save_checkpoint(tmp_path / "run.npz")
    other = trainer(Average())
    other.load_checkpoint(tmp_path / "run.npz")
    with pytest.raises(ValueError, match="Average expects the parameters that its mean is of"):
        other.fit(X, Y, epochs=2)


@pytest.mark.parametrize("start", [0, 1])
def test_an_optimizer_of_other_parameters_is_for_the_start(start: int) -> None:
    class Thaw(Callback):
        def on_epoch_begin(self, trainer: Trainer) -> None:
            if trainer.epoch == 2:
                trainer.model.freeze(False)
                trainer.optimizer = SGD(trainer.model.parameters(), lr=0.1)

    model = Sequential(Dense(3, 6, rng=0).freeze(), Tanh(), Dense(6, 1, rng=1))
    average, optimizer = Average(start=start), SGD(model[2].parameters(), lr=0.1)
    one = Trainer(model, MSELoss(), optimizer, callbacks=[average, Thaw()], rng=2)
    if start:
        one.fit(X, Y, epochs=3, batch_size=16)
        assert average.count == 6
        return
    with pytest.raises(ValueError, match="or let it start with the new optimizer"):
        one.fit(X, Y, epochs=3, batch_size=16)
