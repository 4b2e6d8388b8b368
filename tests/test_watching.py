"""The tools of those who look at layers from outside: listening, generators, warnings."""

import contextlib
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    Dense,
    Layer,
    MSELoss,
    Objective,
    ReLU,
    Sequential,
    StaleArrayWarning,
    Tanh,
    Trainer,
    TrainingWarning,
    Watch,
    load,
    save,
)
from minifw._engine.listening import listening
from minifw._tools.generators import find_generators
from minifw._tools.warn import warn_user
from minifw.callbacks import Callback
from minifw.testing import check_layer
from minifw.typing import Array

X = np.random.default_rng(0).normal(size=(20, 3))
Y = np.random.default_rng(1).normal(size=(20, 3))


# -- listening -----------------------------------------------------------------------


def test_listening_sees_every_call_and_takes_itself_off() -> None:
    model = Sequential(Dense(3, 3, rng=0), Tanh())
    seen: list[tuple[str, str, int]] = []

    def around(name: str, _: Any, method: str, call: Callable[..., Any], *xs: Any) -> Any:
        seen.append((name, method, len(xs)))
        return call(*xs)

    wanted = model(X)
    own = model[1].forward
    vars(model[1])["forward"] = own  # as a user's patch, which stays
    with (
        contextlib.suppress(KeyError),
        listening(model.named_layers(), ("forward", "backward"), around),
    ):
        assert np.array_equal(model(X), wanted)
        model.backward(Y)
        raise KeyError
    assert [(name, method) for name, method, _ in seen] == [
        ("0", "forward"),
        ("1", "forward"),
        ("1", "backward"),
        ("0", "backward"),
    ]
    assert {count for _, _, count in seen} == {1}
    assert "forward" not in vars(model[0])
    assert vars(model[1])["forward"] is own
    assert "backward" not in vars(model[1])


def test_listening_takes_several_arrays() -> None:
    class Two:
        def forward(self, a: int, b: int) -> tuple[int, int]:
            return b, a

    layer: Any = Two()
    with listening([("two", layer)], ["forward"], lambda *a: a[3](*a[4:])[::-1]):
        assert layer.forward(1, 2) == (1, 2)
    assert layer.forward(1, 2) == (2, 1)


class Clamp(Layer):
    """An author's activation between -2 and 2, which says so."""

    saturation = (-2.0, 2.0)

    def forward(self, x: Array) -> Array:
        y = 2 * np.tanh(x)
        self.save(y)
        return y

    def backward(self, dy: Array) -> Array:
        (y,) = self.saved()
        return dy * (2 - y * y / 2)


@pytest.mark.parametrize(("share", "warned"), [(0.45, 0), (0.55, 1)])
@pytest.mark.parametrize("slope", [0.009, 0.011])
def test_watch_warns_from_half_of_the_outputs_on(share: float, warned: int, slope: float) -> None:
    """An author's layer is judged by what it declares; STEEP is 0.01, MANY is 1/2."""
    steep = np.arctanh(np.sqrt(1 - slope))  # where the slope is that part of the steepest
    x = np.where(np.arange(20) < share * 20, steep, 0.0)[:, np.newaxis]
    model = Sequential(Dense(1, 1, rng=0), Clamp(), Dense(1, 1, rng=1))
    model.load_state_dict({"0.weight": [[1]], "0.bias": [0], "2.weight": [[1]], "2.bias": [0]})
    trainer = Trainer(model, MSELoss(), SGD(model.parameters(), lr=1e-9), callbacks=[Watch()])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trainer.fit(x, x, epochs=1)
    assert sum("saturated" in str(w.message) for w in caught) == (warned if slope < 0.01 else 0)


# -- generators ----------------------------------------------------------------------


class KeptNoise(Layer):
    """y = x + noise in train mode; its generator lies where `place` puts it."""

    def __init__(self, place: str, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.kept: Any = {"dict": {"a": rng}, "list": [[rng]], "attribute": rng}[place]
        self.place = place

    def forward(self, x: Array) -> Array:
        (rng,) = find_generators({"kept": self.kept}).values()
        self.save(x)
        if not self.training:
            return x.copy()
        y: Array = x + np.asarray(rng.standard_normal(x.shape), x.dtype)
        return y

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy.copy()


PLACES = ["attribute", "dict", "list"]


class Wraps(Layer):
    """Holds a layer in a dict."""

    def __init__(self, inner: Layer) -> None:
        self.inner = {"one": inner}

    def forward(self, x: Array) -> Array:
        return self.inner["one"](x)

    def backward(self, dy: Array) -> Any:
        return self.inner["one"].backward(dy)


@pytest.mark.parametrize("place", PLACES)
def test_the_kit_blames_no_generator(place: str) -> None:
    check_layer(KeptNoise(place), X[:4])
    check_layer(Wraps(KeptNoise(place)), X[:4])


@pytest.mark.parametrize("place", PLACES)
def test_a_checkpoint_resumes_exactly(place: str, tmp_path: Path) -> None:
    def build() -> Trainer:
        model = Sequential(Dense(3, 3, rng=0), Wraps(KeptNoise(place)))
        return Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1), rng=0)

    whole = build()
    whole.fit(X, Y, epochs=3, batch_size=5)
    part = build()
    part.fit(X, Y, epochs=2, batch_size=5)
    part.save_checkpoint(tmp_path / "run.npz")
    again = build()
    again.load_checkpoint(tmp_path / "run.npz")
    again.fit(X, Y, epochs=3, batch_size=5)
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert one.value.tobytes() == other.value.tobytes()


def test_save_keeps_a_generator_in_an_attribute_and_refuses_others(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    model = Sequential(KeptNoise("attribute"), Wraps(KeptNoise("attribute")))
    model(X)
    save(model, path)
    assert np.array_equal(load(path, [KeptNoise, Wraps])(X), model(X))
    for place, kind in (("dict", "dict"), ("list", "list")):
        with pytest.raises(
            TypeError, match=rf"kept of KeptNoise\(.*\) holds a {kind} with random"
        ):
            save(Wraps(KeptNoise(place)), path)


def test_a_generator_that_two_layers_share_is_found_once() -> None:
    one, other = KeptNoise("attribute"), KeptNoise("attribute")
    other.kept = one.kept
    model = Sequential(one, Wraps(other))
    assert list(find_generators({"m": model}).values()) == [one.kept]


def test_no_depth_is_too_deep() -> None:
    deep: Any = np.random.default_rng(0)
    for _ in range(3000):
        deep = [deep]
    assert len(find_generators({"deep": deep})) == 1


# -- warnings ------------------------------------------------------------------------


def lines_of(action: Callable[[], object], category: type[Warning]) -> set[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        action()
    return {warning.filename for warning in caught if warning.category is category}


def moved() -> None:
    layer = Dense(2, 1)
    kept = layer.weight.value
    SGD(layer.parameters(), lr=0.1)
    del kept


def watched() -> None:
    model = Sequential(Dense(3, 4, rng=0), ReLU(), Dense(4, 3, rng=1))
    model[0].bias.value = [-99.0] * 4
    trainer = Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1), callbacks=[Watch()])
    trainer.fit(X, Y, epochs=1)


@pytest.mark.parametrize(
    ("action", "category"), [(moved, StaleArrayWarning), (watched, TrainingWarning)]
)
def test_a_warning_names_the_users_line(
    action: Callable[[], object], category: type[Warning]
) -> None:
    assert lines_of(action, category) == {__file__}
    found: list[set[str]] = []
    thread = threading.Thread(target=lambda: found.append(lines_of(action, category)))
    thread.start()
    thread.join()
    assert found == [{__file__}]


def test_a_callback_of_the_user_is_the_users_line() -> None:
    class Warns(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:  # noqa: ARG002
            moved()

    model = Dense(3, 3, rng=0)
    optimizer = SGD(model.parameters(), lr=0.1)
    trainer = Trainer(model, MSELoss(), optimizer, callbacks=[Warns()])
    assert lines_of(lambda: trainer.fit(X, Y, epochs=1), StaleArrayWarning) == {__file__}


@pytest.mark.parametrize("name", ["minifw", "minifw.mine", "__main__"])
@pytest.mark.parametrize("file", ["<doctest minifw.mine[0]>", "/home/me/minifw_mine/a.py"])
def test_a_frame_is_known_by_its_file(name: str, file: str) -> None:
    code = compile("\n\nwarn('look')", file, "exec")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        exec(code, {"__name__": name, "warn": warn_user})  # noqa: S102
    assert (caught[0].filename, caught[0].lineno) == (file, 3)


def test_a_word_is_shown_in_every_run_where_it_is_asked_for() -> None:
    for every_time, count in ((True, 2), (False, 1)):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            for _ in range(2):
                warn_user(f"look {every_time}", every_time=every_time)
        assert len(caught) == count


def test_objective_still_explains_after_a_patch() -> None:
    """The NaN search wraps methods of a copy: the model itself is left alone."""
    model = Sequential(Dense(3, 3, rng=0), Tanh())
    model[0].weight.value[...] = np.nan
    with pytest.raises(FloatingPointError, match=r"parameter 0\.weight"):
        Objective(model, MSELoss()).forward(X, Y)
    assert "forward" not in vars(model[0])
