"""A count of assignments: one number says whether attributes have changed.

A recording of a training step holds as long as nothing was assigned to a layer, to its class
or to a parameter's place. To compare everything before each step would cost more than the step;
to compare a count costs 30 ns.
"""

from abc import ABCMeta
from typing import TYPE_CHECKING, Any


class Changes:
    """How many attributes were assigned or deleted so far, in the whole process."""

    __slots__ = ("classes", "count", "modes")

    def __init__(self) -> None:
        self.count = 0
        self.classes = 0  # of these, to attributes of classes
        self.modes = 0  # apart from these, to `training`


CHANGES = Changes()


class CountsClassChanges(ABCMeta):
    """The class of classes whose attributes, such as methods, are counted when assigned."""

    def __setattr__(cls, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        CHANGES.count += 1
        CHANGES.classes += 1

    def __delattr__(cls, name: str) -> None:
        super().__delattr__(name)
        CHANGES.count += 1
        CHANGES.classes += 1


class CountsChanges(metaclass=CountsClassChanges):
    """Counts the assignments to attributes, but for what a forward saves (``_saved...``)."""

    if not TYPE_CHECKING:  # to mypy, a class that has them would take any attribute

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "training":
                CHANGES.modes += 1
            elif not name.startswith("_saved"):
                CHANGES.count += 1

        def __delattr__(self, name: str) -> None:
            super().__delattr__(name)
            CHANGES.count += 1
            CHANGES.modes += 1
