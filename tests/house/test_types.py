"""The types are a contract: mypy refuses what breaks it, before anything runs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]

MARK = "# E: "  # at the end of a line of which mypy says an error; its code follows

HEAD = """\
from typing import Any

import numpy as np
from minifw import SGD, Array, BCELoss, BCEWithLogitsLoss, Concat, Dense, Layer, Loss, Objective
from minifw import Optimizer, Parameter, Residual, Sequential, Sigmoid, Tanh
from minifw import L2, Add, Graph, MeanLoss, MSELoss, Penalty, SumLoss
from minifw import CrossEntropyLoss, NLLLoss
from minifw import GELU, GRU, Adam, AdamW, BatchNorm, Conv2D, Dropout, Embedding, Flatten
from minifw import CosineLR, HuberLoss, LayerNorm, LinearWarmup, MaxPool2D, PReLU
from minifw import ReduceOnPlateau, Softmax
from minifw import Callback, EarlyStopping, History, Progress, Scheduled, Trainer, metrics
from minifw import biases_and_norms, clip_grad_norm, clip_grad_value, minimize
"""

RIGHT = {
    "a layer": """
        class Scale(Layer):
            def __init__(self, features: int) -> None:
                self.scale = Parameter(np.ones(features))

            def forward(self, x: Array) -> Array:
                self.save(x)
                return x * self.scale.value

            def backward(self, dy: Array) -> Array:
                (x,) = self.saved()
                self.scale.grad[...] = (dy * x).sum(axis=0)
                return dy * self.scale.value

        layer = Scale(3)
        y: Array = layer(np.ones((2, 3)))
        names: list[str] = [name for name, _ in layer.eval().named_parameters()]
        shape: tuple[int, ...] = layer.output_shape((3,))
        factors: Array = layer.train().scale.value
        layer.scale.value = 2 * factors
        """,
    "a layer with everything optional": """
        class Double(Layer):
            @property
            def input_shape(self) -> tuple[int, ...] | None:
                return None

            def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
                return input_shape

            def forward(self, x: Array, *, times: int = 2) -> Array:
                return times * x

            def backward(self, dy: Array) -> Array:
                return 2 * dy

            def backward_parameters(self, dy: Array) -> None:
                pass

        Double().backward_parameters(np.ones((2, 3)))
        """,
    "a layer of someone else's, changed": """
        class Doubled(Dense):
            def forward(self, x: Array) -> Array:
                return 2 * super().forward(x)

            def backward(self, dy: Array) -> Array:
                return super().backward(2 * dy)

        width: int = Doubled(3, 2, rng=np.random.default_rng(0)).out_features
        """,
    "a container": """
        class Gated(Layer):
            def __init__(self, layer: Layer, gate: Layer) -> None:
                self.layer = layer
                self.gate = gate

            def forward(self, x: Array) -> Array:
                value, gate = self.layer(x), self.gate(x)
                self.save(value, gate)
                return value * gate

            def backward(self, dy: Array) -> Array:
                value, gate = self.saved()
                from_layer: Any = self.layer.backward(dy * gate)  # one array, or several
                from_gate: Any = self.gate.backward(dy * value)
                dx: Array = from_layer + from_gate
                return dx

        dense = Dense(2, 3, rng=0)
        model = Sequential(
            Gated(Dense(2, 3), Sequential(dense, Sigmoid())),
            Residual(Tanh()),
            Concat(Tanh(), Residual(Sigmoid())),
        )
        part: Sequential = model[:2]
        first: Layer = model[0]
        branches: tuple[Layer, ...] = Concat(Tanh(), Sigmoid()).layers
        """,
    "a layer of two inputs": """
        class Product(Layer):
            def forward(self, a: Array, b: Array) -> Array:
                self.save(a, b)
                return a * b

            def backward(self, dy: Array) -> tuple[Array, Array]:
                a, b = self.saved()
                return dy * b, dy * a

        ones = np.ones((2, 3))
        y: Array = Product()(ones, ones)
        da, db = Product().backward(y)
        model = Graph("a", "b", h=(Product(), "a", "b"), y=(Add(), "h", "b"))
        cost: float = Objective(model, MSELoss()).forward((ones, ones), ones)
        layer: Product = model["h"]
        """,
    "a layer of two outputs, one input left out": """
        class Split(Layer):
            output_names = ("low", "high")

            def forward(self, x: Array, mask: Array | None = None) -> tuple[Array, Array]:
                self.save(x)
                return x[:, :1], x[:, 1:]

            def backward(self, low: Array, high: Array) -> Array | tuple[Array, None]:
                return np.concatenate([low, high], axis=1)

        low, high = Split()(np.ones((2, 3)))
        loss = SumLoss(MSELoss(), MeanLoss(), None, weights=(1.0, 0.5, 1.0))
        parts: tuple[float, ...] = loss.parts
        """,
    "a penalty": """
        class Sum(Penalty):
            def __init__(self, parameter: Parameter) -> None:
                self.parameter = parameter

            def forward(self) -> float:
                return float(self.parameter.value.sum())

            def backward(self) -> None:
                self.parameter.grad[...] += 1

        model = Dense(2, 1)
        Objective(model, MSELoss(), penalties=[L2(model, 0.1), Sum(model.weight)])
        SGD([{"params": [model.weight], "lr": 0.1}, {"params": model.parameters()[1:]}], lr=1.0)
        """,
    "the catalogue": """
        images = Sequential(
            Conv2D(1, 8, 3, padding="same", rng=1), BatchNorm(8), PReLU(8), MaxPool2D((2, 2)),
            Flatten(), Dropout(0.2, rng=2), Dense(128, 10, dtype=np.float32), Softmax(axis=-1),
        )
        words = Sequential(Embedding(100, 8), GRU(8, 4, return_sequences=False), LayerNorm((4,)))
        smooth: Layer = GELU("tanh")
        kernel: tuple[int, int] = (3, 5)
        Conv2D(3, 4, kernel, stride=(2, 1), groups=1, dilation=2)

        adam: Optimizer = Adam(images.parameters(), lr=1e-3, betas=(0.9, 0.99))
        AdamW(words.parameters(), no_decay=biases_and_norms(words))
        norm: float = clip_grad_norm(adam, 1.0)
        clip_grad_value(words.parameters(), 0.5)
        LinearWarmup(adam, 10, then=CosineLR(adam, total_steps=90)).step()
        ReduceOnPlateau(adam).step(0.5)
        ones = np.ones((2, 1))
        cost: float = minimize(Objective(smooth, HuberLoss(delta=2.0)), ones, ones).cost
        """,
    "training": """
        class Quiet(Callback):
            def on_epoch_end(self, trainer: Trainer) -> None:
                if trainer.history.last["loss"] < 0.1 and trainer.epoch > 3:
                    trainer.stop("enough")

        def worst(prediction: Array, target: Array) -> float:
            return float(np.max(np.abs(prediction - target)))

        model = Sequential(Dense(2, 1), Sigmoid())
        adam = Adam(model.parameters())
        trainer = Trainer(
            model, BCELoss(), adam, metrics=["accuracy", metrics.f1.at(0.3), worst], rng=1,
            callbacks=[Quiet(), EarlyStopping(), Scheduled(CosineLR(adam, 9)), Progress()],
        )
        Trainer(model, BCELoss(), adam, metrics={"worst": worst}, callbacks=(Quiet(),))
        x, y = [[1.0, 2.0]], np.ones((1, 1))
        history: History = trainer.fit(x, y, epochs=2, batch_size=None, validation=(x, y))
        trainer.fit([(x, y)], epochs=1)
        losses: list[float] = history["loss"]
        found: dict[str, float] = trainer.evaluate(x, y)
        labels: Array = model.predict(x, batch_size=7)
        score: float = metrics.accuracy(labels, y)
        """,
    "a loss": """
        class SquaredError(Loss):
            def forward(self, prediction: Array, target: Array) -> float:
                self.check(prediction, target)
                error = prediction - target
                self.save(error)
                return self.finite(float(np.mean(error**2)))

            def backward(self) -> Array:
                (error,) = self.saved()
                return 2 * error / error.size

        cost: float = SquaredError()(np.ones((2, 1)), np.ones((2, 1)))
        Objective(Dense(2, 1), SquaredError())
        """,
    "a loss with weights": """
        class Weighted(Loss):
            def forward(
                self, prediction: Array, target: Array, sample_weight: Array | None = None
            ) -> float:
                share = self.shares(prediction, sample_weight)
                self.save(share)
                return float(np.sum((prediction - target) * share))

            def backward(self) -> Array:
                (share,) = self.saved()
                return share

        ones = np.ones((2, 1))
        cost: float = Weighted().forward(ones, ones, ones[:, 0]) + Weighted()(ones, ones)
        Objective(Dense(1, 1), Weighted()).forward(ones, ones, sample_weight=ones[:, 0])
        """,
    "a loss of labels": """
        import numpy.typing as npt

        class Margin(Loss):
            def forward(self, prediction: Array, target: npt.NDArray[np.int64]) -> float:
                return float(prediction[np.arange(len(target)), target].mean())

            def backward(self) -> Array:
                return np.ones((2, 3))

        labels = np.array([0, 1])
        logits = np.ones((2, 2))
        cost: float = CrossEntropyLoss()(logits, labels) + CrossEntropyLoss()(logits, logits / 2)
        cost += NLLLoss([1.0, 2.0]).forward(-logits, labels) + Margin()(logits, labels)
        Objective(Dense(2, 2), CrossEntropyLoss(label_smoothing=0.1)).forward(logits, labels)
        """,
    "an optimizer": """
        from collections.abc import Iterable

        class Momentum(Optimizer):
            def __init__(
                self, parameters: Iterable[Parameter], lr: float, momentum: float = 0.9
            ) -> None:
                super().__init__(parameters, lr)
                self.momentum = momentum
                self.velocity = self.zeros()

            def update(self, values: Array, grads: Array) -> None:
                self.velocity *= self.momentum
                self.velocity += grads
                values -= self.lr * self.velocity

        optimizer: Optimizer = Momentum(Dense(2, 1).parameters(), lr=0.1)
        optimizer.step()
        """,
    "the loop": """
        model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
        objective = Objective(model, BCELoss())
        optimizer = SGD(model.parameters(), lr=1.2)
        x, y = np.ones((5, 2)), np.ones((5, 1))
        cost: float = objective.forward(x, y)
        objective.backward()
        optimizer.step()
        prediction: Array = objective.prediction
        """,
    "the loop with every part visible": """
        def step(model: Layer, loss: Loss, optimizer: Optimizer, x: Array, y: Array) -> float:
            prediction = model.forward(x)
            cost = loss.forward(prediction, y)
            model.backward(loss.backward())
            optimizer.step()
            return cost

        layer = Dense(2, 1, dtype=np.float32)
        ones = np.ones((5, 2), np.float32)
        step(layer, BCEWithLogitsLoss(), SGD(layer.parameters(), 0.1), ones, ones[:, :1])
        """,
}

WRONG = {
    # -- layers
    "a layer without forward": """
        class Half(Layer):
            def backward(self, dy: Array) -> Array:
                return dy

        Half()  # E: abstract
        """,
    "a layer without backward": """
        class Half(Layer):
            def forward(self, x: Array) -> Array:
                return x

        Sequential(Half())  # E: abstract
        """,
    "a layer with a misspelt backward": """
        class Half(Layer):
            def forward(self, x: Array) -> Array:
                return x

            def backwards(self, dy: Array) -> Array:
                return dy

        Residual(Half())  # E: abstract
        """,
    "a layer itself": """
        Layer()  # E: abstract
        """,
    "a forward that returns a float": """
        class Mean(Layer):
            def forward(self, x: Array) -> float:  # E: override
                return float(x.mean())

            def backward(self, dy: Array) -> Array:
                return dy
        """,
    "arguments of the catalogue": """
        Conv2D(1, 8, "3")  # E: arg-type
        Dropout("half")  # E: arg-type
        Embedding(100)  # E: call-arg
        MaxPool2D((2, 2, 2))  # E: arg-type
        Softmax(-1, -2)  # E: call-arg
        Adam(Dense(2, 1).parameters(), lr="fast")  # E: arg-type
        Adam(Dense(2, 1))  # E: arg-type
        ReduceOnPlateau(Dense(2, 1))  # E: arg-type
        """,
    "arguments of training": """
        model = Dense(2, 1)
        sgd = SGD(model.parameters(), lr=0.1)
        Trainer(model, sgd, BCELoss())  # E: arg-type, arg-type
        Trainer(model, BCELoss(), sgd, callbacks=[3])  # E: list-item
        Trainer(model, BCELoss(), sgd, metrics=[3])  # E: list-item
        Trainer(model, BCELoss(), sgd).fit([[1.0, 2.0]], [[1.0]])  # E: call-arg
        EarlyStopping(patience="long")  # E: arg-type
        Scheduled(sgd)  # E: arg-type
        """,
    "a forward that forgets to return": """
        class Forgetful(Layer):
            def forward(self, x: Array) -> Array:  # E: return
                self.save(x)

            def backward(self, dy: Array) -> Array:
                return dy
        """,
    "a forward without types": """
        class Untyped(Layer):
            def forward(self, x):  # E: no-untyped-def
                return x

            def backward(self, dy: Array) -> Array:
                return dy
        """,
    "a backward that returns None": """
        class Silent(Layer):
            def forward(self, x: Array) -> Array:
                return x

            def backward(self, dy: Array) -> None:  # E: override
                pass
        """,
    "a backward_parameters that returns": """
        class Busy(Dense):
            def backward_parameters(self, dy: Array) -> Array:  # E: override
                return dy
        """,
    "an output_shape that counts": """
        class Counting(Tanh):
            def output_shape(self, input_shape: tuple[int, ...]) -> int:  # E: override
                return len(input_shape)
        """,
    # -- losses
    "a loss without backward": """
        class Half(Loss):
            def forward(self, prediction: Array, target: Array) -> float:
                return 0.0

        Objective(Tanh(), Half())  # E: abstract
        """,
    "a loss without forward": """
        class Half(Loss):
            def backward(self) -> Array:
                return np.ones(3)

        Half()  # E: abstract
        """,
    "a loss whose forward returns an array": """
        class PerElement(Loss):
            def forward(self, prediction: Array, target: Array) -> Array:  # E: override
                return prediction - target

            def backward(self) -> Array:
                return np.ones(3)
        """,
    "a loss whose forward takes no target": """
        class Aimless(Loss):
            def forward(self, prediction: Array) -> float:  # E: override
                return float(prediction.mean())

            def backward(self) -> Array:
                return np.ones(3)
        """,
    "a loss whose backward takes an argument": """
        class Chained(Loss):
            def forward(self, prediction: Array, target: Array) -> float:
                return 0.0

            def backward(self, dy: Array) -> Array:  # E: override
                return dy
        """,
    "a loss whose backward returns a float": """
        class Scalar(Loss):
            def forward(self, prediction: Array, target: Array) -> float:
                return 0.0

            def backward(self) -> float:  # E: override
                return 0.0
        """,
    "a loss that demands its weights": """
        class Strict(Loss):
            def forward(  # E: override
                self, prediction: Array, target: Array, sample_weight: Array
            ) -> float:
                return 0.0

            def backward(self) -> Array:
                return np.ones(3)
        """,
    "labels of floating point": """
        NLLLoss().forward(-np.ones((2, 2)), np.ones(2))  # E: arg-type
        """,
    # -- optimizers
    "an optimizer without update": """
        class Idle(Optimizer):
            pass

        Idle(Dense(2, 1).parameters(), lr=0.1)  # E: abstract
        """,
    "an update without gradients": """
        class Decay(Optimizer):
            def update(self, values: Array) -> None:  # E: override
                values *= 0.9
        """,
    "an update that returns what it should write": """
        class Pure(Optimizer):
            def update(self, values: Array, grads: Array) -> Array:  # E: override
                return values - self.lr * grads
        """,
    "an update that takes parameters": """
        class PerParameter(Optimizer):
            def update(self, values: list[Parameter], grads: Array) -> None:  # E: override
                pass
        """,
    # -- their use
    "what is no layer in a container": """
        Sequential(Tanh(), np.tanh)  # E: arg-type
        Sequential(Tanh)  # E: arg-type
        Concat([Tanh(), Sigmoid()])  # E: arg-type
        Residual(BCELoss())  # E: arg-type
        Residual(Tanh(), Tanh())  # E: call-arg
        """,
    "the parts of an objective exchanged": """
        model = Dense(2, 1)
        Objective(BCELoss(), model)  # E: arg-type
        Objective(model, BCELoss)  # E: arg-type
        Objective(model)  # E: call-arg
        """,
    "an optimizer of what are no parameters": """
        model = Dense(2, 1)
        SGD(model, lr=0.1)  # E: arg-type
        SGD(model.parameters)  # E: call-arg, arg-type
        SGD(model.parameters(), lr="fast")  # E: arg-type
        """,
    "results that are taken for something else": """
        layer = Tanh()
        number: float = layer.forward(np.ones((2, 3)))  # E: assignment
        layer.forward([[1.0, 2.0]])  # E: arg-type
        layer.backward()  # E: call-arg
        gradient = layer.backward_parameters(np.ones((2, 3)))  # E: func-returns-value
        cost: Array = BCELoss().forward(np.ones((2, 1)), np.ones((2, 1)))  # E: assignment
        """,
}

CASES = {**RIGHT, **WRONG}

Errors = set[tuple[int, str]]  # line and code


def source(name: str) -> str:
    return HEAD + dedent(CASES[name])


def expected(name: str) -> Errors:
    """Return what the marks of a case announce."""
    marked = [line.partition(MARK)[2] for line in source(name).splitlines()]
    return {
        (number, code)
        for number, codes in enumerate(marked, start=1)
        for code in codes.split(", ")
        if code
    }


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Errors]:
    """Return what mypy says of every case: one run, for most of its time goes into starting."""
    folder = tmp_path_factory.mktemp("types")
    files = {f"typed_{index}.py": name for index, name in enumerate(CASES)}
    for file, name in files.items():
        (folder / file).write_text(source(name), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--output=json"]
    # Run where the whole house is checked, so that both share what mypy found out of NumPy and of
    # minifw. An error that mypy remembers has the folder of an earlier run in its path.
    result = subprocess.run(
        [*command, *(folder / file for file in files)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": f"{folder}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode in {0, 1}, result.stdout + result.stderr  # 2: it could not run
    errors: dict[str, Errors] = {name: set() for name in CASES}
    for report in map(json.loads, result.stdout.splitlines()):
        file = Path(report["file"]).name
        if file in files and report["severity"] == "error":
            errors[files[file]].add((report["line"], report["code"]))
    return errors


@pytest.mark.parametrize("name", RIGHT)
def test_what_keeps_the_contract_passes_under_strict(name: str, found: dict[str, Errors]) -> None:
    assert "ignore" not in source(name)
    assert found[name] == expected(name) == set()


@pytest.mark.parametrize("name", WRONG)
def test_what_breaks_the_contract_is_refused(name: str, found: dict[str, Errors]) -> None:
    assert expected(name)
    assert found[name] == expected(name)
