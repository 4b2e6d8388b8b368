"""The verdicts on copies of a layer, and on inputs that it must refuse."""

import copy
import pickle
import warnings
from collections.abc import Callable

import numpy as np

from minifw._tools.arguments import Placeholder
from minifw.core.layer import Layer
from minifw.testing._arguments import alike, differing
from minifw.testing._layer_same import gradients, same, same_gradients
from minifw.testing._layer_situation import Situation, analytic
from minifw.testing._layer_subject import (
    LayerCheck,
    LayerSubject,
    every_layer,
    generator_states,
    hidden_state,
    put_back,
)
from minifw.testing._report import Failure, NotApplicable
from minifw.typing import Array

__all__ = ["COPY_CHECKS", "REFUSAL_CHECKS", "STATE_CHECKS"]


def _deterministic(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    first, second = situation.layer(), situation.layer()
    same(
        "twice the same layer and x, y differs",
        first.forward(situation.x),
        second.forward(situation.x),
    )
    same_gradients("twice the same layer and x", analytic(situation), analytic(situation))


def _copied(how: Callable[[Layer], Layer], what: str) -> Callable[[LayerSubject], None]:
    def check(s: LayerSubject) -> None:
        situation = Situation.of(s, training=True)
        layer = situation.layer()
        twin = how(layer)
        if repr(twin) != repr(layer):
            raise Failure(f"the {what} is {twin!r}, not {layer!r}")
        if twin.training != layer.training:
            raise Failure(f"the {what} is in another mode")
        same(f"in the {what}, y differs", layer.forward(situation.x), twin.forward(situation.x))
        same_gradients(
            f"in the {what}",
            gradients(layer, layer.backward(situation.dy)),
            gradients(twin, twin.backward(situation.dy)),
        )
        before = layer.state_dict()  # after the forward, which may write into a buffer
        for parameter in twin.parameters():
            parameter.value = np.zeros(parameter.shape)
        for _, array in twin.named_buffers():
            array[...] = 7  # a value that no buffer starts at
        for name, value in layer.state_dict().items():
            if not np.array_equal(value, before[name]):
                kind = "parameter" if name in dict(layer.named_parameters()) else "buffer"
                raise Failure(f"the {what} shares the {kind} {name} with the original")

    return check


def _state_of_its_own(s: LayerSubject) -> None:
    """Let a copy go forward in between: what they share, it overwrites."""
    situation = Situation.of(s, training=True)
    layer = situation.layer()
    twin = copy.deepcopy(layer)
    layer.forward(situation.x)
    twin.forward(s.input(draw=3))
    found = gradients(layer, layer.backward(situation.dy))
    try:
        same_gradients("after a forward of a copy", analytic(situation), found)
    except Failure as fault:
        raise Failure(
            f"{fault}; what forward keeps lies where all layers share it (the class, the module, "
            "a default argument): keep it in self, with self.save(...)"
        ) from None


def _pickled(layer: Layer) -> Layer:
    for _, one in layer._all_layers():
        try:
            pickle.dumps(type(one))
        except (AttributeError, pickle.PicklingError):
            raise NotApplicable(
                f"{type(one).__name__} is not at the top of a module, where pickle looks for it"
            ) from None
        args, kwargs = one._arguments
        for value in (*args, *kwargs.values()):
            if isinstance(value, Placeholder):  # a copy, too, holds the repr alone
                raise NotApplicable("no pickle can hold an argument that is a nameless function")
    twin: Layer = pickle.loads(pickle.dumps(layer))  # noqa: S301 - made here
    return twin


def _state_dict(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    layer, other = situation.layer(), s.twin(draw=9)
    other.load_state_dict(layer.state_dict())
    same(
        "after load_state_dict, y differs", layer.forward(situation.x), other.forward(situation.x)
    )
    same_gradients(
        "after load_state_dict",
        gradients(layer, layer.backward(situation.dy)),
        gradients(other, other.backward(situation.dy)),
    )


def _state_after_training(s: LayerSubject) -> None:
    """Find what forward changes, and no buffer holds: a hint, for some of it may be left out."""
    layer, other, x = s.twin(), s.twin(draw=9), s.input()
    if _keeps_its_draw(s):
        raise NotApplicable(
            "the first forward in train mode draws, and no later one, though y is another in eval "
            "mode: a mask that is kept must be drawn anew in each forward"
        )
    for draw in range(3):
        layer.forward(s.input(draw=draw))
    other.load_state_dict(layer.state_dict())
    put_back(other, hidden_state(layer), numbers=False)  # they are in question
    for mode in ("train", "eval"):
        mine, its = (one.train(mode == "train").forward(x) for one in (layer, other))
        if not np.array_equal(mine, its, equal_nan=True):
            lost = sorted(_differing_numbers(layer, other))
            kept = " and ".join(lost) or "it"
            raise NotApplicable(
                f"state_dict loses what forward changes in training, and y in {mode} mode is "
                f"another; to save {kept}, keep arrays and name them in `buffers`"
            )


def _keeps_its_draw(s: LayerSubject) -> bool:
    """Whether a generator stands still from the second training forward on."""
    layer, x = s.twin(), s.input()
    states = [generator_states(layer)]
    for _ in range(2):
        y = layer.forward(x).copy()
        states.append(generator_states(layer))
    start, first, second = states
    drew_once = not alike(start, first) and alike(first, second)
    return drew_once and not np.array_equal(y, layer.eval().forward(x), equal_nan=True)


def _differing_numbers(layer: Layer, other: Layer) -> set[str]:
    """Return the attributes, of nested layers too, that hold other numbers."""
    pairs = zip(layer._all_layers(), every_layer(other), strict=True)
    return {
        f"{name}.{attribute}".lstrip(".")
        for (name, one), twin in pairs
        for attribute in differing(one, twin)
        if isinstance(vars(one).get(attribute), np.ndarray | np.generic | float | int)
    }


def _wrong_width(s: LayerSubject) -> None:
    if s.x.ndim < 2 or not s.differentiable:
        raise NotApplicable("x has no axis of features")
    x = s.input()
    _refuses(s, np.concatenate([x, x[..., :1]], axis=-1), "one feature too many")


def _wrong_rank(s: LayerSubject) -> None:
    if not s.differentiable:
        raise NotApplicable("x holds whole numbers")
    x = s.input()
    # NumPy's IndexError says how many axes there are, and how many are asked for.
    _refuses(s, x[:, np.newaxis], "an axis too many", rank=True)
    if x.ndim > 1:
        _refuses(s, x[0], "no batch axis", rank=True)


def _refuses(s: LayerSubject, x: Array, what: str, *, rank: bool = False) -> None:
    """Raise unless the layer refuses x in a sentence, or takes it and all shapes agree."""
    layer = s.twin(training=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = layer.forward(x)
            dx = layer.backward(np.ones_like(y))
    except (ValueError, TypeError) as error:
        if str(error):
            return
        raise Failure(f"{what}, it raised {type(error).__name__} without a word") from None
    except Exception as error:  # noqa: BLE001 - the wrong type is the finding
        if rank and isinstance(error, IndexError):
            return
        raise Failure(
            f"{what}, it raised {type(error).__name__}: {error}; a ValueError that says which "
            "shape is expected would be clear"
        ) from None
    if dx.shape != x.shape:
        raise Failure(
            f"{what}, it raised nothing, and for x of shape {x.shape} dx has the shape {dx.shape}"
        )


STATE_CHECKS: tuple[LayerCheck, ...] = (
    ("deterministic", _deterministic),
    ("keeps its state in itself", _state_of_its_own),
)

COPY_CHECKS: tuple[LayerCheck, ...] = (
    ("deepcopy", _copied(copy.deepcopy, "deepcopy")),
    ("pickle", _copied(_pickled, "pickle")),
    ("state_dict", _state_dict),
    ("state_dict after training", _state_after_training),
)

REFUSAL_CHECKS: tuple[LayerCheck, ...] = (
    ("refuses a wrong width", _wrong_width),
    ("refuses a wrong rank", _wrong_rank),
)
