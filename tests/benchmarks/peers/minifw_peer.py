"""minifw, through its public interface alone."""

from typing import Any

import numpy as np

from minifw import (
    SGD,
    Adam,
    BCELoss,
    CategoricalCrossEntropyLoss,
    Conv2D,
    Dense,
    Flatten,
    Layer,
    MaxPool2D,
    Objective,
    Predictor,
    ReLU,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)
from peers.contender import Contender
from peers.workloads import Problem, Workload

__all__ = ["Minifw", "MinifwForward"]


class Minifw(Contender):
    """`Sequential`, `Objective` and `SGD` or `Adam`, all checks in place; a `Predictor`."""

    label = "minifw"
    imports = "from minifw import BCELoss, Dense, Objective, SGD, Sequential, Sigmoid, Tanh"

    def __init__(self, problem: Problem) -> None:
        workload = problem.workload
        layers: list[Layer] = []
        activation = Tanh if workload.activation == "tanh" else ReLU
        for w, b in problem.weights:
            filters = w.ndim == 4
            if not filters and workload.image and not isinstance(layers[-1], Dense | Flatten):
                layers.append(Flatten())
            kind = Conv2D if filters else Dense
            arguments = (w.shape[1], w.shape[0], *((3, 1, 1) if filters else ()))
            layer = kind(*arguments, dtype=np.dtype(workload.dtype))
            for parameter, value in zip(layer.parameters(), (w, b), strict=True):
                parameter.value = value
            layers += [layer, activation()]
            if filters:
                layers.append(MaxPool2D(2))
        layers[-1] = Sigmoid() if workload.binary else Softmax()
        self.model = Sequential(*layers)
        loss = BCELoss() if workload.binary else CategoricalCrossEntropyLoss()
        self.objective = Objective(self.model, loss)
        optimizer = SGD if workload.optimizer == "sgd" else Adam
        self.optimizer = optimizer(self.model.parameters(), lr=workload.lr)
        self.batches = problem.cycle()
        self.x = problem.batches[0][0]
        if workload.predicts:
            self.model.eval()
        self.predictor = Predictor(self.model)

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return bool(workload)

    def step(self) -> float:
        x, y = next(self.batches)
        loss = self.objective.forward(x, y)
        self.objective.backward()
        self.optimizer.step()
        return loss

    def predict(self) -> Any:
        return self.predictor(self.x)


class MinifwForward(Minifw):
    """The layers themselves, in eval mode."""

    label = "minifw, forward of the layers"

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return workload.predicts

    def predict(self) -> Any:
        return self.model.forward(self.x)
