"""Recipes: parameters of an estimator that were tuned together, under one name.

"realmlp" is the simple form of RealMLP with tuned defaults (RealMLP-TD-S) of D. Holzmueller,
L. Grinsztajn and I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs and Boosted Trees on
Tabular Data", NeurIPS 2024: robust scaling, a learned factor for each column, layers in the NTK
form, cycles of the learning rate, and the best epoch of a validation part.
"""

import inspect
from types import SimpleNamespace
from typing import Any

from minifw._tools.numbers import check_choice
from minifw.core.layer import Layer
from minifw.core.optimizer import Optimizer
from minifw.initializers import Zeros
from minifw.interop.sklearn._building import same, snapshot
from minifw.layers import SELU, Mish, NTKDense, Scale
from minifw.optimizers import Adam, biases_and_norms
from minifw.typing import DType, Generator

PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "realmlp": {
        "both": {
            "hidden_layers": (256, 256, 256),
            "batch_size": 256,
            "max_epochs": 256,
            "tol": None,
            "n_iter_no_change": None,
            "early_stopping": True,
            "validation_fraction": 0.2,
        },
        "classifier": {"lr": 0.04, "activation": SELU, "label_smoothing": 0.1},
        "regressor": {"lr": 0.07, "activation": Mish},
    }
}
BETAS = 0.9, 0.95  # of Adam
BIASES = 0.1  # learning rates of these, over lr
FACTORS = 6.0
CYCLES = 4


def chosen(owner: str, estimator: Any, kind: str) -> SimpleNamespace:
    """Return the parameters of an estimator; a preset has its own in place of defaults."""
    given = estimator.get_params(deep=False)
    if given["preset"] is not None:
        check_choice(*PRESETS, None)(owner, "preset", given["preset"])
        own = PRESETS[given["preset"]]["both"] | PRESETS[given["preset"]][kind]
        defaults = inspect.signature(type(estimator)).parameters
        kept = {n for n in own if not same(snapshot(given[n]), snapshot(defaults[n].default))}
        given |= {name: value for name, value in own.items() if name not in kept}
    return SimpleNamespace(**given)


def dense(
    in_features: int, out_features: int, dtype: DType, rng: Generator, *, last: bool
) -> NTKDense:
    """Return a layer in the NTK form, with biases of N(0, 1); the last one starts at 0."""
    start = Zeros() if last else None
    layer = NTKDense(in_features, out_features, init=start, dtype=dtype, rng=rng)
    if layer.bias is not None and not last:
        layer.bias.value = rng.standard_normal(out_features).astype(dtype)
    return layer


def optimizer(model: Layer, lr: float) -> Optimizer:
    """Return Adam with the learning rates of the recipe."""
    rates = {id(p): BIASES for p in biases_and_norms(model)}
    layers = [layer for _, layer in model.named_layers() if isinstance(layer, Scale)]
    rates |= {id(layer.weight): FACTORS for layer in layers}
    groups = [{"params": p, "lr": lr * rates.get(id(p), 1.0)} for p in model.parameters()]
    return Adam(groups, lr=lr, betas=BETAS)
