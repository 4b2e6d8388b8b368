"""What a callback may do, and which of it each one does."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

from minifw._core.checks import describe

__all__ = ["EVENTS", "HasHooks", "Hook", "check_callbacks", "hooks_of", "keys_of", "nothing"]

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
        if not isinstance(callback, HasHooks):
            raise TypeError(
                f"{owner} expects callbacks, got {describe(callback)}; derive it from "
                "minifw.Callback"
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


def hooks_of(callbacks: Iterable[HasHooks], event: str) -> list[tuple[str, Hook]]:
    """Return the hooks of an event that do something, each with the key of its callback."""
    callbacks = list(callbacks)
    hooks = [getattr(callback, f"on_{event}") for callback in callbacks]
    pairs = zip(keys_of(callbacks), hooks, strict=True)
    return [(key, hook) for key, hook in pairs if not getattr(hook, "does_nothing", False)]
