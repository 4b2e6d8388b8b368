"""The verdicts on copies of a layer, and on inputs that it must refuse."""

import copy
import warnings

import numpy as np

from minifw.testing._equal import alike, same
from minifw.testing._layer_subject import (
    NUMBERS,
    LayerCheck,
    LayerSubject,
    changed,
    generator_states,
    hidden_state,
    put_back,
)
from minifw.testing._questions import copied, deterministic, keeps_its_state, pickled, run
from minifw.testing._report import Failure, NotApplicable
from minifw.typing import Array

__all__ = ["COPY_CHECKS", "REFUSAL_CHECKS", "STATE_CHECKS"]


def _state_dict(s: LayerSubject) -> None:
    layer, other, inputs = s.twin(), s.twin(draw=9), s.inputs()
    other.load_state_dict(layer.state_dict())
    same("after load_state_dict", run(s, layer, inputs), run(s, other, inputs))


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
            kept = " and ".join(changed(layer, other, kinds=NUMBERS)) or "it"
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
    ("deterministic", deterministic),
    ("keeps its state in itself", keeps_its_state),
)

COPY_CHECKS: tuple[LayerCheck, ...] = (
    ("deepcopy", copied("deepcopy", copy.deepcopy)),
    ("pickle", copied("pickle", pickled)),
    ("state_dict", _state_dict),
    ("state_dict after training", _state_after_training),
)

REFUSAL_CHECKS: tuple[LayerCheck, ...] = (
    ("refuses a wrong width", _wrong_width),
    ("refuses a wrong rank", _wrong_rank),
)
