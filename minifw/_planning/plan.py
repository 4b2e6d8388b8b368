"""Plans, and when there is one."""

import copy
from typing import Any, TypeAlias

import numpy as np

from minifw._engine.packing import Memory
from minifw._planning.heads import BinaryHead, Head
from minifw._planning.stages import LAYERS, Call, Product
from minifw.core.layer import Layer
from minifw.layers import Dense, Sequential
from minifw.losses import Loss
from minifw.typing import Array, Target

__all__ = ["Plan", "Plans", "leaves"]

METHODS = ("forward", "backward", "backward_parameters", "save", "saved")
KEPT = 2  # shapes of batches: all of an epoch, and its last

Key: TypeAlias = tuple[Any, ...]
"""What two batches must have in common to share a plan: shapes and dtypes of x and target."""


class Plan:
    """The calls of a step on batches of one shape.

    Attributes
    ----------
    output : array
        What the last layer gave, which the next step writes over.
    """

    def __init__(self, body: Layer, layers: list[Layer], head: Loss, key: Key) -> None:
        self.shape, self.target_shape, self.dtype, self.target_dtype = key
        self._first = first = Product(layers[0], key[0][0])
        y, spare = first.y, True
        self._forward, self._stages = first.add_bias(), []
        self._caches: list[tuple[Layer, tuple[Array, ...]]] = []
        for layer in layers[1:]:
            stage = LAYERS[type(layer)](layer, y, spare)
            y, spare = stage.y, stage.spare
            self._forward += stage.forward
            self._stages.append(stage)
            self._caches.append((layer, stage.saved))
        self.output = y
        target = self.target_shape, self.target_dtype
        kind = BinaryHead if BinaryHead.suits(head, y, target) else Head
        self._head = kind(head, y)
        self._dy: Array | None = None  # what the head gives; known at the first backward
        self._backward: list[Call] = []
        self._attributes = [(vars(one), len(vars(one))) for one in (body, head, *layers)]
        self._parameters = [
            (vars(layer), layer.weight, layer.bias) for layer in layers if isinstance(layer, Dense)
        ]
        memories = {id(memory): memory for layer in layers for memory in _memories(layer)}
        self._memories = tuple(memories.values())

    def holds(self) -> bool:
        """Return whether model and loss still are what was planned."""
        for memory in self._memories:
            if memory.moved:
                return False
        for attributes, weight, bias in self._parameters:
            if attributes["weight"] is not weight or attributes["bias"] is not bias:
                return False
        for attributes, count in self._attributes:  # noqa: SIM110 - all() takes twice as long
            if len(attributes) != count:  # a method was put in, as by who looks into a layer
                return False
        return True

    def forward(self, x: Array, target: Target) -> float:
        """Return the loss."""
        head = self._head
        head.take(target)
        self._x = x
        self._first.times(x)
        for call in self._forward:
            call()
        for call in head.forward_calls:
            call()
        vars(self._first.layer)["_saved"] = (x,)
        for layer, saved in self._caches:
            vars(layer)["_saved"] = saved
        return head.value()

    def backward(self) -> None:
        """Set the gradients of all parameters."""
        for call in self._head.backward_calls:
            call()
        dy = self._head.slope()
        if self._dy is None:
            self._plan_backward(dy)
        elif dy is not self._dy:
            np.copyto(self._dy, dy)
        for call in self._backward:
            call()
        self._dy_of_first.T.dot(self._x, self._first.weight_grad)

    def _plan_backward(self, dy: Array) -> None:
        self._dy = dy if isinstance(self._head, BinaryHead) else dy.copy("K")
        dy = self._dy
        for stage in reversed(self._stages):
            calls, dy = stage.backward(dy)
            self._backward += calls
        self._backward += self._first.to_bias(dy)
        self._dy_of_first = dy


class Plans:
    """The plans of an objective, by the shape of the batch."""

    def __init__(self, body: Layer, head: Loss) -> None:
        self._body, self._head = body, head
        # Asked once: a model that cannot be planned shall not pay for it at every step.
        layers = leaves(body)
        known = isinstance(layers[0], Dense) and all(type(layer) in LAYERS for layer in layers)
        self._layers = layers if known else []
        self._plans: list[Plan] = []  # the latest made first
        self._seen: list[Key] = []

    def of(self, x: Array, target: Target) -> Plan | None:
        """Return a plan for this batch, or None if there is none, or not yet."""
        if not self._layers or type(x) is not np.ndarray or type(target) is not np.ndarray:
            return None
        for plan in self._plans:
            if (
                x.shape == plan.shape
                and target.shape == plan.target_shape
                and x.dtype == plan.dtype  # not "is": an array out of a pickle has its own
                and target.dtype == plan.target_dtype
            ):
                if plan.holds():
                    return plan
                self._plans.remove(plan)
                break
        return self._new((x.shape, target.shape, x.dtype, target.dtype))

    def _new(self, key: Key) -> Plan | None:
        if key not in self._seen:  # a batch of a shape that never comes again needs no plan
            self._seen = [key, *self._seen[: KEPT - 1]]
            return None
        if not _can_be_planned(self._layers, key):
            return None
        plan = Plan(self._body, self._layers, self._head, key)
        self._plans = [plan, *self._plans[: KEPT - 1]]
        return plan

    def __deepcopy__(self, memo: dict[int, Any]) -> "Plans":
        """Return none: plans hold arrays of their own model."""
        return Plans(copy.deepcopy(self._body, memo), copy.deepcopy(self._head, memo))

    def __reduce__(self) -> tuple[Any, ...]:
        return Plans, (self._body, self._head)


def leaves(body: Layer) -> list[Layer]:
    """Return the layers that run one after the other."""
    if type(body) is not Sequential:
        return [body]
    return [leaf for layer in body for leaf in leaves(layer)]


def _memories(layer: Layer) -> list[Memory]:
    return [parameter._memory for parameter in layer.parameters()]


def _can_be_planned(layers: list[Layer], key: Key) -> bool:
    """Whether x fits, and an optimizer has its parameters in place, so that they stay."""
    first: Any = layers[0]
    shape, _, dtype, _ = key
    return (
        shape[1:] == first.input_shape
        and shape[0] > 0
        and dtype == first.weight.dtype
        and all(m.packed and not m.moved for layer in layers for m in _memories(layer))
        and not any(name in vars(layer) for layer in layers for name in METHODS)
    )
