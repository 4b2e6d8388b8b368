"""Write the fixtures beside this file: models as other programs write them.

Each comes with an input and the other program's own output. The folders hold the networks of
foreign.py, with all inputs and outputs of a folder in one file. It needs torch, Keras and
skl2onnx, which the tests do not: ``python tests/data/onnx/make_onnx.py``.
"""

from pathlib import Path
from typing import Any

import foreign
import numpy as np
import onnx
import torch
from torch import nn

HERE = Path(__file__).parent
ROWS = 2  # of each input, other than the files were exported with

torch.manual_seed(0)  # of the weights
MODELS = {
    "mlp": (
        nn.Sequential(
            nn.Linear(4, 8),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(8, 6, bias=False),
            nn.BatchNorm1d(6),
            nn.Tanh(),
            nn.LayerNorm(6),
            nn.Linear(6, 3),
            nn.Softmax(dim=1),
        ),
        (4,),
    ),
    "activations": (
        nn.Sequential(
            nn.Linear(3, 5),
            nn.LeakyReLU(0.1),
            nn.Linear(5, 5),
            nn.ELU(0.7),
            nn.SELU(),
            nn.Linear(5, 5),
            nn.PReLU(5),
            nn.ReLU6(),
            nn.Linear(5, 2),
            nn.SiLU(),
            nn.LogSoftmax(dim=-1),
        ),
        (3,),
    ),
    "convnet": (
        nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
            nn.ReLU(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(6 * 2 * 2, 3),
        ),
        (1, 16, 16),
    ),
    "global_pool": (
        nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        ),
        (2, 8, 8),
    ),
}


class Skip(nn.Module):  # type: ignore[misc]
    """A residual connection and two branches."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = nn.Linear(3, 3), nn.Linear(3, 2), nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [second(z), third(z)], z = x + tanh(first(x))."""
        z = x + torch.tanh(self.first(x))
        return torch.cat([self.second(z), self.third(z)], dim=-1)


def forget_traces(path: Path) -> None:
    """Take out the stack traces, which name folders of the machine that made the file."""
    proto = onnx.load(path, load_external_data=False)
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.initializer):
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
        part.doc_string = ""
    path.write_bytes(proto.SerializeToString())


def write_foreign() -> None:
    """Write the folders."""
    for name, files in {
        "torch": lambda folder: foreign.torch_files(folder, "default"),
        "keras": lambda folder: foreign.keras_files(folder, "torch"),
        "sklearn": foreign.sklearn_files,
        "zoo": foreign.zoo_files,
    }.items():
        folder = HERE / "exported" / name
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {}
        for file in files(folder):
            if file.path is None:
                raise RuntimeError(file.failed)
            forget_traces(file.path)
            data = file.path.with_name(f"{file.path.name}.data")
            if data.exists() and not data.stat().st_size:
                data.unlink()
            inputs, outputs = file.sets[0]
            for kind, values in (("x", inputs), ("y", outputs)):
                for index, array in enumerate(values):
                    arrays[f"{file.path.stem} {kind}{index}"] = array[:ROWS]
        np.savez_compressed(folder / "expected.npz", **arrays)


def main() -> None:
    """Write them all."""
    write_foreign()
    models = {**MODELS, "skip": (Skip(), (3,))}
    for name, (model, shape) in models.items():
        torch.manual_seed(0)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.running_mean.uniform_(-1, 1)
                module.running_var.uniform_(0.5, 2)
        model.eval()
        x = torch.randn(3, *shape)
        for ending, dynamo in (("old", False), ("new", True)):
            axes: dict[str, Any] = {"dynamic_axes": {"x": {0: "batch"}, "y": {0: "batch"}}}
            if dynamo:
                axes = {
                    "dynamic_shapes": ({0: torch.export.Dim("batch")},),
                    "external_data": False,
                }
            path = HERE / f"{name}_{ending}.onnx"
            torch.onnx.export(
                model,
                (x,),
                path,
                input_names=["x"],
                output_names=["y"],
                dynamo=dynamo,
                **axes,
            )
            forget_traces(path)
        np.savez(HERE / f"{name}.npz", x=x.numpy(), y=model(x).detach().numpy())


if __name__ == "__main__":
    main()
