"""Packages that only parts of minifw need: the extras."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def needs(owner: str, package: str, extra: str) -> Iterator[None]:
    """Within, import the package: where that fails, the error says which extra to install."""
    try:
        yield
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py without an MPI library
        raise ImportError(
            f"{owner} needs {package}; install the extra minifw[{extra}]: "
            f"python -m pip install 'minifw[{extra}]'"
        ) from error
