"""Files made to do harm, and damaged ones, end in one error: no code, no hang, no memory."""

import ast
import inspect
import io
import json
import random
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minifw import BatchNorm, Dense, Dropout, FileFormatError, Layer, Sequential, Tanh, load, save
from minifw._tools import generators
from minifw.storage import _archive, _arguments, _classes, _model, _text
from minifw.storage._archive import read_archive, write_archive

pytestmark = pytest.mark.slow

SUFFIXES = [".npz", ".safetensors"]
MEBIBYTE = 2**20


def model() -> Layer:
    return Sequential(Dense(3, 4, rng=1), BatchNorm(4), Dropout(rng=2), Tanh())


def contents(layer: Layer) -> tuple[str, dict[str, bytes], list[bool]]:
    state = {name: array.tobytes() for name, array in layer.state_dict().items()}
    return repr(layer), state, [inner.training for _, inner in layer.named_layers()]


def refused_or_same(path: Path, wanted: object) -> bool:
    """Load; return whether that was refused. Whatever is loaded must be what was saved."""
    try:
        found = load(path)
    except FileFormatError:
        return True
    assert contents(found) == wanted
    return False


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncation_is_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    save(model(), path)
    good = path.read_bytes()
    for length in {*range(0, len(good), 7), *range(len(good) - 60, len(good))}:
        path.write_bytes(good[:length])
        with pytest.raises(FileFormatError):
            load(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_400_flipped_bits(suffix: str, tmp_path: Path) -> None:
    """Each is refused, or is one that says nothing, such as the date of a zip member."""
    path = tmp_path / f"m{suffix}"
    save(model(), path)
    wanted, good = contents(load(path)), path.read_bytes()
    rng = random.Random(0)  # noqa: S311 - no secret
    refused = 0
    for _ in range(400):
        bad = bytearray(good)
        bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        path.write_bytes(bad)
        refused += refused_or_same(path, wanted)
    assert refused > 300


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_300_files_of_pieces_and_noise(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    save(model(), path)
    wanted, good = contents(load(path)), path.read_bytes()
    rng = random.Random(1)  # noqa: S311 - no secret
    for _ in range(300):
        bad = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            start, length = rng.randrange(len(bad) + 1), rng.choice([1, 2, 4, 8, 30, 200])
            piece = rng.choice(
                [
                    b"",
                    rng.randbytes(length),
                    b"\xff" * length,
                    bytes(length),
                    good[start:][:length],
                ]
            )
            bad[start : start + rng.choice([0, length])] = piece
        path.write_bytes(bad if rng.random() < 0.75 else rng.randbytes(len(good)))
        refused_or_same(path, wanted)


# -- headers and archives written to do harm; every checksum is right -----------------


def npy(header: bytes, data: bytes = b"", version: bytes = b"\1\0") -> bytes:
    size = struct.pack("<H", len(header)) if version == b"\1\0" else struct.pack("<I", len(header))
    return b"\x93NUMPY" + version + size + header + data


def head(shape: str, descr: str = "'<f8'", order: str = "False") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode()


JSON = json.dumps({"minifw": "test", "version": 1, "meta": {}}).encode()


def write_zip(path: Path, members: list[tuple[str, bytes]], method: int = 0) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)


def pickled() -> bytes:
    text = io.BytesIO()
    np.save(text, np.array([print]), allow_pickle=True)
    return text.getvalue()


HEADERS = {
    "huge": npy(head("(1099511627776,)"), bytes(8)),
    "overflow": npy(head("(4294967296, 4294967296)"), b""),
    "huge and empty": npy(head("(0, 1099511627776, 9223372036854775807, 99)")),
    "many axes": npy(head("(" + "1, " * 65 + ")"), bytes(8)),
    "negative": npy(head("(-1, -1)"), bytes(8)),
    "too short": npy(head("(2,)"), bytes(8)),
    "too long": npy(head("(2,)"), bytes(24)),
    "object": npy(head("(1,)", "'|O'"), bytes(8)),
    "pickle": pickled(),
    "fields": npy(head("(1,)", "[('a', '<f8')]"), bytes(8)),
    "subarray": npy(head("(1,)", "('<f4', (2,))"), bytes(8)),
    "no size, empty": npy(head("(0,)", "'|S0'")),
    "no size": npy(head("(9223372036854775807,)", "'|S0'")),
    "huge item": npy(head("(1,)", "'|V999999999'"), bytes(8)),
    "unknown dtype": npy(head("(1,)", "'<f9'"), bytes(9)),
    "code": npy(head("(__import__('os').system('true'),)"), bytes(8)),
    "nested": npy(b"(" * 9000 + b"\n"),
    "nested tuple": npy(head("(" * 3000 + ")" * 3000)),
    "power": npy(head("(9**9**9,)")),
    "digits": npy(head("(" + "9" * 5000 + ",)")),
    "long header": npy(head("(1,)").replace(b"}\n", b"}" + b" " * 60_000 + b"\n"), bytes(8)),
    "Fortran": npy(head("(2, 2)", order="True"), bytes(32)),
    "version 2": npy(head("(1,)"), bytes(8), b"\2\0"),
    "version 3, long": npy(head("(1,)"), bytes(8), b"\3\0"),
    "twice": npy(b"{'descr': '<f8', 'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"),
    "no header": b"\x93NUMPY\1\0",
    "empty": b"",
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_zip(path, [("minifw.json", JSON), ("a.npy", npy(head("(1,)"), bytes(8)))])
    read_archive(path, "test")  # a right one
    write_zip(path, [("minifw.json", JSON), ("a.npy", HEADERS[name])])
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            read_archive(path, "test")
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    finally:
        tracemalloc.stop()


def test_archives(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    one = npy(head("(1,)"), bytes(8))
    for members in [
        [("minifw.json", JSON), ("../a.npy", one)],
        [("minifw.json", JSON), ("/etc/a.npy", one)],
        [("minifw.json", JSON), ("a\\b.npy", one)],
        [("minifw.json", JSON), ("C:a.npy", one)],
        [("minifw.json", JSON), ("a%2.npy", one)],
        [("minifw.json", JSON), ("a%ff.npy", one)],
        [("minifw.json", JSON), ("%61.npy", one)],
        [("minifw.json", JSON), ("ü.npy", one)],
        [("minifw.json", JSON), ("a", one)],
        [("minifw.json", JSON), ("a/", b"")],
        [("minifw.json", JSON), ("a" * 2000 + ".npy", one)],
        [("a.npy", one)],
        [],
    ]:
        write_zip(path, members)
        with pytest.raises(FileFormatError):
            read_archive(path, "test")


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_duplicates(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    one = npy(head("(1,)"), bytes(8))
    write_zip(path, [("minifw.json", JSON), ("a.npy", one), ("a.npy", one)])
    with pytest.raises(FileFormatError, match="lists a member twice"):
        read_archive(path, "test")


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_bomb(method: int, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    bomb = npy(head("(16777216,)", "'|u1'"), bytes(2**24))
    write_zip(path, [("minifw.json", JSON), ("a.npy", bomb)], method)
    assert path.stat().st_size < 2**17
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="compressed"):
            read_archive(path, "test")
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    finally:
        tracemalloc.stop()


def directory_of(members: list[tuple[bytes, int, int, int]], start: int) -> bytes:
    """Return a directory that lists (name, crc, size, offset), and the end of an archive."""
    entries = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 33, crc, size, size,
                    len(name), 0, 0, 0, 0, 0, offset) + name
        for name, crc, size, offset in members
    )  # fmt: skip
    count = len(members)
    return entries + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, len(entries), start, 0)


def local(name: bytes, data: bytes) -> bytes:
    crc, size = zlib.crc32(data), len(data)
    return struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, crc, size, size, len(name), 0) + (
        name + data
    )


def test_members_that_overlap_or_hide(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    one = npy(head("(1,)"), bytes(8))
    first, second = local(b"minifw.json", JSON), local(b"a.npy", one)
    listed = [
        (b"minifw.json", zlib.crc32(JSON), len(JSON), 0),
        (b"a.npy", zlib.crc32(one), len(one), len(first)),
    ]
    body = first + second
    path.write_bytes(body + directory_of(listed, len(body)))
    assert list(read_archive(path, "test")[1]) == ["a"]  # the hand-made archive is right
    path.write_bytes(body + directory_of([listed[0], (*listed[1][:3], 1)], len(body)))
    with pytest.raises(FileFormatError, match=r"a\.npy is not where"):
        read_archive(path, "test")
    many = [*listed, *((b"%d.npy" % n, *listed[1][1:]) for n in range(1000))]
    for bad in [
        body + directory_of(many, len(body)),  # a thousand names for the same bytes
        body + b"hidden" + directory_of(listed, len(body) + 6),
        b"hidden" + body + directory_of(listed, len(body)),
        b"hidden"
        + body
        + directory_of([(n, c, s, o + 6) for n, c, s, o in listed], len(body) + 6),
        body + directory_of(listed[:1], len(body)),  # one that is not listed
        body + directory_of(listed, len(body)) + b"more",
        body + directory_of([listed[0], (*listed[1][:2], 2**32 - 2, len(first))], len(body)),
        body + directory_of([listed[0], (*listed[1][:2], 2**32 - 1, len(first))], len(body)),
        body.replace(struct.pack("<L", listed[1][1]), bytes(4)) + directory_of(listed, len(body)),
        directory_of([], 0),
        directory_of([], 2**32 - 1),
    ]:
        path.write_bytes(bad)
        with pytest.raises(FileFormatError):
            read_archive(path, "test")


@pytest.mark.parametrize("field", ["extra", "extra in the directory", "comment", "of a member"])
def test_fields_in_which_bytes_could_hide(field: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    for hidden in (b"", b"\7\0\20\0" + bytes(16) + b"\7\0\20\0" + bytes(16)):
        info = zipfile.ZipInfo("minifw.json")
        info.extra = hidden if field == "extra" else b""
        info.comment = hidden if field == "of a member" else b""
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, JSON)
            info.extra = hidden if field == "extra in the directory" else b""
            archive.comment = hidden if field == "comment" else b""
        if not hidden:
            read_archive(path, "test")
    with pytest.raises(FileFormatError):
        read_archive(path, "test")


@pytest.mark.parametrize("large", [False, True])
def test_a_directory_of_many_entries(large: bool, tmp_path: Path) -> None:
    """Objects that `zipfile` makes of it would take ten times its bytes."""
    path = tmp_path / "a.npz"
    entries = directory_of([(b"a.npy", 0, 0, 0)], 0)[:-22] * 350_000
    size = 0 if large else len(entries)
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, size, 0, 0)
    if large:
        end64 = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entries), 0)
        end = end64 + struct.pack("<4sLQL", b"PK\6\7", 0, len(entries), 1) + end
    path.write_bytes(entries + end)
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError, match="a part of it has 17850000 bytes, more than"):
            read_archive(path, "test")
        assert tracemalloc.get_traced_memory()[1] < MEBIBYTE
    finally:
        tracemalloc.stop()


TEXTS = {
    "nested": b"[" * 100_000,
    "nested and closed": b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
    "nested tuples": b'{"$tuple":[' * 20_000 + b"]}" * 20_000,
    "digits": b"9" * 100_000,
    "bare NaN": b'{"minifw":"test","version":1,"meta":{"a":NaN}}',
    "twice": b'{"minifw":"test","minifw":"test","version":1,"meta":{}}',
    "tag": b'{"minifw":"test","version":1,"meta":{"a":{"$import":"os"}}}',
    "tagged twice": b'{"minifw":"test","version":1,"meta":{"a":{"$tuple":[],"b":1}}}',
    "pairs": b'{"minifw":"test","version":1,"meta":{"a":{"$dict":["ab",[[],1]]}}}',
    "no version": b'{"minifw":"test","meta":{}}',
    "version 0": b'{"minifw":"test","version":0,"meta":{}}',
    "list": b"[]",
    "not ASCII": b'{"minifw":"\xff"}',
    "empty": b"",
    "too long": b'{"minifw":"test","version":1,"meta":{}}' + b" " * 2**22,
    "pairs as text": b'{"minifw":"test","version":1,"meta":{"a":{"$dict":["ab"]}}}',
}


@pytest.mark.parametrize("name", TEXTS)
def test_texts(name: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_zip(path, [("minifw.json", TEXTS[name])])
    with pytest.raises(FileFormatError):
        read_archive(path, "test")


def test_memory_is_bounded_by_the_size(tmp_path: Path) -> None:
    """The worst text known, lists in a list, and an ordinary file."""
    path = tmp_path / "a.npz"
    text = b'{"minifw":"test","version":1,"meta":{"a":[' + b"[]," * 300_000 + b"[]]}}"
    write_zip(path, [("minifw.json", text)])
    write_archive(tmp_path / "b.npz", "test", {}, {"a": np.zeros(10**6)})
    for file, factor in [(path, 27), (tmp_path / "b.npz", 1.2)]:
        tracemalloc.start()
        read_archive(file, "test")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < factor * file.stat().st_size


# -- descriptions of models that are none --------------------------------------------


def described(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Save the model, and change what the file says of it."""
    save(model(), path)
    meta, arrays = read_archive(path, "model")
    change(meta)
    write_archive(path, "model", meta, arrays)


def built_of(recorded: object) -> Callable[[dict[str, Any]], None]:
    return lambda meta: meta.update(model=recorded)


def dense(*sizes: object, **options: object) -> dict[str, Any]:
    return {"layer": ["minifw.Dense", list(sizes), options]}


MANY = [{"layer": ["minifw.BatchNorm", [40], {}]} for _ in range(10_000)]

DESCRIPTIONS: dict[str, Callable[[dict[str, Any]], None]] = {
    "none": built_of(None),
    "text": built_of("minifw.Dense"),
    "initializer": built_of({"layer": ["minifw.HeNormal", [], {}]}),
    "huge": built_of(dense(10**6, 10**6)),
    "huge, PReLU": built_of({"layer": ["minifw.PReLU", [10**10], {}]}),
    "huge, BatchNorm": built_of({"layer": ["minifw.BatchNorm", [10**10], {"affine": False}]}),
    "huge, LayerNorm": built_of({"layer": ["minifw.LayerNorm", [(10**5, 10**5)], {}]}),
    "huge, RMSNorm": built_of({"layer": ["minifw.RMSNorm", [10**10], {}]}),
    "huge, LSTM": built_of({"layer": ["minifw.LSTM", [1, 10**5], {}]}),
    "huge, GRU": built_of({"layer": ["minifw.GRU", [10**10, 1], {}]}),
    "huge, Embedding": built_of({"layer": ["minifw.Embedding", [10**10, 1], {}]}),
    "huge, Conv2D": built_of({"layer": ["minifw.Conv2D", [1, 1, 10**5], {}]}),
    "many": built_of({"layer": ["minifw.Sequential", MANY, {}]}),
    "other sizes": built_of({"layer": ["minifw.Sequential", [dense(3, 3)], {}]}),
    "refused": built_of(dense(-1, 2)),
    "abstract": built_of({"layer": ["minifw.Layer", [], {}]}),
    "a loop": built_of({"same": 0}),
    "a loop inside": built_of({"layer": ["minifw.Residual", [{"same": 0}], {}]}),
    "before the first": built_of({"same": -1}),
    "object dtype": built_of(dense(3, 4, dtype={"dtype": "|O"})),
    "fields": built_of(dense(3, 4, dtype={"dtype": "f8,f8"})),
    "type": built_of(dense(3, 4, dtype={"type": "object"})),
    "scalar": built_of(dense(3, {"scalar": ["<i8", "04"]})),
    "object scalar": built_of(dense(3, {"scalar": ["|O", "0000000000000000"]})),
    "huge scalar": built_of(dense(3, {"scalar": ["|V999999999", ""]})),
    "array": built_of(dense(3, {"array": "~9"})),
    "key": built_of(dense(3, {"dict": [[[], 1]]})),
    "unknown tag": built_of(dense(3, {"pickle": "gASVBwAAAAAAAACMA2FiY5Qu"})),
    "positions": built_of({"layer": ["minifw.Dense", {"a": 1}, []]}),
    "modes": lambda meta: meta.update(modes=[["", True]]),
    "no modes": lambda meta: meta.update(modes=3),
    "generator": lambda meta: meta.update(generators=[3]),
    "generator of another": lambda meta: meta["generators"][0][1].append(["0", "weight"]),
    "generator of none": lambda meta: meta["generators"][0][1].append(["7", "rng"]),
    "generator, list": lambda meta: meta["generators"][0][1].append([[], "rng"]),
    "generator, private": lambda meta: meta["generators"][0][1].append(["2", "forward"]),
    "kind": lambda meta: meta["generators"][0][0].update(bit_generator="RandomState"),
    "state": lambda meta: meta["generators"][0][0].update(state={"state": -1, "inc": 1}),
    "flag": lambda meta: meta["generators"][0][0].update(has_uint32=2),
    "state, text": lambda meta: meta["generators"][0][0].update(state="x"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_descriptions(name: str, tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    described(path, DESCRIPTIONS[name])
    tracemalloc.start()
    try:
        with pytest.raises(FileFormatError):
            load(path)
        assert tracemalloc.get_traced_memory()[1] < 30 * MEBIBYTE
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("MT19937", lambda state: state["state"].update(pos=625)),
        ("MT19937", lambda state: state["state"].update(pos=-1)),
        ("MT19937", lambda state: state["state"]["key"].pop()),
        ("MT19937", lambda state: state["state"]["key"].__setitem__(0, 2**32)),
        ("Philox", lambda state: state.update(buffer_pos=5)),
        ("Philox", lambda state: state.update(buffer_pos=-1)),
        ("Philox", lambda state: state["buffer"].append(0)),
        ("SFC64", lambda state: state["state"]["state"].__setitem__(0, 0.5)),
    ],
)
def test_states_that_numpy_would_take(
    kind: str, change: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    """NumPy reads past its buffer where a position in it is too large."""
    path = tmp_path / "m.npz"
    save(Dropout(rng=np.random.Generator(getattr(np.random, kind)(0))), path)
    load(path)
    meta, arrays = read_archive(path, "model")
    change(meta["generators"][0][0])
    write_archive(path, "model", meta, arrays)
    with pytest.raises(FileFormatError, match="generator whose state is not one"):
        load(path)


def test_arrays_that_are_missing_or_too_many(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    save(model(), path)
    meta, arrays = read_archive(path, "model")
    for changed, message in [
        ({**arrays, "x": np.zeros(1)}, "x belongs to no layer"),
        ({n: a for n, a in arrays.items() if n != "0.bias"}, r"0\.bias is missing"),
        ({**arrays, "0.bias": np.zeros((4, 1))}, r"0\.bias is a float64 array of shape \(4, 1\)"),
        ({**arrays, "0.bias": np.zeros(4, np.float32)}, r"0\.bias is a float32 array"),
    ]:
        write_archive(path, "model", meta, changed)
        with pytest.raises(FileFormatError, match=message):
            load(path)


def test_the_reader_has_nothing_that_could_run_a_file() -> None:
    """No pickle, eval, import by name or NumPy loader stands in the code that reads."""
    for module in (_archive, _arguments, _classes, generators, _model, _text):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func).rpartition(".")[2]
                assert called not in {
                    "eval",
                    "exec",
                    "literal_eval",
                    "import_module",
                    "__import__",
                }
                assert ast.unparse(node.func) not in {"np.load", "pickle.loads", "pickle.load"}
