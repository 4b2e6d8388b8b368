"""ONNX: what ONNX Runtime makes of a graph is what minifw makes of the model."""

import contextlib
import pathlib
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from cases import CASES, Case

import minifw
from minifw import (
    ELU,
    Array,
    BatchNorm,
    Dense,
    Dropout,
    FileFormatError,
    Layer,
    LayerNorm,
    Parameter,
    Sequential,
    Tanh,
)
from minifw.interop.onnx import IR_VERSION, OPSET, Graph, export, import_, register

DATA = pathlib.Path(__file__).parent / "data" / "onnx"

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
FACTORS = [1.0, 1e4]  # of inputs: usual ones, and those at which naive forms overflow or saturate


def run(path: pathlib.Path, x: Array) -> Array:
    """Return what ONNX Runtime makes of x."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    result: Array = y
    return result


def trained(case: Case, dtype: type) -> Layer:
    """Return the layer with other numbers than it starts with, buffers too."""
    layer = case.make(dtype)
    rng = np.random.default_rng(7)
    for array in layer._state().values():
        array[...] += 0.1 * rng.random(array.shape)
    return layer


def close(y: Array, expected: Array) -> None:
    assert y.dtype == expected.dtype
    assert y.shape == expected.shape
    bound = TOLERANCE[y.dtype]
    assert (np.abs(y - expected) <= bound * (1 + np.abs(expected))).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_layer_is_the_same_in_onnx_runtime(
    case: Case, dtype: type, tmp_path: pathlib.Path
) -> None:
    """A new layer of the table fails here until it has an exporter; the message says how."""
    model = trained(case, dtype)
    path = tmp_path / "model.onnx"
    export(model, path, input_shape=case.example_shape, dtype=dtype)
    for batch in (1, 5):
        for factor in FACTORS[: 1 if case.indices else 2]:
            x = case.x(batch, dtype)
            x = x if case.indices else x * dtype(factor)
            close(run(path, x), model.predict(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_was_exported_comes_back(case: Case, dtype: type, tmp_path: pathlib.Path) -> None:
    model = trained(case, dtype)
    export(model, tmp_path / "model.onnx", input_shape=case.example_shape)
    twin = import_(tmp_path / "model.onnx")
    assert repr(twin) == repr(model)
    x = case.x(3, dtype)
    assert (twin.predict(x) == model.predict(x)).all()


@pytest.mark.parametrize("path", sorted(DATA.glob("*.onnx")), ids=lambda path: path.stem)
def test_graphs_of_pytorch_predict_as_pytorch(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """They were written by PyTorch's own exporters, before and with dynamo: see make_onnx.py."""
    with np.load(DATA / f"{path.stem.rsplit('_', 1)[0]}.npz") as data:
        x, y = data["x"], data["y"]
    model = import_(path)
    close(model.predict(x), y)
    minifw.save(model, tmp_path / "model.npz")  # its arguments are plain values
    close(minifw.load(tmp_path / "model.npz").predict(x), y)


def test_a_graph_counts_for_more_than_its_description(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    export(Sequential(Dense(2, 3, rng=0), Tanh()), path)
    proto = onnx.load(path)
    proto.graph.node[1].op_type = "Sigmoid"
    onnx.save(proto, path)
    twin = import_(path)
    assert repr(twin) == "Sequential(Dense(2, 3), Sigmoid())"
    x = np.ones((2, 2))
    close(twin.predict(x), run(path, x))


def test_the_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    model = Sequential(Dense(2, 3, rng=0), Dropout(0.2), BatchNorm(3))
    before = {name: array.copy() for name, array in model._state().items()}
    export(model, path, input_name="points", output_name="scores")
    assert model.training
    assert all((array == before[name]).all() for name, array in model._state().items())
    proto = onnx.load(path)
    assert (proto.producer_name, proto.producer_version) == ("minifw", minifw.__version__)
    assert (proto.opset_import[0].version, proto.ir_version) == (OPSET, IR_VERSION)
    names = {tensor.name for tensor in proto.graph.initializer}
    assert set(model.state_dict()) <= names
    (x,), (y,) = proto.graph.input, proto.graph.output
    assert (x.name, y.name) == ("points", "scores")
    assert [axis.dim_param or axis.dim_value for axis in x.type.tensor_type.shape.dim] == [
        "batch",
        2,
    ]


def test_float32_graphs_of_float64_models(tmp_path: pathlib.Path) -> None:
    model = Sequential(Dense(2, 3, rng=0), ELU(), LayerNorm(3))
    export(model, tmp_path / "model.onnx", dtype=np.float32)
    x = np.random.default_rng(0).standard_normal((5, 2)).astype(np.float32)
    close(run(tmp_path / "model.onnx", x), model.predict(x).astype(np.float32))
    close(
        import_(tmp_path / "model.onnx").predict(x).astype(np.float32),
        model.predict(x).astype(np.float32),
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_norm_far_from_zero(dtype: type, tmp_path: pathlib.Path) -> None:
    """As a factor and an offset it would lose the digits that x and the mean share."""
    model = BatchNorm(2, dtype=dtype)
    model.running_mean[...] = 1e4
    for shape in ((2,), (2, 3, 3)):
        x = 1e4 + np.random.default_rng(0).standard_normal((4, *shape)).astype(dtype)
        export(model, tmp_path / "model.onnx", input_shape=shape)
        close(run(tmp_path / "model.onnx", x), model.predict(x))


class Scale(Layer):
    """y = x * scale."""

    def __init__(self, features: int) -> None:
        self.scale = Parameter(np.arange(1.0, features + 1))

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x * self.scale.value

    def backward(self, dy: Array) -> Array:
        return dy * self.scale.value


class Doubled(Scale):
    def forward(self, x: Array) -> Array:
        return 2 * super().forward(x)


def test_a_layer_of_ones_own(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    model = Sequential(Dense(2, 3, rng=0), Scale(3))
    with pytest.raises(
        TypeError, match=r"layer 1, Scale\(3\), has no ONNX form yet; register one"
    ):
        export(model, path)
    assert not path.exists()

    @register(Scale)
    def scale(layer: Scale, graph: Graph, x: str) -> str:
        return graph.node("Mul", x, graph.constant(layer.scale))

    export(model, path)
    x = np.ones((2, 2))
    close(run(path, x), model.predict(x))
    assert repr(import_(path, custom_layers=[Scale])) == repr(model)
    proto = onnx.load(path)
    proto.metadata_props[0].value = proto.metadata_props[0].value.replace("Scale", "Skale")
    onnx.save(proto, path)
    with pytest.raises(FileFormatError, match=r"node '1/Mul', Mul: .*Skale"):
        import_(path)
    with pytest.raises(TypeError, match="Doubled"):  # whose forward is another one
        export(Doubled(3), path, input_shape=(3,))

    @register(Doubled)
    def wrong(layer: Scale, graph: Graph, x: str) -> str:
        return graph.node("Mull", x, graph.constant(layer.scale))

    with pytest.raises(ValueError, match="fails onnx's checker"):
        export(Doubled(3), path, input_shape=(3,))


def test_refusals_of_export(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(ValueError, match="give input_shape"):
        export(Tanh(), path)
    with pytest.raises(ValueError, match=r"expects examples of shape \(2,\)"):
        export(Dense(2, 3), path, input_shape=(3,))
    with pytest.raises(TypeError, match="export expects a layer"):
        export("model", path)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="register expects classes of layers"):
        register(Tanh())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="is a parameter's name"):
        export(Dense(2, 3), path, input_name="weight")
    with pytest.raises(ValueError, match="the name 'x' is taken"):
        export(Dense(2, 3), path, output_name="x")
    with pytest.raises(TypeError, match="expects names as str"):
        export(Dense(2, 3), path, input_name="")


def test_refusals_of_import(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph at all")
    with pytest.raises(FileFormatError, match="cannot be"):
        import_(path)
    with pytest.raises(FileNotFoundError):
        import_(tmp_path / "none.onnx")

    export(Sequential(Dense(2, 3, rng=0), Tanh()), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 40):  # cut off
        path.write_bytes(whole[:length])
        with pytest.raises(FileFormatError):
            import_(path)

    rng = np.random.default_rng(0)
    for _ in range(300):  # damaged: refused as such, or another model
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(damaged)
        with contextlib.suppress(FileFormatError):
            import_(path)

    path.write_bytes(whole)
    proto = onnx.load(path)
    proto.graph.node[1].op_type = "Sin"
    onnx.save(proto, path)
    with pytest.raises(FileFormatError, match=r"node '1/Tanh', Sin: minifw reads Add, .*Conv"):
        import_(path)

    secret = tmp_path / "secret"
    secret.write_bytes(bytes(48))
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="secret")
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(FileFormatError, match="in another file"):
        import_(path)


def test_without_onnx_the_extra_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"export needs onnx; .* minifw\[onnx\]"):
        export(Dense(2, 3), tmp_path / "model.onnx")
    with pytest.raises(ImportError, match=r"import_ needs onnx; .* minifw\[onnx\]"):
        import_(tmp_path / "model.onnx")


def test_onnx_is_imported_when_used() -> None:
    code = "import sys, minifw.interop.onnx; print('onnx' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "False"
