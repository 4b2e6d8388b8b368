"""Docstrings are plain text, for help(): here their formulas are kept from being markup."""

import inspect
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["escaped", "setup"]

_PARTS = re.compile(
    r"(``.*?``|`[^`]+`|(?<![\w*])\*[a-z]+\*(?![\w*]))"
)  # literals, names, emphasis


def escaped(lines: list[str]) -> Iterator[str]:
    r"""Yield the lines with |x| as an absolute value, which reST takes for a substitution.

    Examples
    --------
    >>> list(escaped(["L = mean(|e|), ``|e|``", ">>> print('|')", "|", "", "x * y*"]))
    ['L = mean(\\|e\\|), ``|e|``', ">>> print('|')", '|', '', 'x \\* y\\*']
    >>> list(escaped([".. formulas::", "", "    y = |x|"]))
    ['.. formulas::', '', '    y = |x|']
    """
    session = formula = False
    for line in lines:
        formula = line == ".. formulas::" or (formula and line[:1] in {"", " "})
        if formula:
            yield line
            continue
        session = line.lstrip().startswith(">>>") or (session and bool(line.strip()))
        if session:
            yield line
            continue
        parts = _PARTS.split(line)
        parts[::2] = [re.sub(r"(?<!\\)([|*])", r"\\\1", part) for part in parts[::2]]
        yield "".join(parts)


def escape(*event: Any) -> None:
    """Change the lines, the last of what Sphinx hands over, before numpydoc reads them."""
    event[-1][:] = escaped(event[-1])


def signature(*event: Any) -> tuple[str, None] | None:
    """Return the arguments of a class's constructor, for ``__new__`` takes any."""
    _, what, _, found, *_ = event
    if what != "class" or "__init__" not in dir(found):
        return None
    try:
        parameters = list(inspect.signature(found.__init__).parameters.values())[1:]
    except ValueError:  # of C
        return None
    bare = [parameter.replace(annotation=parameter.empty) for parameter in parameters]
    return re.sub(r"<class '(?:numpy\.)?([\w.]+)'>", r"\1", str(inspect.Signature(bare))), None


def skip(*event: Any) -> bool | None:
    """Leave out what scikit-learn puts into every estimator, such as set_fit_request."""
    name: str = event[2]
    return True if re.fullmatch(r"set_\w+_request", name) else None


def setup(app: "Sphinx") -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("autodoc-process-docstring", escape, priority=100)  # before numpydoc's 500
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
