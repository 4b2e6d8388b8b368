"""A model and its loss: which output goes to which loss, joined with its last activation."""

import math
from collections.abc import Callable, Iterable
from typing import Any

from minifw._engine.lines import listed
from minifw._engine.protocols import AnyLayer
from minifw._tools.warn import warn_user
from minifw.errors import NonFiniteError


def joined(
    model: Any, loss: Any, identity: Callable[[], Any]
) -> tuple[Any, Any, list[Any | None]]:
    """Return what runs: the network, the loss after it, and the activations in that loss."""
    network, heads, activations = model, list[Any](), list[Any]()
    for output, head in enumerate(loss._heads()):
        before, last = network.split_last(output) if output else network.split_last()
        joint = None if head is None else head.joined_with(last)
        if head is not None and joint is None and type(last) in head.applies:
            warn_user(
                f"{head!r} applies {type(last).__name__} itself, but the model ends in {last!r}; "
                "leave that out, or take the loss that expects it"
            )
        if joint is not None:
            network = before or identity()
        heads.append(joint or head)
        activations.append(None if joint is None else last)
    return network, loss._with_heads(heads), activations


def takes_several(model: AnyLayer) -> bool:
    """Return whether a tuple is the inputs of a model, and not one of them."""
    names = model.input_names
    return len(names) > 1 or names[0].endswith("*")


def applied(model: AnyLayer, x: Any) -> Any:
    """Return what a model makes of its input, or of the tuple of them."""
    return model(*x) if type(x) is tuple and takes_several(model) else model(x)


def outputs_of(value: Any) -> tuple[Any, ...]:
    """Return what a network gave as a tuple."""
    return value if type(value) is tuple else (value,)


def check_heads(model: AnyLayer, loss: Any) -> None:
    """Raise unless the loss takes as many outputs as the model gives: one, or several."""
    if (len(model.output_names) > 1) is not loss.takes_several:
        raise ValueError(
            "Objective expects a loss for each output of the model, "
            f"{listed(model.output_names)}, got {loss!r}; write SumLoss(*losses), with None "
            "for an output without one"
        )


def check_penalty(model: AnyLayer, penalty: Any) -> None:
    """Raise if a penalty is of parameters whose gradients the model's backward does not set."""
    known = {id(parameter) for _, parameter in model.named_parameters()}
    if any(id(parameter) not in known for parameter in penalty.parameters()):
        raise ValueError(
            f"Objective: {penalty!r} is of a parameter that the model does not have; backward "
            "sets the gradients of the model alone"
        )


def penalised(penalties: Iterable[Any], steps: int) -> float:
    """Return the sum of the penalties, or raise if one is not finite."""
    total = 0.0
    for penalty in penalties:
        value = penalty.forward()
        if not math.isfinite(value):
            raise NonFiniteError(f"{penalty!r} is {value} at step {steps}")
        total += value
    return total
