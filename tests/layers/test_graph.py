"""`Graph`: what it refuses and how it says so, and what it must not pass over in silence."""

import re
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    Add,
    Dense,
    Graph,
    Join,
    Layer,
    LayerNorm,
    MSELoss,
    Objective,
    Parameter,
    Sequential,
    Tanh,
    load,
    save,
)
from minifw.typing import Array

X = np.ones((2, 3))


class Product(Layer):
    """y = a b, with the gradients that a test wants."""

    def __init__(self, gradients: Any = None) -> None:
        self.gradients = gradients

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        return a * b

    def backward(self, dy: Array) -> Any:
        a, b = self.saved()
        return (dy * b, dy * a) if self.gradients is None else self.gradients(dy)


class Both(Layer):
    """Two outputs: x and its square."""

    output_names = ("y", "square")

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.save(x)
        return x.copy(), x * x

    def backward(self, dy: Array, dsquare: Array) -> Array:
        (x,) = self.saved()
        return dy + 2 * x * dsquare


def dense(a: int = 3, b: int = 3, **options: Any) -> Dense:
    return Dense(a, b, rng=0, **options)


REFUSED: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "no input": ((), {"h": dense()}, "expects the name of at least one input, got none"),
    "a layer as an input": ((dense(),), {}, "expects names of inputs, got a Dense; give the"),
    "no line": (("x",), {}, "expects at least one line, such as h=Dense(2, 3), got none"),
    "an input twice": (("x", "x"), {"h": dense()}, "expects every name once, got 'x' twice"),
    "a name of both": (("x",), {"x": dense()}, "expects every name once, got 'x' twice"),
    "a name with a point": (("x",), {"a.b": dense()}, "to be identifiers, got 'a.b'"),
    "a name with a sign": (("x",), {"a=b": dense()}, "to be identifiers, got 'a=b'"),
    "an empty name": (("",), {"h": dense()}, "to be identifiers, got ''"),
    "a class": (("x",), {"h": Dense}, "line h expects a layer, got the class Dense; write"),
    "unknown": (("x",), {"h": (dense(), "z")}, "line h takes 'z', which is not above it; there"),
    "first of two": (("a", "b"), {"h": dense()}, "line h is the first, and the inputs are (a, b)"),
    "an input in vain": (("a", "b"), {"h": (dense(), "a")}, "no line takes the input b"),
    "a line in vain": (("a",), {"h": dense(), "k": (dense(), "a")}, "takes what line h makes"),
    "no such output": (("a",), {"h": dense(), "outputs": "y"}, "'y', which no line makes"),
    "an input as output": (("a",), {"h": dense(), "outputs": ("h", "a")}, "'a', which no line"),
    "too many": (("a",), {"h": (dense(), "a", "a")}, "takes (x), got (a, a)"),
    "too few": (("a",), {"h": (Product(), "a")}, "takes (a, b), got (a)"),
    "no such input": (("a",), {"h": (dense(), "z=a")}, "has no input 'z'; it has (x)"),
    "several": (("a",), {"h": Both(), "y": Tanh()}, "h, which is several values; take one of (h."),
    "shapes of a sum": (
        ("a", "b"),
        {"h": (dense(2, 3), "a"), "k": (dense(2, 4), "b"), "s": (Add(), "h", "k")},
        "line s, Add(), cannot take what line h, Dense(2, 3, rng=0), gives (3,) and line k",
    ),
    "shapes of a join": (
        ("a", "b"),
        {"h": (dense(2, 3), "a"), "k": (dense(2, 4), "b"), "s": (Join(), "h", "k"), "y": dense(8)},
        "expects examples of shape (8,), but line s, Join(), gives (7,)",
    ),
    "dtypes": (
        ("a",),
        {"h": dense(), "k": dense(dtype=np.float32)},
        "line h, Dense(3, 3, rng=0), computes in float64, but line k",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_graph_that_cannot_be_says_why(case: str) -> None:
    inputs, lines, sentence = REFUSED[case]
    with pytest.raises((TypeError, ValueError), match=re.escape(sentence)):
        Graph(*inputs, **lines)


def test_any_identifier_names_a_line() -> None:
    names = ("self", "inputs", "lines", "forward", "layers", "training")
    lines: dict[str, Any] = {name: dense() for name in names}
    model = Graph("x", **lines)
    assert [name for name, _ in model.named_layers()] == list(names)


def test_a_line_that_is_replaced_is_shown_and_saved(tmp_path: Any) -> None:
    model = Graph("x", h=dense(3, 4), y=dense(4, 1))
    model["h"] = Dense(3, 4, rng=5)
    assert repr(model) == "Graph('x', h=Dense(3, 4, rng=5), y=Dense(4, 1, rng=0))"
    save(model, tmp_path / "model.npz")
    again = load(tmp_path / "model.npz")
    assert isinstance(again, Graph)
    np.testing.assert_array_equal(again(X), model(X))


def test_a_replacement_that_does_not_fit_changes_nothing() -> None:
    model = Graph("x", h=dense(3, 4), y=dense(4, 1))
    wrong = Graph("x", a=(dense(9, 1), "x"), b=(dense(9, 1), "x"), outputs=("a", "b"))
    with pytest.raises(ValueError, match="expects examples of shape"):
        model["y"] = wrong
    assert model.output_names == ("y",)
    assert model(X).shape == (2, 1)


def test_a_layer_that_is_replaced_ends_the_forward() -> None:
    shared, other = dense(), Dense(3, 3, rng=1)
    model = Graph("x", a=shared, b=other, y=dense(3, 1))
    model.forward(X)
    model["b"] = shared  # it ran in that forward, but at another line
    with pytest.raises(RuntimeError, match="a layer was replaced since; call forward first"):
        model.backward(np.ones((2, 1)))
    model.forward(X)
    model.backward(np.ones((2, 1)))


@pytest.mark.parametrize(
    ("returned", "got"),
    [
        (lambda dy: (dy, dy[:1]), "must return dx for k as a float64 array of shape (2, 3)"),
        (lambda dy: (dy, dy.astype(np.float32)), "it returned a float32 array"),
        (lambda dy: (dy, None), "must return dx for k"),  # k rests on what is trained
        (lambda dy: [dy, dy], "must return a tuple of 2 arrays, one for each argument"),
        (lambda dy: dy, "must return a tuple of 2 arrays, one for each argument"),
    ],
)
def test_a_wrong_gradient_of_an_authors_layer_is_refused(returned: Any, got: str) -> None:
    lines: dict[str, Any] = {
        "h": (dense(), "a"),
        "k": (dense(), "b"),
        "y": (Product(returned), "h", "k"),
    }
    model = Graph("a", "b", **lines)
    model.forward(X, X)
    with pytest.raises((TypeError, ValueError), match=re.escape(got)):
        model.backward(X)


def test_no_derivative_is_none_for_what_rests_on_nothing_trained() -> None:
    model = Graph("a", "b", h=(dense(), "a"), y=(Product(lambda dy: (dy, None)), "h", "b"))
    model.forward(X, X)
    assert model.backward(X)[1] is None


def test_graphs_nest_deep() -> None:
    model: Layer = Dense(3, 3, rng=0)
    for _ in range(40):  # each level asked the one inside twice: 2^40
        model = Graph("x", inner=model)
    np.testing.assert_array_equal(model(X), Dense(3, 3, rng=0)(X))


# -- sharing that nobody adds up -----------------------------------------------------


class Backwards(Sequential):
    """A Sequential with a backward of its own, which overwrites what its layers share."""

    def backward(self, *dys: Array) -> Array:
        (dy,) = dys
        for layer in reversed(self.layers):
            dy = layer.backward(dy)  # type: ignore[assignment]
        return dy

    def backward_parameters(self, *dys: Array) -> None:
        self.backward(*dys)


class TwoTimes(Sequential):
    """A Sequential whose forward runs its layers twice."""

    def forward(self, x: Array) -> Any:
        for layer in (*self.layers, *self.layers):
            x = layer(x)
        return x


class Signed(Backwards):
    """One whose author says that it adds them."""

    adds_shared = True


def run(model: Layer) -> None:
    objective = Objective(model, MSELoss())
    objective.forward(X, np.zeros((2, 3)))
    objective.backward()


def test_a_subclass_with_a_backward_of_its_own_does_not_inherit_that_it_adds() -> None:
    for kind, raises in ((Backwards, True), (Signed, False), (Sequential, False)):
        model = kind(dense(), dense())
        run(model)  # nothing is shared yet
        model[1].weight = model[0].weight
        if raises:
            with pytest.raises(ValueError, match=r"0\.weight and 1\.weight are the same"):
                run(model)
        else:
            run(model)


def test_a_subclass_whose_forward_runs_a_layer_twice_is_found_out() -> None:
    with pytest.raises(RuntimeError, match="ran two forwards before one backward"):
        run(TwoTimes(dense()))


def test_one_parameter_in_two_places_of_one_layer_is_refused() -> None:
    model = Sequential(dense(), LayerNorm(3))
    model[1].bias = model[1].weight  # its backward writes both gradients into one array
    with pytest.raises(ValueError, match="weight and bias are the same"):
        run(model)


def test_a_parameter_that_a_layer_also_lists_is_no_second_one() -> None:
    class Listed(Layer):
        def __init__(self) -> None:
            self.scale = Parameter(np.ones(3))
            self.all = [self.scale]

        def forward(self, x: Array) -> Array:
            self.save(x)
            return x * self.scale.value

        def backward(self, dy: Array) -> Array:
            (x,) = self.saved()
            self.scale.grad[...] = (dy * x).sum(axis=0)
            return dy * self.scale.value

    run(Listed())


def test_what_was_frozen_and_recorded_can_be_unfrozen_for_a_new_optimizer() -> None:
    model = Sequential(dense(3, 4), Tanh(), dense(4, 1))
    objective, y = Objective(model, MSELoss()), np.zeros((2, 1))
    biases = []
    for frozen in (True, False):
        model[0].freeze(frozen)
        optimizer = SGD(model.parameters(), lr=0.1)  # warned of arrays that a recording held
        for _ in range(5):
            objective.forward(X, y)
            objective.backward()
            optimizer.step()
        biases.append(model[0].bias.value.copy())
    assert [bias.any() for bias in biases] == [False, True]
