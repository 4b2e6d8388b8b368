"""A regressor made of layers."""

import copy
from functools import partial
from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import d2_pinball_score
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from minifw._tools.checks import describe
from minifw._tools.numbers import check_flag
from minifw.core.layer import Layer
from minifw.initializers import Zeros
from minifw.interop.sklearn._at_once import makes_steps
from minifw.interop.sklearn._estimator import NetworkEstimator
from minifw.interop.sklearn._reading import Rows
from minifw.layers import Dense, Increasing, Sequential
from minifw.losses import Loss, MSELoss
from minifw.typing import Array, Target

# What stands for the names of losses that scikit-learn's regressors have.
LOSSES = {
    "squared_error": "MSELoss()",
    "absolute_error": "L1Loss()",
    "huber": "HuberLoss()",
}


class NetworkRegressor(RegressorMixin, NetworkEstimator):  # type: ignore[misc] # no types
    """A network that predicts a number for each example, or several.

    Parameters
    ----------
    hidden_layers : sequence of int and Layer, default (100,)
        A whole number is a `Dense` layer of that width with the activation behind it; a layer
        is that layer. A last `Dense` gives what the target asks for. Layers are built again from
        their arguments in each `fit`, and draw from `random_state` unless they name an `rng`.
    activation : str, class of layers, or Layer, default "relu"
        What stands behind each width: "relu", "tanh", "logistic" or "sigmoid", "identity",
        "elu", "gelu", "leaky_relu", "selu", "silu", "softplus"; or `Tanh`, or `LeakyReLU(0.1)`.
    network : function (in_features, out_features, rng) -> Layer, or Layer, optional
        Builds the whole network, in place of the two above. It gives as many
        numbers as `y` has columns.
    loss : Loss, optional
        `MSELoss()` by default, the mean of the squares; or `HuberLoss()`, `L1Loss()`, ...
        With `PinballLoss` the network gives its quantiles, which do not cross (`Increasing`).
    optimizer : str, class or function, default "adam"
        "adam", "adamw", "sgd", "rmsprop", "adagrad"; or what is called as
        ``optimizer(parameters, lr=lr)``, such as ``partial(SGD, momentum=0.9)``. "lbfgs", which
        is often the best for some hundred rows, takes all rows at once by `minimize`, as
        ``partial(minimize, method="BFGS")`` does: without `partial_fit`, `early_stopping`,
        `schedule` and `callbacks`; `weight_decay` counts in the loss, and `max_epochs` are its
        iterations.
    lr : float, default 0.001
        The learning rate.
    weight_decay : float, default 0.0
        The optimizer's, on weights and not on biases: weight_decay times a weight is added to
        its gradient ("adamw": lr times that is subtracted in each step).
        ``MLPRegressor(alpha=a)``, whose loss of one column is half of that here, is
        ``weight_decay=2 * a / batch_size``.
    batch_size : int, "auto" or None, default "auto"
        The rows of a step: "auto" is 200, or all if there are fewer; None is all.
    max_epochs : int, default 200
    shuffle : bool, default True
        Whether the rows are put in a new order for each epoch.
    tol : float or None, default 1e-4
        `fit` ends when the training loss has not been `tol` below the lowest so far for
        `n_iter_no_change` epochs; None trains for `max_epochs`. Of "lbfgs" it is the largest
        element of the gradient at which that ends.
    n_iter_no_change : int, inf or None, default 10
        None, as infinity, never stops; with `early_stopping` the best epoch is kept all the same.
    early_stopping : bool, default False
        Whether to hold the loss of a validation part to that in place of the training loss, and
        to take the weights of the epoch in which it was lowest.
    validation_fraction : float, default 0.1
        The share of the rows that early stopping sets aside, if `fit` gets no ``X_val``.
    callbacks : sequence of Callback, or of functions (trainer) -> Callback, default ()
        Copies are called in each `fit`. What needs the trainer, or cannot be copied, comes as a
        function. A lambda cannot be pickled, and so neither can the estimator; a function of a
        module can.
    warm_start : bool, default False
        Whether `fit` continues from the weights and the optimizer that it finds, with the learning
        rate of the start. A new `lr` or `weight_decay` takes effect; another network or optimizer
        is an error.
    verbose : bool, default False
        Whether `Progress` is shown.
    random_state : int, RandomState or None, default None
        Where weights, orders, noise and the validation part come from.
    preset : {"realmlp"} or None, default None
        A recipe, in place of the parameters that have their defaults: "realmlp" is RealMLP-TD-S
        (Holzmüller, Grinsztajn and Steinwart, 2024). Numbers are scaled robustly inside the
        network and computed in float32, gaps (NaN) are filled and marked, three layers of 256
        learn in cycles for 256 epochs, and the best epoch of a validation part of 20 % is kept.
        Any parameter that you give otherwise than its default holds.
    number_encoding : {"piecewise", "periodic"} or None, default None
        Whether each number of `X` becomes a vector: by `PiecewiseLinearEncoding`, which often
        helps on tables with many rows, or `PeriodicEncoding`, of which scaled numbers learn more.
    normalize_target : bool, default True
        Whether the network learns y with mean 0 and standard deviation 1, of the training rows,
        in every column; the loss and `tol` are in these units. A last layer gives back the units
        of y, in the model's file, too. With a `loss` of your own, or a `network` that does not end
        in a linear layer, y is learned as it is. Quantiles are learned in units of y's spread.

    schedule : "adaptive", class or function, or None, default None
        What sets the learning rate after each epoch: what is called as ``schedule(optimizer)``,
        such as ``partial(StepLR, step_size=50)``; or "adaptive", which divides it by 5 wherever
        training would end by `tol` and `n_iter_no_change`, and ends at a rate of 1e-6.

    Attributes
    ----------
    n_outputs_ : int
    n_features_in_ : int
    feature_names_in_ : array of str
        The columns of the table, if `X` was one whose columns have names.
    categories_ : dict
        The words of each column that held words, by its name; ``model_`` takes 1 for the first
        word, 0 for one that training did not see. ``as_numbers(X)`` puts them in.
    model_ : Layer
        The network, which `minifw.save` writes and `summary` shows.
    optimizer_ : Optimizer, or None with "lbfgs"
    history_ : History
        The values of each epoch, to print or to ``plot()``: "loss", and with a validation part
        "r2", "val_loss" and "val_r2". ``history_.stopped`` says why it ended.
    loss_curve_ : list of float
    validation_scores_ : list of float, or None
    n_iter_ : int
        The number of epochs.
    best_epoch_ : int
        The epoch of the weights, from 1: the last one, or with early stopping the best.
    callbacks_ : list of Callback
        The copies that were called.

    Raises
    ------
    TypeError, ValueError
        By `fit`, if a parameter does not serve, or data do not fit.
    NonFiniteError
        By `fit`, at the first loss that is not finite.

    Warns
    -----
    ConvergenceWarning
        If `max_epochs` came before `tol` was met.
    UserWarning
        If Ctrl-C ended training; the network has the weights of the last step.

    Notes
    -----
    Columns of words (strings, categories) of pandas and polars are taken as they are: each has an
    `Embedding`, and a word that training did not see counts as a gap, a vector of zeros.
    The network computes in the dtype of `X`, float32 or float64, unless it names another. Where
    it takes whole numbers (`Embedding`), `X` has to hold such.

    Examples
    --------
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import StandardScaler
    >>> from minifw.interop.sklearn import NetworkRegressor
    >>> x, y = load_diabetes(return_X_y=True)
    >>> x = StandardScaler().fit_transform(x)
    >>> model = NetworkRegressor((16,), early_stopping=True, lr=0.01, random_state=0).fit(x, y)
    >>> model.score(x, y) > 0.4
    True
    """

    _kind = "regressor"
    _metric = "r2"
    _numeric = True

    def __init__(
        self,
        hidden_layers: Any = (100,),
        *,
        activation: Any = "relu",
        network: Any = None,
        loss: Any = None,
        optimizer: Any = "adam",
        lr: float = 0.001,
        weight_decay: float = 0.0,
        batch_size: Any = "auto",
        max_epochs: int = 200,
        shuffle: bool = True,
        tol: float | None = 1e-4,
        n_iter_no_change: float | None = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        callbacks: Any = (),
        warm_start: bool = False,
        verbose: bool = False,
        random_state: Any = None,
        preset: str | None = None,
        number_encoding: str | None = None,
        normalize_target: bool = True,
        schedule: Any = None,
    ) -> None:
        self._keep(locals())

    @available_if(makes_steps)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch, from the weights and the optimizer as they are.

        Parameters
        ----------
        X : array or table of shape (examples, features)
        y : array of shape (examples,) or (examples, columns)
        sample_weight : array of shape (examples,), optional

        Returns
        -------
        self

        Notes
        -----
        `tol`, `early_stopping` and `max_epochs` have no part in it.
        """
        return self._partial_fit(X, y, sample_weight)

    def predict(self, X: Any) -> Array:
        """Return the prediction for each row of `X`.

        Parameters
        ----------
        X : array of shape (examples, features)

        Returns
        -------
        array of shape (examples,), or (examples, columns) if `y` had columns
            With the loss `PinballLoss`, a column for each quantile.
        """
        if self.preset is None:
            output: Array = self._outputs(X)
        else:  # its float32 is the network's matter, and has too few digits for a far target
            check_is_fitted(self)
            output = self._outputs(X, self._learner) * self._spread + self._center
        return output if self._columns or self._levels else output[:, 0]

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R2; of quantiles the mean of their D2, which compares pinball losses likewise.

        Parameters
        ----------
        X : array or table of shape (examples, features)
        y : array of shape (examples,) or (examples, columns)
        sample_weight : array of shape (examples,), optional

        Returns
        -------
        float
            1 is perfect, 0 what a constant reaches.
        """
        if not self._levels:
            return float(super().score(X, y, sample_weight))
        pairs = zip(self.predict(X).T, self._levels, strict=True)
        d2 = partial(d2_pinball_score, y, sample_weight=sample_weight)
        return float(np.mean([d2(column, alpha=level) for column, level in pairs]))

    @property
    def _levels(self) -> tuple[float, ...]:
        """The quantiles that the loss asks for, if it does."""
        levels: tuple[float, ...] = getattr(self.loss, "quantiles", ())
        return levels

    # -- what the classifier does otherwise --------------------------------------

    def _learn_target(self, y: Any) -> None:
        self.n_outputs_ = 1 if y.ndim == 1 else y.shape[1]
        self._columns = y.ndim > 1
        self._metric = "" if self._levels else "r2"
        if self._levels and self.n_outputs_ > 1:
            raise ValueError(
                f"{type(self).__name__} expects one column of y for {self.loss!r}, got "
                f"{self.n_outputs_}; fit one for each column"
            )

    def _check_target(self, owner: str, y: Any) -> Any:
        columns = y.reshape(len(y), -1)
        if columns.shape[1] != self.n_outputs_:
            raise ValueError(
                f"{owner} expects y to have {self.n_outputs_} columns, as in the first fit, got "
                f"{columns.shape[1]}"
            )
        return columns

    def _out_features(self) -> int:
        return len(self._levels) or self.n_outputs_

    def _end(self) -> list[Layer]:
        return [Increasing()] if self._levels else []

    def _loss_of(self, model: Layer, outputs: int) -> Loss:
        del model
        owner = type(self).__name__
        if outputs != self._out_features():
            what = "as the loss has quantiles" if self._levels else "as y has"
            raise ValueError(
                f"{owner} expects the network to give {self._out_features()} numbers, {what}, it "
                f"gives {outputs}"
            )
        loss = MSELoss() if self.loss is None else copy.deepcopy(self.loss)
        if not isinstance(loss, Loss):
            hint = f"; write {loss.__name__}()" if isinstance(loss, type) else ""
            if isinstance(loss, str):
                hint = f"; write {LOSSES.get(loss, 'an object such as MSELoss()')}"
            got = repr(loss) if isinstance(loss, str) else describe(loss)
            raise TypeError(f"{owner} expects loss to be a loss, got {got}{hint}")
        return loss

    def _dressed(self, learner: Layer) -> Layer:
        """Put a frozen layer behind the network, which gives back the units of y."""
        wanted = check_flag(type(self).__name__, "normalize_target", self.normalize_target)
        fits = learner.split_last()[1].linear if self.loss is None else self.network is None
        if not wanted or not fits or not (self.loss is None or self._levels):
            return learner
        count, dtype = self._out_features(), learner.parameters()[0].dtype
        back = Dense(count, count, init=Zeros(), dtype=dtype, rng=0).freeze()
        layers = learner if isinstance(learner, Sequential) else [learner]
        return Sequential(*layers, back)

    def _begin(self, rows: Rows) -> None:
        super()._begin(rows)
        self._center, self._spread = np.zeros(self.n_outputs_), np.ones(self.n_outputs_)
        if not isinstance(self.model_, Sequential) or self.model_ is self._learner:
            return
        y = rows.target.astype(np.float64)  # (rows, columns)
        self._center = np.average(y, axis=0, weights=rows.weight)  # (columns,)
        spread = np.sqrt(np.average((y - self._center) ** 2, axis=0, weights=rows.weight))
        self._spread = np.where(spread > 0, spread, 1.0)
        weight, bias = self.model_[-1].named_parameters()
        weight[1].value = np.identity(len(bias[1].value)) * self._spread
        bias[1].value = np.broadcast_to(self._center, bias[1].shape)

    def _for_loss(self, y: Target) -> Target:
        return (y.astype(np.float64) - self._center) / self._spread

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
