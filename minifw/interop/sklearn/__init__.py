"""Networks as scikit-learn estimators; the extra minifw[sklearn]."""

try:
    import sklearn as _sklearn  # noqa: F401 - asked here, for the message below
except ImportError as error:
    raise ImportError(
        "minifw.interop.sklearn needs scikit-learn; install the extra minifw[sklearn]: "
        "python -m pip install 'minifw[sklearn]'"
    ) from error

from minifw.interop.sklearn._classifier import NetworkClassifier
from minifw.interop.sklearn._regressor import NetworkRegressor

__all__ = ["NetworkClassifier", "NetworkRegressor"]
