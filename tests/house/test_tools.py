"""The tools that one command runs: types and style."""

import doctest
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from house import ROOT

pytestmark = pytest.mark.slow

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PYRIGHT = {
    "typeCheckingMode": "standard",  # its own default; Pylance's asks less
    "extraPaths": [str(ROOT)],
    "useLibraryCodeForTypes": False,  # no guesses about packages that say no types
    "reportMissingImports": False,  # a page may name what the tests do not install
    "reportOptionalMemberAccess": False,  # Dense(2, 4).bias, which bias=False leaves out
    "reportOptionalSubscript": False,
    "reportPossiblyUnboundVariable": False,  # of a loop that runs at least once
    "reportRedeclaration": False,  # a page is one file here
    "reportUnusedExpression": False,
}

# What pyright may find besides, by file and rule; some of it with some versions of others.
ACCEPTED = {
    # load, import_ and trainer.model give a Layer, of whose class it knows nothing.
    ("docs/howto/callbacks.md", "reportIndexIssue"),
    ("docs/howto/nan.md", "reportIndexIssue"),
    ("docs/onnx.md", "reportIndexIssue"),
    ("docs/saving.md", "reportIndexIssue"),
    # Names that a page uses for two things, or does not define.
    ("docs/explanation/numerics.md", "reportAssignmentType"),
    ("docs/explanation/numerics.md", "reportOperatorIssue"),
    ("docs/howto/architectures.md", "reportAssignmentType"),
    # A subclass returns another dtype than what pyright infers of a class without types.
    ("docs/writing-a-layer.md", "reportIncompatibleMethodOverride"),
    # What a layer saves may be whole numbers, or a shape, and pyright takes it for real numbers.
    ("docs/learn/classes.md", "reportArgumentType"),
    ("docs/learn/classes.md", "reportCallIssue"),
    ("docs/learn/gpt.md", "reportArgumentType"),
    ("docs/learn/gpt.md", "reportCallIssue"),
    ("docs/learn/images.md", "reportArgumentType"),
    ("docs/learn/images.md", "reportCallIssue"),
    ("docs/learn/letters.md", "reportArgumentType"),
    ("docs/learn/letters.md", "reportCallIssue"),
    # A default that is a class, such as Adam, where another class is given.
    ("docs/learn/clinic.md", "reportArgumentType"),
    # What other packages say: NumPy of np.isnan(...).any(axis=1), torch of model[0].
    ("docs/howto/nan.md", "reportAttributeAccessIssue"),
    ("docs/learn/onwards.md", "reportIndexIssue"),
    ("docs/scikit-learn.md", "reportArgumentType"),
}


@pytest.mark.parametrize(
    "command",
    [["mypy", "--strict"], ["ruff", "check"], ["ruff", "format", "--check"]],
    ids=["mypy", "ruff", "format"],
)
def test_tool_is_content(command: list[str]) -> None:
    result = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def code_of(page: Path) -> str:
    """Return what a page runs, but for what it shows to raise."""
    parser, lines = doctest.DocTestParser(), list[str]()
    for block in BLOCK.findall(page.read_text(encoding="utf-8")):
        examples = parser.get_examples(block)
        lines += [one.source for one in examples if one.exc_msg is None]
        lines += [] if examples else [block]
    return "".join(lines)


def test_pyright_accepts_what_is_documented(tmp_path: Path) -> None:
    """Pylance in VS Code is this checker: the README, the pages and the examples pass."""
    built = ROOT / "docs" / "_build"
    found = [page for page in ROOT.glob("docs/**/*.md") if built not in page.parents]
    pages = [ROOT / "README.md", *found, *ROOT.glob("examples/*.py")]
    sources = {f"page_{number}.py": page for number, page in enumerate(pages)}
    for name, page in sources.items():
        is_code = page.suffix == ".py"
        text = page.read_text(encoding="utf-8") if is_code else code_of(page)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(PYRIGHT), encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable],
        cwd=tmp_path,
        env={**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"},  # do not ask for a newer one
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(result.stdout)
    assert report["summary"]["filesAnalyzed"] == len(sources), result.stdout + result.stderr
    errors: dict[tuple[str, str], str] = {}
    for error in report["generalDiagnostics"]:
        page = sources[Path(error["file"]).name].relative_to(ROOT)
        key = page.as_posix(), error.get("rule", "syntax")
        errors[key] = f"{errors.get(key, '')}\n{error['range']['start']}: {error['message']}"
    said = [f"{', '.join(key)}: {errors[key]}" for key in errors.keys() - ACCEPTED]
    assert not said, "\n".join(said)
