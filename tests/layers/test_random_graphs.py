"""Random Graphs against PyTorch: losses, every gradient, and training by recordings."""

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest

from minifw import (
    GELU,
    L1,
    L2,
    SGD,
    Add,
    BatchNorm,
    BCELoss,
    CategoricalCrossEntropyLoss,
    Concat,
    Dense,
    Dropout,
    Graph,
    Join,
    Layer,
    LayerNorm,
    MSELoss,
    Objective,
    Parameter,
    Residual,
    Sequential,
    Sigmoid,
    Softmax,
    SumLoss,
    Tanh,
)
from minifw.typing import Array

torch: Any = importlib.import_module("torch") if importlib.util.find_spec("torch") else None

Tensor: TypeAlias = Any  # of torch
Line: TypeAlias = tuple[Layer, tuple[str, ...]]

ROWS, WIDTH = 5, 3


class Twice(Layer):
    """Two outputs, x * scale and x^2 / 2."""

    output_names = ("y", "half")
    replayable = True

    def __init__(self) -> None:
        self.scale = Parameter(np.linspace(0.5, 1.5, WIDTH))

    def output_shape(self, shape: Any) -> Any:
        return shape, shape

    def forward(self, x: Array) -> tuple[Array, Array]:
        self.save(x)
        return x * self.scale.value, x * x / 2

    def backward(self, dy: Array, dhalf: Array) -> Array:
        (x,) = self.saved()
        self.scale.grad[...] = (dy * x).sum(axis=0)
        return dy * self.scale.value + dhalf * x


class Bilinear(Layer):
    """y_k = a' W_k b."""

    def __init__(self, seed: int) -> None:
        self.weight = Parameter(np.random.default_rng(seed).standard_normal((WIDTH,) * 3) / 2)

    def output_shape(self, a: Any, _: Any) -> Any:
        return a

    def forward(self, a: Array, b: Array) -> Array:
        self.save(a, b)
        y: Array = np.einsum("ni,kij,nj->nk", a, self.weight.value, b)
        return y

    def backward(self, dy: Array) -> tuple[Array, Array]:
        a, b = self.saved()
        w = self.weight
        w.grad[...] = np.einsum("nk,ni,nj->kij", dy, a, b)
        return np.einsum("nk,kij,nj->ni", dy, w.value, b), np.einsum(
            "nk,kij,ni->nj", dy, w.value, a
        )


class Torch:
    """The same computation in PyTorch: it knows each layer's formula, and the lines as drawn."""

    def __init__(self, model: Layer, lines: dict[int, Any]) -> None:
        self.lines = lines
        self.tensors = {
            id(p): torch.tensor(p.value, requires_grad=not p.frozen)
            for _, p in model.named_parameters()
        }
        self.masks: dict[int, Any] = {}

    def run(self, layer: Any, *xs: Tensor) -> Any:
        x, own = xs[0], {k: self.tensors.get(id(v)) for k, v in vars(layer).items()}
        if isinstance(layer, Graph):
            inputs, lines, outputs = self.lines[id(layer)]
            values = dict(zip(inputs, xs, strict=True))
            for name, takes in lines.items():
                made = self.run(layer[name], *(values[one] for one in takes))
                several = type(made) is tuple
                names = (
                    [f"{name}.{end}" for end in layer[name].output_names] if several else [name]
                )
                values.update(zip(names, made if several else (made,), strict=True))
            given = tuple(values[name] for name in outputs)
            return given if len(given) > 1 else given[0]
        if isinstance(layer, Sequential):
            for one in layer:
                x = self.run(one, x)
            return x
        formulas: dict[type[Layer], Callable[[], Any]] = {
            Residual: lambda: x + self.run(layer.layer, x),
            Concat: lambda: torch.cat([self.run(one, x) for one in layer], 1),
            Add: lambda: sum(xs[1:], x),
            Join: lambda: torch.cat(xs, 1),
            Dense: lambda: torch.nn.functional.linear(x, own["weight"], own["bias"]),
            Bilinear: lambda: torch.einsum("ni,kij,nj->nk", x, own["weight"], xs[1]),
            Twice: lambda: (x * own["scale"], x * x / 2),
            LayerNorm: lambda: torch.nn.functional.layer_norm(
                x, x.shape[1:], own["weight"], own["bias"]
            ),
            BatchNorm: lambda: torch.nn.functional.batch_norm(
                x,
                torch.tensor(layer.running_mean),
                torch.tensor(layer.running_var),
                own["weight"],
                own["bias"],
                layer.training,
            ),
            Dropout: lambda: x * self.mask(layer, x) if layer.training else x,
            Tanh: lambda: torch.tanh(x),
            GELU: lambda: torch.nn.functional.gelu(x),
            Sigmoid: lambda: torch.sigmoid(x),
            Softmax: lambda: torch.softmax(x, 1),
        }
        return formulas[type(layer)]()

    def mask(self, layer: Dropout, x: Tensor) -> Tensor:
        """Return the next mask, drawn as the layer will draw it."""
        if id(layer) not in self.masks:
            self.masks[id(layer)] = np.random.default_rng(0)
            self.masks[id(layer)].bit_generator.state = layer.rng.bit_generator.state
        drawn = self.masks[id(layer)].random(x.shape, dtype=np.float32)
        return torch.tensor((drawn >= layer.p) / (1 - layer.p))


class Draw:
    """Draws networks, and keeps the lines of their Graphs for `Torch`."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: dict[int, Any] = {}
        self.made: list[Layer] = []  # of one input and one output, to be used again

    def pick(self, things: Any) -> Any:
        return things[self.rng.integers(len(things))]

    def layer(self, depth: int) -> Layer:
        """Return a layer that keeps the width; now and then, one that is there already."""
        if self.made and self.rng.random() < 0.2:
            again: Layer = self.pick(self.made)
            return again
        seed = int(self.rng.integers(99))
        simple: list[Callable[[], Layer]] = [
            lambda: Dense(WIDTH, WIDTH, rng=seed),
            *(Tanh, GELU, Softmax),
            lambda: LayerNorm(WIDTH),
            lambda: BatchNorm(WIDTH),
            lambda: Dropout(0.3, rng=seed),
        ]
        nested: list[Callable[[], Layer]] = [
            lambda: Residual(self.layer(depth - 1)),
            lambda: Sequential(self.layer(depth - 1), Dense(WIDTH, WIDTH, rng=seed)),
            lambda: Sequential(Concat(Dense(WIDTH, 2, rng=seed), Tanh()), Dense(5, WIDTH, rng=1)),
            lambda: self.graph(["z"], depth - 1, 1),
        ]
        layer: Layer = self.pick(simple if depth < 1 else simple + nested)()
        self.made.append(layer)
        return layer

    def graph(self, inputs: list[str], depth: int, count: int) -> Graph:
        """Return a Graph of so many outputs, which takes all that it makes."""
        lines: dict[str, Line] = {}
        values = list(inputs)
        for number in range(self.rng.integers(2, 7)):
            name, kind = f"v{number}", self.rng.integers(8)
            taken = [self.pick(values[-4:]) for _ in range(3)]
            if kind == 0:
                lines[name] = Add(), tuple(taken)
            elif kind == 1:
                lines[name] = Bilinear(number), (taken[0], taken[1])
            elif kind == 2:
                lines[name] = Twice(), (taken[0],)
                values += [f"{name}.y", f"{name}.half"]
                continue
            else:
                lines[name] = self.layer(depth), (taken[0],)
            values.append(name)
        used = {one for _, takes in lines.values() for one in takes}
        ends = [name for name in values if name not in used]
        lines["all"] = Join(), tuple(ends)
        for output in range(count):
            lines[f"o{output}"] = Dense(WIDTH * len(ends), WIDTH, rng=output), ("all",)
        outputs = tuple(f"o{output}" for output in range(count))
        given: dict[str, Any] = {name: (layer, *takes) for name, (layer, takes) in lines.items()}
        graph = Graph(*inputs, outputs=outputs, **given)
        takes = {name: takes for name, (_, takes) in lines.items()}
        self.lines[id(graph)] = inputs, takes, outputs
        return graph


def drawn(seed: int) -> tuple[Draw, Graph, Any, Any]:
    """Return a network, its loss, and the loss in PyTorch, of outputs and targets."""
    draw = Draw(seed)
    graph = draw.graph(["a", "b"][: draw.rng.integers(1, 3)], 2, int(draw.rng.integers(1, 4)))
    inputs, takes, outputs = draw.lines[id(graph)]
    heads = [draw.pick((None, Sigmoid(), Softmax())) for _ in outputs]
    lines: dict[str, Any] = {name: (graph[name], *taken) for name, taken in takes.items()}
    for name, head in zip(outputs, heads, strict=True):
        if head is not None:
            lines[f"p{name}"], takes[f"p{name}"] = (head, name), (name,)
    ends = [
        name if head is None else f"p{name}" for name, head in zip(outputs, heads, strict=True)
    ]
    model = Graph(*inputs, outputs=tuple(ends), **lines)
    draw.lines[id(model)] = inputs, takes, ends
    kinds: dict[Any, Any] = {
        Sigmoid: BCELoss(),
        Softmax: CategoricalCrossEntropyLoss(),
        type(None): MSELoss(),
    }
    losses = [kinds[type(head)] for head in heads]
    if draw.rng.random() < 0.3:  # tied
        slots = [
            layer
            for _, layer in model.named_layers()
            if type(layer) is Dense and layer.weight.shape == (WIDTH, WIDTH)
        ]
        for slot in slots[1:3]:
            slot.weight = slots[0].weight
    for _, layer in model.named_layers():
        if draw.rng.random() < 0.08:
            layer.freeze()
    loss = SumLoss(*losses, weights=range(1, len(losses) + 1)) if len(losses) > 1 else losses[0]
    return draw, model, loss, losses


def torch_loss(losses: list[Any], outputs: Any, targets: list[Any]) -> Tensor:
    total = 0.0
    outputs = outputs if type(outputs) is tuple else (outputs,)
    for weight, (loss, p, t) in enumerate(zip(losses, outputs, targets, strict=True), 1):
        one = torch.tensor(t)
        if isinstance(loss, MSELoss):
            part = torch.nn.functional.mse_loss(p, one)
        elif isinstance(loss, BCELoss):
            part = torch.nn.functional.binary_cross_entropy(p, one)
        else:
            part = torch.nn.functional.nll_loss(torch.log(p), one)
        total = total + weight * part
    return total


def target_of(loss: Any, rng: np.random.Generator) -> Any:
    if isinstance(loss, CategoricalCrossEntropyLoss):
        return rng.integers(0, WIDTH, ROWS)
    return rng.integers(0, 2, (ROWS, WIDTH)).astype(np.float64)


@pytest.mark.skipif(torch is None, reason="PyTorch, which is the truth here, is not installed")
@pytest.mark.parametrize("block", range(6))
def test_every_gradient_is_pytorchs(block: int) -> None:
    for seed in range(10 * block, 10 * block + 10):
        draw, model, loss, losses = drawn(seed)
        rng = draw.rng
        xs = tuple(rng.standard_normal((ROWS, WIDTH)) for _ in model.input_names)
        targets = [target_of(one, rng) for one in losses]
        penalties = [L1(model, 0.1), L2(model, 0.2, biases=True)] if seed % 3 == 0 else []
        oracle = Torch(model, draw.lines)
        tensors = [torch.tensor(x, requires_grad=True) for x in xs]
        wanted = torch_loss(losses, oracle.run(model, *tensors), targets)
        trained = [(name, p) for name, p in model.named_parameters() if not p.frozen]
        theirs = [oracle.tensors[id(p)] for _, p in trained]
        for penalty in penalties:
            for parameter in penalty.parameters():
                theta = oracle.tensors[id(parameter)]
                amount = theta.abs() if type(penalty) is L1 else theta**2 / 2
                wanted = wanted + penalty.rate * amount.sum()
        grads = torch.autograd.grad(wanted, [*theirs, *tensors])

        objective = Objective(model, loss, penalties=penalties)
        x: Any = xs if len(xs) > 1 else xs[0]
        target: Any = tuple(targets) if len(targets) > 1 else targets[0]
        value = objective.forward(x, target)
        np.testing.assert_allclose(value, wanted.item(), rtol=1e-9, err_msg=f"seed {seed}")
        for _ in range(2):  # nothing accumulates
            objective.backward()
            for (name, p), grad in zip(trained, grads[: len(trained)], strict=True):
                np.testing.assert_allclose(
                    p.grad, grad, rtol=1e-7, atol=1e-9, err_msg=f"seed {seed}: {name}"
                )
        found = objective.input_gradient()
        for dx, right in zip(found if len(xs) > 1 else (found,), grads[-len(xs) :], strict=True):
            np.testing.assert_allclose(dx, right, rtol=1e-7, atol=1e-9, err_msg=f"seed {seed}")


@pytest.mark.parametrize("seed", range(0, 60, 10))
def test_a_recorded_step_has_the_bits_of_the_text(seed: int) -> None:
    results = []
    for replay in (True, False):
        draw, model, loss, losses = drawn(seed)
        xs = tuple(draw.rng.standard_normal((ROWS, WIDTH)) for _ in model.input_names)
        targets = tuple(target_of(one, draw.rng) for one in losses)
        objective = Objective(model, loss, replay=replay)
        body = model.parameters()
        groups: Any = [{"params": body[:1], "lr": 3e-4}, {"params": body[1:]}]
        optimizer = SGD(groups, lr=1e-4, momentum=0.9)
        costs = []
        for step in range(8):
            x = tuple(np.roll(one, step, axis=0) for one in xs)
            costs.append(
                objective.forward(
                    x if len(x) > 1 else x[0], targets if len(targets) > 1 else targets[0]
                )
            )
            objective.backward()
            optimizer.step()
            if step == 3:
                optimizer.lr = 5e-5
                model.eval()
            if step == 5:
                model.train()
        results.append((costs, [array.tobytes() for array in model.state_dict().values()]))
    assert results[0] == results[1]
