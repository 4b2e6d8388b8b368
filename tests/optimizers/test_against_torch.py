"""Optimizers and averages against PyTorch: 25 steps of the same gradients, in float64.

What PyTorch gives is recorded: see tests/support/recorded.py.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from recorded import recorded

from minifw import SGD, Array, Averaged, NAdam, Optimizer, Parameter, Rprop

STEPS = 25
EXACT = 1e-10  # of values of order 1

_RNG = np.random.default_rng(0)
START = _RNG.standard_normal(12)
GRADIENTS = _RNG.standard_normal((STEPS, 12)) * 10.0 ** _RNG.uniform(-3, 3, 12)

CASES: dict[str, tuple[type[Optimizer], dict[str, Any]]] = {
    "NAdam": (NAdam, {}),
    "NAdam-options": (
        NAdam,
        {
            "lr": 0.1,
            "betas": (0.8, 0.95),
            "eps": 1e-3,
            "weight_decay": 0.1,
            "momentum_decay": 0.3,
        },
    ),
    "NAdam-betas-0": (NAdam, {"lr": 0.1, "betas": (0.0, 0.0)}),
    "Rprop": (Rprop, {}),
    "Rprop-options": (Rprop, {"lr": 0.1, "etas": (0.3, 2.0), "step_sizes": (0.05, 0.5)}),
}


def in_torch(torch: Any, name: str, **options: Any) -> Iterator[Any]:
    """Yield PyTorch's parameter after each step."""
    torch.set_default_dtype(torch.float64)  # in which NAdam keeps mu_product then
    theta = torch.nn.Parameter(torch.tensor(START))
    optimizer = getattr(torch.optim, name)([theta], **options)
    for gradient in GRADIENTS:
        theta.grad = torch.tensor(gradient)
        optimizer.step()
        yield theta


def ours(make: Callable[[list[Parameter]], Optimizer]) -> Iterator[tuple[Parameter, Any]]:
    """Yield our parameter and its optimizer after each step."""
    parameter = Parameter(START)
    optimizer = make([parameter])
    for gradient in GRADIENTS:
        parameter.grad = gradient
        optimizer.step()
        yield parameter, optimizer


def check_same(
    case: str, found: list[Array], options: Any, compute: Callable[[Any], list[Any]]
) -> None:
    (theirs,) = recorded(f"optimizers/{case}", (START, GRADIENTS, options), compute)
    np.testing.assert_allclose(found, theirs, rtol=EXACT, atol=EXACT)


@pytest.mark.parametrize("case", CASES)
def test_a_walk_is_that_of_pytorch(case: str) -> None:
    kind, options = CASES[case]
    walk = [p.value.copy() for p, _ in ours(lambda parameters: kind(parameters, **options))]

    def compute(torch: Any) -> list[Any]:
        steps = in_torch(torch, kind.__name__, **options)
        return [torch.stack([theta.detach().clone() for theta in steps])]

    check_same(case, walk, options, compute)


@pytest.mark.parametrize(("decay", "start"), [(None, 0), (None, 10), (0.9, 0), (0.999, 3)])
def test_an_average_is_that_of_averaged_model(decay: float | None, start: int) -> None:
    pairs = ours(lambda p: Averaged(SGD(p, lr=0.01, momentum=0.9), decay, start))
    walk = [one.average.copy() for _, one in pairs][start:]

    def compute(torch: Any) -> list[Any]:
        utils = torch.optim.swa_utils
        how = {} if decay is None else {"multi_avg_fn": utils.get_ema_multi_avg_fn(decay)}
        kept, model = [], torch.nn.ParameterList()
        for step, theta in enumerate(in_torch(torch, "SGD", lr=0.01, momentum=0.9)):
            if step == 0:
                model.append(theta)
                averaged = utils.AveragedModel(model, **how)
            if step >= start:
                averaged.update_parameters(model)
                kept.append(averaged.module[0].detach().clone())
        return [torch.stack(kept)]

    check_same(f"Averaged-{decay}-{start}", walk, [decay, start], compute)
