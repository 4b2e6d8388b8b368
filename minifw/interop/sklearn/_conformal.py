"""Split-conformal intervals and prediction sets around an estimator that is fitted."""

import math
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, RegressorMixin, clone
from sklearn.preprocessing import LabelEncoder
from sklearn.utils import check_array, check_random_state, get_tags, validation

from minifw._tools.numbers import check_choice
from minifw.typing import Array

check_score = check_choice("lac", "aps")
DIGITS = 9  # behind the point: what is less is a rounding error


class Conformal(MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc] # no types
    """The two steps of both: fit the estimator, and take the scores of rows that it never saw."""

    def __init__(
        self, estimator: Any, *, confidence_level: Any = 0.9, prefit: bool = True
    ) -> None:
        self.estimator = estimator
        self.confidence_level = confidence_level
        self.prefit = prefit

    def fit(self, X: Any, y: Any, fit_params: dict[str, Any] | None = None) -> Self:
        """Fit a clone of the estimator, if it is not fitted yet (``prefit=False``).

        Parameters
        ----------
        X : array or table of shape (examples, features)
        y : array of shape (examples,)
        fit_params : dict, optional
            What else the estimator's `fit` gets, such as ``X_val`` and ``y_val``.

        Returns
        -------
        self
        """
        if self.prefit:
            raise RuntimeError("there is nothing to fit with prefit=True; call conformalize(X, y)")
        y = validation.column_or_1d(y, warn=True)
        self.estimator_ = clone(self.estimator).fit(X, y, **(fit_params or {}))
        self.__dict__.pop("conformity_scores_", None)  # of another estimator
        return self

    def conformalize(self, X: Any, y: Any) -> Self:
        """Take the scores of rows that the estimator was not fitted to.

        Parameters
        ----------
        X : array or table of shape (examples, features)
        y : array of shape (examples,)

        Returns
        -------
        self
        """
        model = self.estimator if self.prefit else self._model()
        validation.check_consistent_length(X, y)
        self.conformity_scores_ = self._scores(model, X, validation.column_or_1d(y))
        self.estimator_ = model
        self._quantiles()  # are there enough?
        return self

    def _model(self) -> Any:
        """Return the estimator that is fitted."""
        if self.prefit and not hasattr(self, "estimator_"):
            return self.estimator
        validation.check_is_fitted(self, "estimator_")
        return self.estimator_

    def _outputs(self, model: Any, X: Any) -> Any:
        """Return the model's numbers of each row, (examples, columns)."""
        out = validation._check_response_method(model, self._method)(X)
        out = check_array(out, ensure_2d=False, dtype=np.float64, input_name=self._method)
        return out.reshape(len(out), -1)

    def _quantiles(self) -> Any:
        """Return, for each level, the ceil((n + 1) level)-th smallest of n scores."""
        validation.check_is_fitted(self, "conformity_scores_", msg="call conformalize(X, y) first")
        owner, n = type(self).__name__, len(self.conformity_scores_)
        levels = np.ravel(np.asarray(self.confidence_level, np.float64))
        if not ((levels > 0) & (levels < 1)).all():
            raise ValueError(f"{owner} expects confidence_level between 0 and 1, got {levels}")
        need = math.ceil(round(float((levels / (1 - levels)).max()), DIGITS))
        if n < need:
            raise ValueError(
                f"{owner}.conformalize expects {need} rows or more for {levels.max():g}, got {n}"
            )
        ranks = np.ceil(np.round((n + 1) * levels, DIGITS)).astype(np.intp)
        return np.sort(self.conformity_scores_)[ranks - 1]

    @property
    def n_features_in_(self) -> Any:
        """The number of columns that the estimator was fitted to."""
        return self._model().n_features_in_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if isinstance(self.estimator, BaseEstimator):
            tags.input_tags = get_tags(self.estimator).input_tags
        return tags


class ConformalRegressor(RegressorMixin, Conformal):  # type: ignore[misc] # no types
    """Intervals that hold the target of a new row with a probability that is promised.

    Of n rows that the estimator never saw, the score s is how far the target lies outside of
    what it predicts, from lo to hi; q is the ceil((n + 1) level)-th smallest score:

        s = max(lo - y, y - hi),    the interval of a new row: [lo - q, hi + q].

    Of an estimator that gives one number, lo = hi is that number, and s is |y - lo|. Of one that
    gives quantiles in columns, such as a network trained by `PinballLoss`, lo and hi are the
    first and the last column (conformalised quantile regression): these intervals are wide where
    the target is uncertain. Among exchangeable rows the new target lies inside with a probability
    of at least the level, and at most 1 / (n + 1) more if no two scores are equal, whatever the
    estimator is worth; a bad one has wide intervals.

    Parameters
    ----------
    estimator : estimator, or Layer
        What has `predict`: one number for each row, or rising quantiles in columns.
    confidence_level : float or sequence of float, default 0.9
        The probability that is promised, between 0 and 1.
    prefit : bool, default True
        Whether the estimator is fitted. If not, `fit` fits a clone of it.

    Attributes
    ----------
    estimator_ : estimator
        The one that is fitted.
    conformity_scores_ : array of shape (n,)
        The scores of the rows of `conformalize`.
    n_features_in_ : int

    Raises
    ------
    ValueError
        If the level is not a probability, or asks for more rows: ceil((n + 1) level) may be n at
        most, so 0.9 needs 9 rows and 0.99 needs 99. If the estimator gives no finite numbers.
    AttributeError
        If the estimator has no `predict`.
    RuntimeError
        By `fit`, with ``prefit=True``.

    Notes
    -----
    Names and shapes are MAPIE's, of ``SplitConformalRegressor`` and, with quantiles, of
    ``ConformalizedQuantileRegressor.predict_interval(symmetric_correction=True)``. `predict`
    needs no `conformalize`. Rows that trained the estimator, or stopped its training, have
    scores that are too small: hold others out. The promise is one for the mean over all rows,
    not for each kind of row. An interval whose ends are in the wrong order, as q < 0 can make
    one, is empty. `clone` forgets what an estimator has learned, so a search takes
    ``prefit=False``, or an estimator in ``sklearn.frozen.FrozenEstimator``.

    References
    ----------
    J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani and L. Wasserman, "Distribution-Free
    Predictive Inference for Regression", JASA 113, 2018.
    Y. Romano, E. Patterson and E. J. Candès, "Conformalized Quantile Regression", NeurIPS 2019.

    Examples
    --------
    >>> from sklearn.datasets import make_friedman1
    >>> from sklearn.linear_model import Ridge
    >>> from minifw.interop.sklearn import ConformalRegressor
    >>> x, y = make_friedman1(900, noise=1.0, random_state=0)
    >>> fitted = Ridge().fit(x[:300], y[:300])
    >>> conformal = ConformalRegressor(fitted).conformalize(x[300:600], y[300:600])
    >>> points, intervals = conformal.predict_interval(x[600:])
    >>> intervals.shape  # (examples, 2 ends, levels)
    (300, 2, 1)
    >>> inside = (intervals[:, 0, 0] <= y[600:]) & (y[600:] <= intervals[:, 1, 0])
    >>> round(float(inside.mean()), 2)
    0.91
    """

    _method = "predict"

    def predict(self, X: Any) -> Any:
        """Return the number for each row, of quantiles the one in the middle.

        Parameters
        ----------
        X : array or table of shape (examples, features)

        Returns
        -------
        array of shape (examples,)
        """
        return np.median(self._outputs(self._model(), X), axis=1)

    def predict_interval(self, X: Any) -> tuple[Array, Array]:
        """Return what `predict` does, and the lower and upper end of each interval.

        Parameters
        ----------
        X : array or table of shape (examples, features)

        Returns
        -------
        array of shape (examples,)
        array of shape (examples, 2, levels)
        """
        q = self._quantiles()
        out = self._outputs(self.estimator_, X)  # (examples, columns)
        return np.median(out, axis=1), np.stack([out[:, :1] - q, out[:, -1:] + q], axis=1)

    def _scores(self, model: Any, X: Any, y: Array) -> Any:
        y = check_array(y, ensure_2d=False, dtype=np.float64, input_name="y")
        out = self._outputs(model, X)
        return np.maximum(out[:, 0] - y, y - out[:, -1])


class ConformalClassifier(ClassifierMixin, Conformal):  # type: ignore[misc] # no types
    """Sets of classes that hold the class of a new row with a probability that is promised.

    A set takes all classes whose score is at most q, the ceil((n + 1) level)-th smallest score
    of the true classes of n rows that the estimator never saw. With p the probability of a class
    and c the sum of the probabilities of all more probable ones,

        "lac":  s = 1 - p,
        "aps":  s = c + (1 - u) p,    u uniform between 0 and 1 in `conformalize`, and 1 after.

    "lac" gives the smallest sets in the mean, and an empty one to a row that is like no other;
    "aps" gives larger sets to rows that are harder, and none is empty.

    Parameters
    ----------
    estimator : estimator
        What has `predict_proba` and ``classes_``, as `NetworkClassifier` does.
    confidence_level : float or sequence of float, default 0.9
        The probability that is promised, between 0 and 1.
    conformity_score : {"lac", "aps"}, default "lac"
        The least ambiguous sets, or the adaptive ones.
    prefit : bool, default True
        Whether the estimator is fitted. If not, `fit` fits a clone of it.
    random_state : int, RandomState or None, default None
        Where u comes from.

    Attributes
    ----------
    estimator_ : estimator
        The one that is fitted.
    classes_ : array
    conformity_scores_ : array of shape (n,)
        The scores of the rows of `conformalize`.
    n_features_in_ : int

    Raises
    ------
    ValueError
        If the level is not a probability, or asks for more rows, as in `ConformalRegressor`; if
        there is no such score, or a label that is not a class of the estimator.
    AttributeError
        If the estimator has no `predict_proba`.
    RuntimeError
        By `fit`, with ``prefit=True``.

    Notes
    -----
    Names, shapes and numbers are as in MAPIE's ``SplitConformalClassifier``. "aps" covers more
    than its level where most rows are easy: their sets cannot shrink below one class. What
    `ConformalRegressor` notes holds here, too.

    References
    ----------
    M. Sadinle, J. Lei and L. Wasserman, "Least Ambiguous Set-Valued Classifiers with Bounded
    Error Levels", JASA 114, 2019.
    Y. Romano, M. Sesia and E. J. Candès, "Classification with Valid and Adaptive Coverage",
    NeurIPS 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from sklearn.utils import shuffle
    >>> from minifw.interop.sklearn import ConformalClassifier
    >>> x, y = shuffle(*load_digits(return_X_y=True), random_state=0)
    >>> fitted = GaussianNB(var_smoothing=0.1).fit(x[:600], y[:600])
    >>> conformal = ConformalClassifier(fitted).conformalize(x[600:1200], y[600:1200])
    >>> labels, sets = conformal.predict_set(x[1200:])
    >>> sets.shape  # (examples, classes, levels)
    (597, 10, 1)
    >>> round(float(sets[range(597), y[1200:], 0].mean()), 2)
    0.9
    """

    _method = "predict_proba"

    def __init__(
        self,
        estimator: Any,
        *,
        confidence_level: Any = 0.9,
        conformity_score: str = "lac",
        prefit: bool = True,
        random_state: Any = None,
    ) -> None:
        super().__init__(estimator, confidence_level=confidence_level, prefit=prefit)
        self.conformity_score = conformity_score
        self.random_state = random_state

    @property
    def classes_(self) -> Any:
        """The classes of the estimator."""
        return self._model().classes_

    def predict(self, X: Any) -> Any:
        """Return the class that the estimator predicts for each row.

        Parameters
        ----------
        X : array or table of shape (examples, features)

        Returns
        -------
        array of shape (examples,)
        """
        return self._model().predict(X)

    def predict_set(self, X: Any) -> tuple[Any, Any]:
        """Return what `predict` does, and which classes each set takes.

        Parameters
        ----------
        X : array or table of shape (examples, features)

        Returns
        -------
        array of shape (examples,)
        array of bool, of shape (examples, classes, levels)
        """
        q = self._quantiles()
        scores = _scores_of(self._score, self._outputs(self.estimator_, X), 1.0)
        return self.estimator_.predict(X), scores[:, :, np.newaxis] <= q

    def _scores(self, model: Any, X: Any, y: Array) -> Any:
        kind = check_score(type(self).__name__, "conformity_score", self.conformity_score)
        p = self._outputs(model, X)
        names = LabelEncoder()
        names.classes_ = model.classes_
        u = check_random_state(self.random_state).uniform(size=(len(p), 1))
        self._score = kind  # it stays with these scores
        return _scores_of(kind, p, u)[np.arange(len(p)), names.transform(y)]


def _scores_of(kind: str, p: Array, u: Any) -> Any:
    """Return the score of each class in each row, (examples, classes) as p."""
    if kind == "lac":
        return 1 - p
    order = np.argsort(-p, axis=1, kind="stable")  # the most probable first
    sums = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    # Each sum, c + p, goes back to its class.
    return np.take_along_axis(sums, np.argsort(order, axis=1), axis=1) - u * p
