"""The verdict on the arguments of an optimizer's constructor: each of them matters."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from minifw.optimizers import Optimizer
from minifw.testing._arguments import VARIADIC, Arguments
from minifw.testing._optimizer_subject import FEW, OptimizerSubject, differing, walk
from minifw.testing._report import NotApplicable
from minifw.typing import Array

__all__ = ["uses_every_argument"]


def uses_every_argument(s: OptimizerSubject) -> None:
    """Change one argument at a time; the optimizer must take another way."""
    kind = type(s.built()[1])
    with _recorded(kind) as calls:
        _, optimizer = s.built()
    if len(calls) != 1:
        raise NotApplicable("the call of its constructor is not to be seen")
    (first, *_), given = inspect.signature(kind).parameters.values(), calls[0]
    if any(p.kind in VARIADIC for p in inspect.signature(kind).parameters.values()):
        raise NotApplicable("the constructor takes any number of arguments")
    # Copied with the others: one of them may hold some of the parameters.
    parameters = {first.name: list(given.pop(first.name))}
    gradients = s.gradients(FEW)

    def way(one: Optimizer) -> list[Array]:
        return walk(one.parameters, one, gradients)

    arguments = Arguments(kind, given, [way], what="optimizer", fixed=parameters)
    if differing(way(arguments.build()), way(optimizer)):
        raise NotApplicable("built anew from its arguments it takes another way")
    arguments.judge()


@contextmanager
def _recorded(kind: Any) -> Iterator[list[dict[str, Any]]]:
    """Write down the arguments of each call of a class, defaults included."""
    calls: list[dict[str, Any]] = []
    signature, init = inspect.signature(kind), kind.__init__
    own = "__init__" in vars(kind)

    def recording(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is kind:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            calls.append(dict(bound.arguments))
        init(self, *args, **kwargs)

    kind.__init__ = recording
    try:
        yield calls
    finally:
        if own:
            kind.__init__ = init
        else:
            del kind.__init__
