"""What layers and losses say of themselves, with symbols filled in."""

import numpy as np

from minifw.core.layer import Layer
from minifw.losses import Loss


class Names(dict[str, str]):
    """The words that a formula may have in braces: symbols, and numbers and flags."""

    def __init__(self, owner: Layer | Loss, known: dict[str, str]) -> None:
        super().__init__(known)
        self._owner = owner

    def __missing__(self, key: str) -> str:
        value = getattr(self._owner, key, None)
        if isinstance(value, np.ndarray):
            return key if value.ndim else f"{value:.4g}"
        if value is True:  # a flag in braces: the form has the flags that are set
            return ""
        if isinstance(value, int | float) and value is not False:
            return f"{value:.4g}"
        raise KeyError(key)


def formula_of(owner: Layer | Loss, key: str, names: Names) -> str | None:
    """Return what `owner` says of `key`, with the symbols filled in; None if it says nothing."""
    own = type(owner)
    declaring = next(base for base in own.__mro__ if "formulas" in vars(base))
    for method in ("forward", "backward"):  # with another of them, it is another function
        if getattr(own, method) is not getattr(declaring, method):
            return None
    forms = owner.formulas.get(key, ())
    if isinstance(owner, Layer) and not owner.training:
        forms = owner.formulas.get(f"{key} in eval mode", forms)
    for form in (forms,) if isinstance(forms, str) else forms:
        try:
            return form.format_map(names)
        except KeyError:
            continue
    return None


def name_of(thing: object) -> str:
    return type(thing).__name__
