"""The shape of one example behind a layer, of which some sizes may not be known."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from minifw import layers
from minifw.core.layer import Layer
from minifw.interop.onnx._reading.values import Size

# Sizes that stand for one that is not known: where a layer gives another size for each pair, its
# own is not known, either. They are tried until its checks accept them.
STAND_INS = ((2520, 5040), (8, 16))

# They give the shape of x, but would compute y of so many numbers to say so
KEEPING = layers.Flip | layers.LogSoftmax | layers.PReLU | layers.Softmax


def shape_after(
    layer: Layer, shapes: Sequence[tuple[Size, ...] | None]
) -> tuple[Size, ...] | None:
    """Return the shape of one example behind a layer, None where it is not known."""
    if any(shape is None for shape in shapes):
        return None
    if isinstance(layer, KEEPING):
        return shapes[0]

    def after(stand_in: int) -> tuple[int, ...]:
        known: list[Any] = [tuple(size or stand_in for size in shape or ()) for shape in shapes]
        made: Any = layer.output_shape(*known)
        return made[0] if len(layer.output_names) > 1 else made  # type: ignore[no-any-return]

    if all(None not in (shape or ()) for shape in shapes):
        return after(1)
    for pair in STAND_INS:
        with suppress(ValueError):
            one, other = (after(stand_in) for stand_in in pair)
            return tuple(a if a == b else None for a, b in zip(one, other, strict=True))
    return None
