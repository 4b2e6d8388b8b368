"""C: what a compiled program makes of its input is what the model makes of it.

The compilers are gcc and clang, with the address and undefined sanitizers, where the machine has
them; and everywhere the clang inside of `ziglang`, from PyPI, with the latter.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case

import minifw
from minifw import (
    ELU,
    GELU,
    GRU,
    LSTM,
    SELU,
    Array,
    AvgPool2D,
    BatchNorm,
    Columns,
    Concat,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool2D,
    Identity,
    Impute,
    Increasing,
    Layer,
    LayerNorm,
    LeakyReLU,
    MaxPool2D,
    Mish,
    NTKDense,
    PeriodicEncoding,
    PiecewiseLinearEncoding,
    ReLU,
    Reshape,
    Residual,
    RMSNorm,
    RobustScale,
    Scale,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from minifw.interop import c
from minifw.interop.onnx import Graph, register

F: Any = np.float32
WARNINGS = ["-std=c99", "-Wall", "-Wextra", "-Werror"]
UNDEFINED = ["-fsanitize=undefined", "-fsanitize-trap=undefined"]  # a fault ends the program
ADDRESS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
FOUND = [cc for cc in ("gcc", "clang") if shutil.which(cc) and sys.platform != "win32"]
COMPILERS = [[cc, *ADDRESS] for cc in FOUND]
COMPILERS += [[sys.executable, "-m", "ziglang", "cc", *UNDEFINED]]

MAIN = r"""
#include <stdio.h>
%s
int main(void) {
    static %s x[%d], y[%d];
    while (fread(x, sizeof x, 1, stdin) == 1) {
        %s
        fwrite(y, sizeof y, 1, stdout);
    }
    return 0;
}
"""

Program = Callable[[Array], Array]


def programs(folder: Path, models: dict[str, Layer], size: int, dtype: Any = F) -> list[Program]:
    """Return a function for each compiler: from x of `size` columns to what the models give."""
    sizes = [model.output_shape((size,))[0] for model in models.values()]
    for name, model in models.items():
        c.export(model, folder / f"{name}.c", input_shape=(size,), dtype=dtype)
    starts = np.cumsum([0, *sizes])
    calls = " ".join(f"{name}(x, y + {at});" for name, at in zip(models, starts, strict=False))
    heads = "\n".join(f'#include "{name}.h"' for name in models)
    kind = "float" if dtype is F else "double"
    (folder / "main.c").write_text(MAIN % (heads, kind, size, starts[-1], calls))
    return [_built(folder, [*models, "main"], cc, starts[-1], dtype) for cc in COMPILERS]


def _built(folder: Path, names: Sequence[str], cc: list[str], size: int, dtype: Any) -> Program:
    program = folder / f"program{len(list(folder.glob('*.exe')))}.exe"
    sources = [folder / f"{name}.c" for name in names]
    asked = [*cc, *WARNINGS, *map(str, sources), "-o", str(program), "-lm"]
    made = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr

    def run(x: Array) -> Array:
        done = subprocess.run([program], input=x.tobytes(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return np.frombuffer(done.stdout, dtype).reshape(len(x), size)

    return run


def moved(model: Layer, seed: int = 7) -> Layer:
    """Return the model with other numbers than it starts with, buffers too."""
    rng = np.random.default_rng(seed)
    for array in model._state().values():
        array[...] += 0.1 * rng.random(array.shape)
    return model


def close(y: Array, model: Layer, x: Array) -> None:
    """Hold y, of a model of branches side by side, to 1e-6 of the largest number of each row."""
    assert isinstance(model, Concat)
    at = 0
    for branch in model.layers:
        expected = branch.predict(x, allow_nan=True)
        part = y[:, at : (at := at + expected.shape[1])]
        bound = 1e-6 * np.abs(expected).max(axis=1, keepdims=True) + 1e-9
        assert (np.abs(part - expected) <= bound).all(), (branch, part, expected)
    assert at == y.shape[1]


def alone(case: Case, start: int) -> Layer:
    """Return the layer of a case, fed from the columns of a table from `start` on."""
    shape, model = case.example_shape, moved(case.make(F))
    columns = Columns(*range(start, start + int(np.prod(shape))), whole=bool(case.indices))
    shaped = [Reshape(shape)] if len(shape) > 1 and not case.indices else []
    return Sequential(columns, *shaped, model, Flatten())


@pytest.mark.slow
def test_every_layer_that_onnx_takes(tmp_path: Path) -> None:
    branches, columns = [], 0
    xs = []
    for case in CASES:
        if case.exported:
            branches.append(alone(case, columns))
            xs.append(case.x(5).reshape(5, -1))
            columns += xs[-1].shape[1]
    model = Concat(*branches)
    x = np.hstack(xs).astype(F)
    x[3:] *= np.where(x[3:] == np.rint(x[3:]), 1, F(1e4))  # whole numbers stand for rows
    for run in programs(tmp_path, {"layers": model}, columns):
        close(run(x), model, x)


def pick(rng: np.random.Generator, *choices: Any) -> Any:
    return choices[rng.integers(len(choices))]


ACTIVATIONS = (ELU, GELU, LeakyReLU, Mish, ReLU, SELU, SiLU, Sigmoid, Softplus, Tanh)


def blocks(rng: np.random.Generator, width: int) -> list[Layer]:
    """Return some dense layers with what stands between them, and one at the end."""
    layers: list[Layer] = []
    for _ in range(rng.integers(1, 3)):
        units = int(rng.integers(3, 9))
        layers.append(pick(rng, Dense, NTKDense)(width, units, rng=rng, dtype=F))
        norm = pick(rng, None, BatchNorm, LayerNorm, RMSNorm)
        # The usual eps would multiply float32's own rounding where all units are nearly equal.
        layers += [] if norm is None else [norm(units, eps=0.1, dtype=F)]
        layers += [pick(rng, *ACTIVATIONS)(), Dropout(0.1)]
        if rng.random() < 0.3:
            layers.append(Residual(Sequential(Dense(units, units, rng=rng, dtype=F), Tanh())))
        width = units
    return [*layers, Dense(width, 3, rng=rng, dtype=F), pick(rng, *HEADS)(), Scale(3, dtype=F)]


HEADS = (Identity, Sigmoid, Softmax, Increasing)


def heads(rng: np.random.Generator, width: int, *first: Layer) -> Layer:
    """Return ten networks that have their first layers in common, of three outputs each."""
    return Sequential(*first, Concat(*[Sequential(*blocks(rng, width)) for _ in range(10)]))


def table(rng: np.random.Generator) -> Layer:
    """Return networks of eight numbers and a category."""
    gaps = pick(rng, False, True)
    width = 16 if gaps else 8
    encoding: list[Layer] = pick(
        rng,
        [],
        [PiecewiseLinearEncoding(width, 4, dtype=F), Flatten()],
        [PeriodicEncoding(width, 2, 0.3, rng=rng, dtype=F), Flatten()],
    )
    wide = width * (4 if encoding else 1)
    scale = RobustScale(width, dtype=F)
    numbers = [Columns(*range(8)), Impute(8, gaps, dtype=F), scale]
    category = Sequential(Columns(8, whole=True), Embedding(5, 2, rng=rng, dtype=F))
    first = Concat(Sequential(*numbers, *encoding), category)
    return heads(rng, wide + 2, first)


def image(rng: np.random.Generator) -> Layer:
    """Return networks of images of two channels, 6 x 6."""
    channels = int(rng.integers(1, 5))
    return heads(
        rng,
        channels,
        Columns(*range(9, 81)),
        Reshape((2, 6, 6)),
        Conv2D(2, channels, 3, padding=pick(rng, 0, 1), rng=rng, dtype=F),
        BatchNorm(channels, dtype=F),
        pick(rng, *ACTIVATIONS)(),
        pick(rng, MaxPool2D(2), AvgPool2D(2)),
        GlobalAvgPool2D(),
    )


def sequence(rng: np.random.Generator) -> Layer:
    """Return networks of sequences of five steps of three numbers."""
    first, last = pick(rng, LSTM, GRU), pick(rng, LSTM, GRU)
    return heads(
        rng,
        3,
        Columns(*range(81, 96)),
        Reshape((5, 3)),
        first(3, 4, rng=rng, dtype=F),
        last(4, 3, return_sequences=False, rng=rng, dtype=F),
    )


@pytest.mark.slow
def test_random_networks(tmp_path: Path) -> None:
    """200 of them, in two files that are linked into one program."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 96)) * np.exp(rng.standard_normal(96))
    x[:, 8] = rng.integers(0, 5, 40)
    numbers = x[:, :8]
    numbers[rng.random(numbers.shape) < 0.1] = np.nan
    x = x.astype(F)
    makers = [table, table, table, image, sequence]
    tens = [makers[n % 5](rng) for n in range(20)]
    for n, net in enumerate(tens):
        moved(net, n)
        minifw.adapt(net, x)
    numbers = x[20:, :8]
    numbers *= 10 ** rng.uniform(0, 30, numbers.shape).astype(F)  # which the nets bound
    models: dict[str, Layer] = {"first": Concat(*tens[:10]), "second": Concat(*tens[10:])}
    expected = np.hstack([model.predict(x) for model in models.values()]).reshape(40, 200, 3)
    for run in programs(tmp_path, models, 96):
        error = np.abs(run(x).reshape(expected.shape) - expected)
        assert (error <= 1e-6 * np.abs(expected).max(axis=(0, 2))[:, np.newaxis]).all()


def table_of_codes() -> Sequential:
    """Return a network of two numbers and a category of five."""
    category = Sequential(Columns(1, whole=True), Embedding(5, 3, rng=0))
    return Sequential(Concat(Columns(0, 2), category), Dense(5, 2, rng=1), Tanh())


@pytest.mark.slow
def test_the_files(tmp_path: Path) -> None:
    model = table_of_codes()
    before = {name: array.copy() for name, array in model._state().items()}
    c.export(model, tmp_path / "net.c", input_shape=(3,), name="predict")
    assert model.training
    assert all((array == before[name]).all() for name, array in model._state().items())
    header, source = ((tmp_path / f"net.{end}").read_text() for end in "hc")
    assert "void predict(const float x[3], float y[2]);" in header
    assert "#define PREDICT_INPUTS 3 /* x: (3,)" in header
    assert source.startswith('#include "net.h"\n')
    assert not re.search(r"alloc\(|fopen|minifw\.model", source)
    seen = [line for line in source.splitlines() if re.match(r"(extern|const|void|_Bool) ", line)]
    assert seen == ["void predict(const float x[3], float y[2]) {"]
    c.export(Sequential(Embedding(6, 2), LSTM(2, 3)), tmp_path / "words.c", input_shape=(4,))
    assert "(const int64_t x[4], float y[12])" in (tmp_path / "words.h").read_text()


@pytest.mark.slow
def test_float64_and_numbers_without_a_row(tmp_path: Path) -> None:
    table, steps = table_of_codes(), Sequential(Reshape((3, 1)), LSTM(1, 2, rng=0), Flatten())
    x = np.array([[0.5, 4, 2], [0.5, 9, 2], [0.5, 0, 2], [0.5, -7, 2], [0.5, -1, 2]])
    near = np.array(x)
    near[:, 1] = near[:, 1].clip(0, 4)
    for run in programs(tmp_path, {"table": table, "steps": steps}, 3, np.float64):
        y = run(x)
        assert np.abs(y[:, :2] - table.predict(near)).max() < 1e-14
        assert np.abs(y[:, 2:] - steps.predict(x)).max() < 1e-14


class Odd(Layer):
    def forward(self, x: Array) -> Array:
        self.save(x)
        return x

    def backward(self, dy: Array) -> Array:
        return dy


@register(Odd)
def odd(layer: Odd, graph: Graph, x: str) -> str:  # noqa: ARG001
    return graph.node("RandomNormalLike", x)


def test_what_is_refused(tmp_path: Path) -> None:
    model = Dense(2, 1, rng=0)
    with pytest.raises(ValueError, match=r"ends in \.c, got"):
        c.export(model, tmp_path / "net.cpp")
    for name in ("my-net", "2net", "", "n\u00e9t"):
        with pytest.raises(ValueError, match=r"no name of a function in C; give another name"):
            c.export(model, tmp_path / "net.c", name=name)
    with pytest.raises(ValueError, match="'double' is a word of C"):
        c.export(model, tmp_path / "double.c")
    with pytest.raises(ValueError, match="cannot tell which shape"):
        c.export(Tanh(), tmp_path / "net.c")
    with pytest.raises(ValueError, match=r"layer 1, Odd\(\) .*RandomNormalLike"):
        c.export(Sequential(model, Odd()), tmp_path / "net.c")
    assert list(tmp_path.iterdir()) == []


def test_several_inputs_or_outputs_are_refused(tmp_path: Path) -> None:
    for model in (
        minifw.Graph("x", "z", y=(minifw.Add(), "x", "z")),
        minifw.LSTM(2, 3, return_state=True),
    ):
        with pytest.raises(ValueError, match="has one input and one output"):
            several: Any = [(2,), (2,)]
            c.export(model, tmp_path / "net.c", input_shape=several)
