"""Normalisations as layers."""

from typing import Any

import numpy as np

from minifw import layers
from minifw.core.layer import Layer
from minifw.interop.onnx._reading.images import by_images
from minifw.interop.onnx._reading.values import Node, Value, filled, in_dtype, plainly, reader


@reader("BatchNormalization")
def batch_norm(node: Node) -> Layer | Value:
    """Read the running statistics, as in inference."""
    node.expect(training_mode=0, spatial=1)
    weight, bias, mean, var = (node.needed(index) for index in range(1, 5))
    epsilon = float(node.attributes.get("epsilon", 1e-5))
    if not epsilon >= 0.0:
        raise node.refuse(f"minifw needs an epsilon of 0 or above, not {epsilon}")
    # One of 0, as of a variance that has it already, is the smallest that there is.
    eps = max(epsilon, float(np.finfo(mean.dtype).tiny))
    layer = layers.BatchNorm(mean.size, eps=eps, **in_dtype(mean))
    filled(layer, weight=weight, bias=bias, running_mean=mean, running_var=var)
    return layer if node.shape is None or len(node.shape) in (1, 3) else by_images(node, layer)


@reader("LayerNormalization", "RMSNormalization")
def layer_norm(node: Node) -> Value:
    """Read a scale, and a bias that may be missing, of the last axes."""
    weight, bias = node.needed(1), node.constant(2)
    axis = node.attributes.get("axis", -1)
    if axis > 0 and node.shape is not None:
        axis -= len(node.shape) + 1
    if axis != -weight.ndim:
        raise node.refuse(f"minifw needs a scale of the normalised axes, not {weight.shape}")
    if node.shape is not None and weight.ndim > len(node.shape):
        raise node.refuse("minifw has no normalisation along the batch")
    x = node.x.told(*weight.shape)
    options: dict[str, Any] = {"eps": node.attributes.get("epsilon", 1e-5), **in_dtype(weight)}
    if node.operator == "RMSNormalization":
        return node.add(filled(plainly(layers.RMSNorm, weight.shape, **options), weight=weight), x)
    bias = np.zeros_like(weight) if bias is None else bias
    layer = plainly(layers.LayerNorm, weight.shape, **options)
    return node.add(filled(layer, weight=weight, bias=bias), x)


@reader("InstanceNormalization", "GroupNormalization")
def group_norm(node: Node) -> Layer:
    """Read a normalisation over groups of channels; each is a group of InstanceNormalization."""
    weight, bias = node.needed(1), node.needed(2)
    channels = (node.shape or (None,))[0]
    groups = node.attributes.get("num_groups", channels)
    if channels is None or weight.size != channels:  # of one scale a group, before operator set 21
        raise node.refuse("minifw needs one scale for each channel")
    eps = node.attributes.get("epsilon", 1e-5)
    layer = plainly(layers.GroupNorm, groups, channels, eps=eps, **in_dtype(weight))
    return filled(layer, weight=weight, bias=bias)
