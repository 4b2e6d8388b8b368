"""The words below a value, such as a metric, where a package only lists its name."""

import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

__all__ = ["setup"]


def find(*event: Any) -> None:
    """Take the docstring from the file of the package in which the value is made."""
    _, what, name, *_, lines = event
    package, _, value = name.rpartition(".")
    if what == "data":
        for folder in getattr(sys.modules.get(package), "__path__", ()):
            for file in sorted(Path(folder).glob("*.py")):
                words = ModuleAnalyzer.for_file(file, f"{package}.{file.stem}").find_attr_docs()
                lines[:] = words.get(("", value), lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Tell Sphinx; site_docstrings then reads what was found."""
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", find, priority=50)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
