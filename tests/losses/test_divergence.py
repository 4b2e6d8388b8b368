"""KLDivLoss against PyTorch, and joined with LogSoftmax."""

import copy
import math
from typing import Any

import numpy as np
import pytest
from recorded import recorded

from minifw import CrossEntropyLoss, KLDivLoss, LogSoftmax, NLLLoss, Objective, Softmax

RNG = np.random.default_rng(0)
Z = RNG.standard_normal((4, 3))
LOG_P = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
Q = RNG.dirichlet(np.ones(3), 4)
Q[1] = [0.0, 1.0, 0.0]
LOG_Q = np.where(Q > 0, np.log(np.maximum(Q, 1e-300)), -30.0)
LOG_Q -= np.log(np.exp(LOG_Q).sum(axis=1, keepdims=True))


@pytest.mark.parametrize("log_target", [False, True])
def test_value_and_gradient_against_pytorch(log_target: bool) -> None:
    target = LOG_Q if log_target else Q

    def compute(torch: Any) -> Any:
        log_p = torch.tensor(LOG_P, requires_grad=True)
        loss = torch.nn.KLDivLoss(reduction="batchmean", log_target=log_target)
        value = loss(log_p, torch.tensor(target))
        value.backward()
        return [value, log_p.grad]

    value, gradient = recorded(f"losses/KLDivLoss {log_target}", (LOG_P, target), compute)
    loss = KLDivLoss(log_target=log_target)
    assert loss.forward(LOG_P, target) == pytest.approx(value, rel=1e-14)
    np.testing.assert_allclose(loss.backward(), gradient, rtol=1e-14)


def test_what_is_0_in_the_target_has_no_part() -> None:
    loss, labels = KLDivLoss(), np.array([0, 2])
    log_p = np.log(
        np.array([[0.25, 0.75, 0], [0.5, 0, 0.5]]),
        where=np.array([[1, 1, 0], [1, 0, 1]]) > 0,
        out=np.full((2, 3), -np.inf),
    )
    value = loss.forward(log_p, np.eye(3)[labels])
    assert value == NLLLoss().forward(log_p, labels)
    np.testing.assert_array_equal(loss.backward(), -np.eye(3)[labels] / 2)
    log_q = np.where(np.eye(3)[labels] > 0, 0, -np.inf)
    assert KLDivLoss(log_target=True).forward(log_p, log_q) == value
    assert loss.forward(LOG_P, np.exp(LOG_P)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_joined_with_log_softmax_it_is_exact(dtype: Any) -> None:
    objective = Objective(LogSoftmax(), KLDivLoss())
    value = objective.forward(np.array([[40, 0]], dtype), np.array([[1, 0]], dtype))
    assert value == pytest.approx(math.exp(-40), rel=1e-6, abs=0)
    gradient: Any = objective.input_gradient()
    np.testing.assert_allclose(gradient, [[-math.exp(-40), math.exp(-40)]], rtol=1e-6)
    assert objective.forward(np.array([[1e4, -1e4]], dtype), np.array([[0, 1]], dtype)) == 2e4


@pytest.mark.parametrize("weight", [None, np.array([1.0, 0.0, 2.0, 0.5])])
def test_joined_and_apart_are_the_same(weight: Any) -> None:
    objective, apart, layer = Objective(LogSoftmax(), KLDivLoss()), KLDivLoss(), LogSoftmax()
    for _ in range(4):  # the last by a recording
        value = objective.forward(Z, Q, weight)
    gradient = objective.input_gradient()
    assert value == pytest.approx(apart(layer.forward(Z), Q, weight), rel=1e-14)
    np.testing.assert_allclose(gradient, layer.backward(apart.backward()), atol=1e-16)
    cross_entropy = CrossEntropyLoss()
    cross_entropy(Z, Q, weight)
    np.testing.assert_array_equal(gradient, cross_entropy.backward())


def test_the_joint_form_can_be_recorded_and_takes_no_labels() -> None:
    joint = KLDivLoss().joined_with(LogSoftmax())
    assert joint is not None
    assert joint.replayable
    with pytest.raises(TypeError, match="int64"):
        joint(Z, np.array([0, 1, 2, 0]))
    assert copy.deepcopy(joint)(Z, Q) == joint(Z, Q)
    assert KLDivLoss(log_target=True).joined_with(LogSoftmax()) is None
    assert KLDivLoss().joined_with(LogSoftmax(axis=1)) is None
    assert KLDivLoss().joined_with(Softmax()) is None


def test_what_is_refused() -> None:
    loss = KLDivLoss()
    with pytest.raises(ValueError, match=r"log-probabilities, .* got 0\.5; end the model in Log"):
        loss(LOG_P * 0 + 0.5, Q)
    with pytest.raises(ValueError, match=r"an example to add up to 1, got 2"):
        loss(LOG_P, 2 * np.eye(4, 3) / 2 + np.eye(4, 3)[:, [1, 2, 0]])
    with pytest.raises(ValueError, match=r"in \[0, 1\], got 22026\.4"):
        KLDivLoss(log_target=True)(LOG_P, LOG_P * 0 + 10)
    with pytest.raises(ValueError, match=r"\(batch, features\), got \(3,\); .* prediction\[np"):
        loss(LOG_P[0], Q[0])
    with pytest.raises(TypeError, match="KLDivLoss expects log_target to be True or False"):
        KLDivLoss(log_target=1)  # type: ignore[arg-type]
