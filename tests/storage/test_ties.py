"""What is shared in a model is stored once, and shared when it is loaded."""

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minifw import (
    Add,
    BatchNorm,
    Dense,
    FileFormatError,
    Graph,
    Layer,
    Parameter,
    Residual,
    Sequential,
    Tanh,
    load,
    save,
)
from minifw.storage._archive import read_archive, write_archive

SUFFIXES = [".npz", ".safetensors"]
X = np.random.default_rng(0).standard_normal((3, 4))


def tied() -> Sequential:
    model = Sequential(Dense(4, 4, rng=1), Tanh(), Dense(4, 4, rng=2))
    model[2].weight = model[0].weight
    return model


class Reverse(Layer):
    """y = x W of another layer's weight: the decoder of tied codes."""

    def __init__(self, other: Dense) -> None:
        self.weight = other.weight

    def forward(self, x: Any) -> Any:
        self.save(x)
        return x @ self.weight.value

    def backward(self, dy: Any) -> Any:
        (x,) = self.saved()
        self.weight.grad[...] = x.T @ dy
        return dy @ self.weight.value.T


class Held(Layer):
    """Holds a parameter in a list in a dict in a tuple."""

    def __init__(self) -> None:
        self.first = Parameter(np.ones(4))
        self.some = ({"a": [Parameter(np.zeros(4))]},)

    def forward(self, x: Any) -> Any:
        return x * self.first.value

    def backward(self, dy: Any) -> Any:
        return dy


def siamese() -> Graph:
    one = Sequential(Dense(4, 4, rng=1), BatchNorm(4))
    return Graph("a", "b", h=(one, "a"), k=(one, "b"), s=(Add(), "h", "k"), y=Dense(4, 1, rng=2))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_ties_and_graphs_come_back(suffix: str, tmp_path: Path) -> None:
    path, dense = tmp_path / f"m{suffix}", Dense(4, 4, rng=1)
    save(tied(), path)
    model: Any = load(path)
    assert model[0].weight is model[2].weight
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.bias"]
    assert (model(X) == tied()(X)).all()
    save(siamese(), path)
    graph: Any = load(path)
    assert graph["h"] is graph["k"]
    assert repr(graph) == repr(siamese())
    save(Sequential(dense, Reverse(dense)), path)
    model = load(path)
    assert model[0].weight is model[1].weight
    held = Held()
    held.some[0]["a"][0] = held.first
    save(held, path)
    model = load(path)
    assert model.some[0]["a"][0] is model.first


@pytest.mark.parametrize("make", [tied, siamese])
def test_copies_and_pickles_keep_ties(make: Callable[[], Layer]) -> None:
    for twin in (copy.deepcopy(make()), pickle.loads(pickle.dumps(make()))):
        names = [name for name, _ in make().named_parameters()]
        assert [name for name, _ in twin.named_parameters()] == names


def test_the_version_is_2_for_ties_and_graphs_alone(tmp_path: Path) -> None:
    for model, version in [(tied(), 2), (siamese(), 2), (Residual(Dense(4, 4)), 1)]:
        save(model, tmp_path / "m.npz")
        assert f'"version":{version}'.encode() in (tmp_path / "m.npz").read_bytes()


def test_frozen_is_not_stored(tmp_path: Path) -> None:
    save(tied().freeze(), tmp_path / "m.npz")
    assert len(load(tmp_path / "m.npz").parameters()) == 3


@given(data=st.data(), suffix=st.sampled_from(SUFFIXES))
def test_random_models_with_ties(
    data: st.DataObject, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Lines of new and old layers, of which some get the weight or the bias of another."""
    path = tmp_path_factory.getbasetemp() / f"random{suffix}"
    layers: list[Any] = [Dense(4, 4, rng=0)]
    lines: dict[str, Any] = {"v0": layers[0]}
    for i in range(1, data.draw(st.integers(2, 8))):
        kind = data.draw(st.sampled_from(["new", "old", "chain", "residual", "graph"]))
        new = Dense(4, 4, rng=i)
        layers += [] if kind == "old" else [new]
        lines[f"v{i}"] = {
            "new": new,
            "old": data.draw(st.sampled_from(layers)),
            "chain": Sequential(new, Tanh()),
            "residual": Residual(new),
            "graph": Graph("x", h=new, y=Tanh(), z=(Add(), "x", "y")),
        }[kind]
    model = Graph("x", **lines)
    for name in ("weight", "bias"):
        pairs = st.tuples(st.sampled_from(layers), st.sampled_from(layers))
        for one, other in data.draw(st.lists(pairs, max_size=4)):
            setattr(one, name, getattr(other, name))
    save(model, path)
    twin: Any = load(path)
    assert (twin(X) == model(X)).all()
    names = [name for name, _ in model.named_parameters()]
    assert [name for name, _ in twin.named_parameters()] == names


TIES: list[tuple[Any, str]] = [
    ({"2.weight": "9.weight"}, "ties '2.weight' to '9.weight'"),
    ({"9.weight": "0.weight"}, "ties '9.weight'"),
    ({"2.weight": "0.bias"}, "ties 2.weight"),
    ({"2.weight": "0.weight", "0.weight": "2.weight"}, "ties"),
    ({"2.weight": "2.weight"}, "ties"),
    ({"2.weight": 3}, "ties '2.weight' to '3'"),
    ({"2.weight": ["0.weight"]}, "damaged"),
    ([["2.weight", "0.weight"]], "ties to be a dict"),
    (1, "ties to be a dict"),
    (None, "ties to be a dict"),
    ({}, r"2\.weight is missing"),
]


@pytest.mark.parametrize(("ties", "message"), TIES)
def test_hostile_ties(ties: Any, message: str, tmp_path: Path) -> None:
    save(tied(), tmp_path / "m.npz")
    meta, arrays = read_archive(tmp_path / "m.npz", "model")
    spare = {**arrays, "~9": np.zeros(99)}  # so that the constructors do not ask for too much
    write_archive(tmp_path / "m.npz", "model", {**meta, "ties": ties}, spare, 2)
    with pytest.raises(FileFormatError, match=message):
        load(tmp_path / "m.npz")


def test_two_entries_of_a_tied_parameter(tmp_path: Path) -> None:
    """As PyTorch has them: equal ones are one, others are refused with both names."""
    save(tied(), tmp_path / "m.npz")
    meta, arrays = read_archive(tmp_path / "m.npz", "model")
    model = siamese()
    doors: list[tuple[tuple[str, str], Callable[[Any], object]]] = [
        (("0.weight", "2.weight"), lambda state: stored(tmp_path / "m.npz", meta, state)),
        (("0.weight", "2.weight"), tied().load_state_dict),
        (("h.1.running_mean", "k.1.running_mean"), model.load_state_dict),
    ]
    for names, load_them in doors:
        own = arrays if names[0] in arrays else model.state_dict()
        first, second = names
        load_them({**own, second: own[first].copy()})
        load_them({second if name == first else name: array for name, array in own.items()})
        with pytest.raises((FileFormatError, ValueError), match=f"{first} and {second} are tied"):
            load_them({**own, second: own[first] + 1})


def stored(path: Path, meta: dict[str, Any], arrays: dict[str, Any]) -> None:
    write_archive(path, "model", meta, arrays, 2)
    load(path)


def test_arguments_by_position_and_by_name_share(tmp_path: Path) -> None:
    """They are counted in one order when they are written and read."""

    class Both(Layer):
        def __init__(self, one: Layer, *, other: Layer, again: Layer) -> None:
            self.one, self.other, self.again = one, other, again

        def forward(self, x: Any) -> Any:
            return x

        def backward(self, dy: Any) -> Any:
            return dy

    one, other = Dense(4, 2), Dense(4, 3)
    save(Both(one, other=other, again=one), tmp_path / "m.npz")
    twin: Any = load(tmp_path / "m.npz", [Both])
    assert twin.again is twin.one
