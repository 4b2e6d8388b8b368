"""Writes, with PyTorch itself, what tests/interop/test_safetensors.py compares with.

    python tests/data/torch/make_torch.py

needs torch, safetensors and NumPy, and not minifw. Each network below stands there once more,
under the same name, of minifw's layers. NAME.safetensors is PyTorch's own state dict; out.npz has
the inputs, and the outputs in eval mode.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).parent


def networks(dtype: torch.dtype) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    """Return every network, with the shape of a batch."""
    torch.manual_seed(0)
    made: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "rows": (
            nn.Sequential(
                nn.Linear(3, 4),
                nn.BatchNorm1d(4),
                nn.Sequential(nn.Tanh(), nn.Linear(4, 4, bias=False)),
                nn.PReLU(4),
                nn.LayerNorm(4),
                nn.RMSNorm(4),
                nn.BatchNorm1d(4, affine=False),
                nn.PReLU(),
                nn.Linear(4, 2),
                nn.Softmax(-1),
            ),
            (5, 3),
        ),
        "images": (
            nn.Sequential(
                nn.Conv2d(2, 4, (3, 2), padding=(1, 0), groups=2),
                nn.BatchNorm2d(4),
                nn.ReLU(),
                nn.MaxPool2d(2),
                nn.Conv2d(4, 3, 2, padding="same", bias=False),
                nn.Flatten(),
                nn.Linear(18, 2),
            ),
            (3, 2, 6, 5),
        ),
        "lstm": (nn.LSTM(3, 4, batch_first=True), (2, 5, 3)),
        "gru": (nn.GRU(3, 4, batch_first=True), (2, 5, 3)),
        "words": (nn.Sequential(nn.Embedding(7, 3, padding_idx=0), nn.LayerNorm(3)), (2, 4)),
    }
    return {name: (model.to(dtype), shape) for name, (model, shape) in made.items()}


def main() -> None:
    """Write the files."""
    out: dict[str, Any] = {}
    for suffix, dtype in (("32", torch.float32), ("64", torch.float64)):
        for name, (model, shape) in networks(dtype).items():
            x = torch.randint(0, 7, shape) if name == "words" else torch.randn(shape, dtype=dtype)
            with torch.no_grad():
                for parameter in model.parameters():
                    if parameter.ndim == 1:  # scales and shifts that are not just 1 and 0
                        parameter.add_(0.3 * torch.randn_like(parameter))
                model(x)  # so that BatchNorm has moved
                y = model.eval()(x)
            y = y[0] if isinstance(y, tuple) else y
            save_file(model.state_dict(), HERE / f"{name}{suffix}.safetensors")
            out |= {f"{name}{suffix}.x": x.numpy(), f"{name}{suffix}.y": y.numpy()}
    np.savez_compressed(HERE / "out.npz", **out)


if __name__ == "__main__":
    main()
