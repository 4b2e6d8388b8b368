"""A model in another dtype is the one that is built in it."""

from pathlib import Path

import numpy as np
import pytest
from cases import CASES, Case

from minifw import (
    SGD,
    Add,
    Array,
    BatchNorm,
    Dense,
    Dropout,
    Graph,
    Layer,
    MSELoss,
    Objective,
    Parameter,
    Sequential,
    Tanh,
    load,
    save,
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_layer_is_as_if_it_were_built_in_that_dtype(case: Case, tmp_path: Path) -> None:
    wide, built = case.make(np.float64), case.make(np.float32)
    before = wide.state_dict()
    narrow = wide.astype(np.float32)
    built.load_state_dict(before)
    x = case.x(3) if case.indices else case.x(3).astype(np.float32)
    y = narrow.predict(x)
    # RMSNorm keeps the eps that it had, and its default is another one in float32.
    np.testing.assert_allclose(y, built.predict(x), rtol=1e-6 if "RMSNorm" in case.name else 0)
    assert {array.dtype for array in narrow.state_dict().values()} <= {np.dtype(np.float32)}
    save(narrow, tmp_path / "narrow.npz")  # which says if a file cannot hold it
    np.testing.assert_array_equal(load(tmp_path / "narrow.npz").predict(x), y)
    assert repr(narrow.astype(np.float32)) == repr(narrow)
    for name, array in wide.state_dict().items():
        assert array.dtype == before[name].dtype
        np.testing.assert_array_equal(array, before[name])


def test_ties_modes_frozen_parameters_and_draws_are_those_of_the_original() -> None:
    tower = Sequential(Dense(3, 3, rng=0), Dropout(0.5, rng=1))
    model = Graph("x", a=tower, b=Dense(3, 3, rng=2), y=(Add(), "a", "b"))
    model["b"].weight = tower[0].weight
    model["a"][1].eval()
    model["b"].freeze()
    narrow = model.astype(np.float32)
    assert narrow["b"].weight is narrow["a"][0].weight is not tower[0].weight
    assert [p.frozen for _, p in narrow.named_parameters()] == [True, False, True]
    assert narrow.training
    assert not narrow["a"][1].training
    x = np.random.default_rng(3).standard_normal((5, 3)).astype(np.float32)
    tower[1].train()
    narrow["a"][1].train()
    dropped = model(x.astype(np.float64)) == model["b"](x.astype(np.float64)), narrow(x)
    np.testing.assert_array_equal(dropped[0], dropped[1] == narrow["b"](x))


def test_an_optimizer_stays_with_the_original() -> None:
    model = Sequential(Dense(3, 4, rng=0), BatchNorm(4), Tanh(), Dense(4, 1, rng=1))
    x, y = np.random.default_rng(2).standard_normal((2, 8, 3))
    objective, optimizer = Objective(model, MSELoss()), SGD(model.parameters(), lr=0.1)
    narrow = model.astype("float32")
    before = narrow.state_dict()
    objective.forward(x, y[:, :1])
    objective.backward()
    optimizer.step()
    for name, array in narrow.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    again = SGD(narrow.parameters(), lr=0.1)
    own = Objective(narrow, MSELoss())
    own.forward(x.astype(np.float32), y[:, :1].astype(np.float32))
    own.backward()
    again.step()
    for name, array in narrow.state_dict().items():
        np.testing.assert_allclose(array, model.state_dict()[name], rtol=1e-4, atol=1e-6)


class Shifted(Layer):
    """y = x w + shift, whose constructor takes an array and a type."""

    def __init__(self, weight: Array, kind: type = np.float64) -> None:
        self.weight, self.kind = Parameter(weight), kind
        self.shift: Array = np.arange(weight.size, dtype=kind)
        self.order = np.arange(weight.size)

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = x[:, self.order] * self.weight.value + self.shift
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.weight.grad[...] = (dy * x).sum(axis=0)
        return dy * self.weight.value


def test_the_arrays_types_and_arguments_of_an_authors_layer_follow(tmp_path: Path) -> None:
    narrow = Shifted(np.ones(3), np.float64).astype(np.float32)
    assert narrow.shift.dtype == narrow.weight.dtype == np.dtype(narrow.kind) == np.float32
    assert narrow.order.dtype.kind == "i"
    save(narrow, tmp_path / "layer.npz")
    assert load(tmp_path / "layer.npz").predict(np.ones((1, 3))).dtype == np.float32


def test_what_another_dtype_cannot_hold_is_refused() -> None:
    model = Sequential(Dense(2, 1, rng=0), Tanh())
    with pytest.raises(TypeError, match=r"Sequential\.astype expects dtype to be float64 or"):
        model.astype(np.float16)
    model[0].bias.value = [1e300]
    with pytest.raises(ValueError, match=r"Sequential\.astype: a number is too large for float32"):
        model.astype(np.float32)
    model[0].bias.value = [np.inf]
    assert np.isinf(model.astype(np.float32)[0].bias.value).all()
