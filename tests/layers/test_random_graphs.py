"""Random Graphs: the slope of the loss along random directions, and training by recordings."""

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


class Draw:
    """Draws networks."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.lines: dict[int, Any] = {}  # of each Graph, as drawn
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
    """Return a network, its loss, and the loss of each output."""
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


def target_of(loss: Any, rng: np.random.Generator) -> Any:
    if isinstance(loss, CategoricalCrossEntropyLoss):
        return rng.integers(0, WIDTH, ROWS)
    return rng.integers(0, 2, (ROWS, WIDTH)).astype(np.float64)


@pytest.mark.parametrize("block", range(6))
def test_every_gradient_is_the_slope_of_the_loss(block: int) -> None:
    for seed in range(10 * block, 10 * block + 4):
        draw, model, loss, losses = drawn(seed)
        rng = draw.rng
        xs = tuple(rng.standard_normal((ROWS, WIDTH)) for _ in model.input_names)
        targets = [target_of(one, rng) for one in losses]
        penalties = [L1(model, 0.1), L2(model, 0.2, biases=True)] if seed % 3 == 0 else []
        objective = Objective(model, loss, penalties=penalties)
        x: Any = xs if len(xs) > 1 else xs[0]
        target: Any = tuple(targets) if len(targets) > 1 else targets[0]
        drops = [one.rng for _, one in model.named_layers() if isinstance(one, Dropout)]
        states = [one.bit_generator.state for one in drops]

        def cost(
            objective: Objective = objective, x: Any = x, target: Any = target,
            drops: Any = drops, states: Any = states,
        ) -> float:  # fmt: skip
            for one, state in zip(drops, states, strict=True):
                one.bit_generator.state = state
            return objective.forward(x, target)

        cost()
        for _ in range(2):  # nothing accumulates
            objective.backward()
        found = objective.input_gradient()
        pairs = [(p.value, p.grad.copy()) for p in model.parameters()]
        pairs += zip(xs, found if len(xs) > 1 else (found,), strict=True)
        for _ in range(3):
            ways = [rng.standard_normal(value.shape) for value, _ in pairs]
            slope = sum(np.sum(grad * way) for (_, grad), way in zip(pairs, ways, strict=True))
            before, costs = [value.copy() for value, _ in pairs], []
            for shift in (1e-4, -1e-4, 2e-4, -2e-4):
                for (value, _), old, way in zip(pairs, before, ways, strict=True):
                    value[...] = old + shift * way
                costs.append(cost())
            for (value, _), old in zip(pairs, before, strict=True):
                value[...] = old
            numeric = (8 * (costs[0] - costs[1]) - (costs[2] - costs[3])) / 12e-4
            np.testing.assert_allclose(slope, numeric, rtol=1e-6, atol=1e-7, err_msg=str(seed))


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
