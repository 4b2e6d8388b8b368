"""minifw.interop.torch against what PyTorch ran: tests/data/torch/make_modules.py records it."""

import importlib.util
import inspect
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch_networks import GRAPHS, NETWORKS, check_back, check_there, normal, random_graph

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

    def test_modules_that_are_several_here_or_bear_another_name() -> None:
        torch = importlib.import_module("torch")
        nn = torch.nn
        module = nn.Sequential(
            *(nn.Unflatten(1, (2, 4, 3)), nn.ZeroPad2d((1, 0, 2, 1)), nn.Conv2d(2, 3, 2)),
            *(nn.InstanceNorm2d(3, affine=True), nn.InstanceNorm2d(3), nn.ReLU6()),
            *(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(3, 2)),
        ).double()
        model, x = from_torch(module), normal(5, 24) * 3
        kinds = [type(layer).__name__ for layer in model]  # type: ignore[attr-defined]
        assert kinds == [
            *("Reshape", "Pad2D", "Conv2D", "GroupNorm", "GroupNorm", "HardTanh"),
            *("GlobalAvgPool2D", "Flatten", "Dense"),
        ]
        tensor = torch.tensor(x, requires_grad=True)
        y, dy = module(tensor), normal(5, 2)
        y.backward(torch.tensor(dy))
        own: Any
        for own, other in ((model(x), y.detach()), (model.backward(dy), tensor.grad)):
            np.testing.assert_allclose(own, other.numpy(), rtol=1e-12, atol=1e-12)

    def test_refusals_name_the_module_and_the_way_out() -> None:
        torch = importlib.import_module("torch")
        nn = torch.nn

        class Net(nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self, n: int = 2) -> None:  # noqa: ARG002 - not kept
                super().__init__()
                self.part = nn.Linear(2, 2)

        net = Net()
        for module, why in (
            (net, r"module \(Net\) has no counter.*give the modules in it to from_torch"),
            (nn.Sequential(nn.CELU()), r"module\[0\] \(CELU\) has .*register\(Layer, CELU\), or"),
            (nn.LSTM(2, 3), "has batch_first=False, which its layer has not; set it to True"),
            (nn.TransformerEncoderLayer(4, 2, batch_first=True), "attn .*dropout=0.1.*set it to"),
            (nn.Conv2d(1, 1, 3, padding_mode="reflect"), "put an nn.ReflectionPad2d"),
            (nn.AdaptiveAvgPool2d(1), r"\(AdaptiveAvgPool2d\) has no counterpart"),
            (nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten()), "has no counterpart"),
            (nn.InstanceNorm2d(2, track_running_stats=True), "has track_running_stats=True"),
            (nn.Unflatten(2, (2, 2)), "has dim=2"),
            (nn.Unflatten(1, (2, -1)), "has unflattened_size"),
            (nn.BatchNorm1d(2, momentum=None), r"module \(BatchNorm1d\): BatchNorm expects mom"),
        ):
            with pytest.raises(TypeError, match=why):
                from_torch(module)

        class Own(Power):
            pass

        register(Own, Net)
        with pytest.raises(TypeError, match=r"\(Net\) does not say which n Own .*self.n = n"):
            from_torch(net)
        net.n = 3
        assert repr(from_torch(net)) == "Own(3)"

    @pytest.mark.parametrize("seed", range(20))
    def test_random_networks(seed: int) -> None:
        check_there(importlib.import_module("torch"), *random_graph(seed))
        check_back(*random_graph(seed))
