"""What one sees of a model: its summary, and the trace of a forward and a backward."""

import copy
import itertools
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any, ClassVar

import numpy as np
import pytest
from cases import CASES, LOSS_CASES, Case
from hypothesis import given
from hypothesis import strategies as st

import minifw
from minifw import (
    GRU,
    L2,
    LSTM,
    Add,
    Array,
    BatchNorm,
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    Concat,
    Conv2D,
    CrossEntropyLoss,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Graph,
    Join,
    Layer,
    LayerNorm,
    Loss,
    MSELoss,
    MultiHeadAttention,
    Objective,
    Parameter,
    ReLU,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    Softmax,
    SumLoss,
    Summary,
    Tanh,
    Trace,
    summary,
    trace,
)
from minifw.datasets import planar_flower


class _Text(HTMLParser):
    """Checks that tags are closed in order, and keeps the text of the cells."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[str] = []

    def handle_starttag(self, tag: str, _attrs: object) -> None:
        self.open.append(tag)
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"td", "th"}:
            self.cells[-1] += data


def cells_of(html: str) -> list[str]:
    parser = _Text()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return parser.cells


# -- summary ---------------------------------------------------------------------


def lstm_size(i: int, h: int) -> int:
    """Count as PyTorch does: four gates, each with two matrices and two biases."""
    return 4 * (h * i + h * h + h + h)


def gru_size(i: int, h: int) -> int:
    return 3 * (h * i + h * h + h + h)


SIZES: list[tuple[Callable[[], Layer], tuple[int, ...], list[int]]] = [
    (lambda: Sequential(Dense(2, 4), Tanh(), Dense(4, 1), Sigmoid()), (2,), [12, 0, 5, 0]),
    (lambda: Sequential(Dense(3, 5, bias=False), ReLU()), (3,), [15, 0]),
    (
        lambda: Sequential(Conv2D(3, 8, (3, 5)), BatchNorm(8), Flatten()),
        (3, 6, 7),
        [3 * 8 * 15 + 8, 16, 0],
    ),
    (
        lambda: Sequential(
            Embedding(10, 6), LSTM(6, 4), GRU(4, 3, return_sequences=False), Dense(3, 2)
        ),
        (7,),
        [60, lstm_size(6, 4), gru_size(4, 3), 8],
    ),
]


@pytest.mark.parametrize(("make", "shape", "sizes"), SIZES)
def test_parameters_are_counted(
    make: Callable[[], Layer], shape: tuple[int, ...], sizes: list[int]
) -> None:
    report = summary(make(), shape)
    assert [row.parameters for row in report.layers] == sizes
    assert [row.nbytes for row in report.layers] == [8 * size for size in sizes]
    assert (report.parameters, report.nbytes) == (sum(sizes), 8 * sum(sizes))


def watched_shapes(model: Layer, x: Array) -> dict[str, tuple[int, ...]]:
    """Return the shape of what every layer gives in a real forward, by its name."""
    shapes = {}
    twin = copy.deepcopy(model).eval()

    def watch(name: str, layer: Layer) -> None:
        forward = layer.forward

        def watched(*xs: Array) -> Array:
            y: Any = forward(*xs)
            shapes[name] = y.shape[1:]
            return np.asarray(y)

        setattr(layer, "forward", watched)  # noqa: B010 - mypy

    for name, layer in [("", twin), *twin.named_layers()]:
        watch(name, layer)
    twin(x)
    return shapes


TAKEN_FOR_A_BATCH = ("Dense, sequences", "Scale, sequences")
SUMMARISED = [case for case in CASES if case.name not in TAKEN_FOR_A_BATCH]


@pytest.mark.parametrize("case", SUMMARISED, ids=lambda case: case.name)
def test_output_shapes_are_those_of_a_forward(case: Case) -> None:
    model = case.make(np.float32)
    report = model.summary(case.example_shape)
    shapes = watched_shapes(model, case.x(2, np.float32))
    assert report.output_shape == shapes[""]
    assert {row.path: row.output_shape for row in report.layers}.items() <= shapes.items()
    names = [name for name, _ in model.named_layers()]
    if not names or model.parameters()[:1] == [m for _, m in model._members()][:1]:
        names = ["", *names]  # with parameters that no layer inside holds
    assert [row.path for row in report.layers] == names
    assert report.parameters == sum(p.value.size for p in model.parameters())
    assert report.nbytes == 4 * report.parameters
    assert len(cells_of(report._repr_html_())) % (6 if "takes" in str(report) else 5) == 0


def test_nested_layers_are_indented() -> None:
    model = Sequential(
        Residual(Sequential(Dense(3, 3), Tanh())), Concat(Dense(3, 2), Dense(3, 1)), Dropout()
    )
    lines = str(model.summary((3,))).splitlines()
    assert lines[0] == "Sequential: (batch, 3) -> (batch, 3)"
    starts = [re.match(r" *\S+", line) for line in lines[4:12]]
    assert [start[0] for start in starts if start] == [
        "0",
        "  0.layer",
        "    0.layer.0",
        "    0.layer.1",
        "1",
        "  1.0",
        "  1.1",
        "2",
    ]
    assert lines[4].split() == ["0", "Residual", "(batch,", "3)"]  # its own parameters: none
    assert not any(line.endswith(" ") for line in lines)


def test_deeper_layers_are_folded() -> None:
    gpt = small_gpt().model
    whole, folded, most = (gpt.summary((3,), depth=depth) for depth in (None, 1, 2))
    assert [row.path for row in folded.layers] == ["e", "b0", "b1", "n", "logits"]
    assert (folded.parameters, folded.nbytes) == (whole.parameters, whole.nbytes)
    inside = [row for row in whole.layers if row.path.startswith("b0.")]
    _, b0, *_ = folded.layers
    assert b0[1:] == (
        "Graph",
        (3, 4),
        sum(r.parameters for r in inside),
        sum(r[4] for r in inside),
    )
    assert sum(row.parameters for row in most.layers) == whole.parameters
    att = next(row for row in most.layers if row.path == "b0.att")
    assert (att.layer, att.parameters) == ("MultiHeadAttention", 4 * (4 * 4 + 4))
    assert str(gpt.summary((3,), depth=3)) == str(whole)
    with pytest.raises(ValueError, match=r"^summary expects depth to be at least 1, got 0$"):
        gpt.summary((3,), depth=0)


class Tied(Layer):
    """Holds one parameter in two places, and a layer it does not use."""

    def __init__(self) -> None:
        self.weight = Parameter(np.ones(3))
        self.same = [self.weight]
        self.spare = Tanh()

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * self.weight.value

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.weight.grad[...] = (dy * x).sum(axis=0)
        return dy * self.weight.value


def test_a_shared_parameter_counts_once() -> None:
    report = summary(Tied(), (3,))
    assert (report.parameters, report.nbytes) == (3, 24)
    assert [(row.path, row.parameters, row.output_shape) for row in report.layers] == [
        ("", 3, (3,)),
        ("spare", 0, None),
    ]


class Words(Layer):
    """Takes whole numbers, and leaves output_shape to the default."""

    def __init__(self) -> None:
        self.parts = {"table": Embedding(5, 2), "mean": Flatten()}

    def forward(self, x: Array) -> Any:
        return self.parts["mean"](self.parts["table"](x))

    def backward(self, dy: Array) -> Any:
        return self.parts["table"].backward(self.parts["mean"].backward(dy))


class Silent(Words):
    """Says its output shape without asking the layers inside."""

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        return (2 * input_shape[0],)


class Late(Layer):
    """Makes its parameter in the first forward."""

    def forward(self, x: Array) -> Array:
        if not hasattr(self, "scale"):
            self.scale = Parameter(np.ones(x.shape[1]))
        self.save(x)
        return x * self.scale.value

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = (dy * x).sum(axis=0)
        return dy * self.scale.value


@pytest.mark.parametrize("kind", [Words, Silent])
def test_containers_of_ones_own(kind: type[Layer]) -> None:
    report = summary(kind(), (3,))
    assert [(row.path, row.output_shape) for row in report.layers] == [
        ("parts.table", (3, 2)),
        ("parts.mean", (6,)),
    ]
    assert report.output_shape == (6,)
    assert report.parameters == 10


def test_parameters_made_in_the_first_forward_count() -> None:
    model = Sequential(Late(), Tanh())
    assert summary(model, (4,)).parameters == 4
    assert not model.parameters()


def test_summary_leaves_the_model_alone() -> None:
    rng = np.random.default_rng(0)
    model = Sequential(Dense(3, 4, rng=rng), BatchNorm(4), Dropout(0.5, rng=rng), Dense(4, 1))
    model[2].eval()
    x = np.random.default_rng(1).standard_normal((5, 3))
    y = model.forward(x)
    model.backward(np.ones_like(y))
    before = model.state_dict()
    grads = [p.grad.copy() for p in model.parameters()]
    saved = [layer._saved for layer in model]
    state = copy.deepcopy(rng.bit_generator.state)
    model.summary((3,))
    after = model.state_dict()
    assert all(np.array_equal(after[name], before[name]) for name in before)
    assert all(np.array_equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))
    assert all(layer._saved is kept for layer, kept in zip(model, saved, strict=True))
    assert [layer.training for layer in model] == [True, True, False, True]
    assert rng.bit_generator.state == state
    assert not any("forward" in vars(layer) for layer in model)


def test_buffers_are_told_apart() -> None:
    report = summary(Sequential(Dense(2, 3), BatchNorm(3)), (2,))
    assert (report.buffers, report.buffer_nbytes, report.parameters) == (6, 48, 15)
    assert str(report).endswith("buffers, which are not trained: 6 numbers, 48 bytes")


def test_large_numbers_have_separators_and_html_is_escaped() -> None:
    class Odd(Tanh):
        def __init__(self, mark: str) -> None:
            self.mark = mark

    report = summary(Sequential(Dense(1000, 2000), Odd("<b>&")), (1000,))
    assert "2,002,000  16,016,000" in str(report)
    cells = cells_of(report._repr_html_())
    assert "Odd('<b>&')" in cells
    assert "2,002,000" in cells
    assert repr(report) == str(report)


@pytest.mark.parametrize(
    ("shape", "error", "message"),
    [
        (2, TypeError, r"got 2; write \(2,\)$"),
        ((None, 2), TypeError, r"got \(None, 2\); leave out the batch$"),
        ("2", TypeError, r"a tuple of whole numbers, got '2'$"),
        ((2.0,), TypeError, r"got \(2.0,\)$"),
        ((0,), ValueError, r"at least 1, got \(0,\)$"),
        ((400, 2), ValueError, r"Dense\(2, 4\) expects examples of shape \(2,\), got \(400, 2\)"),
    ],
)
def test_wrong_input_shapes(shape: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Sequential(Dense(2, 4), Tanh()).summary(shape)


def test_the_lines_of_a_graph_say_what_they_take() -> None:
    shared = Dense(3, 2)
    model = Graph(
        "a",
        "b",
        h=(shared, "a"),
        k=(shared, "b"),
        y=(Join(), "h", "k"),
        z=Dense(4, 1).freeze(),
        outputs=("z", "y"),
    )
    report = summary(model, ((3,), (3,)))
    assert report.input_shape == ((3,), (3,))
    assert report.output_shape == ((1,), (4,))
    assert (report.parameters, report.frozen) == (3 * 2 + 2 + 5, 5)
    rows = [line.split() for line in str(report).splitlines()]
    assert rows[0] == [
        "Graph:",
        "(batch,",
        "3),",
        "(batch,",
        "3)",
        "->",
        "(batch,",
        "1),",
        "(batch,",
        "4)",
    ]
    assert ["h", "Dense(3,", "2)", "a;", "b", "(batch,", "2)", "8", "64"] in rows
    assert ["y", "Join()", "h,", "k", "(batch,", "4)", "0", "0"] in rows
    assert rows[-1] == ["5", "of", "the", "parameters", "are", "frozen"]
    words = Graph("i", "x", e=(Embedding(9, 2), "i"), j=(Flatten(), "e"), y=(Join(), "j", "x"))
    assert summary(Graph("i", "x", m=(words, "i", "x")), ((3,), (5,))).output_shape == (11,)
    with pytest.raises(ValueError, match=r"of one example of each of its inputs, \(a, b\), with"):
        model.summary()
    with pytest.raises(ValueError, match=r"of each of its inputs, \(a, b\), without"):
        summary(model, (3,))
    with pytest.raises(ValueError, match=r"Graph expects 2 shapes of inputs, \(a, b\), got 1"):
        summary(model, ((3,),))


def test_the_input_shape_is_asked_of_the_model() -> None:
    model = Sequential(Dense(2, 4), Tanh())
    assert str(model.summary()) == str(summary(model, (2,)))
    with pytest.raises(ValueError, match=r"the batch: Tanh\(\) does not say what it takes$"):
        summary(Tanh())

    class Places(Tanh):
        takes_sequences = True
        input_shape = (2,)

    with pytest.raises(ValueError, match="leave out the batch"):
        summary(Places(), (400, 2))
    sequences = Sequential(Dense(2, 4), LSTM(4, 3))
    assert summary(sequences, (400, 2)).output_shape == (400, 3)


def test_a_class_is_no_model() -> None:
    with pytest.raises(TypeError, match=r"got the class Tanh; write Tanh\(\.\.\.\)$"):
        summary(Tanh, (2,))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"summary expects model to be a layer, got a list$"):
        summary([Tanh()], (2,))  # type: ignore[arg-type]


def test_the_public_names() -> None:
    assert minifw.summary is summary
    assert isinstance(Tanh().summary((2,)), Summary)


# -- trace -----------------------------------------------------------------------


def notes_network() -> Sequential:
    """Return the notes' start: seed 3 of the legacy generator, W1 before W2, times 0.01."""
    rng = np.random.RandomState(3)
    model = Sequential(Dense(2, 4), Tanh(), Dense(4, 1), Sigmoid())
    model[0].weight.value = rng.standard_normal((4, 2)) * 0.01
    model[2].weight.value = rng.standard_normal((1, 4)) * 0.01
    return model


def notes_values() -> dict[str, Array]:
    """Return every value of the notes, by their own formulas, one example per column."""
    x, y = planar_flower()
    X, Y, m = x.T, y.T, len(x)  # noqa: N806 - the notes' names
    rng = np.random.RandomState(3)
    W1 = rng.standard_normal((4, 2)) * 0.01  # noqa: N806
    b1 = np.zeros((4, 1))
    W2 = rng.standard_normal((1, 4)) * 0.01  # noqa: N806
    b2 = np.zeros((1, 1))
    Z1 = W1 @ X + b1  # noqa: N806
    A1 = np.tanh(Z1)  # noqa: N806
    Z2 = W2 @ A1 + b2  # noqa: N806
    A2 = 1 / (1 + np.exp(-Z2))  # noqa: N806
    J = -(1 / m) * np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2))  # noqa: N806
    dZ2 = A2 - Y  # noqa: N806
    dW2 = (1 / m) * dZ2 @ A1.T  # noqa: N806
    db2 = (1 / m) * np.sum(dZ2, axis=1, keepdims=True)
    dA1 = W2.T @ dZ2  # noqa: N806
    dZ1 = dA1 * (1 - A1**2)  # noqa: N806
    dW1 = (1 / m) * dZ1 @ X.T  # noqa: N806
    db1 = (1 / m) * np.sum(dZ1, axis=1, keepdims=True)
    return {
        # what holds examples is transposed, and a bias has no axis of length 1
        "X": x,
        "Y": y,
        "W1": W1,
        "b1": b1[:, 0],
        "W2": W2,
        "b2": b2[:, 0],
        "Z1": Z1.T,
        "A1": A1.T,
        "Z2": Z2.T,
        "A2": A2.T,
        "J": np.array(J),
        # the notes' 1/m stands in the loss here, and so in what the loss hands down
        "dZ2": dZ2.T / m,
        "dW2": dW2,
        "db2": db2[:, 0],
        "dA1": dA1.T / m,
        "dZ1": dZ1.T / m,
        "dW1": dW1,
        "db1": db1[:, 0],
    }


def test_trace_has_every_value_of_the_notes_in_their_order() -> None:
    x, y = planar_flower()
    values = trace(Objective(notes_network(), BCELoss()), x, y)
    truth = notes_values()
    assert list(values) == list(truth)
    assert len(values) == len(truth)
    for row in values.rows:
        expected = truth[row.symbol]
        assert row.shape == expected.shape, row.symbol
        np.testing.assert_allclose(values[row.symbol], expected, rtol=1e-9, atol=1e-15)
        assert row.min == pytest.approx(expected.min(), rel=1e-9, abs=1e-15)
        assert row.max == pytest.approx(expected.max(), rel=1e-9, abs=1e-15)
        assert row.norm == pytest.approx(np.sqrt(np.sum(expected**2)), rel=1e-9)
    assert f"{values['J']:f}" == "0.693162"


def test_the_table_of_the_notes_network() -> None:
    x, y = planar_flower()
    values = trace(Objective(notes_network(), BCELoss()), x, y)
    lines = str(values).splitlines()
    assert lines[0] == "Sequential and BCELoss(): 400 examples"
    for line in [
        "Z1 = X W1' + b1 (400, 4)",
        "A1 = tanh(Z1) (400, 4)",
        "Z2 = A1 W2' + b2 (400, 1)",
        "A2 = sigmoid(Z2) (400, 1)",
        "J = -mean(Y * log A2 + (1 - Y) * log(1 - A2)) () 0.6932 0.6932 0.6932 BCELoss",
        "dZ2 = (A2 - Y) / 400 (400, 1)",
        "dW2 = dZ2' A1 (1, 4)",
        "db2 = column sums of dZ2 (1,)",
        "dA1 = dZ2 W2 (400, 4)",
        "dZ1 = dA1 * (1 - A1^2) (400, 4)",
        "dW1 = dZ1' X (4, 2)",
        "db1 = column sums of dZ1 (4,)",
    ]:
        assert any(" ".join(shown.split()).startswith(line) for shown in lines), line
    assert [line for line in lines if line in {"given", "forward", "backward"}] == [
        "given",
        "forward",
        "backward",
    ]
    assert not any(line.endswith(" ") for line in lines)
    assert max(map(len, lines)) < 120
    assert lines[-1].startswith("Sigmoid() and BCELoss() are joined: J and dZ2 come from Z2 ")


def test_the_html_has_the_same_cells() -> None:
    x, y = planar_flower()
    values = trace(Objective(notes_network(), BCELoss()), x, y)
    cells = cells_of(values._repr_html_())
    assert {"Z1", "= X W1' + b1", "(400, 4)", "0 Dense", "given", "forward", "backward"} <= {
        *cells
    }
    assert len(cells) == 7 * (1 + len(values)) + 3


def test_apart_the_gradient_of_the_prediction_is_formed() -> None:
    class Own(BCELoss):  # inherits no joint form
        pass

    x, y = planar_flower()
    values = trace(Objective(notes_network(), Own()), x, y)
    formulas = {row.symbol: row.formula for row in values.rows}
    assert formulas["dA2"] == "dA2 = (A2 - Y) / (A2 * (1 - A2)) / 400"
    assert formulas["dZ2"] == "dZ2 = dA2 * A2 * (1 - A2)"
    a2, truth = values["A2"], notes_values()
    np.testing.assert_allclose(values["dA2"], (a2 - y) / (a2 * (1 - a2)) / 400)
    np.testing.assert_allclose(values["dZ2"], truth["dZ2"], rtol=1e-9)
    np.testing.assert_allclose(values["dW1"], truth["dW1"], rtol=1e-9)


def test_trace_leaves_the_objective_alone() -> None:
    rng = np.random.default_rng(0)
    model = Sequential(
        Dense(3, 4, rng=rng), BatchNorm(4), Dropout(0.5, rng=rng), Dense(4, 1), Sigmoid()
    )
    objective = Objective(model, BCELoss())
    x = np.random.default_rng(1).standard_normal((6, 3))
    y = np.array([[0.0], [1.0]] * 3)
    objective.forward(x, y)
    objective.backward()
    state, steps = model.state_dict(), objective.steps
    grads = [p.grad.copy() for p in model.parameters()]
    saved = [layer._saved for layer in model]
    drawn = copy.deepcopy(rng.bit_generator.state)
    values = trace(objective, x[:4], y[:4])
    assert rng.bit_generator.state == drawn
    assert objective.steps == steps
    assert all(np.array_equal(model.state_dict()[name], state[name]) for name in state)
    assert all(np.array_equal(p.grad, g) for p, g in zip(model.parameters(), grads, strict=True))
    assert all(layer._saved is kept for layer, kept in zip(model, saved, strict=True))
    values["dW1"][...] = 7  # a copy
    assert values["dW1"].max() < 7
    # what it shows is what the next forward and backward of the objective itself do
    cost = objective.forward(x[:4], y[:4])
    objective.backward()
    assert values["J"] == cost
    assert np.array_equal(values["dW1"], model[0].weight.grad)
    assert np.array_equal(values["db2"], model[1].bias.grad)


FUNCTIONS = {
    "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True),
    "log": np.log,
    "exp": np.exp,
    "max": np.maximum,
    "min": np.minimum,
    "mean": np.mean,
    "sum": np.sum,
    "sqrt": np.sqrt,
    "sign": np.sign,
    "abs": np.abs,
}


def worth(text: str, names: dict[str, Any]) -> Any:
    """Evaluate a formula as it is printed."""
    text, *definitions = re.split(r", (?=[a-z] = )", text)
    for definition in definitions:
        name, meaning = definition.split(" = ")
        names = {**names, name: worth(meaning, names)}
    if found := re.fullmatch(r"(.*) where (.*), else (.*)", text):
        value, condition, other = (worth(part, names) for part in found.groups())
        return np.where(condition, value, other)
    if text.startswith("column sums of "):
        return np.sum(worth(text.removeprefix("column sums of "), names), axis=0)
    if found := re.fullmatch(r"(\S+) < (\S+) < (\S+)", text):
        text = f"({found[1]} < {found[2]}) & ({found[2]} < {found[3]})"
    text = re.sub(r"(\w+|\([^()]*\)) within \+-(\S+)", r"min(max(\1, -\2), \2)", text)
    text = re.sub(r"\|(.*?)\|", r"abs(\1)", text)
    text = re.sub(r"e\^(\w+|\([^)]*\))", r"exp(\1)", text)
    text = re.sub(r"log (\w+\(\w+\)|\w+)", r"log(\1)", text)
    text = re.sub(r"sums of (\([^()]*\)|\w+)", r"sum(\1, axis=-1, keepdims=True)", text)
    text = text.replace("^", "**").replace("'", ".T")
    text = re.sub(r"(?<![\w.])(\d[\d.]*) (?=[\w(])", r"\1 * ", text)  # a number times
    text = re.sub(r"(?<=[\w]) (?=[A-Zd]\w*)", " @ ", text)  # side by side: a matrix product
    return eval(text, {"__builtins__": {}}, {**FUNCTIONS, **names})  # noqa: S307


IN_WORDS = {  # declared, but not to be computed from
    *(
        "BatchNorm",
        "LayerNorm",
        "RMSNorm",
        "GroupNorm",
        "Permute",
        "Reshape",
        "Flatten",
        "Dropout",
        "Embedding",
    ),
    *("Conv2D", "MaxPool2D", "AvgPool2D", "GlobalAvgPool2D", "Columns", "GELU", "LSTM", "GRU"),
    *("Residual", "Concat", "Join", "Standardize", "RobustScale", "Impute", "Increasing"),
    *("PiecewiseLinearEncoding", "PeriodicEncoding"),
}
LEAVES = [
    case
    for case in CASES
    if len(case.example_shape) == 1 and not case.make(np.float64).named_layers()
]


@pytest.mark.parametrize("case", LEAVES, ids=lambda case: case.name)
def test_a_printed_formula_gives_the_value_beside_it(case: Case) -> None:
    layer = case.make(np.float64)
    width = layer.output_shape(case.example_shape)
    x = case.x(5, np.float64, seed=3)
    values = trace(
        Objective(Sequential(layer, Dense(width[-1], 1, rng=0)), MSELoss())
        if len(width) == 1
        else Objective(layer, MSELoss()),
        x,
        np.zeros((5, 1) if len(width) == 1 else (5, *width)),
    )
    names: dict[str, Any] = {row.symbol: row.value for row in values.rows}
    checked = 0
    for row in values.rows:
        _, _, formula = row.formula.partition(" = ")
        assert "{" not in formula
        if type(layer).__name__ in IN_WORDS or not formula or "nearer" in formula:
            continue
        if "sums of" in formula and type(layer).__name__ == "PReLU":
            continue
        close = 1e-4 if type(layer).__name__ == "SELU" else 1e-12  # its constants in 5 digits
        np.testing.assert_allclose(row.value, worth(formula, names), close, close, err_msg=formula)
        checked += 1
    assert checked >= 4 or type(layer).__name__ in IN_WORDS


@pytest.mark.parametrize("affine", [True, False])
def test_the_formulas_of_eval_mode(affine: bool) -> None:
    rng = np.random.default_rng(0)
    norm = BatchNorm(3, affine=affine)
    model = Sequential(Dense(2, 3, rng=0), norm, Tanh(), Dropout(0.5, rng=0), Dense(3, 1, rng=1))
    x = rng.standard_normal((7, 2))
    model.forward(x)  # the running statistics move away from 0 and 1
    objective = Objective(model, MSELoss())
    training = {row.symbol: row.formula for row in trace(objective, x, x[:, :1]).rows}
    model.eval()
    values = trace(objective, x, x[:, :1])
    names: dict[str, Any] = {row.symbol: row.value for row in values.rows}
    names |= {"running_mean": norm.running_mean, "running_var": norm.running_var, "eps": 1e-5}
    checked = 0
    for row in values.rows:
        formula = row.formula.partition(" = ")[2]
        if row.layer in {"1 BatchNorm", "3 Dropout"} and formula and "sums of" not in formula:
            found = worth(formula, names)
            np.testing.assert_allclose(row.value, found, 1e-12, err_msg=row.formula)
            assert row.formula != training[row.symbol]
            checked += 1
    assert checked == 4  # y and dx of both
    before, after = ("A2", "A2b") if affine else ("A1b", "A1c")
    assert [row.formula for row in values.rows if row.layer == "3 Dropout"] == [
        f"{after} = {before}",
        f"d{before} = d{after}",
    ]
    assert training[after] == f"{after} = {before} * mask"


@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    batch=st.integers(1, 7),
    seed=st.integers(0, 1000),
    joined=st.booleans(),
)
def test_every_formula_of_a_network_of_any_size_holds(
    widths: list[int], batch: int, seed: int, joined: bool
) -> None:
    rng = np.random.default_rng(seed)
    layers: list[Layer] = []
    for inside, outside in itertools.pairwise(widths):
        layers += [Dense(inside, outside, rng=rng), Tanh()]
    layers[-1] = Sigmoid()
    model = Sequential(*layers)
    x = rng.standard_normal((batch, widths[0]))
    y = rng.integers(0, 2, (batch, widths[-1])).astype(np.float64)
    values = trace(Objective(model, BCELoss() if joined else MSELoss()), x, y)
    names: dict[str, Any] = {row.symbol: row.value for row in values.rows}
    # X and Y; of each layer y and dy, but dA of the joined one; of each Dense W, b, dW, db; J
    assert len(names) == 2 + 2 * len(layers) + 4 * len(layers) // 2 + 1 - joined
    for row in values.rows:
        _, _, formula = row.formula.partition(" = ")
        if formula:
            np.testing.assert_allclose(row.value, worth(formula, names), 1e-10, 1e-14)
    report = summary(model, (widths[0],))
    assert report.parameters == sum((a + 1) * b for a, b in itertools.pairwise(widths))


ONE_HOT_SHARES = {"CrossEntropyLoss", "NLLLoss", "CategoricalCrossEntropyLoss"}


@pytest.mark.parametrize("name", LOSS_CASES)
def test_the_formulas_of_losses(name: str) -> None:
    loss, prediction, target = LOSS_CASES[name]
    values = trace(Objective(_Start(prediction), loss), prediction * 0 + 1, target)
    names: dict[str, Any] = {row.symbol: row.value for row in values.rows}
    names["pos_weight"] = getattr(loss, "pos_weight", None)
    names["q"] = np.asarray(getattr(loss, "quantiles", ()))
    for row in values.rows:
        if row.symbol not in {"J", "dZ1"}:
            continue
        _, _, formula = row.formula.partition(" = ")
        assert type(loss).__name__ not in formula  # there is one
        if type(loss).__name__ in ONE_HOT_SHARES:
            weighted = getattr(loss, "weight", None) is not None
            if (
                weighted
                or target.ndim != prediction.ndim
                or getattr(loss, "label_smoothing", False)
            ):
                continue
            names["q"] = target
            formula = formula.partition(", q the shares")[0]
        np.testing.assert_allclose(row.value, worth(formula, names), 1e-12, err_msg=formula)


class _Start(Layer):
    """Gives a fixed prediction, as a parameter of its own."""

    def __init__(self, prediction: Array) -> None:
        self.weight = Parameter(prediction)

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * self.weight.value

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.weight.grad[...] = dy * x
        return dy * self.weight.value


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_layer_can_be_traced(case: Case) -> None:
    layer = case.make(np.float64)
    x = case.x(3)
    target = np.zeros((3, *layer.output_shape(case.example_shape)))
    objective = Objective(layer, MSELoss())
    values = trace(objective, x, target)
    cost = objective.forward(x, target)
    objective.backward()
    assert values["J"] == cost
    assert len({*values}) == len(values), "a symbol stands for two values"
    traced = [row.value for row in values.rows if row.section == "backward"]
    for parameter in layer.parameters():
        assert any(np.array_equal(parameter.grad, value) for value in traced)
    assert len(cells_of(values._repr_html_())) == 7 * (1 + len(values)) + 3


def test_nested_layers_are_numbered_through() -> None:
    model = Sequential(
        Flatten(),
        Sequential(Dense(4, 3, rng=0), Tanh(), Dropout(0.5, rng=0)),
        Residual(Sequential(Dense(3, 3, rng=0), Tanh())),
        Concat(Dense(3, 1, rng=0), Tanh()),
        Dense(4, 3, rng=0),
        Softmax(),
    )
    objective = Objective(model, CategoricalCrossEntropyLoss())
    x = np.random.default_rng(0).standard_normal((5, 2, 2))
    values = trace(objective, x, np.array([0, 1, 2, 0, 1]))
    formulas = {row.symbol: row.formula.partition(" = ")[2] for row in values.rows}
    forward = [row.symbol for row in values.rows if row.section == "forward"]
    assert forward == [
        *("A0", "Z1", "A1", "A1b"),
        *("Z2", "A2", "A2b"),
        *("Z3", "A3", "A3b"),
        *("Z4", "A4", "J"),
    ]
    assert formulas["A2b"] == "A1b + A2"
    assert formulas["A3b"] == "[Z3, A3]"
    assert formulas["dZ4"] == "(A4 - q) / 5"
    assert formulas["dA1b"] == "dA2b + dA1b(2.layer.0)"
    assert formulas["dA2b"] == "dA2b(3.0) + dA2b(3.1)"
    assert formulas["dZ3"] == "handed down by 3 Concat"
    np.testing.assert_allclose(values["A2b"], values["A1b"] + values["A2"])
    np.testing.assert_allclose(values["A3b"], np.hstack([values["Z3"], values["A3"]]))
    np.testing.assert_allclose(values["dA2b"], values["dA2b(3.0)"] + values["dA2b(3.1)"])
    layers = {row.symbol: row.layer for row in values.rows}
    assert layers["Z2"] == "2.layer.0 Dense"
    assert layers["dZ4"] == "CrossEntropyLoss"


def test_a_layer_and_a_loss_without_formulas() -> None:
    class Cubed(Tanh):  # what it inherits does not hold any more
        def forward(self, x: Array) -> Array:
            self.save(x)
            return x**3

        def backward(self, dy: Array) -> Array:
            (x,) = self.saved()
            return 3 * x**2 * dy

    class Plain(Loss):
        def forward(self, prediction: Array, target: Array) -> float:
            self.save(prediction - target)
            return float(np.mean((prediction - target) ** 2))

        def backward(self) -> Array:
            (e,) = self.saved()
            return 2 * e / e.size

    values = trace(
        Objective(Sequential(Dense(2, 2), Cubed()), Plain()), np.ones((3, 2)), np.ones((3, 2))
    )
    formulas = [row.formula for row in values.rows]
    assert "A1 = Cubed(Z1)" in formulas
    assert "J = Plain(A1, Y)" in formulas
    assert "dA1 = Plain.backward()" in formulas
    assert "dZ1 = Cubed.backward(dA1)" in formulas


def test_an_author_declares_formulas() -> None:
    class Scale(Tied):
        formulas = {"y": "{x} * {weight}", "dx": "{dy} * {weight}", "weight": "sum of {dy} * {x}"}  # noqa: RUF012
        forward = Tied.forward
        backward = Tied.backward

    values = trace(
        Objective(Sequential(Dense(2, 3), Scale()), MSELoss()), np.ones((3, 2)), np.ones((3, 3))
    )
    formulas = [row.formula for row in values.rows]
    assert "Z2 = Z1 * W2" in formulas
    assert "dZ1 = dZ2 * W2" in formulas
    assert "dW2 = sum of dZ2 * Z1" in formulas


def test_containers_of_ones_own_are_traced() -> None:
    class Doubled(Layer):
        def __init__(self) -> None:
            self.inner = Tanh()

        def forward(self, x: Array) -> Any:
            return 2 * self.inner(2 * x)

        def backward(self, dy: Array) -> Any:
            return 2 * self.inner.backward(2 * dy)

    values = trace(
        Objective(Sequential(Dense(2, 1), Doubled()), MSELoss()), np.ones((3, 2)), np.ones((3, 1))
    )
    assert [row.formula for row in values.rows if row.section != "given"] == [
        "Z1 = X W1' + b1",
        "X(1.inner) = made by 1 Doubled",
        "A1 = tanh(X(1.inner))",
        "A1b = Doubled(Z1)",
        "J = mean((A1b - Y)^2)",
        "dA1b = 2 (A1b - Y) / 3",
        "dA1 = handed down by 1 Doubled",
        "dX(1.inner) = dA1 * (1 - A1^2)",
        "dZ1 = Doubled.backward(dA1b)",
        "dW1 = dZ1' X",
        "db1 = column sums of dZ1",
    ]


def test_parameters_made_in_the_first_forward_are_traced() -> None:
    values = trace(
        Objective(Sequential(Late(), Tanh()), MSELoss()), np.ones((3, 2)), np.ones((3, 2))
    )
    assert [*values] == ["X", "Y", "scale1", "Z1", "A1", "J", "dA1", "dZ1", "dscale1"]


def test_a_loss_that_is_not_finite_ends_the_trace() -> None:
    model = Sequential(Dense(2, 1, rng=0), Tanh(), Dense(1, 1, rng=0))
    model[0].weight.value = 1e200 * np.ones((1, 2))
    model[2].weight.value = [[np.inf]]
    values = trace(Objective(model, MSELoss()), np.ones((2, 2)), np.ones((2, 1)))
    assert [*values][-3:] == ["Z1", "A1", "Z2"]
    text = str(values)
    assert "J is not finite, and so there is no backward: MSELoss(): the loss is inf." in text
    rows = {row.symbol: row for row in values.rows}
    assert rows["Z2"].max == rows["Z2"].norm == np.inf
    assert rows["Z1"].norm == pytest.approx(2e200 * np.sqrt(2), rel=1e-12)
    assert rows["b1"].norm == 0
    assert "J" not in values
    assert "Z1" in values


def test_a_layer_that_returns_what_it_got_has_its_own_symbol() -> None:
    model = Sequential(Dense(2, 3, rng=0), Tanh(), Dropout(0.5), Dropout(0.2), Dense(3, 1)).eval()
    values = trace(Objective(model, MSELoss()), np.ones((2, 2)), np.ones((2, 1)))
    formulas = {row.symbol: row.formula.partition(" = ")[2] for row in values.rows}
    assert formulas["A1c"] == "A1b"
    assert formulas["Z2"] == "A1c W2' + b2"
    assert formulas["dZ1"] == "dA1 * (1 - A1^2)"
    assert np.array_equal(values["A1c"], values["A1"])


def test_an_activation_alone() -> None:
    values = trace(Objective(Sigmoid(), BCELoss()), np.array([[0.0]]), np.array([[1.0]]))
    assert [row.formula for row in values.rows][2:] == [
        "A0 = sigmoid(X)",
        "J = -mean(Y * log A0 + (1 - Y) * log(1 - A0))",
        "dX = (A0 - Y) / 1",
    ]


def test_wrong_arguments_of_trace() -> None:
    model = notes_network()
    with pytest.raises(TypeError, match=r"got a Sequential; write Objective\(model, loss\)$"):
        trace(model, np.ones((1, 2)), np.ones((1, 1)))  # type: ignore[arg-type]
    values = trace(Objective(model[:-1], BCEWithLogitsLoss()), np.ones((1, 2)), np.ones((1, 1)))
    assert isinstance(values, Trace)
    with pytest.raises(KeyError, match="trace has no value 'dA3'; it has X, Y, W1, b1, W2"):
        values["dA3"]


class Pair(Layer):
    """p = a * b and s = a + b, with a mask that is not used."""

    output_names = ("p", "s")
    formulas: ClassVar = {"p": "{a} * {b}", "s": "{a} + {b}", "da": "{dp} * {b} + {ds}"}

    def forward(self, a: Array, b: Array, mask: Any = None) -> tuple[Array, Array]:  # noqa: ARG002
        self.save(a, b)
        return a * b, a + b

    def backward(self, dp: Array, ds: Array) -> tuple[Array, Array, None]:
        a, b = self.saved()
        return dp * b + ds, dp * a + ds, None


def test_a_graph_gives_the_values_its_names() -> None:
    shared = Dense(3, 3, rng=1)
    model = Graph(
        "a",
        "b",
        "keep",
        h=(shared, "a"),
        k=(shared, "b"),
        z=(Pair(), "h", "k", "keep"),
        told=(Sequential(Dense(3, 3, rng=2), Tanh()), "z.p"),
        both=(Add(), "told", "z.s", "h"),
        price=(Sequential(Dense(3, 1, rng=3), Sigmoid()), "both"),
        outputs=("price", "told"),
    )
    loss = SumLoss(BCELoss(), MSELoss(), weights=(1.0, 0.5))
    objective = Objective(model, loss, penalties=[L2(shared, 0.1)])
    rng = np.random.default_rng(0)
    x = rng.random((4, 3)), rng.random((4, 3)), np.ones((4, 3), bool)
    y = np.ones((4, 1)), np.ones((4, 3))
    values = trace(objective, x, y)
    formulas = {row.symbol: row.formula.partition(" = ")[2] for row in values.rows}
    wanted = {
        "h": "a W_h' + b_h",
        "k": "b W_h' + b_h",
        "z.p": "h * k",
        "told": "tanh(told.0)",
        "both": "told + z.s + h",
        "price": "sigmoid(price.0)",
        "R1": "L2 of W_h",
        "J": "J_price + 0.5 * J_told + R1",
        "dprice.0": "(price - Y_price) / 4",
        "dtold": "dtold(J) + dtold(both)",
        "dh(z)": "dz.p * k + dz.s",
        "dk": "Pair.backward(dz.p, dz.s)[1]",
        "dh": "dh(both) + dh(z)",
        "dW_h(k)": "dk' b",
        "dW_h": "dW_h(k) + dW_h(h) + dR1/dW_h",
    }
    assert {name: formulas.get(name) for name in wanted} == wanted
    assert len({*values}) == len(values), "a symbol stands for two values"
    assert values["J"] == objective.forward(x, y)
    objective.backward()
    for name, parameter in {"h": shared.weight, "told.0": model["told"][0].weight}.items():
        np.testing.assert_allclose(values[f"dW_{name}"], parameter.grad, rtol=1e-12)
    for name in ("dh", "dtold", "db_h"):
        parts = [values[part] for part in formulas[name].split(" + ")]
        np.testing.assert_allclose(values[name], sum(parts), rtol=1e-12)


def test_graphs_in_graphs_and_chains() -> None:
    inner = Graph("x", h=Dense(3, 3), y=Tanh(), z=(Add(), "x", "h", "y"), outputs=("z", "y"))
    model = Sequential(
        Dense(3, 3),
        Graph("u", e=(inner, "u"), s=(Add(), "e.z", "e.y", "u"), o=Dense(3, 1), p=Sigmoid()),
    )
    values = trace(Objective(model, BCELoss()), np.ones((4, 3)), np.ones((4, 1)))
    formulas = {row.symbol: row.formula.partition(" = ")[2] for row in values.rows}
    assert formulas["1.e.z"] == "Z1 + 1.e.h + 1.e.y"
    assert formulas["1.s"] == "1.e.z + 1.e.y + Z1"
    assert formulas["1.p"] == "sigmoid(1.o)"
    assert formulas["dZ1"] == "dZ1(1.s) + dZ1(1.e)"
    assert formulas["dW1"] == "dZ1' X"
    assert len({*values}) == len(values)


def block(width: int, heads: int) -> Graph:
    return Graph(
        "x",
        a=(LayerNorm(width), "x"),
        att=MultiHeadAttention(width, heads, causal=True),
        r=(Add(), "x", "att"),
        mlp=Sequential(LayerNorm(width), Dense(width, 8), Tanh(), Dense(8, width)),
        y=(Add(), "r", "mlp"),
    )


def small_gpt() -> Objective:
    ends = {"n": LayerNorm(4), "logits": Dense(4, 5, bias=False)}
    model = Graph("t", e=(Embedding(5, 4), "t"), b0=block(4, 2), b1=block(4, 2), **ends)
    model["logits"].weight = model["e"].weight
    return Objective(model, CrossEntropyLoss())


TEXT = np.array([[0, 1, 2], [3, 4, 0]])


def test_the_values_of_a_gpt_go_by_their_names() -> None:
    values = trace(small_gpt(), TEXT, TEXT[:, ::-1])
    formulas = {row.symbol: row.formula.partition(" = ")[2] for row in values.rows}
    assert not any("#" in symbol or ".backward(" in text for symbol, text in formulas.items())
    assert formulas["b1.att"] == (
        "out_proj(softmax(q k' / sqrt(w)) v), q k v: b1.a W_b1.att_in_proj' + b_b1.att_in_proj"
    )
    wanted = {
        "b1.att.out_proj": "X(b1.att.out_proj) W_b1.att.out_proj' + b_b1.att.out_proj",
        "b1.mlp.2": "tanh(b1.mlp.1)",
        "b1": "b1.r + b1.mlp",
        "db1.a": "dq Wq + dk Wk + dv Wv",
        "dW_b1.att_in_proj": "dq' b1.a, dk' b1.a, dv' b1.a",
        "db0": "db0(b1.r) + db0(b1.a)",
        "dW_e": "dW_e(logits) + dW_e(e)",
    }
    assert {name: formulas.get(name) for name in wanted} == wanted


def test_a_folded_layer_has_one_row() -> None:
    objective = small_gpt()
    whole = trace(objective, TEXT, TEXT)
    for depth in (1, 2):
        values = trace(objective, TEXT, TEXT, depth=depth)
        for symbol in values:  # the same numbers, and less of them
            np.testing.assert_array_equal(values[symbol], whole[symbol])
    assert "b1.att" in {*values}
    assert "b1.att.out_proj" not in {*values}
    folded = trace(objective, TEXT, TEXT, depth=1)
    rows = {row.symbol: row.formula for row in folded.rows if row.layer[:1] == "b"}
    assert rows == {
        "b0": "b0 = Graph(e)",
        "b1": "b1 = Graph(b0)",
        "db0": "db0 = Graph.backward(db1)",
        "de": "de = Graph.backward(db0)",
    }
    with pytest.raises(TypeError, match=r"^trace expects depth to be a whole number, got 1\.5$"):
        trace(objective, TEXT, TEXT, depth=1.5)  # type: ignore[arg-type]


def test_what_is_folded_has_its_part_in_a_sum() -> None:
    shared = Dense(3, 3)
    model = Graph(
        "x", h=shared, s=Sequential(Tanh(), shared), e=Sequential(Dense(3, 1), Sigmoid())
    )
    objective = Objective(model, BCELoss(), penalties=[L2(model, 0.1)])
    x = np.random.default_rng(0).standard_normal((4, 3))
    y = np.ones((4, 1))
    values = trace(objective, x, y, depth=1)
    formulas = {row.symbol: row.formula for row in values.rows}
    assert formulas["R1"] == "R1 = L2 of W_h, e.0.weight"
    assert formulas["dW_h"] == "dW_h = dW_h(s) + dW_h(h) + dR1/dW_h"
    assert formulas["dZ1"] == "dZ1 = (e - Y) / 4"
    objective.forward(x, y)
    objective.backward()
    np.testing.assert_array_equal(values["dW_h"], shared.weight.grad)
    part = values["dW_h(s)"] + values["dW_h(h)"]
    np.testing.assert_allclose(values["dW_h"] - part, 0.1 * shared.weight.value, rtol=1e-12)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", [LayerNorm, RMSNorm, BatchNorm])
def test_the_gradient_of_a_normalisation_is_written_out(kind: Any, affine: bool) -> None:
    x = np.random.default_rng(0).standard_normal((5, 3))
    values = trace(Objective(Sequential(Dense(3, 3), kind(3, affine=affine)), MSELoss()), x, x)
    (made,) = (row for row in values.rows if row.section == "forward" and "1 " in row.layer)
    (row,) = (row for row in values.rows if row.symbol == "dZ1")
    names: dict[str, Any] = {one.symbol: one.value for one in values.rows}
    over = {"axis": 0} if kind is BatchNorm else {"axis": 1, "keepdims": True}
    z1 = names["Z1"]
    names |= {"eps": 1e-5 if kind is not RMSNorm else np.finfo(np.float64).eps}
    names |= {"z": made.value, "var": z1.var(**over), "mean": lambda a: a.mean(**over)}
    formula, _, g = row.formula.partition(" = ")[2].partition(", g = ")
    names["g"] = worth(g, names) if g else None
    np.testing.assert_allclose(row.value, worth(formula, names), 1e-10, 1e-12)


def test_tied_weights_have_one_symbol_and_a_sum() -> None:
    model = Sequential(Dense(3, 3), Tanh(), Dense(3, 3))
    model[2].weight = model[0].weight
    values = trace(Objective(model, MSELoss()), np.ones((4, 3)), np.ones((4, 3)))
    formulas = {row.symbol: row.formula.partition(" = ")[2] for row in values.rows}
    assert formulas["Z2"] == "A1 W1' + b2"
    assert formulas["dW1"] == "dW1(Z2) + dW1(Z1)"


@given(data=st.data())
def test_sums_and_gradients_of_random_graphs(data: st.DataObject) -> None:
    """Every written-out sum is the sum of its rows, and every gradient is the objective's."""
    layers: list[Any] = [Dense(3, 3, rng=0)]
    lines: dict[str, Any] = {"v0": (layers[0], "a")}
    for i in range(1, data.draw(st.integers(2, 8))):
        kind = data.draw(st.sampled_from(["new", "old", "chain", "add", "graph", "residual"]))
        new = Dense(3, 3, rng=i)
        inner = Graph("x", h=new, z=(Add(), "x", "h"), y=Tanh())
        layer: Any = {
            "new": new,
            "old": data.draw(st.sampled_from(layers)),
            "chain": Sequential(new, Tanh()),
            "add": Add(),
            "graph": inner,
            "residual": Residual(Tanh()),
        }[kind]
        layers += [layer] if kind in {"new", "chain", "graph"} else []
        most = 3 if kind == "add" else 1
        known = st.lists(st.sampled_from(["a", *lines]), min_size=1, max_size=most)
        lines[f"v{i}"] = (layer, *data.draw(known))
    taken = {value for line in lines.values() for value in line[1:]}
    loose = [name for name in lines if name not in taken]
    model = Graph("a", **lines, end=(Add(), *loose, data.draw(st.sampled_from([*lines]))))
    objective = Objective(model, MSELoss(), penalties=[L2(model, 0.1)])
    x, y = np.random.default_rng(0).standard_normal((2, 4, 3))
    depth = data.draw(st.sampled_from([None, 1]))
    values = trace(objective, x, y, depth=depth)
    assert values["J"] == objective.forward(x, y)
    objective.backward()
    found = [row.value for row in values.rows if re.match(r"d[Wb]", row.symbol)]
    for name, parameter in model.named_parameters():
        if depth is None or name.count(".") == 1:
            assert any(np.array_equal(parameter.grad, value) for value in found), name
    assert len({*values}) == len(values)
    for row in values.rows:
        parts = row.formula.partition(" = ")[2].split(" + ")
        if len(parts) > 1 and all(part in values for part in parts) and row.symbol != "J":
            total = sum(values[part] for part in parts)
            np.testing.assert_allclose(row.value, total, rtol=1e-12, atol=1e-14)
