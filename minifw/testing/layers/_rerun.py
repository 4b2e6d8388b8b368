"""Faults that are found by running the layer again: in another state, or with a use held.

Each is a function of the faulty gradient that returns a sentence, or None where it does not fit.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

import minifw
from minifw._engine.listening import listening
from minifw.core.layer import Layer
from minifw.testing._equal import alike, copies
from minifw.testing._explain import factor_sentence
from minifw.testing._state import generator_states
from minifw.testing._uses import Runs, Use
from minifw.testing.layers._fault import LayerFault
from minifw.testing.layers._situation import analytic, function_of
from minifw.typing import Array

NEAR = 1e-5  # two factors that are this near, relatively, are one
STEP = 1e-5  # along a direction; both errors are far below what is near
HOUSE = str(Path(minifw.__file__).parent) + os.sep  # whose lines no author can mend
KIT = str(Path(__file__).parents[1]) + os.sep
SEEN = 1e-7  # of a slope, relatively: what a use adds to it, at least


def stale(f: LayerFault) -> str | None:
    if f.situation.batch == 1:  # of few numbers, two inputs may have the same derivatives
        return None
    inputs = {**f.situation.inputs, **(f.earlier or {})}
    if f.earlier is not None and f.fits_at(f.situation.at(inputs=inputs)):
        return "it belongs to an earlier forward: backward must differentiate the latest"
    return None


def other_mode(f: LayerFault) -> str | None:
    mode, other = ("train", "eval") if f.situation.training else ("eval", "train")
    if f.fits_at(f.situation.at(training=not f.situation.training)):
        return f"it is the gradient of {other} mode, in {mode} mode"
    return None


def draws_again(f: LayerFault) -> str | None:
    s, layer = f.situation.subject, f.situation.layer()
    s.forward(layer, copies(f.situation.inputs))
    states = generator_states(layer)
    s.backward(layer, copies(f.situation.inputs))
    if alike(states, generator_states(layer)):
        return None
    return "backward draws random numbers, such as another mask: save what forward drew"


def of_one_use(f: LayerFault) -> str | None:
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


def of_other_signs(f: LayerFault) -> str | None:
    """Fit a gradient that is right as long as all parameters keep the signs that were given."""
    subject = f.situation.subject
    given = dict(subject.twin().named_parameters())
    kept = f.situation.at(subject=replace(subject, signs=False))
    if not replace(f, found=analytic(kept, earlier=f.earlier)[f.name]).fits_at(kept):
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


def altered(f: LayerFault) -> str | None:
    """Fit the gradient for another value of a parameter."""
    for name, parameter in f.situation.layer().named_parameters():
        for change, words in _changes(parameter.value) if f"d{name}" != f.name else ():
            if f.fits_at(f.situation.at(altered=(name, change))):
                return words.format(name)
    return None


def of_another_x(f: LayerFault) -> str | None:
    """Fit the gradient of a parameter for ones in place of x, or for one of its rows."""
    if f.of_input or f.situation.batch == 1 or f.x.dtype.kind != "f":
        return None
    ones, first = np.ones_like(f.x), f.x[:1] + 0 * f.x
    for x, words in (
        (ones, f"{f.of} is missing in it: it is right for ones in its place"),
        (first, f"it takes row 0 of {f.of} in place of each row"),
    ):
        if f.fits_at(f.situation.at(inputs={**f.situation.inputs, f.of: x})):
            return words
    return None


def _changes(value: Array) -> Iterator[tuple[Callable[[Array], Array], str]]:
    """Yield what may have become of a parameter's value on the way, and words for it."""
    for axes in combinations(range(value.ndim), 2):
        if value.shape[axes[0]] == value.shape[axes[1]] > 1:
            words = "{} is transposed in it" + (f": axes {axes}" if value.ndim > 2 else "")
            yield lambda a, axes=axes: np.swapaxes(a, *axes), words  # type: ignore[misc]
    for axis in range(value.ndim):
        if value.shape[axis] > 1:
            words = f"{{}} is flipped in it: axis {axis} is reversed"
            yield lambda a, axis=axis: np.flip(a, axis), words  # type: ignore[misc]
    yield np.ones_like, "the factor {} is left out of it: it is right for ones in its place"
    yield np.abs, "it has the absolute value of {} where it must have its sign"


def use(f: LayerFault) -> str | None:
    """Fit differences of forward with a use of a value held constant, or with a factor."""
    backward: Any = type(f.situation.subject.layer).backward
    of_the_house = backward.__code__.co_filename.startswith(HOUSE)
    runs = Runs(KIT if of_the_house else HOUSE)
    forward, arrays = function_of(f.situation, runs)
    array = arrays[f.name]
    start, dy = array.copy(), f.situation.dy

    def slope(direction: Array, held: tuple[Use, ...] = (), spared: int = -1) -> float:
        ys = []
        for step in (STEP, -STEP):
            array[...] = start + step * direction
            ys.append(runs(forward, held, spared))
        array[...] = start
        return float(np.sum(dy * (ys[0] - ys[1]))) / (2 * STEP)

    runs(forward)
    lines = [(d, slope(d), float(np.sum(f.found * d))) for d in f.directions()]
    said = None  # of a use that is missing, or else of one that is wrong: x * x has two alike
    for uses, spared in runs.groups():
        factors: list[float] = []
        for direction, true, found in lines:
            through = true - slope(direction, uses, spared)
            if abs(through) < SEEN * abs(true):
                break
            factors.append((found - true) / through + 1)
            if spared > 0 and abs(factors[-1]) > NEAR:
                break
            if abs(factors[-1] - factors[0]) > NEAR * max(1.0, abs(factors[0])):
                break
        else:
            # A maximum that is taken off does not count.
            alone = [
                use for use in uses if abs(true - slope(direction, (use,))) > SEEN * abs(true)
            ]
            what = " and by ".join(use.shown(runs.counts[use]) for use in alone or uses)
            if spared > 0 or abs(factors[0]) < NEAR:
                return _of_use(what, factors[0], spared)
            said = said or _of_use(what, factors[0], spared)
    return said


def _of_use(what: str, factor: float, spared: int) -> str:
    if spared > 0:
        one = "first" if spared == 1 else "last"
        return f"of the derivatives by {what} only the {one} counts: add up all (+= in a loop)"
    if abs(factor) < NEAR:
        return f"the derivative by {what} is missing, taken for zero as of a constant"
    return f"the derivative by {what} is wrong: {factor_sentence(factor, {})}"
