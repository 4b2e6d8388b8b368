"""What went wrong with a gradient: it is compared with the faults that people make.

Each explanation is a function of the faulty gradient that returns a sentence,
or None where it does not fit. They are asked in turn, the more telling first.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from minifw._engine.listening import listening
from minifw.core.layer import Layer
from minifw.testing._equal import Results, copies
from minifw.testing._explain import (
    DIGITS,
    Fault,
    along_an_axis,
    constant_factor,
    factor_sentence,
    one_side,
    precision,
    zero,
)
from minifw.testing._numeric import Slopes, mismatches
from minifw.testing._state import hidden_state, put_back
from minifw.testing.layers._situation import Situation, analytic, joined, numeric
from minifw.typing import Array

FEW = 3  # different numbers, at least, whose order says something
NEAR = 1e-5  # a gradient that is this near to another, relatively, is taken for it
STEP = 1e-4  # along dy, for the Jacobian times dy


@dataclass(frozen=True)
class LayerFault(Fault):
    """A gradient that is wrong, and how it came about.

    Attributes
    ----------
    situation : Situation
        Where the layer was differentiated.
    name : str
        Its name, as "dx" or "dweight".
    earlier : dict of arrays by name, or None
        The inputs of the forward before.
    """

    situation: Situation
    name: str
    earlier: Results | None

    @property
    def of_input(self) -> bool:
        """Whether it is that of an input, and not of a parameter."""
        return self.name in self.situation.subject.dxs

    @property
    def x(self) -> Array:
        """The input that it is of; of a parameter the first one."""
        s = self.situation.subject
        return self.situation.inputs[s.dxs.get(self.name, next(iter(s.given())))]

    def fits(self, other: Slopes | Array) -> bool:
        """Whether it is the right gradient of something else."""
        if isinstance(other, np.ndarray):
            other = replace(self.true, value=other, low=other, high=other)
        return not mismatches(self.found, other).any()

    def fits_at(self, situation: Situation) -> bool:
        """Whether it is the right gradient in another situation."""
        return self.fits(numeric(situation, self.name))


def _not_written(f: LayerFault) -> str | None:
    if not np.isnan(f.found).any():
        return None
    if f.of_input:
        return "it holds NaN"
    again = analytic(f.situation, earlier=f.earlier, fill=0.0)[f.name]
    if np.isnan(again).any():
        return "it holds NaN"
    if not mismatches(again, f.true).any():
        return "backward adds to the gradient that was there: overwrite it (= in place of +=)"
    filled = analytic(f.situation, earlier=f.earlier, fill=7.0)[f.name]
    if (filled == 7.0).all():
        return "backward never sets it"
    return "backward sets only a part of it" if (filled == 7.0).any() else None


def _factor(f: LayerFault) -> str | None:
    factor = constant_factor(f.found, f.true)
    if factor is None or abs(factor - 1) < DIGITS:
        return None
    x, y = f.x, f.situation.dy
    sizes = {"the batch size": len(x), "the number of features": x.shape[-1]}
    if y.shape[-1] != x.shape[-1]:
        sizes["the number of outputs"] = y.shape[-1]
    if len(y):
        sizes["the number of elements of a batch"] = y.size
    if _same_for_another_batch(f, factor):
        sizes = {name: size for name, size in sizes.items() if "batch" not in name}
    return factor_sentence(factor, sizes)


def _same_for_another_batch(f: LayerFault, factor: float) -> bool:
    """Whether a batch of another size gives the same factor, which then is no batch size."""
    subject, batch = f.situation.subject, f.situation.batch + 2
    try:
        other = Situation.of(subject, training=f.situation.training, batch=batch, draw=1)
        again = constant_factor(analytic(other)[f.name], numeric(other, f.name))
    except Exception:  # noqa: BLE001 - it may take one batch size only
        return False
    return again is not None and abs(again / factor - 1) < DIGITS


def _ignores_dy(f: LayerFault) -> str | None:
    if f.situation.batch == 1:  # of few numbers, some are like others by chance
        return None
    for dy in f.situation.subject.dys:
        for value, word in ((1.0, "ones"), (0.0, "zeros")):
            given = np.full_like(f.situation.inputs[dy], value)
            other = replace(f.situation, inputs={**f.situation.inputs, dy: given})
            if f.fits_at(other):
                return f"{dy} is ignored: it is the gradient for a {dy} of {word}"
    if f.of_input and f.found.shape == f.situation.dy.shape and f.fits(f.situation.dy):
        return "dy is passed on as it came: the layer's own derivative is missing"
    return None


def _stale(f: LayerFault) -> str | None:
    if f.situation.batch == 1:  # of few numbers, two inputs may have the same derivatives
        return None
    inputs = {**f.situation.inputs, **(f.earlier or {})}
    if f.earlier is not None and f.fits_at(replace(f.situation, inputs=inputs)):
        return "it belongs to an earlier forward: backward must differentiate the latest"
    return None


def _other_mode(f: LayerFault) -> str | None:
    mode, other = ("train", "eval") if f.situation.training else ("eval", "train")
    if f.fits_at(replace(f.situation, training=not f.situation.training)):
        return f"it is the gradient of {other} mode, in {mode} mode"
    return None


def _transposed(f: LayerFault) -> str | None:
    square = f.found.ndim == 2 and f.found.shape[0] == f.found.shape[1]
    if square and f.fits(f.true.value.T):
        return "it is transposed"
    for name, parameter in f.situation.layer().named_parameters():
        shape = parameter.shape
        other_square = f"d{name}" != f.name and len(shape) == 2 and shape[0] == shape[1]
        if other_square and f.fits_at(replace(f.situation, transposed=name)):
            return f"{name} is transposed in it"
    return None


def _diagonal(f: LayerFault) -> str | None:
    """Fit dy times the diagonal of the Jacobian, found with a dy of one output at a time."""
    dy = f.situation.dy
    if not f.of_input or f.found.shape != dy.shape or f.found.size > np.iinfo(np.int8).max:
        return None
    diagonal = np.zeros_like(dy)
    features = dy.shape[-1]
    for j in range(features):
        one = np.zeros_like(dy)
        one[..., j] = dy[..., j]
        at = f.situation.with_dys(lambda _, __: one)  # noqa: B023 - called at once
        diagonal[..., j] = numeric(at, f.name).value[..., j]
    if f.fits(diagonal):
        return (
            "it is dy times the diagonal of the Jacobian: the derivatives of each output with "
            "respect to the other inputs are missing"
        )
    return None


def _constant_statistics(f: LayerFault) -> str | None:
    """Fit dy times a factor for each feature, or each row: a mean or a variance held constant."""
    dy = f.situation.dy
    if not f.of_input or f.found.shape != dy.shape or len(dy) == 1:
        return None
    factor, right = f.found / dy, f.true.value / dy
    for axis, of in ((0, "the batch"), (-1, "the features")):
        if not _same_along(axis, factor):
            continue
        same = f"it is dy times a factor that is the same all over {of}"
        if _same_along(axis, right):
            first = int(np.argmax(np.abs(factor - right)))
            return f"{same}, but another: {factor.flat[first]:.6g}, not {right.flat[first]:.6g}"
        if axis == 0 and not f.situation.training:
            return same  # of the batch nothing should be computed: that is another verdict
        return (
            f"{same}: the derivatives through what is computed from {of} (a mean, a variance, "
            "a sum) are missing"
        )
    return None


def _same_along(axis: int, array: Array) -> bool:
    return array.shape[axis] > 1 and np.allclose(array, array.mean(axis=axis, keepdims=True))


def _rows(f: LayerFault) -> str | None:
    """Fit a sum over the batch of which only one row, or the mean, was taken."""
    if f.of_input:
        wrong = f.wrong.reshape(len(f.found), -1)
        (right,) = np.nonzero(~wrong.any(axis=1))
        others = right.size == 1 and len(wrong) > 2 and np.delete(wrong, right, axis=0).all()
        return f"only row {right[0]} is right" if others else None
    batch = f.situation.batch
    for row in (0, batch - 1):
        mine = np.arange(batch) == row
        if f.fits_at(f.situation.with_dys(lambda _, a: (a.T * mine).T)):  # noqa: B023
            return f"it is of row {row} alone: the sum over the batch is missing"
    return None


def _missing_path(f: LayerFault) -> str | None:
    dy = f.situation.dy
    if not f.of_input or dy.shape != f.found.shape:
        return None
    if f.fits(f.true.value - dy):
        return "dy itself is missing in it: the path around, of y = x + ..., was left out"
    if f.fits(f.true.value + dy):
        return "dy is in it once too often"
    return None


def _where(f: LayerFault) -> str | None:
    """Fit a gradient that is right on one side of a value of x, or of |x|, and wrong beyond."""
    x = f.x
    if not f.of_input or x.shape != f.wrong.shape or len(x) == 1:
        return None
    return one_side(f, "x", x) or one_side(f, "|x|", np.abs(x))


def _in_other_places(f: LayerFault) -> str | None:
    """Fit the right numbers in another order."""
    found, true = np.sort(f.found, axis=None), np.sort(f.true.value, axis=None)
    if len(np.unique(true)) < FEW or not np.allclose(found, true, rtol=NEAR, atol=NEAR**2):
        return None
    return "its numbers are right, but in other places: a permutation has to be inverted"


def _not_transposed(f: LayerFault) -> str | None:
    """Fit the Jacobian times dy, by differences along dy."""
    dy = f.situation.dy
    if not f.of_input or f.found.shape != dy.shape or dy.shape[-1] == 1:
        return None
    s, layer, x = f.situation.subject, f.situation.layer(), f.x
    states = hidden_state(layer)

    def at(steps: float) -> Array:
        put_back(layer, states)
        moved = {**f.situation.inputs, s.dxs[f.name]: x + steps * STEP * dy}
        return joined([*s.forward(layer, moved).values()])

    product = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * STEP)
    if not np.allclose(product, f.found, rtol=NEAR, atol=NEAR**2):
        return None
    return "it is the Jacobian times dy: backward must multiply with its transpose"


def _along_an_axis(f: LayerFault) -> str | None:
    return along_an_axis(f, 1 if f.of_input else 0)


def _of_other_signs(f: LayerFault) -> str | None:
    """Fit a gradient that is right as long as all parameters keep the signs that were given."""
    subject = f.situation.subject
    given = dict(subject.twin().named_parameters())
    kept = replace(f.situation, subject=replace(subject, signs=False))
    if mismatches(analytic(kept, earlier=f.earlier)[f.name], numeric(kept, f.name)).any():
        return None
    for name, parameter in kept.layer().named_parameters():
        turned = given[name].value * parameter.value < 0
        if turned.any():
            value = given[name].value[turned][0]
            return (
                f"it is right with parameters of the signs given, and wrong with others, such as "
                f"{name} = {value:.3g}: keep the sign in forward, or refuse the value"
            )
    return None


def _of_another(f: LayerFault) -> str | None:
    """Fit the gradient of another input."""
    for name in f.situation.subject.real if f.of_input and f.situation.batch > 1 else ():
        other = numeric(f.situation, name) if name != f.name else f.true
        if other is not f.true and other.value.shape == f.found.shape and f.fits(other):
            return f"it is {name}: backward must return the gradients in the order of the inputs"
    return None


def _of_one_use(f: LayerFault) -> str | None:
    """Find a parameter that is used several times, with a memory of each use or as a tie."""
    if f.of_input:
        return None
    s, layer, uses = f.situation.subject, f.situation.layer(), list[str]()
    parameter = dict(layer.named_parameters())[f.name.removeprefix("d")]
    holders = [
        (name, one)
        for name, one in layer._all_layers()
        if any(member is parameter for _, member in one._members())
    ]

    def note(name: str, _: Layer, __: str, call: Callable[..., Any], *xs: Any) -> Any:
        uses.append(name)
        return call(*xs)

    with listening(holders, ("forward",), note):
        s.forward(layer, copies(f.situation.inputs))
    added = "the gradients of all uses must be added, as by layer.backward_adding(dy)"
    many = f"its parameter is used {len(uses)} times in one forward: {added}"
    return many if len(uses) > 1 else None


EXPLANATIONS: tuple[Callable[[LayerFault], str | None], ...] = (
    _not_written,
    zero,
    _stale,
    _other_mode,
    _of_another,
    _of_one_use,
    _factor,
    _ignores_dy,
    _transposed,
    _rows,
    _missing_path,
    _diagonal,
    _where,
    _constant_statistics,
    precision,
    _in_other_places,
    _not_transposed,
    _of_other_signs,
    _along_an_axis,
)
