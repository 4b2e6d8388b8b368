"""Breast cancer: benign or malignant, with validation, early stopping and an ROC curve.

    .venv/bin/python examples/breast_cancer.py
    .venv/bin/python examples/breast_cancer.py --epochs 20 --picture quick.png

The table of 569 tumours, with 30 measurements of the nuclei of their cells, comes with
scikit-learn, the extra minifw[examples]; nothing is downloaded. A yes is a malignant tumour, so
that the recall is the share of the cancers that was found.

A fifth of the rows is the test part, which is looked at once, at the end. Of the others three
quarters train, and the validation part says when to stop. Width, depth, learning rate, weight
decay and no dropout were chosen by the validation loss, over other cuts of the rows outside the
test part, so that the numbers of the test part alone are those of tumours that had no say. It
has 114, each of them nearly 1 %: with the seeds 0 to 11 its accuracy goes from 94 % (here) to
98 %, and is 97 % on average.
"""

import argparse
import sys
from typing import Any

from minifw import (
    AdamW,
    Array,
    BCELoss,
    Dense,
    EarlyStopping,
    HeNormal,
    History,
    ReLU,
    Sequential,
    Sigmoid,
    Trainer,
    plots,
)

BATCH = 32  # rows
BLUE, GREY = "#0072B2", "#666666"  # those of minifw.plots
CORNER = 0.2  # of the ROC plane, which the inset enlarges
CURVES = ("epoch", "loss", "val_loss")  # of the history, in the picture
EPOCHS = 300  # at most
LEARNING_RATE = 0.003
LOSS_TICKS = (0.03, 0.1, 0.3, 1.0)  # in the picture
METRICS = ("accuracy", "roc_auc", "precision", "recall")
PATIENCE = 20  # epochs
PICTURE = "breast_cancer.png"
SPLIT_SEED = 0
TEST = 0.2  # of all rows
THRESHOLD = 0.5  # above which the answer is malignant
VALIDATION = 0.25  # of the rows that are not for the test
WEIGHT_DECAY = 0.1
WIDTH = 8  # units of the hidden layer


# %%
# The data
# --------
# scikit-learn brings the table. It is cut into three parts, and each column is scaled by the mean
# and the standard deviation of the training part alone.


def load() -> tuple[Array, Array]:
    """Return the measurements, (569, 30), and 1 for each malignant tumour, (569, 1)."""
    try:
        from sklearn.datasets import load_breast_cancer  # noqa: PLC0415 - optional
    except ImportError:
        sys.exit(
            "The table comes with scikit-learn; install the extra minifw[examples], "
            "in the folder of the clone: python -m pip install --editable '.[examples]'"
        )
    bunch = load_breast_cancer()
    malignant = bunch.target == list(bunch.target_names).index("malignant")
    return bunch.data, malignant[:, None].astype(float)


def split(x: Array, y: Array) -> dict[str, tuple[Array, Array]]:
    """Return the three parts, standardised by the training part alone."""
    from sklearn.model_selection import train_test_split  # noqa: PLC0415 - optional

    rest, x_test, y_rest, y_test = train_test_split(
        x, y, test_size=TEST, stratify=y, random_state=SPLIT_SEED
    )
    x_train, x_val, y_train, y_val = train_test_split(
        rest, y_rest, test_size=VALIDATION, stratify=y_rest, random_state=SPLIT_SEED
    )
    mean, std = x_train.mean(axis=0), x_train.std(axis=0)
    return {
        "training": ((x_train - mean) / std, y_train),
        "validation": ((x_val - mean) / std, y_val),
        "test": ((x_test - mean) / std, y_test),
    }


# %%
# The network and its trainer
# ---------------------------
# One hidden layer of 8 units. `EarlyStopping` watches the validation loss and puts the best
# weights back.


def build(features: int) -> tuple[Trainer, EarlyStopping]:
    """Return a trainer of a small network, and what stops it."""
    model = Sequential(
        Dense(features, WIDTH, init=HeNormal(), rng=0),
        ReLU(),
        Dense(WIDTH, 1, rng=1),
        Sigmoid(),
    )
    optimizer = AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    stopping = EarlyStopping(patience=PATIENCE)  # on val_loss; the best weights come back
    trainer = Trainer(model, BCELoss(), optimizer, metrics=METRICS, callbacks=[stopping], rng=2)
    return trainer, stopping


def show(trainer: Trainer, parts: dict[str, tuple[Array, Array]]) -> dict[str, float]:
    """Print losses and metrics of each part, and return those of the last."""
    names = ("loss", *METRICS)
    print(f"{'':11}{'rows':>6}" + "".join(f"{name:>11}" for name in names))
    values: dict[str, float] = {}
    for part, (x, y) in parts.items():
        values = trainer.evaluate(x, y)
        print(f"{part:11}{len(x):6d}" + "".join(f"{values[name]:11.4f}" for name in names))
    return values


# %%
# The pictures
# ------------
# The loss of both parts over the epochs, and the ROC curve of the test part.


def draw(history: History, y: Array, probability: Array, auc: float, path: str) -> None:
    """Write a picture of the training and of the ROC curve, if matplotlib is there."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        print(
            f"For the picture, {path}, install the extra minifw[examples]; "
            "in the folder of the clone: python -m pip install --editable '.[examples]'"
        )
        return
    figure: Any = Figure(figsize=(11, 4.6), layout="constrained")
    figure.get_layout_engine().set(wspace=0.06)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    columns = history.to_dict()
    plots.learning_curves({name: columns[name] for name in CURVES}, ax=left, log=True)
    left.set_yticks(LOSS_TICKS, [f"{tick:g}" for tick in LOSS_TICKS])
    left.minorticks_off()
    draw_roc(right, y, probability, auc)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:  # no such folder, no such format
        sys.exit(f"The picture could not be written: {error}")
    print(f"Picture: {path}")


def draw_roc(panel: Any, y: Array, probability: Array, auc: float) -> None:
    """Draw how many cancers are found at the price of how many false alarms."""
    from sklearn.metrics import roc_curve  # noqa: PLC0415 - optional

    alarms, found, _ = roc_curve(y, probability, drop_intermediate=False)
    yes = probability > THRESHOLD
    point = yes[y == 0].mean(), yes[y == 1].mean()
    label = f"malignant is what lies above {THRESHOLD:g}"
    inset = panel.inset_axes((0.36, 0.24, 0.58, 0.58))
    inset.set(xlim=(-0.01, CORNER), ylim=(1 - CORNER, 1.01))
    panel.set(xlim=(-0.01, 1), ylim=(0, 1.01), aspect="equal")
    for plane in (panel, inset):
        plane.fill_between(alarms, found, color=BLUE, alpha=0.08, linewidth=0)
        plane.plot(alarms, found, color=BLUE, linewidth=1.8)
        plane.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        plane.scatter(*point, color=BLUE, s=36, zorder=3, label=label)
        plane.grid(alpha=0.25)
        plane.spines[["top", "right"]].set_visible(False)
    panel.text(0.1, 0.05, "by chance", color=GREY, fontsize=9, rotation=45)
    panel.indicate_inset_zoom(inset, edgecolor=GREY)
    ticks = 0, CORNER / 2, CORNER
    inset.set(xticks=ticks, yticks=[1 - tick for tick in ticks])
    inset.tick_params(labelsize=9)
    panel.set_xlabel("false alarms among the benign", fontsize=11)
    panel.set_ylabel("found among the malignant", fontsize=11)
    panel.legend(loc="lower right", frameon=False, fontsize=9, borderaxespad=0.2)
    panel.set_title(f"ROC curve of the test part, AUC {auc:.4f}", fontsize=11, loc="left")


# %%
# Train, evaluate, draw
# ---------------------
# The test part is used once, after the training.


def main() -> None:
    """Train, print and draw."""
    parser = argparse.ArgumentParser(description="Breast cancer, benign or malignant.")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"at most; default {EPOCHS}")
    parser.add_argument("--picture", metavar="PATH", default=PICTURE, help=f"default {PICTURE}")
    options = parser.parse_args()
    if options.epochs < 1:
        parser.error("--epochs must be at least 1")
    x, y = load()
    parts = split(x, y)
    trainer, stopping = build(x.shape[1])
    history = trainer.fit(
        *parts["training"],
        epochs=options.epochs,
        batch_size=BATCH,
        validation=parts["validation"],
    )
    print(f"{len(history)} epochs; the weights are from epoch {stopping.best_epoch}\n")
    test = show(trainer, parts)
    x_test, y_test = parts["test"]
    probability = trainer.model.predict(x_test)
    draw(history, y_test, probability, test["roc_auc"], options.picture)


if __name__ == "__main__":
    main()
