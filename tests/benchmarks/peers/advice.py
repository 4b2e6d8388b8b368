"""W9: what the advice of docs/howto/fast.md gains, minifw against minifw.

W10: what NumPy cannot give, minifw against the bare products or a bare pass over the memory.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import ThreadpoolController

import minifw as fw
from peers.pieces import Side

__all__ = [
    "batches",
    "dtypes",
    "images",
    "loops",
    "lstm_products",
    "one_pass",
    "predictions",
    "products",
    "replay",
    "runtime",
    "shapes",
    "threads",
]

LR = 1e-5
ROWS = 1024  # of the data of a step
EPOCHS = 5  # of 250 batches, for each call of fit
Sides = tuple[Side, Side]


def normal(*shape: int, dtype: Any = np.float32) -> Any:
    return np.random.default_rng(0).standard_normal(shape).astype(dtype)


def nothing(_: object) -> list[Any]:
    return []


def net(sizes: tuple[int, ...], dtype: Any = np.float32) -> Any:
    """Return `Dense` with tanh, and logits at the end."""
    layers: list[Any] = []
    for n, k in pairwise(sizes):
        layers += [fw.Dense(n, k, dtype=dtype, rng=0), fw.Tanh()]
    return fw.Sequential(*layers[:-1])


def stepper(
    sizes: tuple[int, ...], dtype: Any = np.float32, **options: Any
) -> Callable[[Any], float]:
    """Return a training step of `net` with the binary loss, for the rows that it gets."""
    model = net(sizes, dtype)
    objective = fw.Objective(model, fw.BCEWithLogitsLoss(), **options)
    optimizer = fw.SGD(model.parameters(), lr=LR)
    x = normal(ROWS, sizes[0], dtype=dtype)
    y = (x[:, : sizes[-1]] > 0).astype(dtype)

    def step(rows: Any) -> float:
        loss = objective.forward(x[rows], y[rows])
        objective.backward()
        optimizer.step()
        return loss

    return step


def parts(*lengths: int) -> Callable[[], slice]:
    """Return what gives slices of these lengths, one after the other."""
    found = cycle([slice(0, length) for length in lengths])
    return lambda: next(found)


def dtypes(sizes: tuple[int, ...], batch: int) -> Sides:
    """Time a step in float32 and in float64."""
    rows = slice(0, batch)
    quick, plain = stepper(sizes), stepper(sizes, np.float64)
    return (
        Side("float32", lambda: quick(rows), lambda loss: [loss]),
        Side("float64", lambda: plain(rows), lambda loss: [loss]),
    )


def batches(sizes: tuple[int, ...], few: int, many: int) -> Sides:
    """Time as many rows in one step and in several."""
    step, other = stepper(sizes), stepper(sizes)

    def steps() -> None:
        for start in range(0, many, few):
            other(slice(start, start + few))

    return (
        Side(f"batch {many}", lambda: step(slice(0, many)), nothing),
        Side(f"batch {few}", steps, nothing),
    )


def shapes(sizes: tuple[int, ...], batch: int) -> Sides:
    """Time batches of one length, and of six that come by turns."""
    step, other = stepper(sizes), stepper(sizes)
    lengths = parts(*range(batch - 5, batch + 7, 2))
    return (
        Side("one shape", lambda: step(slice(0, batch)), nothing),
        Side("six shapes", lambda: other(lengths()), nothing),
    )


def replay(sizes: tuple[int, ...], batch: int) -> Sides:
    """Time a step that is replayed, and its text."""
    rows = slice(0, batch)
    quick, plain = stepper(sizes), stepper(sizes, replay=False)
    return (
        Side("replayed", lambda: quick(rows), lambda loss: [loss]),
        Side("its text", lambda: plain(rows), lambda loss: [loss]),
    )


def loops(sizes: tuple[int, ...], batch: int, *, cut: bool) -> Sides:
    """Time some epochs of `Trainer.fit`, and a loop over the same batches."""
    models = [net(sizes) for _ in range(2)]
    updates = [fw.SGD(model.parameters(), lr=LR) for model in models]
    x = normal(250 * batch, sizes[0])
    y = (x[:, :1] > 0).astype(np.float32)
    trainer = fw.Trainer(models[0], fw.BCEWithLogitsLoss(), updates[0], rng=0)
    objective, rng = fw.Objective(models[1], fw.BCEWithLogitsLoss()), np.random.default_rng(0)
    kept: list[Any] = []

    def taken() -> Iterator[Any]:
        for _ in range(EPOCHS):
            order = rng.permutation(len(x))
            for start in range(0, len(x), batch):
                rows = order[start : start + batch]
                yield x[rows], y[rows]

    def loop() -> None:
        for some, target in kept or taken():
            objective.forward(some, target)
            objective.backward()
            updates[1].step()

    if cut:
        kept.extend(taken())

    def look(model: Any) -> list[Any]:
        return [] if cut else [parameter.value for parameter in model.parameters()]

    return (
        Side(
            "fit",
            lambda: trainer.fit(x, y, epochs=EPOCHS, batch_size=batch),
            lambda _: look(models[0]),
        ),
        Side("a loop", loop, lambda _: look(models[1])),
    )


def threads(sizes: tuple[int, ...], batch: int, steps: int) -> Sides:
    """Time steps with one thread of BLAS, and with two."""
    controller = ThreadpoolController()
    quick, plain, rows = stepper(sizes), stepper(sizes), slice(0, batch)

    def limited(step: Callable[[Any], float], count: int) -> Callable[[], float]:
        def run() -> float:
            with controller.limit(limits=count):
                return [step(rows) for _ in range(steps)][-1]

        return run

    return (
        Side("two threads", limited(quick, 2), lambda loss: [loss]),
        Side("one thread", limited(plain, 1), lambda loss: [loss]),
    )


def images(sizes: tuple[int, int, int], shape: tuple[int, ...]) -> Sides:
    """Time a first Conv2D on images that lie with the examples last, and in C order."""
    layers = [fw.Conv2D(*sizes, padding=1, dtype=np.float32, rng=0) for _ in range(2)]
    x = normal(*shape)
    last = np.ascontiguousarray(x.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)
    dy = np.ones_like(layers[0].forward(last))

    def runs(layer: Any, x: Any) -> Callable[[], Any]:
        def run() -> Any:
            y = layer.forward(x)
            layer.backward_parameters(dy)
            return y

        return run

    return (
        Side("examples last", runs(layers[0], last), lambda y: [y]),
        Side("C order", runs(layers[1], x), lambda y: [y]),
    )


def predictions(kind: str) -> Sides:
    """Time a Predictor of float32 for the rows that are asked for, and a plainer way."""
    model = fw.Sequential(
        fw.Dense(64, 128, dtype=np.float32, rng=0),
        fw.Tanh(),
        fw.Dense(128, 1, dtype=np.float32, rng=1),
        fw.Sigmoid(),
    )
    predict, x = fw.Predictor(model), normal(100, 64)
    row, wide = x[:1], x[:1].astype(np.float64)
    plain: dict[str, tuple[Any, Callable[[], Any]]] = {
        "predict": (row, lambda: model.predict(row)),
        "cast": (row, lambda: predict(wide)),
        "rows": (x, lambda: np.concatenate([predict(x[i : i + 1]) for i in range(len(x))])),
    }
    given, other = plain[kind]
    return (
        Side("Predictor", lambda: predict(given), lambda y: [y]),
        Side(kind, other, lambda y: [y]),
    )


def products(sizes: tuple[int, int, int], shape: tuple[int, ...]) -> Sides:
    """Time Conv2D, and its three products of matrices that are there before the clock starts."""
    layer = fw.Conv2D(*sizes, padding=sizes[2] // 2, dtype=np.float32, rng=0)
    x = normal(*shape)
    dy = np.ones_like(layer.forward(x))
    weight = layer.weight.value.reshape(sizes[1], -1)
    columns = normal(weight.shape[1], shape[0] * shape[2] * shape[3])
    slopes = normal(sizes[1], columns.shape[1])

    def bare() -> None:
        np.matmul(weight, columns)
        np.matmul(slopes, columns.T)
        np.matmul(weight.T, slopes)

    return _against(layer, x, dy, "the three products", bare)


def lstm_products(sizes: tuple[int, int], shape: tuple[int, int]) -> Sides:
    """Time an LSTM, and the products of its steps."""
    n, h = sizes
    batch, time = shape
    layer = fw.LSTM(n, h, dtype=np.float32, rng=0)
    x, dy = normal(batch, time, n), normal(batch, time, h)
    flat, gates = x.reshape(-1, n), normal(batch * time, 4 * h)
    w, u = normal(4 * h, n), normal(4 * h, h)
    before, slopes = normal(batch, h), normal(batch, 4 * h)

    def bare() -> None:
        np.matmul(flat, w.T)
        for _ in range(time):
            np.matmul(before, u.T)
        for _ in range(time):
            np.matmul(slopes, u)
        np.matmul(gates.T, flat)
        np.matmul(gates.T, dy.reshape(-1, h))
        np.matmul(gates, w)

    return _against(layer, x, dy, "the products", bare)


def one_pass(
    name: str, shape: tuple[int, ...], ufunc: str, arguments: tuple[int, ...] = ()
) -> Sides:
    """Time a layer or an update, and one call of a ufunc over as many numbers."""
    x, out = normal(*shape), np.empty(shape, np.float32)
    function = getattr(np, ufunc)
    operands = (x,) * int(function.nin)

    def bare() -> None:
        function(*operands, out=out)

    if name == "Adam":
        parameter = fw.Parameter(x.copy())
        optimizer = fw.Adam([parameter], lr=LR)
        parameter.grad[...] = x
        return Side("minifw", optimizer.step, nothing), Side(f"np.{ufunc}", bare, nothing)
    options: dict[str, Any] = {"dtype": np.float32} if arguments else {}
    layer = getattr(fw, name)(*arguments, **options)
    return _against(layer, x, x, f"np.{ufunc}", bare)


def _against(layer: Any, x: Any, dy: Any, label: str, bare: Callable[[], None]) -> Sides:
    def run() -> None:
        layer.forward(x)
        layer.backward(dy)

    return Side("minifw", run, nothing), Side(label, bare, nothing)


def runtime(channels: tuple[int, ...], shape: tuple[int, ...]) -> Sides:
    """Time a Predictor, and ONNX Runtime on the file that `export` writes of its model."""
    import onnxruntime  # noqa: PLC0415 - what the others do not need

    from minifw.interop import onnx  # noqa: PLC0415

    layers: list[Any] = []
    for n, k in pairwise(channels):
        layers += [fw.Conv2D(n, k, 3, padding=1, dtype=np.float32, rng=0), fw.ReLU()]
        layers += [fw.MaxPool2D(2)]
    model = fw.Sequential(*layers, fw.Flatten())
    x = normal(*shape)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        onnx.export(model, path, input_shape=shape[1:])
        session: Any = onnxruntime.InferenceSession(
            path.read_bytes(), options, providers=["CPUExecutionProvider"]
        )
    name, predict = session.get_inputs()[0].name, fw.Predictor(model)
    return (
        Side("minifw", lambda: predict(x), lambda y: [y]),
        Side("ONNX Runtime", lambda: session.run(None, {name: x})[0], lambda y: [y]),
    )
