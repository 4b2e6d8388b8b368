"""The tools that one command runs: types and style."""

import subprocess
import sys

import pytest
from house import ROOT

pytestmark = pytest.mark.slow


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
