"""SumLoss and MeanLoss: several outputs, each with its own loss."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
from recorded import recorded

from minifw import (
    Array,
    BCELoss,
    CrossEntropyLoss,
    L1Loss,
    Loss,
    MeanLoss,
    MSELoss,
    NonFiniteError,
    Sigmoid,
    SumLoss,
)

RNG = np.random.default_rng(0)
SIZE, KIND, STATE, KL = (RNG.standard_normal((6, n)) for n in (1, 3, 4, 1))
TARGET = RNG.standard_normal((6, 1)), RNG.integers(0, 3, 6)
WEIGHT = np.array([1.0, 0.5, 0.0, 2.0, 1.0, 0.25])
SCALE = [1.0, 0.25, 3.0]


def both(**options: Any) -> SumLoss:
    return SumLoss(MSELoss(), CrossEntropyLoss(SCALE), **options)


def test_the_sum_and_its_derivatives_against_pytorch() -> None:
    loss = SumLoss(MSELoss(), CrossEntropyLoss(SCALE), None, MeanLoss(), weights=(1, 0.5, 7, -2))
    outputs = SIZE, KIND, STATE, KL
    value = loss.forward(outputs, TARGET)

    def compute(torch: Any) -> Any:
        size, kind, _, kl = tensors = [torch.tensor(p, requires_grad=True) for p in outputs]
        parts = [
            torch.nn.functional.mse_loss(size, torch.tensor(TARGET[0])),
            torch.nn.functional.cross_entropy(
                kind, torch.tensor(TARGET[1]), torch.tensor(SCALE, dtype=size.dtype)
            ),
            kl.mean(),
        ]
        total = parts[0] + 0.5 * parts[1] - 2 * parts[2]
        total.backward()
        grads = (torch.zeros_like(t) if t.grad is None else t.grad for t in tensors)
        return [torch.stack([total, *parts]), *grads]

    values, *gradients = recorded("losses/sum", (outputs, TARGET, SCALE), compute)
    assert [value, *loss.parts] == pytest.approx(values, rel=1e-14)
    for dy, expected in zip(loss.backward(), gradients, strict=True):
        np.testing.assert_allclose(dy, expected, rtol=1e-13, atol=1e-17)
    full = (*TARGET, None, None)
    assert loss.forward(outputs, full) == value == loss.forward(outputs, (*TARGET, STATE, KL))


@pytest.mark.parametrize(
    "weight", [WEIGHT, (None, WEIGHT), (WEIGHT, None), (WEIGHT, WEIGHT[::-1])]
)
def test_sample_weights_are_everybodys_or_each_has_its_own(weight: Any) -> None:
    loss = both(weights=[2, 3])
    value = loss((SIZE, KIND), TARGET, weight)
    of_each = weight if isinstance(weight, tuple) else (weight, weight)
    size, kind = MSELoss(), CrossEntropyLoss(SCALE)
    parts = size(SIZE, TARGET[0], of_each[0]), kind(KIND, TARGET[1], of_each[1])
    assert loss.parts == parts
    assert value == 2 * parts[0] + 3 * parts[1]
    for dy, expected in zip(
        loss.backward(), (2 * size.backward(), 3 * kind.backward()), strict=True
    ):
        np.testing.assert_array_equal(dy, expected)
    # The mean over batches, of each part by what it is divided by.
    sums, counts = np.zeros(2), np.zeros(2)
    for rows in (slice(0, 2), slice(2, 3), slice(3, 6)):
        cut = [t[rows] for t in TARGET]
        w = weight[rows] if not isinstance(weight, tuple) else None
        w = w if w is not None else tuple(x if x is None else x[rows] for x in weight)
        if not loss.total_weight(tuple(cut), w):
            continue
        loss((SIZE[rows], KIND[rows]), tuple(cut), w)
        new = loss.total_weights(SIZE[rows], tuple(cut), w)
        sums += np.multiply(loss.parts, new)
        counts += new
    assert loss.combined(sums / counts) == pytest.approx(value, rel=1e-13)
    assert sums / counts == pytest.approx(parts, rel=1e-13)


def test_a_part_of_which_nothing_counts_is_left_out() -> None:
    none = np.zeros(6)
    loss = both()
    value = loss((SIZE, KIND), TARGET, (None, none))
    assert loss.parts == (value, 0.0)
    assert value == MSELoss()(SIZE, TARGET[0])
    assert not loss.backward()[1].any()
    assert loss.total_weight(TARGET, (none, none)) == 0
    with pytest.raises(ValueError, match="a sample_weight above 0") as caught:
        loss((SIZE, KIND), TARGET, (none, none))
    assert caught.value.__notes__ == [f"in the loss of output 0 of {loss!r}"]
    with pytest.raises(ValueError, match="every sample_weight to be finite and at least 0"):
        loss((SIZE, KIND), TARGET, (None, np.array([1.0, -1, 0, 0, 0, 0])))


def test_one_loss_may_be_that_of_two_outputs() -> None:
    one = MSELoss()
    loss = SumLoss(one, one)
    loss((SIZE, KIND), (TARGET[0], 2 * KIND))
    one(STATE, STATE)  # and elsewhere
    np.testing.assert_allclose(loss.backward()[0], (SIZE - TARGET[0]) / 3, rtol=1e-14)
    np.testing.assert_allclose(loss.backward()[1], -KIND / 9, rtol=1e-14)


def test_joint_forms_read_the_weights_and_set_the_parts() -> None:
    loss = SumLoss(BCELoss(), MSELoss())
    yes, z = (KL > 0) * 1.0, 50 * SIZE
    joint = loss._with_heads([BCELoss().joined_with(Sigmoid()), loss.losses[1]])
    loss.weights = (0.5, 2.0)
    value = joint.forward((z, SIZE), (yes, TARGET[0]))
    assert joint.weights == loss.weights
    assert joint.parts == loss.parts
    assert value == 0.5 * loss.parts[0] + 2 * loss.parts[1]

    def compute(torch: Any) -> Any:
        pair = torch.tensor(z), torch.tensor(yes)
        return [torch.nn.functional.binary_cross_entropy_with_logits(*pair)]

    (exact,) = recorded("losses/joint", (z, yes), compute)
    assert loss.parts[0] == pytest.approx(exact, rel=1e-14)
    assert repr(loss) == "SumLoss(BCELoss(), MSELoss(), weights=(0.5, 2.0))"
    twin, _ = copy.deepcopy((joint, loss))
    assert twin.weights == (0.5, 2.0)
    loss.weights = None
    assert (joint.weights, twin.weights) == (None, (0.5, 2.0))


def test_copies_and_the_order_of_calls() -> None:
    loss = both(weights=(1, 2))
    loss((SIZE, KIND), TARGET)
    for twin in (copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), both()):
        with pytest.raises(RuntimeError, match="parts needs a forward before it"):
            _ = twin.parts
        with pytest.raises(RuntimeError, match="backward needs a forward before it"):
            twin.backward()
    assert math.isfinite(sum(loss.parts))


class Unweighted(Loss):
    def forward(self, prediction: Array, target: Any) -> float:
        del target
        self.save(prediction)
        return math.nan if prediction[0, 0] > 1e3 else 0.0

    def backward(self) -> Array:
        return self.saved()[0]


TWO = r"SumLoss\(MSELoss\(\), MSELoss\(\)\) expects "


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: SumLoss(), "SumLoss expects at least one loss, got none"),
        (lambda _: SumLoss(None, None), "at least one loss"),
        (
            lambda _: SumLoss(MSELoss(), weights=[1, 2]),
            "the weights for each of its 1 losses, got 2",
        ),
        (lambda _: SumLoss(MSELoss(), weights=[math.inf]), "weights to be finite, got inf"),
        (lambda s: setattr(s, "weights", [1]), "the weights for each of its 2 losses, got 1"),
        (lambda s: s(SIZE, TARGET), TWO + "a prediction of 2 outputs, got one array"),
        (lambda s: s((SIZE,) * 3, TARGET), TWO + "a prediction of 2 outputs, got a tuple of 3"),
        (
            lambda s: s((SIZE, SIZE), SIZE),
            TWO + "a target of 2 outputs, got one array",
        ),
        (
            lambda s: s((SIZE, SIZE), (SIZE,)),
            "a target of 2 outputs, got a tuple of 1",
        ),
        (
            lambda _: SumLoss(MSELoss(), None)((SIZE, SIZE), ()),
            "a target of 1 to 2 outputs, got a tuple of 0",
        ),
        (
            lambda _: SumLoss(None, MSELoss())((SIZE, SIZE), (SIZE,)),
            "a target of 2 outputs, got a tuple of 1",
        ),
        (
            lambda s: s((SIZE, SIZE), (SIZE, SIZE), (WEIGHT,)),
            "a sample_weight of 2 outputs, got a tuple of 1",
        ),
    ],
)
def test_what_is_refused(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(SumLoss(MSELoss(), MSELoss()))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SumLoss([MSELoss()]), "one loss, or None, for each output, got a list"),  # type: ignore[arg-type]
        (lambda: SumLoss(MSELoss), "got the class MSELoss; write MSELoss()"),  # type: ignore[arg-type]
        (lambda: SumLoss(both()), r"for each output, got SumLoss\(MSELoss"),
        (lambda: both(weights=2.0), "weights to be one number for each loss, got 2.0"),
        (lambda: SumLoss(Unweighted())((SIZE,), (SIZE,), WEIGHT), "takes no sample_weight"),
        (
            lambda: SumLoss(MSELoss())((SIZE,), (None,)),
            "target of output 0 to be an array, got a NoneType",
        ),
    ],
)
def test_what_is_no_loss_is_refused(call: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        call()


def test_a_part_that_is_not_finite_is_named() -> None:
    loss = SumLoss(L1Loss(), L1Loss(), Unweighted())
    message = r"of output 1, L1Loss\(\): the loss is inf$"
    with pytest.raises(NonFiniteError, match=message):
        loss((SIZE, SIZE + np.inf, SIZE), (SIZE, SIZE, SIZE))
    with pytest.raises(NonFiniteError, match=r"of output 2, Unweighted\(\): the loss is nan$"):
        loss((SIZE, SIZE, SIZE + 1e4), (SIZE, SIZE, SIZE))


def test_the_prediction_is_the_loss() -> None:
    loss = MeanLoss()
    assert loss.forward(KIND) == loss.forward(KIND, None) == loss(KIND, None)
    assert loss(KIND, None) == pytest.approx(KIND.mean(), rel=1e-14)
    np.testing.assert_array_equal(loss.backward(), np.full((6, 3), 1 / 18))
    assert loss(KIND, None, WEIGHT) == pytest.approx(
        np.average(KIND.mean(axis=1), weights=WEIGHT), rel=1e-14
    )
    np.testing.assert_allclose(
        loss.backward(), np.repeat(WEIGHT[:, np.newaxis], 3, axis=1) / 3 / WEIGHT.sum(), rtol=1e-14
    )
    assert SumLoss(loss).forward((KIND,)) == loss.forward(KIND)
    assert SumLoss(loss).total_weights(KIND, ()) == (6.0,)
    with pytest.raises(NonFiniteError, match=r"MeanLoss\(\): the loss is nan"):
        loss.forward(KIND * np.nan)
