"""Which layers take arrays that are not NumPy's: the list in docs/gpu.md.

A stand-in for arrays on a device: it speaks NumPy's protocols, and never becomes an ndarray.
"""

from typing import Any

import numpy as np
import pytest
from cases import CASES, Case

from minifw import Layer

THROUGH = frozenset(
    [
        "Add",
        "AvgPool2D",
        "BatchNorm",
        "Clamp",
        "Columns",
        "Conv1D",
        "Conv2D",
        "Conv2DTranspose",
        "ELU",
        "Flatten",
        "GELU",
        "GlobalAvgPool2D",
        "GradientReversal",
        "GroupNorm",
        "HardTanh",
        "Identity",
        "Impute",
        "Increasing",
        "Join",
        "LayerNorm",
        "LeakyReLU",
        "LogSoftmax",
        "MaxPool2D",
        "Mish",
        "Multiply",
        "PReLU",
        "Pad2D",
        "PeriodicEncoding",
        "PiecewiseLinearEncoding",
        "Positions",
        "RMSNorm",
        "ReLU",
        "Reshape",
        "RobustScale",
        "SELU",
        "SiLU",
        "Sigmoid",
        "Softmax",
        "Softplus",
        "Standardize",
        "StopGradient",
        "Tanh",
        "UpSample2D",
    ]
)
BINARY = [
    "add",
    "sub",
    "mul",
    "truediv",
    "pow",
    "matmul",
    "lt",
    "gt",
    "le",
    "ge",
    "eq",
    "ne",
    "and",
    "or",
    "xor",
]
OPERATORS = [
    *BINARY,
    *(f"r{name}" for name in BINARY[:6]),
    *(f"i{name}" for name in [*BINARY[:5], "and", "or", "xor"]),
    *("neg", "invert", "abs"),
]


class Elsewhere:
    """An array that lies elsewhere."""

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("it lies elsewhere")

    def __array_ufunc__(self, ufunc: Any, method: str, *args: Any, **options: Any) -> Any:
        return wrapped(getattr(ufunc, method)(*bare(args), **bare(options)))

    def __array_function__(self, function: Any, _: Any, args: Any, options: Any) -> Any:
        return wrapped(function(*bare(args), **bare(options)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # such as __array_interface__, by which NumPy looks inside
            raise AttributeError(name)
        found = getattr(self.array, name)
        if not callable(found):
            return wrapped(found)
        return lambda *args, **options: wrapped(found(*bare(args), **bare(options)))

    def __getitem__(self, key: Any) -> Any:
        return wrapped(self.array[bare(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.array[bare(key)] = bare(value)

    def __bool__(self) -> bool:
        return bool(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __len__(self) -> int:
        return len(self.array)


def _operator(name: str) -> Any:
    return lambda self, *other: wrapped(getattr(self.array, name)(*bare(other)))


for _name in OPERATORS:
    setattr(Elsewhere, f"__{_name}__", _operator(f"__{_name}__"))


def bare(value: Any) -> Any:
    """Return the array inside; raise if NumPy's own is mixed in."""
    if isinstance(value, Elsewhere):
        return value.array
    if isinstance(value, np.ndarray) and value.ndim:
        raise TypeError("a NumPy array is mixed in")
    if isinstance(value, list | tuple):
        return type(value)(bare(item) for item in value)
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items()}
    return value


def wrapped(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return Elsewhere(np.asarray(value))
    return tuple(map(wrapped, value)) if isinstance(value, tuple) else value


def move(layer: Layer) -> None:
    """Put the stand-in in the place of all that the layer holds."""
    for parameter in layer.parameters():
        for name in ("value", "grad"):
            object.__setattr__(parameter, name, Elsewhere(getattr(parameter, name)))
    for _, one in layer._all_layers():
        for name in one.buffers:
            setattr(one, name, Elsewhere(getattr(one, name)))


def goes_through(layer: Layer) -> bool:
    """Return what docs/gpu.md says of it."""
    kind = type(layer).__name__
    if kind == "Sequential":
        return all(goes_through(inner) for _, inner in layer.named_layers())
    if kind in ("Dense", "NTKDense"):
        return len(layer.parameters()) == 1
    return kind in THROUGH


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_layers_take_arrays_from_elsewhere_as_the_page_says(case: Case) -> None:
    here, there = case.make(np.float64), case.make(np.float64)
    there.load_state_dict(here.state_dict())
    shape = (4, *case.example_shape)
    x: Any = np.random.default_rng(0).normal(size=shape)
    if here.takes_whole_numbers:
        x = np.zeros(shape, np.intp)
    move(there)
    if not goes_through(here):
        with pytest.raises((TypeError, ValueError)):
            there.backward(there.forward(Elsewhere(x)))
        return
    y = here.forward(x)
    dx = here.backward(y)
    found: Any = there.forward(Elsewhere(x))
    np.testing.assert_array_equal(found.array, y)
    back: Any = there.backward(found)
    np.testing.assert_array_equal(back.array, dx)
    for own, other in zip(here.parameters(), there.parameters(), strict=True):
        moved: Any = other.grad
        np.testing.assert_array_equal(moved.array, own.grad)
