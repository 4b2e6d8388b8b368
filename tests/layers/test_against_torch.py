"""Layers with masks, memories and states against what PyTorch gives."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from recorded import recorded

from minifw import (
    GRU,
    LSTM,
    Array,
    Clamp,
    Conv1D,
    Conv2DTranspose,
    Dense,
    GradientReversal,
    GroupNorm,
    Layer,
    MaxPool2D,
    Mish,
    MultiHeadAttention,
    Multiply,
    Pad2D,
    Scale,
    UpSample2D,
)

EXACT = 1e-10
BOTH = (True, False)


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape)


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


def check_same(
    name: str,
    layer: Layer,
    xs: tuple[Any, ...],
    module_of: Callable[[Any], Any],
    forward: Callable[..., Iterable[Any]] = lambda _, module, x: [module(x)],
) -> None:
    """Hold outputs and all gradients against PyTorch's; None where it has none.

    The name is a case of layers.npz, or "file/case". `module_of(torch)` has the layer's
    parameters; `forward(torch, module, *tensors)` gives the
    outputs.
    """
    found: Any = layer(*xs)
    found = found if isinstance(found, tuple) else (found,)
    dys = [normal(*y.shape, seed=seed + 50) for seed, y in enumerate(found)]
    dxs: Any = layer.backward(*dys)
    dxs = dxs if isinstance(dxs, tuple) else (dxs,)
    smooth = [x is not None and x.dtype == float for x in xs]
    assert [dx is not None for dx in dxs] == smooth
    state = {key.replace("_l0", ""): value for key, value in layer.state_dict().items()}

    def compute(torch: Any) -> Iterable[Any]:
        module = module_of(torch).double()
        own = {key: key.replace("_l0", "") for key in module.state_dict()}
        module.load_state_dict({key: torch.tensor(state[own[key]]) for key in own})
        tensors: list[Any] = [
            None if x is None else torch.tensor(x, requires_grad=is_smooth)
            for x, is_smooth in zip(xs, smooth, strict=True)
        ]
        ys = forward(torch, module, *tensors)
        sum((y * torch.tensor(dy)).sum() for y, dy in zip(ys, dys, strict=True)).backward()
        grads = {own[key]: parameter.grad for key, parameter in module.named_parameters()}
        inputs = (t.grad for t, is_smooth in zip(tensors, smooth, strict=True) if is_smooth)
        return [*ys, *inputs, *(grads[key] for key in state)]

    ours = [*found, *(dx for dx in dxs if dx is not None), *(p.grad for p in layer.parameters())]
    theirs = recorded(name if "/" in name else f"layers/{name}", (xs, dys, state), compute)
    for own, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=EXACT)


def test_dense_over_time() -> None:
    layer = randomized(Dense(3, 2))
    check_same("dense", layer, (normal(4, 5, 3),), lambda torch: torch.nn.Linear(3, 2))
    swapped = normal(5, 4, 3).swapaxes(0, 1)  # as an LSTM hands it on
    check_same("dense-swapped", layer, (swapped,), lambda torch: torch.nn.Linear(3, 2))


@pytest.mark.parametrize(
    ("padding", "options"),
    [
        (0, {}),
        (2, {"stride": 2, "groups": 2}),
        ((1, 3), {"dilation": 2, "bias": False}),
        ((0, 2), {"stride": 3, "dilation": 2}),
        ("same", {"dilation": 3}),
        ("causal", {}),
        ("causal", {"stride": 2, "dilation": 2, "groups": 4}),
    ],
)
def test_convolution_over_time(padding: Any, options: dict[str, Any]) -> None:
    layer = randomized(Conv1D(4, 4, 3, padding=padding, **options))
    span = 2 * options.get("dilation", 1)
    sides = {"same": (span // 2, span - span // 2), "causal": (span, 0), 2: (2, 2), 0: (0, 0)}
    around = sides.get(padding, padding)

    def forward(torch: Any, module: Any, x: Any) -> Any:
        return [module(torch.nn.functional.pad(x.swapaxes(1, 2), around)).swapaxes(1, 2)]

    check_same(
        f"images/conv1d-{padding}-{options}",
        layer,
        (normal(2, 7, 4),),
        lambda torch: torch.nn.Conv1d(4, 4, 3, **options),
        forward,
    )
    assert layer.output_shape((7, 4)) == layer(normal(2, 7, 4)).shape[1:]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"stride": (3, 1), "padding": (0, 2), "output_padding": (2, 0), "groups": 2},
        {"dilation": (2, 3), "output_padding": (1, 2), "bias": False},
        {"stride": (2, 3), "dilation": (3, 1), "padding": (3, 1), "output_padding": (2, 1)},
        {"groups": 4, "padding": (1, 0)},
    ],
)
def test_transposed_convolution(options: dict[str, Any]) -> None:
    layer = randomized(Conv2DTranspose(4, 4, (3, 2), **options))
    check_same(
        f"images/transposed-{options}",
        layer,
        (normal(2, 4, 3, 4),),
        lambda torch: torch.nn.ConvTranspose2d(4, 4, (3, 2), **options),
    )
    assert layer.output_shape((4, 3, 4)) == layer(normal(2, 4, 3, 4)).shape[1:]


@pytest.mark.parametrize("kernel", [(2, 2), (3, 3), (3, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 1)])
@pytest.mark.parametrize("padding", [(0, 0), (1, 0), (1, 1)])
def test_maximum_of_infinities_and_nan(kernel: Any, stride: Any, padding: Any) -> None:
    x = np.random.default_rng(0).choice([-np.inf, 0.0, 1.0, np.inf, np.nan], (2, 3, 5, 6))
    x[0, 0], x[0, 1], x[0, 2, :3] = -np.inf, np.nan, -np.inf
    check_same(
        f"images/maximum-{kernel}-{stride}-{padding}",
        MaxPool2D(kernel, stride, padding),
        (x,),
        lambda torch: torch.nn.MaxPool2d(kernel, stride, padding),
    )
    narrow = MaxPool2D(kernel, stride, padding)
    assert narrow.backward(np.ones_like(narrow(x.astype(np.float32)))).dtype == np.float32


@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [2, (1, 0, 2, 2), (0, 3, 0, 1), 0])
def test_padding(mode: Any, padding: Any) -> None:
    layer, sides = Pad2D(padding, mode, 0.5), (padding,) * 4 if padding in (0, 2) else padding
    value = 0.5 if mode == "constant" else None
    check_same(
        f"images/padding-{mode}-{padding}",
        layer,
        (normal(2, 2, 3, 4),),
        lambda torch: torch.nn.Identity(),
        lambda torch, _, x: [torch.nn.functional.pad(x, sides, mode, value)],
    )


CLAMPED = np.array([[-2.0, -0.5, 0.25], [0.75, 1.0, -0.5]])  # on the bounds, too


@pytest.mark.parametrize("bounds", [(-0.5, 0.75), (-0.5, None), (None, 0.75)])
def test_clamp(bounds: tuple[Any, Any]) -> None:
    def forward(torch: Any, _: Any, x: Any) -> Any:
        return [torch.clamp(x, *bounds)]

    layer = Clamp(*bounds)
    check_same(f"clamp-{bounds}", layer, (CLAMPED,), lambda torch: torch.nn.Identity(), forward)


def test_mish() -> None:
    x = np.concatenate([6 * normal(50, 3), [[-40.0, 0.0, 40.0]]])
    check_same("mish", Mish(), (x,), lambda torch: torch.nn.Mish())


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_products_of_inputs_some_of_which_are_0(zeros: int) -> None:
    xs = tuple(normal(4, 3, seed=seed) for seed in range(3))
    for x in xs[:zeros]:
        x[1] = 0.0
    check_same(
        f"multiply-{zeros}",
        Multiply(),
        xs,
        lambda torch: torch.nn.Identity(),
        lambda _, __, *tensors: [tensors[0] * tensors[1] * tensors[2]],
    )


def test_scale_of_sequences() -> None:
    layer = randomized(Scale(3))

    def module_of(torch: Any) -> Any:
        module = torch.nn.Module()
        module.weight = torch.nn.Parameter(torch.ones(3))
        return module

    check_same(
        "scale", layer, (normal(4, 5, 3),), module_of, lambda _, module, x: [x * module.weight]
    )


def test_a_reversed_gradient() -> None:
    """PyTorch has no such layer; x - (1 + w)(x - detached x) is one."""
    check_same(
        "reversal",
        GradientReversal(0.3),
        (normal(4, 3),),
        lambda torch: torch.nn.Identity(),
        lambda _, __, x: [x - 1.3 * (x - x.detach())],
    )


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (2, 1, 2)])
@pytest.mark.parametrize(("groups", "affine"), [(1, True), (3, True), (6, True), (2, False)])
def test_group_norm(groups: int, affine: bool, shape: tuple[int, ...]) -> None:
    check_same(
        f"images/group-{groups}-{affine}-{shape}",
        randomized(GroupNorm(groups, 6, eps=0.01, affine=affine)),
        (normal(2, 6, *shape),),
        lambda torch: torch.nn.GroupNorm(groups, 6, eps=0.01, affine=affine),
    )


@pytest.mark.parametrize("factor", [2, (1, 3)])
def test_upsampling(factor: Any) -> None:
    check_same(
        f"upsampling-{factor}",
        UpSample2D(factor),
        (normal(2, 2, 2, 3),),
        lambda torch: torch.nn.Upsample(scale_factor=factor, mode="nearest"),
    )


@pytest.mark.parametrize(
    ("batch", "returned"),
    [*((3, (sequences, states)) for sequences in BOTH for states in BOTH), (1, (True, True))],
)
@pytest.mark.parametrize("given", [(False, False), (True, False), (False, True), (True, True)])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_recurrent_layers_with_masks_and_states(
    kind: Any, given: tuple[bool, bool], batch: int, returned: tuple[bool, bool]
) -> None:
    """PyTorch's cell, step by step; torch.where keeps the state where a step does not count."""
    (masked, started), (sequences, states) = given, returned
    layer = randomized(kind(3, 2, return_sequences=sequences, return_state=states))
    count = 2 if kind is LSTM else 1
    x, starts = normal(batch, 4, 3), [normal(batch, 2, seed=k) for k in range(1, count + 1)]
    mask = mask_of(batch, 4, batch) if masked else None

    def forward(torch: Any, cell: Any, t: Any, keep: Any = None, *now: Any) -> Any:
        now = now or (torch.zeros(batch, 2, dtype=t.dtype),) * count
        steps = []
        for k in range(4):
            new = cell(t[:, k], now if count == 2 else now[0])
            new = new if count == 2 else (new,)
            if keep is not None:
                kept = keep[:, k : k + 1]
                new = tuple(torch.where(kept, *pair) for pair in zip(new, now, strict=True))
            now = new
            steps.append(now[0])
        return [torch.stack(steps, 1) if sequences else now[0], *now][: 1 + count * states]

    outputs = 1 + count * states
    assert len(layer.output_names) == outputs
    shapes = ((4, 2) if sequences else (2,), *((2,),) * count)[:outputs]
    assert layer.output_shape((4, 3), (4,)) == (shapes if states else shapes[0])
    check_same(
        f"{kind.__name__}-{given}-{returned}-{batch}",
        layer,
        (x, mask, *starts) if started else (x, mask) if masked else (x,),
        lambda torch: getattr(torch.nn, f"{kind.__name__}Cell")(3, 2),
        forward,
    )


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_the_last_state_of_padded_sequences_is_that_of_packed_ones(kind: Any) -> None:
    lengths = np.array([4, 1, 3])

    def forward(torch: Any, module: Any, t: Any, _: Any) -> Any:
        packed = torch.nn.utils.rnn.pack_padded_sequence(t, lengths, True, enforce_sorted=False)
        _, state = module(packed)
        return [state[0][0] if kind is LSTM else state[0]]

    check_same(
        f"{kind.__name__}-packed",
        randomized(kind(3, 2, return_sequences=False)),
        (normal(3, 4, 3), np.arange(4) < lengths[:, np.newaxis]),
        lambda torch: getattr(torch.nn, kind.__name__)(3, 2, batch_first=True),
        forward,
    )


@pytest.mark.parametrize(
    ("steps", "masked", "causal", "bias", "batch"),
    [
        *(
            (steps, masked, causal, True, 2)
            for steps, masked in ((None, True), (3, True), (7, False))
            for causal in BOTH
        ),
        (None, False, True, False, 1),
        (3, False, False, False, 1),
        (7, True, True, False, 1),
    ],
)
def test_attention(steps: int | None, masked: bool, causal: bool, bias: bool, batch: int) -> None:
    """PyTorch gives NaN for a row that is masked whole: see test_attention.py."""
    x, memory = normal(batch, 5, 6), None if steps is None else normal(batch, steps, 6, seed=1)
    mask = np.random.default_rng(2).random((batch, steps or 5)) < 0.6
    mask[:, 0] = True

    def forward(torch: Any, module: Any, t: Any, m: Any = None, keep: Any = None) -> Any:
        m = t if m is None else m
        later = np.arange(steps or 5) > np.arange(5)[:, np.newaxis]
        return module(
            t,
            m,
            m,
            key_padding_mask=None if keep is None else ~keep,
            attn_mask=torch.tensor(later) if causal else None,
        )[:1]

    check_same(
        f"attention-{steps}-{masked}-{causal}-{bias}-{batch}",
        randomized(MultiHeadAttention(6, 3, causal, bias=bias)),
        (x, memory, mask)[: 3 if masked else 1 if memory is None else 2],
        lambda torch: torch.nn.MultiheadAttention(6, 3, bias=bias, batch_first=True),
        forward,
    )
