"""Links to the repository and "edit this page", once pyproject.toml has an address."""

import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["repository_options", "setup"]

NAMES = ("repository", "source", "source code", "github")  # of the address, in [project.urls]
MADE = ("gallery/", "reference/generated/")  # pages that are made from other files


def repository_options(pyproject: str) -> dict[str, Any]:
    r"""Return the options of furo for the text of a pyproject.toml: none without an address.

    Examples
    --------
    >>> repository_options("[project]")
    {}
    >>> repository_options('[project.urls]\nRepository = "https://a.b"')["source_repository"]
    'https://a.b'
    """
    urls = tomllib.loads(pyproject)["project"].get("urls", {})
    named = {name.lower(): address for name, address in urls.items()}
    for name in NAMES:
        if name in named:
            return {
                "source_repository": named[name],
                "source_branch": "main",
                "source_directory": "docs/",
            }
    return {}


def hide_on_made(app: "Sphinx", page: str, template: str, context: dict[str, Any], _: Any) -> None:
    """Leave "edit this page" out where the page is no file of the repository."""
    del app, template
    if page.startswith(MADE):
        context["theme_top_of_page_buttons"] = []


def setup(app: "Sphinx") -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("html-page-context", hide_on_made)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
