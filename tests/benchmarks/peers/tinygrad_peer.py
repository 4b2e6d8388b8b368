"""tinygrad, on its backend for the processor, which needs clang."""

from itertools import cycle
from typing import Any

from tinygrad import Context, Tensor, TinyJit, nn

from peers.contender import Contender
from peers.workloads import Problem, Workload

__all__ = ["Tinygrad"]


class Tinygrad(Contender):
    """A step as a whole in `TinyJit`, with `nn.optim.SGD` or `Adam`.

    The loss is read at the end of a turn.
    """

    label = "tinygrad (TinyJit)"
    imports = "from tinygrad import Tensor"
    tolerance = 1e-7  # it keeps the learning rate in float32

    def __init__(self, problem: Problem) -> None:
        self.workload = workload = problem.workload
        self.params: list[tuple[Any, Any]] = [
            (Tensor(w.copy()).realize(), Tensor(b.copy()).realize()) for w, b in problem.weights
        ]
        flat = [p.is_param_() for pair in self.params for p in pair]
        kind = nn.optim.SGD if workload.optimizer == "sgd" else nn.optim.Adam
        self.optimizer = kind(flat, lr=workload.lr)
        self.data = [
            (
                Tensor(x.copy()).realize(),
                Tensor(y.copy() if workload.binary else y.astype("int32")).realize(),
            )
            for x, y in problem.batches
        ]
        self.batches = cycle(self.data)
        self.jitted = TinyJit(self._step)
        self.prediction = TinyJit(self._predict)

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return not workload.image

    def _logits(self, x: Any) -> Any:
        for index, (w, b) in enumerate(self.params):
            x = x @ w.T + b
            if index < len(self.params) - 1:
                x = x.tanh() if self.workload.activation == "tanh" else x.relu()
        return x

    def _step(self, x: Any, y: Any) -> Any:
        with Context(TRAINING=1):
            z = self._logits(x)
            if self.workload.binary:
                loss = z.binary_crossentropy_logits(y)
            else:
                loss = z.sparse_categorical_crossentropy(y)
            self.optimizer.zero_grad()
            loss.backward()
            # together, so that the loss is that before the update
            return loss.realize(*self.optimizer.schedule_step())

    def _predict(self, x: Any) -> Any:
        z = self._logits(x)
        return (z.sigmoid() if self.workload.binary else z.softmax()).realize()

    def step(self) -> Any:
        return self.jitted(*next(self.batches))

    def value(self, loss: Any) -> float:
        return float(loss.item())

    def predict(self) -> Any:
        return self.prediction(self.data[0][0]).numpy()
