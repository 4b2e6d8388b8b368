"""The exercise files of docs/learn in the site: each as a script and as a notebook.

docs/learn/make_exercises.py makes both of a chapter's page. Its links stand below the heading.
"""

import runpy
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["setup", "with_links"]

MAKE = runpy.run_path(str(Path(__file__).parents[1] / "learn" / "make_exercises.py"))
WORDS = {
    "en": "Exercises to download: {script} or {notebook}",
    "zh_CN": "下载练习: {script} 或 {notebook}",
}


def with_links(body: str, file: str, language: str = "en") -> str:
    """Return the HTML of a chapter with links to its exercise file below the heading.

    Examples
    --------
    >>> print(with_links("<h1>One</h1>", "01_one"))
    <h1>One</h1>
    <p>Exercises to download: <a download href="exercises/01_one.py">01_one.py</a> or \
<a download href="exercises/01_one.ipynb">01_one.ipynb</a></p>
    """
    names = {"script": f"{file}.py", "notebook": f"{file}.ipynb"}
    links = {k: f'<a download href="exercises/{n}">{n}</a>' for k, n in names.items()}
    line = WORDS.get(language, WORDS["en"]).format(**links)
    return body.replace("</h1>", f"</h1>\n<p>{line}</p>", 1)


def add_links(app: "Sphinx", page: str, template: str, context: dict[str, Any], _: Any) -> None:
    """Add the links to the pages of chapters."""
    del template
    path = Path(app.env.doc2path(page)) if page in app.env.found_docs else None
    if path in (files := MAKE["files"]()):
        context["body"] = with_links(context["body"], files[path].stem, app.config.language)


def write(app: "Sphinx", error: Exception | None) -> None:
    """Write the scripts and the notebooks beside the chapters."""
    if error or app.builder.format != "html":
        return
    folder = app.outdir / "learn" / "exercises"
    folder.mkdir(parents=True, exist_ok=True)
    for page, file in MAKE["files"]().items():
        text = MAKE["script"](page)
        (folder / file.name).write_text(text, encoding="utf-8")
        (folder / f"{file.stem}.ipynb").write_text(MAKE["notebook"](text), encoding="utf-8")


def setup(app: "Sphinx") -> dict[str, bool]:
    """Tell Sphinx."""
    app.connect("html-page-context", add_links)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
