"""The verdicts on what a layer returns, and on its gradients."""

import copy
import inspect
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minifw._engine.composition import required
from minifw._engine.sharing import check_shared, counted
from minifw._tools.checks import describe
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.testing._equal import alike, copies
from minifw.testing._report import Failure, NotApplicable, Question, told
from minifw.testing._state import generator_states
from minifw.testing.layers._compare import compare
from minifw.testing.layers._situation import Situation, analytic
from minifw.testing.layers._subject import LayerSubject
from minifw.typing import Array, Shape

BROADCAST = "a sum over the axes that were broadcast is forgotten"
# NumPy's words where an array does not fit into a gradient, and minifw's, which say the gradient
# first.
_MISFITS = (("broadcast", 1), ("Parameter.grad has shape", -1))


def _accepts_x(s: LayerSubject) -> None:
    for name in dir(type(s.layer)):
        if isinstance(inspect.getattr_static(type(s.layer), name), Parameter | Layer):
            raise Failure(
                f"{name} belongs to the class, so all its layers would share it, and none "
                "would find it; make it in __init__: self.{name} = ...".format(name=name)
            )
    for name, buffer in s.layer.named_buffers():
        if not isinstance(buffer, np.ndarray):
            raise Failure(
                f"the buffer {name} is {buffer!r} before the first forward: make the array in the "
                "constructor"
            )
    if len(s.xs) < (needed := required(s.layer) or 0):
        names = ", ".join(s.layer.input_names)
        raise Failure(
            f"forward needs {needed} inputs, ({names}), and got {len(s.xs)}; several are a "
            "tuple of arrays"
        )
    _returns_arrays(s)


def _returns_arrays(s: LayerSubject) -> None:
    layer, xs = copy.deepcopy(s.layer), s.given()
    made: Any = layer.forward(*(xs.get(name) for name in s.names))
    if type(made) is tuple and len(s.dys) == 1:
        raise Failure(
            f"forward must return an array, it returned a tuple of {len(made)}; of several "
            'outputs name each, in a class attribute: output_names = ("y", "h")'
        )
    ys = layer.returned("forward", made, len(s.dys))
    ys = ys if len(s.dys) > 1 else (ys,)
    if s.real and not any(y.dtype.kind == "f" for y in ys):
        raise Failure(f"forward must return floating-point numbers, it returned {describe(ys[0])}")
    for y in ys:
        if y.ndim < 1 or len(y) != s.rows:
            raise Failure(
                f"forward must keep the batch of {s.rows} rows, it returned {describe(y)}"
            )
    try:
        made = layer.backward(*(np.ones(y.shape, s.dtype) for y in ys))
    except ValueError as error:
        if why := _misfit(str(error), ys[0].shape):
            raise Failure(f"backward raised {error}: {why}") from None
        raise
    dxs = layer.returned("backward", made, len(s.dxs))
    for dx, found in zip(s.dxs, dxs if len(s.dxs) > 1 else (dxs,), strict=True):
        _check_dx(dx, s.dxs[dx], found, xs[s.dxs[dx]] if dx in s.real else None)


def _check_dx(dx: str, name: str, found: Array | None, x: Array | None) -> None:
    """Raise unless it has the shape of the input x, or is None or zeros where there is none."""
    if x is None:
        if found is not None and found.any():
            raise Failure(
                f"backward must return None as {dx}, for which there is no derivative: whole "
                f"numbers, a mask, or None, it returned {describe(found)}"
            )
    elif found is None or found.shape != x.shape:
        shape = None if found is None else found.shape
        raise Failure(
            f"backward must return dL/d{name} in the shape of {name}, {x.shape}, it returned "
            f"{shape}{_misshapen(shape, x.shape)}"
        )


def _shared(s: LayerSubject) -> None:
    """Find a layer that runs twice and saves once, and a parameter whose uses nobody adds up."""
    layer, inputs = s.twin(), s.inputs()
    if not layer.named_layers():
        raise NotApplicable("there is no layer inside")
    _, twice = counted(layer, lambda: s.forward(layer, inputs))
    check_shared(layer, twice)


def _misfit(message: str, dy: Shape) -> str:
    """Say what may be wrong with arrays that do not fit together, or ""."""
    if "matmul" in message or "not aligned" in message:
        return "check the order and the transposes of the product (.T reverses all axes)"
    shapes = [
        tuple(map(int, filter(None, shape.split(","))))
        for shape in re.findall(r"\(([\d, ]+)\)", message)
    ]
    order = next((order for words, order in _MISFITS if words in message), None)
    if order is None or len(shapes) != 2:
        return ""
    found, wanted = shapes[::order]
    if found[::-1] == wanted:
        return "it is transposed"
    if message.startswith("operands"):
        narrow, wide = sorted(shapes, key=len)
        if any(wide[:i] + wide[i + 1 :] == narrow for i in range(1, len(wide))):
            return "keepdims=True is missing in a sum or a mean"
    if len(found) == len(wanted):
        return "it is summed over another axis than the batch" if found == dy[:1] else ""
    return _forgotten(found[: len(found) - len(wanted)], dy)


def _forgotten(lengths: Shape, dy: Shape) -> str:
    """Say over which axes of dy a sum is forgotten, by what is left of their lengths."""
    axes = [axis for axis, length in enumerate(dy) if length in lengths]
    if len(axes) != len(lengths):
        return BROADCAST
    one = f"axis {axes[0]} of dy" if axes[0] else "the batch"
    return f"a sum over {one if len(axes) == 1 else f'the axes {tuple(axes)} of dy'} is forgotten"


def _misshapen(found: Shape | None, wanted: Shape) -> str:
    """Say what may have gone wrong with a shape."""
    if found is None:
        return "; where the derivative is 0, return zeros"
    if found == wanted[::-1]:
        return ": it is transposed"
    try:
        wider = np.broadcast_shapes(found, wanted) == found
    except ValueError:
        return ""
    return f": {BROADCAST}" if wider else ""


def _output_shape(s: LayerSubject) -> None:
    shown = ", ".join(map(str, s.examples))
    for training in (True, False):
        layer = s.twin(training=training)
        ys = s.forward(layer, s.input()).values()
        real = tuple([y.shape[1:] for y in ys]) if len(ys) > 1 else next(iter(ys)).shape[1:]
        try:
            said = layer.output_shape(*s.examples)
        except Exception as error:
            if "read-only" in str(error):
                raise Failure("forward writes into its input x") from None
            if type(layer).output_shape is Layer.output_shape:
                raise NotApplicable(
                    f"the default output_shape asks forward with zeros and with ones, which "
                    f"raised {type(error).__name__}: {error}; override output_shape, or shapes "
                    "cannot be followed through it"
                ) from None
            raise
        if tuple(said) != real:
            raise Failure(f"output_shape({shown}) is {said}, forward gives {real}")


def _gradient(
    *, of_x: bool, training: bool, batch: int | None = None, given: bool = False
) -> Callable[[LayerSubject], dict[str, Any]]:
    def check(s: LayerSubject) -> dict[str, Any]:
        if given:
            situation = Situation.where(s, s.given(np.float64), training=training)
        else:
            situation = Situation.of(s, training=training, batch=batch)
        if not (training or batch) and _same_in_training(situation):
            return {}
        with told("" if training else "in eval mode, "):
            return compare(situation, of_x=of_x)

    return check


def _same_in_training(situation: Situation) -> bool:
    """Whether the layer gives the same in both modes, so to ask in one is enough."""
    s = situation.subject
    if generator_states(s.layer):
        return False
    for inputs in (situation.inputs, s.inputs(draw=3)):
        found = []
        for training in (True, False):
            at = Situation(s, training, inputs)
            ys = copies(s.forward(at.layer(), copies(inputs)))
            found.append({**ys, **analytic(at, earlier=s.input(draw=2))})
        if not alike(found[0], found[1]):
            return False
    return True


def hold_against_differences(s: LayerSubject, *, only: str | None = None) -> None:
    """Check all gradients at one point; with zeros for the dy of all outputs but one."""
    situation = Situation.of(s, training=True)
    if only is not None:
        situation = situation.with_dys(lambda dy, array: array * (dy == only))
    if s.real:
        compare(situation, of_x=True)
    if situation.layer().parameters():
        compare(situation, of_x=False)


def _one_output_at_a_time(s: LayerSubject) -> None:
    if len(s.dys) == 1:
        raise NotApplicable("there is one output")
    for dy in s.dys:
        with told(f"with {dy} alone, and zeros for the others, as where nobody takes them, "):
            hold_against_differences(s, only=dy)


def _left_out(s: LayerSubject) -> None:
    """Ask without the inputs that may be left out; then backward returns fewer gradients."""
    least = max(1, required(s.layer) or len(s.xs))
    if least >= len(s.xs):
        raise NotApplicable("no input was given that may be left out")
    fewer = replace(s, xs=s.xs[:least])
    with told(f"without {' and '.join(s.names[least:])}, "):
        _returns_arrays(fewer)
        hold_against_differences(fewer)


at_the_given_x = _gradient(of_x=True, training=True, given=True)
DX, DP = ("dx, training",), ("gradients of parameters, training",)
TAKES_X = Question("takes x, returns arrays", _accepts_x, needed=True)
OUTPUT_SHAPE = Question("output_shape", _output_shape)
USED_TWICE = Question("layers and parameters used twice", _shared)
RIGHT = (*DX, "dx, eval", *DP, "gradients of parameters, eval")
GRADIENT_CHECKS = (
    Question("dx, training", _gradient(of_x=True, training=True)),
    Question("dx, eval", _gradient(of_x=True, training=False), DX),
    Question("gradients of parameters, training", _gradient(of_x=False, training=True)),
    Question("gradients of parameters, eval", _gradient(of_x=False, training=False), DP),
    Question("dy of one output at a time", _one_output_at_a_time),
    Question("optional inputs left out", _left_out),
)
ONE_EXAMPLE = (
    Question("dx, one example", _gradient(of_x=True, training=False, batch=1)),
    Question(
        "gradients of parameters, one example", _gradient(of_x=False, training=False, batch=1)
    ),
)
