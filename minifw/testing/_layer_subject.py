"""A layer under test: copies of it with random parameters, and inputs like the one given.

And its gradients: by its own backward, and by differences of its forward.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from minifw._engine.packing import Memory
from minifw._tools.generators import AnyGenerator, find_generators, load_state, state_of
from minifw.core.layer import Layer
from minifw.testing._equal import Results, differing
from minifw.testing._numeric import Slopes, along, differences
from minifw.testing._report import Failure
from minifw.typing import Array, DType

INPUT = "x"  # the name of the input among those of the parameters
SPREAD = 0.3  # of the logarithm of a jittered value: it keeps its sign and its size
DRAWS = 1000  # seeds are spaced so that no two batches are drawn alike
NUMBERS = np.ndarray | np.generic | float | int
BATCHES = (5, 7, 11)  # primes, so that a batch is of no other length that occurs


@dataclass(frozen=True)
class LayerSubject:
    """A layer, an input that it accepts, and a seed; nothing here changes either."""

    layer: Layer
    x: Array
    seed: int = 0
    signs: bool = True  # whether the random parameters have other signs than those given
    training: bool = True  # the mode of its copies

    @cached_property
    def batch(self) -> int:
        """A batch size that no axis of an example, and no parameter, has."""
        taken = {*self.x.shape[1:], *(n for p in self.layer.parameters() for n in p.shape)}
        return next((b for b in BATCHES if b not in taken), BATCHES[-1])

    @cached_property
    def _values(self) -> dict[int, list[Array]]:
        """The random values of the parameters, by draw."""
        return {}

    @property
    def differentiable(self) -> bool:
        """Whether the input holds real numbers; whole ones are indices."""
        return self.x.dtype.kind == "f"

    @cached_property
    def dtype(self) -> DType:
        """The dtype that the layer as given computes in."""
        default = self.x.dtype if self.differentiable else np.dtype(np.float64)
        return next((p.dtype for p in self.layer.parameters()), default)

    def twin(
        self, dtype: type = np.float64, *, training: bool | None = None, draw: int = 0
    ) -> Layer:
        """Return a copy of the layer in `dtype`, with random parameters."""
        twin = copy.deepcopy(self.layer)
        if twin.named_buffers() or not twin.parameters():
            used = copy.deepcopy(twin).train()
            used.forward(self.given())
            if not twin.parameters() and used.parameters():
                twin = used  # some make their parameters now
            for (_, buffer), (_, later) in zip(
                twin.named_buffers(), used.named_buffers(), strict=True
            ):
                buffer[...] = later  # that are not their first values
        twin.train(self.training if training is None else training)
        values = self._values
        if draw not in values:  # drawn once: a large table takes its time
            values[draw] = self._drawn(twin, draw)
        return _recast(twin, values[draw], np.dtype(dtype))

    def _drawn(self, layer: Layer, draw: int) -> list[Array]:
        """Return random values for the parameters: of both signs if the layer takes them."""
        rng, given = self.rng(draw), [p.value.copy() for p in layer.parameters()]
        near = [jittered(value, rng) for value in given]
        signed = [value * rng.choice([-1.0, 1.0], value.shape) for value in near]
        for values in (signed, near) if self.signs else (near,):
            recast = _recast(copy.deepcopy(layer), values, np.dtype(np.float64))
            if self._takes(recast, self.given(np.float64)):
                return values
        return given

    def _takes(self, layer: Layer, *xs: Array) -> bool:
        try:
            with np.errstate(all="raise", under="ignore"):
                ys = [layer.train(m).forward(x) for x in xs for m in (True, False)]
                return all(np.isfinite(y).all() for y in ys)
        except Exception:  # noqa: BLE001 - it has a domain
            return False

    def given(self, dtype: type | None = None) -> Array:
        """Return x as it was given, in the layer's dtype or in another."""
        return self._as(self.x, np.dtype(dtype) if dtype else self.dtype)

    def input(self, batch: int | None = None, *, draw: int = 0, dtype: type = np.float64) -> Array:
        """Return a batch like the one given: of both signs, or else within its range."""
        batch = self.batch if batch is None else batch
        rng = self.rng(draw + DRAWS * batch)
        rows = self.x[rng.integers(0, len(self.x), batch)]
        if not self.differentiable:
            return rows
        x = jittered(rows.astype(np.float64), rng)
        low, high = float(self.x.min()), float(self.x.max())
        if self.any_sign:
            x *= rng.choice([-1.0, 1.0], x.shape)
            bound = max(-low, high)  # beyond it may be outside of the layer's domain
            beyond = np.abs(x) > bound
            x[beyond] = bound * bound / x[beyond]  # mirrored: a clip would make ties
        elif low < high:
            x = x.clip(low, high)
        if not self._accepts(x):  # a domain that is no box, such as rows of length 1
            x = rows.astype(np.float64)
        return self._as(x, np.dtype(dtype))

    def _accepts(self, x: Array) -> bool:
        try:
            copy.deepcopy(self.layer).forward(self._as(x, self.dtype))
        except ValueError:
            return False
        except Exception:  # noqa: BLE001 - any other is a finding, and not hidden here
            return True
        return True

    @cached_property
    def any_sign(self) -> bool:
        """Whether the layer takes numbers of both signs: those given may be of one sign only."""
        x = self.given(np.float64)
        return self._takes(self.twin(), x, np.negative(x))

    def inputs(
        self, rows: int | None = None, *, draw: int = 0, dtype: type = np.float64
    ) -> Results:
        """Return a batch of x, and a dy for its y."""
        x = self.input(rows, draw=draw, dtype=dtype)
        return {"x": x, "dy": self.cotangent(self.twin(dtype).forward(x.copy()), draw=draw)}

    def forward(self, layer: Layer, inputs: Results) -> Results:
        """Return y."""
        return {"y": layer.forward(inputs["x"])}

    def backward(self, layer: Layer, inputs: Results) -> Results:
        """Return dx, but of indices, and the gradients of the parameters."""
        dx = layer.backward(inputs["dy"])
        found = {f"d{name}": p.grad.copy() for name, p in layer.named_parameters()}
        return {"dx": dx, **found} if self.differentiable else found

    def model(self, layer: Layer) -> Layer:
        """Return the layer itself: see `Subject`."""
        return layer

    def cotangent(self, y: Array, *, draw: int = 0) -> Array:
        """Return a random dy for the output y: all ones would hide faults."""
        return np.asarray(self.rng(draw + DRAWS // 2).standard_normal(y.shape), y.dtype)

    def rng(self, draw: int) -> np.random.Generator:
        """Return a generator of its own for each draw."""
        return np.random.default_rng([self.seed, draw])

    def _as(self, x: Array, dtype: DType) -> Array:
        return x.astype(dtype) if self.differentiable else x


def jittered(value: Array, rng: np.random.Generator) -> Array:
    """Return random numbers like `value`: of the same signs and sizes; zeros become normal."""
    noise = rng.standard_normal(value.shape)
    return np.where(value == 0, noise / 2, value * np.exp(SPREAD * noise))


def _recast(layer: Layer, values: list[Array], dtype: DType) -> Layer:
    """Give a layer other parameters, and another dtype; return it."""
    for parameter, value in zip(layer.parameters(), values, strict=True):
        parameter._place_in(Memory(value.size, dtype), 0, value.shape)
        parameter.value = value
    for one in every_layer(layer):
        for name, held in vars(one).items():
            if isinstance(held, np.ndarray) and held.dtype.kind == "f":
                setattr(one, name, held.astype(dtype))
            elif isinstance(held, np.dtype) and held.kind == "f":
                setattr(one, name, dtype)
            elif isinstance(held, str) and held in ("float64", "float32"):
                setattr(one, name, dtype.name)
            elif isinstance(held, type) and issubclass(held, np.floating):
                setattr(one, name, dtype.type)
    return layer


def every_layer(layer: Layer) -> list[Layer]:
    """Return a layer and all inside it."""
    return [one for _, one in layer._all_layers()]


def changed(layer: Layer, other: Layer, *, kinds: Any = object) -> list[str]:
    """Return the attributes, of nested layers too, in which two layers differ."""
    pairs = zip(layer._all_layers(), every_layer(other), strict=True)
    return sorted(
        f"{name}.{attribute}".lstrip(".")
        for (name, one), twin in pairs
        for attribute in differing(one, twin)
        if isinstance(vars(one).get(attribute), kinds) and not attribute.startswith("_saved")
    )


def random_sources(thing: object) -> list[AnyGenerator]:
    """Return the random generators inside a thing, be it a layer or an optimizer."""
    return list(find_generators({"": thing}).values())


def generator_states(layer: Layer) -> list[Any]:
    """Return the state of every random generator inside the layer."""
    return [state_of(source) for source in random_sources(layer)]


HiddenState: TypeAlias = tuple[list[Any], list[Array], list[dict[str, Any]]]
"""What a forward may change: generators, buffers, and numbers such as a temperature."""


def hidden_state(layer: Layer) -> HiddenState:
    """Return a copy of what a forward may change, but for what it saves."""
    buffers = [buffer.copy() for _, buffer in layer.named_buffers()]
    plain = int, float, np.number  # but for flags
    numbers = [
        {k: v for k, v in vars(one).items() if isinstance(v, plain) and not isinstance(v, bool)}
        for one in every_layer(layer)
    ]
    return generator_states(layer), buffers, numbers


def put_back(layer: Layer, state: HiddenState, *, numbers: bool = True) -> None:
    """Undo what forwards have changed."""
    generators, buffers, kept = state
    for source, random in zip(random_sources(layer), generators, strict=True):
        load_state(source, random)
    for (_, buffer), value in zip(layer.named_buffers(), buffers, strict=True):
        buffer[...] = value
    for one, plain in zip(every_layer(layer), kept if numbers else (), strict=numbers):
        vars(one).update(plain)


# -- gradients -------------------------------------------------------------------------


@dataclass(frozen=True)
class Situation:
    """A point at which a layer is differentiated: in which mode, at which x, with which dy."""

    subject: LayerSubject
    training: bool
    x: Array
    dy: Array
    transposed: str | None = None  # a parameter whose value is transposed

    @classmethod
    def of(
        cls, subject: LayerSubject, *, training: bool, batch: int | None = None, draw: int = 0
    ) -> "Situation":
        """Return a random situation."""
        inputs = replace(subject, training=training).inputs(batch, draw=draw)
        return cls(subject, training, inputs["x"], inputs["dy"])

    def layer(self) -> Layer:
        """Return a fresh layer, with the same parameters each time."""
        layer = self.subject.twin(training=self.training)
        if self.transposed is not None:
            parameter = dict(layer.named_parameters())[self.transposed]
            parameter.value = parameter.value.T.copy()
        return layer


def analytic(
    situation: Situation, *, earlier: Array | None = None, fill: float = np.nan
) -> dict[str, Array]:
    """Return what the layer's backward gives, by name; `INPUT` is dL/dx.

    `earlier` goes through another forward before, and gradients are filled with
    `fill`, so that what stays from an earlier call can be seen.
    """
    layer = situation.layer()
    states = hidden_state(layer)
    if earlier is not None:
        layer.forward(earlier)
        put_back(layer, states)
    y = layer.forward(situation.x.copy())
    check_result("forward", y, situation.dy.shape)
    for parameter in layer.parameters():
        parameter.grad = np.full(parameter.shape, fill)
    dx = layer.backward(situation.dy.copy())
    return {INPUT: dx, **{name: p.grad.copy() for name, p in layer.named_parameters()}}


def check_result(method: str, result: object, shape: tuple[int, ...] | None = None) -> None:
    """Raise unless a method returned an array, of `shape` if that is given."""
    if not isinstance(result, np.ndarray):
        raise Failure(f"{method} must return an array, it returned {result!r}")
    if shape is not None and result.shape != shape:
        raise Failure(f"{method} returned the shape {result.shape}, expected {shape}")


def numeric(situation: Situation, name: str) -> Slopes:
    """Return the gradient with respect to the input or a parameter, by differences."""
    forward, array = _function_of(situation, name)
    return differences(forward, array, situation.dy, situation.subject.rng(5))


def numeric_along(situation: Situation, name: str, direction: Array) -> Slopes:
    """Return the slope along a direction of the input or a parameter, by differences."""
    forward, array = _function_of(situation, name)
    return along(forward, array, direction, situation.dy)


def _function_of(situation: Situation, name: str) -> tuple[Callable[[], Array], Array]:
    """Return a function without arguments, and the array that it reads."""
    layer = situation.layer()
    x = situation.x.copy()
    states = hidden_state(layer)

    def forward() -> Array:
        put_back(layer, states)
        return layer.forward(x).copy()

    forward()  # some layers make their parameters now
    return forward, x if name == INPUT else dict(layer.named_parameters())[name].value
