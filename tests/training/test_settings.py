"""A loaded run and the settings that the user has just built: where they differ, the new hold.

The truth is a whole run with the new settings, or the sentence of the error.
"""

import copy
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minifw as m
from minifw import Callback, Dense, EarlyStopping, MSELoss, Scheduled, Trainer
from minifw.schedules import (
    CosineLR,
    ExponentialLR,
    LinearWarmup,
    OneCycleLR,
    ReduceOnPlateau,
    Schedule,
    StepLR,
)
from minifw.training._checkpoint import read, write

_RNG = np.random.default_rng(0)
X = _RNG.standard_normal((40, 2))
Y = X @ [[1.0], [2.0]]


class Inverse(Schedule):
    """An author's schedule, whose setting is a plain attribute."""

    def __init__(self, optimizer: m.Optimizer, half: float) -> None:
        super().__init__(optimizer)
        self.half = half
        self.start()

    def rate(self, steps: int) -> float:
        return self.base_lr / (1 + steps / self.half)


class Rates(Callback):
    """Keeps the rate of every epoch of one fit."""

    def __init__(self) -> None:
        self.found: list[float] = []

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self.found.append(trainer.optimizer.lr)


def linear(*callbacks: Callback, lr: float = 0.1, **named: Any) -> Trainer:
    model = Dense(2, 1, rng=0)
    optimizer = m.SGD(model.parameters(), lr=lr)
    return Trainer(model, MSELoss(), optimizer, callbacks=callbacks, rng=0, **named)


def scheduled(
    make: Callable[[m.Optimizer], Schedule], per: str, lr: float
) -> tuple[Trainer, Rates]:
    trainer, rates = linear(lr=lr), Rates()
    trainer.callbacks = [Scheduled(make(trainer.optimizer), per=per), rates]
    return trainer, rates


@pytest.mark.filterwarnings("ignore:Scheduled")  # schedules that end before the run does
@pytest.mark.parametrize("per", ["epoch", "batch"])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        (lambda o: CosineLR(o, 4), lambda o: CosineLR(o, 16)),
        (lambda o: CosineLR(o, 4), lambda o: CosineLR(o, 4, eta_min=0.01)),
        (lambda o: OneCycleLR(o, 0.1, 8), lambda o: OneCycleLR(o, 0.2, 16, 0.5)),
        (lambda o: LinearWarmup(o, 2), lambda o: LinearWarmup(o, 12, 0.1)),
        (
            lambda o: LinearWarmup(o, 2, then=CosineLR(o, 4)),
            lambda o: LinearWarmup(o, 2, then=CosineLR(o, 14)),
        ),
        (lambda o: StepLR(o, 1, 0.5), lambda o: StepLR(o, 3, 0.5)),
        (lambda o: ExponentialLR(o, 0.5), lambda o: ExponentialLR(o, 0.9)),
        (lambda o: Inverse(o, 2.0), lambda o: Inverse(o, 5.0)),
        (lambda o: CosineLR(o, 16), lambda o: CosineLR(o, 16)),
    ],
)
@pytest.mark.parametrize("lr", [0.1, 0.2])
def test_the_settings_of_a_schedule(
    old: Any, new: Any, per: str, lr: float, tmp_path: Path
) -> None:
    first, _ = scheduled(old, per, 0.1)
    first.fit(X, Y, epochs=4)
    first.save_checkpoint(tmp_path / "run.npz")
    rest, rates = scheduled(new, per, lr)
    rest.load_checkpoint(tmp_path / "run.npz")
    rest.fit(X, Y, epochs=8)
    whole, wanted = scheduled(new, per, lr)
    whole.fit(X, Y, epochs=8)
    assert rates.found == wanted.found[4:]
    assert rest.optimizer.lr == whole.optimizer.lr


def test_a_schedule_of_another_kind_is_refused(tmp_path: Path) -> None:
    first, _ = scheduled(lambda o: StepLR(o, 2), "epoch", 0.1)
    first.fit(X, Y, epochs=2)
    first.save_checkpoint(tmp_path / "run.npz")
    other, _ = scheduled(lambda o: CosineLR(o, 2), "epoch", 0.1)
    with pytest.raises(ValueError, match=r"CosineLR|total_steps"):
        other.load_checkpoint(tmp_path / "run.npz")


def test_options_that_changed_in_the_run_and_those_that_the_user_changed(tmp_path: Path) -> None:
    """The first go on as they were; the second are the new ones."""

    class Ramp(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            trainer.model[1].p = 0.1 * trainer.epoch  # type: ignore[index]
            trainer.optimizer.lr *= 0.9

    def build(p: float = 0.5, momentum: float = 0.9, rate: float = 0.1) -> Trainer:
        model = m.Sequential(Dense(2, 8, rng=0), m.Dropout(p, rng=1), Dense(8, 1, rng=2))
        optimizer = m.SGD(model.parameters(), lr=0.1, momentum=momentum)
        penalty = m.L2(model, rate)
        loss = m.HuberLoss(delta=1.0)
        return Trainer(model, loss, optimizer, penalties=[penalty], callbacks=[Ramp()], rng=0)

    first, whole = build(), build()
    first.fit(X, Y, epochs=3)
    first.save_checkpoint(tmp_path / "run.npz")
    same = build()
    same.load_checkpoint(tmp_path / "run.npz")
    assert same.model[1].p == first.model[1].p == 0.1 * 3  # type: ignore[index]
    assert same.fit(X, Y, epochs=6) == whole.fit(X, Y, epochs=6)
    other = build(p=0.4, momentum=0.5, rate=0.2)
    other.load_checkpoint(tmp_path / "run.npz")
    assert (other.model[1].p, other.penalties[0].rate) == (0.4, 0.2)  # type: ignore[index, attr-defined]
    optimizer: Any = other.optimizer
    assert (optimizer.lr, optimizer.momentum) == (first.optimizer.lr, 0.5)


@pytest.mark.parametrize(
    ("old", "new"), [("val_loss", "val_r2"), ("loss", "val_loss"), ("val_r2", "loss")]
)
def test_the_column_of_a_monitor(old: str, new: str, tmp_path: Path) -> None:
    def build(column: str, kind: str) -> Trainer:
        trainer = linear(metrics=["r2"], lr=0.05)
        mode = "max" if column == "val_r2" else "min"
        plateau = ReduceOnPlateau(trainer.optimizer, mode=mode, patience=1)
        every: dict[str, Callback] = {
            "stop": EarlyStopping(column, patience=3),
            "save": m.Checkpoint(tmp_path / "best.npz", best=True, monitor=column),
            "plateau": Scheduled(plateau, monitor=column),
        }
        trainer.callbacks = [every[kind]]
        return trainer

    for kind in ("stop", "save", "plateau"):
        first, path = build(old, kind), tmp_path / "run.npz"
        first.fit(X, Y, epochs=2, validation=(X, Y))
        first.save_checkpoint(path)
        (tmp_path / "best.npz").unlink(missing_ok=True)
        rest = build(new, kind)
        rest.load_checkpoint(path)
        history = rest.fit(X, Y, epochs=9, validation=(X, Y))
        assert history.stopped is None
        callback: Any = rest.callbacks[0]
        best = (max if new == "val_r2" else min)(history[new][2:])
        if kind == "stop":
            assert callback.best == best
        if kind == "save":
            assert (tmp_path / "best.npz").exists()
        if kind == "plateau":
            assert callback.schedule.best == pytest.approx(best, rel=1e-4)
            assert rest.optimizer.lr == 0.05


def test_a_best_value_of_other_validation_data(tmp_path: Path) -> None:
    first = linear(EarlyStopping(patience=3))
    first.fit(X, Y, epochs=4, validation=(X, Y))
    first.save_checkpoint(tmp_path / "run.npz")
    rest = linear(EarlyStopping(patience=3))
    rest.load_checkpoint(tmp_path / "run.npz")
    history = rest.fit(X, Y, epochs=7, validation=(X, Y + 9))
    stopping: Any = rest.callbacks[0]
    best = min(history["val_loss"][4:])  # above each of the first four
    assert (stopping.best, stopping.best_epoch) == (best, history["val_loss"].index(best) + 1)


def test_a_best_value_of_which_an_old_file_says_nothing_is_kept(tmp_path: Path) -> None:
    first, rest = linear(EarlyStopping(patience=3)), linear(EarlyStopping(patience=3))
    first.fit(X, Y, epochs=4, validation=(X, Y))
    first.save_checkpoint(tmp_path / "run.npz")
    tree = read(tmp_path / "run.npz")
    del tree["callbacks"]["EarlyStopping"]["monitor"]["best_of"]
    write(tmp_path / "run.npz", tree)
    rest.load_checkpoint(tmp_path / "run.npz")
    rest.model.parameters()[0].value += 1.0
    history = rest.fit(X, Y, epochs=5, validation=(X, Y))
    assert history["val_loss"][4] > history["val_loss"][3]
    stopping: Any = rest.callbacks[0]
    assert (stopping.best, stopping.best_epoch) == (history["val_loss"][3], 4)


@pytest.mark.parametrize("other", [{"f1": "precision"}, {"f1": m.metrics.f1.at(0.3)}])
def test_another_metric_behind_a_name(other: Any, tmp_path: Path) -> None:
    path, y = tmp_path / "run.npz", (Y > 0) * 1.0
    first = linear(metrics=["f1"])
    first.fit(X, y, epochs=1)
    first.save_checkpoint(path)
    with pytest.raises(ValueError, match=r"metrics \['f1' \((precision|f1.at\(0.3\))\)\], got"):
        linear(metrics=other).load_checkpoint(path)
    linear(metrics=["f1"]).load_checkpoint(path)


class Cut(Callback):
    """The first Ctrl-C in the third step."""

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.step == 3:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("changed", ["x", "y", "weight"])
def test_other_data_in_the_middle_of_an_epoch(changed: str, tmp_path: Path) -> None:
    weight = np.ones(40)
    first = linear(Cut())
    first.fit(X, Y, epochs=2, batch_size=16, sample_weight=weight)
    first.save_checkpoint(tmp_path / "run.npz")
    rest = linear()
    rest.load_checkpoint(tmp_path / "run.npz")
    data = {"x": X, "y": Y, "weight": weight}
    data[changed] = data[changed] * 2.0
    with pytest.raises(ValueError, match=r"in the middle of epoch 1, .* data=.*; got data="):
        rest.fit(data["x"], data["y"], epochs=3, batch_size=16, sample_weight=data["weight"])
    first.load_checkpoint(tmp_path / "run.npz")
    first.fit(X, Y, epochs=2, batch_size=16, sample_weight=weight)


# -- found by attack ---------------------------------------------------------------------


def passed(old: Trainer, new: Trainer, path: Path, epochs: int = 2) -> Trainer:
    """Return `new`, which goes on from where `old` comes to."""
    old.fit(X, Y, epochs=epochs, batch_size=16)
    old.save_checkpoint(path)
    new.load_checkpoint(path)
    return new


def test_options_that_are_pairs_and_rates_of_groups(tmp_path: Path) -> None:
    def build(betas: tuple[float, float], rate: float, second: bool = False) -> Trainer:
        model = m.Sequential(Dense(2, 3, rng=0), m.Tanh(), Dense(3, 1, rng=1))
        groups = [{"params": model[0].parameters()}]
        groups += [{"params": model[2].parameters(), "lr": rate}]
        optimizer = m.Adam(groups[::-1] if second else groups, lr=0.1, betas=betas)
        return Trainer(model, MSELoss(), optimizer, rng=0)

    path = tmp_path / "run.npz"
    rest: Any = passed(build((0.9, 0.999), 0.01), build((0.5, 0.9), 0.05), path).optimizer
    assert rest.betas == (0.5, 0.9)
    assert set(rest.lr_factors.tolist()) == {1.0, 0.5}
    kept: Any = passed(build((0.9, 0.999), 0.01), build((0.9, 0.999), 0.01), path).optimizer
    assert kept.betas == (0.9, 0.999)
    with pytest.raises(ValueError, match=r"parameters in the order 2.weight, .*, got 0.weight"):
        build((0.9, 0.999), 0.01, second=True).load_checkpoint(path)


def test_what_a_run_has_come_to_is_no_setting(tmp_path: Path) -> None:
    def build(steps: int) -> Trainer:
        model = Dense(2, 1, rng=0)
        optimizer = m.Averaged(m.NAdam(model.parameters(), lr=0.01))
        for _ in range(steps):  # before the trainer is made
            optimizer.step()
        return Trainer(model, MSELoss(), optimizer, rng=0)

    old: Any = build(0)
    rest: Any = passed(old, build(3), tmp_path / "run.npz").optimizer
    wanted = old.step, old.optimizer.optimizer.mu_product
    assert (rest.count, rest.optimizer.mu_product) == wanted


def test_a_layer_of_another_class(tmp_path: Path) -> None:
    def build(layer: m.Layer) -> Trainer:
        model = m.Sequential(Dense(2, 3, rng=0), layer, Dense(3, 1, rng=1))
        return Trainer(model, MSELoss(), m.SGD(model.parameters(), lr=0.01), rng=0)

    with pytest.raises(ValueError, match="layer 1 ReLU, got Tanh"):
        passed(build(m.Tanh()), build(m.ReLU()), tmp_path / "run.npz")


@pytest.mark.parametrize("other", [{"delta": 2.0}, {"rate": 0.5}])
def test_a_best_value_of_another_loss(other: dict[str, float], tmp_path: Path) -> None:
    def build(delta: float = 1.0, rate: float = 0.1) -> Trainer:
        model = Dense(2, 1, rng=0)
        penalties = [m.L2(model, rate)]
        optimizer = m.SGD(model.parameters(), lr=0.01)
        loss, stop = m.HuberLoss(delta=delta), EarlyStopping("loss", patience=50)
        return Trainer(model, loss, optimizer, penalties=penalties, callbacks=[stop], rng=0)

    for new in (build(**other), build()):
        rest = passed(build(), new, tmp_path / "run.npz", epochs=3)
        rest.fit(X, Y, epochs=5, batch_size=16)
        stopping: Any = rest.callbacks[0]
        since = 0 if new.loss.delta == new.penalties[0].rate * 10 == 1.0 else 3  # type: ignore[attr-defined]
        assert stopping.best == min(rest.history["loss"][since:])


def test_a_schedule_that_steps_at_other_times(tmp_path: Path) -> None:
    def build(per: str) -> Trainer:
        return scheduled(lambda o: CosineLR(o, 20), per, 0.1)[0]

    with (
        warnings.catch_warnings(),
        pytest.raises(ValueError, match="steps per 'epoch', got per 'batch'"),
    ):
        warnings.simplefilter("ignore")
        passed(build("batch"), build("epoch"), tmp_path / "run.npz")


def test_settings_of_a_schedule_that_are_assigned_later_hold(tmp_path: Path) -> None:
    trainer, rates = scheduled(lambda o: CosineLR(o, 10), "epoch", 0.1)
    falling: Any = trainer.callbacks[0]
    falling.schedule.total_steps = 4
    trainer.fit(X, Y, epochs=4)
    whole, wanted = scheduled(lambda o: CosineLR(o, 4), "epoch", 0.1)
    whole.fit(X, Y, epochs=4)
    assert rates.found == wanted.found
    trainer.save_checkpoint(tmp_path / "run.npz")
    rest, _ = scheduled(lambda o: CosineLR(o, 10), "epoch", 0.1)
    falling = rest.callbacks[0]
    falling.schedule.total_steps = 8
    rest.load_checkpoint(tmp_path / "run.npz")
    assert (falling.schedule.total_steps, falling.schedule.steps) == (8, 4)


def test_a_plateau_that_watches_the_other_way() -> None:
    trainer = linear(metrics=["r2"])
    plateau = ReduceOnPlateau(trainer.optimizer)
    trainer.callbacks = [Scheduled(plateau, monitor="r2")]
    with pytest.raises(ValueError, match=r"better the other way than mode='min'.*mode='max'"):
        trainer.fit(X, Y, epochs=1)


def test_a_trainer_that_loads_its_own_checkpoint_after_another_run(tmp_path: Path) -> None:
    def build() -> Trainer:
        return linear(EarlyStopping(patience=2), lr=0.01)

    held: Any = (X, Y)
    one, other = build(), build()
    one.fit(X, Y, epochs=3, validation=held)
    one.save_checkpoint(tmp_path / "run.npz")
    one.fit(X, Y, epochs=2, validation=(X, Y + 1))
    for trainer in (one, other):
        trainer.load_checkpoint(tmp_path / "run.npz")
        trainer.fit(X, Y, epochs=8, validation=held)
    stops: Any = [trainer.callbacks[0] for trainer in (one, other)]
    assert [stop.best for stop in stops] == [min(other.history["val_loss"])] * 2
    assert one.history == other.history


def test_a_run_that_was_stopped_in_an_epoch_goes_on_from_there(tmp_path: Path) -> None:
    class Stop(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.step == 5:
                trainer.stop("here")

    def build(*callbacks: Callback) -> Trainer:
        return linear(EarlyStopping("loss", patience=9), *callbacks)

    rest = passed(build(Stop()), build(), tmp_path / "run.npz", epochs=3)
    whole = build()
    for trainer in (rest, whole):
        trainer.fit(X, Y, epochs=4, batch_size=16)
    assert rest.history == whole.history


def test_a_resumption_that_could_not_begin_is_tried_again(tmp_path: Path) -> None:
    def build() -> Trainer:
        return linear(m.CSVLog(tmp_path / "new" / "log.csv"))

    first = linear()
    first.fit(X, Y, epochs=2)
    first.save_checkpoint(tmp_path / "run.npz")
    rest = build()
    rest.load_checkpoint(tmp_path / "run.npz")
    with pytest.raises(FileNotFoundError):
        rest.fit(X, Y, epochs=4)
    (tmp_path / "new").mkdir()
    assert rest.fit(X, Y, epochs=4) == linear().fit(X, Y, epochs=4)


def test_a_trainer_that_is_copied_in_a_fit_can_fit() -> None:
    copies: list[Trainer] = []

    class Copy(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            if trainer.epoch == 1:
                copies.append(copy.deepcopy(trainer))

    linear(Copy()).fit(X, Y, epochs=2)
    copies[0].callbacks = []
    assert len(copies[0].fit(X, Y, epochs=1)) == 1


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("callbacks", [CosineLR], r"Trainer.fit expects callbacks, got .*; write Scheduled\(sch"),
        ("metrics", "r2", "Trainer.fit expects a list of metrics"),
        ("rng", "seed", "rng"),
    ],
)
def test_what_is_assigned_is_checked(name: str, value: Any, message: str) -> None:
    trainer = linear()
    setattr(trainer, name, value)
    with pytest.raises((TypeError, ValueError), match=message):
        trainer.fit(X, Y, epochs=1)


# -- iterables ---------------------------------------------------------------------------------


class Drawn:
    """Batches that are drawn by a generator of their own, at a depth."""

    def __init__(self, seed: int = 5) -> None:
        self.parts = {"noise": [np.random.default_rng(seed)]}

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        (rng,) = self.parts["noise"]
        for rows in np.array_split(rng.permutation(40), 4):
            yield X[rows] + rng.normal(size=(10, 2)), Y[rows]


@pytest.mark.parametrize("steps", [None, 3, 6])
def test_an_iterable_with_a_generator_is_resumed_bit_by_bit(
    steps: int | None, tmp_path: Path
) -> None:
    def fit(trainer: Trainer) -> Any:
        return trainer.fit(Drawn(), epochs=4, validation=Drawn(6), steps_per_epoch=steps)

    class Save(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.step}.npz")

        def on_epoch_end(self, trainer: Trainer) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.step}-end.npz")

    whole = linear(Save())
    wanted = fit(whole)
    paths = list(tmp_path.iterdir())
    assert len(paths) == 4 * (steps or 4) + 4
    for path in paths:
        rest = linear(Callback())
        rest.load_checkpoint(path)
        assert fit(rest) == wanted
        assert rest.model.weight.value.tobytes() == whole.model.weight.value.tobytes()  # type: ignore[attr-defined]


def test_an_iterable_that_cannot_be_resumed_is_told(tmp_path: Path) -> None:
    class Wild:
        count = 0

        def __iter__(self) -> Iterator[tuple[Any, Any]]:
            Wild.count += 1
            rows = np.random.default_rng(Wild.count).permutation(40)  # a new seed in each pass
            yield from [(X[part], Y[part]) for part in np.array_split(rows, 4)]

    first = linear(Cut())
    first.fit(Wild(), epochs=2)
    first.save_checkpoint(tmp_path / "run.npz")
    rest = linear()
    rest.load_checkpoint(tmp_path / "run.npz")
    with pytest.warns(UserWarning, match=r"not go on bit by bit, for its batch 3 is another one"):
        rest.fit(Wild(), epochs=2)
    first = linear()
    first.fit(Wild(), epochs=2)  # and at the end of an epoch
    first.save_checkpoint(tmp_path / "run.npz")
    rest.load_checkpoint(tmp_path / "run.npz")
    with pytest.warns(UserWarning, match=r"its passes differ, and no generator was found in it"):
        rest.fit(Wild(), epochs=4)


def test_an_iterable_that_shares_its_generator_with_the_model_is_told(tmp_path: Path) -> None:
    """The first batch is the same again, but not what was drawn between the batches."""

    def build(seed: int, *callbacks: Callback) -> tuple[Trainer, Drawn]:
        data, rng = Drawn(), np.random.default_rng(seed)
        data.parts["noise"] = [rng]
        model = m.Sequential(Dense(2, 4, rng=rng), m.Dropout(0.5, rng=rng), Dense(4, 1, rng=rng))
        optimizer = m.SGD(model.parameters(), lr=0.001)
        return Trainer(model, MSELoss(), optimizer, callbacks=callbacks, rng=0), data

    class Save(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.step == 1:
                trainer.save_checkpoint(tmp_path / "run.npz")

    first, data = build(0, Save())
    first.fit(data, epochs=1)
    rest, data = build(1)
    rest.load_checkpoint(tmp_path / "run.npz")
    with pytest.warns(UserWarning, match=r"the model or a callback draws from its generator, too"):
        rest.fit(data, epochs=1)


# -- how an epoch is cut -----------------------------------------------------------------------


class Sizes(Callback):
    def __init__(self) -> None:
        self.found: list[int] = []

    def on_batch_end(self, trainer: Trainer) -> None:
        self.found.append(len(trainer.batch_x))


def test_steps_per_epoch_of_an_endless_iterable() -> None:
    def endless() -> Iterator[tuple[Any, Any]]:
        start = 0
        while True:
            rows = np.arange(start, start + 8) % 40
            yield X[rows], Y[rows]
            start += 8

    one, other = linear(), linear()
    history = one.fit(endless(), epochs=5, steps_per_epoch=3)
    assert (len(history), one.step, one.batches) == (5, 15, 3)
    other.fit(X, Y, epochs=3, batch_size=8, shuffle=False)  # the same 15 batches
    assert np.array_equal(one.model.weight.value, other.model.weight.value)  # type: ignore[attr-defined]


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_steps_per_epoch_of_arrays_goes_through_all_rows(steps: int) -> None:
    one, other = linear(), linear()
    one.fit(X, Y, epochs=20 // steps, batch_size=10, steps_per_epoch=steps)
    other.fit(X, Y, epochs=20 // steps * steps // 4, batch_size=10)
    if 20 // steps * steps % 4 == 0:
        assert np.array_equal(one.model.weight.value, other.model.weight.value)  # type: ignore[attr-defined]
    assert one.step == 20 // steps * steps


def test_a_generator_that_ends_too_soon_says_so() -> None:
    with pytest.raises(ValueError, match="gave none after the first 3; a generator can be run"):
        linear().fit(iter([(X, Y)] * 3), epochs=2, steps_per_epoch=2)


def test_a_batch_of_no_rows_goes_into_a_checkpoint(tmp_path: Path) -> None:
    one = linear()
    one.fit([(X, Y), (X[:0], Y[:0])], epochs=1)
    one.save_checkpoint(tmp_path / "c.npz")
    assert one.step == 1


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize(("rows", "size"), [(33, 32), (40, 13), (32, 8), (9, 8), (40, 3)])
def test_drop_last_and_a_last_batch_of_one(rows: int, size: int, shuffle: bool) -> None:
    x, y = X[:rows], Y[:rows]
    for normed, drop in ((False, False), (False, True), (True, False), (True, True)):
        sizes = Sizes()
        inner = m.BatchNorm(3) if normed else m.Tanh()
        model = m.Sequential(Dense(2, 3, rng=0), inner, Dense(3, 1, rng=1))
        optimizer = m.SGD(model.parameters(), lr=0.01)
        trainer = Trainer(model, MSELoss(), optimizer, callbacks=[sizes], rng=0)
        trainer.fit(x, y, epochs=1, batch_size=size, drop_last=drop, shuffle=shuffle)
        whole, rest = divmod(rows, size)
        wanted = [size] * whole + [rest] * (rest > 0 and not drop)
        if normed and rest == 1 and not drop:
            wanted = [size] * (whole - 1) + [size + 1]
        assert sizes.found == wanted
        assert trainer.batches == len(wanted)


def test_drop_last_that_leaves_nothing() -> None:
    with pytest.raises(ValueError, match=r"at least one batch of 64 rows .* got 40 rows; use a"):
        linear().fit(X, Y, epochs=1, batch_size=64, drop_last=True)


# -- the order of calls ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fit", "load_checkpoint"])
def test_a_callback_that_calls_its_trainer(name: str, tmp_path: Path) -> None:
    class Again(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            arguments: Any = (tmp_path / "run.npz",) if name == "load_checkpoint" else (X, Y)
            getattr(trainer, name)(*arguments, **({"epochs": 1} if name == "fit" else {}))

    trainer = linear(Again())
    with pytest.raises(RuntimeError, match=f"Trainer.{name} expects that no fit"):
        trainer.fit(X, Y, epochs=3)
    trainer.callbacks = []
    assert len(trainer.fit(X, Y, epochs=3)) == 3  # it is whole again


def test_an_error_of_a_callback_is_told_as_it_is(tmp_path: Path) -> None:
    class Broken(Callback):
        def on_batch_end(self, _trainer: Trainer) -> None:
            raise ValueError("mine")

        def state_dict(self) -> dict[str, Any]:
            return {"half": "changed"}

    trainer = linear(Broken())
    with pytest.raises(ValueError, match=r"^mine$") as caught:
        trainer.fit(X, Y, epochs=1)
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(RuntimeError, match="in a callback that has a state"):
        trainer.save_checkpoint(tmp_path / "run.npz")


def test_model_and_loss_are_read_only_and_an_optimizer_takes_effect() -> None:
    trainer = linear()
    for name in ("model", "loss"):
        with pytest.raises(AttributeError):
            setattr(trainer, name, getattr(trainer, name))
    before = trainer.model.weight.value.copy()  # type: ignore[attr-defined]
    trainer.optimizer = m.SGD(trainer.model.parameters(), lr=1e-300)
    trainer.fit(X, Y, epochs=1)
    assert np.array_equal(trainer.model.weight.value, before)  # type: ignore[attr-defined]
    with pytest.raises(ValueError, match="an optimizer of this model's parameters"):
        trainer.optimizer = m.SGD(Dense(2, 1).parameters(), lr=0.1)


def test_two_schedules_over_one_optimizer() -> None:
    trainer = linear()
    warm, fall = LinearWarmup(trainer.optimizer, 2), CosineLR(trainer.optimizer, 6)
    trainer.callbacks = [Scheduled(warm), Scheduled(fall)]
    with pytest.raises(ValueError, match=r"LinearWarmup\(optimizer, 5, then=CosineLR\(...\)\)"):
        trainer.fit(X, Y, epochs=6)


# -- a step of one's own -----------------------------------------------------------------------


def test_a_step_that_a_subclass_writes(tmp_path: Path) -> None:
    """Two losses of one model, by hand, are those of `SumLoss` to the last bit but rounding."""

    class Two(Trainer):
        def step(self, x: Any, y: Any, weight: Any = None) -> float:
            first, second = MSELoss(), m.L1Loss()
            prediction: Any = self.model.forward(x)
            value = first.forward(prediction, y) + second.forward(prediction, y)
            self.measure(prediction, y, weight)
            self.model.backward(first.backward() + second.backward())
            self.update()
            return value

    class Seen(Callback):
        def __init__(self) -> None:
            self.steps: list[int] = []

        def on_batch_end(self, trainer: Trainer) -> None:
            self.steps.append(trainer.step)

    def build(kind: type[Trainer], model: m.Layer, loss: m.Loss, **named: Any) -> Trainer:
        return kind(model, loss, m.SGD(model.parameters(), lr=0.05), rng=0, **named)

    seen = Seen()
    one = build(Two, Dense(2, 1, rng=0), MSELoss(), metrics=["r2"], callbacks=[seen])
    history = one.fit(X, Y, epochs=3)
    assert seen.steps == [1, 2, 3, 4, 5, 6]
    assert type(copy.deepcopy(one.step)) is int  # and not the trainer with it
    copies: Any = {"a": (m.Identity(), "h"), "b": (m.Identity(), "h")}
    both = m.Graph("x", h=Dense(2, 1, rng=0), **copies, outputs=("a", "b"))
    other = build(Trainer, both, m.SumLoss(MSELoss(), m.L1Loss()))
    np.testing.assert_allclose(history["loss"], other.fit(X, (Y, Y), epochs=3)["loss"], rtol=1e-14)
    assert history["r2"][-1] > history["r2"][0]
    one.save_checkpoint(tmp_path / "run.npz")
    rest = build(Two, Dense(2, 1, rng=9), MSELoss(), metrics=["r2"], callbacks=[Seen()])
    rest.load_checkpoint(tmp_path / "run.npz")
    assert rest.fit(X, Y, epochs=5) == build(
        Two, Dense(2, 1, rng=0), MSELoss(), metrics=["r2"]
    ).fit(X, Y, epochs=5)


def test_a_step_whose_loss_is_a_whole_number_is_resumed(tmp_path: Path) -> None:
    class Whole(Trainer):
        def step(self, x: Any, y: Any, weight: Any = None) -> float:
            super().step(x, y, weight)
            return 1

    def build() -> Trainer:
        model = Dense(2, 1, rng=0)
        return Whole(model, MSELoss(), m.SGD(model.parameters(), lr=0.01), rng=0, watch=False)

    whole, rest = build(), passed(build(), build(), tmp_path / "run.npz")
    for trainer in (whole, rest):
        trainer.fit(X, Y, epochs=3, batch_size=16)
    assert rest.history == whole.history


def test_what_else_a_subclass_trains_is_in_its_checkpoint(tmp_path: Path) -> None:
    class Pair(Trainer):
        """Trains a second network against the first."""

        def __init__(self, seed: int) -> None:
            model = Dense(2, 1, rng=seed)
            self.critics = [m.Sequential(Dense(1, 3, rng=seed + 1), m.Dropout(0.5, rng=seed + 2))]
            self.other = m.Adam(self.critics[0].parameters(), lr=0.01)
            self.falling, self.noise = StepLR(self.other, 3), np.random.default_rng(seed)
            super().__init__(model, MSELoss(), m.SGD(model.parameters(), lr=0.05), rng=seed)

        def step(self, x: Any, y: Any, weight: Any = None) -> float:
            value: float = super().step(x, y, weight)
            drawn: Any = self.objective.prediction + self.noise.normal(size=(len(x), 1))
            h: Any = self.critics[0].forward(drawn)
            self.critics[0].backward(np.ones_like(h))
            self.other.step()
            self.falling.step()
            return value + float(h.mean())

    whole, first, rest = Pair(0), Pair(0), Pair(7)
    first.callbacks = [Cut()]
    first.fit(X, Y, epochs=4, batch_size=16)
    first.save_checkpoint(tmp_path / "run.npz")
    rest.load_checkpoint(tmp_path / "run.npz")
    for one in (whole, rest):
        one.fit(X, Y, epochs=4, batch_size=16)
    assert rest.history == whole.history
    assert rest.other.lr == whole.other.lr < 0.01
    for a, b in zip(rest.critics[0].parameters(), whole.critics[0].parameters(), strict=True):
        assert a.value.tobytes() == b.value.tobytes()


def test_a_step_that_does_not_measure_says_so() -> None:
    class Silent(Trainer):
        def step(self, x: Any, y: Any, weight: Any = None) -> float:
            del weight
            value = self.objective.forward(x, y)
            self.objective.backward()
            self.update()
            return value

    model = Dense(2, 1, rng=0)
    optimizer = m.SGD(model.parameters(), lr=0.1)
    Silent(model, MSELoss(), optimizer).fit(X, Y, epochs=1)
    for metrics in (["r2"], ["roc_auc"]):  # by batches, and of the whole
        with pytest.raises(RuntimeError, match=r"calls self.measure\(prediction, y, weight\)"):
            Silent(model, MSELoss(), optimizer, metrics=metrics).fit(X, Y, epochs=1)


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (None, TypeError, "Trainer.step must return the loss of the batch, a float, it returned"),
        (np.nan, m.NonFiniteError, r"Trainer.step returned nan; in epoch 1, batch 1 of 2"),
    ],
)
def test_a_step_that_returns_no_loss(value: Any, error: type[Exception], message: str) -> None:
    class Wrong(Trainer):
        def step(self, x: Any, y: Any, weight: Any = None) -> Any:
            super().step(x, y, weight)
            return value

    model = Dense(2, 1, rng=0)
    with pytest.raises(error, match=message):
        Wrong(model, MSELoss(), m.SGD(model.parameters(), lr=0.1)).fit(X, Y, epochs=1)


def test_the_steps_of_a_resumed_run_are_counted_on(tmp_path: Path) -> None:
    class Spoil(Callback):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.step == 4:
                trainer.model.parameters()[0].value = [[np.nan, 0.0]]

    first, rest = linear(Cut()), linear(Spoil())
    first.fit(X, Y, epochs=4, batch_size=16)
    first.save_checkpoint(tmp_path / "run.npz")
    rest.load_checkpoint(tmp_path / "run.npz")
    with pytest.raises(m.NonFiniteError, match=r"at step 4: .* in epoch 2, batch 2 of 3"):
        rest.fit(X, Y, epochs=4, batch_size=16)


# -- frozen parts ------------------------------------------------------------------------------


def test_a_frozen_part_and_an_optimizer_over_the_rest() -> None:
    def build() -> m.Sequential:
        return m.Sequential(Dense(2, 3, rng=0), m.BatchNorm(3), Dense(3, 1, rng=1))

    model = build()
    model[0].freeze()
    model[1].freeze()
    trainer = Trainer(model, MSELoss(), m.SGD(model.parameters(), lr=0.05), rng=0)
    trainer.fit(X, Y, epochs=3)
    for name, array in build().state_dict().items():
        assert np.array_equal(model.state_dict()[name], array) == (not name.startswith("2."))


# -- an error at any line ------------------------------------------------------------


class Halt(Exception):  # noqa: N818 - no error
    """What is raised at a line."""


def broken_at(line: int, act: Callable[[], object]) -> Any:
    """Return a tracer that acts at one of the lines that training runs; it counts them."""
    root = str(Path(m.__file__).parent)
    rooms = tuple(str(Path(root, room)) for room in ("training", "callbacks", "schedules"))
    count = 0

    def lines(_frame: Any, event: str, _: Any) -> Any:
        nonlocal count
        count += event == "line"
        if count == line and event == "line":
            act()
        return lines

    def calls(frame: Any, _event: str, _: Any) -> Any:
        return lines if frame.f_code.co_filename.startswith(rooms) else None

    return calls


def halt() -> None:
    raise Halt


@pytest.mark.parametrize("how", ["error", "Ctrl-C"])
@pytest.mark.parametrize("kind", ["arrays", "iterable"])
def test_broken_at_any_line_a_run_is_saved_right_or_not_at_all(
    kind: str, how: str, tmp_path: Path
) -> None:
    def build(seed: int) -> Trainer:
        model = m.Sequential(
            Dense(2, 3, rng=seed), m.BatchNorm(3), m.Dropout(0.3, rng=seed), Dense(3, 1, rng=seed)
        )
        optimizer = m.Adam(model.parameters(), lr=0.05)
        falling = Scheduled(ReduceOnPlateau(optimizer, patience=0))
        callbacks = [falling, EarlyStopping(patience=2), m.ClipGradNorm(0.5)]
        return Trainer(
            model, MSELoss(), optimizer, metrics=["r2"], callbacks=callbacks, rng=seed + 1
        )

    def fit(trainer: Trainer) -> None:
        data: Any = {"x": X, "y": Y, "batch_size": 16}
        if kind == "iterable":
            data = {"x": Drawn(), "steps_per_epoch": 3}
        held: Any = (X, Y) if kind == "arrays" else Drawn(6)
        trainer.fit(**data, epochs=2, validation=held)

    def end(trainer: Trainer) -> Any:
        weights = [array.tobytes() for array in trainer.model.state_dict().values()]
        return weights, trainer.history, repr([one.state_dict() for one in trainer.callbacks])

    whole, path = build(0), tmp_path / "run.npz"
    fit(whole)
    act = halt if how == "error" else partial(signal.raise_signal, signal.SIGINT)
    saved = refused = 0
    for line in np.random.default_rng(0).integers(1, 2000, 40).tolist():
        one = build(0)
        before = sys.gettrace()
        sys.settrace(broken_at(line, act))
        try:
            fit(one)
        except (Halt, KeyboardInterrupt):
            pass
        finally:
            sys.settrace(before)
        try:
            one.save_checkpoint(path)
        except RuntimeError:
            refused += 1
            continue
        rest = build(9)
        rest.load_checkpoint(path)
        fit(rest)
        assert end(rest) == end(whole), line
        saved += 1
    assert saved > 10
    assert (refused > 0) == (how == "error")


# -- forged files ------------------------------------------------------------------------------


FORGED: list[Any] = [..., None, -5, "text", [1, 2], {"a": 1}, np.ones(3), 1e300, True]

# What `fit` says of a forged file that loads: of other arguments, of numbers, of sums of a metric.
KNOWN = ["in the middle of epoch", "is not finite", "history has", "expects epochs"]
KNOWN += ["be broadcast together", "concatenated"]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in a tree, but the whole."""
    for key in value if isinstance(value, dict) else ():
        yield (*path, key)
        yield from leaves(value[key], (*path, key))


def forged(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return the tree with another value at one place, or with none for an ellipsis."""
    if not path:
        return new
    changed = {**value, path[0]: forged(value[path[0]], path[1:], new)}
    return {key: item for key, item in changed.items() if item is not ...}


@pytest.mark.slow
def test_forged_checkpoints_end_in_the_documented_errors(tmp_path: Path) -> None:
    """Leaves of the tree, of another kind or gone; what loads can be trained with."""
    path, y = tmp_path / "forged.npz", (Y > 0) * 1.0

    def build(*more: Callback) -> Trainer:
        trainer = linear(metrics=["accuracy", "roc_auc"])
        falling = Scheduled(ReduceOnPlateau(trainer.optimizer, patience=1))
        best = m.Checkpoint(tmp_path / "best.npz", best=True)
        trainer.callbacks = [EarlyStopping(patience=2), falling, best, *more]
        return trainer

    def fit(trainer: Trainer) -> None:
        trainer.fit(X, y, epochs=4, batch_size=8, validation=(X, y))

    first = build(Cut())
    fit(first)
    first.save_checkpoint(path)
    tree = read(path)
    counts, odd = {"loaded": 0, "refused": 0}, []
    for at, place in enumerate(leaves(tree)):
        for new in FORGED[at % 4 :: 4]:
            write(path, forged(tree, place, new))
            one = build()
            before = one.model.state_dict()
            try:
                one.load_checkpoint(path)
            except (ValueError, TypeError):
                counts["refused"] += 1
                after = one.model.state_dict()
                odd += [place for name in before if not np.array_equal(before[name], after[name])]
                continue
            counts["loaded"] += 1
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    fit(one)
            except ValueError as error:  # of other arguments, or no longer finite
                text = str(error)
                odd += [] if any(words in text for words in KNOWN) else [(place, new, text)]
    assert odd == []
    assert counts["refused"] > counts["loaded"] > 0
