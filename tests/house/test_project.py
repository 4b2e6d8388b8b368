"""What several files say of the project: they say the same."""

import re
import tomllib
from typing import Any

from house import ROOT, sources

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
