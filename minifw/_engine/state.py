"""State by name, which is loaded all together, or not at all; and in another dtype."""

import copy
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from minifw._engine.members import is_layer
from minifw._engine.packing import Memory
from minifw._engine.protocols import AnyLayer
from minifw._tools.checks import describe
from minifw._tools.numbers import check_dtype, check_flag
from minifw.typing import Array, DType

LayerT = TypeVar("LayerT", bound=AnyLayer)


def named_arrays(layer: AnyLayer) -> dict[str, Array]:
    """Return the values of all parameters and the buffers, or raise if two have one name."""
    named = [(name, parameter.value) for name, parameter in layer.named_parameters()]
    state: dict[str, Array] = {}
    for name, array in [*named, *layer.named_buffers()]:
        if state.setdefault(name, array) is not array:
            raise ValueError(
                f"{type(layer).__name__} expects each array to have a name of its own, "
                f"{describe(state[name])} and {describe(array)} both have {name!r}; rename a "
                "dict's key or an attribute"
            )
    return state


def astype(layer: LayerT, dtype: object) -> LayerT:
    """Return a copy of a layer that computes in `dtype`, which its arguments say, too."""
    owner = f"{type(layer).__name__}.astype"
    kind, twin = check_dtype(owner, dtype), copy.deepcopy(layer)
    try:
        with np.errstate(over="raise"):
            for _, parameter in twin.named_parameters():
                memory = Memory.of(parameter.value.astype(kind))
                parameter._place_in(memory, 0, parameter.shape)
            for _, one in twin._all_layers():
                for name, held in [*vars(one).items()]:
                    if (cast := _cast(held, kind)) is not held:
                        setattr(one, name, cast)
                _cast_arguments(one, kind)
    except FloatingPointError:
        raise ValueError(f"{owner}: a number is too large for {kind}") from None
    return twin


def _cast_arguments(layer: Any, dtype: DType) -> None:
    """Say the dtype in the arguments, and what followed from the earlier one, as an eps."""
    args, named = layer._arguments
    named = {name: _cast(value, dtype) for name, value in named.items()}
    layer._arguments = tuple([_cast(value, dtype) for value in args]), named
    for name, argument in inspect.signature(type(layer).__init__).parameters.items():
        value = dtype if name == "dtype" else getattr(layer, name, None)
        followed = argument.default is None and isinstance(value, float)
        if followed or (value is dtype and argument.default != dtype):
            layer._note_argument(name, value)


def _cast(value: Any, dtype: DType) -> Any:
    """Return an array of floating-point numbers, or what names their dtype, in another dtype."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(dtype, copy=False)
    if isinstance(value, np.dtype) and value.kind == "f":
        return dtype
    if isinstance(value, str) and value in ("float64", "float32"):
        return dtype.name
    return dtype.type if isinstance(value, type) and issubclass(value, np.floating) else value


class Loaded(NamedTuple):
    """How a state fitted: what it lacked, and what it had besides; PyTorch's names and text."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        missing, unexpected = self
        shown = f"Loaded(missing_keys={missing}, unexpected_keys={unexpected})"
        return shown if missing or unexpected else "<All keys matched successfully>"


def aliases(layer: Any, own: Iterable[str]) -> dict[str, str]:
    """Return the other names of what is reached in several ways, each with its name in `own`.

    Such as "2.weight" of what is tied to "0.weight", and the names of what is in a layer that
    stands at several places.
    """
    walked = layer._walk()
    first = {id(member): name for name, member in walked}
    found: dict[str, str] = {}
    for path, one in reversed([("", layer), *walked]):  # the inner ones first
        named: set[int] = set()
        for name, member in one._members() if is_layer(one) else ():
            full, known = f"{path}.{name}".removeprefix("."), first.get(id(member), "")
            listed = name.startswith("_") and id(member) in named  # such as a container's _layers
            named.add(id(member))
            if known not in ("", full) and not listed:
                inside = [n for n in (*own, *found) if n == known or n.startswith(f"{known}.")]
                found.update({full + n[len(known) :]: found.get(n, n) for n in inside})
    return found


def merged(owner: str, ties: Mapping[str, str], state: Mapping[str, Any]) -> dict[str, Any]:
    """Return `state` with one entry for what is tied, or raise if its entries differ.

    PyTorch's has one for each name, or one by any of the names.
    """
    kept = dict(state)
    for name in [name for name in state if name in ties]:
        value, first = kept.pop(name), ties[name]
        one = kept.setdefault(first, value)
        if one is not value and not np.array_equal(one, value, equal_nan=True):
            raise ValueError(
                f"{owner}: {first} and {name} are tied, one parameter of two names, and come "
                "with different values; untie them, or give both the same"
            )
    return kept


def load_arrays(
    owner: str,
    own: Mapping[str, Array],
    state: Mapping[str, npt.ArrayLike],
    check: Callable[[Mapping[str, Array]], None],
    *,
    strict: bool,
) -> Loaded:
    """Copy the values of `state` into the arrays of `own`, or raise and change nothing.

    `check` gets all the new values, and raises if one is impossible. If not `strict`, only the
    names that both have are loaded.
    """

    def as_like(name: str, value: npt.ArrayLike) -> Array:
        array = np.asarray(value)
        if array.shape != own[name].shape:
            raise ValueError(f"{name} has shape {array.shape}, not {own[name].shape}")
        return array

    strict = check_flag(owner, "strict", strict)
    new = checked_state(owner, own, state, as_like, strict=strict)
    for name, array in new.items():
        dtype = own[name].dtype
        if not np.can_cast(array.dtype, dtype, "same_kind"):
            raise TypeError(f"{owner}: {name} expects {dtype} numbers, got {describe(array)}")
    check(new)
    for name, array in new.items():
        own[name][...] = array
    return Loaded([n for n in own if n not in new], [n for n in state if n not in own])


def checked_state(
    owner: str,
    own: Mapping[str, Any],
    state: Mapping[str, Any],
    checked: Callable[[str, Any], Any],
    *,
    strict: bool = True,
) -> dict[str, Any]:
    """Return what `checked` makes of each value, or raise one error that names all faults.

    `own` says which names there are; if not `strict`, others are left out.
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"{owner} expects a dict, got {describe(state)}")
    faults = [f"{name} is missing" for name in own if strict and name not in state]
    faults += [f"{name} is unexpected" for name in state if strict and name not in own]
    values = {}
    for name in sorted(own):
        try:
            if name in state:
                values[name] = checked(name, state[name])
        except (TypeError, ValueError) as error:
            faults.append(str(error).removeprefix(f"{owner.partition('.')[0]} "))
    if faults:
        raise ValueError(f"{owner}: {'; '.join(faults)}")
    return values
