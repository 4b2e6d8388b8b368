"""The two sides of a piece: minifw through its public interface, PyTorch as one writes it."""

import importlib
import re
import sys
import tempfile
from collections.abc import Callable
from functools import cache, partial
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import minifw as fw
from peers.pieces import Build, Side

__all__ = [
    "gpt_step",
    "gpt_tokens",
    "layer",
    "loading",
    "loss",
    "prediction",
    "saving",
    "step",
    "update",
]

ROOT = Path(__file__).parents[3]
OURS, THEIRS, FILES = "minifw", "PyTorch eager", "NumPy"
LR = 1e-5  # so small that the numbers stay what they are at the start
BATCHES = 4  # that follow each other
CHARACTERS = 95
F32: Any = {"dtype": np.float32}
SEEDED: Any = {"dtype": np.float32, "rng": 0}
SAME = (
    *("ELU", "Flatten", "GELU", "Identity", "LeakyReLU", "ReLU", "Sequential", "SiLU"),
    *("Sigmoid", "Softmax", "Softplus", "Tanh"),
)
LIKE_TORCH: dict[str, Any] = {
    "Linear": partial(fw.Dense, **SEEDED),
    "Conv2d": partial(fw.Conv2D, **SEEDED),
    "BatchNorm1d": partial(fw.BatchNorm, **F32),
    "BatchNorm2d": partial(fw.BatchNorm, **F32),
    "LayerNorm": partial(fw.LayerNorm, **F32),
    "Embedding": partial(fw.Embedding, **SEEDED),
    "LSTM": partial(fw.LSTM, **SEEDED),
    "GRU": partial(fw.GRU, **SEEDED),
    "MaxPool2d": fw.MaxPool2D,
    "Dropout": partial(fw.Dropout, rng=0),
} | {name: getattr(fw, name) for name in SAME}


def pair(build: Build, *, dropout: bool = True) -> tuple[Any, Any]:
    """Return a model of each, with the same weights."""
    models = []
    recurrent = {name: outputs_of(name) for name in ("LSTM", "GRU")}
    for names in (LIKE_TORCH, vars(torch.nn) | recurrent):
        changed = {} if dropout else {"Dropout": partial(_identity, names["Identity"])}
        models.append(build(SimpleNamespace(**names | changed)))
    load(models[1], models[0])
    return models[0], models[1]


def _identity(kind: Any, rate: float) -> Any:
    del rate
    return kind()


def outputs_of(name: str) -> Callable[..., Any]:
    """Return how to build a recurrent module of PyTorch that returns no state."""
    kind: Any = getattr(torch.nn, name)
    forward = {"forward": lambda self, x: kind.forward(self, x)[0]}
    return partial(type(name, (kind,), forward), batch_first=True)


def load(module: Any, model: Any) -> None:
    state = {name: torch.tensor(value) for name, value in model.state_dict().items()}
    module.load_state_dict(state, strict=False)  # `num_batches_tracked` is PyTorch's alone


def numbers(shape: tuple[int, ...], indices: int = 0, seed: int = 0) -> tuple[Any, Any]:
    """Return normal numbers, or whole ones below `indices`, as an array and as a tensor."""
    rng = np.random.default_rng(seed)
    if indices:
        x: Any = rng.integers(0, indices, shape)
    else:
        x = rng.standard_normal(shape, dtype=np.float32)
    return x, torch.tensor(x)


def gradients(ours: Any) -> list[Any]:
    return [parameter.grad for parameter in ours.parameters()]


def arrays(tensors: Any) -> list[Any]:
    return [np.asarray(tensor.detach()) for tensor in tensors]


def layer(
    build: Build,
    shape: tuple[int, ...],
    *,
    indices: int = 0,
    backward: bool = True,
    optimizer: str = "",
    fused: bool = False,
    dropout: bool = True,
) -> tuple[Side, Side]:
    """Forward and backward of one layer, with the update of its parameters if need be."""
    ours, theirs = pair(build, dropout=dropout)
    x, tensor = numbers(shape, indices)
    dy, slopes = numbers(ours.forward(x).shape, seed=1)
    wanted = [*theirs.parameters()]
    if not indices:
        wanted.insert(0, tensor.requires_grad_())
    updates = optimizers(optimizer, ours.parameters(), theirs.parameters(), fused=fused)

    def run() -> Any:
        y = ours.forward(x)
        if not backward:
            return y, None
        dx = ours.backward_parameters(dy) if indices else ours.backward(dy)
        if optimizer:
            updates[0].step()
        return y, dx

    def other() -> Any:
        y = theirs(tensor)
        if not backward:
            return [y]
        grads = torch.autograd.grad(y, wanted, slopes)
        if optimizer:
            for parameter, grad in zip(wanted, grads, strict=True):
                parameter.grad = grad
            updates[1].step()
        return y, *grads

    def look(found: Any) -> list[Any]:
        shown = [array for array in found if array is not None]
        return [*shown, *(gradients(ours) if backward else [])]

    return Side(OURS, run, look), Side(THEIRS, other, arrays)


def optimizers(
    name: str, ours: Any, theirs: Any, *, lr: float = LR, fused: bool = False
) -> tuple[Any, Any]:
    """Return both, if there is a name."""
    if not name:
        return None, None
    other: dict[str, Any] = {"fused": True} if fused else {}
    return getattr(fw, name)(ours, lr=lr), getattr(torch.optim, name)(theirs, lr=lr, **other)


def loss(
    build: Build, shape: tuple[int, ...], *, classes: int, dropout: bool = True
) -> tuple[Side, Side]:
    """Forward and backward of the cross-entropy of what a model returns."""
    ours, theirs = pair(build, dropout=dropout)
    x, tensor = numbers(shape)
    z, logits = ours.forward(x), theirs(tensor).detach().requires_grad_()
    target, labels = numbers(shape[:1], classes, seed=1)
    criterion, functional = fw.CrossEntropyLoss(), torch.nn.functional.cross_entropy

    def run() -> Any:
        return criterion.forward(z, target), criterion.backward()

    def other() -> Any:
        cost = functional(logits, labels)
        return cost, *torch.autograd.grad(cost, [logits])

    return Side(OURS, run, list), Side(THEIRS, other, arrays)


def step(
    build: Build,
    shape: tuple[int, ...],
    *,
    classes: int,
    optimizer: str = "SGD",
    batches: int = BATCHES,
    dropout: bool = True,
) -> tuple[Side, Side]:
    """One training step."""
    ours, theirs = pair(build, dropout=dropout)
    data = []
    for seed in range(batches):
        target: Any = np.random.default_rng(seed).integers(0, max(classes, 2), shape[0])
        if classes == 1:
            target = target.astype(np.float32).reshape(-1, 1)
        data.append((*numbers(shape, seed=seed), target, torch.tensor(target)))
    name = "BCEWithLogitsLoss" if classes == 1 else "CrossEntropyLoss"
    return steps(ours, theirs, data, (name, optimizer), LR)


def steps(
    ours: Any, theirs: Any, data: list[Any], names: tuple[str, str], lr: float
) -> tuple[Side, Side]:
    loss, optimizer = names
    objective, criterion = fw.Objective(ours, getattr(fw, loss)()), getattr(torch.nn, loss)()
    update, updated = optimizers(optimizer, ours.parameters(), theirs.parameters(), lr=lr)
    batches, tensors = cycle(data), cycle(data)

    def run() -> Any:
        x, _, target, _ = next(batches)
        cost = objective.forward(x, target)
        objective.backward()
        update.step()
        return cost

    def other() -> Any:
        _, x, _, target = next(tensors)
        updated.zero_grad()
        cost = criterion(theirs(x), target)
        cost.backward()
        updated.step()
        return cost.item()

    def look(cost: Any) -> list[Any]:
        return [cost, *gradients(ours)]

    def look_there(cost: Any) -> list[Any]:
        return [cost, *arrays(parameter.grad for parameter in theirs.parameters())]

    return Side(OURS, run, look), Side(THEIRS, other, look_there)


def update(size: int, *, fused: bool = False, dropout: bool = True) -> tuple[Side, Side]:
    """Adam's update of one vector; `dropout` says nothing here."""
    del dropout
    values, tensor = numbers((size,))
    grad, slopes = numbers((size,), seed=1)
    parameter, other = fw.Parameter(values), torch.nn.Parameter(tensor)
    ours, theirs = optimizers("Adam", [parameter], [other], fused=fused)
    parameter.grad[...], other.grad = grad, slopes
    return (
        Side(OURS, ours.step, lambda _: [parameter.value]),
        Side(THEIRS, theirs.step, lambda _: arrays([other])),
    )


def prediction(
    build: Build, shape: tuple[int, ...], *, predictor: bool = True, dropout: bool = True
) -> tuple[Side, Side]:
    """Answer in eval mode."""
    ours, theirs = pair(build, dropout=dropout)
    x, tensor = numbers(shape)
    predict = fw.Predictor(ours) if predictor else ours.predict
    theirs.eval()

    def other() -> Any:
        with torch.inference_mode():
            return theirs(tensor)

    return (
        Side(OURS, lambda: predict(x), lambda y: [y]),
        Side(THEIRS, other, lambda y: arrays([y])),
    )


def saving(build: Build, *, dropout: bool = True) -> tuple[Side, Side]:
    """Write a model into a file, and its arrays by NumPy."""
    model, here, there = pair(build, dropout=dropout)[0], *files()

    def look(_: object) -> list[Any]:
        return [*fw.load(here).state_dict().values()]

    def look_there(_: object) -> list[Any]:
        return read(there)

    return (
        Side(OURS, lambda: fw.save(model, here), look),
        Side(FILES, lambda: np.savez(there, **model.state_dict()), look_there),
    )


def loading(build: Build, *, dropout: bool = True) -> tuple[Side, Side]:
    """Read both files."""
    model, here, there = pair(build, dropout=dropout)[0], *files()
    fw.save(model, here)
    np.savez(there, **model.state_dict())
    return (
        Side(OURS, lambda: fw.load(here), lambda found: [*found.state_dict().values()]),
        Side(FILES, lambda: read(there), list),
    )


def files() -> tuple[Path, Path]:
    folder = Path(_folder().name)
    return folder / "model.npz", folder / "arrays.npz"


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()  # gone with the process


def read(path: Path) -> list[Any]:
    with np.load(path) as found:
        return [found[name] for name in found.files]


def gpt(context: int) -> tuple[Any, Any]:
    """Return the GPT of examples/gpt.py, and PyTorch's of docs/howto/gpt.md with its weights."""
    sys.path.insert(0, str(ROOT / "examples"))
    example: Any = importlib.import_module("gpt")
    example.CONTEXT = context
    ours = example.gpt(CHARACTERS, np.random.default_rng(0))
    page = (ROOT / "docs" / "howto" / "gpt.md").read_text("utf-8")
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(import torch.*?)```", page, re.DOTALL)[0], names)  # noqa: S102
    theirs = names["GPT"](CHARACTERS, context, example.WIDTH, example.HEADS, example.BLOCKS)
    names["load"](theirs, ours.state_dict())
    return ours, theirs


def gpt_step(batch: int, context: int, *, dropout: bool = True) -> tuple[Side, Side]:
    """One training step of a GPT, which has no Dropout."""
    del dropout
    text, tensor = numbers((batch, context + 1), CHARACTERS, seed=1)
    data = [(text[:, :-1], tensor[:, :-1], text[:, 1:], tensor[:, 1:].flatten())]
    ours, theirs = gpt(context)
    flat = torch.nn.Sequential(theirs, torch.nn.Flatten(0, 1))
    return steps(ours, flat, data, ("CrossEntropyLoss", "AdamW"), 1e-3)


def gpt_tokens(context: int, *, dropout: bool = True) -> tuple[Side, Side]:
    """As many tokens as fit, one by one, with the keys and values of those before kept."""
    del dropout
    model, module = gpt(context)
    text, tensor = numbers((1, context), CHARACTERS, seed=1)
    predictor, functional = fw.Predictor(model), torch.nn.functional
    blocks = [*module.children()][2:-1]

    def run() -> Any:
        predictor.reset()
        for place in range(context):
            scores = predictor.step(text[:, place])
        return scores

    def other() -> Any:
        kept: list[Any] = [None] * len(blocks)
        for place in range(context):
            x = module.code(tensor[:, place]) + module.x.weight[place]
            for index, block in enumerate(blocks):
                attention = block.attention
                weight, bias = attention.in_proj_weight, attention.in_proj_bias
                parts = functional.linear(block.norm(x), weight, bias)
                q, k, v = parts.reshape(len(x), 3, attention.num_heads, 1, -1).unbind(1)
                if kept[index] is not None:
                    k, v = (torch.cat(pair, 2) for pair in zip(kept[index], (k, v), strict=True))
                kept[index] = k, v
                z = functional.scaled_dot_product_attention(q, k, v)
                x = x + attention.out_proj(z.reshape(x.shape))
                wide = functional.gelu(block.wide(block.norm2(x)), approximate="tanh")
                x = x + block.narrow(wide)
            scores = functional.linear(module.norm(x), module.code.weight)
        return scores

    return (
        Side(OURS, run, lambda scores: [scores]),
        Side(THEIRS, torch.inference_mode()(other), lambda scores: arrays([scores])),
    )
