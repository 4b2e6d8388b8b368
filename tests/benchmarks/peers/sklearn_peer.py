"""scikit-learn's multilayer perceptron."""

import warnings
from itertools import cycle
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from peers.contender import Contender
from peers.workloads import Problem, Workload

__all__ = ["ScikitLearn", "ScikitLearnSteps"]


class ScikitLearnSteps(Contender):
    """`MLPClassifier.partial_fit` with a batch: one of its steps, and the loss after each.

    Without momentum, penalty and shuffling it is the same maths: its logistic loss and
    its log-loss are computed in every step. Its Adam adds eps before the correction of
    the second moment, which is a difference of 1e-8. The weights of the
    problem are written over those that the first call draws.
    """

    label = "scikit-learn, partial_fit"
    imports = "from sklearn.neural_network import MLPClassifier"

    def __init__(self, problem: Problem) -> None:
        workload = problem.workload
        self.model: Any = MLPClassifier(
            workload.sizes[1:-1],
            activation=workload.activation,
            solver=workload.optimizer,
            alpha=0.0,
            batch_size=workload.batch,
            learning_rate_init=workload.lr,
            shuffle=False,
            momentum=0.0,
            nesterovs_momentum=False,
            n_iter_no_change=10**9,
        )
        data = [(x, y.ravel().astype(np.int64)) for x, y in problem.batches]
        self.batches = cycle(data)
        self.x = data[0][0]
        self.model.partial_fit(*data[0], classes=np.arange(max(workload.sizes[-1], 2)))
        for (w, b), own_w, own_b in zip(
            problem.weights, self.model.coefs_, self.model.intercepts_, strict=True
        ):
            own_w[...], own_b[...] = w.T, b
        if workload.optimizer == "adam":
            optimizer = self.model._optimizer
            optimizer.t = 0
            for moment in (*optimizer.ms, *optimizer.vs):
                moment[...] = 0

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return not workload.image and not workload.predicts

    def step(self) -> float:
        self.model.partial_fit(*next(self.batches))
        return float(self.model.loss_)

    def predict(self) -> Any:
        return self.model.predict_proba(self.x)


class ScikitLearn(ScikitLearnSteps):
    """`MLPClassifier.fit` over all batches as one set of data, which it goes through in order.

    It checks its arguments once a call, and keeps the mean loss of each round. It starts from
    the weights it has (`warm_start`), with new moments for Adam.
    """

    label = "scikit-learn, fit"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.group = len(problem.batches)
        self.all_x = np.concatenate([x for x, _ in problem.batches])
        self.all_y = np.concatenate([y.ravel() for _, y in problem.batches]).astype(np.int64)

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return not workload.image

    def turn(self, count: int) -> None:
        self.model.warm_start, self.model.max_iter = True, count // self.group
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # that the rounds are over
            self.model.fit(self.all_x, self.all_y)

    def run(self, count: int) -> float:
        if self.group > 1:
            return super().run(count)
        self.turn(count)
        return float(self.model.loss_)
