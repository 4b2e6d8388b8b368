"""What a callback may do, and which of it each one does."""

from collections.abc import Callable, Container, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from minifw._tools.checks import describe
from minifw.schedules import ReduceOnPlateau, Schedule

__all__ = ["HasHooks", "Hooks", "check_callbacks", "keys_of", "nothing"]

EVENTS = ("fit_begin", "epoch_begin", "backward_end", "batch_end", "epoch_end", "fit_end")

Hook: TypeAlias = Callable[[Any], None]

_F = TypeVar("_F", bound=Callable[..., None])


@runtime_checkable
class HasHooks(Protocol):
    """A callback, as `Trainer` sees it; `minifw.Callback` is one to inherit from."""

    def on_fit_begin(self, trainer: Any) -> None: ...
    def on_epoch_begin(self, trainer: Any) -> None: ...
    def on_backward_end(self, trainer: Any) -> None: ...
    def on_batch_end(self, trainer: Any) -> None: ...
    def on_epoch_end(self, trainer: Any) -> None: ...
    def on_fit_end(self, trainer: Any) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


def nothing(hook: _F) -> _F:
    """Mark a method that does nothing, so that nobody calls it in every batch."""
    vars(hook)["does_nothing"] = True
    return hook


def check_callbacks(owner: str, callbacks: Any) -> list[HasHooks]:
    """Return the callbacks as a list, or raise unless they are some."""
    if isinstance(callbacks, HasHooks) or not isinstance(callbacks, Iterable):
        raise TypeError(f"{owner} expects a list of callbacks, got {describe(callbacks)}")
    found = list(callbacks)
    for callback in found:
        if isinstance(callback, type):
            raise TypeError(
                f"{owner} expects callbacks, got {describe(callback)}; write {callback.__name__}()"
            )
        if isinstance(callback, Schedule | ReduceOnPlateau):
            raise TypeError(
                f"{owner} expects callbacks, got {describe(callback)}; write Scheduled(schedule)"
            )
        if not isinstance(callback, HasHooks):
            raise TypeError(
                f"{owner} expects callbacks, got {describe(callback)}; derive it from "
                "minifw.Callback"
            )
        for name in dir(callback):
            if not name.startswith("on_") or name.removeprefix("on_") in EVENTS:
                continue
            if callable(getattr(callback, name)):  # no setting, such as on_disk=True
                raise TypeError(
                    f"{owner}: {type(callback).__name__}.{name} is no hook; there are "
                    f"{', '.join(f'on_{event}' for event in EVENTS)}"
                )
    return found


def keys_of(callbacks: Iterable[HasHooks]) -> list[str]:
    """Return a name for each callback that a checkpoint finds again: its class and its number."""
    counts: dict[str, int] = {}
    keys = []
    for callback in callbacks:
        name = type(callback).__name__
        counts[name] = counts.get(name, 0) + 1
        keys.append(name if counts[name] == 1 else f"{name} {counts[name]}")
    return keys


class Hooks:
    """The hooks of callbacks: calls those of an event, and knows which are still due.

    ``on_fit_end`` is for the callbacks whose ``on_fit_begin`` returned: one that has begun nothing
    in this run would end an earlier one.

    Attributes
    ----------
    heard : set of str
        The events at which a callback does something.
    event : str or None
        The event whose hooks are being called; it stays where one of them raised.
    """

    def __init__(self, callbacks: Iterable[HasHooks]) -> None:
        callbacks = list(callbacks)
        self._keys = keys = keys_of(callbacks)
        self._of: dict[str, list[tuple[str, Hook]]] = {}
        for event in EVENTS:
            hooks = [getattr(callback, f"on_{event}") for callback in callbacks]
            pairs = zip(keys, hooks, strict=True)
            self._of[event] = [p for p in pairs if not getattr(p[1], "does_nothing", False)]
        self.heard = {event for event, pairs in self._of.items() if pairs}
        self.event: str | None = None
        self._left: list[tuple[str, Hook]] = []
        self._begun: set[str] = set()  # the callbacks that are to hear of the end

    def call(self, event: str, trainer: Any, only: Container[str] | None = None) -> None:
        """Call the hooks of an event in turn, those of all callbacks or of some."""
        pairs = self._of[event]
        if event == "fit_end":
            only = self._begun
        if only is not None:
            pairs = [pair for pair in pairs if pair[0] in only]
        self.event = event
        for index, (key, hook) in enumerate(pairs, 1):
            self._left = pairs[index:]
            if event == "fit_begin":
                self._begun.update(self._keys[: self._keys.index(key)])  # those before it
            hook(trainer)
        if event == "fit_begin":
            self._begun.update(self._keys)
        self.event = None

    def due(self) -> dict[str, Any] | None:
        """Return the event under way, and the keys of the callbacks that have yet to hear of it.

        A checkpoint that a callback makes is one in the middle of an event. None, if there is
        no event under way, or the last one.
        """
        if self.event in (None, "fit_end"):
            return None
        return {"event": self.event, "callbacks": [key for key, _ in self._left]}
