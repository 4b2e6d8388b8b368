"""Threads take turns with layers that are in eval mode for a moment; a forked child undoes it.

A child process has only the thread that forked. What another thread held or had changed at
that moment would stay so in the child: the child makes its locks new and undoes the
changes. The fork itself waits for nobody, so it cannot block.
"""

import os
from collections.abc import Sequence
from threading import RLock, get_ident
from typing import Any, Protocol
from weakref import WeakSet

from minifw._tools.changes import CHANGES


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


class _Evaluation:
    """The layers that a thread has put into eval mode, and what each had before."""

    __slots__ = ("before", "thread")

    def __init__(self, layers: Sequence[Any]) -> None:
        self.thread = get_ident()
        self.before = {id(one): (one, one.training, one._all_saved()) for one in layers}


class Evaluations:
    """The running evaluations: each puts layers into eval mode for a while.

    A layer has one mode and one saved forward. If two threads evaluate it, the second must not
    restore the eval mode of the first. So running evaluations are in a list, the latest last. One
    that ends before a later one passes on to it what must be restored.

    Attributes
    ----------
    lock : RLock
        Held where a layer enters or leaves eval mode, where one is copied, and during each
        `predict`, so two of them do not mix up what they save. It is one for all layers,
        since models may share layers. A thread that has it may enter again.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self._inside: list[_Evaluation] = []
        mend_after_fork(self)

    def enter(self, layers: Sequence[Any]) -> _Evaluation:
        """Put layers into eval mode."""
        with self.lock:
            evaluation = _Evaluation(layers)
            self._inside.append(evaluation)
            for layer in layers:
                _set_mode(layer, False)
            CHANGES.modes += 1
            return evaluation

    def leave(self, evaluation: _Evaluation) -> None:
        """Give back modes, and what the layers had saved."""
        with self.lock:
            later = self._inside[self._inside.index(evaluation) + 1 :]
            for key, (layer, mode, saved) in evaluation.before.items():
                heirs = [other for other in later if key in other.before]
                if heirs:
                    heirs[0].before[key] = (layer, mode, saved)
                else:
                    _set_mode(layer, mode)
                    layer._put_back(saved)
            self._inside.remove(evaluation)
            CHANGES.modes += 1

    def mode_of(self, layer: Any) -> bool:
        """Return the mode of a layer, not counting what other threads have put it into."""
        inside = [one for one in self._inside if id(layer) in one.before]
        mode: bool = layer.training
        if inside and all(one.thread != get_ident() for one in inside):
            _, mode, _ = inside[0].before[id(layer)]
        return mode

    def _after_fork(self) -> None:
        if self.lock.acquire(blocking=False):
            self.lock.release()
        else:  # held by a thread that the child does not have
            self.lock = RLock()
        for evaluation in self._inside[::-1]:
            if evaluation.thread != get_ident():
                self.leave(evaluation)


def _set_mode(layer: Any, mode: bool) -> None:
    if layer.training is not mode:
        object.__setattr__(layer, "training", mode)  # uncounted, which takes a third of the time


EVALUATIONS = Evaluations()
