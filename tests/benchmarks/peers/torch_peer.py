"""PyTorch: eager, eager with its fused optimizers, and compiled."""

from itertools import cycle
from typing import Any

import torch
from torch import nn

from peers.contender import Contender
from peers.workloads import Problem, Workload

__all__ = ["TorchCompiled", "TorchEager", "TorchFused"]


class TorchEager(Contender):
    """`nn.Sequential`, the loss of logits, `torch.optim` with its defaults.

    Data are tensors before the first step, gradients are set to None, and the loss stays
    a tensor until the last step of a turn.
    """

    label = "PyTorch eager"
    imports = "import torch"
    fused: bool | None = None

    def __init__(self, problem: Problem) -> None:
        workload = problem.workload
        layers: list[Any] = []
        for w, b in problem.weights:
            filters = w.ndim == 4
            if not filters and workload.image:
                layers.append(nn.Flatten())
            layer = (
                nn.Conv2d(w.shape[1], w.shape[0], 3, padding=1)
                if filters
                else nn.Linear(w.shape[1], w.shape[0])
            )
            layer = layer.to(getattr(torch, workload.dtype))
            with torch.no_grad():
                layer.weight.copy_(torch.from_numpy(w))
                layer.bias.copy_(torch.from_numpy(b))
            layers += [layer, nn.Tanh() if workload.activation == "tanh" else nn.ReLU()]
            if filters:
                layers.append(nn.MaxPool2d(2))
        self.logits = nn.Sequential(*layers[:-1])
        last = nn.Sigmoid() if workload.binary else nn.Softmax(dim=1)
        self.model = nn.Sequential(*layers[:-1], last)
        self.criterion = nn.BCEWithLogitsLoss() if workload.binary else nn.CrossEntropyLoss()
        kind = torch.optim.SGD if workload.optimizer == "sgd" else torch.optim.Adam
        self.optimizer = kind(self.logits.parameters(), lr=workload.lr, fused=self.fused)
        data = [(torch.from_numpy(x.copy()), torch.from_numpy(y)) for x, y in problem.batches]
        self.batches = cycle(data)
        self.x = data[0][0]

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return bool(workload)

    def loss_of(self, x: Any, y: Any) -> Any:
        return self.criterion(self.logits(x), y)

    def step(self) -> Any:
        x, y = next(self.batches)
        loss = self.loss_of(x, y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss

    def value(self, loss: Any) -> float:
        return float(loss.item())

    def predict(self) -> Any:
        with torch.inference_mode():
            return self.model(self.x)


class TorchFused(TorchEager):
    """The same with ``fused=True``: the whole update in one call."""

    label = "PyTorch eager, fused update"
    fused = True

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return not workload.predicts


class TorchCompiled(TorchEager):
    """`torch.compile` of the loss (and so of its backward), and of the prediction.

    The update is the fused one, which is compiled already.
    """

    label = "torch.compile"
    fused = True

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        criterion, logits = self.criterion, self.logits
        self.loss_of = torch.compile(  # type: ignore[method-assign]
            lambda x, y: criterion(logits(x), y), dynamic=False
        )
        self.model = torch.compile(self.model, dynamic=False)
