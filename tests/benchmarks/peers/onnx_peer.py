"""ONNX Runtime, which predicts and does not train."""

import os
from typing import Any

import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from peers.contender import Contender
from peers.workloads import Problem, Workload

__all__ = ["OnnxRuntime"]

OPSET, IR = 17, 8  # what all releases of the runtime read that requirements.txt allows


class OnnxRuntime(Contender):
    """A graph of Gemm, Tanh or Relu, and Sigmoid or Softmax, with all its optimizations."""

    label = "ONNX Runtime"
    imports = "import onnxruntime"

    def __init__(self, problem: Problem) -> None:
        workload = problem.workload
        nodes, constants, name = [], [], "x"
        for i, (w, b) in enumerate(problem.weights):
            constants += [numpy_helper.from_array(w, f"W{i}"), numpy_helper.from_array(b, f"b{i}")]
            nodes.append(helper.make_node("Gemm", [name, f"W{i}", f"b{i}"], [f"z{i}"], transB=1))
            kind = "Tanh" if workload.activation == "tanh" else "Relu"
            name = f"a{i}"
            if i == len(problem.weights) - 1:
                kind, name = ("Sigmoid" if workload.binary else "Softmax"), "y"
            nodes.append(helper.make_node(kind, [f"z{i}"], [name]))
        ends = [
            helper.make_tensor_value_info(end, TensorProto.FLOAT, ["batch", size])
            for end, size in (("x", workload.sizes[0]), ("y", workload.sizes[-1]))
        ]
        graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], constants)
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        self.session: Any = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self.inputs = {"x": problem.batches[0][0]}

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return workload.predicts

    def step(self) -> Any:
        raise NotImplementedError

    def predict(self) -> Any:
        return self.session.run(None, self.inputs)[0]
