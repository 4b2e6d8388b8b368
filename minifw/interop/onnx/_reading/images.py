"""Convolutions, pooling and borders as layers of images."""

from dataclasses import replace
from typing import Any

import numpy as np

from minifw import layers
from minifw._tools.loading import claim
from minifw.core.layer import Layer
from minifw.interop.onnx._reading.constants import BATCH, LARGEST
from minifw.interop.onnx._reading.values import (
    Node,
    Size,
    Value,
    filled,
    in_dtype,
    plainly,
    reader,
)
from minifw.layers._windows import single


def by_images(node: Node, layer: Layer) -> Value:
    """Return what a layer of images makes of (batch, channels, length), as of a height of 1."""
    if node.shape is None or len(node.shape) not in (2, 3) or node.shape[0] is None:
        raise node.refuse(f"minifw computes this of images, not of examples of {node.shape}")
    if len(node.shape) == 3:
        return node.add(layer)
    channels, length = node.shape
    made = node.add(layer, node.add(layers.Reshape((channels, 1, length or -1))))
    return node.add(layers.Reshape((made.shape[0], -1)), made)  # type: ignore[index]


def _pairs(node: Node, name: str, default: int = 1) -> tuple[int, int]:
    """Return an attribute of one number for each axis of an image."""
    given = node.attributes.get(name, [default, default])
    if len(given) not in (1, 2):
        raise node.refuse("minifw has one and two axes besides the channels, not more")
    return (default, given[0]) if len(given) == 1 else (given[0], given[1])


def _sizes(node: Node) -> list[Size]:
    """Return the height and the width of x; of one axis alone the height is 1."""
    return [1, *(node.shape or (None, None, None))[1:]][-2:]


def _border(node: Node, kernel: tuple[int, int]) -> list[int]:
    """Return how much is put around x: above, left, below and right."""
    pads = list(node.attributes.get("pads", [0, 0, 0, 0]))
    pads = [0, pads[0], 0, pads[1]] if len(pads) == 2 else pads
    kind = node.attributes.get("auto_pad", "NOTSET")
    if not kind.startswith("SAME"):
        return pads if kind == "NOTSET" else [0, 0, 0, 0]
    total = []
    windows = zip(_sizes(node), kernel, _pairs(node, "strides"), _pairs(node, "dilations"))  # noqa: B905
    for size, k, stride, dilation in windows:
        reach = dilation * (k - 1)
        if stride > 1 and size is None:
            raise node.refuse("its padding depends on a size that is not known")
        over = stride - 1 - ((size or 1) - 1) % stride  # of the last step over the end
        needed = reach - stride + 1 + over if stride > 1 else reach
        if needed < -1:  # ONNX Runtime then begins inside x, others at its edge
            raise node.refuse("its windows are further apart than they are wide")
        total.append(max(needed, 0))
    before = [(n + (kind == "SAME_LOWER")) // 2 for n in total]
    return before + [n - b for n, b in zip(total, before, strict=True)]


def _window(node: Node, kernel: tuple[int, int]) -> tuple[Value, dict[str, Any]]:
    """Return what the windows of a convolution move over, their strides, padding and dilation.

    Where the padding of two sides differs, they move over x with a border around it.
    """
    strides, dilation = _pairs(node, "strides"), _pairs(node, "dilations")
    top, left, bottom, right = _border(node, kernel)
    options: dict[str, Any] = {"stride": strides, "dilation": dilation}
    if (top, left) == (bottom, right):
        return node.x, options | {"padding": (top, left)}
    total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    halves = [n // 2 for n in total] + [n - n // 2 for n in total]
    if strides == (1, 1) and [top, left, bottom, right] == halves:
        return node.x, options | {"padding": "same"}  # one more goes below and to the right
    bordered = by_images(node, layers.Pad2D((left, right, top, bottom)))
    return bordered, options | {"padding": (0, 0)}


@reader("Conv", "ConvTranspose")
def conv(node: Node) -> Value:
    """Read a convolution of images, or along one axis; and one back to front."""
    weight, bias = node.needed(1), node.constant(2)
    turned = node.operator == "ConvTranspose"
    node.expect(kernel_shape=list(weight.shape[2:]))
    if turned:
        node.expect(auto_pad="NOTSET")
        if "output_shape" in node.attributes:
            raise node.refuse("minifw has no output_shape")
    if weight.ndim == 3:
        weight = weight[:, :, np.newaxis]  # an image of height 1
    if weight.ndim != 4:
        raise node.refuse(f"minifw has no convolution with weights of shape {weight.shape}")
    kernel, groups = weight.shape[2:], node.attributes.get("group", 1)
    x, options = _window(node, kernel)
    options |= {"groups": groups, "bias": bias is not None, **in_dtype(weight)}
    kind: type[layers.Conv2D | layers.Conv2DTranspose] = layers.Conv2D
    channels = [weight.shape[1] * groups, len(weight)]  # (out, in / groups, height, width)
    if turned:  # (in, out / groups, height, width)
        if x is not node.x or options["padding"] == "same":
            raise node.refuse("minifw pads both sides alike")
        kind, channels = layers.Conv2DTranspose, channels[::-1]
        options["output_padding"] = _pairs(node, "output_padding", 0)
    layer = plainly(kind, *channels, single(kernel), **options)
    return by_images(replace(node, inputs=[x]), filled(layer, weight=weight, bias=bias))


@reader("MaxPool", "AveragePool")
def pool(node: Node) -> Value:
    """Read the windows, which ONNX by default moves by 1."""
    node.expect(storage_order=0)
    kernel = node.attributes["kernel_shape"]
    if len(kernel) not in (1, 2) or any(n != 1 for n in node.attributes.get("dilations", [1])):
        raise node.refuse("minifw pools over windows of one or two axes without gaps")
    kernel, strides = (1, *kernel)[-2:], _pairs(node, "strides")
    largest, sizes, pads = node.operator == "MaxPool", _sizes(node), _border(node, kernel)
    ends = list(pads)  # with what the last window needs beyond the border
    if node.attributes.get("ceil_mode", 0):
        for axis, (size, k, stride) in enumerate(zip(sizes, kernel, strides, strict=True)):
            if size is None:
                raise node.refuse("ceil_mode=1 depends on a size that is not known")
            before, after = pads[axis], pads[axis + 2]
            steps = -(-(size + before + after - k) // stride)
            steps -= steps * stride >= size + before  # no window begins behind x
            ends[axis + 2] = max(steps * stride + k - size - before, after)
    padding, x = (ends[0], ends[1]), node.x
    if list(padding) != ends[2:] or any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        # What is around the images is smaller than all that is in them.
        outside = -float(np.finfo(np.float32).max) if largest else 0.0
        border = layers.Pad2D((ends[1], ends[3], ends[0], ends[2]), value=outside)
        padding, x = (0, 0), by_images(node, border)
    kind = layers.MaxPool2D if largest else layers.AvgPool2D
    moves = None if strides == kernel else strides
    layer: Layer = plainly(kind, single(kernel), stride=moves, padding=padding)
    made = by_images(replace(node, inputs=[x]), layer)
    counted = bool(node.attributes.get("count_include_pad", 0))
    if largest or not any(ends) or (counted and ends == pads):
        return made
    if None in sizes:
        raise node.refuse("minifw counts the padding, and the sizes are not known")
    if max(sizes) + max(ends) > LARGEST:
        raise node.refuse("its border is larger than minifw reads")
    # A mean of fewer numbers is larger than one that counts the border, too.
    ratios = []
    for axis, (size, k, stride) in enumerate(zip(sizes, kernel, strides, strict=True)):
        places = np.arange(-ends[axis], (size or 0) + ends[axis + 2])
        around = (pads[axis], pads[axis + 2]) if counted else (0, 0)
        inside = (places >= -around[0]) & (places < (size or 0) + around[1])
        upto = np.concatenate([[0], np.cumsum(inside)])  # how many are inside before each place
        ratios.append(k / (upto[k:] - upto[:-k])[::stride])
    claim(node.name, (len(ratios[0]), len(ratios[1])))
    scale = ratios[0][:, np.newaxis] * ratios[1]  # (height, width)
    return node.add(
        layers.Rescaling(scale if made.shape and len(made.shape) == 3 else scale[0]), made
    )


@reader("Pad")
def pad(node: Node) -> Layer:
    """Read a border around images."""
    pads = [int(n) for n in node.given(1, "pads", [])]
    mode = node.attributes.get("mode", "constant")
    modes: dict[str, Any] = {
        "constant": "constant",
        "reflect": "reflect",
        "edge": "replicate",
        "wrap": "circular",
    }
    if node.constant(3) is not None or len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)):
        raise node.refuse("minifw puts a border around images, along their two last axes")
    sides = pads[3], pads[7], pads[2], pads[6]
    return layers.Pad2D(sides, modes[mode], node.number(2, "value", 0.0))


@reader("Resize", "Upsample")
def resize(node: Node) -> Layer:
    """Read images that become larger by whole factors, each pixel a block."""
    place = 2 if node.operator == "Resize" and node.opset > 10 else 1
    scales = np.asarray(node.given(place, "scales", []))
    sizes = node.constant(3)
    known = node.x.sizes
    if sizes is not None and sizes.size and None not in known[2:]:
        scales = np.array([1, 1, *(int(s) / k for s, k in zip(sizes[2:], known[2:], strict=True))])
    node.expect(keep_aspect_ratio_policy="stretch", axes=[0, 1, 2, 3])
    kept = ((BATCH, node.reading.batch), known[1:2])
    if sizes is not None and any(int(s) not in k for s, k in zip(sizes, kept, strict=False)):
        raise node.refuse("minifw makes images larger, not more of them or of their channels")
    factors = [float(scale) for scale in scales]
    way = node.attributes.get("coordinate_transformation_mode", "half_pixel")
    nearest = node.attributes.get("nearest_mode", "round_prefer_floor")
    if node.operator == "Upsample" or node.opset <= 10:
        way, nearest = "asymmetric", "floor"
    blocks = (way, nearest) == ("asymmetric", "floor") or (
        way == "half_pixel" and nearest.startswith("round")
    )
    whole = len(factors) == 4 and factors[:2] == [1, 1] and all(f.is_integer() for f in factors)
    if node.attributes.get("mode", "nearest") != "nearest" or not (blocks and whole):
        raise node.refuse("minifw makes images larger by whole factors, each pixel a block")
    return layers.UpSample2D((int(factors[2]), int(factors[3])))
