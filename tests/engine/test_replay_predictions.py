"""`predict` from recordings: the numbers of the text, whatever happened to the model meanwhile."""

import copy
import gc
import warnings
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest

from minifw import (
    SGD,
    Adam,
    BatchNorm,
    Dense,
    Dropout,
    Layer,
    LeakyReLU,
    MSELoss,
    Objective,
    Sequential,
    StaleArrayWarning,
    Tanh,
)
from minifw._engine.prediction import _TWINS
from minifw.typing import Array

CALLS = 5  # until a recording is used
X = np.random.default_rng(0).normal(size=(4, 3))


def network() -> Any:
    body = Sequential(Dense(3, 5, rng=0), BatchNorm(5), LeakyReLU(0.1), Dropout(0.5, rng=1))
    return Sequential(body, Dense(5, 2, rng=2), Tanh())


def recorded(model: Layer) -> bool:
    """Return whether the latest prediction came out of a recording."""
    step = _TWINS[id(model)]._step
    return step is not None and step._now is not None


def served(model: Layer) -> Any:
    for _ in range(CALLS):
        model.predict(X)
    assert recorded(model)
    return model


def same_as_the_text(model: Layer) -> None:
    wanted = copy.deepcopy(model).predict(X)  # its first one
    for _ in range(CALLS):
        y = model.predict(X)
        assert np.array_equal(y, wanted)
        assert y.strides == wanted.strides


def test_a_prediction_is_the_callers() -> None:
    model = served(network())
    first = model.predict(X)
    kept = first.copy()
    assert not np.array_equal(model.predict(2 * X), first)
    assert np.array_equal(first, kept)
    first[...] = 0
    assert np.array_equal(model.predict(X), kept)


def trained(model: Any) -> None:
    objective, y = Objective(model, MSELoss()), np.ones((4, 2))
    optimizer = Adam(model.parameters(), lr=0.1)
    for _ in range(6):
        objective.forward(X, y)
        objective.backward()
        optimizer.step()


def patched(model: Any) -> None:
    forward = model[2].forward
    model[2].forward = lambda x: 2 * forward(x)


def replaced(model: Any) -> None:
    model[1] = Dense(5, 2, rng=9)


def weighed(model: Any) -> None:
    model[1].weight.value[0] = 3.0


def sloped(model: Any) -> None:
    model[0][2].negative_slope = 0.5


def counted(model: Any) -> None:
    model[0][1].running_mean = np.full(5, 0.5)


def moded(model: Any) -> None:
    model[0].eval()


@pytest.mark.parametrize(
    "change",
    [trained, patched, replaced, weighed, sloped, counted, moded],
    ids=lambda f: f.__name__,
)
def test_what_happens_between_two_predictions_is_followed(change: Callable[[Any], None]) -> None:
    model = served(network())
    before, modes = model.predict(X), [layer.training for _, layer in model._all_layers()]
    change(model)
    same_as_the_text(model)
    assert np.array_equal(model.predict(X), before) is (change is moded)
    assert change is moded or modes == [layer.training for _, layer in model._all_layers()]


def test_a_method_put_into_a_class_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    model, forward = served(network()), Tanh.forward
    before = model.predict(X)
    monkeypatch.setattr(Tanh, "forward", lambda self, x: 2 * forward(self, x))
    for _ in range(CALLS):
        assert np.array_equal(model.predict(X), 2 * before)


class Listed(Layer):
    """Layers in a list, which changes unnoticed."""

    replayable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.inside: list[Any] = [Dense(3, 3, rng=0)]

    def forward(self, x: Array) -> Array:
        for layer in self.inside:
            x = layer.forward(x)
        return x

    def backward(self, dy: Array) -> Array:
        return dy.copy()


def test_what_can_change_unnoticed_is_not_recorded() -> None:
    model = Listed()
    for _ in range(CALLS):
        before = model.predict(X)
    assert not recorded(model)
    model.inside.append(LeakyReLU(0.1))
    assert not np.array_equal(model.predict(X), before)


class Seen(Layer):
    """y = x times its place in the stream: a buffer counts batches, in eval mode as well."""

    replayable: ClassVar[bool] = True
    buffers: ClassVar[tuple[str, ...]] = ("count",)

    def __init__(self) -> None:
        self.count = np.zeros(3)

    def forward(self, x: Array) -> Array:
        self.count += 1
        y: Array = x * self.count
        return y

    def backward(self, dy: Array) -> Array:
        return dy.copy()


def test_what_a_layer_writes_into_is_the_models() -> None:
    model = Sequential(Dense(3, 3, rng=0), Seen())
    for place in range(1, 2 * CALLS):
        assert np.allclose(model.predict(X), place * model[0](X), rtol=1e-12)
    assert recorded(model)
    assert model[1].count.tolist() == 3 * [place]


def test_parameters_are_never_changed_for_a_trial() -> None:
    """Another thread may copy or save the model at any time."""
    model = network()
    for parameter in model.parameters():
        for array in (parameter.value, parameter.grad):
            array.flags.writeable = False
    served(model)


def test_a_model_is_not_kept_alive() -> None:
    model = served(network())
    gone, key = weakref.ref(model), id(model)
    del model
    assert gone() is None
    assert key not in _TWINS


def test_an_error_names_the_layer() -> None:
    model = served(Sequential(Dense(3, 3, rng=0), Seen()))
    model[1].count[...] = 1e308
    with np.errstate(all="raise"), pytest.raises(FloatingPointError) as raised:
        model.predict(1e3 * X)
    assert any("in layer 1, Seen()" in note for note in raised.value.__notes__)


class Elementwise(Layer):
    """What is done to each number, given as a class attribute."""

    replayable: ClassVar[bool] = True

    def backward(self, dy: Array) -> Array:
        return dy.copy()


class Exp(Elementwise):
    def forward(self, x: Array) -> Array:
        y: Array = x + 0 * np.exp(x)
        return y

    replayable: ClassVar[bool] = True


def test_a_handler_may_predict_in_the_middle_of_a_prediction() -> None:
    model, x = served(Sequential(Exp(), Dense(3, 2, rng=0))), X.copy()
    x[0, 0] = 800.0
    inside = []
    with np.errstate(all="ignore"):
        wanted = copy.deepcopy(model)(x)
    with np.errstate(all="ignore", over="call", call=lambda *_: inside.append(model.predict(X))):
        y = model.predict(x, allow_nan=True)
    assert inside
    assert np.array_equal(y, wanted, equal_nan=True)
    assert np.array_equal(inside[0], model[1](model[0](X)))


@pytest.mark.parametrize("times", [1, 2, CALLS])
@pytest.mark.parametrize("kind", [lambda m: m, lambda m: [m], lambda m: (m,), lambda m: lambda: m])
def test_a_model_that_a_layer_of_it_holds_is_not_kept_alive(
    times: int, kind: Callable[[Any], Any]
) -> None:
    model: Any = Sequential(Dense(3, 3, rng=0), Exp())
    model[1].owner = kind(model)
    for _ in range(times):
        model.predict(X)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


class Logarithm(Elementwise):
    """Of the first feature, to which the second one is added."""

    replayable: ClassVar[bool] = True

    def forward(self, x: Array) -> Array:
        y: Array = np.log(x[:, :1]) + x[:, 1:]
        return y


def test_what_is_tried_warns_of_nothing() -> None:
    model, x = Sequential(Logarithm(), Dense(1, 1, rng=0)), np.array([[1.0, -1.0], [2.0, -3.0]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(CALLS):
            model.predict(x)
    assert recorded(model)


@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[0], lambda a: a], ids="T0a")
def test_an_optimizer_tells_of_the_views_of_the_user_alone(view: Callable[[Any], Any]) -> None:
    model = served(network())
    trained(copy.deepcopy(model))
    gc.disable()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            SGD(model[1].parameters(), lr=0.1)  # the recordings hold arrays, and are nobody
    finally:
        gc.enable()
    same_as_the_text(model)
    taken = view(model[0][0].weight.value)
    with pytest.warns(StaleArrayWarning):
        SGD(model[0].parameters(), lr=0.1)
    assert not taken.flags.writeable or taken.base is not None
    same_as_the_text(model)


class Table(Elementwise):
    """y = x table, of which another one holds the numbers, too."""

    replayable: ClassVar[bool] = True

    def __init__(self, numbers: Array) -> None:
        self.table = numbers[:]
        self.table.flags.writeable = False

    def forward(self, x: Array) -> Array:
        y: Array = x * self.table
        return y


def test_a_read_only_array_is_followed() -> None:
    numbers = np.arange(3.0)
    model: Any = Sequential(Dense(3, 3, rng=0), Table(numbers))
    for factor in range(2 * CALLS):
        numbers[...] = 1 + factor // CALLS
        assert np.array_equal(model.predict(X), model[1].forward(model[0].forward(X)))


def test_a_layer_with_a_read_only_array_is_trained() -> None:
    objective = Objective(Sequential(Dense(3, 3, rng=0), Table(np.ones(3))), MSELoss())
    for _ in range(CALLS):
        objective.forward(X, np.ones((4, 3)))
        objective.backward()


class Factor:
    """Of no class of minifw: an assignment to it is not counted."""

    factor = 2.0


class Mixed(Factor, Elementwise):
    replayable: ClassVar[bool] = True

    def forward(self, x: Array) -> Array:
        return x * self.factor


def test_a_base_that_changes_unnoticed_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Sequential(Dense(3, 3, rng=0), Mixed())
    for _ in range(CALLS):
        before = model.predict(X)
    monkeypatch.setattr(Factor, "factor", 4.0)
    assert np.array_equal(model.predict(X), 2 * before)


class Drawing(Elementwise):
    """Draws, also in eval mode, from a generator in a tuple."""

    replayable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.generators = (np.random.default_rng(0),)

    def forward(self, x: Array) -> Array:
        drawn = np.empty_like(x)
        self.generators[0].random(out=drawn)
        return x * drawn


def test_a_generator_in_a_tuple_draws_once_for_each_prediction() -> None:
    model = Sequential(Dense(3, 3, rng=0), Drawing())
    twin = copy.deepcopy(model)
    for _ in range(2 * CALLS):
        assert np.array_equal(model.predict(X), twin(X))
