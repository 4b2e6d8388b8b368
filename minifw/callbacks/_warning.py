"""What a callback warns of."""

from minifw._tools.warn import warn_user


class TrainingWarning(UserWarning):
    """Something keeps the network from learning, or may.

    Examples
    --------
    >>> import warnings
    >>> from minifw import TrainingWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("error", TrainingWarning)  # a training in here ends at once
    """


def warn(message: str) -> None:
    """Give a `TrainingWarning` that names the user's line, in every run."""
    warn_user(message, TrainingWarning, every_time=True)
