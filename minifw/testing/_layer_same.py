"""Results of a layer compared with each other."""

import numpy as np

from minifw._core.layer import Layer
from minifw._core.typing import Array
from minifw.testing._layer_situation import INPUT
from minifw.testing._report import Failure

__all__ = ["ROUNDING", "gradients", "same", "same_gradients"]

ROUNDING = 1e-12  # what two ways of computing the same float64 may differ by, relative to all


def same(what: str, first: Array, second: Array, rounding: float = 0.0) -> None:
    """Raise unless two results are equal, up to rounding relative to the largest."""
    if first.shape != second.shape:
        raise Failure(f"{what}: the shapes {first.shape} and {second.shape} differ")
    margin = rounding * float(np.max(np.abs(first), initial=0.0))
    different = ~(np.abs(first - second) <= margin) & ~(np.isnan(first) & np.isnan(second))
    if different.any():
        index = tuple(int(i) for i in np.argwhere(different)[0])
        raise Failure(f"{what}: at {index}, {first[index]:.10g} and {second[index]:.10g}")


def same_gradients(
    what: str, first: dict[str, Array], second: dict[str, Array], rounding: float = 0.0
) -> None:
    for name, array in first.items():
        same(f"{what}, d{name} differs", array, second[name], rounding)


def gradients(layer: Layer, dx: Array | None) -> dict[str, Array]:
    found = {name: p.grad.copy() for name, p in layer.named_parameters()}
    return found if dx is None else {INPUT: dx, **found}
