"""The loss of a plan."""

from functools import partial
from typing import Any

import numpy as np

from minifw._planning.stages import Calls
from minifw._tools.arrays import HALF, LONG, MINUS_ONE, ONE, ones
from minifw.losses import BCEWithLogitsLoss, Loss
from minifw.typing import Array, DType, Shape, Target

__all__ = ["BinaryHead", "Head"]


class Head:
    """A loss after planned layers, as it stands."""

    forward_calls: Calls = ()
    backward_calls: Calls = ()

    def __init__(self, loss: Any, z: Array) -> None:
        self.loss, self.z = loss, z
        # An author's loss may keep what it is given.
        self.copies = not type(loss).__module__.startswith("minifw.")

    def take(self, target: Target) -> None:
        """Look at the target, before the calls."""
        self.target = target

    def value(self) -> float:
        """Return the loss, after the calls of forward."""
        z = self.z.copy("K") if self.copies else self.z
        value: float = self.loss.forward(z, self.target)
        return value

    def slope(self) -> Array:
        """Return dL/dz, after the calls of backward; the same array each time, or a new one."""
        slope: Array = self.loss.backward()
        return slope


class BinaryHead(Head):
    """`BCEWithLogitsLoss` without weights, as calls of NumPy."""

    def __init__(self, loss: Any, z: Array) -> None:
        super().__init__(loss, z)
        size, dtype = z.size, z.dtype
        self.centre, self.rest, w, e, logs, self.dz = (np.empty_like(z) for _ in range(6))
        self.looked_at: object = None  # the targets whose centre and rest these are
        scale = np.array(1 / size, dtype)
        self.saved = z, w, e, scale
        self.flat = w.ravel(), z.ravel(), logs.ravel(), ones(size, dtype)
        first: Calls = (
            partial(np.copysign, HALF[dtype], z, w),
            partial(np.subtract, w, self.centre, w),
        )
        last: Calls = (
            partial(np.copysign, z, MINUS_ONE[dtype], e),
            partial(np.exp, e, e),
            partial(np.log1p, e, logs),
        )
        self.plain: Calls = (*first, *last)
        self.with_rest: Calls = (*first, partial(np.subtract, w, self.rest, w), *last)
        self.backward_calls = (
            partial(np.add, e, ONE[dtype], self.dz),
            partial(np.divide, e, self.dz, self.dz),
            partial(np.copysign, self.dz, z, self.dz),
            partial(np.subtract, w, self.dz, self.dz),
            partial(np.multiply, self.dz, scale, self.dz),
        )

    @staticmethod
    def suits(loss: Loss, z: Array, target: tuple[Shape, DType]) -> bool:
        """Whether this is the loss, for such a target, and its sums run as the numbers lie."""
        return (
            type(loss) is BCEWithLogitsLoss
            and loss.pos_weight is None
            and target == (z.shape, z.dtype)
            and z.size < LONG
            and z.flags.c_contiguous
        )

    def take(self, target: Array) -> None:
        t = self.loss._looked_at(target)
        if t is not self.looked_at:
            self.looked_at, self.forward_calls = t, self.plain
            self.centre[...] = t.centre
            if t.rest is not None:
                self.rest[...] = t.rest
                self.forward_calls = self.with_rest

    def value(self) -> float:
        w, z, logs, one = self.flat
        self.loss._saved = self.saved
        return float(w.dot(z) + logs.dot(one)) / w.size  # whoever asks sees whether it is finite

    def slope(self) -> Array:
        return self.dz
