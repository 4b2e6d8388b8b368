"""What the classifier and the regressor share: the parameters, and training."""

import copy
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from minifw._core.checks import (
    check_flag,
    check_size,
    describe,
    finite_number,
    non_negative_number,
    positive_number,
)
from minifw._core.layer import PREDICTION_ROWS, Layer
from minifw._core.typing import Array, Target
from minifw.callbacks import EarlyStopping, Progress
from minifw.interop.sklearn._building import build_chain, build_optimizer, build_with
from minifw.interop.sklearn._stopping import Plateau
from minifw.losses import Loss
from minifw.training import History, Trainer
from minifw.training._hooks import check_callbacks

__all__ = ["NetworkEstimator"]

AUTO_BATCH = 200  # rows, or all where there are fewer: what "auto" means to scikit-learn
SEED_WORDS = 4  # of 32 bits, the entropy that NumPy asks for

DTYPES = (np.float64, np.float32)


class Rows(NamedTuple):
    """Checked rows: inputs, targets as the loss takes them, and weights or None."""

    x: Array
    target: Target
    weight: Array | None


class NetworkEstimator(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """The parameters and the training of both estimators; see there."""

    _metric: str  # of minifw.metrics: what is recorded beside the loss

    def __init__(
        self,
        hidden_layers: Any = (100,),
        *,
        activation: Any = "relu",
        network: Any = None,
        optimizer: Any = "adam",
        lr: float = 0.001,
        weight_decay: float = 0.0,
        batch_size: Any = "auto",
        max_epochs: int = 200,
        shuffle: bool = True,
        tol: float | None = 1e-4,
        n_iter_no_change: int = 10,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        callbacks: Any = (),
        warm_start: bool = False,
        verbose: bool = False,
        random_state: Any = None,
    ) -> None:
        self.hidden_layers = hidden_layers
        self.activation = activation
        self.network = network
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.shuffle = shuffle
        self.tol = tol
        self.n_iter_no_change = n_iter_no_change
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.callbacks = callbacks
        self.warm_start = warm_start
        self.verbose = verbose
        self.random_state = random_state

    # -- what the two differ in --------------------------------------------------

    def _learn_target(self, y: Any) -> None:
        """Take from `y` what the network has to say: classes, columns."""
        raise NotImplementedError

    def _check_target(self, owner: str, y: Any) -> Any:
        """Return `y` as whole numbers of classes or as columns, or raise if it does not fit."""
        raise NotImplementedError

    def _out_features(self) -> int:
        raise NotImplementedError

    def _loss_of(self, model: Layer, outputs: int) -> Loss:
        """Return the loss that this network needs, and remember how to read its outputs."""
        raise NotImplementedError

    def _for_loss(self, y: Any) -> Target:
        """Return the target in the form of the loss."""
        raise NotImplementedError

    def _weights(self, y: Any, weight: Array | None) -> Array | None:
        """Return the weights of the rows, those of their classes included."""
        del y
        return weight

    def _strata(self, y: Any) -> Any:
        """Return the labels of which the validation part shall have its share, or None."""
        del y

    # -- training ----------------------------------------------------------------

    def _fit(self, X: Any, y: Any, sample_weight: Any, held: tuple[Any, Any, Any] | None) -> Self:
        owner = f"{type(self).__name__}.fit"
        epochs, patience = self._check_parameters(owner)
        again = check_flag(owner, "warm_start", self.warm_start) and hasattr(self, "model_")
        X, y = self._read(X, y, reset=not again)
        if not again:
            self._learn_target(y)
        target = self._check_target(owner, y)
        weight = self._read_weight(sample_weight, X)
        early = check_flag(owner, "early_stopping", self.early_stopping)
        random = check_random_state(self.random_state)
        if not again:
            self._build(owner, X, random)
        validation: Rows | None = None
        if held is not None:
            validation = self._read_held(owner, *held)
        elif early:
            X, target, weight, validation = self._split(owner, X, target, weight, random)
        rows = self._rows(X, target, weight)
        stopping: EarlyStopping | None = None
        callbacks: list[Any] = []
        if early:
            stopping = EarlyStopping(patience=patience, min_delta=self.tol or 0.0)
            callbacks = [stopping]
        elif self.tol is not None:
            callbacks = [Plateau(self.tol, patience)]
        trainer = self._trainer(owner, callbacks, measured=validation is not None)
        self.history_ = self._run(trainer, rows, epochs, validation)
        self.n_iter_ = len(self.history_)
        self.best_epoch_ = self.n_iter_ if stopping is None else stopping.best_epoch
        if self.history_.stopped is None and not early and self.tol is not None:
            warnings.warn(
                f"{owner}: the loss still fell by tol={self.tol:g} after all {epochs} epochs; "
                "raise max_epochs or lr, or train for so many with tol=None",
                ConvergenceWarning,
                stacklevel=3,
            )
        return self

    def _partial_fit(
        self, X: Any, y: Any, sample_weight: Any, learn: Callable[[Any], None]
    ) -> Self:
        owner = f"{type(self).__name__}.partial_fit"
        self._check_parameters(owner)
        first = not hasattr(self, "model_")
        X, y = self._read(X, y, reset=first)
        learn(y)
        target = self._check_target(owner, y)
        weight = self._read_weight(sample_weight, X)
        if first:
            self._build(owner, X, check_random_state(self.random_state))
            self.history_ = History()
        trainer = self._trainer(owner, [], measured=False)
        history = self._run(trainer, self._rows(X, target, weight), 1, None)
        if len(history):  # else Ctrl-C ended it
            if self.history_.columns not in ([], history.columns):  # of a fit with validation
                self.history_ = History()
            self.history_.append(history.last)
        self.n_iter_ = self.best_epoch_ = len(self.history_)
        return self

    def _check_parameters(self, owner: str) -> tuple[int, int]:
        """Return max_epochs and n_iter_no_change, or raise if a number is none that serves."""
        if self.tol is not None:
            non_negative_number(owner, "tol", self.tol)
        positive_number(owner, "lr", self.lr)
        non_negative_number(owner, "weight_decay", self.weight_decay)
        return (
            check_size(owner, "max_epochs", self.max_epochs),
            check_size(owner, "n_iter_no_change", self.n_iter_no_change),
        )

    def _read(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        read: tuple[Any, Any] = validate_data(
            self, X, y, reset=reset, multi_output=True, dtype=DTYPES
        )
        return read

    def _read_weight(self, sample_weight: Any, X: Any) -> Array | None:
        if sample_weight is None:
            return None
        weight: Array = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        if not ((weight >= 0).all() and weight.any()):
            raise ValueError(
                f"{type(self).__name__} expects every sample_weight to be at least 0, and one "
                f"above 0, got {weight.min():g} to {weight.max():g}"
            )
        return weight

    def _read_held(self, owner: str, X: Any, y: Any, weight: Any) -> Rows:
        if X is None or y is None:
            raise ValueError(f"{owner} expects both X_val and y_val, got one of them")
        X, y = self._read(X, y, reset=False)
        return self._rows(X, self._check_target(owner, y), self._read_weight(weight, X))

    def _rows(self, X: Array, target: Any, weight: Array | None) -> Rows:
        return Rows(self._input(X), self._for_loss(target), self._weights(target, weight))

    def _split(
        self, owner: str, X: Array, target: Any, weight: Array | None, random: Any
    ) -> tuple[Array, Any, Array | None, Rows]:
        """Return the training part, and the rows of the validation part."""
        share = finite_number(owner, "validation_fraction", self.validation_fraction)
        if not 0 < share < 1:
            raise ValueError(
                f"{owner} expects validation_fraction to be between 0 and 1, got {share}"
            )
        try:
            train, val = train_test_split(
                np.arange(len(X)),
                test_size=share,
                random_state=random,
                stratify=self._strata(target),
            )
        except ValueError as error:
            raise ValueError(
                f"{owner} cannot take the share validation_fraction={share} of {len(X)} rows: "
                f"{error}"
            ) from error
        held = self._rows(X[val], target[val], None if weight is None else weight[val])
        return X[train], target[train], None if weight is None else weight[train], held

    def _build(self, owner: str, X: Array, random: Any) -> None:
        """Make network, loss and optimizer."""
        # A RandomState, be it NumPy's global one, gives a seed; all else is drawn from that.
        words = random.randint(0, 2**32, size=SEED_WORDS, dtype=np.uint32)
        self._rng = rng = np.random.default_rng(words)
        sizes = X.shape[1], self._out_features()
        if self.network is None:
            model = build_chain(
                owner, self.hidden_layers, self.activation, sizes, dtype=X.dtype, rng=rng
            )
        else:
            model = build_with(owner, self.network, sizes, rng)
        model.eval()
        self._dtype, self._whole = model._dtype() or X.dtype, model._whole_numbers()
        shape = model.output_shape(sizes[:1])
        if len(shape) != 1:
            raise ValueError(
                f"{owner} expects the network to give a row of numbers for each example, it gives "
                f"the shape {shape}; end it in Flatten() or Dense(..., {sizes[1]})"
            )
        self._loss = self._loss_of(model, shape[0])
        self.optimizer_ = build_optimizer(owner, self.optimizer, model, self.lr, self.weight_decay)
        self.model_ = model

    def _trainer(self, owner: str, callbacks: list[Any], *, measured: bool) -> Trainer:
        metrics = [self._metric] if measured else []
        trainer = Trainer(self.model_, self._loss, self.optimizer_, metrics=metrics, rng=self._rng)
        if isinstance(self.callbacks, str) or not hasattr(self.callbacks, "__iter__"):
            raise TypeError(f"{owner} expects a list of callbacks, got {describe(self.callbacks)}")
        own = [item(trainer) if callable(item) else copy.deepcopy(item) for item in self.callbacks]
        if check_flag(owner, "verbose", self.verbose):
            own.append(Progress())
        # Last in turn are those that put back the best weights, or stop.
        trainer.callbacks = check_callbacks(owner, [*own, *callbacks])
        self.callbacks_ = own
        return trainer

    def _run(self, trainer: Trainer, rows: Rows, epochs: int, validation: Rows | None) -> History:
        owner = type(self).__name__
        size = self.batch_size
        if isinstance(size, str):
            if size != "auto":
                raise ValueError(
                    f"{owner} expects batch_size to be 'auto', a whole number or None, got "
                    f"{size!r}"
                )
            size = AUTO_BATCH
        n = len(rows.x)
        size = n if size is None else min(check_size(owner, "batch_size", size), n)
        history = trainer.fit(
            rows.x,
            rows.target,
            epochs=epochs,
            batch_size=size,
            # The order of the rows of a batch is nothing to the mean over it.
            shuffle=check_flag(owner, "shuffle", self.shuffle) and size < n,
            sample_weight=rows.weight,
            validation=validation,
        )
        if trainer._interrupted is not None:
            warnings.warn(f"{owner}: {history.stopped}", UserWarning, stacklevel=4)
        return history

    # -- prediction --------------------------------------------------------------

    def _outputs(self, X: Any) -> Array:
        """Return what the network gives for the rows of `X`."""
        check_is_fitted(self)
        X = self._input(validate_data(self, X, reset=False, dtype=DTYPES))
        model = self.model_
        if model.training:  # somebody called model_.train()
            return model.predict(X)
        # As `Layer.predict`, without going through all layers to ask for their modes: between
        # two trainings the model is in eval mode.
        if not self._whole and X.dtype != self._dtype:
            X = X.astype(self._dtype)
        if len(X) <= PREDICTION_ROWS:
            return model(X)
        starts = range(0, len(X), PREDICTION_ROWS)
        return np.concatenate([model(X[start : start + PREDICTION_ROWS]) for start in starts])

    def _input(self, X: Array) -> Any:
        """Return `X` as the network takes it: as whole numbers, if it looks them up."""
        if not self._whole:
            return X
        whole = X.astype(np.intp)
        if (whole != X).any():
            raise ValueError(
                f"{type(self).__name__}: the network takes whole numbers, X holds others"
            )
        return whole

    @property
    def loss_curve_(self) -> list[float]:
        """The training loss of each epoch."""
        return self.history_["loss"]

    @property
    def validation_scores_(self) -> list[float] | None:
        """The score of the validation part after each epoch; None without such a part."""
        column = f"val_{self._metric}"
        return self.history_[column] if column in self.history_.columns else None

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")
