"""Training on all rows at once, by a method of SciPy: what scikit-learn calls "lbfgs"."""

from functools import partial
from types import SimpleNamespace
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from minifw._engine.prediction import inputs, keeping_modes, survey
from minifw._tools.interrupt import interruptible
from minifw._tools.rows import WHOLE, cast
from minifw._tools.warn import warn_user
from minifw.core.layer import Layer
from minifw.core.objective import Objective
from minifw.interop.sklearn._reading import Rows
from minifw.losses import L2, Loss
from minifw.training import History
from minifw.training.minimize import minimize


def is_at_once(optimizer: Any) -> bool:
    """Return whether it is `minimize`, or a partial of it, and no optimizer of steps."""
    named = isinstance(optimizer, str) and optimizer == "lbfgs"
    return named or getattr(optimizer, "func", optimizer) is minimize


def makes_steps(estimator: Any) -> bool:
    """Return True, or say why there is no `partial_fit`."""
    if is_at_once(estimator.optimizer):
        raise AttributeError(f"optimizer={estimator.optimizer!r} makes no steps: take another")
    return True


def at_once(owner: str, model: Layer, loss: Loss, rows: Rows, use: SimpleNamespace) -> History:
    """Train the model, and return the lowest loss after each iteration."""
    if use.early_stopping or use.schedule is not None or use.callbacks not in ((), []):
        raise ValueError(
            f"{owner} has no epochs with optimizer={use.optimizer!r}, which takes all rows at "
            "once; leave out early_stopping, schedule, callbacks and preset"
        )
    method = use.optimizer
    if isinstance(method, str):
        method = partial(minimize, options={"gtol": use.tol or 0.0})
    penalties = [L2(model, use.weight_decay)] if use.weight_decay else []
    found = survey(model)
    x: Any = inputs(model).rows(owner, rows.x, found.dtype)
    y = cast(rows.target, found.dtype, WHOLE * loss.takes_labels)
    weight = None if rows.weight is None else cast(rows.weight, found.dtype)
    history = History()

    def note(iteration: int, cost: float) -> bool:
        history.append({"loss": cost})
        if use.verbose:
            print(f"iteration {iteration}/{use.max_epochs}  loss {cost:.4f}")  # noqa: T201 - asked
        return interrupt.asked or iteration >= use.max_epochs

    with keeping_modes(found.layers), interruptible() as interrupt:
        model.train()
        objective = Objective(model, loss, penalties=penalties)
        result = method(objective, x.take(slice(None)), y, sample_weight=weight, callback=note)
    when, whole = f"after epoch {len(history)}", len(history) >= use.max_epochs
    if interrupt.asked:
        history.stopped = f"interrupted {when}"
    elif result.success or not whole:
        history.stopped = f"stopped {when}: {result.message}"
    if not (result.success or interrupt.asked or use.tol is None):
        warn_user(
            f"{owner} ended {when}, before it had converged: the largest gradient is "
            f"{result.gradient_norm:.2g}; {'raise max_epochs' if whole else result.message}",
            ConvergenceWarning,
        )
    return history
