"""The metrics that a user lists: each by its name, as one of minifw's or a function."""

import inspect
from collections.abc import Collection, Iterable, Mapping
from typing import Any, TypeAlias

from minifw import metrics as known
from minifw._tools.checks import describe
from minifw.metrics.metric import Metric, MetricFunction

__all__ = ["AnyMetric", "named_metrics"]

TARGET_FIRST = "y_true"  # the first parameter of scikit-learn's metrics, and of Keras'

AnyMetric: TypeAlias = str | Metric | MetricFunction


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
