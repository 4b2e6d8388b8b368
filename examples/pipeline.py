"""A scikit-learn pipeline: scaling, a search over networks, and a held-out test.

    .venv/bin/python examples/pipeline.py
    .venv/bin/python examples/pipeline.py --epochs 10 --folds 2

The table of 178 wines from three growers, with 13 measurements each, comes with scikit-learn, the
extra minifw[examples]; nothing is downloaded. A `Pipeline` scales the columns by the rows that
train, and a `GridSearchCV` tries each combination of hidden layers, weight decay and learning
rate on folds of them. The wines of the test part are looked at once, at the end.
"""

import argparse
import sys
import time

EPOCHS = 60
FOLDS = 5
GRID = {
    "network__hidden_layers": [(), (16,), (16, 16)],
    "network__lr": [0.003, 0.03],
    "network__weight_decay": [0.0, 0.1],
}
SEED = 0
TEST = 0.3  # of the rows


# %%
# Search
# ------
# `NetworkClassifier` is a scikit-learn estimator, so a pipeline and a grid search
# take it as it is.


def main() -> None:
    """Search, and print how each candidate did."""
    parser = argparse.ArgumentParser(description="Which grower made the wine?")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"default {EPOCHS}")
    parser.add_argument("--folds", type=int, default=FOLDS, help=f"default {FOLDS}")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")
    if options.folds < 2:
        parser.error("--folds must be at least 2")
    try:
        from sklearn.datasets import load_wine  # noqa: PLC0415 - optional
        from sklearn.model_selection import GridSearchCV, train_test_split  # noqa: PLC0415
        from sklearn.pipeline import Pipeline  # noqa: PLC0415
        from sklearn.preprocessing import StandardScaler  # noqa: PLC0415
    except ImportError:
        sys.exit(
            "The table comes with scikit-learn; install the extra minifw[examples], "
            "in the folder of the clone: python -m pip install --editable '.[examples]'"
        )
    from minifw.interop.sklearn import NetworkClassifier  # noqa: PLC0415 - needs scikit-learn

    x, y = load_wine(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x, y, test_size=TEST, stratify=y, random_state=SEED
    )
    network = NetworkClassifier(
        activation="tanh", batch_size=32, max_epochs=options.epochs, tol=None, random_state=SEED
    )
    pipeline = Pipeline([("scale", StandardScaler()), ("network", network)])
    start = time.perf_counter()
    search = GridSearchCV(pipeline, GRID, cv=options.folds, scoring="neg_log_loss")
    search.fit(x_train, y_train)
    seconds = time.perf_counter() - start
    results = search.cv_results_
    print(f"{'hidden layers':15}{'lr':>6}{'weight decay':>14}{'log loss':>10}")
    for place in results["rank_test_score"].argsort():
        layers, lr, decay = (results[f"param_{name}"][place] for name in GRID)
        print(f"{layers!s:15}{lr:6}{decay:14}{-results['mean_test_score'][place]:10.4f}")
    best = search.best_estimator_
    rows, fits = len(y_test), len(results["params"]) * options.folds
    print(f"\n{fits} networks in {seconds:.1f} seconds")
    print(
        f"Of {rows} wines that had no say, the best reads {best.score(x_test, y_test):.1%} right"
    )


if __name__ == "__main__":
    main()
