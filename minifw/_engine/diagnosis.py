"""Finds the layer in which the first NaN or infinity of a step arose."""

import copy
import warnings
from collections.abc import Callable
from itertools import zip_longest
from typing import Any, NoReturn, TypeAlias

import numpy as np

from minifw._engine.heads import applied, outputs_of
from minifw._engine.listening import listening
from minifw._engine.protocols import AnyLayer, AnyLoss
from minifw.errors import NonFiniteError
from minifw.typing import Array

Batch: TypeAlias = tuple[Any, Any, Any]
"""x, target, and the weights or None: what a loss was asked for; tuples of several."""

_PASSES = ("forward", "backward", "backward_parameters")


def _finite(array: Array) -> bool:
    return bool(np.isfinite(array).all())


class _FoundError(Exception):
    """Carries the finding out of the layers."""


def explain_loss(model: AnyLayer, loss: AnyLoss, batch: Batch, steps: int) -> str | None:
    """Say where the non-finite value of ``loss(model.forward(x), target)`` arose.

    None if all is finite when it is done again.
    """
    x, target, sample_weight = batch
    targets = [(f"the target {index}", array) for index, array in enumerate(outputs_of(target))]
    targets = targets if type(target) is tuple else [("the target", target)]
    for name, array in [*_inputs(model, x), *targets]:
        if array is not None and not _finite(array):
            return f"{name} holds {_count(array)}"
    for name, parameter in model.named_parameters():
        if not _finite(parameter.value):
            where = f"parameter {name} of {_owner(model, name)} holds {_count(parameter.value)}"
            if steps and _finite(parameter.grad):
                return f"{where}, since an update by a finite gradient; is lr too large?"
            return f"{where}, since the backward pass of the step before" if steps else where
    in_loss = f"it arose in {loss!r}, in the forward pass; every layer was finite"

    def run(twin: AnyLayer) -> None:
        if not np.isfinite(copy.deepcopy(loss)(applied(twin, x), target, sample_weight)):
            raise _FoundError(in_loss)

    return _searched(model, run, in_loss)


def explain_gradient(model: AnyLayer, loss: AnyLoss, batch: Batch) -> str | None:
    """Say where the first non-finite value of a backward pass arose, or None if nowhere."""
    x, target, sample_weight = batch

    def run(twin: AnyLayer) -> None:
        twin_loss = copy.deepcopy(loss)
        twin_loss(applied(twin, x), target, sample_weight)
        dys = outputs_of(twin_loss.backward())
        if not all(map(_finite, dys)):
            raise _FoundError(f"it arose in {loss!r}, in the backward pass")
        twin.backward_parameters(*dys)

    for name, array in _inputs(model, x):
        if array is not None and not _finite(array):
            return f"{name} holds {_count(array)}, which the backward pass multiplied with"
    return _searched(model, run)


def refuse(what: str, steps: int, where: str | None, cause: Exception | None) -> NoReturn:
    """Raise the one error that says all; or NumPy's, where it was about something else."""
    if isinstance(cause, NonFiniteError):
        cause = None  # this error says more
    if cause is not None and where is None:
        raise cause
    where = where or "where it arose did not show when the step was done again"
    raise NonFiniteError(f"{what} is not finite at step {steps}: {where}") from cause


def _inputs(model: AnyLayer, x: Any) -> list[tuple[str, Any]]:
    """Return the inputs with what a message calls them."""
    if type(x) is not tuple:
        return [("the input x", x)]
    names = [name.rstrip("?*") for name in model.input_names]
    return [(f"the input {name}", array) for name, array in zip_longest(names, x[: len(names)])]


def _searched(
    model: AnyLayer, run: Callable[[AnyLayer], Any], in_loss: str | None = None
) -> str | None:
    """Run a copy of `model` whose layers report the first bad value made of good ones."""
    try:
        twin = copy.deepcopy(model)
        with (
            listening(twin._all_layers(), _PASSES, _checked),
            np.errstate(all="ignore"),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            run(twin)
    except _FoundError as found:
        return str(found)
    except NonFiniteError as error:
        return in_loss and f"{in_loss} ({error})"
    except Exception:  # noqa: BLE001 - a copy may fail, on such values too: no finding then
        return None
    return None


def _checked(name: str, layer: AnyLayer, method: str, call: Callable[..., Any], *xs: Any) -> Any:
    """Call a pass of a layer, and raise what was found if it makes bad values of good ones."""
    good = all(_finite(x) for x in xs if isinstance(x, np.ndarray))
    result = call(*xs)
    parameters = layer.named_parameters() if method != "forward" else []
    bad = [f"the gradient of {key}" for key, p in parameters if not _finite(p.grad)]
    for y in result if isinstance(result, tuple) else (result,):
        if isinstance(y, np.ndarray) and not _finite(y):
            bad.insert(0, _count(y))
    if good and bad:
        place = f"layer {name}, {layer!r}," if name else f"the model, {layer!r},"
        direction = method.partition("_")[0]
        raise _FoundError(f"it arose in {place} in the {direction} pass: {bad[0]}")
    return result


def _owner(model: AnyLayer, parameter: str) -> str:
    path = parameter.rpartition(".")[0]
    layers = dict(model.named_layers())
    return f"layer {path}, {layers[path]!r}," if path in layers else f"{model!r}"


def _count(array: Array) -> str:
    bad = ~np.isfinite(array)
    first = tuple(int(i) for i in np.argwhere(bad)[0])
    return f"{int(bad.sum())} NaN or infinite of {array.size} values, the first at {first}"
