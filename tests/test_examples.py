"""The examples, run as a user runs them, and the notes' costs."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTES_COSTS = [0.693162, 0.258625, 0.239334, 0.230802, 0.225528, 0.221845, 0.219094]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def run(script: str, *options: str, cwd: Path, prelude: str = "") -> str:
    code = f"{prelude}\nimport runpy, sys\nsys.argv = {[script, *options]!r}\n"
    code += f"runpy.run_path({str(EXAMPLES / script)!r}, run_name='__main__')"
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_two_layer_network_prints_the_notes_costs(tmp_path: Path) -> None:
    output = run("two_layer_network.py", cwd=tmp_path)
    costs = [
        float(c) for c in re.findall(r"^Cost after iteration \d+: ([\d.]+)$", output, re.MULTILINE)
    ]
    assert len(costs) == 10
    assert costs[:7] == pytest.approx(NOTES_COSTS, abs=5e-6)
    (percent,) = re.findall(r"Accuracy: ([\d.]+) %", output)
    assert float(percent) == pytest.approx(90, abs=1.5)
    assert (tmp_path / "two_layer_network.png").read_bytes().startswith(PNG_SIGNATURE)


def test_options(tmp_path: Path) -> None:
    options = "--hidden", "3", "--lr", "0.5", "--iterations", "1001", "--seed", "5"
    output = run("two_layer_network.py", *options, cwd=tmp_path)
    assert output.count("Cost after iteration") == 2


def test_without_matplotlib_it_says_how_to_get_the_picture(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['matplotlib'] = None"
    output = run("two_layer_network.py", "--iterations", "1", cwd=tmp_path, prelude=hidden)
    assert 'pip install "minifw[plot]"' in output
    assert not list(tmp_path.iterdir())


def test_table_of_accuracies(tmp_path: Path) -> None:
    output = run("two_layer_network.py", "--table", cwd=tmp_path)
    found = re.findall(r"Accuracy for +(\d+) hidden units: ([\d.]+) %", output)
    assert [int(n) for n, _ in found] == [1, 2, 3, 4, 5, 20, 50]
    percents = [float(p) for _, p in found]
    assert percents[:5] == pytest.approx([67.5, 67.3, 90.8, 90.5, 91.3], abs=0.3)
    assert all(89.9 <= p <= 91.1 for p in percents[5:])


def test_perceptron(tmp_path: Path) -> None:
    output = run("perceptron.py", cwd=tmp_path)
    clouds, flower = (float(p) for p in re.findall(r"Accuracy: ([\d.]+) %", output))
    assert clouds > 99
    assert flower < 60


def test_the_blocks_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        exec(block, {})  # noqa: S102 - our own README
    (percent,) = re.findall(r"accuracy (\d+)%", capsys.readouterr().out)
    assert 85 <= int(percent) <= 95
