"""The pictures: what is drawn is what is so, and no text lies on another."""

import copy
import itertools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, QuadMesh
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from minifw import (
    SGD,
    Add,
    BatchNorm,
    BCELoss,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Graph,
    Layer,
    MultiHeadAttention,
    Objective,
    PReLU,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from minifw import plots as typed_plots
from minifw.datasets import blobs, planar_flower
from minifw.plots import ParameterHistory

pytestmark = pytest.mark.slow

plots: Any = typed_plots  # for what matplotlib returns is typed as many things
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def trained(steps: int = 30) -> tuple[Sequential, ParameterHistory, list[float]]:
    x, y = planar_flower()
    model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    objective = Objective(model, BCELoss())
    optimizer = SGD(model.parameters(), lr=1.2)
    history = ParameterHistory(model, every=3)
    costs = []
    for _ in range(steps):
        costs.append(objective.forward(x, y))
        objective.backward()
        history()
        optimizer.step()
    return model, history, costs


MODEL, HISTORY, COSTS = trained()
X, Y = planar_flower()
ATTENTION = MultiHeadAttention(4, 2, rng=0)
ATTENTION.forward(np.random.default_rng(0).standard_normal((2, 3, 4)))

PICTURES: dict[str, Callable[..., Figure]] = {
    "learning curves": lambda **how: plots.learning_curves(COSTS, **how),
    "decision boundary": lambda **how: plots.decision_boundary(MODEL, X, Y, resolution=20, **how),
    "network": lambda **how: plots.network(MODEL, **how),
    "histograms": lambda **how: plots.histograms(MODEL, names="0.weight", **how),
    "histograms over time": lambda **how: plots.histograms(HISTORY, names="0.weight", **how),
    "attention": lambda **how: plots.attention(ATTENTION, 1, **how),
    "confusion matrix": lambda **how: plots.confusion_matrix(Y, Y, **how),
}
PANELS = {"attention": 2, "histograms": 2, "histograms over time": 2}


def kinds(artists: Any, kind: type) -> list[Any]:
    return [artist for artist in artists if isinstance(artist, kind)]


def assert_tidy(figure: Figure) -> None:
    """Check that every text is in the picture, and none lies on another."""
    canvas: Any = FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    renderer = canvas.get_renderer()
    width, height = figure.bbox.size
    unseen = {label for axes in figure.axes for label in _unseen_ticks(axes)}
    texts: list[Text] = []
    boxes: list[tuple[float, float, float, float]] = []
    for text in kinds(figure.findobj(Text), Text):
        if not text.get_text().strip() or not text.get_visible() or text in unseen:
            continue
        x0, y0, x1, y1 = text.get_window_extent(renderer).extents
        assert x0 > -1, text
        assert y0 > -1, text
        assert x1 < width + 1, text
        assert y1 < height + 1, text
        if text.get_rotation() % 90 == 0:  # of a slanted one the box says little
            texts.append(text)
            boxes.append((x0, y0, x1, y1))
    left, low, right, high = np.array(boxes).reshape(-1, 4).T
    over_x = np.minimum.outer(right, right) - np.maximum.outer(left, left)
    over_y = np.minimum.outer(high, high) - np.maximum.outer(low, low)
    over = np.triu(np.minimum(over_x, over_y) >= 1.5, k=1)
    assert not over.any(), [(texts[i], texts[j]) for i, j in np.argwhere(over)]


def _unseen_ticks(axes: Any) -> set[Text]:
    """Return the labels of ticks beyond the limits, which matplotlib keeps but does not draw."""
    unseen = set()
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
            if not low - 1e-9 <= tick.get_loc() <= high + 1e-9 or not axes.axison:
                unseen |= {tick.label1, tick.label2}
    return unseen


# -- all ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_returned_and_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "picture.png"
    if name != "learning curves":  # one is written for all: most of the time goes there

        def savefig(_: Figure, path: Path, **__: object) -> None:
            path.write_bytes(PNG_SIGNATURE)

        monkeypatch.setattr(Figure, "savefig", savefig)
    figure = PICTURES[name](path=path)
    assert isinstance(figure, Figure)
    assert path.read_bytes().startswith(PNG_SIGNATURE)
    assert_tidy(figure)


@pytest.mark.parametrize("name", PICTURES)
def test_it_is_drawn_into_axes_that_are_there(name: str) -> None:
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.subplots(2, 2)
    given = axes[0] if name in PANELS else axes[0, 0]
    assert PICTURES[name](ax=given) is figure
    assert axes[0, 0].has_data() or axes[0, 0].texts
    assert not axes[1, 1].has_data()
    with pytest.raises(ValueError, match=r"draws into \d axes, got 4 in ax$"):
        PICTURES[name](ax=axes)
    with pytest.raises(TypeError, match="expects ax to be matplotlib axes, got "):
        PICTURES[name](ax=3)
    with pytest.raises(TypeError, match="expects ax to be matplotlib axes, got "):
        PICTURES[name](ax=[3, 4])


@pytest.mark.parametrize("name", PICTURES)
def test_without_matplotlib_the_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ImportError, match=r"plots\.\w+ needs matplotlib; install the extra minifw"
    ):
        PICTURES[name]()


def test_pyplot_is_left_alone() -> None:
    code = (
        "import sys, minifw.plots as plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.learning_curves([1.0, 0.5])\n"
        "plots.confusion_matrix([0, 1], [0, 1])\n"
        "assert 'matplotlib.figure' in sys.modules\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True)


# -- learning curves -----------------------------------------------------------------


def test_curves_are_the_numbers() -> None:
    history = {
        "epoch": [2, 4, 6],
        "loss": [0.9, 0.5, 0.3],
        "val_loss": [0.8, 0.6, 0.7],
        "accuracy": [0.5, 0.7, 0.8],
    }
    figure = plots.learning_curves(history)
    loss, accuracy = figure.axes
    assert [line.get_xydata().tolist() for line in loss.lines] == [
        [[2, 0.9], [4, 0.5], [6, 0.3]],
        [[2, 0.8], [4, 0.6], [6, 0.7]],
    ]
    (line,) = accuracy.lines
    assert line.get_ydata().tolist() == [0.5, 0.7, 0.8]
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert accuracy.get_xlabel() == "epoch"
    legend = loss.get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == ["training", "validation", "lowest: 0.6 at 4"]
    assert accuracy.get_legend() is None
    (ring,) = kinds(loss.collections, PathCollection)
    assert np.asarray(ring.get_offsets()).tolist() == [[4, 0.6]]
    assert_tidy(figure)


def test_a_history_is_taken_by_to_dict() -> None:
    class History:
        def to_dict(self) -> dict[str, Any]:
            return {"epoch": np.arange(1, 4), "loss": np.array([3.0, 2.0, np.nan])}

    (panel,) = plots.learning_curves(History(), time="round", log=True).axes
    assert panel.get_xlabel() == "round"
    assert panel.get_yscale() == "log"
    assert panel.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_a_sequence_is_a_cost() -> None:
    (panel,) = plots.learning_curves(np.array([0.7, 0.6])).axes
    assert (panel.get_xlabel(), panel.get_ylabel()) == ("iteration", "cost")
    assert panel.lines[0].get_xdata().tolist() == [0, 1]


def test_many_points_and_few() -> None:
    long = plots.learning_curves({"val_loss": np.geomspace(1, 0.1, 1000)})
    assert long.axes[0].lines[0].get_marker() == ""
    assert_tidy(long)
    assert_tidy(plots.learning_curves([1.0]))
    all_nan = {"loss": [np.nan, np.nan], "val_loss": [np.nan, np.nan]}
    assert_tidy(plots.learning_curves(all_nan))


@pytest.mark.parametrize(
    ("history", "error", "message"),
    [
        ("loss", TypeError, "expects a history, a mapping of names to values, got a str$"),
        (3, TypeError, "got an int$"),
        ({}, ValueError, "at least one curve with one value, got none$"),
        ({"loss": []}, ValueError, "at least one curve with one value, got none$"),
        ({"loss": ["a"]}, TypeError, "expects 'loss' to hold numbers"),
        ({"loss": [[1.0]]}, ValueError, r"one number a time, got \(1, 1\)$"),
        ({"loss": [1.0], "b": [1, 2]}, ValueError, r"of one length, got {'loss': 1, 'b': 2}$"),
    ],
)
def test_what_is_no_history(history: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plots.learning_curves(history)


# -- decision boundary ----------------------------------------------------------------


def linear(
    bias: float = 0.0, *, ends: Layer | None = None, dtype: type = np.float64
) -> Sequential:
    """Return a model of p = sigmoid(x1 - x2 + bias), whose boundary is a line."""
    model = Sequential(Dense(2, 1, dtype=dtype), *([ends] if ends else []))
    model[0].weight.value = [[1.0, -1.0]]
    model[0].bias.value = [bias]
    return model


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_the_shading_is_the_prediction(dtype: type) -> None:
    x, y = blobs(20, rng=0)
    plane = plots.decision_boundary(linear(0.5, ends=Sigmoid(), dtype=dtype), x, y).axes[0]
    (image,) = plane.images
    shown = np.asarray(image.get_array())
    left, right, bottom, top = image.get_extent()
    across, up = np.meshgrid(np.linspace(left, right, 301), np.linspace(bottom, top, 301))
    np.testing.assert_allclose(shown, 1 / (1 + np.exp(-(across - up + 0.5))), rtol=1e-5)
    assert image.get_clim() == (0, 1)
    assert (plane.get_xlim(), plane.get_ylim()) == ((left, right), (bottom, top))
    assert left < x[:, 0].min() < x[:, 0].max() < right
    points = kinds(plane.collections, PathCollection)
    assert [len(np.asarray(c.get_offsets())) for c in points] == [10, 10]


@pytest.mark.parametrize(
    ("model", "level"),
    [
        (linear(0.5, ends=Sigmoid()), 0.0),
        (linear(0.5), 0.0),
        (lambda p: 1 / (1 + np.exp(-(p[:, 0] - p[:, 1] + 0.5))), 0.0),
    ],
    ids=["probability", "logit", "function"],
)
def test_the_boundary_is_where_it_should_be(model: Any, level: float) -> None:
    x, y = blobs(20, rng=0)
    figure = plots.decision_boundary(model, x, y)
    line = figure.axes[0].collections[0]
    points = np.concatenate([path.vertices for path in line.get_paths()])
    np.testing.assert_allclose(points[:, 0] - points[:, 1] + 0.5, level, atol=1e-2)
    assert_tidy(figure)


def test_features_of_other_units_fill_the_picture() -> None:
    y = np.array([0, 1, 1])
    near = plots.decision_boundary(linear(), np.array([[0.0, 0.0], [2.0, 1.0], [1.0, 1.0]]), y)
    far = plots.decision_boundary(linear(), np.array([[0.0, 0.0], [2e4, 1.0], [1.0, 1.0]]), y)
    assert near.axes[0].get_aspect() == 1
    assert far.axes[0].get_aspect() == "auto"
    assert_tidy(near)
    assert_tidy(far)


def test_a_threshold_of_ones_own() -> None:
    x, y = blobs(20, rng=0)
    figure = plots.decision_boundary(linear(ends=Sigmoid()), x, y, threshold=0.9)
    points = np.concatenate([p.vertices for p in figure.axes[0].collections[0].get_paths()])
    np.testing.assert_allclose(points[:, 0] - points[:, 1], np.log(9), atol=2e-2)


@pytest.mark.parametrize("target", ["labels", "one-hot", "column"])
def test_classes_have_regions(target: str) -> None:
    centres = np.array([[0.0, 3.0], [-3.0, -2.0], [3.0, -2.0]])
    y = np.repeat([0, 1, 2], 5)
    x = centres[y] + 0.1 * np.random.default_rng(0).standard_normal((15, 2))
    model = Sequential(Dense(2, 3), Softmax())
    model[0].weight.value = centres
    model[0].bias.value = -0.5 * (centres**2).sum(axis=1)  # the nearest centre wins
    given = {"labels": y, "one-hot": np.eye(3)[y], "column": y[:, np.newaxis]}[target]
    figure = plots.decision_boundary(model, x, given)
    plane = figure.axes[0]
    image = np.asarray(plane.images[0].get_array())  # (301, 301, 3)
    left, right, bottom, top = plane.images[0].get_extent()
    across, up = np.meshgrid(np.linspace(left, right, 301), np.linspace(bottom, top, 301))
    grid = np.stack([across, up], axis=-1)[:, :, np.newaxis]  # (301, 301, 1, 2)
    nearest = ((grid - centres) ** 2).sum(axis=-1).argmin(axis=-1)
    assert len(np.unique(image.reshape(-1, 3), axis=0)) == 3
    for k in range(3):
        assert len(np.unique(image[nearest == k], axis=0)) == 1
    legend = plane.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["class 0", "class 1", "class 2"]
    if target == "labels":
        assert_tidy(figure)


def test_classes_may_have_names() -> None:
    """In the order of NumPy, which is that of the classes of scikit-learn's estimators."""
    names, codes = np.unique(np.array(["cat", "ape", "dog"])[[0, 1, 2, 1]], return_inverse=True)
    x = np.array([[0.0, 3.0], [-3.0, -2.0], [3.0, -2.0], [-3.0, -3.0]])
    for model, dtype in (linear(), str), (Dense(2, 3, rng=0), object):
        figure = plots.decision_boundary(model, x, names[codes].astype(dtype), resolution=9)
        legend = figure.axes[0].get_legend()
        assert [text.get_text() for text in legend.get_texts()] == ["ape", "cat", "dog"]
        numbers = plots.decision_boundary(model, x, codes, resolution=9)
        for drawn, wanted in zip(
            figure.axes[0].collections, numbers.axes[0].collections, strict=True
        ):
            assert np.array_equal(drawn.get_facecolor(), wanted.get_facecolor())
        assert_tidy(figure)


def test_the_model_is_left_alone() -> None:
    rng = np.random.default_rng(0)
    model = Sequential(Dense(2, 3, rng=rng), BatchNorm(3), Dropout(0.5, rng=rng), Dense(3, 1))
    y = model.forward(X)
    state, drawn = model.state_dict(), copy.deepcopy(rng.bit_generator.state)
    saved = [layer._saved for layer in model]
    plots.decision_boundary(model, X, Y, resolution=10)
    assert all(np.array_equal(model.state_dict()[name], state[name]) for name in state)
    assert rng.bit_generator.state == drawn
    assert model.training
    assert all(layer._saved is kept for layer, kept in zip(model, saved, strict=True))
    assert y.shape == (400, 1)


def test_a_model_that_is_constant_or_not_finite() -> None:
    for bias in (0.0, np.nan, np.inf):
        model = linear(bias)
        model[0].weight.value = [[0.0, 0.0]]
        plots.decision_boundary(model, X, Y, resolution=5).draw_without_rendering()
    plots.decision_boundary(linear(), X[:1], Y[:1], resolution=5).draw_without_rendering()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": np.ones((4, 3))}, ValueError, r"x of shape \(examples, 2\), got \(4, 3\)$"),
        ({"y": np.ones(3)}, ValueError, r"one class for each of 400 rows, got \(3,\)$"),
        ({"y": np.arange(400)}, ValueError, "up to 10 classes, got 400 in y$"),
        ({"y": np.array([None] * 400)}, TypeError, "y to hold numbers or names, got an object"),
        ({"model": 3}, TypeError, "a layer or a function, got an int$"),
        ({"model": Dense(2, 11)}, ValueError, "up to 10 classes, got 11$"),
        ({"model": lambda _: np.ones((2, 2, 2))}, ValueError, "one output for each point"),
        ({"resolution": 1}, ValueError, "resolution to be at least 2, got 1$"),
    ],
)
def test_what_cannot_be_drawn_as_a_boundary(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plots.decision_boundary(**{"model": MODEL, "x": X, "y": Y, **change})


# -- network ---------------------------------------------------------------------------


def test_edges_are_the_weights() -> None:
    model = Sequential(Dense(3, 2), Tanh(), Dense(2, 1, bias=False))
    model[0].weight.value = [[1.0, -2.0, 0.0], [0.5, 4.0, -4.0]]
    model[0].bias.value = [2.0, -1.0]
    model[1:][1].weight.value = [[3.0, -1.0]]
    figure = plots.network(model)
    plane = figure.axes[0]
    (lines,) = kinds(plane.collections, LineCollection)
    array = np.asarray(lines.get_array())
    assert sorted(array) == sorted([1.0, -2.0, 0.0, 0.5, 4.0, -4.0, 3.0, -1.0])
    assert lines.get_clim() == (-4, 4)
    order = np.argsort(np.abs(array), kind="stable")
    assert np.all(np.diff(np.asarray(lines.get_linewidths())[order]) >= 0)
    segments = {
        tuple(np.round(s, 6).ravel()): v for s, v in zip(lines.get_segments(), array, strict=True)
    }
    # from the second input (in the middle, 0) to the second unit (below, -0.5)
    assert segments[0.0, 0.0, 1.0, -0.5] == 4.0
    assert segments[0.0, 1.0, 1.0, 0.5] == 1.0
    assert segments[1.0, -0.5, 2.0, 0.0] == -1.0
    units = kinds(plane.collections, PathCollection)
    biases = [np.asarray(u.get_array()).tolist() for u in units if u.get_array() is not None]
    assert biases == [[2.0, -1.0]]
    texts = [text.get_text() for text in plane.texts]
    assert texts == ["$x_{1}$", "$x_{2}$", "$x_{3}$", "3 inputs", "2 units", "Tanh", "1 unit"]
    assert_tidy(figure)


def test_negative_is_blue_and_positive_red() -> None:
    model = Sequential(Dense(1, 2, bias=False))
    model[0].weight.value = [[-1.0], [1.0]]
    figure = plots.network(model)
    figure.draw_without_rendering()
    (lines,) = kinds(figure.axes[0].collections, LineCollection)
    colors = dict(zip(np.asarray(lines.get_array()), lines.get_colors(), strict=True))
    assert np.allclose(colors[-1.0][:3], colormaps["RdBu_r"](0.0)[:3])
    assert np.allclose(colors[1.0][:3], colormaps["RdBu_r"](1.0)[:3])
    assert colors[-1.0][2] > colors[-1.0][0]
    assert colors[1.0][0] > colors[1.0][2]


def test_of_many_units_the_first_and_the_last() -> None:
    model = Sequential(Flatten(), Dense(64, 40, rng=0), PReLU(40), Dropout(), Dense(40, 3, rng=1))
    figure = plots.network(model, most=5)
    plane = figure.axes[0]
    (lines,) = kinds(plane.collections, LineCollection)
    assert len(lines.get_segments()) == 5 * 5 + 5 * 3
    rows = [0, 1, 2, 38, 39]
    columns = [0, 1, 2, 62, 63]
    shown = {round(v, 12) for v in np.asarray(lines.get_array())}
    expected = {*model[1].weight.value[np.ix_(rows, columns)].ravel()}
    expected |= {*model[4].weight.value[:, rows].ravel()}
    assert shown == {round(v, 12) for v in expected}
    texts = [text.get_text() for text in plane.texts]
    assert texts[:5] == ["$x_{1}$", "$x_{2}$", "$x_{3}$", "$x_{63}$", "$x_{64}$"]
    heights = [text.get_position()[1] for text in plane.texts[:5]]
    assert np.diff(heights).tolist() == [-1, -1, -2, -1]  # the gap is where units are left out
    assert texts[5:] == [
        *("64 inputs", "Flatten"),
        *("40 units", "PReLU", "Dropout"),
        "3 units",
    ]
    assert_tidy(figure)
    assert_tidy(plots.network(model, most=40))


def test_nested_chains_and_a_layer_alone() -> None:
    deep = Sequential(
        Sequential(Dense(2, 3, rng=0), Sequential(ReLU())), BatchNorm(3), Dense(3, 2)
    )
    (lines,) = kinds(plots.network(deep).axes[0].collections, LineCollection)
    assert len(lines.get_segments()) == 12
    alone = Dense(2, 1)
    alone.weight.value = [[np.nan, 0.0]]
    assert_tidy(plots.network(alone))


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (
            Sequential(Dense(2, 2), Residual(Tanh())),
            ValueError,
            r"got layer 1, Residual\(Tanh\(\)\)$",
        ),
        (Sequential(Conv2D(1, 2, 3), Flatten()), ValueError, r"got layer 0, Conv2D\(1, 2, 3\)$"),
        (
            Sequential(Sequential(Tanh(), Conv2D(2, 2, 1))),
            ValueError,
            r"got layer 0\.1, Conv",
        ),
        (Tanh(), ValueError, r"at least one Dense layer, got Tanh\(\)$"),
        ([Dense(2, 2)], TypeError, "expects model to be a layer, got a list$"),
    ],
)
def test_what_is_no_network(model: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        plots.network(model)


# -- histograms ------------------------------------------------------------------------


def test_a_graph_stands_in_levels() -> None:
    """Below what it takes; what skips a level goes around all boxes between."""
    model = Graph(
        "a",
        "b",
        h=(Dense(3, 4), "a"),
        k=(Dense(2, 4), "b"),
        s=(Add(), "h", "k"),
        r=Tanh(),
        t=(Add(), "r", "s", "h"),
        y=(Dense(4, 1), "t"),
        z=(Dense(4, 2), "t"),
        outputs=("y", "z"),
    )
    figure = plots.network(model)
    assert_tidy(figure)
    (plane,) = figure.axes
    places = {text.get_text(): text.get_position() for text in plane.texts}
    levels = [["a", "b"], ["h", "k"], ["s"], ["r"], ["t"], ["y", "z"]]
    heights = [{round(places[name][1], 6) for name in level} for level in levels]
    assert [len(height) for height in heights] == [1] * 6
    assert sorted(heights, key=min, reverse=True) == heights
    kinds_drawn = [type(patch).__name__ for patch in plane.patches]
    assert kinds_drawn == ["FancyArrowPatch"] * 10 + ["FancyBboxPatch"] * 9


@settings(max_examples=10)
@given(data=st.data())
def test_no_way_goes_through_a_box(data: st.DataObject) -> None:
    lines: dict[str, Any] = {}
    for i in range(data.draw(st.integers(1, 9))):
        known = st.sampled_from(["a", *lines])
        lines[f"v{i}"] = (Add(), *data.draw(st.lists(known, min_size=1, max_size=3, unique=True)))
    taken = {value for line in lines.values() for value in line[1:]}
    outputs = tuple(name for name in lines if name not in taken)
    model = Graph("a", outputs=outputs, **lines) if "a" in taken else Graph("a", v=Tanh())
    (plane,) = plots.network(model).axes
    ways = [p for p in plane.patches if type(p).__name__ == "FancyArrowPatch"]
    boxes = [p.get_bbox() for p in plane.patches if type(p).__name__ == "FancyBboxPatch"]
    for one, other in itertools.combinations(boxes, 2):
        assert not one.padded(0.06).overlaps(other.padded(0.06))
    for way in ways:
        points = way._path_original.interpolated(20).vertices  # of the hull, which holds the curve
        assert not any(box.contains(x, y) for box in boxes for x, y in points)


def test_histograms_of_now_count_every_value() -> None:
    model = Sequential(Dense(20, 30, rng=0), Tanh(), Dense(30, 1, rng=1))
    model[0].weight.grad[...] = np.random.default_rng(0).standard_normal((30, 20))
    model[2].weight.value[0, 0] = np.nan
    figure = plots.histograms(model)
    counts = []
    for panel in figure.axes:
        (steps,) = kinds(panel.patches, StepPatch)
        counts.append(int(np.sum(steps.get_data().values)))
    assert counts == [600, 600, 30, 30, 29, 30, 1, 1]
    edges = figure.axes[0].patches[0].get_data().edges
    weight = model[0].weight.value
    assert (edges[0], edges[-1]) == pytest.approx((weight.min(), weight.max()))
    labels = [panel.get_ylabel() for panel in figure.axes[::2]]
    assert labels == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert_tidy(figure)


def test_of_a_large_parameter_the_quantiles_are_kept() -> None:
    layer = Dense(50, 40, rng=0)
    layer.weight.grad[...] = np.random.default_rng(1).standard_normal((40, 50))
    history = ParameterHistory(layer, bins=10)
    history()
    value, grad = history._records["weight"][0]
    np.testing.assert_allclose(value.marks, np.percentile(layer.weight.value, range(0, 101, 10)))
    np.testing.assert_allclose(grad.marks, np.percentile(layer.weight.grad, range(0, 101, 10)))
    assert value.marks.size == 11
    bias, _ = history._records["bias"][0]
    assert bias.marks.size == 11


def test_of_a_small_one_each_value_is_a_line() -> None:
    figure = plots.histograms(HISTORY)
    left, right = figure.axes[:2]
    assert len([line for line in left.lines if len(np.asarray(line.get_xdata())) > 2]) == 8
    kept = [record.marks for record, _ in HISTORY._records["0.weight"]]
    np.testing.assert_array_equal(np.asarray(left.lines[3].get_ydata()), [m[3] for m in kept])
    assert np.asarray(left.lines[0].get_xdata()).tolist() == list(range(0, 30, 3))
    assert right.get_yscale() == "symlog"
    assert_tidy(figure)


def test_a_column_of_the_picture_is_the_histogram_of_its_time() -> None:
    rng = np.random.default_rng(0)
    layer = Dense(200, 100, rng=0)
    history = ParameterHistory(layer, every=2)
    for time in range(6):
        layer.weight.value = rng.standard_normal((100, 200)) * (1 + time)
        layer.weight.grad[...] = rng.standard_normal((100, 200))
        history()
    assert history.times == [0, 2, 4]
    figure = plots.histograms(history)
    (mesh,) = kinds(figure.axes[0].collections, QuadMesh)
    shares = np.ma.filled(mesh.get_array(), 0).reshape(-1, 3) ** 2  # (cells, times)
    edges = mesh.get_coordinates()[:, 0, 1]
    middles = (edges[1:] + edges[:-1]) / 2
    for column, time in enumerate(history.times):
        density = np.exp(-0.5 * (middles / (1 + time)) ** 2)  # of the normal distribution
        assert np.corrcoef(shares[:, column], density)[0, 1] > 0.99
    assert_tidy(figure)


def test_the_history_is_of_one_size_and_does_not_follow_the_values() -> None:
    layer = Dense(30, 30, rng=0)
    history = ParameterHistory(layer, bins=8)
    history()
    before = history._records["weight"][0][0].marks.copy()
    layer.weight.value[...] = 7
    np.testing.assert_array_equal(history._records["weight"][0][0].marks, before)
    history()
    assert len(history) == 2
    assert repr(history) == "ParameterHistory(2 times, 2 parameters)"
    assert {r.marks.size for pair in history._records["weight"] for r in pair} == {9}


def test_values_that_do_not_move_or_are_not_finite() -> None:
    layer = Dense(30, 30, bias=False, init=lambda shape, _: np.zeros(shape))
    history = ParameterHistory(layer)
    history()
    history()
    assert_tidy(plots.histograms(history))
    assert_tidy(plots.histograms(layer))
    layer.weight.value[...] = np.nan
    history()
    plots.histograms(history).draw_without_rendering()
    plots.histograms(layer).draw_without_rendering()


def test_of_many_parameters_the_weights() -> None:
    model = Sequential(*[Dense(2, 2, rng=k) for k in range(4)])
    labels = [axes.get_ylabel() for axes in plots.histograms(model).axes[::2]]
    assert labels == ["0.weight", "1.weight", "2.weight", "3.weight"]
    labels = [axes.get_ylabel() for axes in plots.histograms(model, names=["1.bias"]).axes[::2]]
    assert labels == ["1.bias"]


@pytest.mark.parametrize(
    ("source", "names", "error", "message"),
    [
        (ParameterHistory(MODEL), None, ValueError, "nothing was recorded; call the history"),
        (3, None, TypeError, "a layer or a ParameterHistory, got an int$"),
        (Tanh(), None, ValueError, "a model with parameters, got none$"),
        (
            MODEL,
            ["9.weight"],
            ValueError,
            r"no parameter is called '9.weight'; there are 0.weight",
        ),
        (HISTORY, [], ValueError, "at least one name, got none$"),
    ],
)
def test_what_has_no_histograms(
    source: Any, names: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plots.histograms(source, names=names)


def test_what_has_no_parameter_history() -> None:
    with pytest.raises(TypeError, match=r"expects model to be a layer, got a list$"):
        ParameterHistory([MODEL])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"every to be at least 1, got 0$"):
        ParameterHistory(MODEL, every=0)


# -- confusion -------------------------------------------------------------------------


def test_cells_are_counts() -> None:
    true = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    guess = np.array([0, 1, 0, 1, 1, 2, 0, 2, 2])
    figure = plots.confusion_matrix(true, guess, ["cat", "dog", "a long name"])
    plane = figure.axes[0]
    shown = [[text.get_text() for text in plane.texts[3 * k : 3 * k + 3]] for k in range(3)]
    assert shown == [["2", "1", "0"], ["0", "2", "0"], ["1", "0", "3"]]
    shares = np.asarray(plane.images[0].get_array())
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares[2, 2] == 0.75
    assert plane.get_title() == "7 of 9 right: 77.8%"
    assert [text.get_text() for text in plane.get_yticklabels()] == ["cat", "dog", "a long name"]
    assert_tidy(figure)


@pytest.mark.parametrize(
    ("target", "predicted"),
    [
        ([[0.0], [1.0], [1.0]], [[False], [True], [False]]),
        (np.eye(2)[[0, 1, 1]], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]),
        ([0, 1, 1], np.array([0, 1, 0], np.uint8)),
    ],
)
def test_classes_in_every_form(target: Any, predicted: Any) -> None:
    texts = [text.get_text() for text in plots.confusion_matrix(target, predicted).axes[0].texts]
    assert texts == ["1", "0", "1", "1"]


def test_many_classes_and_large_numbers() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 20, 200_000)
    names = [f"class of number {k}" for k in range(20)]
    assert_tidy(plots.confusion_matrix(labels, rng.integers(0, 20, 200_000), names))
    assert not plots.confusion_matrix(np.arange(21), np.arange(21)).axes[0].texts
    half = np.arange(1_000_000) % 2
    assert_tidy(plots.confusion_matrix(half, half))


@pytest.mark.parametrize(
    ("target", "predicted", "labels", "message"),
    [
        ([0, 1], [0], None, "as many predictions as targets, got 1 and 2$"),
        (
            [0, 1],
            [0.2, 0.8],
            None,
            r"whole numbers from 0; of probabilities, pass predicted > 0\.5$",
        ),
        ([0, -1], [0, 1], None, r"expects target to hold classes, whole numbers from 0$"),
        ([0, 3], [0, 1], ["a", "b"], "a label for each of 4 classes, got 2$"),
        (
            [],
            [],
            None,
            r"expects target of shape \(examples,\) or \(examples, classes\), got \(0,\)$",
        ),
        (["a"], ["a"], None, "expects target to hold classes"),
    ],
)
def test_what_is_no_confusion(target: Any, predicted: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plots.confusion_matrix(target, predicted, labels)


# -- attention -------------------------------------------------------------------------


class Given:
    """Attends as it is told, and is no layer of minifw."""

    def __init__(self, weights: Any) -> None:
        self.attention_weights = lambda: weights


def test_each_head_has_a_panel() -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(7), (2, 5, 4))  # (batch, heads, time, steps)
    words = ["I", "do", "not", "know", "this", "$x", "$"]
    figure = plots.attention(Given(p), 1, heads=[4, 0], tokens=("a b\n", words))
    left, right, bar = figure.axes
    for panel, head in ((left, 4), (right, 0)):
        np.testing.assert_array_equal(np.asarray(panel.images[0].get_array()), p[1, head])
        assert panel.images[0].norm(0.25) == 0.5
        assert panel.get_title() == f"head {head}"
        assert [text.get_text() for text in panel.get_xticklabels()] == words
        assert [text.get_text() for text in panel.get_yticklabels()] == ["a", "␣", "b", "↵"]
    assert (left.get_ylabel(), right.get_ylabel(), bar.get_ylabel()) == ("asks", "", "weight")
    assert_tidy(figure)


@pytest.mark.parametrize(("heads", "places"), [(1, 1), (3, 5), (4, 64), (5, 30), (8, 12)])
def test_many_heads_and_places(heads: int, places: int) -> None:
    p = np.full((1, heads, places, places), 1 / places)
    assert_tidy(plots.attention(Given(p)))
    figure = plots.attention(Given(p), tokens="x" * places)
    assert len(figure.axes) == heads + 1
    assert_tidy(figure)


@pytest.mark.parametrize(
    ("layer", "how", "error", "message"),
    [
        (MultiHeadAttention(4, 1), {}, RuntimeError, r"needs a forward of MultiHeadAttention\(4"),
        (Dense(2, 2), {}, TypeError, r"to have a method attention_weights, got a Dense$"),
        (Sequential(ATTENTION), {}, TypeError, r"got a Sequential; in it there is 0$"),
        (MultiHeadAttention, {}, TypeError, r"got the class MultiHeadAttention$"),
        (
            Given(np.ones((2, 2))),
            {},
            ValueError,
            r"to be \(batch, heads, time, steps\), got a flo",
        ),
        (ATTENTION, {"example": 2}, ValueError, r"expects example to be at most 1, got 2$"),
        (ATTENTION, {"example": 0.5}, TypeError, r"example to be a whole number, got 0.5$"),
        (ATTENTION, {"heads": [0, 2]}, ValueError, r"expects heads to be at most 1, got 2$"),
        (ATTENTION, {"heads": []}, ValueError, r"at least one head, got none$"),
        (ATTENTION, {"tokens": "ab"}, ValueError, r"of 3 places .* 3 that .* got 2 and 2$"),
        (ATTENTION, {"tokens": 3}, TypeError, r"tokens to be a text or words, got an int$"),
        (Given(np.ones((1, 1, 2, 3))), {"tokens": "ab"}, ValueError, r"; pass a tuple of two$"),
    ],
)
def test_what_is_no_attention(
    layer: Any, how: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        plots.attention(layer, **how)
