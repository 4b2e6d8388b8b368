"""The processes that train one model together, as a trainer sees them; mostly one."""

from collections.abc import Callable
from typing import Any, TypeVar

_T = TypeVar("_T")


class Team:
    """One process, which has nobody to wait for, or to tell.

    An optimizer of several processes overrides all of it; `minifw.interop.mpi` has one.
    """

    rank: int = 0
    size: int = 1
    main: bool = True
    torn: bool = False

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
