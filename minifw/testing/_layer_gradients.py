"""The verdicts on what a layer returns, and on its gradients."""

import copy
import inspect
import re
from collections.abc import Callable

import numpy as np

from minifw._tools.checks import describe
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.testing._explain import explain, worst
from minifw.testing._layer_explain import EXPLANATIONS, LayerFault
from minifw.testing._layer_subject import (
    INPUT,
    LayerSubject,
    Situation,
    analytic,
    changed,
    check_result,
    hidden_state,
    numeric,
    numeric_along,
    put_back,
)
from minifw.testing._numeric import Slopes, mismatches
from minifw.testing._report import Failure, NotApplicable, Question
from minifw.typing import Array, Shape

ROUNDING = 1e4  # times what rounding hides: float64 has 100 at the shortest step, float32 1e8
NOISE = 1e-4  # an error of the differences, relative to them; in float64 it is 1e-10 or so
NOISY = "differences of forward are noise: "

FORGOTTEN_SUM = "a sum over the axes that were broadcast (the batch) is forgotten"


def _accepts_x(s: LayerSubject) -> None:
    for name in dir(type(s.layer)):
        if isinstance(inspect.getattr_static(type(s.layer), name), Parameter | Layer):
            raise Failure(
                f"{name} belongs to the class, so that all its layers would share it, and none "
                "would find it; make it in __init__: self.{name} = ...".format(name=name)
            )
    for name, buffer in s.layer.named_buffers():
        if not isinstance(buffer, np.ndarray):
            raise Failure(
                f"the buffer {name} is {buffer!r} before the first forward: make the array in the "
                "constructor"
            )
    layer = copy.deepcopy(s.layer)
    y = layer.forward(s.given())
    check_result("forward", y)
    if y.dtype.kind != "f":
        raise Failure(f"forward must return floating-point numbers, it returned {describe(y)}")
    if y.ndim < 1 or len(y) != len(s.x):
        raise Failure(f"forward must keep the batch of {len(s.x)} rows, it returned {describe(y)}")
    try:
        dx = layer.backward(np.ones_like(y))
    except ValueError as error:
        if "broadcast" in str(error):
            raise Failure(f"backward raised {error}: {_misfit(str(error))}") from None
        raise
    check_result("backward", dx)
    if s.differentiable and dx.shape != s.x.shape:
        raise Failure(
            f"backward must return dL/dx in the shape of x, {s.x.shape}, it returned {dx.shape}"
            f"{_misshapen(dx.shape, s.x.shape)}"
        )


def _misfit(message: str) -> str:
    """Say what may be wrong with an array that does not fit into a gradient."""
    shapes = re.findall(r"\(([\d,]+)\)", message)  # as NumPy writes them
    if len(shapes) == 2 and shapes[0].split(",")[::-1] == shapes[1].split(","):
        return "it is transposed"
    return FORGOTTEN_SUM


def _misshapen(found: Shape, wanted: Shape) -> str:
    """Say what may have gone wrong with a shape."""
    if found == wanted[::-1]:
        return ": it is transposed"
    try:
        wider = np.broadcast_shapes(found, wanted) == found
    except ValueError:
        return ""
    return f": {FORGOTTEN_SUM}" if wider else ""


def _output_shape(s: LayerSubject) -> None:
    example = s.x.shape[1:]
    for training in (True, False):
        layer = s.twin(training=training)
        real = layer.forward(s.input()).shape[1:]
        try:
            said = layer.output_shape(example)
        except Exception as error:
            if "read-only" in str(error):
                raise Failure("forward writes into its input x") from None
            if type(layer).output_shape is Layer.output_shape:
                raise Failure(
                    f"the default output_shape asks forward with zeros, which raised "
                    f"{type(error).__name__}: {error}; override output_shape"
                ) from None
            raise
        if tuple(said) != real:
            raise Failure(f"output_shape({example}) is {said}, forward gives {real}")


def _gradient(
    *, of_x: bool, training: bool, batch: int | None = None, given: bool = False
) -> Callable[[LayerSubject], None]:
    def check(s: LayerSubject) -> None:
        if given:
            x = s.given(np.float64)
            dy = s.cotangent(s.twin(training=training).forward(x.copy()))
            situation = Situation(s, training, x, dy)
        else:
            situation = Situation.of(s, training=training, batch=batch)
        compare(situation, of_x=of_x)

    return check


def _worthless(slopes: Slopes) -> bool:
    """Whether the differences are noise, against which any gradient would pass.

    Not so where they are small, as of units that are saturated, and the noise is no
    more than that of float64.
    """
    size = float(np.nanmax(np.abs(slopes.value), initial=0.0))
    noise = np.nanmedian(slopes.error)
    rounding = np.nanmedian(slopes.high - slopes.low)
    return bool(noise > NOISE * size and noise > ROUNDING * rounding)


def _why_noisy(situation: Situation) -> str:
    """Say why forward gives noise: it is not finite, not the same twice, or imprecise."""
    x = situation.x
    if not np.isfinite(situation.layer().forward(x.copy())).all():
        return f"for x of shape {x.shape} it gives NaN or infinity"
    return _not_repeated(situation) or "it computes in a lower precision than float64"


def _not_repeated(situation: Situation) -> str:
    """Say what a second forward of the same x finds changed, or "" if it gives the same y."""
    layer, x = situation.layer(), situation.x
    state = hidden_state(layer)
    y = layer.forward(x.copy()).copy()
    before = copy.deepcopy(layer)
    put_back(layer, state)
    if np.array_equal(y, layer.forward(x.copy()), equal_nan=True):
        return ""
    names = [name for name in changed(layer, before) if name not in dict(layer.named_layers())]
    if names:
        return f"a second forward of the same x gives another y, after a change of {names[0]}"
    return (
        "a second forward of the same x gives another y; a random source belongs in an attribute, "
        "where the kit finds it"
    )


def _elsewhere(situation: Situation, name: str, found: Array) -> list[str]:
    """Look at all elements of a large gradient at once, after some were found right."""
    direction = np.asarray(situation.subject.rng(6).standard_normal(found.shape))
    true = numeric_along(situation, name, direction)
    given = np.array(np.sum(found * direction))
    if not mismatches(given, true).any():
        return []
    message = (
        f"d{name} is right in the elements that were tried, and wrong elsewhere: along a random "
        f"direction it gives {given:.10g}, differences give {true.value:.10g}"
    )
    return [message]


def compare(situation: Situation, *, of_x: bool) -> None:
    """Hold the gradient of x, or those of the parameters, against differences."""
    s = situation.subject
    names = [name for name, _ in situation.layer().named_parameters()]
    if of_x and not s.differentiable:
        raise NotApplicable("x holds whole numbers")
    if not of_x and not names:
        raise NotApplicable("there are none")
    earlier = s.input(len(situation.x), draw=2)
    found = analytic(situation, earlier=earlier)
    messages = []
    for name in [INPUT] if of_x else names:
        true = numeric(situation, name)
        if found[name].shape != true.value.shape:
            raise Failure(f"d{name} has the shape {found[name].shape}, not {true.value.shape}")
        wrong = mismatches(found[name], true)
        if _worthless(true):
            messages.append(f"d{name} cannot be checked: {NOISY}{_why_noisy(situation)}")
        elif wrong.any():
            place = worst(f"d{name}", found[name], true, wrong)
            fault = LayerFault(found[name], true, situation, name, earlier)
            why = _not_repeated(situation) or explain(fault, EXPLANATIONS)
            messages.append(f"{place}\n{why}" if why else place)
        elif np.isnan(true.value).any():
            messages += _elsewhere(situation, name, found[name])
    if messages:
        raise Failure("\n".join(messages))


def hold_against_differences(s: LayerSubject) -> None:
    """Check all gradients at one point."""
    situation = Situation.of(s, training=True)
    if s.differentiable:
        compare(situation, of_x=True)
    if situation.layer().parameters():
        compare(situation, of_x=False)


GRADIENT_CHECKS: tuple[Question, ...] = (
    ("takes x, returns arrays", _accepts_x),
    ("output_shape", _output_shape),
    ("dx, training", _gradient(of_x=True, training=True)),
    ("dx, eval", _gradient(of_x=True, training=False)),
    ("dx, one example", _gradient(of_x=True, training=False, batch=1)),
    ("dx at the given x", _gradient(of_x=True, training=True, given=True)),
    ("gradients of parameters, training", _gradient(of_x=False, training=True)),
    ("gradients of parameters, eval", _gradient(of_x=False, training=False)),
    ("gradients of parameters, one example", _gradient(of_x=False, training=False, batch=1)),
)
