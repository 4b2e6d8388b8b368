"""What test_mpi.py runs: ``mpirun -n 3 python mpi_job.py NAMES FOLDER``."""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from minifw import (
    L2,
    SGD,
    Accumulate,
    Adam,
    Average,
    BatchNorm,
    BCELoss,
    Callback,
    Checkpoint,
    ClipGradNorm,
    CrossEntropyLoss,
    CSVLog,
    Dense,
    Dropout,
    Graph,
    Join,
    Layer,
    MSELoss,
    NonFiniteError,
    Objective,
    Optimizer,
    Sequential,
    Sigmoid,
    SumLoss,
    Tanh,
    Trainer,
    metrics,
)
from minifw._tools.generators import find_generators
from minifw.datasets import planar_flower
from minifw.interop.mpi import DataParallel


def network(*more: Any, seed: int = 0) -> Sequential:
    return Sequential(Dense(2, 4, rng=seed), *more, Tanh(), Dense(4, 1, rng=seed + 1), Sigmoid())


def two_heads() -> Graph:
    lines: Any = {"size": (Dense(3, 1, rng=1), "h"), "kind": (Dense(3, 3, rng=2), "h")}
    return Graph("a", "b", h=(Join(), "a", "b"), **lines, outputs=("size", "kind"))


def flat(model: Layer) -> list[float]:
    return [float(v) for array in model.state_dict().values() for v in array.ravel()]


def trainer_of(
    model: Sequential, *, parallel: bool, callbacks: tuple[Callback, ...] = ()
) -> Trainer:
    optimizer: Optimizer = Adam(model.parameters(), lr=0.05)
    if parallel:
        optimizer = DataParallel(optimizer)
    clip = ClipGradNorm(0.05)
    names = ["accuracy", "mse", "roc_auc"]
    every = [clip, *callbacks]
    return Trainer(model, BCELoss(), optimizer, metrics=names, callbacks=every, rng=3)


def weighted() -> tuple[np.ndarray[Any, Any], ...]:
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((7, 2)), rng.integers(0, 3, 7)
    return x, labels, rng.random(7)


def train(parallel: bool) -> dict[str, Any]:
    """Train in the ways that must give the same on any number of ranks."""
    found: dict[str, Any] = {}
    x, y = planar_flower()
    model = network()
    # 203 rows in batches of 50: unequal shards, and a last batch of 3 rows for up to 3 ranks
    history = trainer_of(model, parallel=parallel).fit(
        x[:203], y[:203], epochs=2, batch_size=50, validation=(x, y)
    )
    found["trainer"] = flat(model)
    found["history"] = [list(history[name]) for name in history.columns]
    # weights of rows and of classes, in a loop of its own; in the last step fewer rows than ranks
    rows, labels, weights = weighted()
    classes = Sequential(Dense(2, 3, rng=0))
    loss = CrossEntropyLoss(weight=[1.0, 2.0, 5.0])
    objective = Objective(classes, loss)
    optimizer: Optimizer = SGD(classes.parameters(), lr=0.5, momentum=0.9)
    team = DataParallel(optimizer) if parallel else None
    costs = []
    for stop in (7, 7, 5, 2, 1):
        batch = rows[:stop], labels[:stop], weights[:stop]
        if team is not None:
            costs.append(team.gradient(objective, *batch))
            team.step()
        else:
            costs.append(objective.forward(*batch))
            objective.backward()
            optimizer.step()
    found["weighted"] = [*costs, *flat(classes)]
    # the plain loop, on a shard
    plain = network()
    objective = Objective(plain, BCELoss())
    optimizer = SGD(plain.parameters(), lr=1.2)
    stepper = DataParallel(optimizer) if parallel else None
    for _ in range(3):
        mine = stepper.shard(x[:11], y[:11]) if stepper is not None else (x[:11], y[:11])
        objective.forward(*mine)
        objective.backward()
        (stepper or optimizer).step()
    found["plain"] = flat(plain)
    # two inputs, two outputs and a penalty; weights that both parts share
    heads = two_heads()
    optimizer = Accumulate(SGD(heads.parameters(), lr=0.1), micro_batch_size=2)
    trainer = Trainer(
        heads,
        SumLoss(MSELoss(), CrossEntropyLoss(), weights=(1.0, 0.5)),
        DataParallel(optimizer) if parallel else optimizer,
        penalties=[L2(heads, 0.1)],
        metrics=[metrics.accuracy.of(1)],
    )
    data: Any = (rows, rows[:, :1]), (rows[:, :1], labels)
    options: Any = {"batch_size": 5, "shuffle": False, "validation": data}
    history = trainer.fit(*data, epochs=2, sample_weight=weights, **options)
    found["several"] = [*flat(heads), *(v for name in history.columns for v in history[name])]
    return found


def same(folder: Path) -> None:
    found = train(parallel=True)
    model = network(seed=DataParallel(SGD(network().parameters(), lr=1.0)).rank * 10)
    other = DataParallel(SGD(model.parameters(), lr=1.0 + model[0].weight.value[0, 0] ** 2))
    found["start"] = [*flat(model), other.lr]  # those of rank 0
    noisy = network(BatchNorm(4), Dropout(0.5, rng=5))
    trainer = trainer_of(noisy, parallel=True)
    x, y = planar_flower()
    trainer.fit(x[::10], y[::10], epochs=1)
    found["noisy"] = flat(noisy)
    every = other.together(lambda: found)
    assert all(one == every[0] for one in every), "the ranks are not of one bit"
    assert not np.allclose(noisy[1].running_mean, 0)
    masks = other.together(next(iter(find_generators({"m": noisy[2]}, set()).values())).random)
    assert len(set(masks)) == other.size, "ranks draw the same masks"
    if other.main:
        (folder / f"same {other.size}.json").write_text(json.dumps(found), encoding="utf-8")


class Stop(Callback):
    """Stops in the middle of an epoch."""

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.step == 6:
            trainer.stop("enough")


class Save(Callback):
    """Saves in the middle of an epoch."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_batch_end(self, trainer: Trainer) -> None:
        if trainer.step == 6:
            trainer.save_checkpoint(self.path)


def resume(folder: Path) -> None:
    x, y = planar_flower()
    folder /= "resume"
    folder.mkdir(exist_ok=True)

    def run(*callbacks: Callback, load: bool = False) -> list[Any]:
        model = network(BatchNorm(4), Dropout(0.5, rng=5))
        trainer = trainer_of(model, parallel=True, callbacks=(Average(0.5), *callbacks))
        if load:
            trainer.load_checkpoint(folder / "middle.npz")
        history = trainer.fit(x[:210], y[:210], epochs=3, batch_size=50, validation=(x, y))
        return [flat(model), [list(history[name]) for name in history.columns]]

    whole = run(
        Save(folder / "middle.npz"), Checkpoint(folder / "{epoch}.npz"), CSVLog(folder / "log.csv")
    )
    again = run(load=True)
    assert whole == again, "resumed, and not of the same bytes"
    run(Stop())
    # read by one process without MPI
    model = network(BatchNorm(4), Dropout(0.5, rng=5))
    trainer = trainer_of(model, parallel=False, callbacks=(Average(0.5),))
    trainer.load_checkpoint(folder / "3.npz")
    assert flat(model) == whole[0]


def elsewhere(folder: Path) -> None:
    """Go on in the middle of an epoch, on another number of ranks."""
    x, y = planar_flower()
    path = folder / "plain.npz"

    def begun(*callbacks: Callback) -> tuple[Sequential, Trainer]:
        model = network()
        return model, trainer_of(model, parallel=True, callbacks=callbacks)

    arguments: dict[str, Any] = {"epochs": 3, "batch_size": 50}
    model, trainer = begun(*() if path.exists() else (Save(path),))
    if path.exists():
        trainer.load_checkpoint(path)
    history = trainer.fit(x[:210], y[:210], **arguments)
    if trainer.main:
        found = [flat(model), [list(history[name]) for name in history.columns]]
        assert isinstance(trainer.optimizer, DataParallel)
        name = f"elsewhere {trainer.optimizer.size}.json"
        (folder / name).write_text(json.dumps(found), encoding="utf-8")


def leave(folder: Path) -> None:
    """End one rank, as a script does that has seen something wrong."""
    del folder
    x, y = planar_flower()
    model = network()
    parallel = DataParallel(SGD(model.parameters(), lr=0.1))
    if parallel.rank == 1:
        sys.exit("something is wrong")
    Trainer(model, MSELoss(), parallel, rng=0).fit(x, y, epochs=1000)


def refuse(folder: Path) -> None:  # noqa: C901, PLR0915 - one start of processes for all
    """See errors of one rank on all, caught."""
    del folder
    x, y = planar_flower()
    model = network()
    parallel = DataParallel(SGD(model.parameters(), lr=1.0))
    objective = Objective(model, BCELoss())
    before = flat(model)
    bad = x.copy()
    bad[-1] = np.nan  # a row of the last rank: its loss is NaN
    for _ in range(2):
        try:
            parallel.gradient(objective, bad, y)
        except NonFiniteError as error:
            assert "the input x holds 2 NaN" in str(error)  # noqa: PT017 - not pytest
            assert parallel.rank == parallel.size - 1 or f"rank {parallel.size - 1}" in str(error)  # noqa: PT017
        else:
            raise AssertionError
    objective.forward(x, y)
    objective.backward()
    if parallel.rank == 1:
        model[0].weight.grad[0, 0] = np.inf
    try:
        parallel.step()
    except NonFiniteError:
        pass
    else:
        raise AssertionError
    assert flat(model) == before

    def work() -> None:
        if parallel.rank == 1:
            raise OSError("disk full")

    try:
        parallel.together(work)
    except OSError:
        assert parallel.rank == 1
    except RuntimeError as error:
        assert "rank 1 failed: OSError: disk full" in str(error)  # noqa: PT017
    # one rank has a batch more
    try:
        if parallel.rank == 0:
            parallel.gradient(objective, x, y)
        else:
            parallel.together(lambda: None)
        raise AssertionError
    except RuntimeError as error:
        assert "the same number of batches" in str(error)  # noqa: PT017
    uneven()
    local = x[: parallel.rank * 3], y[: parallel.rank * 3]  # none on rank 0
    cost = parallel.gradient(objective, *local, local=True)
    whole = np.concatenate([x[: r * 3] for r in range(parallel.size)])
    targets = np.concatenate([y[: r * 3] for r in range(parallel.size)])
    assert abs(cost - objective.forward(whole, targets)) < 1e-12


def uneven() -> None:
    """See that parts of a loss which count differently are refused."""
    heads, (rows, labels, weights) = two_heads(), weighted()
    share = DataParallel(SGD(heads.parameters(), lr=1.0))
    both = Objective(heads, SumLoss(MSELoss(), CrossEntropyLoss()))
    target: Any = rows[:, :1], labels
    raised(
        ValueError,
        "count the same on a rank",
        lambda: share.gradient(both, (rows, rows[:, :1]), target, (weights, None)),
    )


def raised(kind: type[BaseException], text: str, work: Callable[[], object]) -> None:
    try:
        work()
    except kind as error:
        assert text in str(error), error  # noqa: PT017 - not pytest
    else:
        raise AssertionError(text)


def differ(folder: Path) -> None:
    """Call with other data and arguments on one rank: no wrong rows, and nobody waits."""
    del folder
    x, y = planar_flower()
    x, y = x[:20], y[:20]
    model = network()
    parallel = DataParallel(SGD(model.parameters(), lr=1.0))
    trainer = Trainer(model, BCELoss(), parallel, rng=0)
    last = parallel.rank == 2
    same: dict[str, Any] = {"x": x, "y": y, "epochs": 2, "batch_size": 4}
    for text, other in (
        ("rows=20 on ranks 0, 1; rows=19 on rank 2", {"x": x[:19], "y": y[:19]}),
        ("batch_size=4 on ranks 0, 1; batch_size=5", {"batch_size": 5}),
        ("epochs=2 on ranks 0, 1; epochs=3", {"epochs": 3}),
        ("shuffle=True on ranks 0, 1; shuffle=False", {"shuffle": False}),
        ("sample_weight=None on ranks 0, 1; sample_weight=float64", {"sample_weight": y[:, 0]}),
        ("val_loss", {"validation": (x, y)}),
        ("x=float64 (examples, 2) on ranks 0, 1; x=float32", {"x": x.astype("f")}),
        ("an iterable of 5 batches", {"x": [(x[:4], y[:4])] * 5, "y": None}),
    ):
        raised(ValueError, text, partial(trainer.fit, **{**same, **(other if last else {})}))
    batches = [(x[:4], y[:4]), (x[:7], y[:7]) if last else (x[:6], y[:6])]
    raised(ValueError, "6 rows on ranks 0, 1; 7 rows", lambda: trainer.fit(batches, epochs=1))
    kind = TypeError if last else RuntimeError  # of an argument that is no number
    raised(kind, "expects epochs", lambda: trainer.fit(x, y, epochs="2" if last else 2))  # type: ignore[arg-type]
    for dtype in ("float64", "float32"):
        network_of = Sequential(Dense(2, 1, rng=0, dtype=dtype), Sigmoid())
        objective = Objective(network_of, BCELoss())
        team = DataParallel(SGD(network_of.parameters(), lr=1.0))
        rows = 10_000 + parallel.rank  # the mean is that of rank 1, and a square is 1e8
        big, targets = np.zeros((rows, 2), dtype), np.zeros((rows, 1), dtype)
        raised(ValueError, "10001 rows on rank 1", lambda: team.gradient(objective, big, targets))  # noqa: B023
        weights = np.ones(20, dtype) if last else None
        data = x.astype(dtype), y.astype(dtype)
        raised(
            ValueError,
            "20 rows with weights on rank 2",
            lambda: team.gradient(objective, *data, weights),  # noqa: B023
        )
        raised(
            ValueError,
            "rows of its own on rank 2",
            lambda: team.gradient(objective, *data, local=last),  # noqa: B023
        )
        team.gradient(objective, *data)


def hook(event: str) -> Any:  # a method; mypy takes it for what the class itself is called with
    def fail(self: Any, trainer: Trainer) -> None:
        here = event != "batch_end" or trainer.step == 2
        if self.rank == 1 and event in self.events and here:
            raise OSError(event)

    return fail


class Boom(Callback):
    """Raises on rank 1 in some of its hooks."""

    def __init__(self, rank: int, *events: str) -> None:
        self.rank, self.events = rank, events

    on_fit_begin = hook("fit_begin")
    on_epoch_begin = hook("epoch_begin")
    on_backward_end = hook("backward_end")
    on_batch_end = hook("batch_end")
    on_epoch_end = hook("epoch_end")
    on_fit_end = hook("fit_end")


def callbacks(folder: Path) -> None:
    """Catch, outside `fit`, what a callback raises on one rank."""
    x, y = planar_flower()
    model = network(BatchNorm(4))
    parallel = DataParallel(SGD(model.parameters(), lr=0.1))
    one = parallel.rank == 1

    def fit(*events: str, metric: Callable[..., float] | None = None) -> None:
        trainer = Trainer(
            model,
            BCELoss(),
            parallel,
            metrics={} if metric is None else {"m": metric},
            callbacks=[Boom(parallel.rank, *events)],
            rng=0,
        )
        data = x[1::2][:150], y[1::2][:150]
        try:
            trainer.fit(*data, epochs=2, batch_size=50, validation=(x, y))
        finally:
            if "batch_end" in events:  # the others are in a step
                kind = RuntimeError
                raised(kind, "middle", lambda: trainer.save_checkpoint(folder / "no.npz"))

    calls: list[int] = []

    def fails(prediction: Any, target: Any) -> float:
        calls.append(len(prediction) - len(target))
        if one and len(calls) == 2:  # after the epoch comes its validation
            raise OSError("validation")
        return 0.0

    kind = OSError if one else RuntimeError
    text = "" if one else "rank 1 failed: OSError: "
    for event in ("fit_begin", "epoch_begin", "backward_end", "batch_end", "epoch_end", "fit_end"):
        raised(kind, text + event, partial(fit, event))
    raised(kind, text + "validation", partial(fit, metric=fails))
    raised(kind, text + "fit_end", partial(fit, "epoch_end", "fit_end"))  # the latter of two
    try:
        fit("batch_end")
    except (OSError, RuntimeError):  # again, while the first is handled
        raised(kind, text + "epoch_end", partial(fit, "epoch_end"))
        raised(kind, text + "told", partial(told, parallel))
    fit()


def told(parallel: DataParallel) -> None:
    """Raise on rank 1 between the steps of a loop of one's own."""
    if parallel.rank == 1:
        error = OSError("told")
        parallel.tell(error)
        parallel.tell(error)  # which nobody waits for any more
        raise error
    parallel.together(lambda: None)


def die(folder: Path) -> None:
    """Fail on one rank outside of what the others would notice."""
    del folder
    x, y = planar_flower()
    model = network()
    trainer = Trainer(model, MSELoss(), DataParallel(SGD(model.parameters(), lr=0.1)), rng=0)
    if trainer._team.rank == 1:
        raise ZeroDivisionError("the second rank fails")
    trainer.fit(x, y, epochs=1000)


if __name__ == "__main__":
    work = {"same": same, "resume": resume, "elsewhere": elsewhere, "refuse": refuse}
    work |= {"differ": differ, "callbacks": callbacks}
    for name in sys.argv[1].split():
        {**work, "die": die, "leave": leave}[name](Path(sys.argv[2]))
        sys.stdout.write("done\n")
