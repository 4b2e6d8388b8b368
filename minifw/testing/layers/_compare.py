"""A layer's gradients against differences, and the words for what is wrong with them."""

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from minifw._engine.listening import listening
from minifw.core.layer import Layer
from minifw.testing._equal import alike, copies
from minifw.testing._explain import along_an_axis, explain, worst
from minifw.testing._numeric import Slopes
from minifw.testing._report import CAUSE, Failure, NotApplicable, declared, leave_declared
from minifw.testing._state import changed, undoing
from minifw.testing.layers._explain import BY_RUNNING, EXPLANATIONS, LATER
from minifw.testing.layers._fault import LayerFault, smallest
from minifw.testing.layers._situation import Situation, analytic, numeric, wrong_along
from minifw.testing.layers._subject import LayerSubject, gradients
from minifw.typing import Array

ROUNDING = 1e4  # times what rounding hides: float64 has 100 at the shortest step, float32 1e8
NOISE = 1e-4  # an error of the differences, relative to them; in float64 it is 1e-10 or so
NOISY = "differences of forward are noise: "


def compare(situation: Situation, *, of_x: bool) -> dict[str, Any]:
    """Compare the gradients of the inputs, or of the parameters, with differences."""
    s = situation.subject
    names = s.real if of_x else [*gradients(situation.layer())]
    if not names:
        raise NotApplicable("x holds whole numbers" if of_x else "there are none")
    meant = [name for name in names if name in declared(s.layer)]
    names = [name for name in names if name not in meant]
    if not names:
        leave_declared(s.layer, meant[0])
    earlier = s.input(situation.batch, draw=2)
    faults, lines = list[LayerFault](), list[str]()
    found = analytic(situation, earlier=earlier)
    for name in names:
        true = numeric(situation, name)
        if found[name].shape != true.value.shape:
            raise Failure(f"{name} has the shape {found[name].shape}, not {true.value.shape}")
        fault = LayerFault(found[name], true, situation, name, earlier)
        if _worthless(true):
            raise Failure(f"{name} cannot be checked: {NOISY}{_why_noisy(situation)}")
        if (~(np.abs(fault.found - true.value) <= s.floor))[fault.wrong].any():
            faults.append(fault)
            lines.append(f"{worst(name, fault.found, true, fault.wrong)}")
        elif np.isnan(true.value).any():
            lines += _elsewhere(situation, name, found[name])
    if lines:
        wrong = tuple(fault.name for fault in faults)
        inside = _inside(situation)
        why, telling = ("", CAUSE) if inside else _why(faults)
        numbers = "; ".join(lines)
        raise Failure(
            inside or (f"{why} ({numbers})" if why else numbers),
            telling=telling,
            wrong=wrong,
            right=tuple(name for name in names if name not in wrong),
        )
    few = f"each number of {len(s.sizes)} parameters, but a few, and all along one direction"
    return {"right": tuple(names), "untried": few if situation.every > 1 else ""}


def _why(faults: list[LayerFault]) -> tuple[str, int]:
    """Explain the first fault that can be explained; and say how telling that is."""

    @cache
    def small(which: int, least: int | None) -> LayerFault:
        return smallest(faults[which], least)

    for which, fault in enumerate(faults):
        own = fault.situation.subject.explanations
        there, said = fault, _not_repeated(fault.situation) or explain(fault, own + EXPLANATIONS)
        whole: Any = () if fault.asked.all() else ((None, EXPLANATIONS),)
        tries = (*whole, (2, BY_RUNNING), (None, LATER), (1, LATER))
        for least, explanations in () if which else tries:  # the others mostly follow from it
            if not said:
                there = smallest(fault, 2, full=False) if least == 2 else small(which, least)
                said = explain(there, explanations)
        if said:
            return f"{fault.name}: {said}{_size(there, fault)}", CAUSE
    for which, fault in reversed([*enumerate(faults)]):
        said = along_an_axis(small(which, 1), int(fault.of_input)) or ""
        if said:
            where = _size(small(which, 1), fault)
            return f"{fault.name}: {said}{where}", 1 + (not fault.of_input)
    return "", 0


def _size(small: LayerFault, fault: LayerFault) -> str:
    return "" if small is fault else f", for {small.of} of shape {small.x.shape}"


def _inside(situation: Situation) -> str:
    """Find the layer inside whose gradients are wrong at the inputs that it gets there."""
    s, layer, calls = situation.subject, situation.layer(), list[tuple[str, str, Layer, Any]]()
    names = [f"{name}." for name, _ in layer.named_layers() if name]
    inside = [pair for pair in layer.named_layers() if not pair[0].startswith((*names,))]

    def note(name: str, one: Layer, method: str, call: Callable[..., Any], *arrays: Any) -> Any:
        calls.append((method, name, one, tuple(a if a is None else a.copy() for a in arrays)))
        return call(*arrays)

    with listening(inside, ("forward", "backward", "backward_parameters"), note):
        s.forward(layer, copies(situation.inputs))
        s.backward(layer, copies(situation.inputs))
    back = [name for method, name, *_ in calls if method != "forward"]
    for _, name, one, xs in (call for call in calls if call[0] == "forward"):
        subject = LayerSubject(copy.deepcopy(one), xs, s.seed, training=situation.training)
        at = Situation(subject, situation.training, subject.answered(subject.given()))
        where = f"layer {name}, {one!r}: " if name else ""  # the model of an objective
        for of_x in (True, False):
            try:
                compare(at, of_x=of_x)
            except Failure as fault:
                return f"{where}{fault}"
            except Exception:  # noqa: BLE001, S112 - no gradients, or not alone
                continue
        if name and name not in back:
            return f"{where}its forward runs, and its backward is never called"
    return ""


def _elsewhere(situation: Situation, name: str, found: Array) -> list[str]:
    """Look at all elements of a large gradient at once, after some were found right."""
    direction = np.asarray(situation.subject.rng(6).standard_normal(found.shape))
    return [
        f"{name} is right in the elements that were tried, and wrong elsewhere: along a random "
        f"direction it gives {given:.10g}, differences give {true:.10g}"
        for given, true in filter(None, [wrong_along(situation, name, found, direction)])
    ]


def _worthless(slopes: Slopes) -> bool:
    """Whether the differences are noise, against which any gradient would pass.

    Not so where they are small, as of units that are saturated, and the noise is no
    more than that of float64.
    """
    size = float(np.nanmax(np.abs(slopes.value), initial=0.0))
    noise = np.nanmedian(slopes.error)
    rounding = np.nanmedian(slopes.high - slopes.low)
    return bool(np.isinf(noise) or (noise > NOISE * size and noise > ROUNDING * rounding))


def _why_noisy(situation: Situation) -> str:
    """Say why forward gives noise: it is not finite, not the same twice, or imprecise."""
    s, inputs = situation.subject, situation.inputs
    ys = s.forward(situation.layer(), copies(inputs))
    if not all(np.isfinite(y).all() for y in ys.values()):
        return f"for a batch of {situation.batch} it gives NaN or infinity"
    return _not_repeated(situation) or "it computes in a lower precision than float64"


def _not_repeated(situation: Situation) -> str:
    """Say what a second forward of the same x finds changed, or "" if it gives the same y."""
    s, layer, inputs = situation.subject, situation.layer(), situation.inputs
    undo = undoing(layer)
    ys = copies(s.forward(layer, copies(inputs)))
    before = copy.deepcopy(layer)
    undo()
    if alike(ys, s.forward(layer, copies(inputs))):
        return ""
    names = [name for name in changed(layer, before) if name not in dict(layer.named_layers())]
    if names:
        return f"a second forward of the same x gives another y, after a change of {names[0]}"
    return (
        "a second forward of the same x gives another y; a random source belongs in an attribute, "
        "where the kit finds it"
    )
