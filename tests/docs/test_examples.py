"""The examples, run as a user runs them, and the notes' costs."""

import ast
import io
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTES_COSTS = [0.693162, 0.258625, 0.239334, 0.230802, 0.225528, 0.221845, 0.219094]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


Shorter = Mapping[str, str]
NOTHING: Shorter = {}
# examples/seeing.py trains for its pictures alone.
SEEING = {"10_000, 1.2": "100, 1.2", "1_000, 0.003": "100, 0.003", "200, 0.01": "2, 0.01"}


@dataclass
class Ended:
    """What a script wrote, and the status that it left."""

    returncode: int
    stdout: str
    stderr: str


def launch(
    script: str,
    *options: str,
    cwd: Path,
    without: tuple[str, ...] = (),
    shorter: Shorter = NOTHING,
) -> Ended:
    """Run a script in this process, where the packages that it imports are loaded already.

    It cannot import the packages named by `without`, as if they were not installed. `shorter` has
    numbers of iterations in its text, and others that take their places.
    """
    out, err, status = io.StringIO(), io.StringIO(), 0
    path = EXAMPLES / script
    text = path.read_text(encoding="utf-8")
    for long, short in shorter.items():
        assert long in text
        text = text.replace(long, short)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr(sys, "argv", [script, *options])
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        loaded = [name for name in sys.modules if name.partition(".")[0] in without]
        for name in (*without, *loaded):
            patch.setitem(sys.modules, name, None)
        module = ModuleType("__main__", ast.get_docstring(ast.parse(text)))
        patch.setitem(sys.modules, "__main__", module)
        try:
            exec(compile(text, path, "exec"), vars(module))  # noqa: S102
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else bool(error.code)
            if isinstance(error.code, str):
                err.write(f"{error.code}\n")
    return Ended(status, out.getvalue(), err.getvalue())


def run(
    script: str,
    *options: str,
    cwd: Path,
    without: tuple[str, ...] = (),
    shorter: Shorter = NOTHING,
) -> str:
    result = launch(script, *options, cwd=cwd, without=without, shorter=shorter)
    assert result.returncode == 0, result.stderr
    return result.stdout


def alone(script: str, *options: str, cwd: Path, under: Sequence[str | Path] = ()) -> str:
    """Run a script as a user runs it, in a process of its own, under mpirun if that is given."""
    result = subprocess.run(
        [*under, sys.executable, "-W", "error", EXAMPLES / script, *options],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(EXAMPLES.parent)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def refusal(script: str, *options: str, cwd: Path, status: int, shorter: Shorter = NOTHING) -> str:
    """Return the last line of what a call that fails writes to stderr."""
    result = launch(script, *options, cwd=cwd, shorter=shorter)
    assert result.returncode == status, result.stdout
    assert "Traceback" not in result.stderr
    assert "Warning" not in result.stderr
    return result.stderr.splitlines()[-1]


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
    options = "--iterations", "1"
    output = run("two_layer_network.py", *options, cwd=tmp_path, without=("matplotlib",))
    assert "minifw[plot]" in output
    assert "python -m pip install --editable '.[plot]'" in output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["pictures/flower.png", "no_suffix"])
def test_the_picture_is_written_where_it_is_asked_for(tmp_path: Path, path: str) -> None:
    (tmp_path / "pictures").mkdir()
    output = run("two_layer_network.py", "--iterations", "1", "--picture", path, cwd=tmp_path)
    assert output.endswith(f"\nPicture: {path}\n")
    assert (tmp_path / path).read_bytes().startswith(PNG_SIGNATURE)
    assert not (tmp_path / "two_layer_network.png").exists()


@pytest.mark.parametrize("path", ["missing/flower.png", "flower.unknown"])
def test_a_picture_that_cannot_be_written_is_one_sentence(tmp_path: Path, path: str) -> None:
    options = "--iterations", "1", "--picture", path
    line = refusal("two_layer_network.py", *options, cwd=tmp_path, status=1)
    assert line.startswith("The picture could not be written: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["hidden", "iterations", "picture"])
def test_the_table_refuses_what_it_would_ignore(tmp_path: Path, option: str) -> None:
    options = "--table", f"--{option}", "4"
    line = refusal("two_layer_network.py", *options, cwd=tmp_path, status=2)
    assert "error: --table " in line
    assert line.endswith(f"leave out --{option}")


@pytest.mark.parametrize("lr", ["0", "-1", "inf", "nan"])
def test_a_learning_rate_that_is_none(tmp_path: Path, lr: str) -> None:
    line = refusal("two_layer_network.py", f"--lr={lr}", cwd=tmp_path, status=2)
    assert line.endswith("error: --lr must be finite and above 0")


@pytest.mark.parametrize("table", [(), ("--table",)], ids=["one network", "the table"])
def test_a_run_that_diverges_ends_in_one_sentence(tmp_path: Path, table: tuple[str, ...]) -> None:
    options = "--lr", "1e308", *table
    result = launch("two_layer_network.py", *options, cwd=tmp_path)
    assert result.returncode == 1
    sentence = r"Training diverged, try an --lr smaller than 1e\+308: the loss is not finite .*\n"
    assert re.fullmatch(sentence, result.stderr)
    # In the table, networks of one and two units end with finite weights, and a bad accuracy.
    assert table or "Accuracy" not in result.stdout
    assert not list(tmp_path.iterdir())


def test_table_of_accuracies(tmp_path: Path) -> None:
    shorter = {"4, 5, 20, 50)": "4, 5, 20)"}  # 50 units take as long as all others
    output = run("two_layer_network.py", "--table", cwd=tmp_path, shorter=shorter)
    found = re.findall(r"Accuracy for +(\d+) hidden units: ([\d.]+) %", output)
    assert [int(n) for n, _ in found] == [1, 2, 3, 4, 5, 20]
    percents = [float(p) for _, p in found]
    assert percents[:5] == pytest.approx([67.5, 67.3, 90.8, 90.5, 91.3], abs=0.3)
    assert 89.9 <= percents[5] <= 91.1


def test_perceptron(tmp_path: Path) -> None:
    output = run("perceptron.py", cwd=tmp_path)
    clouds, flower = (float(p) for p in re.findall(r"Accuracy: ([\d.]+) %", output))
    assert clouds > 99
    assert flower < 60
    assert re.search(r"^Accuracy: 4.* %\n\(Below 50 % is possible: ", output, re.MULTILINE)
    number = r"[+-]\d\.\d{3}"
    line = rf"^The line: {number} x1 {number} x2 {number} = 0$"
    assert len(re.findall(line, output, re.MULTILINE)) == 2


def test_the_perceptron_answers_to_options(tmp_path: Path) -> None:
    assert run("perceptron.py", "--help", cwd=tmp_path).startswith("usage: perceptron.py")
    line = refusal("perceptron.py", "--fast", cwd=tmp_path, status=2)
    assert line.endswith("unrecognized arguments: --fast")


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_pictures_are_drawn_without_pyplot(path: Path) -> None:
    assert "pyplot" not in path.read_text(encoding="utf-8")  # as minifw.plots draws them


def test_the_blocks_of_the_readme_run(capsys: pytest.CaptureFixture[str]) -> None:
    text = (EXAMPLES.parent / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    outputs = []
    for block in blocks:
        exec(block, names)  # noqa: S102 - our own README
        outputs.append(capsys.readouterr().out)
    assert re.findall(r"```text\n(.*?)```", text, re.DOTALL) == [outputs[0]]
    assert outputs[1].splitlines()[0].split() == [
        "epoch",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
    ]
    assert outputs[3].startswith("Scale(3): all ")


def test_custom_layer(tmp_path: Path) -> None:
    output = run("custom_layer.py", cwd=tmp_path)
    assert output.startswith("Swish(3): all ")
    assert "5 times too small: 5 is the batch size" in output
    assert float(re.findall(r"accuracy ([\d.]+) %", output)[0]) > 95


METHODS = [
    "gradient descent, lr 1.2",
    "mini-batch SGD, lr 0.3",
    "momentum 0.9, lr 0.5",
    "Adam, lr 0.01",
]
SCIPY_METHODS = [
    "L-BFGS-B, default tolerances",
    "L-BFGS-B, tight, memory of 30",
    "BFGS",
    "Newton-CG",
    "trust-ncg",
]


def test_optimizers(tmp_path: Path) -> None:
    output = run("optimizers.py", "--starts", "4", "--evaluations", "60", cwd=tmp_path)
    for name in METHODS + SCIPY_METHODS:
        line = re.search(rf"^{re.escape(name)} +([\d. ]+) +([\d.]+)%$", output, re.MULTILINE)
        assert line, name
        own, median, lowest, highest, used = map(float, line[1].split())
        assert 0.15 < lowest <= median <= highest < 0.7
        assert lowest <= own <= highest
        assert 50 <= used <= 60
    assert (tmp_path / "optimizers.png").read_bytes().startswith(PNG_SIGNATURE)


def test_optimizers_without_extras(tmp_path: Path) -> None:
    options = "--starts", "1", "--evaluations", "3"
    output = run("optimizers.py", *options, cwd=tmp_path, without=("matplotlib", "scipy"))
    assert "minifw[scipy]" in output
    assert "minifw[plot]" in output
    assert all(name in output for name in METHODS)
    assert not list(tmp_path.iterdir())
    line = refusal("optimizers.py", "--starts", "0", cwd=tmp_path, status=2)
    assert line.endswith("error: --starts must be at least 1")


def test_digits(tmp_path: Path) -> None:
    output = run("digits.py", "--splits", "1", "--epochs", "3", cwd=tmp_path)
    head, *rows, last = output.splitlines()
    assert head.split() == ["parameters", "split", "1", "mean", "seconds"]
    line = r"(\D+?) +([\d,]+) +([\d.]+)% +([\d.]+)% +[\d.]+"
    found = [match.groups() for row in rows if (match := re.fullmatch(line, row))]
    # 64 256 + 256, 256 128 + 128, 128 10 + 10; 16 9 + 16, 32 16 9 + 32, 512 10 + 10
    assert [(name, size) for name, size, *_ in found] == [
        ("multilayer perceptron", "50,826"),
        ("convolutional network", "9,930"),
    ]
    for *_, accuracy, mean in found:
        assert float(accuracy) > 93
        assert mean == accuracy  # of one split
    assert last == "Picture: digits.png"
    assert (tmp_path / "digits.png").read_bytes().startswith(PNG_SIGNATURE)


def test_digits_without_extras(tmp_path: Path) -> None:
    result = launch("digits.py", cwd=tmp_path, without=("sklearn",))
    assert result.returncode == 1
    assert re.fullmatch(
        r"The images come with scikit-learn; .*minifw\[examples\].*\n", result.stderr
    )
    options = "--splits", "1", "--epochs", "1"
    output = run("digits.py", *options, cwd=tmp_path, without=("matplotlib",))
    assert output.splitlines()[-1].startswith("For the picture, digits.png, install the extra ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--splits=6", "--splits must be from 1 to 5"),
        ("--splits=0", "--splits must be from 1 to 5"),
        ("--epochs=0", "--epochs must be at least 1"),
    ],
)
def test_digits_refuses(tmp_path: Path, option: str, sentence: str) -> None:
    line = refusal("digits.py", option, cwd=tmp_path, status=2)
    assert line.endswith(f"error: {sentence}")


def test_gpt(tmp_path: Path) -> None:
    lines = run("gpt.py", "--steps", "3", cwd=tmp_path).splitlines()
    found = re.fullmatch(r"\d+ characters of \d+ kinds; a bigram model: ([\d.]+) nats", lines[0])
    assert found
    assert 2 < float(found[1]) < 3
    step = re.fullmatch(r"step 3: ([\d.]+) nats on the held-out text, \d+ s", lines[1])
    assert step
    assert 3 < float(step[1]) < 5  # of 103 characters alike it is 4.6
    assert lines[-1] == "Picture: gpt.png"
    assert (tmp_path / "gpt.png").read_bytes().startswith(PNG_SIGNATURE)


def test_seq2seq(tmp_path: Path) -> None:
    output = run("seq2seq.py", "--steps", "2", cwd=tmp_path)
    assert re.fullmatch(r"step 2: loss 3\.\d+, 0\.\d% of new words, \d+ s\n", output)


def test_seeing(tmp_path: Path) -> None:
    output = run("seeing.py", "--folder", str(tmp_path), cwd=tmp_path, shorter=SEEING)
    assert "\nZ1      = X W1' + b1 " in output
    names = ["attention", "boundary", "confusion", "curves", "histograms", "network"]
    assert output.endswith(f"\nPictures: {', '.join(f'{name}.png' for name in names)}\n")
    for name in names:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(PNG_SIGNATURE)
    page = (EXAMPLES.parent / "docs" / "seeing.md").read_text(encoding="utf-8")
    for table in output.split("\n\nPictures: ")[0].split("\n\n"):  # the page shows the same
        assert table in page


def test_moons(tmp_path: Path) -> None:
    output = run("moons.py", cwd=tmp_path)
    found = re.findall(r"^epoch +(\d+): cost ([\d.]+), accuracy ([\d.]+) %$", output, re.MULTILINE)
    assert [int(epoch) for epoch, _, _ in found] == [0, 5, 20, 40]
    assert float(found[-1][1]) < 0.1
    assert float(found[-1][2]) > 97
    assert (tmp_path / "moons.png").read_bytes().startswith(PNG_SIGNATURE)


@pytest.mark.parametrize(
    ("script", "option", "shorter"),
    [("seeing.py", "--folder", SEEING), ("moons.py", "--picture", {"(0, 5, 20, 40)": "(0, 1)"})],
)
def test_pictures_that_cannot_be_drawn_or_written(
    tmp_path: Path, script: str, option: str, shorter: Shorter
) -> None:
    output = run(script, cwd=tmp_path, without=("matplotlib",), shorter=shorter)
    assert "minifw[plot]" in output
    line = refusal(script, option, "missing/x.png", cwd=tmp_path, status=1, shorter=shorter)
    assert re.match("The pictures? could not be written: ", line)
    assert not list(tmp_path.iterdir())


def test_breast_cancer(tmp_path: Path) -> None:
    output = run("breast_cancer.py", cwd=tmp_path)
    stopped = re.match(r"(\d+) epochs; the weights are from epoch (\d+)\n\n", output)
    assert stopped
    epochs, best = map(int, stopped.groups())
    assert best == epochs - 20  # the patience: it stopped by itself
    head, *rows, last = output[stopped.end() :].splitlines()
    assert head.split() == ["rows", "loss", "accuracy", "roc_auc", "precision", "recall"]
    table = {name: list(map(float, cells)) for name, *cells in map(str.split, rows)}
    assert list(table) == ["training", "validation", "test"]
    # Of all 569 a fifth, rounded up, and of the rest a quarter: 341, 114 and 114.
    assert [table[name][0] for name in table] == [341, 114, 114]
    _, loss, accuracy, auc, precision, recall = table["test"]
    assert loss < 0.2
    assert accuracy > 0.9
    assert 0.98 < auc <= 1
    assert precision > 0.85
    assert recall > 0.85
    assert last == "Picture: breast_cancer.png"
    assert (tmp_path / "breast_cancer.png").read_bytes().startswith(PNG_SIGNATURE)


def test_diabetes(tmp_path: Path) -> None:
    output = run("diabetes.py", "--folds", "2", cwd=tmp_path)
    above, head, *rows, empty, sentence, last = output.splitlines()
    assert above.split() == ["network", "linear", "regression", "chosen", "by", "validation"]
    assert head.split() == ["fold", "RMSE", "R2", "RMSE", "R2", "weight", "decay", "epoch"]
    assert [row.split()[0] for row in rows] == ["1", "2", "all"]
    for row in rows[:-1]:
        assert row.split()[5] in {"0.01", "0.3", "1", "3"}
        assert int(row.split()[6]) > 1
    error, r2, linear_error, linear_r2 = map(float, rows[-1].split()[1:])
    for one in error, linear_error:
        assert 50 < one < 60  # the target has a standard deviation of 77
    for one in r2, linear_r2:
        assert 0.35 < one < 0.6
    assert abs(r2 - linear_r2) < 0.05
    assert not empty
    assert re.fullmatch(
        r"Squared errors, .* over 178 patients: -?\d+, with a standard error of \d+\.", sentence
    )
    assert last == "Picture: diabetes.png"
    assert (tmp_path / "diabetes.png").read_bytes().startswith(PNG_SIGNATURE)


@pytest.mark.parametrize("script", ["breast_cancer.py", "diabetes.py"])
def test_tables_without_scikit_learn(tmp_path: Path, script: str) -> None:
    result = launch(script, cwd=tmp_path, without=("sklearn",))
    assert result.returncode == 1
    assert re.fullmatch(
        r"The table comes with scikit-learn; .*minifw\[examples\].*\n", result.stderr
    )


def test_tables_without_matplotlib(tmp_path: Path) -> None:
    for name, options in ("breast_cancer", ()), ("diabetes", ("--folds", "1")):
        output = run(
            f"{name}.py", *options, "--epochs", "1", cwd=tmp_path, without=("matplotlib",)
        )
        assert f"\nFor the picture, {name}.png, install the extra minifw[examples]; " in output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("script", "option", "sentence"),
    [
        ("breast_cancer.py", "--epochs=0", "--epochs must be at least 1"),
        ("diabetes.py", "--epochs=0", "--epochs must be at least 1"),
        ("diabetes.py", "--folds=6", "--folds must be from 1 to 5"),
    ],
)
def test_tables_refuse(tmp_path: Path, script: str, option: str, sentence: str) -> None:
    line = refusal(script, option, cwd=tmp_path, status=2)
    assert line.endswith(f"error: {sentence}")


def test_data_parallel(tmp_path: Path) -> None:
    options = "data_parallel.py", "--epochs", "5"
    one = alone(*options, cwd=tmp_path)
    assert re.search(r"^Ranks: 1, seconds: [\d.]+\nLoss: 0\.\d{6}\n\Z", one, re.MULTILINE)
    mpirun = Path(sysconfig.get_path("scripts")) / "mpirun"
    several = alone(*options, cwd=tmp_path, under=(mpirun, "-n", "2"))
    assert "\nRanks: 2, seconds: " in several
    assert several.count("epoch 5/5") == 1  # of one rank
    assert one.splitlines()[-1] == several.splitlines()[-1]


def test_data_parallel_refuses(tmp_path: Path) -> None:
    line = refusal("data_parallel.py", "--epochs=0", cwd=tmp_path, status=2)
    assert line.endswith("error: --epochs must be at least 1")
    result = launch("data_parallel.py", cwd=tmp_path, without=("mpi4py",))
    assert result.returncode == 1
    assert re.fullmatch(r".* install the extra minifw\[mpi\]: .*\n", result.stderr)


def test_pipeline(tmp_path: Path) -> None:
    output = run("pipeline.py", "--epochs", "20", "--folds", "2", cwd=tmp_path)
    head, *rows, empty, count, last = output.splitlines()
    assert head.split() == ["hidden", "layers", "lr", "weight", "decay", "log", "loss"]
    assert len(rows) == 12
    assert sorted({row[:15].strip() for row in rows}) == ["()", "(16, 16)", "(16,)"]
    losses = [float(row.split()[-1]) for row in rows]
    assert losses == sorted(losses)
    assert losses[0] < 0.2
    assert not empty
    assert re.fullmatch(r"24 networks in [\d.]+ seconds", count)
    right = re.fullmatch(r"Of 54 wines that had no say, the best reads ([\d.]+)% right", last)
    assert right
    assert float(right[1]) > 90


def test_pipeline_refuses(tmp_path: Path) -> None:
    line = refusal("pipeline.py", "--folds=1", cwd=tmp_path, status=2)
    assert line.endswith("error: --folds must be at least 2")
    result = launch("pipeline.py", cwd=tmp_path, without=("sklearn",))
    assert result.returncode == 1
    assert re.fullmatch(
        r"The table comes with scikit-learn; .*minifw\[examples\].*\n", result.stderr
    )
