"""Asks PyTorch about `minifw.interop.torch`, and records the sources that it ran.

    python tests/data/torch/make_modules.py

needs torch; the tests do not. For each network in tests/support/torch_networks.py, sources.json
has the text of `torch_source` that gave the same numbers. Random networks and modules of PyTorch
are asked besides. It prints the counts.
"""

import json
import sys
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parents[2]), str(HERE.parents[1] / "support")]

import numpy as np  # noqa: E402
import torch  # noqa: E402
from cases import CASES  # noqa: E402
from torch import nn  # noqa: E402
from torch_networks import (  # noqa: E402
    NETWORKS,
    check_back,
    check_there,
    normal,
    random_graph,
    several,
)

from minifw import Dense, Layer, Sequential, Tanh  # noqa: E402
from minifw.interop.torch import from_torch, register, torch_source  # noqa: E402

RANDOM = 500


def recurrent_modules() -> Iterator[nn.Module]:
    for kind, depth, both in product((nn.LSTM, nn.GRU), (1, 2, 3), (False, True)):
        options = {"bidirectional": both, "dropout": 0.3 * (depth > 1), "batch_first": True}
        yield kind(3, 4, depth, **options).double().eval()


def check_recurrent(module: Any) -> None:
    """Hold outputs, states and dL/dx of what `from_torch` makes against PyTorch's."""
    layer, x = from_torch(module), normal(2, 5, 3)
    tensor = torch.tensor(x, requires_grad=True)
    y, states = module(tensor)
    states = states if isinstance(states, tuple) else (states,)
    theirs = [y, *(one for state in states for one in state)]
    dys = [normal(*one.shape, seed=3) for one in theirs]
    sum((one * torch.tensor(dy)).sum() for one, dy in zip(theirs, dys, strict=True)).backward()
    pairs = list(zip(several(layer(x)), theirs, strict=True))
    pairs.append((layer.backward(*dys), tensor.grad))
    for own, other in pairs:
        np.testing.assert_allclose(own, other.detach().numpy(), rtol=1e-12, atol=1e-12)


def encoders() -> Iterator[nn.Module]:
    for first, act in product((True, False), ("relu", "gelu", nn.SiLU())):
        options = {"activation": act, "norm_first": first, "batch_first": True}
        module = nn.TransformerEncoderLayer(4, 2, 8, **options).double().eval()
        module.self_attn.dropout = 0.0
        yield module


def check_encoder(module: Any) -> None:
    x = normal(2, 5, 4)
    own, other = from_torch(module)(x), module(torch.tensor(x)).detach().numpy()
    np.testing.assert_allclose(own, other, rtol=1e-12, atol=1e-12)


class Own(Layer):
    """y = f(x), of a layer f."""

    def __init__(self, f: Layer) -> None:
        self.f = f

    def forward(self, x: Any) -> Any:
        return self.f(x)

    def backward(self, dy: Any) -> Any:
        return self.f.backward(dy)


class OwnModule(nn.Module):  # type: ignore[misc]
    def __init__(self, f: nn.Module) -> None:
        super().__init__()
        self.f = f

    def forward(self, x: Any) -> Any:
        return self.f(x)


def check_registered() -> None:
    register(Own, OwnModule)
    model = Sequential(Own(Dense(3, 2, rng=0)), Own(Tanh()))
    check_there(torch, model, (normal(4, 3),))
    check_back(model, (normal(4, 3),))


def refused() -> list[Any]:
    """Return modules, and what is none, that no layer is."""
    hooked, lazy = nn.Linear(2, 2), nn.LazyLinear(3)
    hooked.register_forward_hook(lambda *_: None)
    norm = nn.utils.parametrizations.weight_norm(nn.Linear(2, 2))
    alone = [
        nn.Module(),
        nn.ModuleList([hooked]),
        nn.RNN(2, 2),
        nn.Dropout2d(),
        nn.Conv3d(1, 1, 1),
    ]
    options = [
        *(nn.LSTM(2, 2), nn.LSTM(2, 2, batch_first=True, proj_size=1)),
        *(nn.GRU(2, 2, batch_first=True, bias=False), nn.Conv2d(1, 1, 3, padding_mode="reflect")),
        *(nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2, dilation=2)),
        *(nn.AvgPool2d(2, count_include_pad=False), nn.AvgPool2d(2, divisor_override=3)),
        *(nn.BatchNorm1d(3, momentum=None), nn.BatchNorm1d(3, track_running_stats=False)),
        *(nn.Embedding(3, 2, max_norm=1.0), nn.Softplus(threshold=1), nn.Softmax()),
        *(nn.Upsample(scale_factor=2, mode="bilinear"), nn.Upsample(4), nn.Upsample(None, 1.5)),
        *(nn.Flatten(2), nn.LayerNorm(3, bias=False), nn.Dropout(1.0)),
        *(nn.MultiheadAttention(4, 2), nn.MultiheadAttention(4, 2, 0.1, batch_first=True)),
        nn.TransformerEncoderLayer(4, 2, batch_first=True),
        *(nn.Linear(2, 2).half(), nn.Linear(2, 2, device="meta"), nn.Sequential()),
    ]
    return [3, nn.Linear, *alone, hooked, lazy, norm, *options, *map(nn.Sequential, options[:-1])]


def main() -> None:
    warnings.simplefilter("ignore")  # torch's own, of padding="same" and of lazy modules
    torch.manual_seed(0)
    sources = {}
    for name, make in NETWORKS.items():
        layer, xs = make()
        sources[name] = torch_source(layer)
        for mode in (layer.training, False):
            if not mode or "Dropout" not in name:  # their masks are other ones
                check_there(torch, layer.train(mode), xs)
        check_there(torch, make()[0].eval(), xs)
        check_back(make()[0], xs)
    for case in CASES:
        check_there(torch, case.make(np.float32).eval(), (case.x(4, np.float32),))
    print(f"{len(NETWORKS)} networks, and {len(CASES)} of them in float32")
    for seed in range(RANDOM):
        check_there(torch, *random_graph(seed))
        check_back(*random_graph(seed))
    print(f"{RANDOM} random networks")
    modules = list(recurrent_modules())
    for module in modules:
        check_recurrent(module)
    print(f"{len(modules)} recurrent modules and {len(list(encoders()))} encoders")
    for module in encoders():
        check_encoder(module)
    check_registered()
    for one in refused():
        try:
            found = from_torch(one)
        except (TypeError, ValueError):
            continue
        raise AssertionError(f"{one} is {found}")
    print(f"{len(refused())} modules refused")
    text = json.dumps(sources, indent=1)
    (HERE / "sources.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
