# ruff: noqa: N803 - X is scikit-learn's name
"""scikit-learn's own tests of its networks, with minifw's estimators in their place.

    .venv/bin/python tests/benchmarks/mlp_tests.py

The tests are those of the scikit-learn that is installed. `MLPClassifier` and `MLPRegressor` here
take scikit-learn's parameters, hand them to `NetworkClassifier` and `NetworkRegressor`, and give
what those know the names that it has there. Each test that differs stands in `DIFFERENT` with the
reason; the exit code is 1 if another fails, or if one of them passes.
"""

import importlib
import inspect
import math
import sys
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn import neural_network
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils.metaestimators import available_if

from minifw import (
    L2,
    SGD,
    Adam,
    Array,
    Dense,
    Identity,
    Layer,
    Objective,
    Optimizer,
    Parameter,
    PoissonLoss,
    ReLU,
    Schedule,
    Sequential,
    Sigmoid,
    Tanh,
    minimize,
)
from minifw.interop.sklearn import NetworkClassifier, NetworkRegressor

TESTS = "sklearn.neural_network.tests.test_mlp"
SIGNATURE = inspect.signature(neural_network.MLPRegressor)  # that of the classifier, and loss
ACTIVATIONS: dict[str, Any] = {
    "identity": Identity,
    "logistic": Sigmoid,
    "relu": ReLU,
    "tanh": Tanh,
}
AUTO_BATCH = 200
DIFFERENT = {
    "test_early_stopping_stratified": "a class of one row is no error: it is not in both parts",
    "test_minimum_input_sample_size": "a validation part of one row serves, for it has a loss",
    "test_mlp_diverging_loss": "a loss that is not finite is an error, and no score of nan",
    "test_mlp_partial_fit_after_fit": "early_stopping may be set, and partial_fit passes it by",
    "test_nonfinite_params": "the error comes earlier, and says in which layer",
    "test_predict_proba_multilabel": "log p is exact where p has rounded to 1, so not np.log(p)",
    "test_preserve_feature_names[MLPClassifier]": "one class alone teaches nothing: an error",
    "test_verbose_sgd": "the word is epoch, not Iteration",
    "test_warm_start": "a warm start goes on with some of the classes; others are an error",
}


class InverseScaling(Schedule):
    """learning_rate="invscaling": lr / (rows so far + 1)^power, of earlier fits, too."""

    def __init__(self, optimizer: Optimizer, power: float, before: int, rows: int) -> None:
        super().__init__(optimizer)
        self.power, self.before, self.rows = power, before, rows
        self.start()

    def rate(self, steps: int) -> float:
        rate: float = self.base_lr / pow(self.before + steps * self.rows + 1, self.power)
        return rate


def parameters(network: Any, which: int) -> list[Parameter]:
    """Return the weights (0) or biases (1) of all layers."""
    layers = [layer for layer in network.model_ if isinstance(layer, Dense)]
    return [layer.parameters()[which] for layer in layers]


def count_of_no_improvement(network: Any) -> int:
    lowest, count = math.inf, 0
    for loss in network.loss_curve_:
        count = count + 1 if loss > lowest - network.tol else 0
        lowest = min(lowest, loss)
    return count


# What has another name in scikit-learn, of minifw's estimator.
DERIVED: dict[str, Callable[[Any], Any]] = {
    "_no_improvement_count": count_of_no_improvement,
    "_optimizer": lambda network: SimpleNamespace(learning_rate=network.optimizer_.lr),
    "best_loss_": lambda network: None if network.early_stopping else min(network.loss_curve_),
    "best_validation_score_": lambda network: (
        network.validation_scores_ and max(network.validation_scores_)
    ),
    "coefs_": lambda network: [p.value.T for p in parameters(network, 0)],
    "intercepts_": lambda network: [p.value for p in parameters(network, 1)],
    "loss_curve_": lambda network: network.loss_curve_,
    "n_layers_": lambda network: len(parameters(network, 0)) + 1,
    "n_outputs_": lambda network: parameters(network, 1)[-1].size,
    "out_activation_": lambda network: network.out_activation_,
}


class Adapted(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """scikit-learn's parameters and attributes, of an estimator of minifw."""

    kind: Any

    def __init__(self, **given: Any) -> None:
        defaults = {name: one.default for name, one in SIGNATURE.parameters.items()}
        for name, value in (defaults | given).items():
            setattr(self, name, value)

    __init__.__signature__ = SIGNATURE.replace(  # type: ignore[attr-defined]
        parameters=[inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)]
        + [p.replace(kind=p.KEYWORD_ONLY) for p in SIGNATURE.parameters.values()]
    )

    def _ours(self, rows: int = 1, columns: int = 1) -> Any:
        """Return minifw's estimator with these parameters."""
        # Their gradients add up over the columns of y, and the square of an error is halved.
        squares = self.kind is NetworkRegressor and self.loss == "squared_error"
        scale = (2 if squares else 1) / columns
        momentum = {"momentum": self.momentum, "nesterov": self.nesterovs_momentum}
        options = {"gtol": self.tol * scale, "maxfun": self.max_fun}
        batch = AUTO_BATCH if self.batch_size == "auto" else self.batch_size
        sizes = self.hidden_layer_sizes
        t = vars(self).get("_t", 0)
        own: dict[str, Any] = {
            "hidden_layers": (sizes,) if np.isscalar(sizes) else tuple(sizes),
            "activation": ACTIVATIONS[self.activation],
            "network": self._from_given if "_given" in vars(self) else None,
            "optimizer": {
                "adam": partial(Adam, betas=(self.beta_1, self.beta_2), eps=self.epsilon),
                "lbfgs": partial(minimize, options=options),
                "sgd": partial(SGD, **momentum) if self.momentum else SGD,
            }[self.solver],
            "lr": self.learning_rate_init / (scale if self.solver == "sgd" else 1.0),
            "weight_decay": self.alpha
            * scale
            / (rows if self.solver == "lbfgs" else min(rows, batch)),
            "max_epochs": self.max_iter,
            "n_iter_no_change": self.n_iter_no_change + 1,  # there it stops at one more
            "tol": self.tol * scale,
            "schedule": {
                "adaptive": "adaptive",
                "constant": None,
                "invscaling": partial(InverseScaling, power=self.power_t, before=t, rows=rows),
            }[self.learning_rate],
            "verbose": bool(self.verbose),
        }
        alike = "batch_size early_stopping random_state shuffle validation_fraction warm_start"
        own |= {name: getattr(self, name) for name in alike.split()}
        if self.kind is NetworkRegressor:
            loss = PoissonLoss() if self.loss == "poisson" else None
            own |= {"loss": loss, "normalize_target": False}
        if "_net" not in vars(self):
            self._net = self.kind()
        return self._net.set_params(**own)

    def _for(self, X: Any, y: Any) -> Any:
        if "coefs_" in vars(self):
            self._given = self.coefs_, self.intercepts_
            for name in DERIVED.keys() & vars(self).keys():
                delattr(self, name)
        rows = X.shape[0] if hasattr(X, "shape") else len(X)
        return self._ours(rows, np.shape(y)[1] if np.ndim(y) > 1 else 1)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        self._for(X, y).fit(X, y, sample_weight)
        self._t = vars(self).get("_t", 0) + self._net.n_iter_ * len(y)
        return self

    @available_if(lambda self: hasattr(self._ours(), "partial_fit"))  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, *args: Any, **options: Any) -> Any:
        self._for(X, y).partial_fit(X, y, *args, **options)
        return self

    def predict(self, X: Any) -> Any:
        predicted = self._net.predict(X)
        return np.exp(predicted) if self.loss == "poisson" else predicted

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or "_net" not in vars(self):
            raise AttributeError(name)
        return DERIVED[name](self._net) if name in DERIVED else getattr(self._net, name)

    def _from_given(self, *_: object) -> Layer:
        """Build the network of weights that were assigned before there was one."""
        layers: list[Layer] = []
        for w, b in zip(*self._given, strict=True):
            layers += [Dense(*w.shape), ACTIVATIONS[self.activation]()]
            for value, parameter in zip((w.T, b), layers[-2].parameters(), strict=True):
                parameter.value = value
        return Sequential(*layers[:-1])

    def _loss_grad_lbfgs(self, theta: Array, X: Any, y: Any, *_: object) -> tuple[float, Array]:
        """Return cost and gradient at a vector of all weights, and then all biases."""
        net = self._net
        arrays = parameters(net, 0) + parameters(net, 1)
        parts = np.split(theta, np.cumsum([p.size for p in arrays])[:-1])
        for parameter, part in zip(arrays, parts, strict=True):
            parameter.value = part.reshape(parameter.shape[::-1]).T
        objective = Objective(
            net._learner, net._loss, penalties=[L2(net._learner, self.alpha / len(X))]
        )
        cost = objective.forward(X, y.astype(float) if y.shape[1] == 1 else y.argmax(axis=1))
        objective.backward()
        return cost, np.concatenate([p.grad.T.ravel() for p in arrays])


class MLPClassifier(ClassifierMixin, Adapted):  # type: ignore[misc] # as above
    kind = NetworkClassifier

    def predict_proba(self, X: Any) -> Any:
        return self._net.predict_proba(X)

    def predict_log_proba(self, X: Any) -> Any:
        return self._net.predict_log_proba(X)


class MLPRegressor(RegressorMixin, Adapted):  # type: ignore[misc] # as above
    kind = NetworkRegressor


class Counts:
    """What pytest tells of each test."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}
        self.passed: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.failed:
            self.failed[name] = report.longreprtext.splitlines()[-1]
        elif report.when == "call":
            self.passed.append(name)


def main() -> int:
    neural_network.MLPClassifier = MLPClassifier
    neural_network.MLPRegressor = MLPRegressor
    file = importlib.import_module(TESTS).__file__
    counts = Counts()
    pytest.main(
        [str(file), "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--tb=short", *sys.argv[1:]]
        + ([] if sys.argv[1:] else ["--no-summary"]),
        plugins=[counts],
    )
    unexpected = 0
    for name, last in sorted(counts.failed.items()):
        why = DIFFERENT.get(name, DIFFERENT.get(name.partition("[")[0], ""))
        unexpected += not why
        print(f"  {name}: {why or 'NOT EXPECTED: ' + last}")
    expected = {name for name in counts.passed if name in DIFFERENT}
    for name in sorted(expected):
        print(f"  {name}: NOT EXPECTED to pass")
    total = len(counts.passed) + len(counts.failed)
    print(f"scikit-learn {sklearn.__version__}: {len(counts.passed)} of {total} tests pass")
    return int(bool(unexpected or expected))


if __name__ == "__main__":
    sys.exit(main())
