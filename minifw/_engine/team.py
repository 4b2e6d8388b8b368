"""The processes that train one model together, as a trainer sees them; mostly one, `Alone`."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar, runtime_checkable

_T = TypeVar("_T")


@runtime_checkable
class Team(Protocol):
    """An optimizer that shares out the rows of a batch; `minifw.interop.mpi` has one."""

    rank: int
    size: int
    main: bool
    torn: bool

    def prepare(self, model: Any) -> None: ...
    def scatter(self, model: Any) -> None: ...
    def together(self, work: Callable[[], _T]) -> list[_T]: ...
    def tell(self, error: BaseException) -> None: ...
    def heard(self, asked: bool) -> bool: ...
    def gradient(
        self,
        objective: Any,
        x: Any,
        target: Any,
        sample_weight: Any = None,
        *,
        measure: Callable[[Any, Any, Any], None] | None = None,
        asked: bool = False,
    ) -> float: ...


class Alone:
    """A team of one process: there is nobody to wait for, or to tell."""

    rank, size, main, torn = 0, 1, True, False

    def prepare(self, model: Any) -> None:
        """Leave the model as it is."""

    def scatter(self, model: Any) -> None:
        """Leave its generators as they are."""

    def together(self, work: Callable[[], _T]) -> list[_T]:
        """Return what the work returns."""
        return [work()]

    def tell(self, error: BaseException) -> None:
        """Tell nobody."""

    def heard(self, asked: bool) -> bool:
        """Return whether training is to end after this batch: whether this process was asked."""
        return asked

    def gradient(
        self,
        objective: Any,
        x: Any,
        target: Any,
        sample_weight: Any = None,
        *,
        measure: Callable[[Any, Any, Any], None] | None = None,
        asked: bool = False,  # noqa: ARG002 - for `heard` of several processes
    ) -> float:
        """Set the gradient of a batch, and return its loss."""
        loss: float = objective.forward(x, target, sample_weight)
        if measure is not None:  # now, for a callback may run another forward
            measure(objective.prediction, target, sample_weight)
        objective.backward()
        return loss
