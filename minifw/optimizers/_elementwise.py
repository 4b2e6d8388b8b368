"""Shared by the optimizers: weight decay, blocks of long vectors, and zeros for tiny numbers."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, ClassVar, TypeAlias

import numpy as np

from minifw._engine.packing import decay_mask
from minifw._tools.checks import DTYPES
from minifw._tools.numbers import check_decay_rate, check_non_negative
from minifw._tools.options import Option
from minifw.core.optimizer import Group, Optimizer
from minifw.core.parameter import Parameter
from minifw.typing import Array

__all__ = ["Elementwise", "Pair", "check_pair", "over_root"]

Pair: TypeAlias = tuple[float, float]

# An update is some ten operations on five vectors. Done one after the other on vectors longer than
# the cache, each operation reads them from memory again; done block by block, the first one does.
# tests/benchmarks/adam_blocks.py: of 16,384 to 65,536 elements the largest was fastest, since a
# call costs the same for any length.
BLOCK = 65_536

# A mean whose gradient has become 0 shrinks until it is subnormal, below the smallest number of
# full precision, and never gets to 0. A processor multiplies such numbers some ten times slower.
# So every 256 steps what is below a bound becomes 0: 1e-31 in float32 and 1e-292 in float64. From
# there on the products with a learning rate or with 1 - beta are subnormal, or soon will be.
SETTLE = 256
SMALL = {dtype: float(np.finfo(dtype).tiny / np.finfo(dtype).eps) for dtype in DTYPES}


class Elementwise(Optimizer):
    """An optimizer whose update of an element depends on that element alone.

    A subclass names the vectors of its state in `_vectors`, and writes `rule`. What a step
    has in common for all elements, it computes in `update`, before it calls this one's.
    """

    weight_decay = Option(check_non_negative)
    _weight_decay: float  # what is kept of it
    _decoupled: ClassVar[bool] = False  # whether the decay is a step of its own
    _off: ClassVar[None] = None  # in the place of a vector of the state whose option is off

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        lr: float,
        weight_decay: float,
        no_decay: Iterable[Parameter],
        **options: Any,
    ) -> None:
        for name, value in {**options, "weight_decay": weight_decay}.items():
            setattr(self, name, value)  # checked before any parameter is moved
        super().__init__(parameters, lr)
        for name, vector in self._vectors.items():
            setattr(self, name, None if vector.when else self.zeros())
        self._mask = decay_mask(type(self).__name__, self.parameters, no_decay)
        length, dtype = min(self._vector.values.size, BLOCK), self._vector.values.dtype
        self._scratch = np.empty(length, dtype), np.empty(length, dtype)

    @abstractmethod
    def rule(self, p: Array, g: Array, s: Array, *state: Any) -> None:
        """Change p in place by its gradient g, and the vectors of the state; s is scratch.

        All are of one length. A vector of the state whose option is off is None.
        """

    def update(self, values: Array, grads: Array) -> None:
        """Make the step of the class docstring."""
        for name in self._late:
            if getattr(self, name) is None:
                setattr(self, name, self.zeros())
        decay, settles = self._weight_decay, (self.steps + 1) % SETTLE == 0
        whole = *self._scratch, values, grads, *self._vectors_of(self)
        one = self._scratch[0].size == values.size  # to cut costs as much as a small step
        for s, d, p, g, mask, *state in [whole] if one else _blocks(*whole):
            slope = g
            if decay:
                d = s if self._decoupled else d  # the less memory, the better for the cache
                np.multiply(p, self._lr * decay if self._decoupled else decay, d)
                if mask is not None:
                    d *= mask
                if self._decoupled:  # theta <- theta - lr weight_decay theta
                    p -= d
                else:  # the gradient of L + weight_decay / 2 |theta|^2
                    slope = np.add(g, d, d)
            self.rule(p, slope, s, *state)
            if settles:
                self._settle(g, state)

    def _prepare(self, option: str) -> None:
        """Note which vectors of the state the options need."""
        super()._prepare(option)
        if option != "lr":
            when = {name: vector.when for name, vector in self._vectors.items()}
            on = {name: not need or bool(getattr(self, need)) for name, need in when.items()}
            self._late = [name for name, need in when.items() if need and on[name]]
            self._vectors_of = attrgetter("_mask", *(n if on[n] else "_off" for n in on))

    def _settle(self, g: Array, state: list[Array | None]) -> None:
        """Set what is too small to keep to 0, but squares only where nothing else is left.

        Where a mean, or the gradient, would be divided by their root, they stay.
        """
        bound = SMALL[g.dtype]
        gone = np.abs(g) < bound
        pairs = zip(state, self._vectors.values(), strict=True)
        for vector, kind in sorted(pairs, key=lambda pair: pair[1].squares):  # the squares last
            if vector is None or not kind.fades:
                continue
            small = np.abs(vector) < bound
            if kind.squares:
                small &= gone
            else:
                gone &= small
            vector *= ~small


def _blocks(*vectors: Any) -> Iterator[tuple[Any, ...]]:
    """Yield views of the vectors, as long as the first two, which are scratch.

    A vector that is None stays None in every block.
    """
    size, length = vectors[2].size, vectors[0].size
    for start in range(0, size, length):
        block = slice(start, min(start + length, size))
        scratch = (s[: block.stop - start] for s in vectors[:2])
        yield *scratch, *(None if v is None else v[block] for v in vectors[2:])


def over_root(p: Array, x: Array, v: Array, s: Array, now: Pair) -> None:
    """Subtract rate x / (sqrt(v) + eps) from p, where now = (rate, eps); s is scratch."""
    rate, eps = now
    np.sqrt(v, s)
    s += eps
    np.divide(x, s, s)
    s *= rate
    p -= s


def check_pair(
    owner: str, name: str, value: Pair, check: Callable[..., float] = check_decay_rate
) -> Pair:
    """Return `value` as two floats, or raise unless `check` takes both."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise TypeError(f"{owner} expects {name} to be a pair of numbers, got {value!r}")
    first, second = (check(owner, f"{name}[{i}]", value[i]) for i in (0, 1))
    return first, second
