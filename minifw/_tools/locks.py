"""Threads take turns with what is changed for a moment; a forked child puts it back.

A child process has only the thread that forked. What another thread held or had changed at
that moment would stay so in the child for ever: the child makes its locks new and undoes the
changes. The fork itself waits for nobody, so it cannot block.
"""

import os
from collections.abc import Callable
from threading import RLock, get_ident
from typing import Protocol
from weakref import WeakSet

__all__ = ["TURNS", "Turns", "mend_after_fork"]


class Mendable(Protocol):
    """Has something that another thread may hold or have changed when a process forks."""

    def _after_fork(self) -> None: ...


_MENDABLE: WeakSet[Mendable] = WeakSet()


def mend_after_fork(owner: Mendable) -> None:
    """Call ``owner._after_fork()`` in every child process that is forked from now on."""
    _MENDABLE.add(owner)


def _mend() -> None:
    for owner in list(_MENDABLE):
        owner._after_fork()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_mend)


class Turns:
    """One lock for all layers: its holder may change their modes, and puts them back.

    A layer has one mode and one saved forward. Without turns, the second of two threads that
    predict would take the eval mode of the first for the mode to give back, and a copy made
    meanwhile would stay in eval mode. Models may share layers, so there is one lock.

    Attributes
    ----------
    lock : RLock
        Entered again by the thread that has it: a layer may predict in its forward.
    undo : list of (int, callable)
        For each change under way, the thread, and what takes the change back. It must do no
        harm if it is called twice.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.undo: list[tuple[int, Callable[[], None]]] = []
        mend_after_fork(self)

    def _after_fork(self) -> None:
        while self.undo and self.undo[-1][0] != get_ident():
            self.undo.pop()[1]()
        if self.lock.acquire(blocking=False):
            self.lock.release()
        else:  # held by a thread that the child does not have
            self.lock = RLock()


TURNS = Turns()
