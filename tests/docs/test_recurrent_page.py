"""The functions of docs/howto/recurrent.md against PyTorch's layers."""

import doctest
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import recorded

from minifw import GRU, LSTM
from minifw.interop.safetensors import load_into

tensors = pytest.importorskip("safetensors.numpy")

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "recurrent.md"


def functions() -> dict[str, Any]:
    """Return what the page imports and defines at its margin."""
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(PAGE.read_text(encoding="utf-8")):
        if example.source.startswith(("import", "from", "def", "STATES")):
            exec(example.source, names)  # noqa: S102 - our own page
    return names


@pytest.mark.parametrize("lengths", [None, [5, 1, 3]])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_the_page_is_pytorchs_layer(kind: Any, lengths: list[int] | None, tmp_path: Path) -> None:
    page, rng = functions(), np.random.default_rng(0)
    state = {
        name: rng.standard_normal(weight.shape)
        for name, weight in page["weights"](4 if kind is LSTM else 3).items()
    }
    x, dy = rng.standard_normal((3, 5, 3)), rng.standard_normal((3, 5, 4))
    dstates = [rng.standard_normal((4, 3, 2)) for _ in page["STATES"][kind]]
    counts = np.arange(5) < np.array(lengths or [5, 5, 5])[:, np.newaxis]
    dy[~counts] = 0

    def compute(torch: Any) -> Iterable[Any]:
        options = {"num_layers": 2, "bidirectional": True, "batch_first": True}
        module = getattr(torch.nn, kind.__name__)(3, 2, **options).double()
        module.load_state_dict({name: torch.tensor(weight) for name, weight in state.items()})
        tensor: Any = torch.tensor(x, requires_grad=True)
        packing = torch.nn.utils.rnn
        if lengths is None:
            y, ends = module(tensor)
        else:
            packed = packing.pack_padded_sequence(tensor, lengths, True, enforce_sorted=False)
            y, ends = module(packed)
            y, _ = packing.pad_packed_sequence(y, batch_first=True)
        ends = ends if kind is LSTM else (ends,)
        pairs = zip((y, *ends), (dy, *dstates), strict=True)
        sum((one * torch.tensor(other)).sum() for one, other in pairs).backward()
        grads = dict(module.named_parameters())
        return [y, *ends, tensor.grad, *(grads[name].grad for name in state)]

    inputs = (x, dy, dstates, state, lengths)
    theirs = recorded(f"recurrent/{kind.__name__}-{lengths}", inputs, compute)
    model = page["stacked"](kind, 3, 2, rng=0)
    path = tmp_path / "state.safetensors"
    tensors.save_file(state, path)
    load_into(model, path, names=page["torch_name"])
    y, *ends = model(x, counts)
    dx, _ = model.backward(dy, *(one for part in dstates for one in part))
    ours = [np.where(counts[:, :, np.newaxis], y, 0), *np.split(np.array(ends), len(dstates)), dx]
    weights = [parameter.grad for parameter in model.parameters()]
    for own, other in zip([*ours, *weights], theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-10)
    tensors.save_file({**state, "bias_ih_l2": x}, path)
    with pytest.raises(ValueError, match="bias_ih_l2 is unexpected"):
        load_into(model, path, names=page["torch_name"])
