"""Networks of other programs, as the ONNX files that those programs write of them.

Each comes with inputs and what the other program makes of them; see count.py and make_onnx.py.
"""

import contextlib
import io
import logging
import os
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

Array = npt.NDArray[Any]


class File(NamedTuple):
    """A file, and what is to come out; or why its program did not write it."""

    name: str
    path: Path | None
    sets: list[tuple[tuple[Array, ...], tuple[Array, ...]]]  # of inputs and outputs
    failed: str = ""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Let no exporter print."""
    logging.disable(logging.CRITICAL)
    out = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(out):
        warnings.simplefilter("ignore")
        with contextlib.redirect_stderr(out):
            yield


def slug(name: str) -> str:
    """Return the name of a file for it."""
    return "-".join(re.findall(r"\w+", name))


def attempted(name: str, path: Path, write: Callable[[], Any], sets: Any) -> File:
    """Return the file that `write` writes."""
    try:
        with quiet():
            write()
    except Exception as error:  # noqa: BLE001 - what the other program cannot write
        return File(name, None, [], f"{type(error).__name__}: {str(error).splitlines()[0]}")
    return File(name, path, sets)


# -- PyTorch ---------------------------------------------------------------------------------


def torch_files(folder: Path, how: str) -> Iterator[File]:
    """Yield the modules as PyTorch exports them: "legacy", "legacy static" or "default"."""
    import torch  # noqa: PLC0415 - optional
    from modules import modules  # noqa: PLC0415 - optional, as torch is

    for name, (module, x) in modules().items():
        module.eval()
        more = torch.cat([x, x if x.dtype == torch.int64 else x + 0.1])[:7]  # other rows
        path = folder / f"{slug(name)}.onnx"
        options: dict[str, Any] = {"dynamo": False} if how != "default" else {}
        if how == "legacy":
            axes = {"x": {0: "batch"}}
            options |= {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
        sets = [((given.numpy(),), (module(given).detach().numpy(),)) for given in (x, more)]

        def write(
            module: Any = module, x: Any = x, path: Path = path, options: Any = options
        ) -> None:
            torch.onnx.export(module, (x,), path, **options)

        yield attempted(name, path, write, sets)


# -- Keras -----------------------------------------------------------------------------------


def keras_files(folder: Path, backend: str) -> Iterator[File]:
    """Yield six networks as Keras exports them; the process must not have imported Keras yet."""
    os.environ |= {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
    with quiet():
        import keras  # noqa: PLC0415 - optional
    layers = keras.layers
    keras.utils.set_random_seed(0)
    images, sequence = (8, 8, 1), (7, 4)
    networks = {
        "dense": ((4,), [layers.Dense(8, "relu"), layers.Dense(3)]),
        "dense, batch norm": (
            (4,),
            [
                *(layers.Dense(8), layers.BatchNormalization(), layers.Activation("tanh")),
                *(layers.Dropout(0.2), layers.Dense(3, "softmax")),
            ],
        ),
        "convnet": (
            images,
            [
                *(layers.Conv2D(4, 3, activation="relu"), layers.MaxPooling2D(2)),
                *(layers.Flatten(), layers.Dense(3, "softmax")),
            ],
        ),
        "convnet, same": (
            images,
            [
                *(layers.Conv2D(4, 3, strides=2, padding="same"), layers.BatchNormalization()),
                *(layers.ReLU(), layers.GlobalAveragePooling2D(), layers.Dense(3)),
            ],
        ),
        "embedding": (
            (6,),
            [layers.Embedding(10, 4), layers.GlobalAveragePooling1D(), layers.Dense(2)],
        ),
        "LSTM": (sequence, [layers.LSTM(6), layers.Dense(2)]),
    }
    rng = np.random.default_rng(0)
    for name, (shape, stack) in networks.items():
        words = name == "embedding"
        model = keras.Sequential([keras.Input(shape, dtype="int32" if words else None), *stack])
        sets = []
        for rows in (3, 5):
            x = rng.standard_normal((rows, *shape)).astype(np.float32)
            x = rng.integers(0, 10, x.shape).astype(np.int32) if words else x
            sets.append(((x,), (np.asarray(model.predict(x, verbose=0)),)))
        path = folder / f"{slug(name)}.onnx"

        def write(model: Any = model, path: Path = path) -> None:
            model.export(str(path), format="onnx", verbose=False)

        yield attempted(name, path, write, sets)


# -- scikit-learn ----------------------------------------------------------------------------


def sklearn_files(folder: Path) -> Iterator[File]:
    """Yield six estimators as skl2onnx writes them."""
    from skl2onnx import to_onnx  # noqa: PLC0415 - optional
    from skl2onnx.helpers.onnx_helper import select_model_inputs_outputs  # noqa: PLC0415
    from sklearn.neural_network import MLPClassifier, MLPRegressor  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import MinMaxScaler, StandardScaler  # noqa: PLC0415

    rng = np.random.default_rng(0)
    rows = (rng.standard_normal((60, 4)) * [1, 2, 3, 4] + 1).astype(np.float32)
    y, label = rows.sum(axis=1), np.digitize(rows[:, 0], [0.5, 1.5])
    x = rows[:7]
    options = {"hidden_layer_sizes": (8,), "max_iter": 30, "random_state": 0}
    regressor, classifier = MLPRegressor(**options), MLPClassifier(**options)
    fitted = {
        "MLPRegressor": regressor.fit(rows, y),
        "MLPClassifier, probabilities alone": classifier.fit(rows, label),
        "MLPClassifier": classifier,
        "StandardScaler, MLPRegressor": make_pipeline(
            StandardScaler(), MLPRegressor(**options)
        ).fit(rows, y),
        "MinMaxScaler, MLPRegressor": make_pipeline(
            MinMaxScaler(), MLPRegressor(**options, activation="tanh")
        ).fit(rows, y),
        "StandardScaler, MLPClassifier": make_pipeline(
            StandardScaler(), MLPClassifier(**options)
        ).fit(rows, label > 0),
    }
    for name, estimator in fitted.items():
        classifies = hasattr(estimator, "predict_proba")
        y = estimator.predict(x)
        outputs: tuple[Array, ...] = (y.reshape(-1, 1).astype(np.float32),)
        if classifies:
            outputs = y, estimator.predict_proba(x).astype(np.float32)
        alone = name.endswith("alone")
        path = folder / f"{slug(name)}.onnx"

        def write(
            estimator: Any = estimator,
            path: Path = path,
            alone: bool = alone,
            classifies: bool = classifies,
        ) -> None:
            more = {"options": {id(estimator): {"zipmap": False}}} if classifies else {}
            proto = to_onnx(estimator, x[:1], **more)
            if alone:
                _, typed = proto.graph.output
                proto = select_model_inputs_outputs(proto, outputs=[typed.name])
                proto.graph.output[0].CopyFrom(typed)  # its type was lost
            onnx.save(proto, path)

        yield attempted(name, path, write, [((x,), outputs[1:] if alone else outputs)])


# -- the model zoo ---------------------------------------------------------------------------


def mnist(path: Path) -> None:
    """Write a graph node by node as the zoo's mnist-8, which CNTK wrote; numbers of our own."""
    rng = np.random.default_rng(0)

    def numbers(name: str, *shape: int) -> Any:
        array = rng.standard_normal(shape).astype(np.float32) / 5
        return onnx.numpy_helper.from_array(array, name)

    def whole(name: str, *sizes: int) -> Any:
        return onnx.numpy_helper.from_array(np.array(sizes, np.int64), name)

    def conv(x: str, weight: str, y: str) -> Any:
        return onnx.helper.make_node(
            "Conv",
            [x, weight],
            [y],
            y,
            kernel_shape=[5, 5],
            strides=[1, 1],
            auto_pad="SAME_UPPER",
            group=1,
            dilations=[1, 1],
        )

    def pool(x: str, y: str, size: int) -> Any:
        return onnx.helper.make_node(
            "MaxPool",
            [x],
            [y],
            y,
            kernel_shape=[size, size],
            strides=[size, size],
            pads=[0, 0, 0, 0],
            auto_pad="NOTSET",
        )

    node, info = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    nodes = [
        node("Reshape", ["Parameter193", "shape2"], ["times1"], "Times212_reshape1"),
        conv("Input3", "Parameter5", "Convolution28"),
        node("Add", ["Convolution28", "Parameter6"], ["Plus30"], "Plus30"),
        node("Relu", ["Plus30"], ["ReLU32"], "ReLU32"),
        pool("ReLU32", "Pooling66", 2),
        conv("Pooling66", "Parameter87", "Convolution110"),
        node("Add", ["Convolution110", "Parameter88"], ["Plus112"], "Plus112"),
        node("Relu", ["Plus112"], ["ReLU114"], "ReLU114"),
        pool("ReLU114", "Pooling160", 3),
        node("Reshape", ["Pooling160", "shape1"], ["times0"], "Times212_reshape0"),
        node("MatMul", ["times0", "times1"], ["Times212"], "Times212"),
        node("Add", ["Times212", "Parameter194"], ["Plus214"], "Plus214"),
    ]
    constants = [
        numbers("Parameter193", 16, 4, 4, 10),
        numbers("Parameter5", 8, 1, 5, 5),
        numbers("Parameter6", 8, 1, 1),
        numbers("Parameter87", 16, 8, 5, 5),
        numbers("Parameter88", 16, 1, 1),
        numbers("Parameter194", 1, 10),
        whole("shape1", 1, 256),
        whole("shape2", 256, 10),
    ]
    graph = onnx.helper.make_graph(
        nodes,
        "CNTKGraph",
        [
            info("Input3", onnx.TensorProto.FLOAT, [1, 1, 28, 28]),
            *(info(one.name, one.data_type, one.dims) for one in constants),  # as files of then do
        ],
        [info("Plus214", onnx.TensorProto.FLOAT, [1, 10])],
        constants,
    )
    opset = onnx.helper.make_opsetid("", 8)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=3), path)


def zoo_files(folder: Path) -> Iterator[File]:
    """Yield the mnist of the model zoo, with ONNX Runtime's outputs."""
    import onnxruntime  # noqa: PLC0415 - optional

    path = folder / "mnist-8.onnx"
    mnist(path)
    x = np.random.default_rng(1).standard_normal((1, 1, 28, 28)).astype(np.float32)
    session = onnxruntime.InferenceSession(path)
    yield File("mnist-8", path, [((x,), tuple(session.run(None, {"Input3": x})))])
