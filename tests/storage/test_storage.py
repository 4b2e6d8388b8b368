"""Models and arrays come back from a file as they went in."""

import contextlib
import copy
import errno
import gc
import itertools
import json
import math
import os
import stat
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cases import CASES, Case
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minifw import (
    GELU,
    Array,
    Dense,
    Dropout,
    FileFormatError,
    GradientReversal,
    HeNormal,
    Initializer,
    Layer,
    LayerNorm,
    Parameter,
    Residual,
    Sequential,
    Sigmoid,
    Tanh,
    load,
    save,
)
from minifw.storage._archive import read_archive, write_archive

ROOT = Path(__file__).parents[2]
SUFFIXES = [".npz", ".safetensors"]


class Noise(Layer):
    """Adds noise in train mode, and counts its forwards in a buffer."""

    buffers = ("count",)

    def __init__(
        self,
        scale: Any = 1.0,
        *,
        options: Any = None,
        inner: Any = (),
        rng: np.random.Generator | int | None = None,
    ) -> None:
        self.scale = scale
        self.options = options
        self.inner = inner
        self.weight = Parameter(np.ones(1))
        self.count = np.zeros((), np.int64)
        self.source = np.random.default_rng(rng)

    def forward(self, x: Array) -> Array:
        self.save(x)
        self.count += 1
        noise = self.source.standard_normal(x.shape) if self.training else 0.0
        y: Array = x * self.weight.value + noise
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        self.weight.grad[...] = (dy * x).sum()
        dx: Array = dy * self.weight.value
        return dx


def assert_same(layer: Layer, twin: Layer, x: Array) -> None:
    """Run both forward and backward, in train mode and in eval mode; every bit is the same."""
    assert repr(twin) == repr(layer)
    for mode in (True, False, True):
        layer.train(mode)
        twin.train(mode)
        y, z = layer(x), twin(x)
        assert (y.dtype, y.shape, y.tobytes()) == (z.dtype, z.shape, z.tobytes())
        dy = np.asarray(np.random.default_rng(0).standard_normal(y.shape), y.dtype)
        dx: Any = layer.backward(dy)
        same: Any = twin.backward(dy)
        assert dx.tobytes() == same.tobytes()
        for one, other in zip(layer.parameters(), twin.parameters(), strict=True):
            assert one.grad.tobytes() == other.grad.tobytes()


# -- models --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_layer_goes_on_as_the_saved_one(case: Case, tmp_path: Path) -> None:
    for suffix, dtype in zip(SUFFIXES, (np.float64, np.float32), strict=True):
        layer, x = case.make(dtype), case.x(3, dtype)
        for parameter in layer.parameters():
            parameter.value += 0.25  # not what the constructor made
        layer(x)  # moves the generators and the running means
        path = tmp_path / f"model{suffix}"
        save(layer, path)
        assert_same(layer, load(path), x)


def test_modes_are_kept_layer_by_layer(tmp_path: Path) -> None:
    model = Sequential(Dropout(rng=1), Sequential(Dropout(rng=2), Tanh()))
    model[1].eval()
    save(model, tmp_path / "m.npz")
    twin = load(tmp_path / "m.npz")
    modes = [layer.training for _, layer in twin.named_layers()]
    assert modes == [layer.training for _, layer in model.named_layers()]
    assert twin.training


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_every_generator_goes_on(kind: str, tmp_path: Path) -> None:
    rng = np.random.Generator(getattr(np.random, kind)(5))
    model = Sequential(Dropout(rng=rng), Dropout(rng=rng))  # one generator for both
    x = np.ones((3, 5))
    model.forward(x)
    save(model, tmp_path / "m.npz")
    twin = load(tmp_path / "m.npz")
    for _ in range(3):
        np.testing.assert_array_equal(model.forward(x), twin.forward(x))


def test_a_custom_layer_with_every_kind_of_argument(tmp_path: Path) -> None:
    shared = Tanh()
    options = {
        "plain": (None, True, 3, -0.0, math.inf, "ü", [1, (2,)]),
        "array": np.arange(6, dtype="i2").reshape(2, 3).T,
        7: {"$tuple": np.float32(0.1), "when": np.datetime64("2020-01-01")},
        "types": [np.dtype("f4"), np.float32, float],
        "init": HeNormal(),
    }
    layer = Noise(2**70, options=options, inner=[shared, {"a": (Dense(2, 2, rng=1), shared)}])
    save(layer, tmp_path / "m.npz")
    twin = load(tmp_path / "m.npz", custom_layers=(Noise,))
    assert isinstance(twin, Noise)
    assert twin.scale == 2**70
    assert twin.inner[0] is twin.inner[1]["a"][1]
    found = twin.options
    assert repr(found["plain"]) == repr(options["plain"])
    np.testing.assert_array_equal(found["array"], np.arange(6).reshape(2, 3).T)
    assert found["array"].flags.c_contiguous
    assert type(found[7]["$tuple"]) is np.float32
    assert found[7] == options[7]
    assert found["types"] == options["types"]
    assert type(found["init"]) is HeNormal
    assert_same(layer, twin, np.ones((2, 2)))
    assert twin.count == layer.count == 3


def test_numpy_lists_the_arrays(tmp_path: Path) -> None:
    model = Sequential(Dense(2, 3, rng=0), Tanh())
    save(model, tmp_path / "m.npz")
    with np.load(tmp_path / "m.npz", allow_pickle=False) as file:
        np.testing.assert_array_equal(file["0.weight"], model[0].weight.value)
        assert set(file.files) == {"minifw.json", "0.weight", "0.bias"}
    assert zipfile.ZipFile(tmp_path / "m.npz").testzip() is None


def test_safetensors_reads_the_tensors(tmp_path: Path) -> None:
    numpy_format = pytest.importorskip("safetensors.numpy")
    model = Sequential(Dense(2, 3, rng=0), Tanh())
    save(model, tmp_path / "m.safetensors")
    tensors = numpy_format.load_file(tmp_path / "m.safetensors")
    assert set(tensors) == {"0.weight", "0.bias"}
    np.testing.assert_array_equal(tensors["0.weight"], model[0].weight.value)


def test_without_safetensors_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"minifw\[safetensors\]"):
        save(Tanh(), tmp_path / "m.safetensors")
    with pytest.raises(ImportError, match=r"minifw\[safetensors\]"):
        load(tmp_path / "m.safetensors")


def test_the_same_model_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        save(Dense(2, 3, rng=0), tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


# -- what cannot be saved, or is not found ------------------------------------------


class Rows(Initializer):
    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:  # noqa: ARG002
        return np.full(shape, 2.0)


def double(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return 2 * rng.standard_normal(shape)


def test_an_initializer_of_ones_own(tmp_path: Path) -> None:
    save(Dense(2, 2, init=Rows()), tmp_path / "m.npz")
    assert repr(load(tmp_path / "m.npz")) == "Dense(2, 2, init=Rows())"


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (Dense(2, 2, init=double), r"Dense\(.*\) was built with init=double.*Initializer"),
        (Noise(options=[object()]), r"options=an object, which no file can hold; pass None"),
        (Noise({1, 2}), r"scale=a set"),
        (Noise(inner=Parameter(np.ones(2))), r"inner=a Parameter"),
        (Noise(np.array([None])), r"dtype object"),
    ],
)
def test_an_argument_that_no_file_can_hold(layer: Layer, message: str, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=message):
        save(Sequential(layer), tmp_path / "m.npz")
    assert not list(tmp_path.iterdir())


def test_a_setting_that_was_changed_is_not_lost_silently(tmp_path: Path) -> None:
    layer = Noise(1.0)
    layer.scale = 0.5  # an author's plain attribute
    with pytest.raises(ValueError, match=r"scale of Noise.* is 0\.5 by now.*with scale=0\.5"):
        save(layer, tmp_path / "m.npz")
    listed = Noise(options=[Tanh()])
    listed.options[0] = Sigmoid()  # no attribute was assigned
    with pytest.raises(ValueError, match=r"options\.0 is Sigmoid\(\) by now.*make Tanh\(\)"):
        save(listed, tmp_path / "m.npz")
    inside = Noise(inner=Tanh())
    inside.inner = Dropout(0.25)
    save(inside, tmp_path / "m.npz")
    assert repr(load(tmp_path / "m.npz", [Noise])) == repr(inside) == "Noise(inner=Dropout(0.25))"


@pytest.mark.parametrize(
    ("layer", "option", "value", "shown"),
    [
        (Dropout(0.5), "p", 0.1, "Dropout(0.1)"),
        (GradientReversal(), "weight", 0.3, "GradientReversal(weight=0.3)"),
        (GradientReversal(weight=1.0), "weight", 0.3, "GradientReversal(weight=0.3)"),
        (LayerNorm(3), "eps", 0.25, "LayerNorm(3, eps=0.25)"),
        (GELU(), "approximate", "tanh", "GELU(approximate='tanh')"),
    ],
)
def test_an_option_that_was_assigned_is_shown_and_stored(
    layer: Any, option: str, value: Any, shown: str, tmp_path: Path
) -> None:
    model = Sequential(layer)
    setattr(layer, option, value)
    save(model, tmp_path / "m.npz")
    loaded: Any = load(tmp_path / "m.npz")
    assert getattr(loaded[0], option) == value
    assert repr(layer) == repr(loaded[0]) == repr(copy.deepcopy(layer)) == shown


class Lazy(Noise):
    def forward(self, x: Array) -> Array:
        self.late = Parameter(np.ones(2))
        return super().forward(x)


def test_what_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    layer = Lazy()
    layer(np.ones((1, 2)))
    with pytest.raises(ValueError, match="late belongs to no layer that its constructor makes"):
        save(layer, tmp_path / "m.npz")
    assert not list(tmp_path.iterdir())


def test_hidden_random_state_is_not_lost_silently(tmp_path: Path) -> None:
    layer = Noise()
    layer.options = [np.random.default_rng(0)]
    with pytest.raises(TypeError, match=r"options of Noise\(\) holds a list with random state"):
        save(layer, tmp_path / "m.npz")


def test_wrong_calls(tmp_path: Path) -> None:
    layer = Tanh()
    with pytest.raises(
        TypeError, match=r"save expects a layer, got a dict; pass the model itself"
    ):
        save(layer.state_dict(), tmp_path / "m.npz")  # type: ignore[arg-type]
    for name in ("model", "model_"):  # of a trainer, and of an estimator
        holder: Any = SimpleNamespace(**{name: layer})
        with pytest.raises(TypeError, match=rf"got a SimpleNamespace; pass its \.{name}$"):
            save(holder, tmp_path / "m.npz")
    for path in ("m", "m.npy", "m.npz.gz", "m.pt"):
        with pytest.raises(ValueError, match=r"ends in \.npz or \.safetensors, got"):
            save(layer, path)
        with pytest.raises(ValueError, match=r"ends in \.npz or \.safetensors, got"):
            load(path)
    with pytest.raises(TypeError, match=r"save expects a path as str or os\.PathLike, got an int"):
        save(layer, 3)  # type: ignore[arg-type]
    save(layer, str(tmp_path / "m.npz"))
    with pytest.raises(TypeError, match=r"write custom_layers=\(MyLayer,\)"):
        load(tmp_path / "m.npz", custom_layers=Noise)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"classes of layers or initializers.*; write Noise"):
        load(tmp_path / "m.npz", custom_layers=(Noise(),))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="classes of layers or initializers, got the class int"):
        load(tmp_path / "m.npz", custom_layers=(int,))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_no_file(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(tmp_path / f"m{suffix}")
    (tmp_path / f"d{suffix}").mkdir()
    with pytest.raises(IsADirectoryError):
        load(tmp_path / f"d{suffix}")
    os.mkfifo(tmp_path / f"p{suffix}")
    with pytest.raises(OSError, match="is not a file"):
        load(tmp_path / f"p{suffix}")


def with_json(path: Path, change: Callable[[Any], None]) -> None:
    """Change what a file says, with all checksums right."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    head = json.loads(members["minifw.json"])
    change(head)
    members["minifw.json"] = json.dumps(head).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)


def set_class(name: str) -> Callable[[Any], None]:
    def change(head: Any) -> None:
        head["meta"]["model"]["layer"][0] = name

    return change


def test_a_class_that_is_not_here_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    save(Noise(), path)
    with_json(path, set_class("elsewhere.Missing"))
    with pytest.raises(
        FileFormatError, match=r"elsewhere\.Missing, which is not here.*custom_layers=\(Missing,\)"
    ):
        load(path)


def test_a_class_is_found_in_another_module(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    save(Noise(), path)
    with_json(path, set_class("__main__.Noise"))
    assert type(load(path)) is Noise
    assert type(load(path, custom_layers=(Noise,))) is Noise


def test_a_class_with_a_name_that_minifw_has_too(tmp_path: Path) -> None:
    class Multiply(Noise):
        pass

    path = tmp_path / "m.npz"
    save(Multiply(), path)
    with_json(path, set_class("__main__.Multiply"))
    assert type(load(path)) is Multiply
    with_json(path, set_class("__main__.Mish"))
    with pytest.raises(FileFormatError, match="which is not here"):
        load(path)


def test_nothing_is_imported_because_a_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    save(Noise(), path)
    for name in ("antigravity.Noisy", "os.system", "minifw.os", "minifw.Parameter", "..", ""):
        with_json(path, set_class(name))
        with pytest.raises(FileFormatError, match="which is not here"):
            load(path)
    assert "antigravity" not in sys.modules


def test_two_classes_of_one_name(tmp_path: Path) -> None:
    def made(factor: float) -> type[Layer]:
        class Twofold(Noise):
            gain = factor

        return Twofold

    one, other = made(1.0), made(2.0)
    path = tmp_path / "m.npz"
    save(one(), path)
    with pytest.raises(FileFormatError, match=r"2 classes could be meant.*custom_layers="):
        load(path)
    assert type(load(path, custom_layers=(one,))) is one
    assert type(load(path, custom_layers=(other,))) is other


def test_a_class_that_refuses_its_arguments(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    save(Noise(scale=2.0), path)

    def change(head: Any) -> None:
        head["meta"]["model"]["layer"][2] = {"size": 3}

    with_json(path, change)
    with pytest.raises(
        FileFormatError, match=r"Noise refuses the arguments in it: TypeError.*size"
    ):
        load(path)


def test_a_file_of_another_kind_or_a_newer_minifw(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    write_archive(path, "checkpoint", {}, {})
    with pytest.raises(FileFormatError, match="holds a checkpoint, and a model is expected"):
        load(path)
    save(Tanh(), path)
    with_json(path, lambda head: head.update(version=3))
    with pytest.raises(FileFormatError, match="version 3, and this minifw reads up to 2; use a n"):
        load(path)
    np.savez(path, a=np.ones(3))
    with pytest.raises(FileFormatError, match=r"holds no minifw\.json"):
        load(path)


# -- arrays and plain values ---------------------------------------------------------

FLOATS = st.floats(allow_nan=True, allow_infinity=True)
LEAVES = st.none() | st.booleans() | st.integers() | FLOATS | st.text()
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.sampled_from(["$tuple", "$dict"]), inner, max_size=3)
    ),
    max_leaves=10,
)
DTYPES = (
    hnp.scalar_dtypes()
    | hnp.byte_string_dtypes(min_len=1, max_len=4)
    | hnp.unicode_string_dtypes(min_len=1, max_len=4)
)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    meta=st.dictionaries(st.text(), VALUES, max_size=4),
    name=st.text(max_size=20),
    array=DTYPES.flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_side=4))
    ),
)
def test_values_and_arrays_come_back_exactly(
    meta: dict[str, Any], name: str, array: np.ndarray[Any, Any], tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "exact.npz"
    arrays = {name: array.T, f"{name}2": array}
    write_archive(path, "test", meta, arrays)
    found, back = read_archive(path, "test")
    assert repr(found) == repr(meta)
    assert list(back) == list(arrays)
    for key, value in back.items():
        native = arrays[key].astype(arrays[key].dtype.newbyteorder("="))
        assert value.dtype == native.dtype
        assert value.shape == native.shape
        assert value.tobytes() == native.tobytes()
        assert value.flags.writeable
        assert value.flags.c_contiguous
        assert value.flags.aligned


def test_the_payload_of_a_nan_is_kept(tmp_path: Path) -> None:
    bits = np.array([0x7FF8DEADBEEF0001, 0xFFF0000000000001], np.uint64)
    write_archive(tmp_path / "a.npz", "test", {}, {"a": bits.view(np.float64)})
    assert read_archive(tmp_path / "a.npz", "test")[1]["a"].tobytes() == bits.tobytes()


def test_a_file_of_more_members_than_16_bits_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The end of the archive has another form then; the same as beyond 4 GiB.

    It is taken for fewer members here, for it takes seconds to write 65,536.
    """
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 50)
    arrays = {str(index): np.zeros((), np.int8) for index in range(60)}
    write_archive(tmp_path / "a.npz", "test", {}, arrays)
    assert b"PK\6\6" in (tmp_path / "a.npz").read_bytes()  # the other form
    assert len(read_archive(tmp_path / "a.npz", "test")[1]) == 60


@pytest.mark.parametrize(
    ("array", "error"),
    [
        (np.array([None]), TypeError),
        (np.zeros(2, [("a", "f8")]), TypeError),
        ([1.0], TypeError),
    ],
)
def test_arrays_that_are_not_plain(array: Any, error: type[Exception], tmp_path: Path) -> None:
    with pytest.raises(error):
        write_archive(tmp_path / "a.npz", "test", {}, {"a": array})
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_plain(tmp_path: Path) -> None:
    endless: list[Any] = []
    endless.append(endless)
    wrongs: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"a": b"bytes"}, TypeError),
        ({"a": {1: 2}}, TypeError),
        ({"a": np.int64(3)}, TypeError),
        ({"a": endless}, ValueError),
        ({"a": 10**5000}, ValueError),
        ({"a": "x" * 2**22}, ValueError),
    ]
    for wrong, error in wrongs:
        with pytest.raises(error):
            write_archive(tmp_path / "a.npz", "test", wrong, {})
    assert not list(tmp_path.iterdir())


# -- whole or not at all -------------------------------------------------------------


@contextlib.contextmanager
def untouched(folder: Path) -> Iterator[Path]:
    """Put a file there; afterwards it is the same, and alone."""
    path = folder / "m.npz"
    save(Dense(2, 2, rng=1), path)
    before = path.read_bytes()
    yield path
    assert path.read_bytes() == before
    assert list(folder.iterdir()) == [path]


@pytest.mark.parametrize("function", ["fsync", "replace"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO])
def test_a_failure_leaves_the_old_file(
    function: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with untouched(tmp_path) as path, monkeypatch.context() as patch:
        patch.setattr(os, function, fail)
        with pytest.raises(OSError, match="a file that was there before is untouched") as caught:
            save(Dense(2, 3, rng=2), path)
        assert caught.value.errno == number
        assert caught.value.filename == str(path)


def test_a_full_disk_at_every_byte(tmp_path: Path) -> None:
    """The limit on the size of a file stands for the disk; all in a process of its own."""
    with untouched(tmp_path) as path:
        size = path.stat().st_size
        code = (
            "import resource, signal, sys\n"
            "from minifw import Dense, save\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "for limit in range(0, int(sys.argv[2]), 50):\n"
            "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
            "    try:\n"
            "        save(Dense(2, 2, rng=2), sys.argv[1])\n"
            "    except OSError as error:\n"
            "        if 'untouched' in str(error) and error.filename == sys.argv[1]: continue\n"
            "    sys.exit(f'limit {limit}: no error')\n"
        )
        subprocess.run(
            [sys.executable, "-c", code, str(path), str(size)], cwd=ROOT, check=True, timeout=60
        )


def test_ctrl_c_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with untouched(tmp_path) as path, monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            save(Dense(2, 3, rng=2), path)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_failure_at_any_line_of_zipfile_is_all_that_is_told(
    error: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that is thrown away must not write its end into a file that is closed."""
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    left = 0

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != zipfile.ZipFile.open.__code__.co_filename:
            return None
        left -= event == "line"
        if left == 0:
            raise error("stop")
        return trace

    with untouched(tmp_path) as path:
        for line in itertools.count(1, 29):
            left, before = line, sys.gettrace()
            sys.settrace(trace)
            try:
                with contextlib.suppress(error):
                    save(Dense(2, 3, rng=2), tmp_path / "other.npz")
            finally:
                sys.settrace(before)
            if left > 0:
                break
        assert line > 200
        (tmp_path / "other.npz").unlink()
        assert path.exists()
    gc.collect()
    assert not told


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, error in [
        (tmp_path / "file" / "m.npz", NotADirectoryError),
        (tmp_path / "missing" / "m.npz", FileNotFoundError),
    ]:
        with pytest.raises(error, match="untouched"):
            save(Tanh(), path)
    (tmp_path / "d.npz").mkdir()
    with pytest.raises(IsADirectoryError):
        save(Tanh(), tmp_path / "d.npz")
    assert {found.name for found in tmp_path.iterdir()} == {"d.npz", "file"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    with untouched(tmp_path) as path:
        tmp_path.chmod(0o500)
        try:
            with pytest.raises(PermissionError, match="untouched"):
                save(Tanh(), path)
        finally:
            tmp_path.chmod(0o700)


def test_a_folder_that_cannot_be_forced_onto_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, real = errno.EIO, os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="new file is in place, but may not outlast a power cut"):
        save(Tanh(), tmp_path / "m.npz")
    number = errno.EINVAL  # the file system knows no such call
    save(Tanh(), tmp_path / "m.npz")


def test_links_and_permissions_are_kept(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "m.npz"
    link = tmp_path / "link.npz"
    link.symlink_to(target)
    mask = os.umask(0o027)
    try:
        save(Tanh(), link)
    finally:
        os.umask(mask)
    assert link.is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    target.chmod(0o604)
    save(Tanh(), target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o604


@pytest.mark.slow
def test_killed_at_40_moments_the_file_is_whole(tmp_path: Path) -> None:
    """The children are forks of a process that has loaded minifw; each is killed once."""
    path = tmp_path / "m.npz"
    save(Residual(Dense(32, 32, rng=1)), path)
    code = (
        "import sys, os, signal, time, random\n"
        "from minifw import Dense, Residual, save, load\n"
        "path = sys.argv[1]\n"
        "models = [Residual(Dense(32, 32, rng=seed)) for seed in (1, 2)]\n"
        "wanted = [model.state_dict()['layer.weight'].tobytes() for model in models]\n"
        "rng = random.Random(0)\n"
        "seen = [0, 0]\n"
        "for moment in range(40):\n"
        "    done, told = os.pipe()\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        while True:\n"
        "            for model in models:\n"
        "                save(model, path)\n"
        "                os.write(told, b'.')\n"
        "    for _ in range(1 + moment % 2):\n"  # so both are met, however busy the machine is
        "        os.read(done, 1)\n"
        "    time.sleep(rng.uniform(0.0, 0.003))\n"
        "    os.kill(child, signal.SIGKILL)\n"
        "    os.waitpid(child, 0)\n"
        "    seen[wanted.index(load(path).state_dict()['layer.weight'].tobytes())] += 1\n"
        "print(*seen)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    first, second = map(int, result.stdout.split())
    assert first + second == 40
    assert min(first, second) > 0
