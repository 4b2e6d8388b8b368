"""Weights of any leading axes: of examples, of steps, of elements; 0 is padding."""

import copy
from typing import Any

import numpy as np
import pytest
from recorded import recorded

from minifw import (
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    CosineLoss,
    CrossEntropyLoss,
    FocalLoss,
    HingeLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    Loss,
    MeanLoss,
    MSELoss,
    NLLLoss,
    Objective,
    PoissonLoss,
    Sequential,
    Sigmoid,
    Softmax,
)

BATCH, TIME, CLASSES = 6, 5, 3
RNG = np.random.default_rng(0)
Z = RNG.standard_normal((BATCH, TIME, CLASSES))
P = np.exp(Z) / np.exp(Z).sum(axis=-1, keepdims=True)
YES = RNG.integers(0, 2, Z.shape).astype(float)
LABELS = RNG.integers(0, CLASSES, (BATCH, TIME))
STEPS = np.arange(TIME) < np.array([[5], [3], [0], [5], [1], [4]])  # a row that is padding whole
SCALE = [1.0, 0.25, 3.0]

CASES: dict[str, tuple[Loss, Any, Any]] = {
    repr(loss): (loss, prediction, target)
    for losses, prediction, target in (
        ((MSELoss(), L1Loss(), HuberLoss(0.5), MeanLoss(), BCEWithLogitsLoss()), Z, YES),
        ((BCEWithLogitsLoss(2.0),), Z, YES),
        ((BCELoss(),), P, YES),
        ((HingeLoss(),), Z, 2 * YES - 1),
        ((FocalLoss(),), Z, YES),
        ((PoissonLoss(full=True),), Z, 3 * YES),
        ((PoissonLoss(log_input=False),), P, 3 * YES),
        ((CosineLoss(),), Z, Z[::-1].copy()),
        ((KLDivLoss(),), np.log(P), P[::-1].copy()),
        ((KLDivLoss(log_target=True),), np.log(P), np.log(P[::-1])),
        ((CrossEntropyLoss(), CrossEntropyLoss(SCALE), CrossEntropyLoss(SCALE, 0.1)), Z, LABELS),
        ((CrossEntropyLoss(label_smoothing=0.2),), Z, P),
        ((NLLLoss(), NLLLoss(SCALE)), np.log(P), LABELS),
        ((CategoricalCrossEntropyLoss(), CategoricalCrossEntropyLoss(SCALE)), P, LABELS),
    )
    for loss in losses
}
NO_PEER = {  # in PyTorch, or that is not weighted alike
    "MeanLoss()",
    "BCEWithLogitsLoss(2.0)",
    "HingeLoss()",
    "FocalLoss()",
    "CrossEntropyLoss(label_smoothing=0.2)",
}
each_loss = pytest.mark.parametrize("name", CASES)


def weighted(axes: int, seed: int = 1) -> Any:
    """Return weights of the first axes, some of them 0."""
    weight = np.random.default_rng(seed).uniform(0.5, 2, Z.shape[:axes])
    weight[2] = 0
    return weight * STEPS if axes == 2 else weight


@each_loss
def test_what_counts_is_all_there_is(name: str) -> None:
    """Equal weights and 0 give the loss of the selected rows, and no trace of the others."""
    loss, prediction, target = CASES[name]
    value = loss(prediction, target, STEPS.astype(float))
    gradient = loss.backward()
    plain = copy.deepcopy(loss)
    assert value == pytest.approx(plain(prediction[STEPS], target[STEPS]), rel=1e-13)
    np.testing.assert_allclose(gradient[STEPS], plain.backward(), rtol=1e-12)
    assert not gradient[~STEPS].any()
    of_rows, rows = weighted(1), np.repeat(weighted(1)[:, np.newaxis], TIME, axis=1)
    assert loss(prediction, target, rows) == pytest.approx(
        loss(prediction, target, of_rows), rel=1e-13
    )


@each_loss
@pytest.mark.parametrize("axes", [2, 3])  # of rows, the kit asks
def test_gradients_against_central_differences(name: str, axes: int) -> None:
    loss, prediction, target = CASES[name]
    weight = weighted(axes)
    if axes == 3 and loss._case_axes:
        with pytest.raises(ValueError, match=r"axes of \(6, 5\), got \(6, 5, 3\)"):
            loss(prediction, target, weight)
        return
    loss(prediction, target, weight)
    gradient: Any = loss.backward()
    h = 1e-6
    for index in [(0, 0, 0), (0, 4, 2), (1, 2, 1), (1, 3, 1), (2, 0, 0), (5, 3, 2)]:
        step = np.zeros_like(prediction)
        step[index] = h
        up, down = (loss(p, target, weight) for p in (prediction + step, prediction - step))
        assert gradient[index] == pytest.approx((up - down) / (2 * h), rel=1e-5, abs=1e-8)


def pytorch(torch: Any, name: str, target: Any) -> Any:
    """Return PyTorch's losses of single cases."""
    functional = torch.nn.functional
    z, p, t = (torch.tensor(array) for array in (Z, P, target))
    by_element = {
        "MSELoss()": lambda: functional.mse_loss(z, t, reduction="none"),
        "L1Loss()": lambda: functional.l1_loss(z, t, reduction="none"),
        "HuberLoss(0.5)": lambda: functional.huber_loss(z, t, reduction="none", delta=0.5),
        "BCELoss()": lambda: functional.binary_cross_entropy(p, t, reduction="none"),
        "BCEWithLogitsLoss()": lambda: functional.binary_cross_entropy_with_logits(
            z, t, reduction="none"
        ),
        "PoissonLoss(full=True)": lambda: functional.poisson_nll_loss(
            z, t, full=True, reduction="none"
        ),
        "PoissonLoss(log_input=False)": lambda: functional.poisson_nll_loss(
            p, t, log_input=False, reduction="none"
        ),
        "KLDivLoss()": lambda: 3 * functional.kl_div(p.log(), t, reduction="none"),
        "KLDivLoss(log_target=True)": lambda: (
            3 * functional.kl_div(p.log(), t, reduction="none", log_target=True)
        ),
        "CosineLoss()": lambda: 1 - functional.cosine_similarity(z, t, dim=-1)[..., None],
    }
    if name in by_element:
        return by_element[name]().mean(-1)
    return functional.cross_entropy(
        z.swapaxes(1, 2),
        t,
        torch.tensor(SCALE if "[1.0" in name else [1.0] * CLASSES, dtype=z.dtype),
        reduction="none",
        label_smoothing=0.1 if "0.1" in name else 0.0,
    )


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("name", sorted(CASES.keys() - NO_PEER))
def test_against_pytorch_without_its_mean(name: str, axes: int) -> None:
    loss, prediction, target = CASES[name]
    weight = weighted(axes)
    (costs,) = recorded(
        f"losses/{name}", (Z, P, target, SCALE), lambda torch: [pytorch(torch, name, target)]
    )
    counts = np.array(SCALE)[target] if "[1.0" in name else 1.0
    w = weight.reshape(*weight.shape, *(1,) * (2 - axes)) * np.ones((BATCH, TIME))
    expected = (w * costs).sum() / (w * counts).sum()
    assert loss(prediction, target, weight) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("axes", [1, 2])
@each_loss
def test_batches_count_by_their_total_weight(name: str, axes: int) -> None:
    loss, prediction, target = CASES[name]
    weight, total, count = weighted(axes), 0.0, 0.0
    for rows in (slice(0, 2), slice(2, 3), slice(3, 6)):
        one = loss.total_weight(target[rows], weight[rows])
        if one:
            total += one * loss(prediction[rows], target[rows], weight[rows])
            count += one
    assert total / count == pytest.approx(loss(prediction, target, weight), rel=1e-12)


@pytest.mark.parametrize(
    ("activation", "loss", "target"),
    [(Sigmoid, BCELoss, YES), (Softmax, CategoricalCrossEntropyLoss, LABELS)],
)
def test_a_joint_form_takes_them_as_well(activation: Any, loss: Any, target: Any) -> None:
    model = Sequential(activation())
    apart, weight = loss(), weighted(2)
    value = Objective(model, loss()).forward(Z, target, weight)
    assert value == pytest.approx(apart(activation().forward(Z), target, weight), rel=1e-12)
    # Saturated where it does not count: no warning.
    z = np.where(STEPS[..., np.newaxis], Z, [1e4, -1e4, 0])
    assert loss()(activation().forward(z), target, weight) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones((TIME, BATCH)), r"of shape \(6,\), or for more leading axes of \(6, 5, 3\), got"),
        (np.ones((BATCH, 1)), r"got \(6, 1\); use sample_weight\.ravel\(\)"),
        (np.where(STEPS, 1.0, -1.0), r"got -1.0 at index \(1, 3\)"),
        (np.zeros((BATCH, TIME)), "a sample_weight above 0"),
    ],
)  # fmt: skip
def test_what_is_refused(weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MSELoss()(Z, YES, weight)


def test_a_label_outside_the_classes_says_so() -> None:
    labels = LABELS.copy()
    labels[1, 3] = -100  # PyTorch's ignore_index
    with pytest.raises(
        ValueError,
        match=r"every label to be from 0 to 2, got -100 at index \(1, 3\); what is padding has "
        "any class, and the sample_weight 0",
    ):
        CrossEntropyLoss()(Z, labels)
    labels[1, 3] = 3
    with pytest.raises(ValueError, match=r"from 0 to 2, got 3 at index \(1, 3\)$"):
        CrossEntropyLoss()(Z, labels)


def test_a_total_of_wrong_weights_leaves_the_error_to_forward() -> None:
    loss, wrong = CrossEntropyLoss(SCALE), np.ones((TIME, BATCH))
    assert loss.total_weight(LABELS, wrong) == wrong.size
    with pytest.raises(ValueError, match=r"more leading axes of \(6, 5\), got \(5, 6\)"):
        loss(Z, LABELS, wrong)
