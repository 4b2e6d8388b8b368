"""Temperature: one number that divides the logits, which calibrates probabilities."""

import numpy as np
from scipy.optimize import minimize_scalar

from minifw.losses import BCEWithLogitsLoss, CrossEntropyLoss
from minifw.typing import Array, Target

FARTHEST = 10.0  # of the logarithm of a temperature from 0: float32 still tells logits apart
EXACT = 1e-9  # precision of the temperature


def temperature(logits: Array, target: Target, weight: Array | None, *, yes_or_no: bool) -> float:
    """Return the temperature at which the cross-entropy of these rows, held out, is lowest.

    One row more is counted, that is of all classes alike, as in Laplace's rule. Otherwise rows
    that are all told right would ask for a temperature of 0, at which nothing is uncertain.
    """
    weight = np.ones(len(logits)) if weight is None else weight.astype(np.float64)
    share = 1 / (1 + weight.sum())
    target = target + share * (0.5 - target) if yes_or_no else target
    loss = BCEWithLogitsLoss() if yes_or_no else CrossEntropyLoss(label_smoothing=share)
    z = logits.astype(np.float64)
    found = minimize_scalar(
        lambda t: loss.forward(z / np.exp(t), target, weight),
        bounds=(-FARTHEST, FARTHEST),
        method="bounded",
        options={"xatol": EXACT},
    )
    return float(np.exp(found.x))
