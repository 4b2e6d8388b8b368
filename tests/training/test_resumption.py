"""A run that was interrupted and gone on with ends with the same bytes as one that was not."""

import functools
import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import OPTIMIZER_CASES
from resumption import (
    BATCHES,
    EPOCHS,
    EVENTS,
    NAMES,
    SCHEDULES,
    Halt,
    Save,
    X,
    Y,
    digest,
    fit,
    luck,
    resumed,
    trainer,
)

import minifw
from minifw import (
    SGD,
    Callback,
    Checkpoint,
    Dense,
    Dropout,
    ExponentialLR,
    FileFormatError,
    MSELoss,
    NonFiniteError,
    Optimizer,
    Scheduled,
    Sequential,
    StepLR,
    Trainer,
    optimizers,
    schedules,
)
from minifw._tools.generators import find_generators
from minifw.training._checkpoint import PARTS, capture, write

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


class Break(Callback):
    """Interrupts after a number of batches."""

    def __init__(self, *at: int) -> None:
        self.at = at

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.step in self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return how each run ends that is cut after a random batch, in two processes."""
    folder = tmp_path_factory.mktemp("runs")
    for name in NAMES:
        at = 1 + int(luck(name).integers(EPOCHS * BATCHES))
        cut = trainer(name, before=[Break(at)]) if at % 2 else trainer(name, after=[Break(at)])
        fit(cut)
        cut.save_checkpoint(folder / f"{name}.npz")
    other = subprocess.run(
        [sys.executable, ROOT / "tests" / "support" / "resumption.py", folder, *NAMES],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert not other.returncode, other.stderr
    found: dict[str, str] = json.loads(other.stdout)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_new_process_ends_with_the_same_bytes(name: str, ends: dict[str, str]) -> None:
    assert ends[name] == uninterrupted(name)


def test_every_optimizer_and_every_schedule_is_among_them() -> None:
    found = {name: getattr(optimizers, name) for name in dir(optimizers)}
    classes = {n for n, c in found.items() if isinstance(c, type) and issubclass(c, Optimizer)}
    assert classes - {"Optimizer"} == {name.split(",")[0] for name in OPTIMIZER_CASES}
    assert set(schedules.__all__) - {"Schedule"} == set(SCHEDULES)


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("place", ["before", "after"])
@pytest.mark.parametrize("schedule", ["StepLR", "OneCycleLR", "ReduceOnPlateau"])
def test_a_checkpoint_from_inside_a_hook(
    event: str, place: str, schedule: str, tmp_path: Path
) -> None:
    """What the callbacks behind it still have to do at that event is done after loading."""
    name = f"Adam with {schedule}"
    most = {"fit_begin": 1, "batch_end": EPOCHS * BATCHES}.get(event, EPOCHS)
    for count in {most, 1 + int(luck(event + place + schedule).integers(most))}:
        save = Save(tmp_path / "run.npz", event, count)
        with pytest.raises(Halt):
            fit(trainer(name, before=[save]) if place == "before" else trainer(name, after=[save]))
        assert resumed(name, tmp_path / "run.npz") == uninterrupted(name)


@functools.cache
def uninterrupted(name: str) -> str:
    one = trainer(name)
    fit(one)
    assert one.step == EPOCHS * BATCHES  # so that every place can come up
    return digest(one)


def test_a_loaded_run_is_saved_again_with_all_that_it_owes(tmp_path: Path) -> None:
    """At once, and in the first hook after that, even if the next one fails."""
    name, path = "Adam with StepLR", tmp_path / "run.npz"
    whole = trainer(name)
    fit(whole)
    with pytest.raises(Halt):
        fit(trainer(name, before=[Save(path, "epoch_end", 2)]))
    one = trainer(name, seed=5)
    one.load_checkpoint(path)
    one.save_checkpoint(path)
    assert resumed(name, path) == digest(whole)
    for place in ("before", "after"):
        save = Save(path, "fit_begin", 1)
        other = trainer(name, before=[save]) if place == "before" else trainer(name, after=[save])
        other.load_checkpoint(path)
        with pytest.raises(Halt):
            fit(other)
        assert resumed(name, path) == digest(whole)
        other.save_checkpoint(path)
        assert resumed(name, path) == digest(whole)


def test_a_run_cut_at_every_batch(tmp_path: Path) -> None:
    name = "SGD, momentum with OneCycleLR"
    whole = trainer(name)
    fit(whole)
    for step in range(1, EPOCHS * BATCHES + 1):
        one = trainer(name, after=[Break(step)], seed=step - 1)
        if step > 1:
            one.load_checkpoint(tmp_path / "run.npz")
        fit(one)
        one.save_checkpoint(tmp_path / "run.npz")
    assert resumed(name, tmp_path / "run.npz") == digest(whole)


def test_the_checkpoints_of_a_finished_run(tmp_path: Path) -> None:
    name = "Adam with CosineLR"
    whole = trainer(name, after=[Checkpoint(tmp_path / "{epoch}.npz")])
    fit(whole)
    for epoch in range(1, EPOCHS + 1):
        assert resumed(name, tmp_path / f"{epoch}.npz") == digest(whole)


def linear(seed: int = 0, **kwargs: Any) -> Trainer:
    model = Dense(3, 1, rng=seed)
    return Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1), rng=seed + 1, **kwargs)


def test_a_generator_that_the_order_shares_with_the_model(tmp_path: Path) -> None:
    def shared(seed: int, *callbacks: Callback) -> Trainer:
        rng = np.random.default_rng(seed)
        model = Sequential(Dense(3, 4, rng=rng), Dropout(0.5, rng=rng), Dense(4, 1, rng=rng))
        optimizer = SGD(model.parameters(), lr=0.1)
        return Trainer(model, MSELoss(), optimizer, callbacks=callbacks, rng=rng)

    whole, cut, rest = shared(0), shared(0, Break(6)), shared(9)
    expected = whole.fit(X, Y, epochs=3, batch_size=16)
    cut.fit(X, Y, epochs=3, batch_size=16)
    cut.save_checkpoint(tmp_path / "run.npz")
    rest.load_checkpoint(tmp_path / "run.npz")
    assert rest.fit(X, Y, epochs=3, batch_size=16) == expected
    assert rest.rng.bit_generator.state == whole.rng.bit_generator.state


def test_a_hook_that_saved_is_not_called_again(tmp_path: Path) -> None:
    class Count(Callback):
        def __init__(self, at: int) -> None:
            self.at, self.calls = at, 0

        def on_batch_end(self, trainer: Trainer) -> None:
            self.calls += 1
            if self.calls == self.at:
                trainer.save_checkpoint(tmp_path / "run.npz")

        def state_dict(self) -> dict[str, Any]:
            return {"calls": self.calls}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.calls = state["calls"]

    count = Count(3)
    linear(callbacks=[count]).fit(X, Y, epochs=2)
    other = linear(9, callbacks=[count])
    other.load_checkpoint(tmp_path / "run.npz")
    assert count.calls == 3
    other.fit(X, Y, epochs=2)
    assert count.calls == 4


def test_an_iterable_of_batches_goes_on_behind_those_done(tmp_path: Path) -> None:
    batches = [(X[i : i + 16], Y[i : i + 16]) for i in range(0, 50, 16)]
    whole = linear()
    whole.fit(batches, epochs=3)
    for step in (2, 4, 9, 12):
        cut = linear(callbacks=[Break(step)])
        cut.fit(batches, epochs=3)
        cut.save_checkpoint(tmp_path / "run.npz")
        other = linear(9)
        other.load_checkpoint(tmp_path / "run.npz")
        assert other.fit(batches, epochs=3) == whole.history
        ends = [one.model.parameters()[0].value.tobytes() for one in (other, whole)]
        assert ends[0] == ends[1]


def test_a_checkpoint_before_the_first_fit(tmp_path: Path) -> None:
    one, other = linear(), linear(9)
    one.save_checkpoint(tmp_path / "run.npz")
    other.load_checkpoint(tmp_path / "run.npz")
    assert other.fit(X, Y, epochs=3) == one.fit(X, Y, epochs=3)


def test_a_run_is_continued_beyond_its_first_end(tmp_path: Path) -> None:
    one, other, whole = linear(), linear(9), linear()
    one.fit(X, Y, epochs=3)
    one.save_checkpoint(tmp_path / "run.npz")
    other.load_checkpoint(tmp_path / "run.npz")
    assert other.fit(X, Y, epochs=5) == whole.fit(X, Y, epochs=5)


class StopAt(Callback):
    """Stops after a number of batches."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.step == self.step:
            trainer.stop(f"at {self.step}")


@pytest.mark.parametrize("step", [3, 4])  # in the second epoch, and at its end
def test_a_run_that_a_callback_stopped_goes_on_with_more_epochs(step: int, tmp_path: Path) -> None:
    one, other, whole = linear(callbacks=[StopAt(step)]), linear(9), linear()
    one.fit(X, Y, epochs=3)
    assert (one.step, one.history.stopped) == (step, f"at {step}")
    one.save_checkpoint(tmp_path / "run.npz")
    other.load_checkpoint(tmp_path / "run.npz")
    other.save_checkpoint(tmp_path / "run.npz")  # which changes nothing
    other.load_checkpoint(tmp_path / "run.npz")
    found = other.fit(X, Y, epochs=5)
    assert found.stopped is None
    assert found == whole.fit(X, Y, epochs=5)
    assert np.array_equal(other.model.parameters()[0].value, whole.model.parameters()[0].value)


def test_a_run_that_was_stopped_stays_so_with_the_epochs_that_it_was_given(tmp_path: Path) -> None:
    one, other = linear(callbacks=[StopAt(4)]), linear(9)
    one.fit(X, Y, epochs=3)
    one.save_checkpoint(tmp_path / "run.npz")
    other.load_checkpoint(tmp_path / "run.npz")
    with pytest.warns(UserWarning, match=r"no step, .* is over \(at 4\); .* more epochs than 3$"):
        assert other.fit(X, Y, epochs=3) == one.history
    assert other.step == 4
    assert other.history.stopped == "at 4"


def test_early_stopping_has_all_its_patience_in_a_run_that_goes_on(tmp_path: Path) -> None:
    worse = iter(range(100))

    def stopping(seed: int) -> Trainer:
        early = minifw.EarlyStopping("rising", patience=2, mode="min")
        return linear(seed, callbacks=[early], metrics={"rising": lambda _p, _t: next(worse)})

    one, other = stopping(0), stopping(9)
    assert len(one.fit(X, Y, epochs=50)) == 3  # the best, and two more
    best = one.model.parameters()[0].value.copy()
    one.save_checkpoint(tmp_path / "run.npz")
    other.load_checkpoint(tmp_path / "run.npz")
    assert len(other.fit(X, Y, epochs=60)) == 5  # two more
    assert other.history.stopped is not None
    assert "did not fall for 2 epochs; the weights are from epoch 1" in other.history.stopped
    assert np.array_equal(other.model.parameters()[0].value, best)


def test_what_does_not_fit_the_checkpoint_changes_nothing(tmp_path: Path) -> None:
    one = linear(callbacks=[Break(3)])
    one.fit(X, Y, epochs=2)
    one.save_checkpoint(tmp_path / "run.npz")

    wide = Dense(4, 1)
    adam = Dense(3, 1, rng=4)
    others = {
        "weight has shape": Trainer(wide, MSELoss(), SGD(wide.parameters(), lr=0.1)),
        "with Adam, got SGD": Trainer(adam, MSELoss(), minifw.Adam(adam.parameters())),
        r"metrics \['mse'\], got \[\]": linear(metrics=["mse"]),
        "callbacks .*EarlyStopping is not in": linear(callbacks=[minifw.EarlyStopping()]),
        "rng to be a PCG64, as saved, got a MT19937": linear(),
    }
    others["rng to be a PCG64, as saved, got a MT19937"].rng = np.random.Generator(
        np.random.MT19937(0)
    )
    for message, other in others.items():
        before = {n: a.copy() for n, a in other.model.state_dict().items()}
        with pytest.raises(ValueError, match=message):
            other.load_checkpoint(tmp_path / "run.npz")
        after = other.model.state_dict()
        assert all(np.array_equal(after[name], before[name]) for name in before)

    other = linear()
    other.load_checkpoint(tmp_path / "run.npz")
    with pytest.raises(ValueError, match=r"epoch 2, which was begun with batch_size=32; got .*=7"):
        other.fit(X, Y, epochs=2, batch_size=7)
    with pytest.raises(
        ValueError, match="history has loss, got arguments that give loss, val_loss"
    ):
        other.fit(X, Y, epochs=2, validation=(X, Y))
    assert other.fit(X, Y, epochs=2) == linear().fit(X, Y, epochs=2)


def scheduled(make: Callable[[Optimizer], StepLR | ExponentialLR]) -> Trainer:
    model = Dense(2, 1, rng=0)
    optimizer = SGD(model.parameters(), lr=0.1)
    return Trainer(model, MSELoss(), optimizer, callbacks=[Scheduled(make(optimizer))])


def test_the_part_that_differs_is_named(tmp_path: Path) -> None:
    scheduled(lambda o: StepLR(o, 1)).save_checkpoint(tmp_path / "run.npz")
    other = scheduled(lambda o: ExponentialLR(o, 0.9))
    words = "callback Scheduled of the saved run: ExponentialLR.* step_size is unexpected"
    with pytest.raises(ValueError, match=f"^Trainer.load_checkpoint expects the {words}"):
        other.load_checkpoint(tmp_path / "run.npz")
    model = Dense(2, 3)
    wider = Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1), callbacks=other.callbacks)
    with pytest.raises(ValueError, match=r"^Trainer.* the model of the saved run: Dense.*\(1,\)"):
        wider.load_checkpoint(tmp_path / "run.npz")


def test_other_files_are_refused(tmp_path: Path) -> None:
    minifw.save(Dense(3, 1), tmp_path / "model.npz")
    with pytest.raises(FileFormatError, match="checkpoint"):
        linear().load_checkpoint(tmp_path / "model.npz")
    with pytest.raises(FileNotFoundError):
        linear().load_checkpoint(tmp_path / "none.npz")


def test_a_checkpoint_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    one = linear(callbacks=[Break(3)])
    one.fit(X, Y, epochs=2)
    whole = capture(one)
    for name in PARTS:
        for change in ({}, {name: 3}, {name: {"more": 1}}):
            tree = {key: value for key, value in whole.items() if key != name} | change
            write(tmp_path / "run.npz", tree)
            other = linear(9)
            before = other.model.state_dict()
            with pytest.raises(ValueError):
                other.load_checkpoint(tmp_path / "run.npz")
            after = other.model.state_dict()
            assert all(np.array_equal(after[key], before[key]) for key in before)
    bits = whole["generators"]["rng"]["bits"]
    for state in (
        3,
        {},
        {"bits": 3},
        {"bits": bits | {"state": {}}},
        {"bits": bits | {"uinteger": -1}},
    ):
        write(tmp_path / "run.npz", whole | {"generators": {"rng": state}})
        with pytest.raises(FileFormatError):
            linear(9).load_checkpoint(tmp_path / "run.npz")


def test_generators_are_found_wherever_they_are() -> None:
    class Slots:
        __slots__ = ("empty", "rng")

        def __init__(self) -> None:
            self.rng = np.random.default_rng(0)

        def draw(self, scale: float) -> float:
            return scale * self.rng.random()

    def closure() -> Callable[[], float]:
        def draw() -> float:
            return rng.random() + (later.random() if later_exists else 0.0)

        later_exists = False
        rng = np.random.default_rng(1)
        if later_exists:
            later = np.random.default_rng(2)
        return draw

    shared = np.random.default_rng(3)
    roots = {
        "method": Slots().draw,
        "partial": functools.partial(Slots().draw, scale=2.0),
        "closure": closure(),
        "nested": {"a": [(shared, shared)], "b": deque([Slots()])},
        "legacy": np.random.RandomState(4),
        "none": [1, "text", np.ones(3), None, np, dict],
    }
    assert list(find_generators(roots, set())) == [
        "method.self.rng",
        "partial.func.self.rng",
        "closure.rng",
        "nested.a.0.0",
        "nested.b.0.rng",
        "legacy",
    ]


def test_a_state_that_cannot_be_stored_is_named(tmp_path: Path) -> None:
    class Odd(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"best": [np.float64(0.5), {1, 2}]}

    with pytest.raises(TypeError, match="got set at callbacks/Odd/best/1"):
        linear(callbacks=[Odd()]).save_checkpoint(tmp_path / "run.npz")
    assert not list(tmp_path.iterdir())


def test_half_a_step_is_not_saved(tmp_path: Path) -> None:
    class Early(Callback):
        def on_backward_end(self, trainer: Trainer) -> None:
            trainer.save_checkpoint(tmp_path / "run.npz")

    with pytest.raises(
        RuntimeError, match="the middle of a step: a callback calls it in on_batch"
    ):
        linear(callbacks=[Early()]).fit(X, Y, epochs=1)
    bad = X.copy()
    bad[7] = np.inf
    one = linear()
    for _ in range(2):  # each fit counts its steps anew
        with pytest.raises(NonFiniteError, match=r"at step 0: .* batch 1 of 1"):
            one.fit(bad, Y, epochs=1, batch_size=None)
    with pytest.raises(RuntimeError, match="after an error in a step"):
        one.save_checkpoint(tmp_path / "run.npz")
    assert not list(tmp_path.iterdir())


def test_a_legacy_generator_is_kept_to_its_last_number(tmp_path: Path) -> None:
    """It keeps every second normal number for the next call."""

    class Drawn(Callback):
        def __init__(self) -> None:
            self.rng = np.random.RandomState(3)
            self.numbers: list[float] = []

        def on_batch_end(self, trainer: Trainer) -> None:
            del trainer
            self.numbers = [*self.numbers, float(self.rng.standard_normal())]

        def state_dict(self) -> dict[str, Any]:
            return {"numbers": self.numbers}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.numbers = state["numbers"]

    whole, cut, rest = Drawn(), Drawn(), Drawn()
    linear(callbacks=[whole]).fit(X, Y, epochs=2)
    first = linear(callbacks=[cut, Break(3)])
    first.fit(X, Y, epochs=2)
    first.save_checkpoint(tmp_path / "run.npz")
    second = linear(callbacks=[rest])
    second.load_checkpoint(tmp_path / "run.npz")
    second.fit(X, Y, epochs=2)
    assert rest.numbers == whole.numbers


KILLED = """
import os, random, signal, sys, time
import numpy as np
from minifw import Adam, Dense, MSELoss, Trainer

def trainer(epochs):
    model = Dense(32, 32, rng=1)
    one = Trainer(model, MSELoss(), Adam(model.parameters(), lr=0.1), rng=2)
    one.fit(np.eye(32), np.eye(32), epochs=epochs)
    return one

path, one, two = sys.argv[1], trainer(1), trainer(2)
wanted = [t.model.weight.value.tobytes() for t in (one, two)]
one.save_checkpoint(path)
rng, seen, reader = random.Random(0), [0, 0], trainer(1)
for moment in range(40):
    done, told = os.pipe()
    child = os.fork()
    if child == 0:
        while True:
            two.save_checkpoint(path)
            os.write(told, b"2")
            one.save_checkpoint(path)
            os.write(told, b"1")
    for _ in range(1 + moment % 2):  # so both are met, however busy the machine is
        os.read(done, 1)
    time.sleep(rng.uniform(0.0, 0.003))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    reader.load_checkpoint(path)
    which = wanted.index(reader.model.weight.value.tobytes())
    assert len(reader.history) == reader.epoch == which + 1
    seen[which] += 1
print(*seen)
"""


def test_killed_at_40_moments_the_checkpoint_is_whole(tmp_path: Path) -> None:
    """The children are forks of a process that has loaded minifw; each is killed once."""
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "run.npz")],
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    first, second = map(int, result.stdout.split())
    assert first + second == 40
    assert min(first, second) > 0
