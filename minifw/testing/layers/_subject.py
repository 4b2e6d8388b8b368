"""A layer under test: copies of it with random parameters, and inputs like those given.

And its gradients: by its own backward, and by differences of its forward.
"""

import copy
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Self, TypeAlias

import numpy as np

from minifw._engine.composition import required
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.testing._equal import Results, cast, copies
from minifw.typing import Array, DType, Shape

Given: TypeAlias = tuple[Array | None, ...]
SPREAD = 0.3  # of the logarithm of a jittered value: it keeps its sign and its size
DRAWS = 1000  # seeds are spaced so that no two batches are drawn alike
LARGE = 2000  # numbers of a batch; of more, a part is taken
ROWS, PLACES = 8, (5, 9, 17)  # of that part: the shortest axis that the layer takes
INDEX = 16  # numbers, at least, that an index stands for
WHOLE = 30_000  # numbers of the whole batch, which is tried once: of more, fewer rows
BATCHES = (5, 7, 11)  # primes, which are no other length that occurs


@dataclass(frozen=True)
class LayerSubject:
    """A layer, the inputs of a batch that it accepts, and a seed; nothing here changes them.

    All arrays have names: an input the name of the argument of forward, or "x" if there is one; an
    output its own; a gradient "dx" and "dy", or "dx of b" and "dy of h" if there are several.
    """

    layer: Layer
    xs: Given
    seed: int = 0
    signs: bool = True  # whether the random parameters have other signs than those given
    training: bool = True  # the mode of its copies
    reference: Any = None  # another way to the same y
    causal: bool = False  # whether no place of axis 1 may see a later one
    whole: Given = ()  # what was given, where xs is a part of it

    # Random values of the parameters, copies of the layer, and batches, as they are asked for.
    _values: dict[int, list[Array]] = field(default_factory=dict, init=False)
    _twins: dict[Any, Layer] = field(default_factory=dict, init=False)
    _inputs: dict[Any, Results] = field(default_factory=dict, init=False)

    kinds: ClassVar[str] = "layers"
    floor: ClassVar[float] = 0.0  # of an error
    explanations: ClassVar[tuple[Any, ...]] = ()  # of a gradient, asked before a layer's

    @property
    def kind(self) -> type:
        """The class that is checked."""
        return type(self.layer)

    @cached_property
    def batch(self) -> int:
        """A batch size that no axis of an example, and no parameter, has."""
        arrays = [*self.given().values(), *(p.value[None] for p in self.layer.parameters())]
        taken = {n for array in arrays for n in array.shape[1:]}
        return next((b for b in BATCHES if b not in taken), BATCHES[-1])

    def in_mode(self, training: bool) -> Self:
        """Return the same, whose copies are in another mode; all that is drawn is shared."""
        _ = self._ready, self.any_sign
        other = copy.copy(self)
        object.__setattr__(other, "training", training)
        return other

    @cached_property
    def sizes(self) -> list[int]:
        """The sizes of the parameters."""
        return [p.size for p in self.twin().parameters()]

    @property
    def rows(self) -> int:
        """How many rows were given."""
        return len(next(iter(self.given().values())))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names of the inputs, also of inputs that are left out."""
        known = [name.rstrip("?") for name in self.layer.input_names]
        many = known.pop().rstrip("*") if "*" in "".join(known) else "argument"
        known += [f"{many}[{i}]" for i in range(len(self.xs))]
        return ("x",) if len(self.xs) == 1 else tuple(known[: len(self.xs)])

    @cached_property
    def dxs(self) -> dict[str, str]:
        """The inputs by the names of their gradients."""
        return _by_gradient("dx", self.names)

    @cached_property
    def dys(self) -> dict[str, str]:
        """The outputs by the names of their gradients."""
        return _by_gradient("dy", self.layer.output_names)

    @cached_property
    def real(self) -> list[str]:
        """The gradients of the inputs that hold real numbers; whole ones are indices, or masks."""
        pairs = zip(self.dxs, self.xs, strict=True)
        return [dx for dx, x in pairs if x is not None and x.dtype.kind == "f"]

    @property
    def examples(self) -> list[Shape]:
        """The shapes of an example of each input that may not be left out."""
        shapes = [x.shape[1:] for x in self.given().values()]
        return shapes[: required(self.layer) or None]

    @cached_property
    def dtype(self) -> DType:
        """The dtype that the layer as given computes in."""
        found = [p.dtype for p in self.layer.parameters()]
        found += [x.dtype for x in self.xs if x is not None and x.dtype.kind == "f"]
        return next(iter(found), np.dtype(np.float64))

    @cached_property
    def _ready(self) -> Layer:
        """The layer, with what some make in the first forward, and buffers as one leaves them."""
        ready, used = copy.deepcopy(self.layer), copy.deepcopy(self.layer).train()
        self.forward(used, self.given())
        if len(used.named_parameters()) > len(ready.named_parameters()):
            return used
        buffers = zip(ready.named_buffers(), used.named_buffers(), strict=True)
        for (_, buffer), (_, later) in buffers:
            buffer[...] = later
        return ready

    def twin(
        self, dtype: type = np.float64, *, training: bool | None = None, draw: int = 0
    ) -> Layer:
        """Return a copy of the layer in `dtype`, with random parameters."""
        key = np.dtype(dtype), self.training if training is None else training, draw
        if key not in self._twins:
            if draw not in self._values:
                self._values[draw] = self._drawn(self._ready, draw)
            self._twins[key] = _recast(self._ready, self._values[draw], key[0]).train(key[1])
        template, memo = self._twins[key], dict[int, Any]()
        for _, parameter in template.named_parameters():  # without its gradient, which is 0
            memo[id(parameter)] = copied = Parameter(parameter.value)
            copied.frozen = parameter.frozen
        return copy.deepcopy(template, memo)

    def _drawn(self, layer: Layer, draw: int) -> list[Array]:
        """Return random values for the parameters: of both signs if the layer takes them."""
        rng, given = self.rng(draw), [p.value.copy() for _, p in layer.named_parameters()]
        near = [jittered(value, rng) for value in given]
        signed = [value * rng.choice([-1.0, 1.0], value.shape) for value in near]
        for values in (signed, near) if self.signs else (near,):
            recast = _recast(layer, values, np.dtype(np.float64))
            if self.takes(recast, self.given(np.float64)):
                return values
        return given

    def takes(self, layer: Layer, *batches: Results) -> bool:
        """Whether all comes out finite in both modes."""
        try:
            with np.errstate(all="raise", under="ignore"):
                made = [self.forward(layer.train(m), xs) for xs in batches for m in (True, False)]
                return all(np.isfinite(y).all() for ys in made for y in ys.values())
        except Exception:  # noqa: BLE001 - it has a domain
            return False

    def given(self, dtype: type | None = None) -> Results:
        """Return the inputs as they were given, in the layer's dtype or in another."""
        named = zip(self.names, self.xs, strict=True)
        return cast({name: x for name, x in named if x is not None}, dtype or self.dtype)

    def input(
        self, batch: int | None = None, *, draw: int = 0, dtype: type = np.float64
    ) -> Results:
        """Return inputs like those given: of both signs, or else within their range."""
        batch = self.batch if batch is None else batch
        if (batch, draw) not in self._inputs:
            self._inputs[batch, draw] = self._input(batch, draw)
        return cast(self._inputs[batch, draw], dtype)

    def _input(self, batch: int, draw: int) -> Results:
        rng, given = self.rng(draw + DRAWS * batch), self.given(np.float64)
        chosen = self._chosen(self.rows, batch, rng)
        still = {name: x[chosen] for name, x in given.items()}
        moved = {name: self._moved(name, x, rng) for name, x in still.items()}
        # A domain may be no box, such as rows of length 1.
        fits = self.takes(copy.deepcopy(self.layer), cast(moved, self.dtype))
        return moved if fits else still

    def _chosen(self, rows: int, batch: int, rng: np.random.Generator) -> Array:
        return rng.integers(0, rows, batch)  # type: ignore[return-value]

    def _moved(self, name: str, rows: Array, rng: np.random.Generator) -> Array:
        if rows.dtype.kind != "f":
            return rows
        x, given = jittered(rows, rng), self.given(np.float64)[name]
        low, high = float(given.min()), float(given.max())
        if self.any_sign:
            x *= rng.choice([-1.0, 1.0], x.shape)
            bound = max(-low, high)  # beyond it may be outside of the layer's domain
            beyond = np.abs(x) > bound
            x[beyond] = bound * bound / x[beyond]  # mirrored: a clip would make ties
        elif low < high:
            x = x.clip(low, high)
        return x

    @cached_property
    def any_sign(self) -> bool:
        """Whether the layer takes numbers of both signs: those given may be of one sign only."""
        return self.takes(self.twin(), self.given(np.float64), self.scaled(-1.0))

    def scaled(self, factor: float, given: Results | None = None) -> Results:
        """Return inputs, by default those given, with the real ones times a factor."""
        xs = self.given(np.float64) if given is None else given
        return {name: x * factor if x.dtype.kind == "f" else x for name, x in xs.items()}

    def inputs(
        self, rows: int | None = None, *, draw: int = 0, dtype: type = np.float64
    ) -> Results:
        """Return a batch of inputs, and a dy for each output."""
        key = rows, draw, dtype, self.training
        if key not in self._inputs:
            xs = self.input(rows, draw=draw, dtype=dtype)
            self._inputs[key] = self.answered(xs, draw=draw, dtype=dtype)
        return copies(self._inputs[key])

    def answered(self, xs: Results, *, draw: int = 0, dtype: type = np.float64) -> Results:
        """Return these inputs, and a dy for each output."""
        ys = self.forward(self.twin(dtype), copies(xs))
        return {**xs, **self.cotangents(ys, draw=draw)}

    def forward(self, layer: Layer, inputs: Results) -> Results:
        """Return the outputs."""
        made = layer(*(inputs.get(name) for name in self.names))
        ys = made if len(self.dys) > 1 else (made,)
        return dict(zip(self.dys.values(), ys, strict=True))

    def backward(self, layer: Layer, inputs: Results, method: str = "backward") -> Results:
        """Return the gradients of the real inputs, and of the parameters."""
        made: Any = getattr(layer, method)(*(inputs[dy] for dy in self.dys))
        dxs = dict(zip(self.dxs, made if len(self.dxs) > 1 else (made,), strict=True))
        return {**{dx: dxs[dx] for dx in self.real}, **gradients(layer)}

    def cotangents(self, ys: Results, *, draw: int = 0) -> Results:
        """Return a random dy for each output: all ones would hide faults; of masks zeros."""
        rng, found = self.rng(draw + DRAWS // 2), Results()
        for dy, name in self.dys.items():
            y = ys[name]
            noise = rng.standard_normal(y.shape) * (y.dtype.kind == "f")
            found[dy] = np.asarray(noise, np.result_type(y, np.float32))
        return found

    def rng(self, draw: int) -> np.random.Generator:
        """Return a generator of its own for each draw."""
        return np.random.default_rng([self.seed, draw])


def part_of(layer: Layer, given: Given) -> tuple[Given, Given]:
    """Return a few rows and places of a large batch, where the layer takes them, and more rows."""
    arrays = [x for x in given if x is not None]
    size = sum(x.size * (1 if x.dtype.kind == "f" else INDEX) for x in arrays)
    if size <= LARGE:
        return given, ()
    few, many = ROWS, max(2 * ROWS, WHOLE * len(arrays[0]) // size)
    xs, whole = (tuple(x if x is None else x[:n] for x in given) for n in (few, many))
    for axis in range(1, max(x.ndim for x in arrays)):
        for length in PLACES:
            here = (slice(None),) * axis + (slice(length),)
            shorter = tuple(x if x is None or x.ndim <= axis else x[here] for x in xs)
            with suppress(Exception):  # it takes no such length
                copy.deepcopy(layer)(*shorter)
                xs = shorter
                break
    return xs, whole


def _by_gradient(what: str, names: Sequence[str]) -> dict[str, str]:
    return {what if len(names) == 1 else f"{what} of {name}": name for name in names}


def gradients(layer: Layer) -> Results:
    """Return copies of the gradients of the parameters that are trained."""
    named = layer.named_parameters()
    return {f"d{name}": p.grad.copy() for name, p in named if not p.frozen}


def jittered(value: Array, rng: np.random.Generator) -> Array:
    """Return random numbers like `value`: of the same signs and sizes; zeros become normal."""
    noise = rng.standard_normal(value.shape)
    return np.where(value == 0, noise / 2, value * np.exp(SPREAD * noise))


def _recast(layer: Layer, values: list[Array], dtype: DType) -> Layer:
    """Return a copy of a layer in another dtype, with other parameters."""
    twin = layer.astype(dtype)
    for (_, parameter), value in zip(twin.named_parameters(), values, strict=True):
        parameter.value = value
    return twin
