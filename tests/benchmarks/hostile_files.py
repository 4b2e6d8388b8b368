"""Counts what damaged and hostile files do to the doors that read them: nothing but refuse.

    python tests/benchmarks/hostile_files.py
    python tests/benchmarks/hostile_files.py --files 500 --seed 7

Good files are changed at random: bits, pieces and ends of the whole file; and, with all sizes and
checksums right again, the words of the JSON, of the arrays' headers and of the index. Each is
loaded. What is not refused by an error that the docstring names, or warns, is undocumented.
"""

import argparse
import json
import random
import resource
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from safetensors.numpy import save as packed

import minifw as mf
from minifw.interop.onnx import export, import_
from minifw.interop.safetensors import load_into

OPERATORS = [
    *("Concat", "Expand", "ConstantOfShape", "Gather", "Shape", "Transpose", "Squeeze", "Slice"),
    *("Flatten", "Tile", "Split", "ReduceMean", "MatMul", "Gemm", "Sub", "Resize", "GRU"),
]
FOLDER = Path(tempfile.mkdtemp())
VALUES: list[Any] = [
    None, True, -1, 0, 1, 3, 2**31, 2**63, 2**64, 10**30, 0.5, 1e308,
    "", "F32", "BF16", "I64", "F8_E4M3", "a" * 3000, "../up", "/etc/passwd", "\0", "\ud800",
    "minifw.Layer", "$tuple", [], [[]], [0, 0], [-1], [2**62, 2**62], [0, 2**63], {},
    {"$tuple": []}, {"$float": "nan"}, {"$dict": [[1, 2]]}, {"layer": []}, {"same": 0},
    {"array": "~0"}, {"scalar": ["<f8", "00"]}, {"dtype": "|O"}, {"__metadata__": {}},
]  # fmt: skip
WORDS = [
    b"<f8",
    b"|O",
    b"<f9",
    b">f8",
    b"<U1",
    b"True",
    b"(",
    b")",
    b"9" * 25,
    b"-1",
    b"\xff",
    b"'",
    b",",
    b"0",
]


def network() -> mf.Layer:
    """Return layers of each kind that a file has to say something of."""
    shared = mf.Dense(3, 3, rng=1)
    return mf.Graph(
        "x", a=shared, b=shared, c=mf.Sequential(mf.BatchNorm(3), mf.Dropout(rng=2), mf.PReLU(3))
    )


def bent(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with a few bits, pieces or words changed, or without their end."""
    found = bytearray(data)
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(found) + 1)
        match rng.randrange(4):
            case 0 if found:
                found[min(at, len(found) - 1)] ^= 1 << rng.randrange(8)
            case 1:
                piece = data[rng.randrange(len(data) + 1) :][: rng.choice([1, 4, 30, 200])]
                found[at : at + rng.choice([0, len(piece)])] = piece
            case 2:
                found[at : at + rng.choice([0, 1, 3])] = rng.choice(WORDS)
            case _ if rng.random() < 0.2:
                del found[at:]
    return bytes(found)


def reworded(value: Any, rng: random.Random) -> Any:
    """Return a JSON value with one value inside of it, or one key, replaced."""
    if not (isinstance(value, list | dict) and value and rng.random() < 0.9):
        return rng.choice(VALUES)
    copy = value.copy()
    key = rng.randrange(len(copy)) if isinstance(copy, list) else rng.choice(list(copy))
    if isinstance(copy, dict) and rng.random() < 0.15:
        copy[str(rng.choice([*copy, *VALUES]))] = copy.pop(key)
    elif rng.random() < 0.1:
        del copy[key]
    else:
        copy[key] = reworded(copy[key], rng)
    return copy


def text_of(data: bytes, rng: random.Random) -> bytes:
    """Return JSON text with other values, or bent."""
    if rng.random() < 0.2:
        return bent(data, rng)
    return json.dumps(reworded(json.loads(data), rng)).encode()


def zipped(_: bytes, rng: random.Random) -> bytes:
    """Return an archive whose checksums are right, and one of whose members is not."""
    path = FOLDER / "changed.zip"
    with zipfile.ZipFile(FOLDER / "good.npz") as source, zipfile.ZipFile(path, "w") as archive:
        infos = source.infolist()
        wrong = rng.choice(infos)
        for info in infos:
            data = source.read(info)
            if info is wrong:
                kind = text_of if info.filename.endswith("json") else bent
                data = kind(data, rng)
            archive.writestr(zipfile.ZipInfo(info.filename), data)
    return path.read_bytes()


def headed(good: bytes, rng: random.Random) -> bytes:
    """Return a .safetensors file with another header, of the right length."""
    size = int.from_bytes(good[:8], "little")
    head = json.loads(good[8 : 8 + size])
    inner = head.get("__metadata__", {})
    if "minifw" in inner and rng.random() < 0.5:  # JSON inside of JSON
        inner["minifw"] = text_of(inner["minifw"].encode(), rng).decode("latin-1")
        text = json.dumps(head).encode()
    else:
        text = text_of(good[8 : 8 + size], rng)
    return len(text).to_bytes(8, "little") + text + good[8 + size :]


def halves() -> bytes:
    """Return weights in bfloat16 and float16, as PyTorch writes them."""
    layer = mf.Dense(3, 4, rng=1)
    half = {name: array.astype("f2") for name, array in layer.state_dict().items()}
    data = packed(half)
    size = int.from_bytes(data[:8], "little")
    head = json.loads(data[8 : 8 + size])
    head["weight"]["dtype"] = "BF16"
    text = json.dumps(head).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + size :]


NUMBERS = [-(2**40), -7, -1, 0, 1, 2, 3, 16, 1000, 2**24, 2**31 - 1, 2**40, 2**62]


def fielded(good: bytes, rng: random.Random) -> bytes:  # noqa: C901 - a kind of change each
    """Return an ONNX file with a few fields of its nodes, tensors and inputs changed."""
    proto = onnx.ModelProto.FromString(good)
    graph = proto.graph
    for _ in range(rng.randrange(1, 4)):
        node, tensor = rng.choice(graph.node), rng.choice(graph.initializer)
        names = [name for one in graph.node for name in (*one.input, *one.output)]
        attribute = rng.choice(node.attribute) if node.attribute else None
        match rng.randrange(9):
            case 0 if node.input:
                node.input[rng.randrange(len(node.input))] = rng.choice(["", *names])
            case 1:
                node.op_type = rng.choice([*OPERATORS, *(one.op_type for one in graph.node)])
            case 2 if attribute is not None:
                attribute.i = rng.choice(NUMBERS)
                attribute.f = float(rng.choice(NUMBERS))
                attribute.ints[:] = [rng.choice(NUMBERS) for _ in attribute.ints]
            case 3 if tensor.dims:
                tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
            case 4:
                kinds = [np.int64, np.float32, np.float64]
                shape = [rng.choice([0, 1, 2, 3, 8]) for _ in range(rng.randrange(5))]
                array = np.full(shape, rng.choice(NUMBERS), rng.choice(kinds))
                tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
            case 5:
                tensor.data_location = onnx.TensorProto.EXTERNAL
                for key in rng.sample(["location", "offset", "length"], 2):
                    value = rng.choice(["good.onnx", "../x", "", *map(str, NUMBERS)])
                    tensor.external_data.add(key=key, value=value)
            case 6:
                shape = graph.input[0].type.tensor_type.shape
                rng.choice(shape.dim).dim_value = rng.choice(NUMBERS)
            case 7:
                graph.output.add().CopyFrom(graph.output[0])
                graph.output[-1].name = rng.choice(names)
            case _:
                copy = graph.node.add()
                copy.CopyFrom(node)
                copy.output[0] = rng.choice(names)
    mutated: bytes = proto.SerializeToString()
    return mutated


def exported() -> None:
    """Write networks without what says which layers they were."""
    images = mf.Sequential(
        mf.Conv2D(2, 3, 3, padding="same"),
        mf.BatchNorm(3),
        mf.GELU("tanh"),
        mf.AvgPool2D(2, padding=1),
        mf.UpSample2D(2),
        mf.Pad2D(1),
        mf.Flatten(),
        mf.Dense(432, 4),
        mf.Softmax(),
    )
    steps = mf.Sequential(
        mf.MultiHeadAttention(4, 2), mf.LayerNorm(4), mf.LSTM(4, 3), mf.MeanOverTime()
    )
    for name, model, shape in (("good", images, (2, 8, 8)), ("steps", steps, (5, 4))):
        path = FOLDER / f"{name}.onnx"
        export(model, path, input_shape=shape, dtype=np.float32)
        proto = onnx.load(path)
        del proto.metadata_props[:]
        path.write_bytes(proto.SerializeToString())


Change = Callable[[bytes, random.Random], bytes]
Door = tuple[str, Path, Callable[[Path], object], tuple[Change, ...], tuple[type[Exception], ...]]


def doors() -> list[Door]:
    """Return each door: its good file, what reads it, how it is changed, what it may raise."""
    exported()
    mf.save(network(), FOLDER / "good.npz")
    mf.save(network(), FOLDER / "good.safetensors")
    (FOLDER / "weights.safetensors").write_bytes(halves())
    for name, array in mf.Dense(3, 4).state_dict().items():
        (FOLDER / f"{name}.safetensors").write_bytes(packed({name: array}))
    places = {name: f"{name}.safetensors" for name in ("weight", "bias")}
    (FOLDER / "m.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))
    refusals = (mf.FileFormatError,)
    faults = (ValueError, TypeError, OSError)

    def partly(path: Path) -> object:
        return load_into(mf.Dense(3, 4), path, strict=False, cast=True)

    return [
        ("load, .npz", FOLDER / "good.npz", mf.load, (bent, zipped, zipped), refusals),
        ("load, .safetensors", FOLDER / "good.safetensors", mf.load, (bent, headed), refusals),
        ("load_into", FOLDER / "weights.safetensors", partly, (bent, headed, headed), faults),
        ("import_, images", FOLDER / "good.onnx", import_, (bent, fielded, fielded), refusals),
        ("import_, steps", FOLDER / "steps.onnx", import_, (bent, fielded, fielded), refusals),
        ("load_into, an index", FOLDER / "m.index.json", partly, (text_of,), faults),
    ]


def said(error: Exception) -> bool:
    """Return whether a door raised it, and not NumPy or Python by an error of the same class."""
    own = ("load_into", "Dense.load_state_dict")
    return isinstance(error, mf.FileFormatError | OSError) or str(error).startswith(own)


def main() -> None:
    """Try all doors, and print a line for each."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--files", type=int, default=6000, help="for each door")
    asked.add_argument("--seed", type=int, default=0)
    given = asked.parse_args()
    warnings.simplefilter("error")
    np.seterr(all="warn")
    print("| door | files | read | refused | undocumented | slowest |")
    print("|---|---:|---:|---:|---:|---:|")
    for name, good, read, changes, refusals in doors():
        rng = random.Random(given.seed)  # noqa: S311 - no secret
        data = good.read_bytes()
        count = Counter[str]()
        read(good)
        path, slowest = good.with_name(f"try{good.suffix}"), 0.0
        for _ in range(given.files):
            path.write_bytes(rng.choice(changes)(data, rng))
            start = time.perf_counter()
            try:
                read(path)
                count["read"] += 1
            except refusals as error:
                kind = "refused" if said(error) else "undocumented"
                count[kind] += 1
                if kind != "refused":
                    print(f"UNDOCUMENTED  {name}: {error!r:.200}")
            except Exception as error:  # noqa: BLE001 - it is what is looked for
                count["undocumented"] += 1
                print(f"UNDOCUMENTED  {name}: {error!r:.200}")
            slowest = max(slowest, time.perf_counter() - start)
        numbers = " | ".join(f"{count[kind]}" for kind in ("read", "refused", "undocumented"))
        print(f"| {name} | {given.files} | {numbers} | {1e3 * slowest:.0f} ms |")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"\nThe highest resident memory was {memory:.0f} MB.")


if __name__ == "__main__":
    main()
