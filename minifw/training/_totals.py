"""The values of an epoch, added up batch by batch."""

import copy
import inspect
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from minifw import metrics as known
from minifw._tools.checks import describe
from minifw._tools.numbers import check_number
from minifw.core.objective import Objective
from minifw.errors import NonFiniteError
from minifw.metrics.metric import Metric, MetricFunction
from minifw.typing import Array, Target

TARGET_FIRST = "y_true"  # the first parameter of scikit-learn's metrics, and of Keras'

AnyMetric: TypeAlias = str | Metric | MetricFunction


def part_columns(objective: Objective) -> list[str]:
    """Return the names of the columns for the parts of the loss: none, if there is one output."""
    losses = getattr(objective.loss, "losses", ())
    pairs = zip(objective.model.output_names, losses, strict=False)
    return [f"loss_{name}" for name, loss in pairs if loss is not None]


def named_metrics(
    owner: str, metrics: Any, taken: Collection[str]
) -> dict[str, Metric | MetricFunction]:
    """Return the metrics by name, or raise unless they are some, each with a name of its own."""
    if isinstance(metrics, str | Metric) or callable(metrics):
        raise TypeError(f"{owner} expects a list of metrics, got {metrics!r}; write [{metrics!r}]")
    if isinstance(metrics, Mapping):
        pairs = [(str(name), _metric(owner, metric)) for name, metric in metrics.items()]
    elif isinstance(metrics, Iterable):
        found = [_metric(owner, metric) for metric in metrics]
        pairs = [(_name(owner, metric), metric) for metric in found]
    else:
        raise TypeError(f"{owner} expects a list of metrics, got {describe(metrics)}")
    names = [name for name, _ in pairs]
    for name in names:
        if name in ("loss", "epoch", *taken) or name.startswith("val_"):
            raise ValueError(f"{owner}: the name {name!r} of a metric is taken; choose another")
        if names.count(name) > 1:
            raise ValueError(
                f"{owner} expects every metric to have a name of its own, got {name!r} twice; "
                'name them: metrics={"first": ..., "second": ...}'
            )
    return dict(pairs)


def _metric(owner: str, metric: Any) -> Metric | MetricFunction:
    if isinstance(metric, str):
        builtin = [name for name in known.__all__ if name != "Metric"]
        if metric not in builtin:
            raise ValueError(
                f"{owner} expects the name of a metric to be one of {', '.join(builtin)}; got "
                f"{metric!r}"
            )
        found: Metric = getattr(known, metric)
        return found
    if isinstance(metric, type) or not callable(metric):
        raise TypeError(
            f"{owner} expects every metric to be one of minifw.metrics or a function "
            f"(prediction, target) -> float, got {describe(metric)}"
        )
    function: Metric | MetricFunction = metric
    _check_order(owner, function)
    return function


def _check_order(owner: str, function: Any) -> None:
    """Raise if a function names its first parameter as those do that take the target first."""
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):  # of something written in C
        return
    if names[:1] == [TARGET_FIRST]:
        name = getattr(function, "__name__", "metric")
        raise TypeError(
            f"{owner} calls every metric with (prediction, target), but {name} takes the target "
            f'first, as {TARGET_FIRST}; write metrics={{"{name}": lambda prediction, target: '
            f"{name}(target, prediction)}}"
        )


def _name(owner: str, metric: Metric | MetricFunction) -> str:
    if isinstance(metric, Metric):
        return metric.name
    name = getattr(metric, "__name__", "<lambda>")
    if name == "<lambda>":
        raise ValueError(
            f'{owner} expects every metric to have a name; name it: metrics={{"name": ...}}'
        )
    return str(name)


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

    Of a loss of several outputs the sums of its parts are among those of the metrics.
    """

    def __init__(
        self, metrics: Mapping[str, Metric | MetricFunction], objective: Objective
    ) -> None:
        loss: Any = objective.loss
        self._columns, self._metrics = part_columns(objective), metrics
        self._midpoint = loss.midpoint
        if self._columns:
            self._midpoint = tuple([(one or loss).midpoint for one in loss.losses])
            self._metrics = metrics = {"loss": _Parts(objective), **metrics}
        self.loss, self.weight = 0.0, 0.0
        self._sums: dict[str, Array] = {}
        self._kept: list[tuple[Any, Any]] = []  # for functions of the whole
        self.measured = bool(metrics)
        self._keeps = any(not isinstance(metric, Metric) for metric in metrics.values())

    def measure(self, prediction: Any, target: Any, weight: Any) -> None:
        """Add the metrics of a batch."""
        for name, metric in self._metrics.items():
            if isinstance(metric, Metric):
                new = metric.checked(prediction, target, weight, self._midpoint)
                old = self._sums.get(name)
                self._sums[name] = new if old is None else metric.merge(old, new)
        if self._keeps:
            # copies: a prediction may be a view of what the model saved
            self._kept.append(copy.deepcopy((prediction, target)))

    def values(self) -> dict[str, float]:
        """Return the loss and the metrics of all batches together."""
        if self.weight < np.finfo(float).tiny:  # below it, a product loses digits
            raise ValueError(
                "no example counts: all of sample_weight, or of their classes', are 0, or next "
                "to it"
            )
        if not (math.isfinite(self.loss) and math.isfinite(self.weight)):
            raise NonFiniteError(
                "the sum of the losses of an epoch, each times its weight, is not finite, though "
                "each loss is; scale sample_weight, or the loss, down"
            )
        found = {"loss": self.loss / self.weight}
        whole = self._whole() if self._keeps else None
        for name, metric in self._metrics.items():
            if isinstance(metric, Metric):
                found[name] = metric.value(self._sums[name])
                if isinstance(metric, _Parts):
                    found.update(zip(self._columns, metric.means(self._sums[name]), strict=False))
            elif whole is not None:
                found[name] = _number(name, metric, *whole)
        return found

    def _whole(self) -> tuple[Any, Any]:
        predictions, targets = zip(*self._kept, strict=True)
        return _joined(predictions), _joined(targets)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums."""
        kept = list(self._whole()) if self._kept else []
        return {
            "loss": self.loss,
            "weight": self.weight,
            "sums": copy.deepcopy(self._sums),
            "kept": kept,
        }

    def merge(self, states: Iterable[Mapping[str, Any]]) -> None:
        """Take over the metrics of several `state_dict`s, as of one stream of batches."""
        self._sums, self._kept = {}, []
        for state in states:
            for name, new in state["sums"].items():
                metric, old = self._metrics[name], self._sums.get(name)
                if isinstance(metric, Metric):
                    self._sums[name] = new if old is None else metric.merge(old, new)
            if state["kept"]:
                self._kept.append((state["kept"][0], state["kept"][1]))

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned, or raise if these are no sums of the metrics."""
        owner = "Totals.load_state_dict"
        self.loss = check_number(owner, "loss", state["loss"])
        self.weight = check_number(owner, "weight", state["weight"])
        self._sums = dict(state["sums"])
        self._kept = [(state["kept"][0], state["kept"][1])] if state["kept"] else []
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
