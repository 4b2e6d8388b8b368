"""What a training step costs, in counts that are the same on every machine: no seconds.

A step that grew a check, a call or an array by accident fails here. One that was made
cheaper passes; lower the constant then, so that it stays so. `tests/benchmarks/compare.py`
has the seconds.

How it is counted, in one step after some others:

- `functions`: Python functions entered, comprehensions apart, which Python 3.12 no longer calls;
- `numpy_calls`: NumPy's functions and the methods of arrays. Those written in C are reported
  by `sys.setprofile`; a ufunc is not, so that each is wrapped while the net is built and run;
- `operators`: arithmetic that is written with an operator, on arrays or not (`a += b`), which
  is an instruction of the interpreter;
- `peak`: bytes that are allocated in the step and held at the same time, by `tracemalloc`.
"""

import dis
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from types import FrameType
from typing import Any

import numpy as np
import pytest

import minifw
from minifw import (
    GELU,
    LSTM,
    SGD,
    Adam,
    BatchNorm,
    BCELoss,
    BCEWithLogitsLoss,
    Conv2D,
    CrossEntropyLoss,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    LayerNorm,
    Loss,
    MaxPool2D,
    MSELoss,
    Objective,
    Optimizer,
    ReLU,
    Sequential,
    Sigmoid,
    Tanh,
)

PACKAGE = minifw.__path__[0]
WARM_UP = 5  # steps after which all caches are filled, and a small step is replayed
# The objects around the arrays differ in size between releases of Python.
SLACK = 2048  # bytes
F32: Any = {"dtype": np.float32}
BINARY_OP = dis.opmap["BINARY_OP"]
SUBSCRIPTS = 26  # from this argument on, BINARY_OP is a subscript, as of Python 3.14


@dataclass
class Costs:
    functions: int = 0
    numpy_calls: int = 0
    operators: int = 0
    peak: int = 0


class Counted:
    """A ufunc that counts its calls."""

    def __init__(self, ufunc: np.ufunc, costs: Costs) -> None:
        self._ufunc, self._costs = ufunc, costs

    def __call__(self, *args: Any, **options: Any) -> Any:
        self._costs.numpy_calls += 1
        return self._ufunc(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ufunc, name)


def is_numpy(function: Any) -> bool:
    """Return whether a function in C is NumPy's, or a method of an array."""
    owner = getattr(function, "__self__", None)
    module = getattr(function, "__module__", None) or type(owner).__module__
    return module.partition(".")[0] == "numpy" and not isinstance(owner, np.ufunc)


@contextmanager
def counting(costs: Costs) -> Iterator[None]:
    def profile(frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call" and is_numpy(argument):
            costs.numpy_calls += 1
        elif event == "call" and in_package(frame) and not frame.f_code.co_name.startswith("<"):
            costs.functions += 1

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if not in_package(frame):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            code, at = frame.f_code.co_code, frame.f_lasti
            costs.operators += code[at] == BINARY_OP and code[at + 1] < SUBSCRIPTS
        return trace

    kept = sys.gettrace(), sys.getprofile()  # such as that of a tool that measures coverage
    sys.settrace(trace)
    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(kept[1])
        sys.settrace(kept[0])


def in_package(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(PACKAGE)


def costs_of(build: Callable[[Costs], Callable[[], object]], patch: pytest.MonkeyPatch) -> Costs:
    """Return the costs of one step of what `build` returns."""
    costs = Costs()
    for name, value in list(vars(np).items()):
        if isinstance(value, np.ufunc):
            patch.setattr(np, name, Counted(value, costs))
    step = build(costs)
    for _ in range(WARM_UP):
        step()
    tracemalloc.start()
    try:
        step()  # once more, for what tracemalloc itself keeps
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        step()
        costs.peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    for _ in range(2):  # the second counts: Python 3.12 reports no instructions to the first
        costs.functions = costs.numpy_calls = costs.operators = 0
        with counting(costs):
            step()
    return costs


def mlp(*sizes: int, dtype: type = np.float32) -> list[Any]:
    """Return `Dense` with tanh, a sigmoid at the end."""
    layers = [layer for n, k in pairwise(sizes) for layer in (Dense(n, k, dtype=dtype), Tanh())]
    return [*layers[:-1], Sigmoid()]


def normed(norm: Any, activation: Any, *sizes: int) -> list[Any]:
    """Return `Dense` with a norm, an activation and `Dropout`, and a last `Dense`."""
    layers: list[Any] = []
    for n, k in pairwise(sizes[:-1]):
        layers += [Dense(n, k, **F32), norm(k, **F32), activation(), Dropout(0.2, rng=0)]
    return [*layers, Dense(*sizes[-2:], **F32)]


@dataclass(frozen=True)
class Case:
    """A model, its data and its optimizer, and what a step may cost at the most."""

    most: Costs
    layers: Callable[[], list[Any]]
    shape: tuple[int, ...]
    loss: Callable[[], Loss]
    target: tuple[int, ...]
    classes: int = 0  # of targets that are labels
    indices: int = 0  # of an x that holds such
    optimizer: Callable[..., Optimizer] = SGD
    dtype: type = np.float32
    replay: bool = True


# What stands; lower a number when a step became cheaper.
CASES = {
    "notes": Case(
        Costs(15, 33, 3, 14_016),
        lambda: mlp(2, 4, 1, dtype=np.float64),
        (400, 2), BCELoss, (400, 1), dtype=np.float64,
    ),
    "notes, its text": Case(
        Costs(102, 28, 19, 30_584),
        lambda: mlp(2, 4, 1, dtype=np.float64),
        (400, 2), BCELoss, (400, 1), dtype=np.float64, replay=False,
    ),
    "64": Case(
        Costs(15, 44, 3, 17_632),
        lambda: mlp(64, 128, 64, 1), (32, 64), BCELoss, (32, 1),
    ),
    "BatchNorm, Dropout, Adam": Case(
        Costs(24, 91, 22, 9_912),
        lambda: normed(BatchNorm, ReLU, 30, 64, 64, 1),
        (32, 30), BCEWithLogitsLoss, (32, 1), optimizer=Adam,
    ),
    "LayerNorm, GELU, Dropout": Case(
        Costs(349, 211, 534, 1_619_720),
        lambda: normed(LayerNorm, GELU, 64, 512, 512, 10),
        (256, 64), CrossEntropyLoss, (256,), classes=10,
    ),
    "convolutional net": Case(
        Costs(463, 183, 429, 1_542_363),
        lambda: [
            Conv2D(3, 16, 3, padding=1, **F32), BatchNorm(16, **F32), ReLU(), MaxPool2D(2),
            Conv2D(16, 16, 3, padding=1, groups=16, **F32), ReLU(), Flatten(),
            Dense(1024, 10, **F32),
        ],
        (32, 3, 16, 16), CrossEntropyLoss, (32,), classes=10,
    ),
    "LSTM": Case(
        Costs(19, 133, 3, 34_208),
        lambda: [LSTM(16, 32, **F32), Dense(32, 1, **F32)],
        (8, 10, 16), MSELoss, (8, 10, 1),
    ),
    "cross-entropy of 10,000 classes": Case(
        Costs(101, 41, 53, 3_202_196),
        lambda: [Dense(16, 10_000, **F32)], (64, 16), CrossEntropyLoss, (64,), classes=10_000,
    ),
    "Embedding, Adam": Case(
        Costs(24, 47, 22, 132_256),
        lambda: [Embedding(1000, 32, **F32), Flatten(), Dense(320, 1, **F32)],
        (32, 10), BCEWithLogitsLoss, (32, 1), indices=1000, optimizer=Adam,
    ),
}  # fmt: skip


def stepper(case: Case, costs: Costs) -> Callable[[], object]:
    """Return a training step as a user writes it; the calls that it replays count as calls."""
    rng = np.random.default_rng(0)
    x: Any = rng.standard_normal(case.shape).astype(case.dtype)
    if case.indices:
        x = rng.integers(0, case.indices, case.shape)
    y: Any = rng.integers(0, case.classes or 2, case.target)
    if not case.classes:
        y = y.astype(case.dtype)
    model = Sequential(*case.layers())
    for parameter in model.parameters():
        parameter.value = rng.standard_normal(parameter.value.shape) / 10
    objective = Objective(model, case.loss(), replay=case.replay)
    optimizer = case.optimizer(model.parameters(), lr=0.1)

    def step() -> None:
        objective.forward(x, y)
        objective.backward()
        optimizer.step()
        for recording in objective._step._recordings:
            if recording.agrees:
                costs.numpy_calls += len(recording.calls) + len(recording.backward_calls)

    return step


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_step_costs_no_more(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    costs = costs_of(lambda counts: stepper(case, counts), monkeypatch)
    assert costs.functions <= case.most.functions
    assert costs.numpy_calls <= case.most.numpy_calls
    assert costs.operators <= case.most.operators
    assert costs.peak <= case.most.peak + SLACK


def test_the_count_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.ones((100, 100))
    layer = Dense(100, 100, rng=0)
    layer.forward(x)

    def step() -> None:
        np.sqrt(x, x)  # a ufunc
        x.dot(x)  # a method in C: 80,000 bytes for an instant
        layer.backward_parameters(x)  # of the package: a function at least, and two products

    costs = costs_of(lambda _: step, monkeypatch)
    assert costs.numpy_calls >= 4
    assert costs.functions >= 2  # with `saved`
    assert x.nbytes <= costs.peak < x.nbytes + SLACK
