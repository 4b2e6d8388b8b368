"""A classifier made of layers."""

from typing import Any, Self

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import check_is_fitted, column_or_1d

from minifw._tools.numbers import check_choice
from minifw.core.layer import Layer
from minifw.interop.sklearn._at_once import makes_steps
from minifw.interop.sklearn._calibration import temperature
from minifw.interop.sklearn._estimator import NetworkEstimator
from minifw.interop.sklearn._heads import head_of
from minifw.interop.sklearn._reading import Rows
from minifw.layers import Scale, Sequential
from minifw.losses import Loss
from minifw.typing import Array, Target

HALF = 0.5  # the probability above which it is a yes
MIN_CLASSES = 2  # fewer leave nothing to learn


class NetworkClassifier(ClassifierMixin, NetworkEstimator):  # type: ignore[misc] # no types
    """A network that classifies: two classes, several, or several labels for each example.

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
        Builds the whole network, in place of the two above. It gives one number for
        two classes (or two), else one for each: logits, or what `Sigmoid`, `Softmax` or
        `LogSoftmax` makes of them; the loss goes by its last layer.
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
        ``MLPClassifier(alpha=a)`` is ``weight_decay=a / batch_size``.
    batch_size : int, "auto" or None, default "auto"
        The rows of a step: "auto" is 200, or all if there are fewer; None is all.
    max_epochs : int, default 200
    shuffle : bool, default True
        Whether the rows are put in a new order for each epoch.
    class_weight : dict, "balanced", list of dict, or None, default None
        What the examples of each class count, times their own weights; "balanced" makes the
        weights of all classes add up to the same. With several labels, a list of such dicts,
        one for each label, whose factors are multiplied: ``[{0: 1, 1: 5}, {0: 1, 1: 2}]``.
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
    label_smoothing : float, default 0.0
        The share of each label that goes to all classes alike, of one choice among classes. Two
        classes then have an output each.
    calibrate : {"temperature"} or None, default None
        Whether the logits are divided by the number, `temperature_`, with which the validation
        part, and one row more that is of all classes alike, have the lowest cross-entropy. It
        needs `early_stopping`, or ``X_val``.

    schedule : "adaptive", class or function, or None, default None
        What sets the learning rate after each epoch: what is called as ``schedule(optimizer)``,
        such as ``partial(StepLR, step_size=50)``; or "adaptive", which divides it by 5 wherever
        training would end by `tol` and `n_iter_no_change`, and ends at a rate of 1e-6.

    Attributes
    ----------
    classes_ : array
    out_activation_ : str
        "softmax"; or "logistic", of two classes in one output and of several labels.
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
        "accuracy", "val_loss" and "val_accuracy". ``history_.stopped`` says why it ended.
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
    With several labels, `y` is a matrix of 0 and 1, and the accuracy in the history counts its
    elements, while `score` counts whole rows. The loss is a cross-entropy, from the logits. The
    network computes in the dtype of `X`, float32 or float64, unless it names another. Where it
    takes whole numbers (`Embedding`), `X` has to hold such.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from minifw.interop.sklearn import NetworkClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> network = NetworkClassifier((16,), activation="tanh", lr=0.02, random_state=0)
    >>> classifier = make_pipeline(StandardScaler(), network).fit(x, y)
    >>> classifier.score(x, y) > 0.95, classifier.predict_proba(x[:2]).shape
    (True, (2, 3))
    """

    _kind = "classifier"

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
        class_weight: Any = None,
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
        label_smoothing: float = 0.0,
        calibrate: str | None = None,
        schedule: Any = None,
    ) -> None:
        self._keep(locals())

    @available_if(makes_steps)  # type: ignore[untyped-decorator]
    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch, from the weights and the optimizer as they are.

        Parameters
        ----------
        X : array or table of shape (examples, features)
        y : array of shape (examples,), or (examples, labels) of 0 and 1
        classes : array, optional
            In the first call, all classes that will ever come.
        sample_weight : array of shape (examples,), optional

        Returns
        -------
        self

        Notes
        -----
        `tol`, `early_stopping` and `max_epochs` have no part in it.
        """
        owner = f"{type(self).__name__}.partial_fit"
        if isinstance(self.class_weight, str):
            raise ValueError(  # noqa: TRY004 - a value that serves elsewhere
                f"{owner} cannot balance classes of which it sees a part; use class_weight={{...}}"
                " with the numbers, or sample_weight"
            )
        first = not hasattr(self, "model_")
        if first and classes is None:
            raise ValueError(f"{owner} expects classes in its first call: all that will come")
        if not (first or classes is None or np.array_equal(np.unique(classes), self.classes_)):
            raise ValueError(
                f"{owner} expects the classes of its first call, {self.classes_.tolist()}, "
                f"got {np.unique(classes).tolist()}"
            )
        return self._partial_fit(X, y, sample_weight, classes)

    def predict(self, X: Any) -> Any:
        """Return the class of each row of `X`, the most probable one; or a 0 or 1 per label.

        Parameters
        ----------
        X : array of shape (examples, features)

        Returns
        -------
        array of shape (examples,), or (examples, labels)
        """
        p = self._probabilities(X)
        if self._multilabel:
            return (p > HALF).astype(np.intp)
        if self._head.yes_or_no:
            return self.classes_[(p[:, 0] > HALF).astype(np.intp)]
        return self.classes_[p.argmax(axis=1)]

    def predict_proba(self, X: Any) -> Array:
        """Return the probabilities of the classes, in the order of ``classes_``.

        Parameters
        ----------
        X : array of shape (examples, features)

        Returns
        -------
        array of shape (examples, classes)
            Each row adds up to 1; with several labels, each number is the probability of one.
        """
        p = self._probabilities(X)
        if self._multilabel or not self._head.yes_or_no:
            return p
        return np.hstack([1 - p, p])

    def predict_log_proba(self, X: Any) -> Array:
        """Return the logarithms of `predict_proba`, right where those have rounded to 0 or 1.

        Parameters
        ----------
        X : array of shape (examples, features)

        Returns
        -------
        array of shape (examples, classes)
        """
        check_is_fitted(self)
        logits = self._outputs(X, self._head.logits_of(self.model_))
        logs = self._head.log_probabilities(logits)
        if self._multilabel or not self._head.yes_or_no:
            return logs
        return np.hstack([self._head.log_complements(logits), logs])

    def _probabilities(self, X: Any) -> Array:
        output = self._outputs(X)
        return self._head.probabilities(output)

    # -- what the regressor does otherwise ---------------------------------------

    def _learn_target(self, y: Any, classes: Any = None) -> None:
        kind = type_of_target(y, input_name="y")
        if kind not in ("binary", "multiclass", "multilabel-indicator"):
            check_classification_targets(y)  # it asks again, and says what is wrong
            raise ValueError(
                f"{type(self).__name__} does not take y of the kind {kind}; columns of more than "
                "two classes need a classifier each; use sklearn.multioutput.MultiOutputClassifier"
            )
        self._multilabel = kind == "multilabel-indicator"
        self._metric = "binary_accuracy" if self._multilabel else "accuracy"
        if self._multilabel:
            self.classes_ = np.arange(y.shape[1])
        else:
            self.classes_ = np.unique(column_or_1d(y if classes is None else classes))
        if len(self.classes_) < MIN_CLASSES:
            raise ValueError(
                f"{type(self).__name__} expects y to have {MIN_CLASSES} classes or more, got "
                f"{len(self.classes_)} class"
            )

    def _check_target(self, owner: str, y: Any) -> Any:
        columns = y.shape[1] if y.ndim > 1 else 1
        if columns != (len(self.classes_) if self._multilabel else 1):
            what = "columns of 0 and 1" if self._multilabel else "one label for each example"
            raise ValueError(
                f"{owner} expects y to be as in the first fit, {what} of "
                f"{len(self.classes_)} classes, got an array of shape {y.shape}"
            )
        if self._multilabel:
            return np.asarray(y.toarray() if hasattr(y, "toarray") else y)
        y = column_or_1d(y, warn=True)
        try:
            index = np.searchsorted(self.classes_, y)
            index[index == len(self.classes_)] = 0
            unknown = np.broadcast_to(self.classes_[index] != y, y.shape)
        except TypeError:  # text among numbers has no order
            unknown = np.ones(y.shape, bool)
        if unknown.any():
            raise ValueError(
                f"{owner} expects labels among the classes {self.classes_.tolist()}, got "
                f"{y[unknown][0]!r}"
            )
        return index

    def _out_features(self) -> int:
        count = len(self.classes_)
        pair = count == MIN_CLASSES and not self._multilabel and not self._smoothing()
        return 1 if pair else count

    def _smoothing(self) -> float:
        """Return the share that label smoothing takes; a preset's is for its own network."""
        own = self if self._multilabel or self.network is not None else self._use
        smoothing: float = own.label_smoothing
        return smoothing

    def _loss_of(self, model: Layer, outputs: int) -> Loss:
        self._head = head_of(
            type(self).__name__,
            model,
            outputs,
            len(self.classes_),
            multilabel=self._multilabel,
            smoothing=self._smoothing(),
        )
        self.out_activation_ = "logistic" if self._head.yes_or_no else "softmax"
        return self._head.loss

    def _for_loss(self, y: Target) -> Target:
        if self._head.yes_or_no:
            return y.reshape(len(y), -1).astype(np.float64)
        return y

    def _begin(self, rows: Rows) -> None:
        super()._begin(rows)
        check_choice(None, "temperature")(type(self).__name__, "calibrate", self.calibrate)

    def _finish(self, owner: str, validation: Rows | None) -> None:
        """Divide the logits by the temperature that the validation part asks for."""
        self.model_, head = self._learner, self._head
        if self.calibrate is None:
            return
        if validation is None:
            raise ValueError(
                f"{owner} calibrates on a validation part; give fit X_val and y_val, or set "
                "early_stopping=True"
            )
        before, last = head.logits_of(self._learner), self._learner.split_last()[1]
        logits = before.predict(validation.x)  # (rows, outputs)
        _, target, weight = validation
        self.temperature_ = temperature(logits, target, weight, yes_or_no=head.yes_or_no)
        scale = Scale(logits.shape[1], 1 / self.temperature_, dtype=logits.dtype).freeze()
        layers = [*before] if isinstance(before, Sequential) else [before]
        end = [] if head.ends_in is None else [last]
        self.model_ = Sequential(*layers, scale, *end).eval()

    def _weights(self, y: Any, weight: Array | None) -> Array | None:
        """Return the weights of the rows, times those of their classes."""
        if self.class_weight is None:
            return weight
        if self._multilabel:
            each: Array = compute_sample_weight(self.class_weight, y)
            self._check_factors(each)
        elif self.class_weight == "balanced":
            # A row of weight 2 counts as two rows in the balance, too.
            totals = np.bincount(y, weight, minlength=len(self.classes_))
            factors = np.zeros_like(totals, dtype=np.float64)  # of a class that counts nothing
            with np.errstate(over="ignore"):  # what overflows is refused with the sum
                np.divide(totals.sum() / len(totals), totals, out=factors, where=totals > 0)
            each = factors[y]
        else:
            known = self.classes_
            factors = compute_class_weight(self.class_weight, classes=known, y=known)
            self._check_factors(factors)
            each = factors[y]
        with np.errstate(over="ignore"):
            return each if weight is None else each * weight

    def _check_factors(self, factors: Any) -> None:
        if not (np.isfinite(factors) & (factors >= 0)).all():
            raise ValueError(
                f"{type(self).__name__} expects every class_weight to be finite and at least 0, "
                f"got {self.class_weight!r}"
            )

    def _strata(self, y: Any) -> Any:
        """Return the labels, unless there are several for each row, or one of a class alone."""
        if self._multilabel:
            return None
        return None if np.unique(y, return_counts=True)[1].min() < MIN_CLASSES else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags
