"""Results of a layer compared with each other."""

import numpy as np

from minifw.core.layer import Layer
from minifw.testing._layer_situation import INPUT
from minifw.testing._report import Failure
from minifw.typing import Array

__all__ = ["gradients", "rounding", "same", "same_gradients"]

ROUNDING = 1e-12  # what two ways of computing the same float64 may differ by, relative to all


def rounding(*results: Array) -> float:
    """Return what results may differ by: relative to the largest number in any of them.

    One of them may be a sum in which almost all cancels.
    """
    return ROUNDING * max(float(np.max(np.abs(r), initial=0.0)) for r in results)


def same(what: str, first: Array, second: Array, margin: float = 0.0) -> None:
    """Raise unless two results are equal, but for `margin`."""
    if first.shape != second.shape:
        raise Failure(f"{what}: the shapes {first.shape} and {second.shape} differ")
    different = ~(np.abs(first - second) <= margin) & ~(np.isnan(first) & np.isnan(second))
    if different.any():
        index = tuple(int(i) for i in np.argwhere(different)[0])
        raise Failure(f"{what}: at {index}, {first[index]:.10g} and {second[index]:.10g}")


def same_gradients(
    what: str, first: dict[str, Array], second: dict[str, Array], *, rounded: bool = False
) -> None:
    """Raise unless all gradients are equal, but for rounding if they may be `rounded`."""
    margin = rounding(*first.values()) if rounded else 0.0
    for name, array in first.items():
        same(f"{what}, d{name} differs", array, second[name], margin)


def gradients(layer: Layer, dx: Array | None) -> dict[str, Array]:
    """Return dx and the gradients of the parameters by name, after a backward."""
    found = {name: p.grad.copy() for name, p in layer.named_parameters()}
    return found if dx is None else {INPUT: dx, **found}
