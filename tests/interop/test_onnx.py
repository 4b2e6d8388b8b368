"""ONNX: what ONNX Runtime makes of a graph is what minifw makes of the model."""

import contextlib
import copy
import pathlib
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import skl2onnx
from cases import CASES as ALL
from cases import Case
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

import minifw
from minifw import (
    ELU,
    GRU,
    LSTM,
    Add,
    Array,
    BatchNorm,
    Dense,
    Dropout,
    Embedding,
    FileFormatError,
    Flip,
    HardTanh,
    Join,
    Layer,
    LayerNorm,
    LogSoftmax,
    Mask,
    MeanOverTime,
    MultiHeadAttention,
    Parameter,
    Residual,
    Sequential,
    Sigmoid,
    SiLU,
    Tanh,
)
from minifw.interop.onnx import (
    IR_VERSION,
    OPSET,
    Graph,
    export,
    import_,
    register,
    register_skl2onnx,
)
from minifw.interop.sklearn import NetworkClassifier, NetworkRegressor

pytestmark = pytest.mark.slow

DATA = pathlib.Path(__file__).parents[1] / "data" / "onnx"

CASES = [case for case in ALL if case.exported]
DTYPES: list[Any] = [np.float32, np.float64]
TOLERANCE = {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}
FACTORS = [1.0, 1e4]  # of inputs: usual ones, and those at which naive forms overflow or saturate


def session_of(path: pathlib.Path) -> Callable[[Array], Array]:
    """Return what ONNX Runtime makes of a file: a function of x."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def predict(x: Array) -> Array:
        (y,) = session.run(None, {name: x})
        result: Array = y
        return result

    return predict


def run(path: pathlib.Path, x: Array) -> Array:
    """Return what ONNX Runtime makes of x."""
    return session_of(path)(x)


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


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_layer_is_the_same_in_onnx_runtime_and_comes_back(
    case: Case, tmp_path: pathlib.Path
) -> None:
    """A new layer of the table fails here until it has an exporter; the message says how."""
    path = tmp_path / "model.onnx"
    for dtype in DTYPES:
        model = trained(case, dtype)
        export(model, path, input_shape=case.example_shape, dtype=dtype)
        predict = session_of(path)
        for batch in (1, 5):
            for factor in FACTORS[: 1 if case.indices else 2]:
                x = case.x(batch, dtype)
                x = x if case.indices else x * dtype(factor)
                close(predict(x), model.predict(x))
        recurrent = any(isinstance(one, LSTM | GRU) for _, one in model._all_layers())
        if dtype is np.float64 or not recurrent:  # ONNX Runtime 1.32 ends the process there
            y = predict(case.x(1, dtype)[:0])  # of no rows
            assert y.shape == (0, *model.output_shape(case.example_shape))
        twin = import_(path)
        assert repr(twin) == repr(model)
        x = case.x(3, dtype)
        assert (twin.predict(x) == model.predict(x)).all()


# Whose nodes no layer is read from, in float32: what `_reading` has no formula for
UNREAD = {"Impute", "PeriodicEncoding", "PiecewiseLinearEncoding", "RobustScale"}
UNREAD |= {"Softplus, beta", "Conv2DTranspose, every argument"}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_layer_is_read_from_its_nodes(case: Case, tmp_path: pathlib.Path) -> None:
    path, model = tmp_path / "model.onnx", trained(case, np.float32)
    export(model, path, input_shape=case.example_shape, dtype=np.float32)
    proto = onnx.load(path)
    del proto.metadata_props[:]
    onnx.save(proto, path)
    if {case.name, case.name.split(",")[0]} & UNREAD:
        with pytest.raises(FileFormatError, match=r"node .*: .*; change the model"):
            import_(path)
        return
    twin = import_(path)
    for batch in (1, 5):
        x = case.x(batch, np.float32)
        close(twin.predict(x), model.predict(x))


def test_a_batch_of_a_given_size(tmp_path: pathlib.Path) -> None:
    path, model = tmp_path / "model.onnx", Sequential(Dense(2, 3, rng=0), Tanh())
    export(model, path, batch=3)
    proto = onnx.load(path)
    for value in (*proto.graph.input, *proto.graph.output):
        assert value.type.tensor_type.shape.dim[0].dim_value == 3
    x = np.ones((3, 2))
    close(run(path, x), model.predict(x))
    assert repr(import_(path)) == repr(model)  # of any batch again
    for batch, error in ((0, ValueError), (2.5, TypeError), (True, TypeError)):
        with pytest.raises(error, match="export expects batch to be"):
            export(model, path, batch=batch)  # type: ignore[arg-type]


@pytest.mark.parametrize("path", sorted(DATA.glob("*.onnx")), ids=lambda path: path.stem)
def test_graphs_of_pytorch_predict_as_pytorch(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    """They were written by PyTorch's own exporters, before and with dynamo: see make_onnx.py."""
    with np.load(DATA / f"{path.stem.rsplit('_', 1)[0]}.npz") as data:
        x, y = data["x"], data["y"]
    model = import_(path)
    close(model.predict(x), y)
    minifw.save(model, tmp_path / "model.npz")  # its arguments are plain values
    close(minifw.load(tmp_path / "model.npz").predict(x), y)


FOREIGN = {
    path: name
    for folder in ("torch", "keras", "sklearn", "zoo")
    for path in sorted((DATA / "exported" / folder).glob("*.onnx"))
    for name in (f"{folder}/{path.stem}",)
}
REFUSED = (DATA / "refused.txt").read_text(encoding="utf-8").split()  # so far


@pytest.mark.parametrize("path", FOREIGN, ids=FOREIGN.get)
def test_files_of_other_programs(path: pathlib.Path) -> None:
    """PyTorch's default exporter, Keras, skl2onnx and the model zoo: see foreign.py."""
    if FOREIGN[path] in REFUSED:
        with pytest.raises(FileFormatError):
            import_(path)
        return
    with np.load(path.parent / "expected.npz") as data:
        given = {name.removeprefix(f"{path.stem} "): data[name] for name in data.files}
    labelled = path.parent.name == "sklearn" and "y1" in given
    y = import_(path, outputs=["probabilities"] if labelled else None).predict(given["x0"])
    outputs = y if isinstance(y, tuple) else (y,)
    expected = [given[name] for name in ("y0", "y1") if name in given][-len(outputs) :]
    for made, meant in zip(outputs, expected, strict=True):
        assert made.shape == meant.shape
        np.testing.assert_allclose(made, meant, rtol=1e-5, atol=1e-5)


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


def test_a_graph_in_onnx_runtime(tmp_path: pathlib.Path) -> None:
    """Fan-out, a shared layer, joins, a Graph in a Graph, and a joined chain."""
    shared = Dense(3, 3, rng=0)
    inner = minifw.Graph("u", a=Tanh(), s=(Add(), "u", "a"))
    model = minifw.Graph(
        "x",
        h=(shared, "x"),
        k=(shared, "h"),
        s=(Add(), "x", "h", "k"),
        e=(inner, "s"),
        j=(Join(), "e", "h"),
        y=Sequential(Dense(6, 2, rng=1), Tanh()),
    )
    x = np.random.default_rng(0).standard_normal((5, 3))
    export(model, tmp_path / "model.onnx")
    close(run(tmp_path / "model.onnx", x), model.predict(x))
    twin = import_(tmp_path / "model.onnx")
    assert repr(twin) == repr(model)
    close(twin.predict(x), model.predict(x))


def several(dtype: type) -> dict[str, tuple[Layer, dict[str, tuple[int, ...]]]]:
    """Models of several inputs or outputs, with the shapes of what they get."""
    more: dict[str, Any] = {"rng": 1, "dtype": dtype}
    words = minifw.Graph(
        "ids",
        "x",
        e=(Embedding(6, 3, **more), "ids"),
        m=(Mask(), "ids"),
        f=(Flip(), "e"),
        g=(Flip(), "m"),
        h=(GRU(3, 2, return_sequences=False, **more), "f", "g"),
        a=(MeanOverTime(), "e", "m"),
        y=(Join(), "h", "a", "x"),
        outputs=("a", "y"),
    )
    translator = minifw.Graph(
        "source",
        "target",
        "mask",
        z=(LSTM(3, 4, return_state=True, **more), "source", "mask"),
        d=(LSTM(2, 4, **more), "target", None, "z.h", "z.c"),
        y=(MultiHeadAttention(4, 2, **more), "d", "z.y", "mask"),
        outputs=("y", "z.c"),
    )
    attention = MultiHeadAttention(4, 2, causal=True, **more)
    return {
        "words": (words, {"ids": (4,), "x": (2,)}),
        "translator": (translator, {"source": (5, 3), "target": (3, 2), "mask": (5,)}),
        "memory": (MultiHeadAttention(4, 2, **more), {"x": (3, 4), "memory": (5, 4)}),
        "masked": (attention, {"x": (3, 4), "mask": (3,)}),
        "all states": (LSTM(3, 2, return_state=True, **more), {"x": (4, 3)}),
        "last state": (
            GRU(3, 2, return_state=True, return_sequences=False, **more),
            {"x": (4, 3)},
        ),
        "passed": (
            minifw.Graph("a", "b", s=(Add(), "a", "b"), outputs=("s",)),
            {"a": (2,), "b": (2,)},
        ),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", several(np.float64))
def test_several_inputs_and_outputs(name: str, dtype: type, tmp_path: pathlib.Path) -> None:
    model, shapes = several(dtype)[name]
    export(model, tmp_path / "model.onnx", input_shape=shapes, dtype=dtype)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", options)
    assert [one.name for one in session.get_inputs()] == list(shapes)
    twin = import_(tmp_path / "model.onnx")
    assert repr(twin) == repr(model)
    one = len(model.output_names) == 1
    assert [one.name for one in session.get_outputs()] == (["y"] if one else [*model.output_names])
    rng = np.random.default_rng(0)
    for batch in (1, 5):
        given: dict[str, Any] = {
            key: rng.standard_normal((batch, *shape)).astype(dtype)
            for key, shape in shapes.items()
        }
        if "ids" in given:
            given["ids"] = rng.integers(0, 3, (batch, *shapes["ids"]))  # some are padding
        if "mask" in given:
            given["mask"] = given["mask"] > 0
            given["mask"][0] = False  # nothing counts
        expected = model.predict(given if len(given) > 1 else given["x"])
        again = twin.predict(given if len(given) > 1 else given["x"])
        assert all((a == b).all() for a, b in zip(again, expected, strict=True))
        for made, y in zip(
            session.run(None, given), (expected,) if one else expected, strict=True
        ):
            close(made, y)


def test_shapes_and_names_of_several_inputs(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    model = minifw.Graph("a", "b", y=(Add(), "a", "b"))
    export(model, path, input_shape=[(2,), (2,)], input_name=["p", "q"], output_name="sum")
    graph = onnx.load(path).graph
    assert [one.name for one in (*graph.input, *graph.output)] == ["p", "q", "sum"]
    for shape in (
        None,
        (2,),
        [(2,)],
        [(2,), None],
        {"a": (2,)},
        {"a": (2,), "b": (2,), "c": (1,)},
    ):
        with pytest.raises(ValueError, match=r"a shape for each input, \(a, b\)"):
            export(model, path, input_shape=shape)
    with pytest.raises(TypeError, match="names as str, not empty, as input_name 2, got 'p'"):
        export(model, path, input_shape=[(2,), (2,)], input_name="p")
    with pytest.raises(ValueError, match="the name 'a' is taken; give another output_name"):
        export(model, path, input_shape=[(2,), (2,)], output_name="a")
    with pytest.raises(ValueError, match=r"of shape \(4,\), LSTM.* got \(6,\); give input_shape="):
        export(Sequential(Dense(4, 6), LSTM(6, 2)), path)


def test_pipelines_of_scikit_learn(tmp_path: pathlib.Path) -> None:
    """They are what skl2onnx makes of them, label and probabilities."""
    register_skl2onnx()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 3)) * (1, 10, 100) + 5
    kinds = np.digitize(x[:, 0], [4.5, 5.5])
    pair = Sequential(Dense(3, 1, rng=0), Sigmoid())
    logs = Sequential(Dense(3, 3, rng=0), LogSoftmax())
    options: dict[str, Any] = {"max_epochs": 2, "tol": None, "random_state": 0}
    targets: list[tuple[Any, Any]] = [
        (NetworkClassifier((4,), **options), kinds),
        (NetworkClassifier((4,), **options), np.array(["a", "b", "c"])[kinds]),
        (NetworkClassifier((4,), **options), kinds > 1),
        (NetworkClassifier(network=pair, **options), kinds > 1),
        (NetworkClassifier(network=logs, **options), kinds),
        (NetworkRegressor((4,), **options), x[:, 0]),
        (NetworkRegressor((4,), **options), x[:, :2]),
    ]
    path = tmp_path / "model.onnx"
    for scaler in (StandardScaler(), MinMaxScaler()):
        for estimator, y in targets:
            pipeline = make_pipeline(scaler, estimator).fit(x, y)
            for dtype in DTYPES:
                more = {"options": {"zipmap": False}} if hasattr(pipeline, "predict_proba") else {}
                path.write_bytes(
                    skl2onnx.to_onnx(pipeline, x[:1].astype(dtype), **more).SerializeToString()
                )
                onnx.checker.check_model(path, full_check=True)
                session = onnxruntime.InferenceSession(path)
                *label, numbers = session.run(None, {"X": x.astype(dtype)})
                expected = pipeline.predict(x)
                if label:
                    assert (label[0] == expected).all()
                    expected = pipeline.predict_proba(x)
                close(numbers, expected.reshape(numbers.shape).astype(dtype))
    words = np.array(["a", "b", "c"])[kinds].reshape(-1, 1)
    table = pd.DataFrame({"word": words[:, 0], "u": x[:, 1], "v": x[:, 2]})
    columns = make_column_transformer((OneHotEncoder(), ["word"]), (StandardScaler(), ["u", "v"]))
    pipeline = make_pipeline(columns, NetworkClassifier((4,), **options)).fit(table, kinds)
    proto = skl2onnx.to_onnx(pipeline, table[:1], options={"zipmap": False})
    given = {name: table[[name]].to_numpy(object if name == "word" else float) for name in table}
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    close(session.run(["probabilities"], given)[0], pipeline.predict_proba(table))
    labels = NetworkClassifier((4,), **options).fit(x, np.stack([kinds > 0, kinds > 1], axis=1))
    with pytest.raises(ValueError, match="no form of a NetworkClassifier of several labels"):
        skl2onnx.to_onnx(labels, x[:1])


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
    close(import_(path).predict(x), model.predict(x))  # by its nodes
    proto.graph.node[-1].op_type = "Pow"
    onnx.save(proto, path)
    with pytest.raises(FileFormatError, match=r"node '1/Mul', Pow: .*Skale"):
        import_(path)
    with pytest.raises(TypeError, match="Doubled"):  # whose forward is another one
        export(Doubled(3), path, input_shape=(3,))

    @register(Doubled)
    def wrong(layer: Scale, graph: Graph, x: str) -> str:
        return graph.node("Mull", x, graph.constant(layer.scale))

    with pytest.raises(ValueError, match="fails onnx's checker"):
        export(Doubled(3), path, input_shape=(3,))


TABLES: dict[str, Array] = {}


class Shifted(Tanh):
    def forward(self, x: Array) -> Array:
        return super().forward(x) + 1


class Called(Tanh):
    def __call__(self, x: Array) -> Any:
        return super().__call__(x) + 1


class Same(Tanh):
    """A subclass that computes the same."""


def test_another_forward_is_not_written_as_that_of_the_class(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    model = Sequential(Dense(2, 3), Tanh())
    model[1].forward = lambda x: x + 1
    with pytest.raises(TypeError, match=r"layer 1, Tanh\(\), has .*: its forward was set"):
        export(model, path)
    model = Sequential(Dense(2, 3), Tanh())
    model.forward = lambda x: x + 1  # type: ignore[method-assign]
    with pytest.raises(TypeError, match="has no ONNX form: its forward was set"):
        export(model, path)
    for cls in (Shifted, Called):
        with pytest.raises(TypeError, match=rf"layer 1, {cls.__name__}\(\), has no ONNX form"):
            export(Sequential(Dense(2, 3), cls()), path)
    assert not path.exists()
    export(Sequential(Dense(2, 3), Same()), path)
    assert path.exists()


def test_numbers_too_large_for_float32_are_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    model = Sequential(Dense(2, 3, rng=0), Dense(3, 1, rng=1))
    model[1].weight.value[0, 2] = 1e39
    with pytest.raises(ValueError, match=r"1\.weight has numbers too large for float32"):
        export(model, path, dtype=np.float32)
    assert not path.exists()
    export(model, path)
    norm = BatchNorm(2)
    norm.running_var[...] = 1e300
    with pytest.raises(ValueError, match="running_var has numbers too large for float32"):
        export(norm, path, input_shape=(2,), dtype=np.float32)
    with pytest.raises(ValueError, match=r"epsilon of LayerNorm\w+, 1e\+300, is too large"):
        export(LayerNorm(2, eps=1e300), path, input_shape=(2,), dtype=np.float32)
    model[1].weight.value[0, 2] = np.inf  # what is infinite stays so
    export(model, path, dtype=np.float32)
    export(HardTanh(0.5, 1e300), path, input_shape=(2,), dtype=np.float32)
    x = np.array([[0.0, 3e38]], np.float32)
    close(run(path, x), np.maximum(x, np.float32(0.5)))


def test_an_error_of_a_registered_function_names_the_layer(tmp_path: pathlib.Path) -> None:
    class Broken(Same):
        def forward(self, x: Array) -> Array:
            return x

    @register(Broken)
    def broken(_: Layer, graph: Graph, x: str) -> str:
        return graph.node("Mul", x, graph.constant(TABLES["oops"]))

    model = Sequential(Dense(2, 3), Residual(Sequential(Tanh(), Broken())))
    with pytest.raises(KeyError) as caught:
        export(model, tmp_path / "model.onnx")
    assert caught.value.__notes__ == ["in the function that writes layer 1.layer.1, Broken()"]
    with pytest.raises(TypeError, match="Shifted") as other:
        export(Sequential(Dense(2, 3), Residual(Shifted())), tmp_path / "model.onnx")
    assert not hasattr(other.value, "__notes__")


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
    with pytest.raises(
        FileFormatError,
        match=r"node '1/Tanh', Sin: minifw has no layer that computes this; change the .*Runtime$",
    ):
        import_(path)


def outside(path: pathlib.Path, **entries: object) -> None:
    """Write a layer whose weight is in another file."""
    export(Sequential(Dense(2, 3, rng=0), Tanh()), path)
    proto = onnx.load(path)
    del proto.metadata_props[:]
    tensor = next(one for one in proto.graph.initializer if one.name.endswith("weight"))
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=str(value))
    path.write_bytes(proto.SerializeToString())


def test_numbers_in_a_file_beside(tmp_path: pathlib.Path) -> None:
    path, beside = tmp_path / "model.onnx", tmp_path / "model.onnx.data"
    weight = np.random.default_rng(0).standard_normal((3, 2))
    beside.write_bytes(bytes(8) + weight.tobytes())
    outside(path, location="model.onnx.data", offset=8, length=48)
    model = import_(path)
    assert isinstance(model, Sequential)
    assert (model[0].weight.value == weight).all()
    outside(path, location="model.onnx.data")  # from the start, as long as it is
    import_(path)


def test_numbers_elsewhere_are_refused(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    path = folder / "model.onnx"
    for place in (tmp_path / "secret", folder / "secret", folder / "inner" / "secret"):
        place.write_bytes(bytes(48))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "short").write_bytes(bytes(47))
    elsewhere = ["../secret", str(tmp_path / "secret"), "inner/secret", "link", "none", "inner"]
    for location in [*elsewhere, "", ".", "..", "a\\b"]:
        outside(path, location=location)
        with pytest.raises(FileFormatError, match="not a file in the folder"):
            import_(path)
    wrong: list[dict[str, object]] = [
        {"location": "short"},
        {"location": "secret", "offset": 1},
        {"location": "secret", "offset": -1},
        {"location": "secret", "length": 47},
        {"location": "secret", "length": 2**40},
    ]
    for entries in wrong:
        outside(path, **entries)
        with pytest.raises(FileFormatError, match="do not belong together"):
            import_(path)
    outside(path, location="secret", offset="x")
    with pytest.raises(FileFormatError, match="cannot be imported"):
        import_(path)


NODE = onnx.helper.make_node


def test_outputs_keep_the_names_of_the_file(tmp_path: pathlib.Path) -> None:
    value, path = onnx.helper.make_tensor_value_info, tmp_path / "model.onnx"
    lines = [("x", "scores"), ("scores", "class"), ("x", "9"), ("9", "a.b"), ("a.b", "Tanh")]
    nodes = [NODE("Tanh", [x], [y], name=f"n{i}") for i, (x, y) in enumerate(lines)]
    x, *ys = (
        value(name, onnx.TensorProto.FLOAT, ["batch", 2])
        for name in ("x", "scores", "class", "9", "a.b", "Tanh")
    )
    nodes += [NODE("Tanh", ["x"], ["same"], name="Tanh")]
    graph = onnx.helper.make_graph(nodes, "graph", [x], [*ys, value("same", 1, ["batch", 2])])
    opset = onnx.helper.make_opsetid("", OPSET)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION), path)
    model = import_(path)
    assert model.output_names == ("scores", "value_class", "n2", "n3", "n4", "same")
    rows = normal(3, 2)
    session = onnxruntime.InferenceSession(path)
    for own, other in zip(model.predict(rows), session.run(None, {"x": rows}), strict=True):
        close(own, other)
    assert isinstance(import_(path, outputs="same"), Sequential)
    with pytest.raises(ValueError, match=r"outputs to be some of \['scores', .*, got \['y'\]"):
        import_(path, outputs=["y"])


def graph_of(
    path: pathlib.Path,
    *nodes: onnx.NodeProto,
    opset: int = 20,
    shape: tuple[int | str, ...] = (2,),
    rank: int | None = None,
    **constants: Array,
) -> pathlib.Path:
    """Write a graph of float32 from x to y."""
    value = onnx.helper.make_tensor_value_info
    proto = onnx.helper.make_model(
        onnx.helper.make_graph(
            list(nodes),
            "graph",
            [value("x", onnx.TensorProto.FLOAT, ["batch", *shape])],
            [value("y", onnx.TensorProto.FLOAT, ["batch", *[None] * (rank or len(shape))])],
            [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        ir_version=9,
    )
    path.write_bytes(proto.SerializeToString())
    return path


def residuals(path: pathlib.Path, levels: int) -> pathlib.Path:
    """Write y = x + tanh(x + tanh(x + ...))."""
    nodes, last = [], "x"
    for level in range(levels):
        nodes += [NODE("Tanh", [last], [f"t{level}"])]
        last = f"a{level}" if level < levels - 1 else "y"
        nodes += [NODE("Add", ["x", f"t{level}"], [last])]
    return graph_of(path, *nodes)


def test_branches_in_branches(tmp_path: pathlib.Path) -> None:
    path = residuals(tmp_path / "model.onnx", 300)
    model = import_(path)
    x = np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32)
    close(model.predict(x), run(path, x))
    assert repr(copy.deepcopy(model)) == repr(model)
    minifw.save(model, tmp_path / "model.npz")
    close(minifw.load(tmp_path / "model.npz").predict(x), run(path, x))


def test_graphs_that_contradict_themselves_are_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    two = np.ones(2, np.float32)
    for epsilon in (-1e-5, np.nan):
        node = NODE("BatchNormalization", ["x", "w", "b", "m", "v"], ["y"], epsilon=epsilon)
        with pytest.raises(FileFormatError, match=r"BatchNormalization: .* epsilon of 0 or above"):
            import_(graph_of(path, node, w=two, b=two, m=two, v=two))
    node = NODE("Conv", ["x", "w"], ["y"], kernel_shape=[2, 2])
    with pytest.raises(FileFormatError, match=r"Conv: .* kernel_shape=\[2, 2\]"):
        import_(graph_of(path, node, shape=(1, 5, 5), w=np.ones((1, 1, 3, 3), np.float32)))
    with pytest.raises(FileFormatError, match="operators are of set 99"):
        import_(graph_of(path, NODE("Relu", ["x"], ["y"]), opset=99))
    for name in ("MatMul", "Gemm"):
        with pytest.raises(FileFormatError, match=f"{name}: it mixes float32 and float64"):
            import_(graph_of(path, NODE(name, ["x", "w"], ["y"]), w=np.ones((2, 3))))
    cast = NODE("Cast", ["x"], ["c"], to=onnx.TensorProto.DOUBLE)
    double = graph_of(path, cast, NODE("MatMul", ["c", "w"], ["y"]), w=np.ones((2, 3)))
    assert import_(double).predict(np.ones((1, 2))).tolist() == [[2.0, 2.0, 2.0]]
    mask = NODE("Dropout", ["x"], ["d", "mask"])
    with pytest.raises(FileFormatError, match="Add: minifw does not read its input 'mask'"):
        import_(graph_of(path, mask, NODE("Add", ["d", "mask"], ["y"])))


def test_a_clip_with_one_bound(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    x = np.array([[-3e38, -1.0], [1.0, 3e38]], np.float32)
    half = np.array(0.5, np.float32)
    for inputs in (["x", "half"], ["x", "half", ""], ["x", "", "half"]):
        model = import_(graph_of(path, NODE("Clip", inputs, ["y"]), half=half))
        close(model.predict(x), run(path, x))


def test_silu_is_read_from_what_export_writes(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "model.onnx"
    x = np.random.default_rng(0).standard_normal((3, 2))
    for dtype in DTYPES:
        export(Sequential(Dense(2, 2, rng=0), SiLU()), path, dtype=dtype)
        proto = onnx.load(path)
        del proto.metadata_props[:]
        onnx.save(proto, path)
        twin = import_(path)
        assert repr(twin).endswith("SiLU())")
        close(twin.predict(x.astype(dtype)), run(path, x.astype(dtype)))
    neg, exp = NODE("Neg", ["x"], ["n"]), NODE("Exp", ["n"], ["e"])
    add, div = NODE("Add", ["e", "one"], ["a"]), NODE("Div", ["x", "a"], ["y"])
    one = np.ones((), np.float32)
    assert repr(import_(graph_of(path, neg, exp, add, div, one=one))) == "Sequential(SiLU())"
    others: list[list[onnx.NodeProto]] = [
        [neg, exp, NODE("Div", ["x", "e"], ["y"])],
        [neg, exp, add, NODE("Div", ["a", "x"], ["y"])],
        [neg, exp, add, NODE("Relu", ["x"], ["r"]), NODE("Div", ["r", "a"], ["y"])],
        [neg, exp, NODE("Add", ["e", "e"], ["a"]), div],
    ]
    for nodes in others:
        with pytest.raises(FileFormatError, match="Exp: minifw has no layer"):
            import_(graph_of(path, *nodes, one=one))
    with pytest.raises(FileFormatError, match="Exp: minifw has no layer"):
        import_(graph_of(path, neg, exp, add, div, one=2 * one))


def test_without_onnx_the_extra_is_named(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"export needs onnx; .* minifw\[onnx\]"):
        export(Dense(2, 3), tmp_path / "model.onnx")
    with pytest.raises(ImportError, match=r"import_ needs onnx; .* minifw\[onnx\]"):
        import_(tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(ImportError, match=r"needs skl2onnx; .* minifw\[skl2onnx\]"):
        register_skl2onnx()


def test_onnx_is_imported_when_used() -> None:
    code = "import sys, minifw.interop.onnx; print('onnx' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=pathlib.Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("axis", "wide"), [(1, (2, 4, 4, 5)), (-1, (2, 2, 4, 10)), (2, (2, 2, 8, 5))]
)
def test_images_are_joined_along_the_axis_of_the_node(
    axis: int, wide: tuple[int, ...], tmp_path: pathlib.Path
) -> None:
    info = onnx.helper.make_tensor_value_info
    nodes = [
        onnx.helper.make_node("Tanh", ["x"], ["a"]),
        onnx.helper.make_node("Sigmoid", ["x"], ["b"]),
        onnx.helper.make_node("Concat", ["a", "b"], ["y"], axis=axis),
    ]
    float32 = onnx.TensorProto.FLOAT
    inputs, outputs = [info("x", float32, ["N", 2, 4, 5])], [info("y", float32, ["N", *wide[1:]])]
    graph = onnx.helper.make_graph(nodes, "joined", inputs, outputs)
    opset = onnx.helper.make_opsetid("", OPSET)
    path = tmp_path / "model.onnx"
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION), path)
    x = np.random.default_rng(0).standard_normal((2, 2, 4, 5)).astype(np.float32)
    y = import_(path).predict(x)
    assert y.shape == wide
    close(y, run(path, x))


def read(path: pathlib.Path, *nodes: onnx.NodeProto, x: Array, **options: Any) -> Any:
    """Return what import_ reads, once it is what ONNX Runtime computes."""
    model = import_(graph_of(path, *nodes, **options))
    close(model.predict(x), run(path, x))
    return model


def normal(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


def test_parts_of_examples(tmp_path: pathlib.Path) -> None:
    path, x, axes = tmp_path / "model.onnx", normal(3, 4, 5), np.array([2])
    one, pair = np.array(-1), np.array([3, -4])
    for node in (
        *(NODE("Gather", ["x", index], ["y"], axis=axis) for index in "ij" for axis in (1, -1)),
        NODE("Slice", ["x", "a", "e", "n"], ["y"]),
        NODE("Split", ["x"], ["y", "z"], axis=1, num_outputs=2),
        NODE("Split", ["x"], ["z", "y"], axis=2, num_outputs=2),  # of 3 and 2
        NODE("Split", ["x", "s"], ["z", "y", "u"], axis=-1),
    ):
        many = node.op_type != "Gather" or node.input[1] == "j"
        options = {"i": one, "j": pair, "a": np.array([1]), "e": np.array([4]), "n": axes}
        options["s"] = np.array([1, 3, 1])
        read(path, node, x=x, shape=(4, 5), rank=1 + many, **options)
    swapped = NODE("Transpose", ["x"], ["t"], perm=[1, 0, 2])
    both = NODE("Concat", ["t", "t"], ["c"], axis=0)
    last = NODE("Gather", ["c", "i"], ["y"], axis=0)
    read(path, swapped, both, last, x=x, shape=(4, 5), rank=1, i=one)
    refused: list[tuple[Any, str]] = [
        (NODE("Gather", ["x", "i"], ["y"]), "parts of an example whose sizes are known"),
        (NODE("Gather", ["x", "i"], ["y"], axis=2), "whose sizes are known"),
        (NODE("Split", ["x", "s"], ["y", "z", "u"], axis=1), "does not say the sizes"),
    ]
    for node, why in refused:
        with pytest.raises(FileFormatError, match=f"{node.op_type}: .*{why}"):
            import_(graph_of(path, node, shape=("T", 5), i=one, s=np.array([1, 3, 1])))
    wide = NODE("Slice", ["x", "a", "e", "n"], ["y"])
    long: dict[str, Any] = options | {"e": np.array([61])}
    with pytest.raises(FileFormatError, match="Slice: it takes 4200 numbers, more than 4096"):
        import_(graph_of(path, wide, shape=(70, 70), **long))


def test_constants_around_products(tmp_path: pathlib.Path) -> None:
    path, x, w, c = tmp_path / "model.onnx", normal(3, 4), normal(4, 2), normal(4)
    number = np.array(3, np.float32)
    scaled = [NODE("Sub", ["x", "c"], ["a"]), NODE("Div", ["a", "n"], ["b"])]
    model = read(
        path, *scaled, NODE("MatMul", ["b", "w"], ["y"]), x=x, shape=(4,), w=w, c=c, n=number
    )
    assert [type(layer).__name__ for layer in model] == ["Rescaling", "Rescaling", "Dense"]
    for node in (
        NODE("Sub", ["n", "x"], ["y"]),
        NODE("Mul", ["c", "x"], ["y"]),
        NODE("Add", ["x", "c"], ["y"]),
        NODE("Neg", ["x"], ["y"]),
        NODE("Max", ["x", "n"], ["y"]),
        NODE("Min", ["n", "x"], ["y"]),
        NODE("HardSigmoid", ["x"], ["y"], alpha=0.3),
        NODE("HardSwish", ["x"], ["y"]),
    ):
        read(path, node, x=x, shape=(4,), c=c, n=number)
    refused = [
        NODE("Div", ["n", "x"], ["y"]),
        NODE("Div", ["x", "x"], ["y"]),
        NODE("Add", ["x", "wide"], ["y"]),
        NODE("Clip", ["x", "x"], ["y"]),
        NODE("Conv", ["x", "x"], ["y"]),
    ]
    for node in refused:
        with pytest.raises(FileFormatError, match=f"{node.op_type}: .*; change the model"):
            import_(graph_of(path, node, shape=(4,), n=number, wide=normal(2, 1, 4)))


def test_channels_and_joins(tmp_path: pathlib.Path) -> None:
    """A convolution with its bias in an Add, as the model zoo's mnist has it; both shortcuts."""
    path, x = tmp_path / "model.onnx", normal(2, 3, 8, 8)
    w, b = normal(5, 3, 3, 3), normal(5, 1, 1)
    conv = NODE("Conv", ["x", "w"], ["a"], auto_pad="SAME_UPPER", strides=[2, 2])
    model = read(path, conv, NODE("Add", ["a", "b"], ["y"]), x=x, shape=(3, 8, 8), w=w, b=b)
    assert [type(layer).__name__ for layer in model] == ["Pad2D", "Conv2D"]
    for join in (NODE("Add", ["a", "b"], ["y"]), NODE("Concat", ["a", "b"], ["y"], axis=1)):
        both = [NODE("Conv", ["x", "w"], ["a"]), NODE("Conv", ["x", "v"], ["b"]), join]
        options = {"shape": (3, 8, 8), "w": w, "v": normal(5, 3, 3, 3)}
        assert isinstance(read(path, *both, x=x, **options), minifw.Graph)
    last = [NODE("Transpose", ["x"], ["t"], perm=[0, 2, 3, 1]), NODE("Relu", ["t"], ["r"])]
    back = [NODE("Transpose", ["r"], ["s"], perm=[0, 3, 1, 2]), NODE("Conv", ["s", "w"], ["y"])]
    model = read(path, *last, *back, x=x, shape=(3, 8, 8), w=w)
    assert [type(layer).__name__ for layer in model] == ["ReLU", "Conv2D"]


POOLS: list[dict[str, Any]] = [
    {"pads": [1, 0, 0, 1]},
    {"pads": [1, 1, 1, 1], "strides": [2, 2]},
    {"strides": [2, 2], "ceil_mode": 1},
    {"pads": [1, 1, 0, 0], "strides": [3, 2], "ceil_mode": 1},
    {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
]


@pytest.mark.parametrize("options", POOLS)
def test_pools(options: dict[str, Any], tmp_path: pathlib.Path) -> None:
    x = normal(2, 3, 8, 7)
    kinds: list[tuple[str, dict[str, int]]] = [("MaxPool", {}), ("AveragePool", {})]
    for operator, more in [*kinds, ("AveragePool", {"count_include_pad": 1})]:
        if "ceil_mode" in options and more:
            continue  # ONNX Runtime 1.32 divides by the windows' whole size there
        node = NODE(operator, ["x"], ["y"], kernel_shape=[3, 2], **options, **more)
        read(tmp_path / "model.onnx", node, x=x, shape=(3, 8, 7))


def test_sequences(tmp_path: pathlib.Path) -> None:
    """Products of every step; LSTM and GRU whose states start at zeros of the batch's size."""
    path, x = tmp_path / "model.onnx", normal(3, 7, 4)
    for shape in ((7, 4), ("time", 4)):
        model = read(path, NODE("MatMul", ["x", "w"], ["y"]), x=x, shape=shape, w=normal(4, 2))
        assert model.predict(x[:, :5]).shape == (3, 5, 2)
    with pytest.raises(FileFormatError, match=r"MatMul: .*got \(2, 7, 4\)"):
        import_(graph_of(path, NODE("MatMul", ["x", "w"], ["y"]), shape=(2, 7, 4), w=normal(4, 2)))
    turned = NODE("Transpose", ["x"], ["t"], perm=[1, 0, 2])
    sizes = [NODE("Shape", ["x"], ["s"]), NODE("Gather", ["s", "zero"], ["n"])]
    sizes += [
        NODE("Concat", ["one", "n", "five"], ["z"], axis=0),
        NODE("ConstantOfShape", ["z"], ["h"]),
    ]
    whole = {name: np.array([n]) for name, n in (("zero", 0), ("one", 1), ("five", 5))}
    for operator, gates, form in (("LSTM", 4, {}), ("GRU", 3, {"linear_before_reset": 1})):
        states = ["h"] * (2 if operator == "LSTM" else 1)
        for direction, count in (("forward", 1), ("reverse", 1), ("bidirectional", 2)):
            weights = {"w": normal(count, gates * 5, 4), "r": normal(count, gates * 5, 5)}
            weights["b"] = normal(count, 2 * gates * 5)
            inner = NODE(
                operator,
                ["t", "w", "r", "b", "", *states],
                ["all", "last"],
                hidden_size=5,
                direction=direction,
                **form,
            )
            options = whole | weights | {"one": np.array([count])}
            every = [NODE("Transpose", ["all"], ["b4"], perm=[2, 0, 1, 3])]
            every += [NODE("Reshape", ["b4", "merged"], ["y"])]
            options |= {"merged": np.array([0, 0, count * 5])}
            read(path, turned, *sizes, inner, *every, x=x, shape=(7, 4), **options)


def test_a_value_that_is_two_outputs(tmp_path: pathlib.Path) -> None:
    """An output that is named twice, that another one is equal to, or that is the input."""
    path, x = tmp_path / "model.onnx", normal(3, 2)
    nodes = [NODE("Tanh", ["x"], ["y"]), NODE("Identity", ["y"], ["z"])]
    proto = onnx.load(graph_of(path, *nodes))
    for name in ("y", "z", "x"):
        proto.graph.output.add().CopyFrom(proto.graph.output[0])
        proto.graph.output[-1].name = name
    path.write_bytes(proto.SerializeToString())
    for y, expected in zip(import_(path).predict(x), [np.tanh(x)] * 3 + [x], strict=True):
        close(y, expected)


NEAR: dict[str, tuple[list[onnx.NodeProto], dict[str, Any]]] = {
    "a scale along another axis": (
        [
            NODE("Mul", ["x", "x"], ["s"]),
            NODE("ReduceMean", ["s", "last"], ["m"]),
            NODE("Add", ["m", "n"], ["e"]),
            NODE("Sqrt", ["e"], ["r"]),
            NODE("Div", ["x", "r"], ["d"]),
            NODE("Mul", ["d", "c"], ["y"]),
        ],
        {"shape": (4, 4), "c": normal(4, 1)},
    ),
    "axes with one between them": (
        [
            NODE("Mul", ["x", "x"], ["s"]),
            NODE("ReduceMean", ["s", "apart"], ["m"]),
            NODE("Add", ["m", "n"], ["e"]),
            NODE("Sqrt", ["e"], ["r"]),
            NODE("Div", ["x", "r"], ["y"]),
        ],
        {"shape": (2, 3, 4)},
    ),
    "centred in two ways": (
        [
            NODE("ReduceMean", ["x", "both"], ["a"]),
            NODE("Sub", ["x", "a"], ["b"]),
            NODE("ReduceMean", ["x", "last"], ["m"]),
            NODE("Sub", ["x", "m"], ["f"]),
            NODE("Mul", ["f", "f"], ["s"]),
            NODE("ReduceMean", ["s", "last"], ["v"]),
            NODE("Add", ["v", "n"], ["e"]),
            NODE("Sqrt", ["e"], ["r"]),
            NODE("Div", ["b", "r"], ["y"]),
        ],
        {"shape": (4, 4)},
    ),
    "a low bound in Mish": (
        [
            NODE("Min", ["x", "n"], ["m"]),
            NODE("Exp", ["m"], ["e"]),
            NODE("Add", ["e", "two"], ["a"]),
            NODE("Mul", ["e", "a"], ["p"]),
            NODE("Add", ["p", "two"], ["b"]),
            NODE("Div", ["p", "b"], ["d"]),
            NODE("Mul", ["x", "d"], ["y"]),
        ],
        {},
    ),
    "a constant that adds an axis": ([NODE("Min", ["x", "wide"], ["y"])], {}),
    "operators of another domain": (
        [NODE("Sigmoid", ["x"], ["s"], domain="other"), NODE("Mul", ["x", "s"], ["y"])],
        {},
    ),
    "all axes of length 1": ([NODE("Squeeze", ["x"], ["y"])], {"shape": (1, 2)}),
    "the axis of the batch": ([NODE("Flatten", ["x"], ["y"], axis=0)], {"shape": ()}),
    "a table of parts": ([NODE("Gather", ["x", "table"], ["y"], axis=1)], {"shape": (2,)}),
    "rows of the batch": ([NODE("Slice", ["x", "zero", "end", "zero"], ["y"])], {}),
    "ranks of MatMul": ([NODE("MatMul", ["x", "w"], ["y"])], {"shape": ("a", "b", 2)}),
    "more channels": (
        [NODE("Resize", ["x", "", "", "sizes"], ["y"], nearest_mode="floor")],
        {"shape": (2, 2, 2)},
    ),
    "unknown sizes, too many to try": (
        [NODE("LogSoftmax", ["x"], ["t"]), NODE("Exp", ["t"], ["y"])],
        {"shape": ("a", "b", "c", "d")},
    ),
}


@pytest.mark.parametrize("case", NEAR)
def test_what_is_nearly_read_is_refused(case: str, tmp_path: pathlib.Path) -> None:
    nodes, options = NEAR[case]
    numbers = {"n": np.array(0.001), "two": np.array(2.0), "wide": np.ones((1, 1, 1))}
    constants = {key: number.astype(np.float32) for key, number in numbers.items()}
    constants |= {"last": np.array([-1]), "apart": np.array([1, 3]), "both": np.array([1, 2])}
    constants |= {"zero": np.array([0]), "end": np.array([2**62]), "table": np.array([[1, 0]])}
    constants |= {"w": normal(2, 2), "sizes": np.array([1, 4, 2, 2])}
    proto = onnx.load(graph_of(tmp_path / "model.onnx", *nodes, **(constants | options)))
    proto.opset_import.add(domain="other", version=1)
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(FileFormatError, match=r"node .*; change the model"):
        import_(tmp_path / "model.onnx")


def test_columns_of_a_transposed_table(tmp_path: pathlib.Path) -> None:
    path, x, c = tmp_path / "model.onnx", normal(3, 4), np.array([2, 0])
    nodes = [NODE("Transpose", ["x"], ["t"], perm=[1, 0]), NODE("Gather", ["t", "c"], ["g"])]
    read(path, *nodes, NODE("Transpose", ["g"], ["y"], perm=[1, 0]), x=x, shape=(4,), c=c)
    with pytest.raises(FileFormatError, match="the batch is not the first axis"):
        import_(graph_of(path, *nodes[:1], NODE("Gather", ["t", "c"], ["y"]), shape=(4,), c=c))


def test_small_files_do_not_ask_for_much(tmp_path: pathlib.Path) -> None:
    path, one = tmp_path / "model.onnx", np.ones((), np.float32)
    size = 2**23
    grown = [NODE("Expand", ["one", "s"], ["v0"])]
    chain = [NODE("Neg", [f"v{i}"], [f"v{i + 1}"]) for i in range(12)]
    nodes = [*grown, *chain, NODE("Add", ["x", "v12"], ["y"])]
    with pytest.raises(FileFormatError, match="Neg"):
        import_(graph_of(path, *nodes, shape=(size,), one=one, s=np.array([size])))
    products = [NODE("MatMul", [f"x{i}" if i else "x", "v0"], [f"x{i + 1}"]) for i in range(9)]
    nodes = [*grown, *products, NODE("Relu", ["x9"], ["y"])]
    with pytest.raises(FileFormatError, match="more numbers than the file holds"):
        import_(graph_of(path, *nodes, shape=(2048,), one=one, s=np.array([2048, 2048])))
    many = [NODE("Relu", [f"x{i}" if i else "x"], [f"x{i + 1}"]) for i in range(10_000)]
    with pytest.raises(FileFormatError, match="has 10001 nodes"):
        import_(graph_of(path, *many, NODE("Relu", ["x10000"], ["y"])))


def test_some_outputs_of_an_exported_graph(tmp_path: pathlib.Path) -> None:
    path, x = tmp_path / "model.onnx", normal(3, 4)
    lines = {"a": (Dense(4, 2, rng=0, dtype=np.float32), "x"), "b": (Tanh(), "x")}
    model = minifw.Graph("x", outputs=("a", "b"), **lines)
    export(model, path, output_name=("a", "b"))
    assert repr(import_(path)) == repr(model)
    close(import_(path, outputs=["b"]).predict(x), np.tanh(x))
