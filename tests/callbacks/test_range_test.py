"""The learning-rate range test."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minifw import (
    Adam,
    Average,
    BatchNorm,
    Callback,
    Dense,
    EarlyStopping,
    LearningRateTest,
    MSELoss,
    Optimizer,
    Sequential,
    Trainer,
    TrainingWarning,
)

X = np.random.default_rng(0).standard_normal((64, 4))
Y = X @ np.array([[1.0], [-2.0], [0.5], [0.0]])


def trainer(*callbacks: Callback) -> Trainer:
    model = Sequential(Dense(4, 1, rng=0), BatchNorm(1))
    return Trainer(model, MSELoss(), Adam(model.parameters(), 0.01), callbacks=callbacks, rng=1)


def same(one: Any, other: Any) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


def test_the_rates_grow_as_they_should_and_all_is_put_back() -> None:
    one, seen = trainer(), list[float]()

    class Note(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            seen.append(trainer.batch_loss)

    one.fit(X, Y, epochs=2, batch_size=16)
    before = one.model.state_dict(), one.optimizer.state_dict()
    test = LearningRateTest(1e-4, 1e-1, steps=31)
    one.callbacks += [Note(), test]
    history = one.fit(X, Y, epochs=8, batch_size=16)
    assert np.allclose(test.lrs, np.geomspace(1e-4, 1e-1, 31), rtol=1e-12)
    assert test.losses == seen
    assert history.stopped == f"the test ends at lr 0.1; try lr {test.suggestion:.2g}"
    assert same(before[0], one.model.state_dict())
    assert same(before[1], one.optimizer.state_dict())
    assert one.optimizer.lr == 0.01


class Scripted(Optimizer):
    """Moves nothing."""

    def update(self, values: Any, grads: Any) -> None: ...


def test_it_ends_where_the_smoothed_loss_is_four_times_its_lowest() -> None:
    test = LearningRateTest(1e-3, 1e3, steps=61)
    model = Dense(1, 1)
    one = Trainer(model, MSELoss(), Scripted(model.parameters(), 1.0), callbacks=[test])
    # Losses 1, 1, ..., with a bowl of 0.25 at step 30, and 9 from step 40 on.
    roots = np.r_[np.ones(25), np.full(10, 0.5), np.ones(5), np.full(30, 3.0)]
    for parameter in model.parameters():
        parameter.value = np.zeros(parameter.shape)
    one.fit(np.ones((70, 1)), roots[:, None], epochs=1, batch_size=1, shuffle=False)
    powers = 0.9 ** np.arange(70.0)
    smooth = [  # the weighted mean, term by term
        float(np.average(roots[:n] ** 2, weights=powers[:n][::-1]))
        for n in range(1, len(test.lrs) + 1)
    ]
    np.testing.assert_allclose(test.smoothed, smooth, rtol=1e-12)
    assert smooth[-1] > 4 * min(smooth) >= smooth[-2]
    assert len(test.lrs) < 61
    np.testing.assert_allclose(test.suggestion, test.lrs[int(np.argmin(smooth))] / 10, rtol=1e-12)


class Batches:
    """Yields four, and does not say how many."""

    def __iter__(self) -> Iterator[Any]:
        return iter([(X, Y)] * 4)


def test_a_run_that_is_too_short_says_how_many_epochs() -> None:
    message = "expects 100 batches, got 12; give fit epochs=25, or the test fewer steps"
    with pytest.raises(ValueError, match=message):
        trainer(LearningRateTest()).fit(X, Y, epochs=3, batch_size=16)
    with pytest.raises(ValueError, match=r"expects high above 1\.0, got 0\.1"):
        trainer(LearningRateTest(1.0, 0.1)).fit(X, Y, epochs=3)
    with pytest.raises(ValueError, match="LearningRateTest expects low"):
        LearningRateTest(low=0.0)
    test = LearningRateTest(steps=20)
    for early in (lambda: test.suggestion, test.plot):
        with pytest.raises(RuntimeError, match="call fit first"):
            early()
    with pytest.warns(TrainingWarning, match="made 8 of 20 steps; give more epochs"):
        trainer(test).fit(Batches(), epochs=2)
    assert len(test.lrs) == 8


def test_it_is_the_last_for_others_change_weights_at_the_end() -> None:
    for other in (EarlyStopping("loss"), Average()):
        message = f"LearningRateTest expects to be last; move it behind {other!r}"
        with pytest.raises(ValueError, match=re.escape(message)):
            trainer(LearningRateTest(steps=8), other).fit(X, Y, epochs=2, batch_size=16)
        one = trainer(other, LearningRateTest(steps=8))
        before = one.model.state_dict()
        one.fit(X, Y, epochs=2, batch_size=16)
        assert same(before, one.model.state_dict())


class Press(Callback):
    """Presses Ctrl-C after the fourth step."""

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.step == 4:
            signal.raise_signal(signal.SIGINT)


def test_it_goes_on_after_a_checkpoint_and_puts_the_first_weights_back(tmp_path: Path) -> None:
    whole, test, again = LearningRateTest(steps=8), LearningRateTest(steps=8), trainer()
    one, cut = trainer(whole), trainer(Press(), test)
    before = one.model.state_dict(), one.optimizer.state_dict()
    one.fit(X, Y, epochs=2, batch_size=16)
    cut.save_checkpoint(tmp_path / "early.npz")
    cut.fit(X, Y, epochs=2, batch_size=16)
    cut.save_checkpoint(tmp_path / "cut.npz")
    with pytest.raises(ValueError, match="callbacks of the saved run: LearningRateTest is in"):
        again.load_checkpoint(tmp_path / "cut.npz")
    for file in ("cut", "early"):
        resumed = LearningRateTest(steps=8)
        again = trainer(resumed)
        again.load_checkpoint(tmp_path / f"{file}.npz")
        again.fit(X, Y, epochs=2, batch_size=16)
        assert (resumed.lrs, resumed.losses) == (whole.lrs, whole.losses)
        assert same(before[0], again.model.state_dict())
        assert same(before[1], again.optimizer.state_dict())


def test_it_draws_the_loss_against_the_rate(tmp_path: Path) -> None:
    test = LearningRateTest(1e-4, 1e-1, steps=8)
    trainer(test).fit(X, Y, epochs=2, batch_size=16)
    (panel,) = test.plot(tmp_path / "lr.png").axes
    assert (panel.get_xscale(), panel.get_xlabel()) == ("log", "learning rate")
    assert np.allclose(panel.lines[0].get_xdata(), test.lrs)
    assert np.allclose(panel.lines[0].get_ydata(), test.smoothed)
    assert np.allclose(panel.lines[1].get_xdata(), test.suggestion)
    assert (tmp_path / "lr.png").stat().st_size > 1000
