"""Networks as scikit-learn estimators; the extra minifw[sklearn]."""

from minifw._tools.extras import needs as _needs

with _needs("minifw.interop.sklearn", "scikit-learn", "sklearn"):
    import sklearn as _sklearn  # noqa: F401 - asked here, for the message

from minifw.interop.sklearn._classifier import NetworkClassifier
from minifw.interop.sklearn._conformal import ConformalClassifier, ConformalRegressor
from minifw.interop.sklearn._regressor import NetworkRegressor

__all__ = ["ConformalClassifier", "ConformalRegressor", "NetworkClassifier", "NetworkRegressor"]
