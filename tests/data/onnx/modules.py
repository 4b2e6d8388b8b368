"""Modules of PyTorch as people build them, with inputs; see foreign.py."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Of(nn.Module):  # type: ignore[misc]
    """A function of named modules and x."""

    def __init__(self, computed: Callable[..., Any], **modules: Any) -> None:
        super().__init__()
        self.computed = computed
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: Any) -> Any:
        return self.computed(self, x)


class Scaled(nn.Module):  # type: ignore[misc]
    """A scaler in the model."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3, 0.4]))
        self.register_buffer("spread", torch.tensor([1.0, 2.0, 3.0, 4.0]))
        self.f = nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.f((x - self.mean) / self.spread)


def modules() -> dict[str, tuple[Any, Any]]:
    """Return them all by name, each time with the same numbers."""
    torch.manual_seed(0)
    chain, r = nn.Sequential, torch.randn

    def whole(high: int, *shape: int) -> Any:
        return torch.randint(0, high, shape)

    def mlp(*between: Any, bias: bool = True) -> tuple[Any, Any]:
        return chain(nn.Linear(4, 8, bias=bias), *between, nn.Linear(8, 3, bias=bias)), r(5, 4)

    def recurrent(kind: str, *, last: bool = True, **options: Any) -> tuple[Any, Any]:
        def f(m: Any, x: Any) -> Any:
            y, _ = m.r(x)
            return m.f(y[:, -1] if last else y)

        width = 12 if options.get("bidirectional") else 6
        cell = getattr(nn, kind)(4, 6, batch_first=True, **options)
        return Of(f, r=cell, f=nn.Linear(width, 3)), r(5, 7, 4)

    def conv_flat(*layers: Any, features: int, out: int = 2) -> Any:
        return chain(*layers, nn.Flatten(), nn.Linear(features, out))

    relu, flat = nn.ReLU, nn.Flatten
    residual = Of(
        lambda m, x: m.f(
            torch.relu((h := torch.relu(m.b1(m.c1(x)))) + m.b2(m.c2(h))).mean((2, 3))
        ),
        c1=nn.Conv2d(3, 8, 3, padding=1),
        b1=nn.BatchNorm2d(8),
        c2=nn.Conv2d(8, 8, 3, padding=1),
        b2=nn.BatchNorm2d(8),
        f=nn.Linear(8, 5),
    )
    projection = Of(
        lambda m, x: m.f(torch.flatten(m.p(torch.relu(m.c(x) + m.s(x))), 1)),
        c=nn.Conv2d(3, 8, 3, padding=1, stride=2),
        s=nn.Conv2d(3, 8, 1, stride=2),
        p=nn.AdaptiveAvgPool2d(1),
        f=nn.Linear(8, 5),
    )
    residual_mlp = Of(
        lambda m, x: torch.sigmoid(m.o(torch.relu(m.b(y := x + torch.tanh(m.a(x)))) + y)),
        a=nn.Linear(6, 6),
        b=nn.Linear(6, 6),
        o=nn.Linear(6, 2),
    )
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    return {
        "mlp": mlp(relu()),
        "tanh, sigmoid": (
            chain(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1), nn.Sigmoid()),
            r(5, 2),
        ),
        "softmax": (chain(*mlp(nn.ELU())[0], nn.Softmax(dim=1)), r(5, 4)),
        "log-softmax": (chain(*mlp(nn.SELU())[0], nn.LogSoftmax(dim=-1)), r(5, 4)),
        "batch norm": mlp(nn.BatchNorm1d(8), relu(), nn.Dropout(0.3)),
        "no bias": mlp(nn.BatchNorm1d(8), relu(), bias=False),
        "layer norm, gelu": mlp(nn.LayerNorm(8), nn.GELU()),
        "gelu tanh": mlp(nn.GELU(approximate="tanh")),
        "silu": mlp(nn.SiLU()),
        "leaky, prelu": mlp(nn.LeakyReLU(0.2), nn.Linear(8, 8), nn.PReLU(8)),
        "softplus": mlp(nn.Softplus()),
        "softplus beta": mlp(nn.Softplus(beta=2)),
        "relu6": mlp(nn.ReLU6()),
        "hardtanh": mlp(nn.Hardtanh()),
        "hardswish": mlp(nn.Hardswish()),
        "hardsigmoid": mlp(nn.Hardsigmoid()),
        "mish": mlp(nn.Mish()),
        "rms norm": mlp(nn.RMSNorm(8)),
        "float64": (mlp(nn.Tanh())[0].double(), r(5, 4).double()),
        "squeeze": (Of(lambda m, x: m.f(x).squeeze(-1), f=nn.Linear(4, 1)), r(5, 4)),
        "mlp over time": (mlp(relu())[0], r(5, 7, 4)),
        "flatten": (chain(flat(), nn.Linear(28, 8), relu(), nn.Linear(8, 3)), r(5, 7, 4)),
        "cnn": (
            conv_flat(nn.Conv2d(1, 4, 3), relu(), nn.MaxPool2d(2), features=36, out=10),
            r(5, 1, 8, 8),
        ),
        "cnn, batch norm": (
            conv_flat(
                *(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), relu(), nn.MaxPool2d(2)),
                *(nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), relu()),
                nn.AdaptiveAvgPool2d(1),
                features=8,
            ),
            r(5, 3, 8, 8),
        ),
        "cnn, mean pool": (
            conv_flat(nn.Conv2d(1, 4, 5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2), features=64),
            r(5, 1, 8, 8),
        ),
        "cnn, depthwise": (
            conv_flat(
                *(nn.Conv2d(4, 4, 3, groups=4, padding=1), nn.ReLU6(), nn.Conv2d(4, 8, 1)),
                nn.AdaptiveAvgPool2d(1),
                features=8,
            ),
            r(5, 4, 8, 8),
        ),
        "cnn, dilated, same": (
            chain(
                nn.Conv2d(1, 4, 3, padding="same", dilation=2),
                relu(),
                nn.Conv2d(4, 2, 4, padding="same"),
            ),
            r(5, 1, 9, 9),
        ),
        "cnn, pool 3 2 1": (
            conv_flat(
                nn.Conv2d(3, 8, 7, stride=2, padding=3),
                relu(),
                nn.MaxPool2d(3, 2, 1),
                features=8 * 4 * 4,
            ),
            r(5, 3, 16, 16),
        ),
        "pool, ceil": (chain(nn.MaxPool2d(2, 2, ceil_mode=True)), r(5, 3, 7, 7)),
        "adaptive pool to 2": (conv_flat(nn.AdaptiveAvgPool2d(2), features=12), r(5, 3, 8, 8)),
        "cnn, prelu": (conv_flat(nn.Conv2d(1, 4, 3), nn.PReLU(4), features=144), r(5, 1, 8, 8)),
        "cnn, group norm": (
            conv_flat(nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), features=144),
            r(5, 1, 8, 8),
        ),
        "cnn, instance norm": (
            conv_flat(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4), features=144),
            r(5, 1, 8, 8),
        ),
        "cnn, layer norm": (
            conv_flat(nn.Conv2d(1, 4, 3), nn.LayerNorm([4, 6, 6]), features=144),
            r(5, 1, 8, 8),
        ),
        "cnn, dropout": (
            conv_flat(nn.Conv2d(1, 4, 3), nn.Dropout2d(0.2), features=144),
            r(5, 1, 8, 8),
        ),
        "transposed convolution": (chain(nn.ConvTranspose2d(1, 4, 2, stride=2)), r(5, 1, 4, 4)),
        "upsample": (chain(nn.Upsample(scale_factor=2), nn.Conv2d(1, 2, 3)), r(5, 1, 4, 4)),
        "zero pad": (chain(nn.ZeroPad2d(1), nn.Conv2d(1, 2, 3)), r(5, 1, 4, 4)),
        "cnn, 1-D": (
            conv_flat(nn.Conv1d(3, 4, 3, padding=1), relu(), nn.MaxPool1d(2), features=16),
            r(5, 3, 8),
        ),
        "residual block": (residual, r(5, 3, 8, 8)),
        "residual, projection": (projection, r(5, 3, 8, 8)),
        "residual mlp": (residual_mlp, r(5, 6)),
        "two branches": (
            Of(
                lambda m, x: m.f(torch.cat([torch.relu(m.a(x)), torch.tanh(m.b(x))], 1)),
                a=nn.Linear(4, 3),
                b=nn.Linear(4, 5),
                f=nn.Linear(8, 2),
            ),
            r(5, 4),
        ),
        "wide and deep": (
            Of(
                lambda m, x: m.f(torch.cat([x, torch.relu(m.a(x))], -1)),
                a=nn.Linear(4, 3),
                f=nn.Linear(7, 2),
            ),
            r(5, 4),
        ),
        "channels joined": (
            Of(
                lambda m, x: torch.cat([m.a(x), m.b(x)], 1),
                a=nn.Conv2d(3, 4, 1),
                b=nn.Conv2d(3, 5, 3, padding=1),
            ),
            r(5, 3, 6, 6),
        ),
        "scaler inside": (Scaled(), r(5, 4)),
        "gate": (
            Of(lambda m, x: torch.sigmoid(m.a(x)) * m.b(x), a=nn.Linear(4, 4), b=nn.Linear(4, 4)),
            r(5, 4),
        ),
        "2 tanh": (Of(lambda m, x: 2 * torch.tanh(m.a(x)), a=nn.Linear(4, 2)), r(5, 4)),
        "x / 255": (
            Of(lambda m, x: m.a(torch.flatten(x, 1) / 255.0), a=nn.Linear(16, 2)),
            r(5, 1, 4, 4),
        ),
        "LSTM": recurrent("LSTM"),
        "GRU": recurrent("GRU"),
        "LSTM of 2 layers": recurrent("LSTM", num_layers=2),
        "LSTM both ways": recurrent("LSTM", bidirectional=True),
        "GRU, all steps": recurrent("GRU", last=False),
        "RNN": recurrent("RNN"),
        "embedding, flatten": (
            Of(
                lambda m, x: m.f(m.e(x).flatten(1)),
                e=nn.Embedding(10, 4, padding_idx=0),
                f=nn.Linear(20, 2),
            ),
            whole(10, 5, 5),
        ),
        "embedding, mean": (
            Of(lambda m, x: m.f(m.e(x).mean(1)), e=nn.Embedding(10, 4), f=nn.Linear(4, 2)),
            whole(10, 5, 6),
        ),
        "transformer encoder": (
            Of(
                lambda m, x: m.f(m.t(m.e(x)).mean(1)),
                e=nn.Embedding(11, 8),
                t=nn.TransformerEncoder(encoder, 1, enable_nested_tensor=False),
                f=nn.Linear(8, 3),
            ),
            whole(11, 5, 6),
        ),
        "softmax of channels": (chain(nn.Conv2d(1, 4, 3), nn.Softmax(dim=1)), r(5, 1, 6, 6)),
        "softmax 2-D": (chain(nn.Conv2d(1, 4, 1), nn.Softmax2d()), r(5, 1, 6, 6)),
        "unflatten": (
            conv_flat(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), features=8),
            r(5, 16),
        ),
        "identity": (nn.Identity(), r(5, 3)),
    }
