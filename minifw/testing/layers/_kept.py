"""What a layer holds and keeps from call to call, what is saved of it, and its arguments."""

import copy
from contextlib import suppress
from functools import partial
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from minifw._tools.cache import NOT_MEMBERS
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.testing import _questions as ask
from minifw.testing._arguments import LARGER, Arguments, bound
from minifw.testing._equal import ROUNDING, Results, alike, cast, copies, same
from minifw.testing._questions import run
from minifw.testing._report import Failure, NotApplicable, declared
from minifw.testing._state import NUMBERS, changed, every_layer, generator_states, undoing
from minifw.testing.layers._beyond import other_lengths
from minifw.testing.layers._gradients import hold_against_differences
from minifw.testing.layers._subject import LayerSubject

# -- what it holds ---------------------------------------------------------------------


def finds_parameters(s: LayerSubject) -> None:
    """Look for parameters where no layer looks: in an object that is not a layer."""
    known = {id(p) for _, p in s.layer.named_parameters()}
    todo: list[tuple[str, Any, str]] = [("", s.layer, "")]
    for name, thing, owner in todo:  # which grows
        if isinstance(thing, Parameter) and id(thing) not in known:
            raise Failure(
                f"{name} is a Parameter that parameters() does not find, as {owner} is no Layer: "
                f"it is never trained or saved; make {owner} a Layer"
            )
        if id(thing) in known or isinstance(thing, type | ModuleType | FunctionType):
            continue
        known.add(id(thing))
        inside = dict(enumerate(thing)) if isinstance(thing, list | tuple) else thing
        if not isinstance(inside, dict):
            inside = getattr(thing, "__dict__", {})
            owner = owner if isinstance(thing, Layer) else type(thing).__name__  # noqa: PLW2901
        for key, held in inside.items():
            if not str(key).startswith(NOT_MEMBERS):
                todo.append((f"{name}.{key}".lstrip("."), held, owner))


def knows_what_is_declared(s: LayerSubject) -> None:
    known = ["rows", *s.real, *(f"d{name}" for name, _ in s.layer.named_parameters())]
    unknown = [name for name in declared(s.layer) if name not in known]
    if unknown:
        raise Failure(f"it declares {unknown[0]!r}, which is none of {', '.join(known)}")


def depends_on_x_alone(s: LayerSubject) -> None:
    """Find what an earlier forward leaves behind, and a later one reads."""
    for mode in ("eval", "train"):
        one = s.in_mode(mode == "train")
        fresh, xs = one.twin(), one.input()
        ys = copies(one.forward(fresh, copies(xs)))
        for rows, size in ((None, ""), (ask.OTHER_ROWS, " of another batch size")):
            used = one.twin()
            undo = undoing(used)
            one.forward(used, one.input(rows, draw=3))
            undo()
            found = one.forward(used, copies(xs))
            kept = _names(changed(fresh, used), s.layer)
            what = (
                f"in {mode} mode, y depends on an earlier forward{size}{kept and f', by {kept}'}: "
                "compute all of it from x in each forward, or keep it in `buffers`"
            )
            same(what, ys, found, ROUNDING)
        kept = _names(changed(one.twin(), fresh), s.layer)
        if mode == "eval" and not alike(ys, one.forward(fresh, copies(xs))):
            after = kept and f", after a change of {kept}"
            raise Failure(f"in eval mode, a second forward of the same x gives another y{after}")


def _names(names: list[str], layer: Layer) -> str:
    return " and ".join(name for name in names if name not in dict(layer._walk()))


def keeps_its_state(s: LayerSubject) -> None:
    """Find what all layers share, by a default argument, too, which copies do not share."""
    args, kwargs = copy.deepcopy(s.layer._arguments)
    layer, shared = copy.deepcopy(s.layer), dict[str, Any]()
    with suppress(Exception):  # others ask whether it can be built again
        other = vars(type(s.layer)(*args, **kwargs))
        shared = {k: v for k, v in vars(s.layer).items() if other.get(k) is v}
    s.forward(layer, s.given())
    for name, held in shared.items():
        if isinstance(held, list | dict | np.ndarray) and not alike(held, vars(layer)[name]):
            raise Failure(ask.SHARED.format("layers") + f"forward changes {name}")
    ask.keeps_its_state(s)


# -- what is saved, and built again ------------------------------------------------------


def state_dict(s: LayerSubject) -> None:
    layer, other, inputs = s.twin(), s.twin(draw=9), s.inputs()
    other.load_state_dict(layer.state_dict())
    same("after load_state_dict", run(s, layer, inputs), run(s, other, inputs))


def state_after_training(s: LayerSubject) -> None:
    """Find what forward changes, and no buffer holds: a hint, for some of it may be left out."""
    layer, other, xs = s.twin(), s.twin(draw=9), s.input()
    if _keeps_its_draw(s):
        raise NotApplicable(
            "the first forward in train mode draws, and no later one, though y is another in eval "
            "mode: a mask that is kept must be drawn again in each forward"
        )
    for draw in range(3):
        s.forward(layer, s.input(draw=draw))
    other.load_state_dict(layer.state_dict())
    undoing(layer, other, numbers=False)()  # which are in question
    for mode in ("train", "eval"):
        mine, its = (s.forward(one.train(mode == "train"), xs) for one in (layer, other))
        if not alike(mine, its):
            kept = " and ".join(changed(layer, other, kinds=NUMBERS)) or "it"
            raise NotApplicable(
                f"state_dict loses what forward changes in training, and y in {mode} mode is "
                f"another; to save {kept}, keep arrays and name them in `buffers`"
            )


def _keeps_its_draw(s: LayerSubject) -> bool:
    """Whether a generator stands still from the second training forward on."""
    layer, xs = s.twin(), s.input()
    states = [generator_states(layer)]
    for _ in range(2):
        ys = copies(s.forward(layer, xs))
        states.append(generator_states(layer))
    start, first, second = states
    drew_once = not alike(start, first) and alike(first, second)
    return drew_once and not alike(ys, s.forward(layer.eval(), xs))


def rebuilt(s: LayerSubject) -> None:
    """Build it again from its arguments."""
    args, kwargs = s.layer._arguments
    twin = type(s.layer)(*copy.deepcopy(args), **copy.deepcopy(kwargs))
    if repr(twin) != repr(s.layer):
        raise Failure(f"rebuilt from its arguments it is {twin!r}, not {s.layer!r}")
    for (name, parameter), other_parameter in zip(
        s.layer.named_parameters(), twin.parameters(), strict=False
    ):
        if np.shares_memory(parameter.value, other_parameter.value):
            raise Failure(f"two layers built from the same arguments share the parameter {name}")
    mine = {name: p.shape for name, p in s.layer.named_parameters()}
    other = {name: p.shape for name, p in twin.named_parameters()}
    if other and mine != other:  # or else they are made in forward
        raise Failure(f"rebuilt from its arguments it has the parameters {other}, not {mine}")
    if not _random_in_eval(s):
        _same_once_loaded(s, twin)


def _random_in_eval(s: LayerSubject) -> bool:
    layer, xs = copy.deepcopy(s.layer).eval(), s.given()
    return not alike(copies(s.forward(layer, xs)), s.forward(layer, xs))


def _same_once_loaded(s: LayerSubject, twin: Layer) -> None:
    """Find what the constructor draws, and no parameter and no buffer holds."""
    layer, xs = copy.deepcopy(s.layer).eval(), s.given()
    ys = s.forward(layer, xs)
    state = layer.state_dict()
    if twin.eval().state_dict().keys() != state.keys():
        s.forward(twin, xs)  # some make their parameters now
    twin.load_state_dict(state)
    if not alike(ys, s.forward(twin, xs)):
        lost = changed(layer, twin, kinds=NUMBERS)
        raise Failure(
            "rebuilt from its arguments and with its state_dict loaded, it gives another y: save "
            f"and load would lose {' and '.join(lost) or 'what the constructor draws'}; make it a "
            "Parameter, or name it in `buffers`"
        )


# -- the arguments of the constructor --------------------------------------------------


def right_with_others(s: LayerSubject) -> None:
    def hold(layer: Layer) -> None:
        subject = LayerSubject(layer, s.xs, s.seed)
        ys = subject.forward(subject.twin(), subject.input())
        if not all(np.isfinite(y).all() for y in ys.values()):
            raise ValueError("it is out of its domain, as x^1.5 of a negative x")
        hold_against_differences(subject)

    ask.right_with_others(s.layer, partial(hold_against_differences, s), hold)


def uses_every_argument(s: LayerSubject) -> None:
    """Change one argument at a time; something about the layer must change."""
    xs = s.input(dtype=s.dtype.type)
    scales = [LARGER**n for n in ((0, 1, -1, 2, -2) if s.real and s.any_sign else (0,))]
    behaviours = [partial(_behaviour, s, xs=s.scaled(scale, xs)) for scale in scales]
    single = {axis for x in xs.values() for axis in range(1, x.ndim) if x.shape[axis] == 1}
    longer = [more for _, axis, n, more in other_lengths(s) if axis in single and n > 1]
    behaviours += [partial(_behaviour, s, xs=cast(more, s.dtype)) for more in longer]
    Arguments(type(s.layer), bound(s.layer), behaviours, every_layer).judge()


def _behaviour(s: LayerSubject, layer: Layer, *, xs: Results) -> dict[str, Any]:
    """Return all that can be seen of a layer: what it starts as, and what it does."""
    seen: dict[str, Any] = {
        "input_shape": layer.input_shape,
        **{f"start of {name}": array for name, array in layer.state_dict().items()},
    }
    for training in (True, False):  # the second shows what the first has left behind
        layer.train(training)
        ys = s.forward(layer, xs)
        found = {**ys, **s.backward(layer, s.cotangents(ys))}
        seen.update({f"{name}, {training}": array for name, array in found.items()})
    return {**seen, **layer.state_dict(), "output_shape": _output_shape(s, layer)}


def _output_shape(s: LayerSubject, layer: Layer) -> Any:
    try:
        return layer.output_shape(*s.examples)
    except Exception as error:  # noqa: BLE001 - of whole numbers, say; that is another verdict
        return type(error)
