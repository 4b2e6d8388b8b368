"""The callbacks: what they print, write, warn of, and when they end training."""

import contextlib
import csv
import io
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    Adam,
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    Callback,
    Checkpoint,
    ClipGradNorm,
    Conv2D,
    CosineCyclesLR,
    CosineLR,
    CostLines,
    CSVLog,
    Dense,
    EarlyStopping,
    Flatten,
    Graph,
    Join,
    Layer,
    LinearWarmup,
    MSELoss,
    NonFiniteError,
    OneCycleLR,
    Optimizer,
    Progress,
    ReduceOnPlateau,
    ReLU,
    Schedule,
    Scheduled,
    Sequential,
    Sigmoid,
    Softmax,
    StepLR,
    Tanh,
    Trainer,
    TrainingWarning,
    Watch,
    clip_grad_norm,
)
from minifw.datasets import planar_flower
from minifw.training._hooks import EVENTS
from minifw.training._signs import Signs

RNG = np.random.default_rng(0)
X = RNG.standard_normal((50, 3))
Y = X[:, :1] - X[:, 1:2] + 0.1 * RNG.standard_normal((50, 1))


def linear(*callbacks: Callback, lr: float = 0.1, **kwargs: Any) -> Trainer:
    model = Dense(3, 1, rng=0)
    optimizer = SGD(model.parameters(), lr=lr)
    return Trainer(model, MSELoss(), optimizer, callbacks=callbacks, rng=1, **kwargs)


class Do(Callback):
    """Does one thing at the end of batches or epochs."""

    def __init__(
        self,
        batch: Callable[[Trainer], object] | None = None,
        epoch: Callable[[Trainer], object] | None = None,
        end: Callable[[Trainer], object] | None = None,
    ) -> None:
        self.batch, self.epoch, self.end = batch, epoch, end

    def on_batch_end(self, trainer: Trainer) -> None:
        if self.batch:
            self.batch(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        if self.epoch:
            self.epoch(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self.end:
            self.end(trainer)


# -- the protocol ----------------------------------------------------------------------------


def test_the_hooks_are_called_in_order() -> None:
    heard: list[tuple[str, int, int, int]] = []

    def hear(name: str) -> Callable[[Callback, Trainer], None]:
        return lambda _, trainer: heard.append((name, trainer.epoch, trainer.batch, trainer.step))

    every = type("Every", (Callback,), {f"on_{name}": hear(name) for name in EVENTS})
    linear(every()).fit(X, Y, epochs=2, batch_size=25)
    assert heard == [
        ("fit_begin", 0, 0, 0),
        ("epoch_begin", 1, 0, 0),
        ("backward_end", 1, 0, 0),
        ("batch_end", 1, 1, 1),
        ("backward_end", 1, 1, 1),
        ("batch_end", 1, 2, 2),
        ("validation_begin", 1, 2, 2),
        ("epoch_end", 1, 2, 2),
        ("epoch_begin", 2, 0, 2),
        ("backward_end", 2, 0, 2),
        ("batch_end", 2, 1, 3),
        ("backward_end", 2, 1, 3),
        ("batch_end", 2, 2, 4),
        ("validation_begin", 2, 2, 4),
        ("epoch_end", 2, 2, 4),
        ("fit_end", 2, 2, 4),
    ]


def test_a_run_saved_before_its_validation_calls_no_hook_twice(tmp_path: Path) -> None:
    heard: list[str] = []

    def hearing(name: str) -> Any:
        hook = {"on_validation_begin": lambda _, t: heard.append(f"{name} {t.epoch}")}
        return type(name, (Callback,), hook)()

    class Save(Callback):
        def on_validation_begin(self, trainer: Trainer) -> None:
            if trainer.epoch == 1 and trainer.step == len(heard):
                trainer.save_checkpoint(tmp_path / "run.npz")
                raise ArithmeticError

    def callbacks() -> list[Callback]:
        return [hearing("before"), Save(), hearing("after")]

    with pytest.raises(ArithmeticError):
        linear(*callbacks()).fit(X, Y, epochs=2, batch_size=50)
    again = linear(*callbacks())
    again.load_checkpoint(tmp_path / "run.npz")
    again.fit(X, Y, epochs=2, batch_size=50)
    assert heard == ["before 1", "after 1", "before 2", "after 2"]


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (Progress(), "expects a list of callbacks, got"),
        ([Progress], r"write Progress\(\)"),
        ([3], "expects callbacks, got an int; derive it from minifw.Callback"),
    ],
)
def test_what_is_no_callback(callbacks: Any, message: str) -> None:
    model = Dense(3, 1)
    with pytest.raises(TypeError, match=message):
        Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1), callbacks=callbacks)


def test_a_callback_may_predict_and_evaluate_at_any_time() -> None:
    def look(_: Callback, trainer: Trainer) -> None:
        if trainer.batch_x is not None:
            x = trainer.batch_x  # of the shape of the batch under way, too
            trainer.evaluate(x, Y[: len(x)], batch_size=len(x))
            trainer.evaluate(X, Y)
        trainer.model.predict(X, batch_size=16)

    curious = type("Curious", (Callback,), {f"on_{name}": look for name in EVENTS})
    ends = []
    for callbacks in ([], [curious()]):
        model = Sequential(Dense(3, 4, rng=0), Tanh(), Dense(4, 1, rng=1))
        optimizer = Adam(model.parameters())
        trainer = Trainer(model, MSELoss(), optimizer, metrics=["r2"], callbacks=callbacks, rng=1)
        history = trainer.fit(X, Y, epochs=3, batch_size=16, validation=(X, Y))
        ends.append((history, [parameter.value.tobytes() for parameter in model.parameters()]))
    assert ends[0] == ends[1]


def test_what_callbacks_look_like() -> None:
    trainer = linear(lr=0.5)
    callbacks = [
        Progress(),
        Checkpoint("run.npz"),
        CSVLog("log.csv"),
        EarlyStopping(patience=3),
        ClipGradNorm(2),
        Scheduled(StepLR(trainer.optimizer, 2), per="batch"),
    ]
    assert [repr(callback) for callback in callbacks] == [
        "Progress()",
        "Checkpoint('run.npz')",
        "CSVLog('log.csv')",
        "EarlyStopping('val_loss', patience=3)",
        "ClipGradNorm(2.0)",
        f"Scheduled({StepLR(trainer.optimizer, 2)!r}, per='batch')",
    ]
    assert repr(trainer) == "Trainer(Dense(3, 1, rng=0), MSELoss(), SGD(2 parameters, lr=0.5))"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: EarlyStopping(mode="up"), "mode to be 'min', 'max' or None, got 'up'"),
        (lambda _: EarlyStopping(patience=0), "EarlyStopping expects patience"),
        (lambda _: Checkpoint("run.npz", every=0), "Checkpoint expects every"),
        (lambda _: Checkpoint("run.npz", best="yes"), "Checkpoint expects best"),  # type: ignore[arg-type]
        (lambda _: Checkpoint("run.npz", every=3, best=True), "every=3 or best=True, got both"),
        (lambda _: ClipGradNorm(0.0), "ClipGradNorm expects max_norm"),
        (Scheduled, "expects a schedule, got a SGD"),
        (
            lambda o: Scheduled(StepLR(o, 2), per="step"),
            "per to be 'epoch' or 'batch', got 'step'",
        ),
        (lambda o: linear(Scheduled(ReduceOnPlateau(o))), "another; build both over the same"),
    ],
)
def test_wrong_arguments(make: Callable[[Any], Any], message: str) -> None:
    optimizer = linear().optimizer
    with pytest.raises((ValueError, TypeError), match=message):
        made = make(optimizer)
        made.fit(X, Y, epochs=1)


def test_an_error_of_a_callback_is_its_own() -> None:
    def refuse(trainer: Trainer) -> None:
        raise ValueError(f"no such thing in epoch {trainer.epoch}")

    trainer = linear(Do(batch=refuse))
    with pytest.raises(ValueError, match=r"^no such thing in epoch 1$"):
        trainer.fit(X, Y, epochs=1)
    assert trainer.history.stopped == "ended by ValueError in epoch 1, after batch 1 of 2"


# -- what is printed -------------------------------------------------------------------------


def test_progress_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    history = linear(Progress(every=2)).fit(X, Y, epochs=3, validation=(X, Y))
    loss, val = history["loss"], history["val_loss"]
    assert capsys.readouterr().out.splitlines() == [
        f"epoch {epoch}/3  loss {loss[epoch - 1]:.4f}  val_loss {val[epoch - 1]:.4f}"
        for epoch in (2, 3)
    ]


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_as_a_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    trainer = linear(Progress(), Do(epoch=lambda t: t.stop("enough") if t.epoch == 2 else None))
    trainer.fit(X, Y, epochs=3, batch_size=5)
    shown = screen.getvalue()
    assert "epoch 1/3:" in shown
    assert "epoch 2/3:" in shown
    assert "/30 [" in shown  # of all batches, so that what is left is that of the run
    assert shown.endswith("\r")  # the bar is taken away
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3", "enough"]
    linear(Progress()).fit(((X, Y) for _ in range(3)), epochs=1)  # nobody knows how many
    assert "epoch 1/1: 3batch" in screen.getvalue()


def test_progress_without_tqdm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setitem(sys.modules, "tqdm.notebook", None)
    linear(Progress()).fit(X, Y, epochs=1)
    assert not screen.getvalue()
    assert capsys.readouterr().out.startswith("epoch 1/1  loss ")


def test_progress_without_widgets_is_lines_and_no_warning(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a notebook without ipywidgets tqdm would warn, and its bar would be a line a batch."""
    for name in ("ipykernel", "ipykernel.zmqshell", "IPython"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    vars(sys.modules["IPython"])["get_ipython"] = object
    monkeypatch.setattr("tqdm.notebook.IProgress", None)
    for name in ("tqdm.auto", "tqdm.autonotebook"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        linear(Progress()).fit(X, Y, epochs=1)
    assert not caught
    out, err = capsys.readouterr()
    assert out.startswith("epoch 1/1  loss ")
    assert not err


def test_progress_tells_the_time_of_slow_epochs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("minifw.callbacks._progress.time.perf_counter", lambda: now[0])
    waits = iter([0.4, 0.4, 2.0, 400.0, 1.0])

    def wait(trainer: Trainer) -> None:
        now[0] += next(waits) if trainer.batch == trainer.batches else 0.0

    linear(Do(batch=wait), Progress()).fit(X, Y, epochs=5)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[2:] for line in lines] == [
        [],
        [],
        ["2 s/epoch, 1.9 s left"],  # 2.8 s in 3 epochs
        ["0:06:40/epoch, 0:01:41 left"],
        ["1 s/epoch, 0:06:44 in all"],
    ]
    waits = iter([0.4, 0.4, 0.4, 0.4])
    linear(Do(batch=wait), Progress(every=3)).fit(X, Y, epochs=4)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[2:] for line in lines] == [["0.4 s/epoch, 0.4 s left"], []]


def test_progress_prints_what_the_output_has_no_letter_for() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stop = Do(epoch=lambda trainer: trainer.stop("genug für heute"))
    with contextlib.redirect_stdout(out):
        linear(Progress(), stop, metrics={"r²": "r2"}).fit(X, Y, epochs=2)
    text = out.buffer.getvalue().decode()
    assert r"  r\xb2 " in text
    assert text.endswith("genug f\\xfcr heute\n")


def test_cost_lines_are_those_of_the_notes(capsys: pytest.CaptureFixture[str]) -> None:
    """The costs that any right implementation prints with the notes' seed."""
    x, y = planar_flower()
    rng = np.random.RandomState(3)
    hidden, output = Dense(2, 4), Dense(4, 1)
    hidden.weight.value = rng.standard_normal((4, 2)) * 0.01
    output.weight.value = rng.standard_normal((1, 4)) * 0.01
    model = Sequential(hidden, Tanh(), output, Sigmoid())
    optimizer = SGD(model.parameters(), lr=1.2)
    trainer = Trainer(model, BCELoss(), optimizer, callbacks=[CostLines()])
    trainer.fit(x, y, epochs=3001, batch_size=None, shuffle=False)
    assert capsys.readouterr().out.splitlines() == [
        "Cost after iteration 0: 0.693162",
        "Cost after iteration 1000: 0.258625",
        "Cost after iteration 2000: 0.239334",
        "Cost after iteration 3000: 0.230802",
    ]


# -- what is written -------------------------------------------------------------------------


def test_csv_log_has_every_digit(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    history = linear(CSVLog(path), metrics=["mse"]).fit(X, Y, epochs=3, validation=(X, Y))
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row.pop("epoch") for row in rows] == ["1", "2", "3"]
    assert {n: [float(row[n]) for row in rows] for n in rows[0]} == {
        name: history[name] for name in history.columns
    }


def test_csv_log_of_a_run_that_goes_on(tmp_path: Path) -> None:
    whole, cut = CSVLog(tmp_path / "whole.csv"), CSVLog(tmp_path / "cut.csv")
    linear(whole).fit(X, Y, epochs=4)
    first = linear(cut, Checkpoint(tmp_path / "run.npz"))
    first.fit(X, Y, epochs=2)
    second = linear(cut, Checkpoint(tmp_path / "run.npz"))
    second.load_checkpoint(tmp_path / "run.npz")
    second.fit(X, Y, epochs=4)
    assert cut.path.read_text() == whole.path.read_text()


def test_checkpoints_every_so_many_epochs_and_of_the_best(tmp_path: Path) -> None:
    scores = iter([3.0, 1.0, 2.0, 0.5, 0.5])
    every = Checkpoint(tmp_path / "every-{epoch}.npz", every=2)
    best = Checkpoint(tmp_path / "best-{epoch}.npz", best=True, monitor="val_score", mode="min")
    seen: dict[int, Array] = {}
    keep = Do(epoch=lambda t: seen.update({t.epoch: t.model.state_dict()["weight"]}))
    trainer = linear(every, best, keep, metrics={"score": scripted(scores)})
    trainer.fit(X, Y, epochs=5, validation=(X, Y))
    names = sorted(path.stem for path in tmp_path.iterdir())
    assert names == ["best-1", "best-2", "best-4", "every-2", "every-4"]
    for name in names:
        other = linear(every, best, keep, metrics={"score": scripted(scores)})
        other.load_checkpoint(tmp_path / f"{name}.npz")
        assert np.array_equal(other.model.state_dict()["weight"], seen[int(name[-1])])
        assert other.epoch == int(name[-1])


def test_a_path_is_filled_in_with_the_epoch_and_its_values(tmp_path: Path) -> None:
    saving = Checkpoint(tmp_path / "run-{epoch:03d}-{val_loss:.3f}-{{x}}.npz")
    history = linear(saving).fit(X, Y, epochs=2, validation=(X, Y))
    assert {path.name for path in tmp_path.iterdir()} == {
        f"run-{epoch:03d}-{history['val_loss'][epoch - 1]:.3f}-{{x}}.npz" for epoch in (1, 2)
    }


@pytest.mark.parametrize(
    "name", ["{val_loss}", "{epoch:.3q}", "{loss:03d}", "{epoch", "{}", "{0}", "{epoch.x}"]
)
def test_a_path_that_cannot_be_filled_in_is_told_before_the_first_epoch(
    name: str, tmp_path: Path
) -> None:
    trainer = linear(Checkpoint(tmp_path / f"{name}.npz"))
    with pytest.raises(ValueError, match="expects a path of the fields epoch, loss, as in"):
        trainer.fit(X, Y, epochs=1)
    assert trainer.epoch == 0


# -- stopping --------------------------------------------------------------------------------


def scripted(values: Iterator[float]) -> Callable[[Array, Array], float]:
    """Return a metric that ignores the data; in training it is 0."""
    calls = iter(range(1000))
    return lambda _p, _t: next(values) if next(calls) % 2 else 0.0


def stopping(scores: list[float], end: Callable[[Trainer], object], **kwargs: Any) -> Any:
    """Train with values of val_score as given; return the trainer, the callback, the weights."""
    early = EarlyStopping(monitor="val_score", **kwargs)
    seen: dict[int, dict[str, Array]] = {}
    keep = Do(epoch=lambda t: (seen.update({t.epoch: t.model.state_dict()}), end(t)))
    trainer = linear(early, keep, metrics={"score": scripted(iter(scores))})
    with contextlib.suppress(ArithmeticError):
        trainer.fit(X, Y, epochs=len(scores), validation=(X, Y))
    return trainer, early, seen


def ctrl_c(trainer: Trainer) -> None:
    if trainer.epoch == 5:
        signal.raise_signal(signal.SIGINT)


def fail(trainer: Trainer) -> None:
    if trainer.epoch == 5:
        raise ArithmeticError


@pytest.mark.parametrize("end", [lambda _: None, ctrl_c, fail], ids=["epochs", "Ctrl-C", "error"])
@pytest.mark.parametrize(
    ("mode", "scores", "best"),
    [
        ("max", [1.0, 3.0, 2.0, np.nan, 1.0], 2),
        ("min", [3.0, 3.0, 2.0, 1.5, 2.0], 4),
        ("min", [np.nan, 3.0, 3.0, 3.0, 3.0], 2),
        ("max", [1.0, 2.0, 3.0, 4.0, 5.0], 5),
    ],
)
def test_early_stopping_leaves_the_best_weights_however_training_ends(
    end: Callable[[Trainer], object], mode: str, scores: list[float], best: int
) -> None:
    trainer, early, seen = stopping(scores, end, mode=mode)
    assert (early.best_epoch, early.best) == (best, scores[best - 1])
    assert len(seen) == 5
    state = trainer.model.state_dict()
    assert all(np.array_equal(state[name], seen[best][name]) for name in state)


def test_without_patience_the_last_of_the_best_epochs_is_kept_to_the_end() -> None:
    scores = [np.nan, 3.0, 1.0, 3.0, *[2.0] * 30, np.nan]
    trainer, early, seen = stopping(scores, lambda _: None, mode="max", patience=None)
    assert (early.best_epoch, early.best) == (4, 3.0)
    assert len(seen) == len(scores)
    assert trainer.history.stopped is None
    state = trainer.model.state_dict()
    assert all(np.array_equal(state[name], seen[4][name]) for name in state)


def test_early_stopping_says_which_epoch_it_was() -> None:
    scores = [1.0, 2.0, 2.05, 1.0, 2.09, 9.0]
    trainer, _, seen = stopping(scores, lambda _: None, mode="max", patience=3, min_delta=0.1)
    assert len(seen) == 5
    assert trainer.history.stopped == (
        "stopped after epoch 5: val_score did not rise for 3 epochs; the weights are from "
        "epoch 2 (val_score 2.0000)"
    )
    trainer, _, _ = stopping([np.nan] * 4, lambda _: None, mode="max", patience=2)
    assert trainer.history.stopped == "stopped after epoch 2: val_score was never a number"


def test_early_stopping_knows_what_is_better_of_a_known_metric() -> None:
    early = EarlyStopping(monitor="val_r2", patience=1)
    linear(early, metrics=["r2"]).fit(X, Y, epochs=3, validation=(X, Y))
    assert early.best_epoch == 3
    with pytest.raises(ValueError, match=r"whether a lower or a higher 'own' is better; use mode"):
        linear(EarlyStopping("own"), metrics={"own": lambda _p, _t: 0.0}).fit(X, Y, epochs=1)
    with pytest.raises(ValueError, match=r"will have loss; give fit validation=\(x, y\)"):
        linear(EarlyStopping()).fit(X, Y, epochs=1)


def test_a_run_that_does_not_begin_leaves_the_weights_as_they_are() -> None:
    """Those of the best epoch of an earlier run are not put back."""

    class Refuse(Callback):
        refuses = False

        def on_fit_begin(self, trainer: Trainer) -> None:
            del trainer
            if self.refuses:
                raise OSError("no space left")

    refuse = Refuse()
    trainer = linear(refuse, EarlyStopping())
    trainer.fit(X, Y, epochs=2, validation=(X, Y))
    weight = trainer.model.parameters()[0]
    weight.value = [[1.0, 2.0, 3.0]]
    with pytest.raises(ValueError, match="EarlyStopping monitors 'val_loss'"):
        trainer.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(weight.value, [[1.0, 2.0, 3.0]])
    trainer.fit(X, Y, epochs=2, validation=(X, Y))
    weight.value = [[1.0, 2.0, 3.0]]
    refuse.refuses = True
    with pytest.raises(OSError, match="no space left"):
        trainer.fit(X, Y, epochs=2, validation=(X, Y))
    np.testing.assert_array_equal(weight.value, [[1.0, 2.0, 3.0]])


def test_the_end_is_told_to_those_that_have_begun() -> None:
    heard: list[str] = []

    class Hear(Callback):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_fit_end(self, trainer: Trainer) -> None:
            del trainer
            heard.append(self.name)

    class Fail(Hear):
        def on_fit_begin(self, trainer: Trainer) -> None:
            del trainer
            raise OSError

    with pytest.raises(OSError):
        linear(Hear("before"), Fail("fails"), Hear("after")).fit(X, Y, epochs=1)
    assert heard == ["before"]


# -- steps -----------------------------------------------------------------------------------


def test_clipping_is_that_of_the_function_before_every_step() -> None:
    clip = ClipGradNorm(0.5)
    norms: list[float | None] = []
    trainer = linear(clip, Do(batch=lambda _: norms.append(clip.norm)))
    trainer.fit(X, Y, epochs=2, batch_size=25, shuffle=False)
    twin = linear()
    for _ in range(2):
        for start in (0, 25):
            twin.objective.forward(X[start : start + 25], Y[start : start + 25])
            twin.objective.backward()
            assert clip_grad_norm(twin.optimizer, 0.5) == norms.pop(0)
            twin.optimizer.step()
    assert np.array_equal(trainer.model.state_dict()["weight"], twin.model.state_dict()["weight"])


def test_clipping_names_the_batch_of_a_gradient_that_is_not_finite() -> None:
    class Spoil(Callback):
        def on_backward_end(self, trainer: Trainer) -> None:
            trainer.model.parameters()[0].grad[...] = np.inf

    with pytest.raises(NonFiniteError, match=r"^clip_grad_norm: .* in epoch 1, batch 1 of 2"):
        linear(Spoil(), ClipGradNorm(1.0)).fit(X, Y, epochs=1)


def test_a_schedule_belongs_to_the_optimizer() -> None:
    other = Dense(3, 1)
    optimizer = SGD(other.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="a schedule of the trainer's optimizer"):
        linear(Scheduled(StepLR(optimizer, 2))).fit(X, Y, epochs=1)
    with pytest.raises(ValueError, match="per='epoch' for ReduceOnPlateau"):
        Scheduled(ReduceOnPlateau(optimizer), per="batch")


def test_a_rate_falls_on_a_plateau_of_the_monitored_value() -> None:
    model = Dense(3, 1, rng=0)
    optimizer = SGD(model.parameters(), lr=0.1)
    plateau = Scheduled(ReduceOnPlateau(optimizer, patience=0, factor=0.5), monitor="val_score")
    rates: list[float] = []
    metrics = {"score": scripted(iter([3.0, 4.0, 2.0, 5.0]))}
    callbacks = [plateau, Do(epoch=lambda t: rates.append(t.optimizer.lr))]
    trainer = Trainer(model, MSELoss(), optimizer, metrics=metrics, callbacks=callbacks)
    trainer.fit(X, Y, epochs=4, validation=(X, Y))
    assert rates == [0.1, 0.05, 0.05, 0.025]


def test_a_new_run_has_a_plateau_of_its_own() -> None:
    """The losses of the second run all lie above the best of the first, and yet they fall."""
    trainer = linear()
    plateau = ReduceOnPlateau(trainer.optimizer, patience=0, factor=0.5)
    trainer.callbacks.append(Scheduled(plateau, monitor="loss"))
    first = trainer.fit(X, Y, epochs=3)
    assert trainer.optimizer.lr == 0.1
    trainer.optimizer.lr = 1e-3
    second = trainer.fit(X, Y + 100, epochs=3)
    assert min(second["loss"]) > max(first["loss"])
    assert second["loss"] == sorted(second["loss"], reverse=True)
    assert trainer.optimizer.lr == 1e-3
    assert plateau.best == second["loss"][-1]


# -- Ctrl-C ----------------------------------------------------------------------------------


def press(at: int, times: int = 1) -> Do:
    def batch(trainer: Trainer) -> None:
        if trainer.step == at:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)

    return Do(batch=batch)


def test_the_first_ctrl_c_ends_training_after_the_batch() -> None:
    handler = signal.getsignal(signal.SIGINT)
    ended: list[str | None] = []
    trainer = linear(press(5), Do(end=lambda t: ended.append(t.history.stopped)))
    history = trainer.fit(X, Y, epochs=4, batch_size=16)
    assert history.stopped == "interrupted in epoch 2, after batch 1 of 4"
    assert ended == [history.stopped]
    assert len(history) == 1  # the whole epochs
    assert (trainer.epoch, trainer.batch, trainer.step) == (2, 1, 5)
    assert history == linear(press(5)).fit(X, Y, epochs=4, batch_size=16)
    assert signal.getsignal(signal.SIGINT) is handler
    assert len(trainer.fit(X, Y, epochs=1)) == 1  # and it can be used again


def test_the_second_ctrl_c_is_raised() -> None:
    trainer = linear(press(5, times=2))
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=4, batch_size=16)
    assert trainer.history.stopped == "interrupted in epoch 2, after batch 1 of 4"
    assert np.isfinite(trainer.model.predict(X)).all()
    with pytest.raises(RuntimeError, match="or a second Ctrl-C, go on from an earlier checkpoint"):
        trainer.save_checkpoint("run.npz")


def test_a_step_is_not_left_half_done() -> None:
    class Pressed(Layer):
        """Is interrupted in the middle of the third forward."""

        calls = 0

        def forward(self, x: Array) -> Array:
            self.calls += 1
            if self.calls == 3:
                signal.raise_signal(signal.SIGINT)
            return x.copy()

        def backward(self, dy: Array) -> Array:
            return dy

    def run(*layers: Layer, epochs: int) -> Trainer:
        model = Sequential(Dense(3, 1, rng=0), *layers)
        trainer = Trainer(model, MSELoss(), Adam(model.parameters()), rng=1)
        trainer.fit(X, Y, epochs=epochs, batch_size=25)
        return trainer

    cut = run(Pressed(), epochs=9)
    assert cut.history.stopped == "interrupted in epoch 2, after batch 1 of 2"
    cut.fit(X, Y, epochs=1, batch_size=50, shuffle=False)  # a plain step from there
    twin = run(epochs=1)
    order = np.random.default_rng(1)
    order.permutation(50)
    rows = order.permutation(50)[:25]
    for x, y in ((X[rows], Y[rows]), (X, Y)):
        twin.objective.forward(x, y)
        twin.objective.backward()
        twin.optimizer.step()
    found, expected = cut.model.parameters(), twin.model.parameters()
    assert all(np.array_equal(a.value, b.value) for a, b in zip(found, expected, strict=True))


def test_ctrl_c_in_the_last_validation_keeps_the_epoch() -> None:
    def metric(_prediction: Array, _target: Array) -> float:
        signal.raise_signal(signal.SIGINT)
        return 0.0

    history = linear(metrics={"own": metric}).fit(X, Y, epochs=1)
    assert len(history) == 1
    assert history.stopped == "interrupted after epoch 1"


def test_another_thread_is_left_alone() -> None:
    histories = []
    thread = threading.Thread(target=lambda: histories.append(linear().fit(X, Y, epochs=2)))
    thread.start()
    thread.join()
    assert histories == [linear().fit(X, Y, epochs=2)]


# -- warning signs ---------------------------------------------------------------------------


def signs(model: Sequential, x: Array = X, y: Array = Y, **kwargs: Any) -> list[str]:
    """Return what `Watch` warns of in a few epochs."""
    optimizer = SGD(model.parameters(), lr=kwargs.pop("lr", 0.01))
    watch = Watch(**kwargs)
    trainer = Trainer(model, MSELoss(), optimizer, callbacks=[watch], rng=0, watch=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(x, y, epochs=8)
    assert all(warning.category is TrainingWarning for warning in caught)
    return [str(warning.message) for warning in caught]


def test_a_healthy_network_has_no_warning_signs() -> None:
    for activation in (ReLU, Tanh, Sigmoid):
        model = Sequential(Dense(3, 16, rng=0), activation(), Dense(16, 1, rng=1), Sigmoid())
        assert signs(model, y=(Y > 0).astype(float), lr=0.5) == []


def test_dead_units_are_told_once() -> None:
    model = Sequential(Dense(3, 4, rng=0), ReLU(), Dense(4, 1, rng=1))
    dict(model.named_parameters())["0.bias"].value = [-99.0, -99.0, -99.0, 1.0]
    (message,) = signs(model)
    assert message.startswith("after epoch 1: 3 of 4 units of layer 1, ReLU(), are 0 for every")
    dict(model.named_parameters())["0.bias"].value = [-99.0, 1.0, 1.0, 1.0]
    assert signs(model) == []


def test_the_units_of_images_are_channels() -> None:
    """A channel that is 0 at most places of an image is none that is dead."""
    images = np.zeros((50, 1, 6, 6))
    images[:, 0, 2, 3] = X[:, 0]
    model = Sequential(Conv2D(1, 3, 3, rng=0), ReLU(), Flatten(), Dense(48, 1, rng=1))
    assert signs(model, x=images) == []
    dict(model.named_parameters())["0.bias"].value = [-9.0, -9.0, 0.0]
    (message,) = signs(model, x=images)
    assert message.startswith("after epoch 1: 2 of 3 units of layer 1, ReLU(), are 0")


@pytest.mark.parametrize("layer", [Sigmoid(), Tanh()])
def test_saturated_units_are_told(layer: Layer) -> None:
    model = Sequential(Dense(3, 4, rng=0), layer, Dense(4, 1, rng=1))
    (message,) = signs(model, x=X * 1e4)
    assert f"of the outputs of layer 1, {layer!r}, are saturated" in message


def test_a_doubled_sigmoid_is_told_before_training() -> None:
    inner = Sequential(Dense(3, 1, rng=0), Sigmoid(), Sigmoid())
    found = signs(Sequential(inner, Softmax(-1)), patience=100)
    assert found[0].startswith("layer 1, Softmax(-1), takes the output of another sigmoid")
    assert found[1].startswith("layer 0.2, Sigmoid(), takes the output of another sigmoid")


def test_the_signs_of_a_graph_of_several_inputs() -> None:
    model = Graph(
        "a",
        "b",
        h=(Dense(3, 4, rng=0), "a"),
        r=ReLU(),
        p=(Sigmoid(), "b"),
        q=(Sigmoid(), "p"),
        y=(Join(), "r", "q"),
        end=(Sigmoid(), "y"),
        outputs=("end", "r"),
    )
    model["h"].bias.value = [-99.0] * 4
    signs = Signs(watch=False)
    trainer: Any = SimpleNamespace(model=model, batch_x=(X, X), epoch=1, _signs=signs)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        watch = Watch()
        watch.on_fit_begin(trainer)
        watch._look(trainer)
    one, other = [str(warning.message) for warning in caught]
    assert one.startswith("layer q, Sigmoid(), takes the output of another sigmoid")
    assert other.startswith("after epoch 1: 4 of 4 units of layer r, ReLU(), are 0 for every")


def sights(x: Any, *layers: Layer) -> int:
    """Return how many signs `Watch` sees in the outputs of the layers."""
    model = Sequential(*layers, Dense(np.shape(x)[1], 1))
    trainer: Any = SimpleNamespace(model=model, batch_x=np.array(x, float), epoch=1)
    trainer._signs = Signs(watch=False)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Watch()._look(trainer)
    return len(caught)


@pytest.mark.parametrize("layer", [Sigmoid(), Tanh()])
def test_from_which_slope_on_a_unit_is_saturated(layer: Layer) -> None:
    """Of the steepest: at y, 4 (y - low) (high - y) / (high - low)^2."""
    low, high = layer.saturation or (0, 0)
    for slope, count in ((0.0099, 1), (0.0101, 0)):
        for sign in (-1, 1):
            y = (low + high) / 2 + sign * (high - low) / 2 * np.sqrt(1 - slope)
            x = np.arctanh(y) if low else np.log(y / (1 - y))
            assert sights(np.full((4, 2), x), layer) == count


def test_half_of_the_outputs_or_units_are_many() -> None:
    for share, count in ((50, 1), (49, 0)):
        x = np.zeros((100, 1))
        x[:share] = 99
        assert sights(x, Sigmoid()) == count
    assert sights([[-1, -1, 1, 1]], ReLU()) == 1
    assert sights([[-1, -1, 1, 1, 1]], ReLU()) == 0


def test_256_rows_of_the_batch_are_looked_at() -> None:
    for rows, count in (((0, 128), 1), ((0, 127), 0), ((128, 256), 1), ((129, 500), 0)):
        x = np.zeros((500, 1))
        x[slice(*rows)] = 99
        assert sights(x, Sigmoid()) == count


def test_a_loss_that_stands_still_is_told() -> None:
    model = Sequential(Dense(3, 1, rng=0))
    (message,) = signs(model, lr=1e-12, patience=3)
    assert message.startswith("after epoch 4: the loss has stayed at ")
    assert message.endswith(
        "for 3 epochs; is lr, 1e-12, too small, or does no gradient come through?"
    )


def test_signs_are_told_in_every_run_under_pythons_own_filter() -> None:
    """It shows the same words of the same line once a process."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for _ in range(3):
            model = Sequential(Dense(3, 4, rng=0), ReLU(), Dense(4, 1, rng=1))
            dict(model.named_parameters())["0.bias"].value = [-99.0] * 4
            optimizer = SGD(model.parameters(), lr=0.01)
            Trainer(model, MSELoss(), optimizer, callbacks=[Watch()], rng=0).fit(X, Y, epochs=2)
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == 3
    assert all(message.startswith("after epoch 1: 4 of 4 units") for message in messages)
    assert {Path(warning.filename).name for warning in caught} == {Path(__file__).name}


# -- not finite ------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_names_layer_pass_epoch_batch_and_rows() -> None:
    bad = X.copy()
    bad[[33, 7], 1] = np.nan
    message = (
        r"the loss is not finite at step 0: .*; in epoch 1, batch 1 of 1; rows 7 and 33 of x "
    )
    with pytest.raises(NonFiniteError, match=message + r"hold NaN or infinity$") as caught:
        linear().fit(bad, Y, epochs=1, batch_size=None)
    assert caught.value.rows is not None
    assert sorted(caught.value.rows) == list(range(50))

    with pytest.raises(
        NonFiniteError, match=r"in epoch \d+, batch \d of 2; the batch has .* rows"
    ):
        linear(lr=1e6, watch=False).fit(X, Y, epochs=200)

    trainer = linear()
    trainer.model.parameters()[0].value = [[10.0, 10.0, 10.0]]
    bad[...] = X
    bad[11] = 1e308
    message = (
        r"in the model, Dense.*forward pass.*in epoch 1.*; the output is not finite for row 11$"
    )
    with pytest.raises(NonFiniteError, match=message):
        trainer.fit(bad, Y, epochs=1, batch_size=None)


def test_the_rows_of_validation_data_are_their_own() -> None:
    bad = X.copy()
    bad[33, 0] = np.inf
    with pytest.raises(NonFiniteError, match="in the validation of epoch 1; row 33 of x holds"):
        linear().fit(X, Y, epochs=1, validation=(bad, Y))
    with pytest.raises(NonFiniteError, match="row 33 of x holds") as caught:
        linear().evaluate(bad, Y, batch_size=20)
    assert caught.value.rows is not None
    assert list(caught.value.rows) == list(range(20, 40))


def test_the_rows_of_an_iterable_are_counted_in_the_batch() -> None:
    bad = X[25:].copy()
    bad[3] = np.nan
    batches = [(X[:25], Y[:25]), (bad, Y[25:])]
    with pytest.raises(NonFiniteError, match=r"batch 2 of 2; row 3 of x, counted in the batch, h"):
        linear().fit(batches, epochs=1)


def test_a_logit_loss_is_trained_through_its_joint_form() -> None:
    model = Sequential(Dense(3, 1, rng=0), Sigmoid())
    trainer = Trainer(model, BCELoss(), SGD(model.parameters(), lr=0.1), metrics=["accuracy"])
    twin = Sequential(Dense(3, 1, rng=0))
    other = Trainer(
        twin, BCEWithLogitsLoss(), SGD(twin.parameters(), lr=0.1), metrics=["accuracy"]
    )
    target = (Y > 0).astype(float)
    assert trainer.fit(X, target, epochs=3, shuffle=False) == other.fit(
        X, target, epochs=3, shuffle=False
    )


def test_a_new_run_begins_its_schedule_anew() -> None:
    trainer = linear()
    falling = Scheduled(CosineLR(trainer.optimizer, total_steps=3))
    trainer.callbacks.append(falling)
    rates: list[list[float]] = []
    trainer.callbacks.append(Do(lambda t: rates[-1].append(t.optimizer.lr)))
    for _ in range(2):
        rates.append([])
        trainer.fit(X, Y, epochs=3, batch_size=None)
    assert rates[0] == rates[1]
    assert rates[0][0] == 0.1


def test_a_schedule_that_ends_too_soon_warns() -> None:
    trainer = linear()
    schedule = CosineLR(trainer.optimizer, total_steps=3)
    trainer.callbacks.append(Scheduled(schedule, per="batch"))
    with pytest.warns(TrainingWarning, match="ends after 3 steps of the 4 of this run.*=4"):
        trainer.fit(X, Y, epochs=2, batch_size=25)


@pytest.mark.parametrize(
    ("make", "epochs", "message"),
    [
        (
            lambda o: LinearWarmup(o, 2, then=CosineLR(o, 3)),
            6,
            "ends after 5 steps of the 6 of this run, .*; pass 6 as the sum of the total_steps",
        ),
        (lambda o: CosineCyclesLR(o, 4, 2), 6, "ends after 4 steps of the 6 of this run"),
        (
            lambda o: OneCycleLR(o, 0.5, total_steps=12),
            6,  # of two batches
            "has 12 steps, and this run comes to 6 of them; pass per='batch' if .* total_steps=6",
        ),
    ],
)
def test_a_schedule_of_another_length_than_the_run_warns(
    make: Callable[[Optimizer], Schedule], epochs: int, message: str
) -> None:
    trainer = linear()
    trainer.callbacks.append(Scheduled(make(trainer.optimizer)))
    with pytest.warns(TrainingWarning, match=message):
        trainer.fit(X, Y, epochs=epochs, batch_size=25)


def test_a_schedule_that_fits_the_run_does_not_warn() -> None:
    for make in (
        lambda o: CosineLR(o, 6),
        lambda o: CosineLR(o, 9),  # cut on purpose
        lambda o: LinearWarmup(o, 2, then=CosineLR(o, 4)),
        lambda o: LinearWarmup(o, 100),
        lambda o: StepLR(o, 1),
    ):
        trainer = linear()
        trainer.callbacks.append(Scheduled(make(trainer.optimizer)))
        trainer.fit(X, Y, epochs=6)  # a warning would be an error here


def test_what_is_no_callback_is_refused_with_the_way_out() -> None:
    optimizer = linear().optimizer
    with pytest.raises(TypeError, match=r"got a CosineLR; write Scheduled\(schedule\)"):
        linear(CosineLR(optimizer, total_steps=3))  # type: ignore[arg-type]

    class Typo(Callback):
        def on_epoch_ends(self, trainer: Trainer) -> None: ...

    class Setting(Callback):
        on_disk = True

    linear(Setting()).fit(X, Y, epochs=1)
    with pytest.raises(TypeError, match=r"Typo\.on_epoch_ends is no hook; there are on_fit_begin"):
        linear(Typo())


@pytest.mark.parametrize("kind", [Checkpoint, CSVLog])
def test_a_folder_that_is_not_there_is_told_before_the_first_epoch(
    kind: Any, tmp_path: Path
) -> None:
    trainer = linear(kind(tmp_path / "none" / "file.npz"))
    with pytest.raises(FileNotFoundError, match=r"expects the folder .*none' to be there"):
        trainer.fit(X, Y, epochs=1)
    assert trainer.epoch == 0
