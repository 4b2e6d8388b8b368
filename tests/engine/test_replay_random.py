"""Random networks, random assignments between the steps: replayed or not, the same bits."""

import copy
import pickle
from collections.abc import Callable
from contextlib import suppress
from math import prod
from typing import Any, ClassVar

import numpy as np
import pytest

from minifw import (
    ELU,
    GELU,
    SELU,
    SGD,
    Adam,
    Array,
    AvgPool2D,
    BatchNorm,
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    Concat,
    CrossEntropyLoss,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAvgPool2D,
    HardTanh,
    HingeLoss,
    HuberLoss,
    L1Loss,
    Layer,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    Loss,
    MaxPool2D,
    MSELoss,
    NLLLoss,
    Objective,
    Parameter,
    PReLU,
    ReLU,
    Reshape,
    Residual,
    RMSNorm,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from minifw._tools.options import options_of

RNG = np.random.Generator
FINAL = {BCELoss: Sigmoid, NLLLoss: LogSoftmax, CategoricalCrossEntropyLoss: Softmax}
OF_CLASSES = (NLLLoss, CategoricalCrossEntropyLoss, CrossEntropyLoss)


class Mixed(Layer):
    """An author's layer: an option, an option that is an array, a tuple, and a parameter."""

    replayable: ClassVar[bool] = True

    def __init__(self, features: int, dtype: Any) -> None:
        self.scale = Parameter(np.ones(features, dtype))
        self.rate, self.shift, self.powers = 0.5, np.linspace(0, 1, features), (1, 2)
        self.shift = self.shift.astype(dtype)

    def forward(self, x: Array) -> Array:
        self.save(x)
        y = np.empty_like(x)
        y[...] = x * self.scale.value
        y += self.shift
        return y * self.rate if self.training else y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dy = dy * (self.rate * self.powers[0])
        self.scale.grad[...] = (dy * x).sum(axis=tuple(range(x.ndim - 1)))
        return dy * self.scale.value


def activation(rng: RNG, shape: Any, dtype: Any) -> Layer:
    kinds: list[Callable[[], Layer]] = [
        *(Tanh, Sigmoid, ReLU, LeakyReLU, ELU, SELU, HardTanh, GELU, SiLU, Softplus),
        lambda: GELU("tanh"),
        lambda: Softmax(axis=int(rng.integers(1, len(shape) + 1))),
        lambda: LogSoftmax(axis=-1),
        lambda: PReLU(int(rng.choice([1, shape[0]])), dtype=dtype),
        lambda: Dropout(float(rng.choice([0.2, 0.5, 0.0])), rng=int(rng.integers(99))),
        lambda: LayerNorm(shape[-1], dtype=dtype),
        lambda: RMSNorm(shape, affine=bool(rng.integers(2)), dtype=dtype),
        lambda: Mixed(shape[-1], dtype),
    ]
    if len(shape) != 2:
        kinds += 3 * [lambda: BatchNorm(shape[0], affine=bool(rng.integers(2)), dtype=dtype)]
    return kinds[rng.integers(len(kinds))]()


def layer(rng: RNG, shape: Any, dtype: Any, depth: int) -> Layer:
    """Return one that takes examples of this shape, maybe one with others inside."""
    flat, image = len(shape) == 1, len(shape) == 3
    inner = [activation(rng, shape, dtype) for _ in range(rng.integers(1, 3))]
    kept = Sequential(*inner, *([Dense(shape[0], shape[0], rng=4, dtype=dtype)] if flat else []))
    kinds: list[Callable[[], Layer]] = 3 * [lambda: activation(rng, shape, dtype)]
    if flat:
        kinds += 3 * [lambda: Dense(shape[0], int(rng.integers(1, 5)), rng=3, dtype=dtype)]
    else:
        kinds += [Flatten]
    if depth:
        kinds += [lambda: Sequential(*chain(rng, shape, dtype, depth - 1))]
    kinds += [lambda: Concat(*inner), lambda: Residual(kept)]
    kinds += [lambda: Reshape((-1, shape[-1]) if image else shape)]
    if image and min(shape[1:]) > 1:
        kinds += [lambda: MaxPool2D(2), lambda: AvgPool2D(2), GlobalAvgPool2D]
    made: Layer = kinds[rng.integers(len(kinds))]()
    return made


def chain(rng: RNG, shape: Any, dtype: Any, depth: int) -> list[Layer]:
    layers: list[Layer] = []
    for _ in range(rng.integers(1, 4)):
        layers.append(layer(rng, shape, dtype, depth))
        shape = layers[-1].output_shape(shape)
    return layers


class Mine(Loss):
    """An author's loss, with two options of which one is an array."""

    replayable: ClassVar[bool] = True

    def __init__(self) -> None:
        self.rate, self.offset = 0.5, np.zeros(1, np.float32)

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        error = prediction - target
        error += self.offset
        self.save(error)
        return self.finite(np.asanyarray(self.rate * np.mean(error * error)))

    def backward(self) -> Array:
        (error,) = self.saved()
        dp: Array = error * (2 * self.rate / error.size)
        return dp


LOSSES = (MSELoss, L1Loss, HuberLoss, HingeLoss, BCEWithLogitsLoss, *FINAL, CrossEntropyLoss, Mine)


class Game:
    """A random objective, its optimizer, and the same moves for it as for its copies."""

    objective: Objective
    optimizer: Any
    log: list[str]  # of the moves

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.dtype: Any = (np.float64, np.float32)[rng.integers(2)]
        shapes = [(3,), (1,), (5,), (2, 3), (2, 4, 4), (3, 2, 1)]
        self.shape: Any = shapes[rng.integers(len(shapes))]
        self.table = rng.integers(8) == 0
        if self.table:
            self.shape = self.shape[:1]
        layers: list[Layer] = [Embedding(6, 3, rng=1, dtype=self.dtype)] if self.table else []
        shape = layers[0].output_shape(self.shape) if layers else self.shape
        layers += chain(rng, shape, self.dtype, 2)
        kind = LOSSES[rng.integers(len(LOSSES))]
        self.loss = kind()
        shape = Sequential(*layers).output_shape(self.shape)
        if kind in OF_CLASSES or rng.integers(2):
            out = int(rng.integers(1, 4)) + (kind in OF_CLASSES)
            layers += [Flatten(), Dense(prod(shape), out, rng=5, dtype=self.dtype)]
        layers += [FINAL[kind]()] if kind in FINAL else []
        self.model = Sequential(*layers)
        self.out: Any = self.model.output_shape(self.shape)
        self.soft = bool(rng.integers(2)) and kind is not NLLLoss
        self.kind, self.adam = kind, bool(rng.integers(2))
        rows = [1, 2, int(rng.integers(3, 9))]
        self.batches = [
            (rows[rng.integers(3)], "CFS"[rng.integers(3)], "CF"[rng.integers(2)])
            for _ in range(rng.choice([1, 1, 2, 3]))
        ]
        self.same = rng.integers(4) == 0  # the same batch at each step
        self.errors: Any = {}
        self.replayed = 0

    def begin(self, *, replay: bool) -> "Game":
        other = copy.copy(self)
        other.model, other.loss = copy.deepcopy((self.model, self.loss))
        other.log = []
        other.objective = Objective(other.model, other.loss, replay=replay)
        other.optimize()
        return other

    def optimize(self, parameters: Any = None) -> None:
        parameters = parameters or self.objective.model.parameters()
        self.optimizer = None
        if parameters:
            kind: Any = Adam if self.adam else SGD
            self.optimizer = kind(parameters, lr=0.01)

    def batch(self, rng: RNG) -> tuple[Any, Any]:
        rows, *layouts = self.batches[rng.integers(len(self.batches))]
        rng = np.random.default_rng(7) if self.same else rng
        x: Any = rng.standard_normal((rows, *self.shape)).astype(self.dtype)
        if self.table:
            x = rng.integers(0, 6, (rows, *self.shape))
        target: Any = rng.random((rows, *self.out)).astype(self.dtype)
        if self.kind in OF_CLASSES and not self.soft:
            target = target.argmax(axis=-1)
        elif self.kind in OF_CLASSES:
            target /= target.sum(axis=-1, keepdims=True)
        elif self.kind is HingeLoss:
            target = np.sign(target - 0.5)
        elif not self.soft:
            target = np.round(target)
        return laid_out(x, layouts[0]), laid_out(target, layouts[1])

    # -- moves: each draws from rng alone, so two copies do the same ------------------------

    @property
    def layers(self) -> list[Any]:
        return [one for _, one in self.objective.model._all_layers()]

    def pick(self, rng: RNG, kind: Any = object) -> Any:
        found = [one for one in self.layers if isinstance(one, kind)]
        return found[rng.integers(len(found))] if found else None

    def option(self, rng: RNG) -> None:
        part = self.pick(rng) if rng.integers(2) else self.objective.loss
        names = [name for name, option in options_of(type(part)).items() if not option._fixed]
        if not names:
            return
        name = names[rng.integers(len(names))]
        value: Any = float(rng.uniform(0.1, 0.9))
        if name == "approximate":
            value = ["none", "tanh"][rng.integers(2)]
        elif name == "min_val":
            value = -value
        elif name in ("weight", "pos_weight"):
            value = [None, rng.uniform(0.5, 2, self.out[-1])][rng.integers(2)]
        setattr(part, name, value)

    def author(self, rng: RNG) -> None:
        part = self.pick(rng, Mixed)
        if part is not None:
            part.shift[0] = rng.random()
            part.rate, part.powers = float(rng.random()), (int(rng.integers(3)),)
        if isinstance(self.loss, Mine):
            loss: Any = self.objective.loss
            loss.offset[0] = loss.rate = float(rng.random())

    def in_place(self, rng: RNG) -> None:
        for name in ("weight", "pos_weight"):
            array = getattr(self.objective.loss, name, None)
            if array is not None and array.flags.writeable:
                array[...] *= rng.uniform(0.5, 1.5)

    def value(self, rng: RNG) -> None:
        parameters = self.objective.model.parameters()
        for p in parameters[: rng.integers(len(parameters) + 1)]:
            p.value = rng.standard_normal(p.shape).astype(p.dtype)

    def parameter(self, rng: RNG) -> None:
        owner = self.pick(rng, (Dense, LayerNorm, BatchNorm, PReLU))
        if owner is not None and owner.weight is not None:
            owner.weight = Parameter(owner.weight.value * self.dtype(rng.random()))
            self.optimize()

    def layer(self, rng: RNG) -> None:
        container = self.pick(rng, (Sequential, Residual))
        if isinstance(container, Residual):
            container.layer = copy.deepcopy(container.layer)
        elif container is not None:
            index = int(rng.integers(len(container)))
            new: Any = copy.deepcopy(container[index])
            container[index] = Tanh() if isinstance(new, (ReLU, Tanh, GELU, ELU)) else new
        self.optimize()

    def generator(self, rng: RNG) -> None:
        part = self.pick(rng, Dropout)
        if part is not None:
            new = np.random.default_rng(int(rng.integers(9)))
            if rng.integers(2):
                part.rng = new
            else:
                part.rng.bit_generator.state = new.bit_generator.state

    def mode(self, rng: RNG) -> None:
        self.objective.model.train(bool(rng.integers(3)))

    def mode_of_one(self, rng: RNG) -> None:
        self.pick(rng).training = bool(rng.integers(2))

    def method(self, rng: RNG) -> None:
        part, factor = self.pick(rng), self.dtype(rng.uniform(0.5, 1.5))
        name = ["forward", "backward"][rng.integers(2)]
        if name in vars(part):
            delattr(part, name)
        elif type(part) is not Embedding:
            plain = getattr(part, name)
            setattr(part, name, lambda given: plain(given) * factor)

    def subclass(self, rng: RNG) -> None:
        part = self.pick(rng, (Tanh, ReLU, Dense, Dropout))
        if part is None:
            return
        kind, factor = type(part), self.dtype(rng.uniform(0.5, 1.5))
        body: Any = {"forward": lambda self, x: kind.forward(self, x) * factor}
        body["replayable"] = bool(rng.integers(2))
        part.__class__ = type(kind.__name__, (kind,), body)

    def state(self, rng: RNG) -> None:
        model = self.objective.model
        factor = self.dtype(rng.uniform(0.5, 1.5))
        model.load_state_dict({key: factor * one for key, one in model.state_dict().items()})

    def errstate(self, rng: RNG) -> None:
        self.errors = [{}, {"all": "raise"}, {"all": "ignore"}][rng.integers(3)]

    def new_optimizer(self, rng: RNG) -> None:
        parameters = self.objective.model.parameters()
        order = rng.permutation(len(parameters))[: rng.integers(len(parameters) + 1)]
        self.optimize([parameters[i] for i in order])

    def copies(self, rng: RNG) -> None:
        for part in self.layers:
            vars(part).pop("forward", None), vars(part).pop("backward", None)
        twin = copy.deepcopy(self.objective)
        if rng.integers(2):
            with suppress(Exception):  # of a class made here
                twin = pickle.loads(pickle.dumps(self.objective))
        self.objective = twin
        self.optimize()

    def predict(self, rng: RNG) -> None:
        with np.errstate(all="ignore"):
            self.objective.model.predict(self.batch(rng)[0], allow_nan=True)

    def prediction(self, rng: RNG) -> None:
        self.objective.prediction.fill(rng.random())

    def nothing(self, rng: RNG) -> None:
        pass

    def move(self, seed: int) -> str:
        rng = np.random.default_rng(seed)
        move = MOVES[rng.integers(len(MOVES))]
        self.log.append(move.__name__)
        return str(attempt(lambda: move(self, rng)))

    def step(self, seed: int) -> list[Any]:
        """Make one step; return all that can be seen of it."""
        rng = np.random.default_rng(seed)
        x, target = self.batch(rng)
        given = x.copy(), target.copy()
        weight = rng.random(len(x)).astype(self.dtype) + 1 if rng.integers(12) == 0 else None
        objective, seen = self.objective, list[Any]()
        with np.errstate(**self.errors):
            seen.append(attempt(lambda: objective.forward(x, target, weight)))
            if rng.integers(8) == 0:
                self.log.append("between:")
                seen.append(self.move(seed))
            seen.append(attempt(lambda: objective.prediction))
            self.replayed += objective._step._now is not None
            for _ in range(rng.choice([1, 1, 1, 2, 0])):
                seen.append(attempt(self.objective.backward))
            if self.optimizer is not None:
                seen.append(attempt(self.optimizer.step))
        seen += [np.array_equal(a, b) for a, b in zip((x, target), given, strict=True)]
        for one in self.layers:
            seen += [vars(one).get(name) for name in ("training", *one.buffers)]
            seen.append(repr(one.rng.bit_generator.state) if isinstance(one, Dropout) else "")
        for p in objective.model.parameters():
            seen += [p.value, p.grad]
        return [bits(one) for one in seen]


MOVES: list[Any] = [
    *(Game.option, Game.author, Game.in_place, Game.value, Game.parameter, Game.layer),
    *(Game.generator, Game.mode, Game.mode_of_one, Game.method, Game.subclass, Game.state),
    *(Game.errstate, Game.new_optimizer, Game.copies, Game.predict, Game.prediction),
]

PATCHED = (Dense, Tanh, Sequential, Residual, Dropout, Mixed, MSELoss, BCEWithLogitsLoss)


def toggle(plain: dict[Any, Any], kind: Any) -> None:
    """Put a method on a class, or take it off again."""
    if kind in plain:
        kind.forward = plain.pop(kind)
        return
    forward = plain[kind] = kind.forward

    def shifted(self: Any, x: Array, *rest: Any) -> Any:
        return forward(self, x, *rest) + 1

    kind.forward = shifted


def attempt(call: Callable[[], Any]) -> Any:
    """Return what comes of a call, or what its error says."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - whatever it is, both must raise it
        return f"{type(error).__name__}: {error}"


def laid_out(array: Any, layout: str) -> Any:
    if layout == "S" and array.ndim > 1:  # neither C nor F
        return np.repeat(array, 2, axis=-1)[..., ::2]
    return np.asarray(array, order="F" if layout == "F" else "C")


def bits(value: Any) -> Any:
    if isinstance(value, float | np.ndarray):
        return np.asarray(value).dtype.str, np.shape(value), np.asarray(value).tobytes()
    return value


def play(seed: int, steps: int = 20) -> int:
    """Play a game replayed and not; return how many steps were replayed."""
    start = Game(seed)
    games = [start.begin(replay=replay) for replay in (True, False)]
    rng, patched = np.random.default_rng(seed + 1), dict[Any, Any]()
    calm, every = rng.integers(3, 7, size=2)  # steps before the first move, and the next ones
    try:
        for step in range(steps):
            move, draw = (int(number) for number in rng.integers(2**31, size=2))
            if step >= calm and (step - calm) % every == 0:
                done = [bits(game.move(move)) for game in games]
                assert done[0] == done[1], (seed, step, games[0].log, done)
            seen = [game.step(draw) for game in games]
            if rng.integers(8) == 0:
                toggle(patched, PATCHED[rng.integers(len(PATCHED))])
            if seen[0] != seen[1]:
                place = [a == b for a, b in zip(*seen, strict=True)].index(False)
                raise AssertionError((seed, step, games[0].log, start.model, start.loss, place))
    finally:
        for kind in list(patched):
            toggle(patched, kind)
    return games[0].replayed


@pytest.mark.filterwarnings("ignore")
def test_replayed_or_not_the_bits_are_the_same() -> None:
    assert sum(play(seed) for seed in range(25)) > 60
