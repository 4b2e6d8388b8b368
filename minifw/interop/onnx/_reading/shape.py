"""Operators that change shapes, orders of axes, and what is taken of them."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from minifw import layers
from minifw._tools.loading import claim
from minifw.core.layer import Layer
from minifw.interop.onnx._reading.constants import BATCH, LARGEST, UNKNOWN, Array
from minifw.interop.onnx._reading.values import (
    Node,
    Size,
    Value,
    filled,
    in_dtype,
    line_of,
    reader,
)

MOST_COLUMNS = 4096  # of one part: each is an argument of `Columns`


@reader("GlobalAveragePool", "ReduceMean", order="own")
def mean(node: Node) -> Value:
    """Read the mean of each channel, or over time; it may keep its axes, of length 1."""
    sizes, x = node.x.sizes, node.x
    reduced = node.operator == "ReduceMean"
    if x.whole:
        raise node.refuse("its mean is a whole number, too")
    axes = sorted(node.axes() if reduced else range(2, len(sizes)))
    places = range(len(sizes)) if x.order is None else x.order
    if len(sizes) == 4 and axes == [2, 3]:
        made = node.add(layers.GlobalAvgPool2D(), replace(x, order=None))
    elif len(sizes) == 3 and axes == [1]:
        made = node.add(layers.MeanOverTime(), replace(x, order=None))
    elif len(sizes) == 3 and axes == [2] and x.order is None:
        images = node.add(layers.Reshape((sizes[1] or -1, 1, sizes[2] or -1)))
        made = node.add(layers.GlobalAvgPool2D(), images)
    else:
        raise node.refuse(f"minifw has no mean over the axes {axes} of {len(sizes)}")
    if reduced and not node.attributes.get("keepdims", 1):
        return made
    kept = [
        1 if axis in axes else sizes[list(places).index(axis)] for axis in range(1, len(sizes))
    ]
    return replace(node.add(layers.Reshape(_target(node, kept)), made), order=x.order)


def _target(node: Node, sizes: Any) -> tuple[int, ...]:
    """Return a shape for `Reshape`, in which one size may be unknown."""
    sizes = [None if size in (None, UNKNOWN) else int(size) for size in sizes]
    if any(size is not None and size > LARGEST for size in sizes):
        raise node.refuse("its shape depends on sizes that the file does not say")
    if sizes.count(None) + sizes.count(-1) > 1:
        raise node.refuse("its shape has more than one size that the file does not say")
    return tuple(-1 if size is None else size for size in sizes)


@reader("Flatten")
def flatten(node: Node) -> Layer:
    """Read (batch, ...) as (batch, features)."""
    axis = node.attributes.get("axis", 1)
    if axis != 1 and (not node.shape or axis != -len(node.shape)):
        raise node.refuse("minifw keeps the batch axis and flattens the others")
    return layers.Flatten()


@reader("Reshape", order="own")
def reshape(node: Node) -> Value:
    """Read a shape that keeps the batch; axes in another order can be merged."""
    target: list[Any] = [int(size) for size in node.needed(1)]
    if node.attributes.get("allowzero", 0) and 0 in target:
        raise node.refuse("minifw has no allowzero=1")
    if not target:
        raise node.refuse("minifw keeps the batch axis, the shape [] does not")
    if node.x.order is not None:
        merged = _merged(node, target)
        if merged is not None:
            return merged
    x = node.reading.plain(node.x)
    rest = target[1:]
    for index, size in enumerate(rest):
        if size == 0:
            if x.shape is None or index >= len(x.shape):
                raise node.refuse("it copies an axis whose size is not known")
            rest[index] = x.shape[index]
    count = math.prod(x.shape) if x.shape is not None and None not in x.shape else None
    whole = -1 in rest or count == math.prod(size or 0 for size in rest)
    batch = target[0] in (0, BATCH) or (target[0] == node.reading.batch and whole)
    if not batch and (target[0] != -1 or count is None or not whole):
        raise node.refuse(f"minifw keeps the batch axis, the shape {target} does not")
    if rest == [-1] or (len(rest) == 1 and rest[0] == count):
        return node.add(layers.Flatten(), x)
    return node.add(layers.Reshape(_target(node, rest)), x)


def _merged(node: Node, target: list[Any]) -> Value | None:
    """Return x with neighbouring axes put together, or None if that is not what happens."""
    batch = node.reading.batch or BATCH
    sizes = [batch if size == BATCH else size for size in node.x.sizes]
    order = node.x.order or ()
    if None in sizes or target.count(-1) > 1:
        return None
    target = [sizes[i] if size == 0 and i < len(sizes) else size for i, size in enumerate(target)]
    total = math.prod(sizes)
    rest = math.prod(size for size in target if size != -1)
    target = [total // max(rest, 1) if size == -1 else size for size in target]
    groups, start = [], 0  # of axes of the line, in the order of the file
    for size in target:
        end = start + 1
        while end < len(sizes) and math.prod(sizes[start:end]) != size:
            end += 1
        group = order[start:end]
        if math.prod(sizes[start:end]) != size or list(group) != list(
            range(group[0], group[0] + len(group))
        ):
            return None
        groups.append(group)
        start = end
    if start != len(sizes) or (0,) not in groups:
        return None
    return _settled(node, groups, {axis: sizes[order.index(axis)] for axis in order})


def _settled(node: Node, groups: list[Any], sizes: dict[int, Size]) -> Value:
    """Return x with each group of axes of its line as one axis, in the order of the groups."""
    stored = sorted(groups)
    shape = [math.prod(sizes[axis] or 0 for axis in group) or None for group in stored[1:]]
    made = node.add(layers.Reshape(_target(node, shape)), replace(node.x, order=None))
    order = tuple(stored.index(group) for group in groups)
    return replace(made, order=None if order == tuple(sorted(order)) else order)


@reader("Squeeze", order="own")
def squeeze(node: Node) -> Value:
    """Read the loss of axes of length 1."""
    sizes = node.x.sizes
    order = node.x.order or tuple(range(len(sizes)))
    if not node.axes() and (None in sizes or node.reading.batch < 2):
        raise node.refuse("it drops all axes of length 1, the batch or one of unknown length, too")
    axes = node.axes() or [axis for axis, size in zip(order, sizes, strict=True) if size == 1]
    known = dict(zip(order, sizes, strict=True))
    if any(known[axis] != 1 for axis in axes):
        raise node.refuse(f"minifw drops axes of length 1, not of {[known[a] for a in axes]}")
    return _settled(node, [(axis,) for axis in order if axis not in axes], known)


@reader("Unsqueeze")
def unsqueeze(node: Node) -> Layer:
    """Read new axes of length 1."""
    axes = np.ravel(node.given(1, "axes", ()))
    count = len(node.x.sizes) + len(axes)
    places = {int(axis) % count for axis in axes}
    if 0 in places:
        raise node.refuse("minifw keeps the batch axis in front")
    old = iter(node.x.sizes)
    return layers.Reshape(
        _target(node, [1 if i in places else next(old) for i in range(count)][1:])
    )


@reader("Transpose", order="own")
def transpose(node: Node) -> Value:
    """Read another order of the axes; a layer is made of it where one needs its own."""
    perm = node.attributes.get("perm") or list(range(len(node.x.sizes)))[::-1]
    order = tuple(node.x.axis(axis) for axis in perm)
    if node.x.shape is None:
        raise node.refuse("it needs a number of axes that the file does not say")
    return replace(node.x, order=None if order == tuple(sorted(order)) else order)


@reader("Concat", order="same", several=True)
def concat(node: Node) -> Value:
    """Read values side by side."""
    if len(node.values) != len(node.inputs):
        raise node.refuse("minifw does not join values with constants")
    axis, shape = node.attributes.get("axis", 1), node.shape
    ndim = 0 if shape is None else len(shape) + 1
    at = node.x.axis(axis % ndim) if ndim else axis
    if at < -1 or at == 0:
        raise node.refuse("minifw does not join along the batch")
    usual = ndim and at == (1 if ndim == 4 else ndim - 1)  # where `Join` joins by default
    return node.add(layers.Join() if usual else layers.Join(axis=at), *node.values)


@reader("Gather", order="own")
def gather(node: Node) -> Value:
    """Read rows of a table, looked up by x; the last step of a sequence; or some columns."""
    axis = node.attributes.get("axis", 0)
    table, places = node.constant(0), node.constant(1)
    if table is not None:
        if axis != 0 or table.ndim != 2:
            raise node.refuse("minifw looks up rows of a table of two axes")
        return embedded(node, table, node.reading.plain(node.x))
    if places is None:
        raise node.refuse("minifw does not look up values in values")
    if places.ndim > 1:
        raise node.refuse("minifw takes a part of an axis, not a table of parts")
    claim(node.name, places.shape)
    count = node.x.sizes[axis]
    taken = [int(place) if count is None else int(place) % count for place in places.reshape(-1)]
    return _part(node, axis, taken, kept=places.ndim)


def embedded(node: Node, table: Array, x: Value) -> Value:
    """Return the rows of a table that x names."""
    rows = filled(layers.Embedding(*table.shape, **in_dtype(table)), weight=table)
    return replace(node.add(rows, x), dtype=table.dtype)


@reader("Slice", order="own")
def sliced(node: Node) -> Value:
    """Read a part of an axis, as `gather` does."""
    names = enumerate(("starts", "ends", "axes", "steps"), 1)
    starts, ends, axes, steps = ([int(n) for n in node.given(*one, ())] for one in names)
    axis = (axes or [0])[0]
    if len(starts) != 1 or len(ends) != 1:
        raise node.refuse("minifw takes a part of one axis")
    size = node.x.sizes[axis]
    if size is None and (starts, steps) != ([-1], steps or [1]):
        raise node.refuse("it takes a part of an axis whose size is not known")
    if size is None:
        return _part(node, axis, [-1], kept=1)
    places = range(size)[slice(starts[0], ends[0], (steps or [1])[0])]  # as many as there are rows
    return _part(node, axis, places, kept=1)


def _part(node: Node, axis: int, places: Sequence[int], kept: int) -> Value:
    """Return the last step of a recurrent layer, or other parts of one axis of an example."""
    count, at, ndim = node.x.sizes[axis], node.x.axis(axis), len(node.x.sizes)
    if at == 1 and len(places) == 1 and places[0] in (-1, (count or 0) - 1):
        h = node.reading.made.get(f"{line_of(node.x.line)}.h")
        if h is not None and node.x.line.endswith(".y"):
            h = replace(h, dtype=node.x.dtype)
            steps = node.add(layers.Reshape((1, -1)), h)
            return replace(steps, order=node.x.order) if kept else h
    turned = range(count if at and len(places) == count else 0)[::-1]
    made: Layer | None = None
    if kept and turned and places == (turned if isinstance(places, range) else [*turned]):
        made = layers.Flip(at)
    elif (ndim, at, kept) == (2, 1, 1) and 0 < len(places) <= MOST_COLUMNS:
        made = layers.Columns(*places)
    if made is not None:
        return replace(node.add(made, replace(node.x, order=None)), order=node.x.order)
    sizes: Any = node.x.shape
    if at == 0 or kept > 1 or not places or None in sizes:
        raise node.refuse("minifw takes parts of an example whose sizes are known")
    count = math.prod(sizes) // sizes[at - 1] * len(places)
    if count > MOST_COLUMNS:
        raise node.refuse(f"it takes {count} numbers, more than {MOST_COLUMNS}")
    taken = np.arange(math.prod(sizes)).reshape(sizes).take([*places], at - 1)
    rows = node.add(layers.Reshape((-1,)), replace(node.x, order=None))
    part = node.add(layers.Columns(*taken.ravel().tolist()), rows)
    if kept:
        return replace(node.add(layers.Reshape(taken.shape), part), order=node.x.order)
    left = tuple(one - (one > at) for one in node.x.order or range(ndim) if one != at)
    part = node.add(layers.Reshape(taken.squeeze(at - 1).shape), part)
    return replace(part, order=None if left == tuple(range(ndim - 1)) else left)


@reader("Split", order="own")
def split(node: Node) -> list[Value | None]:
    """Read the parts of an axis, one after the other."""
    axis = node.attributes.get("axis", 0)
    size = node.x.sizes[axis]
    sizes = node.given(1, "split")
    if size is None or (sizes is None and "num_outputs" not in node.attributes):
        raise node.refuse("it does not say the sizes of its parts")
    if sizes is None:
        part = -(-size // node.attributes["num_outputs"])
        sizes = [min(part, size - start) for start in range(0, size, part)]
    ends = np.cumsum(sizes).tolist()
    if ends[-1] != size:
        raise node.refuse(f"its parts {[int(n) for n in sizes]} are not the {size} there are")
    return [
        _part(node, axis, range(end - count, end), kept=1)
        for end, count in zip(ends, sizes, strict=True)
    ]
