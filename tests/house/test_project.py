"""What several files say of the project: they say the same."""

import re
import tomllib
from typing import Any

import pytest
from house import PAGE, ROOT, sources

import minifw

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def test_the_citation_is_of_this_project() -> None:
    lines = (ROOT / "CITATION.cff").read_text("utf-8").splitlines()
    said = dict(line.split(": ", 1) for line in lines if re.match(r"\w[\w-]*: ", line))
    assert said["title"] == PROJECT["name"] == minifw.__name__
    assert said["version"] == minifw.__version__
    assert (said["abstract"], said["license"]) == (PROJECT["description"], PROJECT["license"])
    assert [line[10:] for line in lines if line.startswith("  - name: ")] == [
        author["name"] for author in PROJECT["authors"]
    ]
    assert [line[4:] for line in lines if re.match(r"  - [^:]*$", line)] == PROJECT["keywords"]


def test_one_function_says_how_an_extra_is_installed() -> None:
    words = re.compile("pip install|install the extra")
    saying = {name for name, path in sources().items() if words.search(path.read_text("utf-8"))}
    assert saying == {"_tools.extras"}
    text = "\n".join(path.read_text("utf-8") for path in sources().values())
    named = set(re.findall(r'needs\([^)]*, "(\w+)"\)', text))
    assert {"plot", "sklearn"} < named < PROJECT["optional-dependencies"].keys()


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readme_is_short_and_counts_the_core(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert len(text.split()) <= 800
    read = PAGE.read_text("utf-8").split("To read the core in one sitting", 1)[1]
    files = re.findall(r"`(\w+/\w+\.py)`", read.split("\n## ", 1)[0])
    lines = sum(len((ROOT / "minifw" / file).read_text("utf-8").splitlines()) for file in files)
    hundreds = -(-lines // 100)  # rounded up
    said = re.findall(r"(\d+) (?:files|个文件)\D+([\d,]+) (?:lines|行)", text)
    assert said == [(str(len(files)), f"{hundreds * 100:,}")]
