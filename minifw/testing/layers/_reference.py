"""A layer against what the author knows of it: another way to its y, and that it is causal."""

import copy
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import numpy as np

from minifw._tools.checks import describe
from minifw.core.layer import Layer
from minifw.testing._equal import Results, alike, cast, copies, near, unchanged
from minifw.testing._explain import factor_sentence
from minifw.testing._report import Failure, NotApplicable
from minifw.testing.layers._subject import LayerSubject
from minifw.typing import Array

SCALES = (-1.0, 2.0, 0.5)  # of x, by mistake
ROUGH = 1e-2  # relative to the largest number: of an approximation
_near = partial(near, digits=1e-9)  # two ways to one y, in float64
BY_STEPS = "step by step is not forward at once"
ONLY_IF = (
    " (say stepwise = True only if a place of y depends on that place of x alone, else override "
    "step)"
)
WAYS = (  # a dtype, whether x and y are overwritten, and how many sequences go on in turn
    (np.float64, False, 1, ""),
    (np.float64, True, 1, " where x and y are overwritten after each step (keep copies in state)"),
    (np.float64, False, 2, " for two sequences in turn (keep all in the state, nothing in self)"),
    (np.float32, False, 1, " in float32"),
)
IS, GIVES = (
    "which is {:.10g} and must be {:.10g}",
    "which step gives as {:.10g} and forward as {:.10g}",
)


def as_the_reference(s: LayerSubject) -> None:
    """Hold y of the layer as it was given, in eval mode, against the reference."""
    if s.reference is None:
        raise NotApplicable("no reference was given")
    for xs in (s.given(), s.input(s.rows, dtype=s.dtype.type)):
        ys = s.forward(copy.deepcopy(s.layer).eval(), copies(xs))
        for (name, y), other in zip(ys.items(), answer_of(s, xs), strict=True):
            scaled = partial(_of_scaled, s, xs, y, [*ys].index(name))
            why = partial(_how, y, other, next(iter(xs.values())), scaled)
            _hold_against("forward is not the reference", name, y, other, IS, why=why)


def answer_of(s: LayerSubject, xs: Results) -> list[Array]:
    """Return what the reference gives, or raise if that is not an array for each output."""
    what, count, xs = "check_layer expects reference to", len(s.dys), copies(xs)
    try:
        made = s.reference(*(xs.get(name) for name in s.names))
        parts = made if type(made) is tuple else (made,)
        arrays = [np.asarray(part) for part in parts]
    except Exception as error:
        of, said = " and ".join(s.names), f"{type(error).__name__}: {error}"
        raise TypeError(f"{what} be a function of {of}, it raised {said}") from error
    if len(arrays) != count or any(array.dtype.kind not in "fiub" for array in arrays):
        wanted = "an array" if count == 1 else f"a tuple of {count} arrays, one for each output,"
        got = " and ".join(map(describe, parts))
        raise TypeError(f"{what} return {wanted} of real numbers, got {got}")
    return arrays


def _how(y: Array, other: Array, x: Array, scaled: Callable[[], str]) -> str:
    """Say what a wrong y is beside the right one, or ""."""
    error, factors = y - other, y / other
    if _near(factors, (factor := float(factors.flat[0])) + 0 * y):
        return f"y: {factor_sentence(factor, {})}"
    if found := scaled():
        return found
    for axis in range(y.ndim):
        rest = tuple(a for a in range(y.ndim) if a != axis)
        e, f = (a - a.mean(axis=rest, keepdims=True) for a in (error, factors))
        for left, array, words in (
            (e, y, "by the same amount: look at what is added or taken off there"),
            (f, factors, "by one factor: look at what multiplies or divides there"),
        ):
            if y.size > len(y) and _near(array - left, array):
                return f"at each place of axis {axis} y differs {words}"
    if _near(np.sort(y, axis=None), np.sort(other, axis=None)):
        return "its numbers are right, but in other places: look at each reshape and transpose"
    return _on_a_side(y, other, x) or (
        "it is nearly right: another formula, as an approximation is, or another constant"
        if np.abs(error).max() < ROUGH * np.abs(other).max()
        else ""
    )


def _on_a_side(y: Array, other: Array, x: Array) -> str:
    """Say that y is right on one side of 0 of x, or of itself, and what it is elsewhere."""
    sides = {"the right y": other, **({"x": x} if x.shape == y.shape else {})}
    for name, at in sides.items():
        for sign, there in ((">", at > 0), ("<", at < 0)):
            if there.all() or not there.any() or not _near(y[there], other[there]):
                continue
            wrong, true = y[~there], other[~there]
            what = ""
            if not wrong.any():
                what = "; elsewhere it is 0"
            elif _near(wrong, wrong[0] / true[0] * true):
                what = f"; elsewhere {factor_sentence(wrong[0] / true[0], {})}"
            elif _near(wrong, 1 - true):
                what = "; elsewhere it is 1 minus the right one"
            elif (wrong != true).all():
                what = "; elsewhere it is wrong"
            if what:
                return f"y is right only where {name} {sign} 0{what}"
    return ""


def _of_scaled(s: LayerSubject, xs: Results, y: Array, which: int) -> str:
    """Say that y is the right one of an input times a number."""
    for name, x in xs.items():
        for times in SCALES if x.dtype.kind == "f" else ():
            if _near(y, answer_of(s, {**xs, name: times * x})[which]):
                return f"y is right for {name} times {times:g}, and must be for {name}"
    return ""


def _hold_against(
    what: str, name: str, y: Array, other: Array, words: str, *, why: Callable[[], str] = str
) -> None:
    if y.shape != other.shape:
        raise Failure(f"{what}: {name} has the shape {y.shape}, and must have {other.shape}")
    digits = [np.finfo(a.dtype).eps for a in (y, other) if a.dtype.kind == "f"]
    scale = float(np.abs(other).max(initial=0))
    with np.errstate(invalid="ignore"):
        far = np.abs(np.subtract(y, other, dtype=np.float64))
    far[(y == other) | (np.isnan(y) & np.isnan(other))] = 0
    wrong = ~(far <= np.sqrt(max(digits, default=0)) * scale)
    if wrong.any():
        index = np.unravel_index(np.argmax(np.where(np.isnan(far), np.inf, far)), far.shape)
        places = [
            f"{[*map(int, found)]} of axis {axis}"
            for axis, found in enumerate(map(np.unique, np.nonzero(wrong)))
            if len(found) < far.shape[axis]
        ]
        where = f", all of them at {' and '.join(places)}" if places else ""
        with np.errstate(all="ignore"), suppress(Exception):  # they are tried, and may not fit
            what = f"{what}: {said};" if (said := why()) else f"{what}:"
        most = f"most of all at {name}{[*map(int, index)]}, {words.format(y[index], other[index])}"
        raise Failure(f"{what} {most} ({wrong.sum()} of {wrong.size} numbers differ{where})")


def causal(s: LayerSubject) -> None:
    """Change x from one place of axis 1 on: y before it must stay, to the last bit."""
    if not s.causal:
        raise NotApplicable("causal=True was not said")
    first, xs, others = s.names[0], s.input(), s.input(draw=4)
    steps = xs[first].shape[1]
    ys = s.forward(s.twin(training=False), copies(xs))
    placed = [name for name, y in ys.items() if y.ndim > 1 and y.shape[1] == steps]
    if not placed:
        raise Failure(f"no output has the {steps} places of {first} along axis 1")
    for later in range(1, steps):
        moved = copies(xs)
        moved[first][:, later:] = others[first][:, later:]
        changed = s.forward(s.twin(training=False), moved)
        for name in placed:
            before, after = ys[name][:, :later], changed[name][:, :later]
            wrong = ~((before == after) | (np.isnan(before) & np.isnan(after)))
            if wrong.any():
                place = int(np.nonzero(wrong)[1][0])
                raise Failure(
                    f"it looks ahead: {name} at place {place} of axis 1 changes with {first} from "
                    f"place {later} on; look at the mask (place t may see {first}[:, :t + 1]), or "
                    "at the padding"
                )


def step_by_step(s: LayerSubject) -> None:
    """Go on place by place along axis 1: y must be what forward gives at once, in eval mode."""
    kind = type(s.layer)
    # A method of this name that takes no state is an author's own, for another purpose.
    takes_state = "state" in inspect.signature(kind.step).parameters
    if not (s.layer.stepwise or (kind.step is not Layer.step and takes_state)):
        raise NotApplicable("it does not say stepwise, and has no step of its own")
    x, own = _of_places(s), (kind.step, kind._step) != (Layer.step, Layer._step)
    for dtype, spoils, count, where in WAYS:
        layer, what = s.twin(dtype, training=False), BY_STEPS + (where or ONLY_IF * (not own))
        xs = [cast({s.names[0]: one}, dtype) for one in (x, x[::-1])[:count]]
        try:
            expected = [s.forward(layer, copies(one)) for one in xs]
        except (TypeError, ValueError):
            raise NotApplicable("it takes no sequences") from None
        before = layer.memory()
        try:
            found = _in_turn(layer, [one[s.names[0]] for one in xs], spoils=spoils)
        except (TypeError, ValueError, IndexError) as error:
            if "cannot go on by one place" in str(error):
                raise NotApplicable(str(error)) from None
            raise error if own else Failure(f"{what}: it raised {error}") from None
        for ys, steps in zip(expected, found, strict=True):
            for (name, y), made in zip(ys.items(), zip(*steps, strict=True), strict=True):
                whole = np.stack(made, axis=1)
                one = whole if whole.ndim == y.ndim else made[-1]  # of the last place alone
                _hold_against(what, name, one, y, GIVES)
                if one.dtype != y.dtype:
                    raise Failure(f"step gives {name} as {one.dtype}, forward as {y.dtype}")
        if not alike([saved for _, saved in before], [saved for _, saved in layer.memory()]):
            raise Failure("step changes what forward saved for backward; leave _saved alone")


def _in_turn(layer: Layer, sequences: list[Array], *, spoils: bool) -> list[Any]:
    """Return the outputs at each place of sequences that advance in turn by one place."""
    made, states = [list[Any]() for _ in sequences], dict[int, Any]()
    for place in range(sequences[0].shape[1]):
        for i, x in enumerate(sequences):
            here = x[:, place].copy()
            result: Any = layer.step(here, states.get(i))
            y, states[i] = result if isinstance(result, tuple) and len(result) == 2 else (0, 0)
            ys = y if isinstance(y, tuple) else (y,)
            if [isinstance(one, np.ndarray) for one in ys] != [True] * len(layer.output_names):
                got = f"y as forward returns it; it returned {describe(result)}"
                raise Failure(f"step must return (y, state), {got}")
            unchanged(here, x[:, place], "step writes into x; work in a copy")
            made[i].append(copy.deepcopy(ys))
            for one in (here, *ys) if spoils else ():
                if one.flags.writeable:
                    one.fill(np.nan if one.dtype.kind == "f" else 0)
    return made


def _of_places(s: LayerSubject) -> Array:
    """Return a batch of sequences, (batch, time, ...): x, or two of its batches."""
    if len(s.names) > 1:
        raise NotApplicable("which of several inputs has an axis of time is not known")
    (x,), (other,) = s.input().values(), s.input(draw=4).values()
    if x.ndim > 3:
        raise NotApplicable("images are no sequences")
    if x.ndim == 3 or (x.ndim == 2 and x.dtype.kind != "f"):
        return x
    return np.stack([x, other], axis=1)
