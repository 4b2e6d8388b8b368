"""The gallery: every script in examples/ is run as a user runs it, and its pictures are shown.

The scripts stay as they are; their cells (# %%) have prose between. A copy of each gets a title,
the first words of its docstring, and is what sphinx-gallery runs and prints, in the folder of the
copies: its pictures are there.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

__all__ = ["gallery_settings", "prepare"]

# What is run for the site where the whole takes minutes; the page says so.
SHORTER = {
    "gpt": ["--steps", "100"],
    "optimizers": ["--starts", "2", "--evaluations", "2000"],
    "pipeline": ["--epochs", "10", "--folds", "2"],
    "seq2seq": ["--steps", "200"],
}
SHOWN = ("data_parallel",)  # and not run, for it needs an MPI; the page says so
HEADER = """\
Gallery
=======

Scripts that run from a clone, with what they print and the pictures that they draw. All of it was
made by the scripts themselves when this site was built.
"""


def with_title(name: str, source: str) -> str:
    """Return the script with a docstring that sphinx-gallery can read."""
    first, _, rest = source.removeprefix('"""').partition("\n")
    closed = first.endswith('"""')
    sentence = first.removesuffix('"""')
    text, _, code = ("", "", rest) if closed else rest.partition('"""')
    text = f"\n{text.lstrip(chr(10))}"
    title = re.split(r"[:,.]", sentence)[0]
    # What is indented are commands: as they are, and not as a quotation.
    text = re.sub(r"\n((?:    .*\n)+)", r"\n.. code-block:: sh\n\n\1", text)
    if name in SHORTER:
        text += f"\nFor this page it was run with ``{' '.join(SHORTER[name])}``.\n"
    if name in SHOWN:
        text += "\nIt is shown here, and was not run.\n"
    # The title is above: the sentence on the page, and on the card, goes on from it.
    rest = sentence.removeprefix(f"{title}:").removeprefix(f"{title}.").strip()
    sentence = rest[:1].upper() + rest[1:]
    return f'"""\n{title}\n{"=" * len(title)}\n\n{sentence}\n{text}"""{code}'


def prepare(examples: Path, copies: Path) -> None:
    """Write the copies of the scripts, and the head of the gallery."""
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir(parents=True)
    (copies / "GALLERY_HEADER.rst").write_text(HEADER, encoding="utf-8")
    for path in sorted(examples.glob("*.py")):
        text = with_title(path.stem, path.read_text(encoding="utf-8"))
        card = f"images/card-{path.stem}.png"  # by docs/images/cards.py
        if (examples.parent / "docs" / card).exists():
            text += f"\n# sphinx_gallery_thumbnail_path = '{card}'\n"  # no part of the page
        (copies / path.name).write_text(text, encoding="utf-8")


def arguments(gallery: object, variables: dict[str, Any]) -> list[str]:
    """Return what stands in sys.argv while a script runs."""
    del gallery
    return SHORTER.get(Path(variables["src_file"]).stem, [])


def scraped(block: object, variables: dict[str, Any], gallery: dict[str, Any]) -> str:
    """Move the pictures of a script to where sphinx-gallery wants them; return what shows them."""
    from sphinx_gallery.scrapers import figure_rst  # noqa: PLC0415 - of the docs extra

    del block
    places: Iterator[str] = variables["image_path_iterator"]
    shown = []
    for picture, place in zip(
        sorted(Path(variables["src_file"]).parent.glob("*.png")), places, strict=False
    ):
        shutil.move(picture, place)
        shown.append(place)
    text: str = figure_rst(shown, gallery["src_dir"])
    return text


def gallery_settings(docs: Path) -> dict[str, Any]:
    """Return what conf.py gives to sphinx-gallery."""
    copies = docs / "_build" / "examples"
    prepare(docs.parent / "examples", copies)
    return {
        "examples_dirs": str(copies),
        "gallery_dirs": "gallery",
        "filename_pattern": rf"[/\\](?!{'|'.join(SHOWN)})\w+\.py$",
        "image_scrapers": ("site_gallery.scraped",),
        "reset_argv": "site_gallery.arguments",
        "reset_modules": (),
        "within_subsection_order": "FileNameSortKey",
        "default_thumb_file": str(docs / "images" / "network.png"),  # of scripts that do not draw
        "abort_on_example_error": True,
        "download_all_examples": False,
        "show_signature": False,
        "remove_config_comments": True,
        "min_reported_time": 10_000,  # how long one took here is nobody's business
        "write_computation_times": False,
        "notebook_extensions": [],
        "doc_module": ("minifw",),
    }
