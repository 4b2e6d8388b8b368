"""The verdicts on a layer's constructor arguments: kept, shown, and used."""

import copy
from functools import partial
from typing import Any

import numpy as np

from minifw.core.layer import Layer
from minifw.testing._arguments import LARGER, Arguments, bound
from minifw.testing._layer_gradients import hold_against_differences
from minifw.testing._layer_subject import (
    NUMBERS,
    LayerCheck,
    LayerSubject,
    changed,
    every_layer,
)
from minifw.testing._questions import right_with_others
from minifw.testing._report import Failure
from minifw.typing import Array

__all__ = ["ARGUMENT_CHECKS", "USE_CHECKS"]


def _rebuilt(s: LayerSubject) -> None:
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
    layer, x = copy.deepcopy(s.layer).eval(), s.given()
    return not np.array_equal(layer.forward(x), layer.forward(x), equal_nan=True)


def _same_once_loaded(s: LayerSubject, twin: Layer) -> None:
    """Find what the constructor draws, and no parameter and no buffer holds."""
    layer, x = copy.deepcopy(s.layer).eval(), s.given()
    y = layer.forward(x)
    twin.eval().forward(x)  # some make their parameters now
    twin.load_state_dict(layer.state_dict())
    if not np.array_equal(y, twin.forward(x), equal_nan=True):
        lost = changed(layer, twin, kinds=NUMBERS)
        raise Failure(
            "rebuilt from its arguments and with its state_dict loaded, it gives another y: save "
            f"and load would lose {' and '.join(lost) or 'what the constructor draws'}; make it a "
            "Parameter, or name it in `buffers`"
        )


def _right_with_others(s: LayerSubject) -> None:
    def hold(layer: Layer) -> None:
        subject = LayerSubject(layer, s.x, s.seed)
        if not np.isfinite(subject.twin().forward(subject.input())).all():
            raise ValueError("it is out of its domain, as x^1.5 of a negative x")
        hold_against_differences(subject)

    right_with_others(s.layer, partial(hold_against_differences, s), hold)


def _used(s: LayerSubject) -> None:
    """Change one argument at a time; something about the layer must change."""
    x = s.input(dtype=s.dtype.type)
    batches = (x, x * LARGER, x / LARGER) if s.differentiable and s.any_sign else (x,)
    behaviours = [partial(_behaviour, s, x=batch) for batch in batches]
    Arguments(type(s.layer), bound(s.layer), behaviours, every_layer).judge()


def _behaviour(s: LayerSubject, layer: Layer, *, x: Array) -> dict[str, Any]:
    """Return all that can be seen of a layer: what it starts as, and what it does."""
    seen: dict[str, Any] = {
        "input_shape": layer.input_shape,
        **{f"start of {name}": array for name, array in layer.state_dict().items()},
    }
    for training in (True, False):  # the second shows what the first has left behind
        layer.train(training)
        y = layer.forward(x)
        found = {"y": y, **s.backward(layer, {"dy": s.cotangent(y)})}
        seen.update({f"{name}, {training}": array for name, array in found.items()})
    return {**seen, **layer.state_dict(), "output_shape": _output_shape(s, layer)}


def _output_shape(s: LayerSubject, layer: Layer) -> Any:
    try:
        return layer.output_shape(s.x.shape[1:])
    except Exception as error:  # noqa: BLE001 - of whole numbers, say; that is another verdict
        return type(error)


USE_CHECKS: tuple[LayerCheck, ...] = (("uses every argument", _used),)

ARGUMENT_CHECKS: tuple[LayerCheck, ...] = (
    ("rebuilt from its arguments", _rebuilt),
    ("gradients with other arguments", _right_with_others),
)
