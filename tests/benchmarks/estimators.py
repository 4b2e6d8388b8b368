"""`NetworkClassifier` and `NetworkRegressor` against scikit-learn's own networks.

    OPENBLAS_NUM_THREADS=1 .venv/bin/python tests/benchmarks/estimators.py

Both train on scikit-learn's own data sets, standardised, with the settings of
`MLPClassifier` (one hidden layer of 100 with ReLU, Adam with a rate of 0.001, batches of 200,
alpha 0.0001, weights and biases uniform within the same bound, float64) and a fixed number of
epochs. In each turn another part of the rows is left out for the test, and the two take turns in
who comes first. Times are medians of processor times, so that other work on the machine
disturbs them less; scores are means, with the standard error of the difference.

Below, both stop early, with their defaults: by the score of a part, and by its loss.
"""

import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import sklearn
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from minifw import __version__
from minifw.interop.sklearn import NetworkClassifier, NetworkRegressor

ALPHA = 1e-4
BATCH = 200
EARLY_TURNS = 15
EPOCHS = (50, 200)
LR = 0.001
NAMES = ("iris", "wine", "breast_cancer", "digits", "diabetes")
PREDICTIONS = 20  # calls that are timed together, for one is short beside the clock
TURNS = 20
WIDTH = 100


def load(name: str) -> tuple[Any, Any]:
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    if name == "diabetes":
        y = (y - y.mean()) / y.std()
    return StandardScaler().fit_transform(x), y


def theirs(epochs: int, seed: int, *, regression: bool) -> Any:
    make = MLPRegressor if regression else MLPClassifier
    return make(
        hidden_layer_sizes=(WIDTH,),
        alpha=ALPHA,
        batch_size="auto",
        learning_rate_init=LR,
        max_iter=epochs,
        n_iter_no_change=epochs + 1,
        random_state=seed,
    )


def ours(epochs: int, seed: int, batch: int, *, regression: bool) -> Any:
    make = NetworkRegressor if regression else NetworkClassifier
    return make(
        hidden_layers=(WIDTH,),
        weight_decay=ALPHA * (2 if regression else 1) / batch,
        lr=LR,
        max_epochs=epochs,
        tol=None,
        random_state=seed,
    )


def timed(call: Callable[[], object], times: int = 1) -> float:
    """Return the milliseconds of a call."""
    start = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - start) / times * 1e3


def measure(estimator: Any, parts: list[Any]) -> tuple[float, float, float]:
    """Return the milliseconds of fit and predict, and the score."""
    x_train, x_test, y_train, y_test = parts
    fitting = timed(lambda: estimator.fit(x_train, y_train))
    predicting = timed(lambda: estimator.predict(x_test), PREDICTIONS)
    return fitting, predicting, estimator.score(x_test, y_test)


def compare(name: str, epochs: int) -> str:
    x, y = load(name)
    regression = name == "diabetes"
    found: list[list[tuple[float, float, float]]] = [[], []]
    for turn in range(TURNS):
        parts = train_test_split(x, y, random_state=turn, stratify=None if regression else y)
        pair = [
            theirs(epochs, turn, regression=regression),
            ours(epochs, turn, min(BATCH, len(parts[0])), regression=regression),
        ]
        for which in (0, 1) if turn % 2 else (1, 0):
            found[which].append(measure(pair[which], parts))
    (fit, predict, score), (own_fit, own_predict, own_score) = (
        list(zip(*side, strict=True)) for side in found
    )
    difference = np.subtract(own_score, score)
    error = difference.std(ddof=1) / TURNS**0.5
    times = [statistics.median(side) for side in (own_fit, fit, own_predict, predict)]
    ratio = statistics.median(b / a for a, b in zip(own_fit, fit, strict=True))
    return (
        f"{name:14}{epochs:6}{times[0]:9.1f}{times[1]:9.1f}{ratio:7.1f}{times[2]:9.2f}"
        f"{times[3]:9.2f}{np.mean(own_score):9.4f}{np.mean(score):9.4f}"
        f"  {difference.mean():+.4f} +- {error:.4f}"
    )


def stop_early(name: str) -> str:
    """Return scores and epochs with early stopping and the defaults of both."""
    x, y = load(name)
    regression = name == "diabetes"
    pair = (MLPRegressor, NetworkRegressor) if regression else (MLPClassifier, NetworkClassifier)
    found = []
    for turn in range(EARLY_TURNS):
        x_train, x_test, y_train, y_test = train_test_split(
            x, y, random_state=turn, stratify=None if regression else y
        )
        for make in pair:
            estimator: Any = make(early_stopping=True, random_state=turn).fit(x_train, y_train)
            found.append((estimator.score(x_test, y_test), estimator.n_iter_))
    means = [np.mean(found[which::2], axis=0) for which in (1, 0)]
    return f"{name:14}" + "".join(f"{score:9.4f}{epochs:9.0f}" for score, epochs in means)


def main() -> None:
    warnings.simplefilter("ignore", ConvergenceWarning)
    print(
        f"minifw {__version__}, scikit-learn {sklearn.__version__}, NumPy {np.__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} processors, "
        f"OPENBLAS_NUM_THREADS={os.environ.get('OPENBLAS_NUM_THREADS', 'unset')}"
    )
    print(
        f"{'':20}{'fit, ms':>18}{'':7}{'predict, ms':>18}{'score':>18}\n"
        f"{'':14}{'epochs':>6}{'minifw':>9}{'MLP':>9}{'ratio':>7}{'minifw':>9}{'MLP':>9}"
        f"{'minifw':>9}{'MLP':>9}  difference"
    )
    for epochs in EPOCHS:
        for name in NAMES:
            print(compare(name, epochs), flush=True)
    print(
        f"\nearly stopping{'score':>9}{'epochs':>9}{'score':>9}{'epochs':>9}, of minifw and of MLP"
    )
    for name in NAMES:
        print(stop_early(name), flush=True)


if __name__ == "__main__":
    main()
