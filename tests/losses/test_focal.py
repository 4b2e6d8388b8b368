"""FocalLoss against torchvision's text, and in closed form at the extremes."""

import math
from typing import Any

import numpy as np
import pytest
from recorded import recorded

from minifw import BCEWithLogitsLoss, FocalLoss, NonFiniteError

RNG = np.random.default_rng(0)
Z = 3 * RNG.standard_normal((6, 3))
YES = RNG.integers(0, 2, Z.shape).astype(float)


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (0.6, 0.5), (1.0, 3.0)])
def test_value_and_gradient_against_pytorch(alpha: float, gamma: float) -> None:
    def compute(torch: Any) -> Any:
        z, t = torch.tensor(Z, requires_grad=True), torch.tensor(YES)
        p = torch.sigmoid(z)  # as torchvision.ops.sigmoid_focal_loss
        costs = torch.nn.functional.binary_cross_entropy_with_logits(z, t, reduction="none")
        costs = costs * (1 - (p * t + (1 - p) * (1 - t))) ** gamma
        value = ((alpha * t + (1 - alpha) * (1 - t)) * costs).mean()
        value.backward()
        return [value, z.grad]

    name = f"losses/FocalLoss {alpha} {gamma}"
    value, gradient = recorded(name, (Z, YES, alpha, gamma), compute)
    loss = FocalLoss(alpha, gamma)
    assert loss.forward(Z, YES) == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(loss.backward(), gradient, rtol=1e-11, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("gap", [15.0, 40.0, 1e4])
def test_extremes(gap: float, dtype: Any) -> None:
    loss = FocalLoss()
    z, sign = np.array([[gap]], dtype), 1
    for label, a in ((1, 0.25), (0, 0.75)):
        target = np.array([[label]], dtype)
        assert loss.forward(-sign * z, target) == pytest.approx(a * gap, rel=1e-5)
        assert loss.backward().item() == pytest.approx(-sign * a, rel=1e-4)  # p gamma gap more
        small = math.exp(-3 * gap)  # (1 - p)^2 (-log p)
        assert loss.forward(sign * z, target) == pytest.approx(a * small, rel=1e-5, abs=1e-45)
        slope = -sign * 3 * a * small
        assert loss.backward().item() == pytest.approx(slope, rel=1e-5, abs=2.0**-100)
        sign = -1
    with pytest.raises(NonFiniteError):
        FocalLoss(alpha=0.0).forward(-np.inf * z, np.ones((1, 1), dtype))


def test_with_gamma_0_it_is_half_the_cross_entropy() -> None:
    loss, plain = FocalLoss(0.5, 0), BCEWithLogitsLoss()
    assert loss.forward(Z, YES) == pytest.approx(plain.forward(Z, YES) / 2, rel=1e-15)
    np.testing.assert_allclose(loss.backward(), plain.backward() / 2, rtol=1e-14)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (0.3, r"0 or 1, got 0\.3 at index \(0, 0\)$"),
        (-1.0, r"got -1\.0 at index \(0, 0\); use \(target \+ 1\) / 2"),
        (math.nan, "got nan"),
    ],
)
def test_other_labels_are_refused(target: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FocalLoss().forward(np.zeros((1, 1)), np.array([[target]]))


def test_bad_arguments_are_refused() -> None:
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match="FocalLoss expects alpha to be between 0 and 1"):
            FocalLoss(bad)
    with pytest.raises(ValueError, match="FocalLoss expects gamma"):
        FocalLoss(gamma=-1)
