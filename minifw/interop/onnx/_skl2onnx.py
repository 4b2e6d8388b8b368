"""How skl2onnx writes networks that are scikit-learn estimators, alone and in pipelines."""

from typing import Any

import numpy as np

from minifw._tools.extras import needs
from minifw.core.layer import Layer
from minifw.interop.onnx._export import OPSET, described
from minifw.interop.onnx._graph import package
from minifw.layers import Dense, LogSoftmax, Sequential, Sigmoid, Softmax


def register_skl2onnx() -> None:
    """Let skl2onnx write `NetworkClassifier` and `NetworkRegressor`, with all that is before them.

    Then ``skl2onnx.to_onnx(pipeline, X[:1])`` gives one graph of a whole pipeline, in the dtype
    of X. Of a classifier its outputs are the label and the probabilities of the classes, as of
    scikit-learn's own classifiers.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Notes
    -----
    ``to_onnx`` raises a ValueError of a classifier of several labels. Columns of words are to be
    encoded before the network.

    Examples
    --------
    >>> import numpy as np
    >>> import skl2onnx
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from minifw.interop.onnx import register_skl2onnx
    >>> from minifw.interop.sklearn import NetworkClassifier
    >>> X, y = np.arange(20.0).reshape(10, 2), np.repeat(["low", "high"], 5)
    >>> network = NetworkClassifier((4,), max_epochs=3, tol=None, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), network).fit(X, y)
    >>> register_skl2onnx()
    >>> proto = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})
    >>> [output.name for output in proto.graph.output]
    ['label', 'probabilities']
    """
    with needs("register_skl2onnx", "skl2onnx", "skl2onnx"):
        from skl2onnx import update_registered_converter  # noqa: PLC0415 - optional
        from skl2onnx.common import shape_calculator as shapes  # noqa: PLC0415 - optional

        from minifw.interop.sklearn import NetworkClassifier, NetworkRegressor  # noqa: PLC0415

    def columns(operator: Any) -> None:
        shapes.calculate_linear_regressor_output_shapes(operator)
        model, shape = operator.raw_operator.model_, (operator.raw_operator.n_features_in_,)
        operator.outputs[0].type.shape[1:] = model.output_shape(shape)

    def classes(operator: Any) -> None:
        shapes.calculate_linear_classifier_output_shapes(operator)
        x, probabilities = operator.inputs[0], operator.outputs[1]
        if "Double" in type(x.type).__name__:  # skl2onnx says float32 behind a column of words
            probabilities.type = type(x.type)(probabilities.type.shape)

    update_registered_converter(
        NetworkClassifier,
        "MinifwNetworkClassifier",
        classes,
        _classifier,
        options={
            "zipmap": [True, False, "columns"],
            "nocl": [True, False],
            "output_class_labels": [False, True],
        },
    )
    update_registered_converter(NetworkRegressor, "MinifwNetworkRegressor", columns, _regressor)


def _regressor(scope: Any, operator: Any, container: Any) -> None:
    _write(scope, operator, container, operator.raw_operator.model_, operator.outputs[0])


def _classifier(scope: Any, operator: Any, container: Any) -> None:
    estimator, (label, probabilities) = operator.raw_operator, operator.outputs
    if estimator._multilabel:
        raise ValueError("skl2onnx has no form of a NetworkClassifier of several labels")
    layers, head = [estimator.model_], estimator._head
    if head.ends_in in (None, LogSoftmax):
        layers += [Sigmoid() if head.yes_or_no else Softmax()]
    if head.yes_or_no:
        both = Dense(1, 2)  # 1 - p and p
        both.load_state_dict({"weight": np.array([[-1.0], [1.0]]), "bias": np.array([1.0, 0.0])})
        layers += [both]
    prefix = _write(scope, operator, container, Sequential(*layers), probabilities)
    names, words = [f"{prefix}classes", f"{prefix}index"], estimator.classes_.dtype.kind in "OU"
    classes = estimator.classes_.astype(object if words else np.int64)
    container.initializers.append(package("to_onnx").numpy_helper.from_array(classes, names[0]))
    container.add_node("ArgMax", probabilities.full_name, names[1], axis=1, keepdims=0)
    container.add_node("Gather", names, label.full_name, axis=0)


def _write(scope: Any, operator: Any, container: Any, model: Layer, y: Any) -> str:
    """Write a model, whose output is y; return what the names of its values begin with."""
    onnx, estimator, (x,) = package("to_onnx"), operator.raw_operator, operator.inputs
    dtype = np.dtype(np.float64 if "Double" in type(x.type).__name__ else np.float32)
    proto = described(model, (estimator.n_features_in_,), (None, None), dtype, None)
    prefix = f"{scope.get_unique_operator_name('network')}/"
    graph = onnx.compose.add_prefix_graph(proto.graph, prefix)
    container.node_domain_version_pair_sets.add(("", OPSET))
    container.initializers.extend(graph.initializer)
    to = onnx.helper.np_dtype_to_tensor_dtype(dtype)
    container.add_node("Cast", x.full_name, f"{prefix}x", to=to)
    container.nodes.extend(graph.node)
    container.add_node("Identity", f"{prefix}y", y.full_name)
    return prefix
