"""minifw.interop.torch against what PyTorch ran: tests/data/torch/make_modules.py records it."""

import importlib.util
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_networks import GRAPHS, NETWORKS, check_back, check_there, random_graph

import minifw
from minifw import Array, Dense, Graph, Layer, Sequential, Tanh
from minifw.interop.torch import from_torch, register, to_torch, torch_source
from minifw.interop.torch._source import Source
from minifw.interop.torch._twins import TWINS

RECORD = Path(__file__).parents[1] / "data" / "torch" / "sources.json"
SOURCES = json.loads(RECORD.read_text(encoding="utf-8"))


class Power(Layer):
    """y = x^n."""

    def __init__(self, n: int) -> None:
        self.n = n

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = x**self.n
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx: Array = dy * self.n * x ** (self.n - 1)
        return dx


def test_the_record_has_all_networks() -> None:
    assert list(SOURCES) == list(NETWORKS), "run python tests/data/torch/make_modules.py"


@pytest.mark.parametrize("name", NETWORKS)
def test_source_is_what_torch_ran(name: str) -> None:
    model, _ = NETWORKS[name]()
    assert torch_source(model) == SOURCES[name], "run python tests/data/torch/make_modules.py"


def test_every_layer_has_a_row() -> None:
    public = [getattr(minifw.layers, name) for name in minifw.layers.__all__]
    own = {one for one in public if isinstance(one, type) and not inspect.isabstract(one)}
    assert {one for one in own if issubclass(one, Layer)} - set(TWINS) == set()


@pytest.mark.parametrize("name", GRAPHS)
def test_arrays_go_by_their_names(name: str) -> None:
    model, _ = GRAPHS[name]()
    arrays = Source("to_torch", model).arrays
    own = {key.replace("class.", "class_."): value for key, value in model.state_dict().items()}
    assert own.keys() <= arrays.keys()
    for key, value in own.items():
        np.testing.assert_array_equal(arrays[key], value)


def test_a_layer_without_a_form_says_how_to_register_one() -> None:
    with pytest.raises(TypeError, match=r"layer b, Power\(2\), has no form in PyTorch yet"):
        torch_source(Graph("x", a=Tanh(), b=Power(2)))
    model = Graph("x", a=Sequential(Tanh(), Power(3)))
    with pytest.raises(
        TypeError, match=r"layer a\.1, Power\(3\), has no form in PyTorch yet.*regi"
    ):
        torch_source(model)
    model["a"][0].forward = lambda x: x
    with pytest.raises(TypeError, match=r"layer a\.0, Tanh\(\), has no form"):
        torch_source(model)
    with pytest.raises(TypeError, match="torch_source expects a layer, got an int"):
        torch_source(3)  # type: ignore[arg-type]


def test_an_authors_module_is_imported() -> None:
    class Own(Power):
        pass

    class Third:
        __module__, __qualname__ = "mine", "Third"

        def __init__(self, n: int) -> None:
            self.n = n

    register(Own, Third)
    text = torch_source(Sequential(Own(3), Dense(2, 2, dtype=np.float32)))
    first, second, _, model = text.splitlines()
    assert first == "from torch import nn"
    assert second == "from mine import Third as Own"
    assert model == "model = nn.Sequential(Own(3), nn.Linear(2, 2))"
    with pytest.raises(TypeError, match=r"Own\(.*was built with .*finite numbers, strings"):
        torch_source(Own(Tanh))  # type: ignore[arg-type]
    for wrong in ((Own(3), Third), (Third, Own), (Own, "Third")):
        with pytest.raises(TypeError, match="register expects a class of layers and its class"):
            register(*wrong)


@pytest.mark.parametrize("door", [to_torch, from_torch])
def test_without_torch(door: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=rf"{door.__name__} needs torch; .*minifw\[torch\]"):
        door(Tanh())


if importlib.util.find_spec("torch"):  # the script asks much more

    @pytest.mark.parametrize("name", NETWORKS)
    @pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
    def test_there_and_back(name: str) -> None:
        torch = importlib.import_module("torch")
        model, xs = NETWORKS[name]()
        check_there(torch, model.train("Dropout" not in name and model.training), xs)
        check_back(*NETWORKS[name]())

    @pytest.mark.parametrize("seed", range(20))
    def test_random_networks(seed: int) -> None:
        check_there(importlib.import_module("torch"), *random_graph(seed))
        check_back(*random_graph(seed))
