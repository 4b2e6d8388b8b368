"""What a contender is, and which there are."""

from abc import ABC, abstractmethod
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar

from peers.workloads import Problem, Workload

__all__ = ["CONTENDERS", "Contender", "find", "installed"]


class Contender(ABC):
    """One way of computing a workload, from the start that the problem gives.

    Attributes
    ----------
    label : str
        The name in the tables.
    imports : str
        What a user's script imports.
    exact : bool
        Whether its maths are those of the others, so that its losses must agree.
    tolerance : float
        How far they may differ, relatively, if that is more than the rounding of the dtype.
    group : int
        Of how many steps the number of steps of a turn must be a multiple.
    """

    label: ClassVar[str]
    imports: ClassVar[str]
    exact: ClassVar[bool] = True
    tolerance: ClassVar[float] = 0.0
    group: int = 1

    @abstractmethod
    def __init__(self, problem: Problem) -> None:
        """Take the weights, and put the data into arrays of its own kind."""

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        """Return whether it can do this workload; by default a dense net with SGD."""
        return not workload.image and workload.optimizer == "sgd"

    @abstractmethod
    def step(self) -> Any:
        """Make one step with the next batch; return the loss before it, of any kind."""

    @abstractmethod
    def predict(self) -> Any:
        """Return the probabilities of the first batch, ready to read, of any kind."""

    def value(self, loss: Any) -> float:
        """Return what `step` returned as a number, waiting for it if need be."""
        return float(loss)

    def run(self, count: int) -> float:
        """Make so many steps; return the last loss as a number."""
        loss = None
        for _ in range(count):
            loss = self.step()
        return self.value(loss)

    def turn(self, count: int) -> None:
        """Make so many steps, as quickly as it can: what is measured."""
        self.run(count)


# In the order of the tables: a short name, what must be installed, where the class is.
CONTENDERS: dict[str, tuple[tuple[str, ...], str]] = {
    "minifw": (("minifw",), "minifw_peer:Minifw"),
    "minifw-forward": (("minifw",), "minifw_peer:MinifwForward"),
    "notes": ((), "notes:Notes"),
    "hand": ((), "by_hand:ByHand"),
    "floor": ((), "floor:Floor"),
    "torch": (("torch",), "torch_peer:TorchEager"),
    "torch-fused": (("torch",), "torch_peer:TorchFused"),
    "torch-compile": (("torch",), "torch_peer:TorchCompiled"),
    "jax-step": (("jax",), "jax_peer:JaxStep"),
    "jax-loop": (("jax",), "jax_peer:JaxLoop"),
    "sklearn": (("sklearn",), "sklearn_peer:ScikitLearn"),
    "sklearn-steps": (("sklearn",), "sklearn_peer:ScikitLearnSteps"),
    "keras": (("keras", "jax"), "keras_peer:Keras"),
    "tinygrad": (("tinygrad",), "tinygrad_peer:Tinygrad"),
    "thinc": (("thinc",), "thinc_peer:Thinc"),
    "mygrad": (("mygrad",), "mygrad_peer:MyGrad"),
    "onnx": (("onnx", "onnxruntime"), "onnx_peer:OnnxRuntime"),
}


def installed(name: str) -> bool:
    """Return whether what a contender needs is there, without importing it."""
    return all(find_spec(package) for package in CONTENDERS[name][0])


def find(name: str) -> type[Contender]:
    """Import a contender."""
    module, _, attribute = CONTENDERS[name][1].partition(":")
    found: type[Contender] = getattr(import_module(f"peers.{module}"), attribute)
    return found
