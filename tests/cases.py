"""The table of all layers: every public layer stands here with inputs that it accepts."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from minifw import Array, Dense, Layer, Sequential, Sigmoid, Tanh


@dataclass(frozen=True)
class Case:
    """One layer, and one batch that it accepts."""

    name: str
    make: Callable[[type], Layer]
    """Makes the layer in a dtype."""

    example_shape: tuple[int, ...]
    """The shape of one input example."""

    def x(self, batch: int, dtype: type = np.float64, seed: int = 0) -> Array:
        """Return a random batch."""
        rng = np.random.default_rng(seed)
        return rng.standard_normal((batch, *self.example_shape)).astype(dtype)


CASES = [
    Case("Dense", lambda dtype: Dense(3, 2, rng=1, dtype=dtype), (3,)),
    Case("Dense, wide", lambda dtype: Dense(2, 7, rng=1, dtype=dtype), (2,)),
    Case("Dense, one unit", lambda dtype: Dense(5, 1, rng=1, dtype=dtype), (5,)),
    Case("Dense, no bias", lambda dtype: Dense(3, 2, bias=False, rng=1, dtype=dtype), (3,)),
    Case("Tanh", lambda _: Tanh(), (3,)),
    Case("Tanh, images", lambda _: Tanh(), (2, 3, 4)),
    Case("Sigmoid", lambda _: Sigmoid(), (3,)),
    Case(
        "Sequential",
        lambda dtype: Sequential(
            Dense(2, 4, rng=1, dtype=dtype), Tanh(), Dense(4, 1, rng=2, dtype=dtype), Sigmoid()
        ),
        (2,),
    ),
    Case(
        "Sequential, nested",
        lambda dtype: Sequential(
            Tanh(),
            Sequential(Dense(3, 4, rng=1, dtype=dtype), Sequential(Sigmoid())),
            Dense(4, 2, rng=2, dtype=dtype),
        ),
        (3,),
    ),
]
