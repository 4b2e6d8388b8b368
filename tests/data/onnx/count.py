"""How many ONNX files of others `import_` reads, and whether the models predict the same.

    .venv/bin/python -m pip install -r tests/data/onnx/requirements.txt
    .venv/bin/python tests/data/onnx/count.py
    .venv/bin/python tests/data/onnx/count.py nodes zoo --list
    .venv/bin/python tests/data/onnx/count.py --write

The files are the onnx package's own tests, and what PyTorch, Keras and skl2onnx write of the
networks in foreign.py; what is not installed is left out. The outputs to be met are the other
program's, for the rows that it exported with and for more. A file counts as

- right, if the model's outputs differ by at most 1e-4 (1 + |y|), in float64 by 1e-10 (1 + |y|);
- refused, if `import_` raises a FileFormatError: --list prints what it says;
- wrong, if other numbers come out, or another shape;
- crash, if anything else is raised, by `import_` or later.

With --write the table goes into docs/onnx.md.
"""

import argparse
import logging
import os
import re
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

import foreign
import numpy as np
import onnx
from foreign import File
from onnx import numpy_helper

from minifw import FileFormatError
from minifw.interop.onnx import import_

Verdict: TypeAlias = tuple[str, str, str]
"""The file, what became of it, and what was said."""

PAGE = Path(__file__).parents[3] / "docs" / "onnx.md"
START, END = "<!-- count.py: start -->", "<!-- count.py: end -->"
COLUMNS = ("right", "refused", "wrong", "crash")
BOUNDS = {"float64": 1e-10, "float32": 1e-4, "float16": 1e-2, "bfloat16": 1e-2}


def judged(file: File) -> Verdict:
    """Return what `import_` makes of a file."""
    if file.path is None:
        return file.name, "not exported", file.failed
    names = [one.name for one in onnx.load(file.path, load_external_data=False).graph.output]
    labelled = names == ["label", "probabilities"]  # of skl2onnx; no layer gives labels
    try:
        model = import_(file.path, outputs=names[1:] if labelled else None)
    except FileFormatError as error:
        return file.name, "refused", str(error).split(" cannot be imported: ")[-1]
    except Exception as error:  # noqa: BLE001 - what is not documented
        return file.name, "crash", f"import_: {type(error).__name__}: {error}"
    for inputs, outputs in file.sets:
        try:
            got = model.predict(inputs if len(inputs) > 1 else inputs[0], allow_nan=True)
        except Exception as error:  # noqa: BLE001 - a model has to predict
            return file.name, "crash", f"predict: {type(error).__name__}: {error}, of {model!r}"
        made = got if isinstance(got, tuple) else (got,)
        for y, expected in zip(made, outputs[-len(made) :], strict=True):
            if not _same(np.asarray(y), expected):
                return file.name, "wrong", f"{y!r} for {expected!r}, of {model!r}"
    return file.name, "right", repr(model)


def _same(y: Any, expected: Any) -> bool:
    if not isinstance(expected, np.ndarray) or y.shape != expected.shape:
        return False
    bound = BOUNDS.get(str(expected.dtype), 0.0)
    return np.allclose(
        y.astype(np.float64), expected.astype(np.float64), rtol=bound, atol=bound, equal_nan=True
    )


# -- the onnx package's own tests ------------------------------------------------------------


@cache
def named() -> frozenset[str]:
    """Return the operators that docs/onnx.md names as read."""
    text = PAGE.read_text(encoding="utf-8").partition("## Back again")[2].partition(START)[0]
    words = set(re.findall(r"[A-Z]\w+", text))
    words -= {"And", "If", "Not", "Or"}  # of sentences
    return frozenset(words & {schema.name for schema in onnx.defs.get_all_schemas()})


def node_files(folder: Path, *, claimed: bool) -> Iterator[File]:
    """Yield onnx's tests of single operators: as they are, and all inputs but one constants."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases  # noqa: PLC0415 - it is slow

        cases = collect_testcases(None)
    path = folder / "model.onnx"
    for case in cases:
        if case.model is None or not case.data_sets:
            continue
        operators = {node.op_type for node in case.model.graph.node}
        if (operators <= named()) is not claimed:
            continue
        inputs, outputs = (tuple(map(_plain, values)) for values in case.data_sets[0])
        names = [value.name for value in case.model.graph.input]
        onnx.save(case.model, path)
        yield File(case.name, path, [(inputs, outputs)])
        if len(names) < 2 or not all(isinstance(value, np.ndarray) for value in inputs):
            continue
        for kept in (0, 1) if "Gather" in operators else (0,):
            proto = onnx.ModelProto()
            proto.CopyFrom(case.model)
            constants = [
                numpy_helper.from_array(value, name)
                for index, (name, value) in enumerate(zip(names, inputs, strict=True))
                if index != kept
            ]
            proto.graph.initializer.extend(constants)
            left = proto.graph.input[kept]
            del proto.graph.input[:]
            proto.graph.input.append(left)
            onnx.save(proto, path)
            sets: list[Any] = [((inputs[kept],), outputs)]
            yield File(f"{case.name}, input {kept} left open", path, sets)


def stored_files(family: str) -> Iterator[File]:
    """Yield the files of a folder of the onnx package, with the data beside them."""
    for path in sorted(_folder(family).glob("*/model.onnx")):
        sets = []
        for data in sorted(path.parent.glob("test_data_set_*")):
            inputs, outputs = (
                tuple(_tensor(part) for part in sorted(data.glob(f"{kind}_*.pb"), key=_number))
                for kind in ("input", "output")
            )
            sets.append((inputs, outputs))
        yield File(path.parent.name, path, sets)


def light_files() -> Iterator[File]:
    """Yield the known networks whose numbers are made in the graph; ONNX Runtime computes them."""
    import onnxruntime  # noqa: PLC0415 - optional

    for path in sorted(_folder("light").glob("*.onnx")):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (given,) = session.get_inputs()
        x = np.random.default_rng(0).random(given.shape, np.float32)
        yield File(path.stem, path, [((x,), tuple(session.run(None, {given.name: x})))])


def _folder(family: str) -> Path:
    return Path(onnx.__file__).parent / "backend" / "test" / "data" / family


def _number(path: Path) -> int:
    return int(path.stem.rpartition("_")[2])


def _plain(value: Any) -> Any:
    """Return what a test gives or expects as an array, if it is one."""
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.array(value, order="C") if isinstance(value, np.generic | np.ndarray) else value


def _tensor(path: Path) -> Any:
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


# -- all of them -----------------------------------------------------------------------------

FAMILIES: dict[str, tuple[str, tuple[str, ...], Any]] = {
    "nodes": ("onnx, tests of the operators above", (), partial(node_files, claimed=True)),
    "others": ("onnx, tests of other operators", (), partial(node_files, claimed=False)),
    **{
        name: (f"onnx, {name}", (), lambda _, name=name: stored_files(name))
        for name in ("pytorch-converted", "pytorch-operator", "simple")
    },
    "light": ("onnx, light", ("onnxruntime",), lambda _: light_files()),
    **{
        name: (title, ("torch", "onnxscript"), partial(foreign.torch_files, how=name))
        for name, title in (
            ("default", "PyTorch, `torch.onnx.export(model, (x,), path)`"),
            ("legacy", "PyTorch, `dynamo=False`, any batch"),
            ("legacy static", "PyTorch, `dynamo=False`"),
        )
    },
    **{
        f"keras-{name}": (
            f"Keras on {title}, `model.export`",
            ("keras", needed),
            partial(foreign.keras_files, backend=name),
        )
        for name, title, needed in (
            ("torch", "PyTorch", "onnxscript"),
            ("tensorflow", "TensorFlow", "tf2onnx"),
        )
    },
    "sklearn": ("scikit-learn, skl2onnx", ("skl2onnx",), foreign.sklearn_files),
    "zoo": ("the model zoo's mnist-8, rebuilt", ("onnxruntime",), foreign.zoo_files),
}
CHOICES = [name.replace(" ", "-") for name in FAMILIES]


def verdicts(family: str) -> list[Verdict]:
    """Return what became of each file of a family."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        return [judged(file) for file in FAMILIES[family][2](Path(folder))]


def table(counted: dict[str, list[Verdict]]) -> str:
    """Return the counts as a table of Markdown."""
    lines = ["| Files | read, and right | refused | wrong | crash |", "|---|---|---|---|---|"]
    for family, found in counted.items():
        counts = Counter(verdict for _, verdict, _ in found)
        numbers = " | ".join(str(counts[column]) for column in COLUMNS)
        failed = counts["not exported"]
        more = f" ({failed} not exported)" if failed else ""
        lines.append(f"| {FAMILIES[family][0]}{more} | {numbers} |")
    return "\n".join(lines)


def main() -> int:
    """Count what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("families", nargs="*", help=f"of {', '.join(CHOICES)}; by default all")
    parser.add_argument("--list", action="store_true", help="print what is not right, and why")
    parser.add_argument("--right", action="store_true", help="print the models, too")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    given = parser.parse_args()
    counted: dict[str, list[Verdict]] = {}
    for family, choice in zip(FAMILIES, CHOICES, strict=True):
        title, packages, _ = FAMILIES[family]
        if given.families and choice not in given.families:
            continue
        missing = [name for name in packages if find_spec(name) is None]
        if missing:
            print(f"{title}: left out, {' and '.join(missing)} not installed")
            continue
        # A process each: Keras has one backend in a process, and a crash ends nothing else.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            found = pool.submit(verdicts, family).result()
        if not found:
            print(f"{title}: this release of onnx has none")
            continue
        counted[family] = found
        for name, verdict, said in found:
            shown = given.right if verdict == "right" else given.list or verdict != "refused"
            if shown:
                print(f"{choice} | {name} | {verdict} | {said[:600]}", flush=True)
    print(table(counted))
    if given.write:
        text = PAGE.read_text(encoding="utf-8")
        before, _, rest = text.partition(START)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{START}\n\n{table(counted)}\n\n{END}{after}", encoding="utf-8")
    return int(any(v in ("wrong", "crash") for found in counted.values() for _, v, _ in found))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    sys.exit(main())
