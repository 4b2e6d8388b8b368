"""How the estimators read tables, targets and weights: checked rows, and their parts."""

from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from minifw._tools.checks import describe
from minifw._tools.numbers import check_finite_number
from minifw._tools.values import check_even
from minifw.interop.sklearn._tabular import Categories, numbers_of
from minifw.typing import Array, Target

DTYPES = (np.float64, np.float32)


class Rows(NamedTuple):
    """Checked rows: inputs, targets (later as the loss takes them), and weights or None."""

    x: Array
    target: Target
    weight: Array | None


class TableReader(BaseEstimator):  # type: ignore[misc] # scikit-learn has no types
    """What an estimator knows of its rows, before it knows of networks."""

    _numeric = False  # whether y has to hold numbers
    _use: SimpleNamespace  # the parameters, with a preset's
    _categories: Categories
    _whole: bool  # whether the network takes whole numbers

    # -- what the two differ in --------------------------------------------------

    def _check_target(self, owner: str, y: Any) -> Any:
        """Return `y` as whole numbers of classes or as columns, or raise if it does not fit."""
        raise NotImplementedError

    def _for_loss(self, y: Target) -> Target:
        """Return the target in the form of the loss."""
        raise NotImplementedError

    def _weights(self, y: Any, weight: Array | None) -> Array | None:
        """Return the weights of the rows, those of their classes included."""
        del y
        return weight

    def _strata(self, y: Any) -> Any:
        """Return the labels of which the validation part shall have its share, or None."""
        del y

    # -- rows --------------------------------------------------------------------

    def _read(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        if reset:
            self._categories = Categories(type(self).__name__, X)
        read: tuple[Any, Any] = self._validated(
            X, y, reset=reset, multi_output=True, y_numeric=self._numeric
        )
        return read

    def _validated(self, X: Any, *y: Any, **options: Any) -> Any:
        """Return what scikit-learn's check makes of X, after words became numbers."""
        preset = self._use.preset is not None
        X = self._categories.encoded(type(self).__name__, X)
        try:
            return validate_data(
                self,
                X,
                *y,
                accept_sparse="csr",
                dtype=np.float32 if preset else DTYPES,
                ensure_all_finite="allow-nan" if preset else True,
                **options,
            )
        except ValueError:
            for name, data in zip("Xy", (X, *y), strict=False):
                check_even(type(self).__name__, name, data)
            raise

    def _read_weight(self, owner: str, name: str, given: Any, X: Any) -> Array | None:
        if given is None:
            return None
        try:
            weight: Array = _check_sample_weight(given, X, dtype=X.dtype)
        except ValueError as error:
            raise ValueError(f"{owner} cannot take {name}: {error}") from error
        if not ((weight >= 0).all() and weight.any()):
            raise ValueError(
                f"{owner} expects every {name} to be at least 0, and one above 0, got "
                f"{weight.min():g} to {weight.max():g}"
            )
        if not np.isfinite(_total(weight)):
            raise ValueError(
                f"{owner} expects the sum of {name} to be finite, it overflows; divide them by "
                "their largest"
            )
        return weight

    def _read_held(self, owner: str, X: Any, y: Any, weight: Any) -> Rows:
        if X is None or y is None:
            raise ValueError(f"{owner} expects both X_val and y_val, got one of them")
        X, y = self._read(X, y, reset=False)
        weight = self._read_weight(owner, "sample_weight_val", weight, X)
        return Rows(X, self._check_target(owner, y), weight)

    def _rows(self, owner: str, which: str, part: Rows) -> Rows:
        """Return the rows as the network and the loss take them, or raise if none counts."""
        X, target, weight = part
        rows = Rows(self._input(X), self._for_loss(target), self._weights(target, weight))
        total = 1.0 if rows.weight is None else _total(rows.weight)
        fix = "" if which == "rows" else "; leave out what counts nothing, or pass X_val and y_val"
        if not total:
            raise ValueError(
                f"{owner} expects one of the {len(target)} {which} to count, but the "
                f"weights of all of them are 0, by sample_weight or class_weight{fix}"
            )
        if not np.isfinite(total):
            raise ValueError(
                f"{owner} expects the sum of sample_weight times class_weight to be finite, of "
                f"the {which} it overflows; scale them down"
            )
        return rows

    def _split(self, owner: str, rows: Rows, random: Any) -> tuple[Rows, Rows]:
        """Return the training part, and the validation part."""
        X, target, weight = rows
        share = check_finite_number(owner, "validation_fraction", self._use.validation_fraction)
        if not 0 < share < 1:
            raise ValueError(
                f"{owner} expects validation_fraction to be between 0 and 1, got {share}"
            )
        strata = self._strata(target)
        try:
            try:
                train, val = _parts(len(target), share, random, strata)
            except ValueError:  # a part would have fewer rows than there are classes
                train, val = _parts(len(target), share, random, None)
        except ValueError as error:
            raise ValueError(
                f"{owner} cannot take the share validation_fraction={share} of {len(target)} "
                f"rows: {error}"
            ) from error
        first, held = (
            Rows(X[part], target[part], None if weight is None else weight[part])
            for part in (train, val)
        )
        return first, held

    def as_numbers(self, X: Any) -> Any:
        """Return the rows of `X` as ``model_`` takes them: words are numbers, all of one dtype.

        Parameters
        ----------
        X : array or table of shape (examples, features)

        Returns
        -------
        array of shape (examples, features)
        """
        check_is_fitted(self)
        return self._input(self._validated(X, reset=False))

    @property
    def categories_(self) -> dict[Any, list[Any]]:
        """The words of each column that held words; the first counts as 1, a new word as 0."""
        names = getattr(self, "feature_names_in_", range(self.n_features_in_))
        return {names[place]: list(codes) for place, codes in self._categories.codes.items()}

    def _input(self, X: Array) -> Any:
        """Return `X` as the network takes it: as whole numbers, if it looks them up."""
        if not self._whole:
            return X
        if (numbers_of(X) % 1).any():  # of a gap, too
            raise ValueError(
                f"{type(self).__name__}: the network takes whole numbers, X holds others"
            )
        return X.astype(np.intp)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.input_tags.allow_nan = self.preset is not None
        return tags


def counted(rows: Rows) -> Rows:
    """Return the rows of a weight above 0; all if there is none, which is refused later."""
    if rows.weight is None or not rows.weight.any():
        return rows._replace(weight=None)
    counted = rows.weight > 0
    return Rows(rows.x[counted], rows.target[counted], rows.weight[counted])


def _total(weight: Array) -> float:
    with np.errstate(over="ignore"):
        return float(np.sum(weight, dtype=np.float64))


def _parts(n: int, share: float, random: Any, strata: Any) -> tuple[Array, Array]:
    train, val = train_test_split(
        np.arange(n), test_size=share, random_state=random, stratify=strata
    )
    return train, val


def random_state(owner: str, given: Any) -> Any:
    """Return scikit-learn's generator for what was given, or raise if it is none that serves."""
    try:
        return check_random_state(given)
    except ValueError as error:
        if hasattr(given, "__index__"):
            raise ValueError(f"{owner} cannot take random_state={given!r}: {error}") from None
        fix = "; pass int(rng.integers(2**32))" if isinstance(given, np.random.Generator) else ""
        raise TypeError(
            f"{owner} expects random_state to be an int, a RandomState or None, got "
            f"{describe(given)}{fix}"
        ) from None
