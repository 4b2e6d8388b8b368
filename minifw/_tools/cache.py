"""What forward leaves for backward: the notes' cache."""

from typing import Any

import numpy as np

from minifw._tools.arrays import Writable
from minifw._tools.changes import CountsChanges
from minifw._tools.locks import EVALUATIONS
from minifw.typing import Array

# How the names of attributes begin that hold no layer and no generator of the next step: the
# arguments, where a generator was used up when the layer was built, and what a forward saved.
NOT_MEMBERS = ("_arguments", "_saved")


def _is_path(value: object) -> bool:
    return isinstance(value, str) or hasattr(value, "__fspath__")


class SavesForBackward(CountsChanges, Writable):
    """Hands arrays from ``forward`` to ``backward``: what the notes call the cache.

    ``backward`` always differentiates the latest ``forward``. What is saved, and
    every attribute whose name begins with ``_saved``, belongs to that forward:
    copies and pickles leave it behind.
    """

    _saved: tuple[np.ndarray[Any, Any], ...] | None = None
    # The mark of the container's forward in which it was saved, and what was: see `Container`.
    _saved_stamp: tuple[object, object] = (None, None)

    def save(self, *arrays: np.ndarray[Any, Any]) -> None:
        """Keep what ``backward`` will need of this ``forward``; masks and indices, too.

        Raises
        ------
        TypeError
            If it is given a path: `minifw.save` writes a file.
        """
        if arrays and type(arrays[0]) is not np.ndarray and _is_path(arrays[0]):
            raise TypeError(
                f"{type(self).__name__}.save keeps arrays for backward, it got a path; to write a "
                "file, use minifw.save(model, path)"
            )
        vars(self)["_saved"] = arrays  # past __setattr__, because every forward does it

    def saved(self) -> tuple[Array, ...]:
        """Return what the latest ``forward`` saved.

        Raises
        ------
        RuntimeError
            If there was no ``forward`` yet.
        """
        if self._saved is None:
            raise RuntimeError(
                f"{self!r}: backward needs a forward before it; call forward first, which saves "
                "what backward needs by self.save(...)"
            )
        return self._saved

    def _all_saved(self) -> dict[str, Any]:
        """Return what was saved, for `_put_back`."""
        return {name: value for name, value in vars(self).items() if name.startswith("_saved")}

    def _put_back(self, saved: dict[str, Any]) -> None:
        """Forget what was saved since `_all_saved` returned this."""
        own = vars(self)
        for name in [name for name in own if name.startswith("_saved") and name not in saved]:
            del own[name]
        own.update(saved)

    def __getstate__(self) -> dict[str, Any]:
        with EVALUATIONS.lock:  # another thread may have the layer in eval mode for a moment
            own = vars(self)
            state = {name: own[name] for name in own if not name.startswith("_saved")}
            if "training" in own:
                state["training"] = EVALUATIONS.mode_of(self)
        return state
