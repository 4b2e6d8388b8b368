"""Newton's and quasi-Newton methods: SciPy's minimisers on the flat vector of parameters."""

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minifw._engine.packing import FlatParameters, check_parameters, why_not_finite
from minifw._tools.arrays import finite_vector
from minifw._tools.checks import check_is
from minifw._tools.extras import needs
from minifw.core.objective import Objective
from minifw.errors import NonFiniteError
from minifw.typing import Array

__all__ = ["MinimizeResult", "minimize"]

Callback = Callable[[int, float], object]

_FIRST_ORDER = ("L-BFGS-B", "BFGS", "CG", "TNC", "SLSQP")
_PRODUCTS = ("Newton-CG", "trust-ncg", "trust-krylov", "trust-constr")  # with H p
_MATRIX = ("trust-exact", "dogleg")  # with H itself
ROUNDING = 100  # times eps: how far two costs may differ where threads cut a product otherwise
METHODS = (*_FIRST_ORDER, *_PRODUCTS, *_MATRIX)


@dataclass(frozen=True)
class MinimizeResult:
    """How `minimize` ended.

    Attributes
    ----------
    cost : float
        The lowest cost, at which the model was left.
    success : bool
        Whether the method's own criterion was met.
    message : str
        Why it stopped, in the method's words.
    method : str
    iterations : int
    evaluations : int
        Of cost and gradient together, those for Hessian-vector products included.
    products : int
        Hessian-vector products, at two evaluations each.
    gradient_norm : float
        The largest element of the gradient there, in absolute value.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, MSELoss, Objective, minimize
    >>> objective = Objective(Dense(1, 1, rng=0), MSELoss())
    >>> x = np.array([[0.0], [1.0], [2.0]])
    >>> result = minimize(objective, x, 2 * x + 1)
    >>> result.success, result.cost < 1e-6
    (True, True)
    """

    cost: float
    success: bool
    message: str
    method: str
    iterations: int
    evaluations: int
    products: int
    gradient_norm: float


def minimize(
    objective: Objective,
    x: Any,
    target: Any,
    method: str = "L-BFGS-B",
    *,
    sample_weight: Array | None = None,
    options: Mapping[str, Any] | None = None,
    callback: Callback | None = None,
) -> MinimizeResult:
    """Minimise the objective on all examples at once by a method of ``scipy.optimize``.

    Cost and exact gradient go to SciPy as functions of one vector, of all parameters. The methods
    fit a quadratic model of the cost: a quasi-Newton method (BFGS, L-BFGS-B) builds its Hessian H
    from the gradients that it meets, Newton's (Newton-CG, trust-ncg and so on) ask for products H
    p.

    Parameters
    ----------
    objective : Objective
    x, target : array, or tuple of arrays
        All examples, as `Objective` takes them: the cost must be a function of the
        parameters alone. A model with `Dropout` or `BatchNorm` has to be in eval mode.
    method : str, default "L-BFGS-B"
        One of L-BFGS-B, BFGS, CG, TNC, SLSQP (gradients); Newton-CG, trust-ncg,
        trust-krylov, trust-constr (with products H p); trust-exact, dogleg (with H, from
        as many products as there are parameters; dogleg for convex costs only).
    sample_weight : array of shape (examples,), optional
        What each example counts in the loss.
    options : mapping, optional
        The method's options in ``scipy.optimize.minimize``, such as ``{"maxiter": 200}``.
    callback : callable, optional
        Called after every iteration as ``callback(iteration, cost)``, with the lowest cost
        so far. It stops the method by returning True, of Python or of NumPy.

    Returns
    -------
    MinimizeResult

    Raises
    ------
    ImportError
        If SciPy is not installed.
    ValueError
        If the method is unknown; or if two forwards on the same batch give two costs, or
        move what a layer keeps, such as running means.
    NonFiniteError
        If a cost or a gradient is not finite.

    Notes
    -----
    However it ends, by an error too, the model is left with the parameters of the lowest
    cost seen. When it ends without one, `objective` has made its last forward and backward
    there.

    H p is the central difference (g(theta + h p) - g(theta - h p)) / (2 h) of the exact
    gradient g. Its error is about eps |g| / (h |p|) from rounding and (h |p|)^2 from the
    third derivative of g; the sum is least near h |p| = eps^(1/3) with theta's own scale, so
    h = eps^(1/3) (1 + |theta|) / |p|, with eps of the parameters' dtype. About ten digits
    of H p are right in float64. (The exact product, Pearlmutter's R-operator, would ask
    every layer for a third method.)

    In float32 SciPy still computes in float64, but a cost is known to seven digits only,
    and line searches soon find no lower one: use float64 with these methods.

    References
    ----------
    J. Nocedal and S. J. Wright, "Numerical optimization", 2nd edition, 2006: chapters 6
    (BFGS), 7 (L-BFGS, Newton-CG), 4 (trust regions) and 8.1 (differences).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import BCELoss, Dense, Objective, Sequential, Sigmoid, minimize
    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((100, 2))
    >>> target = (x[:, :1] + 0.5 * rng.standard_normal((100, 1)) > 0).astype(float)
    >>> objective = Objective(Sequential(Dense(2, 1, rng=0), Sigmoid()), BCELoss())
    >>> result = minimize(objective, x, target, method="BFGS")
    >>> result.success, result.gradient_norm < 1e-5, result.iterations < 30
    (True, True, True)
    """
    with needs("minimize", "SciPy", "scipy"):
        from scipy.optimize import minimize as scipy_minimize  # noqa: PLC0415 - optional
    check_is("minimize", "an objective", objective, Objective)
    names = {name.lower(): name for name in METHODS}
    if not isinstance(method, str) or method.lower() not in names:
        raise ValueError(
            f"minimize expects method to be one of {', '.join(METHODS)}; got {method!r}"
        )
    method = names[method.lower()]
    search = _Search(objective, (x, target, sample_weight), callback)
    try:
        found = scipy_minimize(
            search.evaluate,
            search.start,
            method=method,
            jac=True,
            hess=search.matrix if method in _MATRIX else None,
            hessp=search.product if method in _PRODUCTS else None,
            callback=search.report,
            options=None if options is None else dict(options),
        )
        success, message = bool(found.success), str(found.message)
    except _StopError:
        success, message = False, "the callback asked to stop"
    finally:
        search.place(search.best)  # by an error, too
    gradient = search.gradient_at(search.best)
    return MinimizeResult(
        cost=search.best_cost,
        success=success,
        message=message,
        method=method,
        iterations=search.iterations,
        evaluations=search.evaluations,
        products=search.products,
        gradient_norm=float(np.abs(gradient).max()),
    )


class _StopError(Exception):
    """The callback asked to stop."""


class _Search:
    """The objective as functions of one float64 vector, with the best point so far."""

    def __init__(
        self, objective: Objective, batch: tuple[Any, Any, Any], callback: Callback | None
    ) -> None:
        self.objective, self.batch, self.callback = objective, batch, callback
        _check_steady(objective, batch)
        objective.forward(*batch)  # a layer may make its parameters in its first forward
        self.vector = FlatParameters(
            "minimize", check_parameters("minimize", objective.model.parameters())
        )
        self.start: Array = self.vector.values.astype(np.float64)
        self.step = float(np.finfo(self.vector.values.dtype).eps) ** (1 / 3)
        self.best: Array = self.start.copy()
        self.best_cost = math.inf
        self.iterations = self.evaluations = self.products = 0

    def evaluate(self, theta: Array) -> tuple[float, Array]:
        """Return cost and gradient at `theta`."""
        self.place(theta)
        cost = self.objective.forward(*self.batch)
        if cost < self.best_cost:
            self.best, self.best_cost = theta.copy(), cost
        return cost, self.gradient()

    def product(self, theta: Array, p: Array) -> Array:
        """Return H p at `theta`, by a central difference of the gradient."""
        self.products += 1
        length = float(np.linalg.norm(p))
        if length == 0.0:
            return np.zeros_like(p)
        h = self.step * (1 + float(np.linalg.norm(theta))) / length
        change = self.gradient_at(theta + h * p) - self.gradient_at(theta - h * p)
        product: Array = change / (2 * h)
        return product

    def matrix(self, theta: Array) -> Array:
        """Return H at `theta`: a product with each axis, made symmetric."""
        hessian: Array = np.stack([self.product(theta, axis) for axis in np.eye(theta.size)])
        return (hessian + hessian.T) / 2

    def report(self, *_: object) -> None:
        """Count an iteration; SciPy's methods call it with different things."""
        self.iterations += 1
        if self.callback is not None:
            answer = self.callback(self.iterations, self.best_cost)
            if isinstance(answer, bool | np.bool_) and answer:  # and not whatever is not empty
                raise _StopError

    def place(self, theta: Array) -> None:
        """Put the model at `theta`."""
        if self.vector.memory.moved:  # the callback built an optimizer
            self.vector.refresh()
        self.vector.values[...] = theta

    def gradient_at(self, theta: Array) -> Array:
        """Return the gradient at `theta`."""
        self.place(theta)
        self.objective.forward(*self.batch)
        return self.gradient()

    def gradient(self) -> Array:
        """Return the gradient of the latest forward."""
        self.objective.backward()
        self.evaluations += 1
        if not finite_vector(self.vector.grads):
            why = why_not_finite(self.vector.parameters)
            raise NonFiniteError(f"minimize: {why}")
        gradient: Array = self.vector.grads.astype(np.float64)  # a copy: SciPy keeps it
        return gradient


def _check_steady(objective: Objective, batch: tuple[Any, Any, Any]) -> None:
    """Raise if a forward draws random numbers or moves buffers; a copy of the objective runs."""
    twin = copy.deepcopy(objective)
    first = twin.forward(*batch)
    before = copy.deepcopy(dict(twin.model.named_buffers()))
    second = twin.forward(*batch)
    after = dict(twin.model.named_buffers())
    moved = [n for n in after if not np.array_equal(before[n], after[n], equal_nan=True)]
    eps = max((np.finfo(p.dtype).eps for p in twin.model.parameters()), default=0.0)
    if abs(second - first) <= ROUNDING * eps * abs(first) and not moved:
        return
    what = f"moves {moved[0]}" if moved else f"gives {first:.6g} once and {second:.6g} then"
    fix = "; leave out Dropout and BatchNorm, or put the model into eval mode: model.eval()"
    training = any(layer.training for _, layer in twin.model._all_layers())
    raise ValueError(
        "minimize expects a cost that depends on the parameters alone, but a forward on the same "
        f"batch {what}{fix * training}"
    )
