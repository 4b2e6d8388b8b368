"""A loss, and an objective, as layers: all that is asked of a layer can be asked of them."""

import contextlib
import copy
from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Self

import numpy as np

from minifw._tools.checks import check_is, describe
from minifw.core.layer import Layer
from minifw.core.loss import Loss
from minifw.core.parameter import Parameter
from minifw.errors import NonFiniteError
from minifw.testing._doors import check_batch, check_subject
from minifw.testing._equal import Results
from minifw.testing.layers._situation import Situation
from minifw.testing.layers._subject import LayerSubject
from minifw.testing.losses._explain import LOSS_EXPLANATIONS
from minifw.typing import Array

OFFSET = "offset"  # of a probability p, in units of p (1 - p): such a step stays inside of (0, 1)
NAMES = {"prediction": "gradient", OFFSET: "p (1 - p) gradient"}
RESOLVED = 1e-3  # 1 - p below which steps lose their digits beside p
INSIDE = (1e-2, 1 - 1e-2)  # random probabilities, which have most of their digits in float32, too


def flat(value: Any) -> tuple[Any, ...]:
    """Return the members of a tuple or list, or the only thing."""
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def form(name: str, value: Any) -> Any:
    """Return the name of an argument, or the names of the arrays in it if there are several."""
    return tuple(f"{name}[{i}]" for i in range(len(value))) if type(value) is tuple else name


class Adapter(Layer):
    """A layer around a loss or an objective: of arrays it gives the loss, of shape (1,).

    `forms` names the arrays of each argument that `inner` is given by place; `others` are given by
    name.
    """

    output_names = ("loss",)
    _saved_room: Any = None

    def __init__(self, inner: Any, forms: Any, others: tuple[str, ...] = ()) -> None:
        self.inner, self.forms, self.others = inner, forms, others

    @property
    def input_names(self) -> tuple[str, ...]:
        """The names of all arrays."""
        return (*(name for form in self.forms for name in flat(form)), *self.others)

    @property
    def declared(self) -> Any:
        """What is declared to be meant as it is."""
        return getattr(self.inner, "declared", ())

    def arguments(self, arrays: Iterable[Any]) -> tuple[list[Any], dict[str, Array]]:
        """Return the arguments that are given by place, and the others by name."""
        rest = iter(arrays)
        placed = [
            next(rest) if isinstance(form, str) else tuple([next(rest) for _ in form])
            for form in self.forms
        ]
        return placed, dict(zip(self.others, rest, strict=True))

    def forward(self, *arrays: Any) -> Array:
        placed, others = self.arguments(arrays)
        offset, room = others.pop(OFFSET, None), None
        if offset is not None:
            p = placed[0]
            room = p * (1 - p) * (1 - p > RESOLVED)
            placed[0] = p + room * offset
        vars(self)["_saved_room"] = room
        dtype = np.result_type(flat(placed[0])[0], np.float32)  # of whole numbers float64
        return np.array([self.inner.forward(*placed, **others)], dtype)

    def __repr__(self) -> str:
        return repr(self.inner)


class LossAsLayer(Adapter):
    """A loss as a layer."""

    def backward(self, _: Array) -> Any:
        """Return the gradient itself, as dy is 1: who owns its memory is asked, too."""
        gradients, room = flat(self.inner.backward()), self._saved_room
        constants = (None,) * (len(self.input_names) - len(gradients))
        return (*gradients, *constants) if room is None else (*constants, gradients[0] * room)


class ObjectiveAsLayer(Adapter):
    """An objective as a layer, which has the parameters of its model."""

    def backward(self, _: Array) -> Any:
        with contextlib.suppress(NonFiniteError):  # the gradients tell more
            self.inner.backward()
        dxs = flat(self.inner.input_gradient())
        return *dxs, *(None,) * (len(self.input_names) - len(dxs))

    def _walk(self) -> list[tuple[str, Parameter | Layer]]:
        return [("", self.inner.model), *self.inner.model._walk()]


class OfALoss(LayerSubject):
    """A layer whose only output is a loss: its dy is 1, and of its inputs only x is moved."""

    layer: Any
    moved: ClassVar[str] = "x"
    any_sign: Any = False

    @classmethod
    def of(cls, what: str, kind: type, inner: Any, seed: int, **named: Any) -> Self:
        """Return the subject of a loss or an objective, or raise if it is not a batch."""
        layer = kind(inner, [form(*pair) for pair in named.items()])
        arrays = [array for value in named.values() for array in flat(value)]
        pairs = zip(layer.input_names, arrays, strict=True)
        check_batch(what, {name: a for name, a in pairs if a is not None})
        return cls(layer, tuple(arrays), seed)

    @property
    def kind(self) -> type:
        """The class that is checked."""
        return type(self.layer.inner)

    @cached_property
    def dxs(self) -> dict[str, str]:
        """The inputs by the names of their gradients."""
        return {f"dL/d{name}": name for name in self.names}

    @cached_property
    def real(self) -> list[str]:
        """The gradients of the inputs that are moved, and hold real numbers."""
        return [dx for dx in super().real if self.dxs[dx].startswith(self.moved)]

    def _chosen(self, rows: int, batch: int, rng: np.random.Generator) -> Array:
        """Return different rows, as far as there are: labels of all kinds."""
        return rng.permutation(np.arange(max(rows, batch)) % rows)[:batch]

    def _moved(self, name: str, rows: Array, rng: np.random.Generator) -> Array:
        return super()._moved(name, rows, rng) if name.startswith(self.moved) else rows

    def cotangents(self, ys: Results, *, draw: int = 0) -> Results:  # noqa: ARG002
        """Return 1: the loss is not asked for multiples."""
        return {"dy": np.ones_like(ys["loss"])}


class LossSubject(OfALoss):
    """A loss, a batch that it accepts, and a seed; nothing here changes them."""

    kinds = "losses"
    # What logaddexp(0, z) - t z hides, for z near 25: its last digit, 4e-15, over a step of 1e-4.
    floor: ClassVar[float] = 1e-10
    moved: ClassVar[str] = "prediction"
    explanations: ClassVar[Any] = LOSS_EXPLANATIONS

    def at(self, loss: Any, *others: str, xs: Any = None) -> "LossSubject":
        """Return the same of another loss, or of more arguments."""
        layer = LossAsLayer(loss, self.layer.forms, (*self.layer.others, *others))
        return replace(self, layer=layer, xs=self.xs if xs is None else xs)

    def situation(self, inputs: Results) -> Situation:
        """Return where it is differentiated: by an offset of probabilities near 0 or 1."""
        p = inputs.get("prediction")
        if p is None:  # of several, what may be probabilities is kept away from 0 and 1
            inputs = {
                n: x.clip(*INSIDE)
                if n.startswith(self.moved) and 0 <= x.min() <= x.max() <= 1
                else x
                for n, x in inputs.items()
            }
        if p is None or not self.domain or (p.min() >= INSIDE[0] and p.max() <= INSIDE[1]):
            return Situation(self, training=True, inputs=inputs)
        xs: Any = (*self.xs, np.zeros_like(self.xs[0]))
        moved = self.at(self.layer.inner, OFFSET, xs=xs)
        return Situation(moved, training=True, inputs={**inputs, OFFSET: np.zeros_like(p)})

    @cached_property
    def dxs(self) -> dict[str, str]:
        """The inputs by the names of their gradients."""
        return {NAMES.get(name, f"gradient of {name}"): name for name in self.names}

    @cached_property
    def real(self) -> list[str]:
        """The gradients of the predictions, or of the offset."""
        return [NAMES[OFFSET]] if OFFSET in self.names else super().real

    def twin(self, *_: Any, **__: Any) -> Any:
        """Return a copy of it."""
        return copy.deepcopy(self.layer)

    def value(self, inputs: Results) -> float:
        """Return the loss, or NaN if it is refused."""
        try:
            return float(self.forward(self.twin(), inputs)["loss"][0])
        except (ValueError, ArithmeticError):
            return float("nan")

    @cached_property
    def domain(self) -> str:
        """What the loss does with what is not a probability; "" if its prediction is none."""
        given = self.given(np.float64)
        p = given.get("prediction")
        if p is None or p.min() < 0 or p.max() > 1:
            return ""
        values = [
            self.value({**given, "prediction": np.full_like(p, q)}) for q in (-1.5, -0.5, 1.5, 2.5)
        ]
        if not np.isfinite(values[1:3]).all():
            return "refused"
        return "clipped" if values[0] == values[1] and values[2] == values[3] else ""

    def _moved(self, name: str, rows: Array, rng: np.random.Generator) -> Array:
        moved = super()._moved(name, rows, rng)
        return moved.clip(*INSIDE) if self.domain and name == "prediction" else moved

    def scaled(self, factor: float, given: Results | None = None) -> Results:
        """Return inputs, by default those given, with the predictions times a factor."""
        xs = self.given(np.float64) if given is None else given
        return {n: x * factor if n.startswith(self.moved) else x for n, x in xs.items()}


def loss_subject(loss: Loss, prediction: Any, target: Any = None, seed: int = 0) -> LossSubject:
    """Return what the checks take, or raise if it is not a loss or no batch."""
    what = "check_loss"
    check_subject(what, "a loss", loss, Loss, seed, call="()")
    if loss.takes_several:
        check_is(what, "a tuple of predictions, one for each output", prediction, tuple)
        target = (*(target or ()), *(None,) * (len(prediction) - len(target or ())))
    elif loss.takes_target:
        check_is(what, "target to be an array", target, np.ndarray)
    for p in flat(prediction):
        if not (isinstance(p, np.ndarray) and p.dtype.kind == "f"):
            raise TypeError(
                f"{what} expects predictions of floating-point numbers, got {describe(p)}"
            )
    return LossSubject.of(what, LossAsLayer, loss, seed, prediction=prediction, target=target)
