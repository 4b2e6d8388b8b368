"""Layers with masks, memories and states against PyTorch, where it is installed."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from minifw import GRU, LSTM, Array, Dense, Layer, MultiHeadAttention, UpSample2D

torch = pytest.importorskip("torch")  # no extra, and gigabytes

EXACT = 1e-10


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


def tensor(array: npt.NDArray[Any]) -> Any:
    return torch.tensor(array, requires_grad=array.dtype == float)


def mask_of(batch: int, time: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return a random one; where there are rows enough, one counts whole and one nothing."""
    mask = np.random.default_rng(seed).random((batch, time)) < 0.6
    if batch > 2:
        mask[0], mask[1] = True, False
    return mask


def randomized(layer: Any) -> Any:
    for seed, parameter in enumerate(layer.parameters()):
        parameter.value = normal(*parameter.shape, seed=seed)
    return layer


def twin(module: Any, layer: Layer, old: str = "", new: str = "") -> Any:
    """Return PyTorch's module with the parameters of the layer."""
    state = {name.replace(old, new): value for name, value in layer.state_dict().items()}
    module.double().load_state_dict({name: torch.tensor(value) for name, value in state.items()})
    return module


def check_same(layer: Layer, module: Any, found: Any, ys: Any, tensors: Any) -> None:
    """Hold outputs and all gradients against PyTorch's; None where it has none."""
    found = found if isinstance(found, tuple) else (found,)
    dys = [normal(*y.shape, seed=seed + 50) for seed, y in enumerate(found)]
    dxs: Any = layer.backward(*dys)
    dxs = dxs if isinstance(dxs, tuple) else (dxs,)
    sum((y * torch.tensor(dy)).sum() for y, dy in zip(ys, dys, strict=True)).backward()
    expected = [None if x is None else x.grad for x in tensors]
    assert [dx is None for dx in dxs] == [dx is None for dx in expected]
    gradients = {name.replace("_l0", ""): p.grad for name, p in layer.named_parameters()}
    pairs = [
        *zip(found, ys, strict=True),
        *((dx, grad) for dx, grad in zip(dxs, expected, strict=True) if dx is not None),
        *((gradients[name], parameter.grad) for name, parameter in module.named_parameters()),
    ]
    for own, other in pairs:
        np.testing.assert_allclose(own, other.detach().numpy(), rtol=0, atol=EXACT)


def test_dense_over_time() -> None:
    layer = randomized(Dense(3, 2))
    x = normal(4, 5, 3)
    module, t = twin(torch.nn.Linear(3, 2), layer), tensor(x)
    check_same(layer, module, layer(x), [module(t)], [t])
    swapped = normal(5, 4, 3).swapaxes(0, 1)  # as an LSTM hands it on
    module.zero_grad()
    t = tensor(swapped)
    check_same(layer, module, layer(swapped), [module(t)], [t])


@pytest.mark.parametrize("factor", [2, (1, 3)])
def test_upsampling(factor: Any) -> None:
    layer, x = UpSample2D(factor), normal(2, 3, 4, 5)
    module, t = torch.nn.Upsample(scale_factor=factor, mode="nearest"), tensor(x)
    check_same(layer, module, layer(x), [module(t)], [t])


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("returned", [(True, True), (False, True), (True, False), (False, False)])
@pytest.mark.parametrize("given", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_recurrent_layers_with_masks_and_states(
    kind: Any, given: tuple[bool, bool], returned: tuple[bool, bool], batch: int
) -> None:
    """PyTorch's cell, step by step; torch.where keeps the state where a step does not count."""
    (masked, started), (sequences, states) = given, returned
    layer = randomized(kind(3, 2, return_sequences=sequences, return_state=states))
    count = 2 if kind is LSTM else 1
    x, starts = normal(batch, 5, 3), [normal(batch, 2, seed=k) for k in range(1, count + 1)]
    mask = mask_of(batch, 5, batch) if masked else None
    cell = twin(getattr(torch.nn, f"{kind.__name__}Cell")(3, 2), layer, "_l0")
    t, ts = tensor(x), [tensor(start if started else 0 * start) for start in starts]
    now, steps = ts, []
    for k in range(5):
        new = cell(t[:, k], tuple(now) if count == 2 else now[0])
        new = new if count == 2 else (new,)
        counts = torch.tensor(np.ones((batch, 1), bool) if mask is None else mask[:, k : k + 1])
        now = [torch.where(counts, one, old) for one, old in zip(new, now, strict=True)]
        steps.append(now[0])
    ys = [torch.stack(steps, 1) if sequences else now[0], *now][: 1 + count * states]
    assert len(layer.output_names) == len(ys)
    found = layer.forward(x, mask, *(starts if started else []))
    shapes = layer.output_shape((5, 3), (5,))
    assert shapes == (tuple(y.shape[1:] for y in ys) if states else ys[0].shape[1:])
    tensors = [t, None, *ts] if started else [t, None] if masked else [t]
    check_same(layer, cell, found, ys, tensors)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_the_last_state_of_padded_sequences_is_that_of_packed_ones(kind: Any) -> None:
    layer = randomized(kind(3, 2, return_sequences=False))
    lengths, x = np.array([4, 1, 3]), normal(3, 4, 3)
    module, t = twin(getattr(torch.nn, kind.__name__)(3, 2, batch_first=True), layer), tensor(x)
    packed = torch.nn.utils.rnn.pack_padded_sequence(t, lengths, True, enforce_sorted=False)
    _, state = module(packed)
    y = layer.forward(x, np.arange(4) < lengths[:, np.newaxis])
    dx, _ = layer.backward(np.ones_like(y))
    last = state[0][0] if kind is LSTM else state[0]
    last.sum().backward()
    np.testing.assert_allclose(y, last.detach().numpy(), rtol=0, atol=EXACT)
    np.testing.assert_allclose(dx, t.grad.numpy(), rtol=0, atol=EXACT)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("steps", [None, 3, 7])
def test_attention(steps: int | None, masked: bool, causal: bool, bias: bool, batch: int) -> None:
    """PyTorch gives NaN for a row that is masked whole: see test_attention.py."""
    layer = randomized(MultiHeadAttention(6, 3, causal, bias=bias))
    x, memory = normal(batch, 5, 6), None if steps is None else normal(batch, steps, 6, seed=1)
    mask = np.random.default_rng(2).random((batch, steps or 5)) < 0.6 if masked else None
    if mask is not None:
        mask[:, 0] = True
    module = twin(torch.nn.MultiheadAttention(6, 3, bias=bias, batch_first=True), layer)
    t = tensor(x)
    m = t if memory is None else tensor(memory)
    later = torch.tensor(np.arange(steps or 5) > np.arange(5)[:, np.newaxis]) if causal else None
    padding = None if mask is None else torch.tensor(~mask)
    y, _ = module(t, m, m, key_padding_mask=padding, attn_mask=later)
    tensors = [t, None if memory is None else m, None]
    tensors = tensors[: 3 if masked else 1 if memory is None else 2]
    check_same(layer, module, layer.forward(x, memory, mask), [y], tensors)
