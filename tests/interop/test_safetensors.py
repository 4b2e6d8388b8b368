"""Weights go to PyTorch and come back: names, shapes, numbers, and what is refused.

tests/data/torch holds state dicts, inputs and outputs that PyTorch itself wrote, by
make_torch.py and state_dicts.py there. Where torch is installed, it loads what was written here,
too; state_dicts.py counts further cases.
"""

import json
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minifw
from minifw import (
    GRU,
    LSTM,
    Array,
    BatchNorm,
    Concat,
    Conv2D,
    Dense,
    Embedding,
    FileFormatError,
    Flatten,
    Graph,
    Layer,
    LayerNorm,
    MaxPool2D,
    Parameter,
    PReLU,
    ReLU,
    Residual,
    RMSNorm,
    Sequential,
    Softmax,
    Tanh,
)

tensors = pytest.importorskip("safetensors.numpy")

from safetensors import safe_open  # noqa: E402

from minifw.interop.safetensors import load_into, save  # noqa: E402

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[1] / "data" / "torch"
STATES = DATA / "states"
DTYPES = {"32": np.float32, "64": np.float64}
TOLERANCE = {"32": 1e-6, "64": 1e-12}

NETWORKS: dict[str, Callable[[Any], Layer]] = {
    "rows": lambda d: Sequential(
        Dense(3, 4, dtype=d),
        BatchNorm(4, dtype=d),
        Sequential(Tanh(), Dense(4, 4, bias=False, dtype=d)),
        PReLU(4, dtype=d),
        LayerNorm(4, dtype=d),
        RMSNorm(4, dtype=d),
        BatchNorm(4, affine=False, dtype=d),
        PReLU(dtype=d),
        Dense(4, 2, dtype=d),
        Softmax(),
    ),
    "images": lambda d: Sequential(
        Conv2D(2, 4, (3, 2), padding=(1, 0), groups=2, dtype=d),
        BatchNorm(4, dtype=d),
        ReLU(),
        MaxPool2D(2),
        Conv2D(4, 3, 2, padding="same", bias=False, dtype=d),
        Flatten(),
        Dense(18, 2, dtype=d),
    ),
    "lstm": lambda d: LSTM(3, 4, dtype=d),
    "gru": lambda d: GRU(3, 4, dtype=d),
    "words": lambda d: Sequential(Embedding(7, 3, padding_idx=0, dtype=d), LayerNorm(3, dtype=d)),
}
ALL = [(name, suffix) for name in NETWORKS for suffix in DTYPES]


def read(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Read a file with the other library alone."""
    found: dict[str, np.ndarray[Any, Any]] = tensors.load(path.read_bytes())
    return found


def bits(model: Layer) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.state_dict().items()}


# -- PyTorch -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "suffix"), ALL)
def test_what_torch_wrote_gives_what_torch_computed(name: str, suffix: str) -> None:
    model = NETWORKS[name](DTYPES[suffix])
    load_into(model, DATA / f"{name}{suffix}.safetensors")
    with np.load(DATA / "out.npz") as out:
        x, y = out[f"{name}{suffix}.x"], out[f"{name}{suffix}.y"]
    found = model.predict(x)
    assert found.dtype == y.dtype
    np.testing.assert_allclose(found, y, rtol=0, atol=TOLERANCE[suffix])


@pytest.mark.parametrize(("name", "suffix"), ALL)
def test_what_is_written_has_the_entries_that_torch_recorded(
    name: str, suffix: str, tmp_path: Path
) -> None:
    model, torchs = NETWORKS[name](DTYPES[suffix]), DATA / f"{name}{suffix}.safetensors"
    load_into(model, torchs)
    save(model, tmp_path / "own")
    own, other = read(tmp_path / "own"), read(torchs)
    assert set(own) == set(other)
    for entry, array in other.items():
        assert own[entry].shape == array.shape, entry
        assert own[entry].dtype == array.dtype, entry
        if not entry.endswith("num_batches_tracked"):
            assert own[entry].tobytes() == array.tobytes(), entry


if find_spec("torch") is not None:  # no extra, and gigabytes: the recorded files stand for it

    @pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch, of an even kernel
    @pytest.mark.parametrize(("name", "suffix"), ALL)
    def test_torch_loads_it_strictly_and_computes_the_same(
        name: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import torch  # noqa: PLC0415 - if it is there
        from safetensors.torch import load_file  # noqa: PLC0415 - needs torch

        monkeypatch.syspath_prepend(str(DATA))
        import make_torch  # noqa: PLC0415 - needs torch

        model = NETWORKS[name](DTYPES[suffix])
        rng = np.random.default_rng(1)
        for parameter in model.parameters():
            parameter.value += 0.1 * rng.standard_normal(parameter.shape).astype(parameter.dtype)
        for _, buffer in model.named_buffers():
            buffer[...] += rng.random(buffer.shape)
        save(model, tmp_path / "own")
        twin, _ = make_torch.networks(getattr(torch, f"float{suffix}"))[name]
        twin.load_state_dict(load_file(tmp_path / "own"), strict=True)
        with np.load(DATA / "out.npz") as out:
            x = out[f"{name}{suffix}.x"]
        with torch.no_grad():
            y = twin.eval()(torch.from_numpy(x))
        y = y[0] if isinstance(y, tuple) else y
        np.testing.assert_allclose(model.predict(x), y.numpy(), rtol=0, atol=TOLERANCE[suffix])


def test_float32_goes_into_float64_exactly() -> None:
    model = NETWORKS["rows"](np.float64)
    load_into(model, DATA / "rows32.safetensors")
    other = read(DATA / "rows32.safetensors")
    for entry, array in model.state_dict().items():
        assert array.dtype == np.float64
        assert (array == other[entry]).all()


def test_float64_goes_into_float32_only_when_asked() -> None:
    model = NETWORKS["gru"](np.float32)
    before = bits(model)
    with pytest.raises(TypeError, match=r"weight_ih_l0 is F64, not float32; .*cast=True") as info:
        load_into(model, DATA / "gru64.safetensors")
    assert str(info.value).count("is F64") == 4
    assert bits(model) == before
    load_into(model, DATA / "gru64.safetensors", cast=True)
    other = read(DATA / "gru64.safetensors")
    for entry, array in model.state_dict().items():
        assert (array == other[entry].astype(np.float32)).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("half", ["bfloat16", "float16"])
def test_halves_are_read_exactly(half: str, dtype: Any) -> None:
    model = RMSNorm(64, dtype=dtype)
    found = load_into(model, STATES / "half.safetensors", names={"weight": half}, strict=False)
    assert (found.missing_keys, len(found.unexpected_keys)) == ([], 3)
    theirs = read_f4("half.safetensors", f"{half}.float")
    (weight,) = model.parameters()
    np.testing.assert_array_equal(weight.value, theirs)  # NaN, infinities, subnormal ones
    assert (np.signbit(weight.value) == np.signbit(theirs)).all()


def read_f4(name: str, entry: str) -> np.ndarray[Any, Any]:
    """Read an entry by the other library, of a file in which it cannot read all."""
    with safe_open(STATES / name, framework="numpy") as file:
        return np.array(file.get_tensor(entry))


def test_what_numpy_lacks_is_refused_with_what_to_do(tmp_path: Path) -> None:
    head = json.dumps({"weight": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}})
    (tmp_path / "f").write_bytes(len(head).to_bytes(8, "little") + head.encode() + b"ab")
    with pytest.raises(TypeError, match=r"weight is F8_E4M3, not float64.*\.float\(\) in PyTorch"):
        load_into(RMSNorm(2), tmp_path / "f", cast=True)


# -- names -------------------------------------------------------------------------


def test_names_lead_from_the_models_to_the_files_both_ways(tmp_path: Path) -> None:
    model, twin = (Sequential(Dense(2, 3), BatchNorm(3)) for _ in range(2))
    save(model, tmp_path / "f", names="model.{}".format)
    assert set(read(tmp_path / "f")) == {
        *(f"model.0.{entry}" for entry in ("weight", "bias")),
        *(f"model.1.{entry}" for entry in ("weight", "bias", "running_mean", "running_var")),
        "model.1.num_batches_tracked",
    }
    load_into(twin, tmp_path / "f", names="model.{}".format)
    assert bits(twin) == bits(model)
    save(model, tmp_path / "f", names={"0.weight": "fc.weight"})
    assert {"fc.weight", "0.bias"} < set(read(tmp_path / "f"))
    load_into(twin, tmp_path / "f", names={"0.weight": "fc.weight"})


@pytest.mark.parametrize(
    ("names", "error", "says"),
    [
        ({"weights": "w"}, ValueError, "has no 'weights'"),
        (lambda _: 3, TypeError, "give strings, got an int for weight"),
        (7, TypeError, "a dict or callable, got an int"),
    ],
)
def test_names_that_do_not_tell_entries_apart_are_refused(
    names: Any, error: type[Exception], says: str, tmp_path: Path
) -> None:
    for call in (save, load_into):
        with pytest.raises(error, match=f"^{call.__name__} .*{says}"):
            call(Dense(2, 1), tmp_path / "f", names=names)
    assert not list(tmp_path.iterdir())


def test_two_names_for_one_entry_may_be_read_and_not_written(tmp_path: Path) -> None:
    model = Sequential(Dense(2, 2, bias=False), Tanh(), Dense(2, 2, bias=False))
    for names in ({"0.weight": "2.weight"}, lambda _: "2.weight"):
        with pytest.raises(ValueError, match=r"0\.weight and 2\.weight are both called 2\.weight"):
            save(model, tmp_path / "f", names=names)
        weight = np.arange(4.0).reshape(2, 2)
        load_into(model, write(tmp_path / "g", **{"2.weight": weight}), names=names)
        assert all((parameter.value == weight).all() for parameter in model.parameters())
    assert not (tmp_path / "f").exists()


def test_a_function_is_asked_for_the_models_names_alone(tmp_path: Path) -> None:
    """Not for those of the lists in which containers keep their layers."""
    shared = Dense(2, 2)
    graph = Graph("x", a=Dense(2, 2), b=shared, c=shared)
    graph["b"].bias = graph["a"].bias
    for model, more in ((Sequential(Dense(2, 2), Sequential(Tanh(), Dense(2, 2))), set()),
                        (graph, {"b.bias", "c.bias", "c.weight"})):  # fmt: skip
        asked: set[str] = set()
        save(model, tmp_path / "f")
        load_into(model, tmp_path / "f", names=lambda name: asked.add(name) or name)  # type: ignore[func-returns-value] # noqa: B023
        assert asked == {*model.state_dict(), *more}


class Own(Layer):
    """An author's own layer, with a count in a buffer."""

    buffers: ClassVar[tuple[str, ...]] = ("count",)

    def __init__(self, shape: tuple[int, ...] = (2, 3)) -> None:
        self.table = Parameter(np.arange(np.prod(shape, dtype=int), dtype=float).reshape(shape))
        self.count = np.zeros((), np.int32)

    def forward(self, x: Array) -> Array:
        return x

    def backward(self, dy: Array) -> Array:
        return dy


def test_layers_without_a_twin_go_by_their_own_names(tmp_path: Path) -> None:
    save(Sequential(Residual(Dense(2, 2)), Concat(Own(), Tanh())), tmp_path / "f")
    assert set(read(tmp_path / "f")) == {
        "0.layer.weight",
        "0.layer.bias",
        "1.0.table",
        "1.0.count",
    }


# -- the layout in memory ------------------------------------------------------------


def test_arrays_in_another_order_are_not_scrambled(tmp_path: Path) -> None:
    model = Own((3, 4))
    numbers = np.arange(12.0).reshape(3, 4)
    orders = [np.asfortranarray(numbers), np.repeat(numbers, 2, axis=1)[:, ::2], numbers[::1]]
    for array in [*orders, np.ascontiguousarray(numbers[::-1])[::-1]]:
        object.__setattr__(model.table, "value", array)
        save(model, tmp_path / "f")
        assert (read(tmp_path / "f")["table"] == numbers).all()


@given(data=st.data(), dtype=st.sampled_from([np.float32, np.float64]))
def test_any_numbers_come_back_bit_for_bit(
    data: st.DataObject, dtype: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, max_side=3))
    values = data.draw(hnp.arrays(dtype, shape))
    model, twin = Own(shape), Own(shape)
    model.table, twin.table = Parameter(values), Parameter(np.zeros(shape, dtype))
    path = tmp_path_factory.getbasetemp() / "any.safetensors"
    save(model, path)
    load_into(twin, path)
    assert bits(twin) == bits(model)


# -- refusals --------------------------------------------------------------------------


def write(path: Path, **arrays: np.ndarray[Any, Any]) -> Path:
    path.write_bytes(tensors.save(arrays))
    return path


def test_every_bad_entry_is_named_and_nothing_is_changed(tmp_path: Path) -> None:
    model = Sequential(Dense(2, 3), BatchNorm(3))
    before = bits(model)
    good = {**model.state_dict(), "1.num_batches_tracked": np.zeros((), np.int64)}
    bad = {name: np.full_like(array, 9) for name, array in good.items()}
    del bad["0.bias"]
    bad["0.extra"] = np.zeros(1)
    bad["1.weight"] = np.zeros((3, 1))
    bad["1.num_batches_tracked"] = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="missing") as info:
        load_into(model, write(tmp_path / "f", **bad))
    assert str(info.value) == (
        "load_into: 0.bias is missing; 0.extra is unexpected; "
        "1.weight has shape (3, 1), not (3,); "
        "1.num_batches_tracked has shape (1,), not (); names= maps the model's names to the "
        "file's, strict=False loads what both have"
    )
    assert bits(model) == before


def test_the_count_of_batches_may_be_missing(tmp_path: Path) -> None:
    model = BatchNorm(2)
    load_into(model, write(tmp_path / "f", **BatchNorm(2).state_dict()))


def test_the_count_of_batches_may_have_become_a_float(tmp_path: Path) -> None:
    state = {**BatchNorm(2).state_dict(), "num_batches_tracked": np.float32(3)}
    floats = {name: np.asarray(array, np.float32) for name, array in state.items()}
    load_into(BatchNorm(2), write(tmp_path / "f", **floats))


def test_wrong_dtypes_are_named_beside_wrong_shapes(tmp_path: Path) -> None:
    path = write(tmp_path / "f", w=np.ones((1, 3)), bias=np.ones(1, np.int8))
    says = "w has shape \\(1, 3\\), not \\(1, 2\\); bias is I8, not float64"
    with pytest.raises(ValueError, match=says):
        load_into(Dense(2, 1), path, names={"weight": "w"})


@pytest.mark.parametrize("cast", [False, True])
def test_numbers_of_another_kind_are_refused(cast: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "f", weight=np.ones((1, 2), np.int64), bias=np.ones(1, np.bool_))
    with pytest.raises(TypeError, match="weight is I64, not float64; bias is BOOL"):
        load_into(Dense(2, 1), path, cast=cast)


def test_numbers_too_large_are_refused(tmp_path: Path) -> None:
    model = Dense(2, 1, dtype=np.float32)
    before = bits(model)
    path = write(tmp_path / "f", weight=np.array([[1e300, 1]]), bias=np.array([np.inf]))
    with pytest.raises(ValueError, match="weight has numbers too large for float32"):
        load_into(model, path, cast=True)
    assert bits(model) == before
    count = write(tmp_path / "g", table=np.ones((2, 3)), count=np.array(2**40))
    with pytest.raises(ValueError, match="count has numbers too large for int32"):
        load_into(Own(), count, cast=True)


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    model, path = Dense(2, 1), tmp_path / "f"
    before = bits(model)
    save(model, path)
    whole = path.read_bytes()
    huge = (2**40).to_bytes(8, "little")
    size = int.from_bytes(whole[:8], "little")
    head = json.loads(whole[8 : 8 + size])
    head["weight"]["data_offsets"] = [0, 10**9]
    outside = json.dumps(head).encode()
    for data in [
        b"",
        b"\0" * 4,
        huge + whole[8:],
        whole[:-1],
        whole[:40],
        whole + b"x",
        len(outside).to_bytes(8, "little") + outside + whole[8 + size :],
    ]:
        path.write_bytes(data)
        with pytest.raises(FileFormatError, match="cannot be read"):
            load_into(model, path)
    assert bits(model) == before
    with pytest.raises(FileNotFoundError):
        load_into(model, tmp_path / "none")


def test_other_things_than_models_are_refused(tmp_path: Path) -> None:
    for call in (save, load_into):
        with pytest.raises(TypeError, match=f"^{call.__name__} expects a layer as model, got"):
            call({}, tmp_path / "f")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match=f"^{call.__name__} expects a path"):
            call(Tanh(), 3)  # type: ignore[arg-type]


def test_without_the_extra_its_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (save, load_into):
        with pytest.raises(ImportError, match=r"minifw\[safetensors\]"):
            call(Tanh(), tmp_path / "f")


def test_the_name_that_the_format_keeps_is_refused(tmp_path: Path) -> None:
    """A file with such an entry could be read by nobody."""
    path = tmp_path / "weights.safetensors"
    with pytest.raises(ValueError, match="cannot be called '__metadata__'"):
        save(Dense(2, 3), path, names={"weight": "__metadata__"})
    assert not path.exists()


def test_load_of_weights_alone_says_what_reads_them(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save(Dense(2, 3), path)
    with pytest.raises(FileFormatError, match=r"no description .*safetensors\.load_into"):
        minifw.load(path)


def test_what_is_tied_may_have_two_entries_if_they_are_equal(tmp_path: Path) -> None:
    """As in the state dict of a torch module whose ``head.weight = embedding.weight``."""
    path, model = tmp_path / "t.safetensors", Sequential(Dense(3, 3), Tanh(), Dense(3, 3))
    model[2].weight = model[0].weight
    weight = np.arange(9.0).reshape(3, 3)
    entries = {"m.0.weight": weight, "m.0.bias": np.ones(3), "m.2.bias": np.ones(3)}
    for more in ({"m.2.weight": weight}, {}):
        tensors.save_file({**entries, **more}, path)
        load_into(model, path, names="m.{}".format)
        assert (model[2].weight.value == weight).all()
    del entries["m.0.weight"]
    tensors.save_file({**entries, "m.2.weight": weight + 1}, path)
    load_into(model, path, names="m.{}".format)
    assert (model[0].weight.value == weight + 1).all()
    tensors.save_file({**entries, "m.0.weight": weight, "m.2.weight": weight + 1}, path)
    with pytest.raises(ValueError, match=r"0\.weight and 2\.weight are tied"):
        load_into(model, path, names="m.{}".format)


@pytest.mark.parametrize("tie", [False, True])
def test_what_save_model_of_torch_left_out_is_found_by_its_metadata(tie: bool) -> None:
    model = Graph(
        "x",
        embed=Embedding(5, 3, dtype=np.float32),
        head=Dense(3, 5, bias=False, dtype=np.float32),
    )
    if tie:
        model["head"].weight = model["embed"].weight
    assert list(read(STATES / "tied.safetensors")) == ["embed.weight"]
    load_into(model, STATES / "tied.safetensors")
    weight = read(STATES / "tied.safetensors")["embed.weight"]
    assert (model["head"].weight.value == weight).all()
    assert (model["embed"].weight.value == weight).all()


# -- parts -----------------------------------------------------------------------------


def test_a_part_of_a_file_is_loaded_on_request(tmp_path: Path) -> None:
    model = Sequential(Dense(2, 3), BatchNorm(3))
    before, weight = bits(model), np.ones((3, 2))
    path = write(tmp_path / "f", **{"m.0.weight": weight, "head": np.ones(1)})
    found = load_into(model, path, names="m.{}".format, strict=False)
    assert found.missing_keys == [name for name in before if name != "0.weight"]
    assert found.unexpected_keys == ["head"]
    assert bits(model) == {**before, "0.weight": weight.tobytes()}
    with pytest.raises(
        ValueError, match=r"0\.weight is missing.* head is unexpected; .*names= maps"
    ):
        load_into(model, path, strict=False)  # nothing fits
    path = write(tmp_path / "g", **{"0.weight": weight + 1, "1.running_var": -np.ones(3)})
    with pytest.raises(ValueError, match="running_var"):
        load_into(model, path, strict=False)
    path = write(tmp_path / "g", **{"0.weight": weight + 1, "0.bias": np.ones(2)})
    with pytest.raises(
        ValueError, match=r"load_into: 0\.bias has shape \(2,\), not \(3,\); a part"
    ):
        load_into(model, path, strict=False)
    assert bits(model) == {**before, "0.weight": weight.tobytes()}


def test_an_index_leads_to_all_its_files(tmp_path: Path) -> None:
    model = Sequential(Dense(4, 8, dtype=np.float32), ReLU(), Dense(8, 2, dtype=np.float32))
    index = "model.safetensors.index.json"
    assert not any(load_into(model, STATES / index))
    theirs = {k: v for path in sorted(STATES.glob("model-*")) for k, v in read(path).items()}
    assert bits(model) == {name: theirs[name].tobytes() for name in bits(model)}
    (tmp_path / index).write_bytes((STATES / index).read_bytes())
    for path in sorted(STATES.glob("model-*")):
        with pytest.raises(FileNotFoundError, match=path.name):
            load_into(model, tmp_path / index)
        (tmp_path / path.name).write_bytes(path.read_bytes())
    load_into(model, tmp_path / index)
    write(tmp_path / path.name, **theirs)
    with pytest.raises(FileFormatError, match=r"0\.bias is in another file of the index, too"):
        load_into(model, tmp_path / index)


@pytest.mark.parametrize(
    "place",
    ["../f.safetensors", "/f.safetensors", "a/f.safetensors", "a\\f.safetensors",
     "C:f.safetensors", "f.bin", ".safetensors", "f.safetensors\n", "f.safetensors\0", "", None, 3,
     ["f.safetensors"]],
)  # fmt: skip
def test_an_index_opens_plain_names_alone(place: object, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write(tmp_path / "a" / "f.safetensors", **Dense(2, 1).state_dict())
    write(tmp_path / "f.safetensors", **Dense(2, 1).state_dict())
    index = tmp_path / "a" / "m.index.json"
    for places in ({"weight": "f.safetensors", "bias": place}, place, [place]):
        index.write_text(json.dumps({"weight_map": places}))
        with pytest.raises(FileFormatError, match=r"is not an index|damaged"):
            load_into(Dense(2, 1), index)
    for text in (
        b"",
        b"[" * 10**5,
        b"\xff",
        b'{"weight_map": {}}' + b" " * 2**22,
        b"[]",
        b"9" * 5000,
    ):
        index.write_bytes(text)
        with pytest.raises(FileFormatError, match=r"index\.json cannot be read"):
            load_into(Dense(2, 1), index)


def test_what_torch_pickles_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "f.pt").write_bytes(b"PK\3\4" + bytes(100))
    with pytest.raises(
        FileFormatError, match=r"save_file\(module.state_dict\(\), path\) writes one"
    ):
        load_into(Dense(2, 1), tmp_path / "f.pt")
