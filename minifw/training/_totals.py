"""The values of an epoch, added up batch by batch."""

import copy
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from minifw._tools.checks import describe
from minifw._tools.numbers import check_number
from minifw.core.objective import Objective
from minifw.errors import NonFiniteError
from minifw.metrics.metric import Metric, MetricFunction
from minifw.typing import Array, Target


def part_columns(objective: Objective) -> list[str]:
    """Return the names of the columns for the parts of the loss: none, if there is one output."""
    losses = getattr(objective.loss, "losses", ())
    pairs = zip(objective.model.output_names, losses, strict=False)
    return [f"loss_{name}" for name, loss in pairs if loss is not None]


class _Parts(Metric):
    """The parts of a loss of several outputs, and last the penalties.

    The sums are those of each, times what it counts, and of what it counts.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__("loss", higher_is_better=False)
        self._objective = objective

    def checked(self, prediction: Any, target: Any, weight: Any = None, _: Any = None) -> Array:
        """Return the sums of the batch of the latest forward."""
        loss: Any = self._objective.loss
        counts = loss.total_weights(prediction[0], target, weight)
        weights = np.array([*counts, sum(counts)])
        return np.array([weights * [*loss.parts, self._objective.penalty()], weights])

    def measure(self, *_: Any) -> Array:  # `checked` does it
        raise NotImplementedError

    def value(self, sums: Array) -> float:
        """Return the loss of all batches."""
        *parts, penalties = self.means(sums)
        loss: Any = self._objective.loss
        return float(loss.combined(parts) + penalties)

    def means(self, sums: Array) -> list[float]:
        """Return the mean of each part over all batches, 0 where nothing counts."""
        return [total / count if count else 0.0 for total, count in sums.T.tolist()]


class Totals:
    """The loss and the metrics of the batches so far, as sums that go into a checkpoint.

    For a loss of several outputs, the sums of its parts are among the metrics' sums.
    """

    def __init__(
        self, metrics: Mapping[str, Metric | MetricFunction], objective: Objective
    ) -> None:
        loss: Any = objective.loss
        self._columns = part_columns(objective)
        self._metrics: Mapping[str, Any] = metrics
        self._midpoint = loss.midpoint
        if self._columns:
            self._midpoint = tuple([(one or loss).midpoint for one in loss.losses])
            self._metrics = {"loss": _Parts(objective), **metrics}
        self.loss, self.weight = 0.0, 0.0
        self._sums: dict[str, Array] = {}
        self._kept: list[tuple[Any, Any]] = []  # for functions of the whole
        self.measured = bool(self._metrics)
        self._keeps = any(not isinstance(metric, Metric) for metric in metrics.values())

    def measure(self, prediction: Any, target: Any, weight: Any) -> None:
        """Add the metrics of a batch."""
        for name, metric in self._metrics.items():
            if isinstance(metric, Metric):
                self._add(name, metric.checked(prediction, target, weight, self._midpoint))
        if self._keeps:
            # copies: a prediction may be a view of what the model saved
            self._kept.append(copy.deepcopy((prediction, target)))

    def _add(self, name: str, new: Any) -> None:
        """Add sums of a metric to those so far."""
        old = self._sums.get(name)
        self._sums[name] = new if old is None else self._metrics[name].merge(old, new)

    def values(self) -> dict[str, float]:
        """Return the loss and the metrics of all batches together."""
        if self.weight < sys.float_info.min:  # below it, a product loses digits
            raise ValueError(
                "no example counts: all of sample_weight, or of their classes', are 0, or next "
                "to it"
            )
        if not (math.isfinite(self.loss) and math.isfinite(self.weight)):
            raise NonFiniteError(
                "the sum of the losses of an epoch, each times its weight, is not finite, though "
                "each loss is; scale sample_weight, or the loss, down"
            )
        if self.measured and not (self._sums or self._kept):
            raise RuntimeError(
                "Trainer.step of a subclass calls self.measure(prediction, y, weight) where there "
                "are metrics or several losses; it did not"
            )
        found = {"loss": self.loss / self.weight}
        whole = self._whole() if self._keeps else ()
        for name, metric in self._metrics.items():
            if isinstance(metric, Metric):
                found[name] = metric.value(self._sums[name])
                if isinstance(metric, _Parts):
                    found.update(zip(self._columns, metric.means(self._sums[name]), strict=False))
            else:
                found[name] = _number(name, metric, *whole)
        return found

    def _whole(self) -> tuple[Any, Any]:
        predictions, targets = zip(*self._kept, strict=True)
        return _joined(predictions), _joined(targets)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums."""
        kept = list(self._whole()) if self._kept else []
        sums = copy.deepcopy(self._sums)
        return {"loss": self.loss, "weight": self.weight, "sums": sums, "kept": kept}

    def merge(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Take over the metrics of several `state_dict`s, as of one stream of batches."""
        self._sums, self._kept = {}, []
        for state in states:
            for name, new in state["sums"].items():
                self._add(name, new)
            if state["kept"]:
                self._kept.append((state["kept"][0], state["kept"][1]))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, or raise if these are no sums of the metrics."""
        owner = "Totals.load_state_dict"
        self.loss = check_number(owner, "loss", state["loss"])
        self.weight = check_number(owner, "weight", state["weight"])
        self.merge([state])
        for name, sums in self._sums.items():
            metric = self._metrics[name]
            if isinstance(metric, Metric):
                metric.merge(sums, sums)
                check_number(owner, name, metric.value(sums))


def _joined(parts: Sequence[Any]) -> Any:
    """Return the arrays of several batches as one, or a tuple of them; a file has lists."""
    if isinstance(parts[0], tuple | list):
        return tuple([_joined(one) for one in zip(*parts, strict=True)])
    return None if parts[0] is None else np.concatenate(parts)


def _number(
    name: str, metric: Callable[[Array, Target], Any], prediction: Array, target: Target
) -> float:
    value = metric(prediction, target)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(
            f"the metric {name!r} must return a number, it returned {describe(value)}"
        ) from None
