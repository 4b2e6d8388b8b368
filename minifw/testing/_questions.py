"""What is asked of a layer, a loss and an objective alike, once for all of them."""

import copy
import pickle
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np

from minifw._tools.arguments import Placeholder
from minifw.core.layer import Layer
from minifw.testing._arguments import bound, construct, other_values
from minifw.testing._equal import (
    ROUNDING,
    Results,
    alike,
    copies,
    looks_like_float32,
    rounding,
    same,
    unchanged,
)
from minifw.testing._report import Failure, NotApplicable, told
from minifw.testing._state import drawing_by_itself, every_layer, generator_states, undoing
from minifw.testing.layers._subject import LayerSubject
from minifw.typing import Array

OTHER_ROWS = 3  # of a batch; the subjects draw 5, 7 or 11
IN_PLACE = ", both in the same arrays, of which it keeps old values"
INPUTS = {"x": "its input x", "prediction": "the prediction", "target": "the target"}
CAST = (
    " by a float64 array, or by a number of NumPy's, as np.sqrt(4) is: "
    "use float(...) or .astype(x.dtype)"
)
SHARED = (
    "what forward keeps lies where all {} share it (the class, the module, a default argument): "
    "keep it in self, with self.save(...); "
)


def run(s: LayerSubject, thing: Any, inputs: Results) -> Results:
    """Go forward and backward; the thing is given copies."""
    return _through(s, thing, copies(inputs))


def _through(s: LayerSubject, thing: Any, inputs: Results) -> Results:
    return {**copies(s.forward(thing, inputs)), **s.backward(thing, inputs)}


# -- calls -----------------------------------------------------------------------------


def global_generator(s: LayerSubject) -> None:
    """Look at NumPy's global generator around each call."""
    thing, inputs = s.twin(), s.inputs()
    for method, call in (("forward", s.forward), ("backward", s.backward)):
        with drawing_by_itself(method):
            call(thing, inputs)


def deterministic(s: LayerSubject) -> None:
    """Ask two copies the same."""
    inputs = s.inputs()
    first, second = (run(s, s.twin(), inputs) for _ in range(2))
    same("the same input gives another result each time", first, second)


def latest_forward(s: LayerSubject) -> None:
    """Find a cache that keeps the first input, or one that misses the second."""
    second = s.inputs()
    expected = run(s, s.twin(), second)
    for how, rows, between in (
        ("", None, True),
        (", the first of another batch size", OTHER_ROWS, False),
        (", the first without a backward", None, False),
        (IN_PLACE, None, False),
    ):
        thing, given = s.twin(), s.inputs(rows, draw=3)
        undo = undoing(thing)
        stale = _through(s, thing, given) if between else s.forward(thing, given)
        undo()
        if how == IN_PLACE:
            for name, array in second.items():
                given[name][...] = array
        else:
            given = copies(second)
        found = _through(s, thing, given)
        try:
            same(f"after two forwards{how}", expected, found, ROUNDING)
        except Failure as fault:
            pairs = [(array, found[name]) for name, array in stale.items()]
            old = any(np.array_equal(a, b, equal_nan=True) for a, b in pairs)
            whose = "it belongs to the first: " if old else ""
            raise Failure(
                f"{fault}; {whose}backward must differentiate the latest forward"
            ) from None


def backward_twice(s: LayerSubject) -> None:
    """Go back twice after one forward."""
    thing, inputs = s.twin(), s.inputs()
    s.forward(thing, copies(inputs))
    states = generator_states(thing)
    handed_out = s.backward(thing, copies(inputs))
    first = copies(handed_out)
    if not alike(states, generator_states(thing)):
        raise Failure(
            "backward draws random numbers: what forward drew, such as a mask, must be kept for "
            "it, with self.save(...)"
        )
    same("after a second backward", first, s.backward(thing, copies(inputs)), ROUNDING)
    s.backward(thing, s.inputs(draw=1))
    for name, array in handed_out.items():
        otherwise = f"a second backward writes into the {name} that the first handed out"
        unchanged(array, first[name], otherwise)


def backward_first(s: LayerSubject, *, free: bool = False) -> None:
    """Go back before any forward, which only a thing that is `free` can do."""
    thing = copy.deepcopy(s.twin())  # which leaves behind what was saved
    try:
        result = s.backward(thing, s.inputs())
    except RuntimeError:
        return
    except Exception as error:  # noqa: BLE001 - any other is the finding
        raise Failure(
            f"backward before forward raised {type(error).__name__}: {error}; "
            "a RuntimeError is expected, which self.saved() raises"
        ) from None
    if not free:
        shown = ", ".join(f"{name} {array!r}" for name, array in result.items())
        raise Failure(
            f"backward before forward returned {shown}; a RuntimeError is expected, which "
            "self.saved() raises"
        )


def overwrites(s: LayerSubject) -> None:
    """Look whether a gradient depends on what it held before."""
    inputs, found = s.inputs(), []
    for fill in (0.0, 7.0):
        thing = s.twin()
        if not thing.parameters():
            raise NotApplicable("there are no parameters")
        s.forward(thing, inputs)
        for parameter in thing.parameters():
            parameter.grad = np.full(parameter.shape, fill)
        s.backward(thing, inputs)
        found.append({name: p.grad for name, p in thing.named_parameters()})
    clean, filled = found
    for name, gradient in filled.items():
        rest, left = (
            "backward adds to what was there: overwrite it (= in place of +=)",
            gradient == 7,
        )
        if left.any() and np.array_equal(gradient[~left], clean[name][~left]):
            rest = f"backward {'never sets it' if left.all() else 'sets only a part of it'}"
        otherwise = f"the gradient of {name} depends on what it held before: {rest}"
        unchanged(gradient, clean[name], otherwise)


# -- memory ----------------------------------------------------------------------------


def layouts(s: LayerSubject) -> None:
    """Give it the same numbers as they may lie in memory."""
    inputs = s.inputs()
    expected = run(s, s.twin(), inputs)
    laid_out = {name: _layouts(array) for name, array in inputs.items()}
    for layout in _layouts(np.zeros(1)):
        thing, given = s.twin(), {name: arrays[layout] for name, arrays in laid_out.items()}
        what = f"with {' and '.join(inputs)} {layout}"
        with told(f"{what} "):
            found = _through(s, thing, given)
        same(what, expected, found, ROUNDING)


def _layouts(array: Array) -> dict[str, Array]:
    """Return copies of an array that differ in how they lie in memory, by name."""
    wide = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    wide[..., ::2] = array
    read_only = array.copy()
    read_only.flags.writeable = False
    return {
        "Fortran-ordered": np.array(array, order="F"),
        "strided": wide[..., ::2],
        "reversed": array[::-1].copy()[::-1],
        "read-only": read_only,
    }


def writes_nothing(s: LayerSubject) -> None:
    """Look at what it was given, and at what it has handed out, after each call."""
    thing, kept = s.twin(), s.inputs()
    inputs = copies(kept)
    forward = s.forward(thing, inputs)
    handed_out = dict(forward)
    before = copies(handed_out)
    for method in ("forward", "backward"):
        if method == "backward":
            handed_out |= s.backward(thing, inputs)
            for name in forward:
                otherwise = f"backward writes into the {name} that forward had handed out"
                unchanged(handed_out[name], before[name], otherwise)
            before = copies(handed_out)
        for name, array in inputs.items():
            otherwise = f"{method} writes into {INPUTS.get(name, name)}"
            unchanged(array, kept[name], otherwise)
    other = s.inputs(draw=3)
    later = s.forward(thing, other)
    s.backward(thing, other)
    for name, array in handed_out.items():
        otherwise = f"a later forward and backward write into the {name} handed out earlier"
        unchanged(array, before[name], otherwise)
    if any(np.shares_memory(y, other) for y in forward.values() for other in later.values()):
        raise Failure("the results of two forwards share memory")
    for one, another in combinations(handed_out, 2):
        if np.shares_memory(handed_out[one], handed_out[another]):
            raise Failure(
                f"{one} and {another} share memory: a change of one changes both; "
                "hand out an array for each, as dy.copy() is"
            )


def leaves_parameters(s: LayerSubject) -> None:
    """Look at the parameters after each call; at buffers, too, in eval mode."""
    thing, inputs = s.twin(), s.inputs()

    def left() -> Results:
        named = thing.named_parameters()
        found = {f"parameter {n}: that is the optimizer's business": p.value for n, p in named}
        for name, buffer in [] if thing.training else thing.named_buffers():
            found[f"buffer {name} in eval mode: only if self.training"] = buffer
        return found

    before, objects = copies(left()), dict(thing.named_parameters())
    for method, call in (
        ("forward", lambda: s.forward(thing, inputs)),
        ("backward", lambda: s.backward(thing, inputs)),
        ("train", lambda: thing.train(not thing.training)),
        ("eval", thing.eval),
    ):
        call()
        now = dict(thing.named_parameters())
        for name, parameter in objects.items():
            if now.get(name) is not parameter:
                raise Failure(
                    f"{method} puts another Parameter in the place of {name}, and an optimizer "
                    f"would go on with the old one: assign to {name}.value"
                )
            if not np.shares_memory(parameter.grad, parameter._memory.grads):
                raise Failure(
                    f"{method} puts another array in the place of {name}.grad, and an optimizer "
                    f"would read the old one: assign to {name}.grad, which copies"
                )
        for what, array in left().items():
            unchanged(array, before.get(what, array), f"{method} changes the {what}")


def keeps_dtype(results: Results, dtype: type) -> None:
    """Raise unless results are in the dtype of the input."""
    for name, array in results.items():
        if array.dtype != dtype and array.dtype.kind == "f":
            raise Failure(
                f"{np.dtype(dtype)} in, {name} is {array.dtype} and must be {np.dtype(dtype)}: "
                f"a hidden cast{CAST if dtype == np.float32 else ''}"
            )


def not_through_float32(results: Results) -> None:
    """Raise if results have the digits of float32 only."""
    for name, array in results.items():
        # A gradient that is 0 except for rounding, as of a bias before BatchNorm, holds small
        # multiples of one power of 2, which float32 has as well.
        if looks_like_float32(array) and np.abs(array).max() > rounding(*results.values()):
            raise Failure(f"float64 in, but {name} holds float32 numbers: a hidden cast")


# -- copies and arguments --------------------------------------------------------------


def copied(what: str, how: Callable[[Any], Any]) -> Callable[[LayerSubject], None]:
    """Ask what a copy gives, and what it shares."""

    def check(s: LayerSubject) -> None:
        thing, inputs = s.twin(), s.inputs()
        twin = how(thing)
        if repr(twin) != repr(thing):
            raise Failure(f"the {what} is {twin!r}, not {thing!r}")
        if twin.training != thing.training:
            raise Failure(f"the {what} is in another mode")
        same(f"in the {what}", run(s, thing, inputs), run(s, twin, inputs))
        before = thing.state_dict()  # after the forward, which may write into a buffer
        for parameter in twin.parameters():
            parameter.value = np.zeros(parameter.shape)
        for _, array in twin.named_buffers():
            array[...] = 7  # a value that no buffer starts at
        for name, value in thing.state_dict().items():
            kind = "parameter" if name in dict(thing.named_parameters()) else "buffer"
            unchanged(
                value, before[name], f"the {what} shares the {kind} {name} with the original"
            )

    return check


def keeps_its_state(s: LayerSubject) -> None:
    """Let a copy go forward in between: what they share, it overwrites."""
    thing, inputs = s.twin(), s.inputs()
    twin, expected = copy.deepcopy(thing), run(s, s.twin(), inputs)
    s.forward(thing, copies(inputs))
    for _ in range(2):  # the first may draw the same mask
        s.forward(twin, s.inputs(draw=3))
    with told(SHARED.format(s.kinds)):
        same("after a forward of a copy", expected, s.backward(thing, inputs))


def pickled(thing: Any, *parts: Any) -> Any:
    """Return what comes out of a pickle, in which the thing or its parts have their classes."""
    layers = every_layer(thing) if isinstance(thing, Layer) else [thing]
    for one in parts or layers:
        try:
            pickle.dumps(type(one))
        except (AttributeError, pickle.PicklingError):
            raise NotApplicable(
                f"{type(one).__name__} is not at the top of a module, where pickle looks for it"
            ) from None
        args, kwargs = getattr(one, "_arguments", ((), {}))
        if any(isinstance(value, Placeholder) for value in (*args, *kwargs.values())):
            # A copy, too, holds the repr alone.
            raise NotApplicable("no pickle can hold an argument that is a nameless function")
    try:
        return pickle.loads(pickle.dumps(thing))  # noqa: S301 - made on the same line
    except Exception as error:  # noqa: BLE001 - any error is a finding
        raise Failure(f"it cannot be pickled: {error}") from None


def right_with_others(
    original: Any, hold: Callable[[], None], hold_other: Callable[[Any], None]
) -> None:
    """Change one number of the constructor at a time; a gradient may be right for one alone.

    `hold_other` raises a Failure where the gradient is wrong, and anything else where
    the subject refuses the number.
    """
    numbers = {name: value for name, value in bound(original).items() if isinstance(value, float)}
    if numbers:
        try:
            hold()
        except Failure:
            raise NotApplicable("a gradient is wrong with those given") from None
    asked = False
    for name, value in numbers.items():
        for other in other_values(name, value):
            try:
                hold_other(construct(type(original), {**bound(original), name: other}))
            except Failure as fault:
                wrong = f"the gradient does not follow {name}: with {name}={other:g}, "
                raise Failure(f"{wrong}{fault}") from None
            except Exception:  # noqa: BLE001, S112 - a refusal, or out of its domain
                continue
            asked = True
            break
    if not asked:
        raise NotApplicable("no argument is a number with a fraction")
