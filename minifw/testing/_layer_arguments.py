"""The verdicts on a layer's constructor arguments: kept, shown, and used."""

import copy
from functools import partial
from typing import Any

from minifw._core.layer import Layer
from minifw._core.typing import Array
from minifw.testing._arguments import LARGER, Arguments, bound
from minifw.testing._layer_situation import INPUT
from minifw.testing._layer_subject import LayerCheck, LayerSubject, every_layer
from minifw.testing._report import Failure

__all__ = ["ARGUMENT_CHECKS"]


def _rebuilt(s: LayerSubject) -> None:
    args, kwargs = s.layer._arguments
    twin = type(s.layer)(*copy.deepcopy(args), **copy.deepcopy(kwargs))
    if repr(twin) != repr(s.layer):
        raise Failure(f"rebuilt from its arguments it is {twin!r}, not {s.layer!r}")
    mine = {name: p.shape for name, p in s.layer.named_parameters()}
    other = {name: p.shape for name, p in twin.named_parameters()}
    if other and mine != other:  # or else they are made in forward
        raise Failure(f"rebuilt from its arguments it has the parameters {other}, not {mine}")


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
        dx = layer.backward(s.cotangent(y))
        seen.update({f"y, {training}": y, f"{INPUT}, {training}": dx})
        for name, parameter in layer.named_parameters():
            seen[f"d{name}, {training}"] = parameter.grad.copy()
    return {**seen, **layer.state_dict(), "output_shape": _output_shape(s, layer)}


def _output_shape(s: LayerSubject, layer: Layer) -> Any:
    try:
        return layer.output_shape(s.x.shape[1:])
    except Exception as error:  # noqa: BLE001 - of whole numbers, say; that is another verdict
        return type(error)


ARGUMENT_CHECKS: tuple[LayerCheck, ...] = (
    ("rebuilt from its arguments", _rebuilt),
    ("uses every argument", _used),
)
