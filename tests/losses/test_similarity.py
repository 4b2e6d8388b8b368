"""The losses of vectors against PyTorch, and in closed form where numbers are large or small."""

import math
from typing import Any

import numpy as np
import pytest
from recorded import recorded

from minifw import SGD, CosineLoss, Dense, Graph, NonFiniteError, Objective, Trainer, TripletLoss

RNG = np.random.default_rng(0)
A, P, N = RNG.standard_normal((3, 6, 4))
SIZES = {np.float64: (1e-300, 1e-200, 1.0, 1e200), np.float32: (1e-30, 1e30)}
each_size = pytest.mark.parametrize(
    ("size", "dtype"), [(size, dtype) for dtype, sizes in SIZES.items() for size in sizes]
)


def test_the_cosine_against_pytorch() -> None:
    def compute(torch: Any) -> Any:
        a, b = torch.tensor(A, requires_grad=True), torch.tensor(P)
        value = torch.nn.CosineEmbeddingLoss()(a, b, torch.ones(6))
        value.backward()
        return [value, a.grad]

    value, gradient = recorded("losses/CosineLoss gradient", (A, P), compute)
    loss = CosineLoss()
    assert loss.forward(A, P) == pytest.approx(value, rel=1e-10)
    np.testing.assert_allclose(loss.backward(), gradient, rtol=1e-10, atol=1e-14)


@each_size
def test_the_cosine_of_any_lengths(size: float, dtype: Any) -> None:
    loss = CosineLoss()
    p, t = np.array([[3 * size, 4 * size]], dtype), np.array([[0, size]], dtype)
    assert loss.forward(p, t) == pytest.approx(0.2, rel=1e-6)
    gradient = loss.backward()
    assert gradient.dtype == dtype
    expected = np.array([[0.48, -0.36]]) / (5 * size)  # (0.8 u - v) / |p|
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def test_a_small_angle_keeps_its_digits() -> None:
    loss = CosineLoss()
    value = loss.forward(np.array([[1.0, 1e-9]]), np.array([[1.0, 0.0]]))
    assert value == pytest.approx(5e-19, rel=1e-12, abs=0)
    np.testing.assert_allclose(loss.backward(), [[-1e-18, 1e-9]], rtol=1e-9, atol=1e-18)
    assert loss.forward(A, 2 * A) == pytest.approx(0, abs=1e-31)
    assert loss.forward(A, -A) == pytest.approx(2, rel=1e-15)


@pytest.mark.parametrize("tiny", [0.0, 5e-324, 1e-310])
def test_a_row_of_zeros_has_no_angle(tiny: float) -> None:
    loss = CosineLoss()
    p = np.array([[tiny, tiny], [1, 0], [0, tiny]])
    assert loss.forward(p, np.array([[1.0, 2], [0, 0], [0, 0]])) == 1
    np.testing.assert_array_equal(loss.backward(), np.zeros((3, 2)))


def test_the_triplet_against_pytorch() -> None:
    def compute(torch: Any) -> Any:
        three = [torch.tensor(array, requires_grad=True) for array in (A, P, N)]
        value = torch.nn.TripletMarginLoss(margin=0.7, eps=0.0)(*three)
        value.backward()
        return [value, *(one.grad for one in three)]

    value, *gradients = recorded("losses/TripletLoss", (A, P, N), compute)
    loss = TripletLoss(margin=0.7)
    assert loss.forward((A, P, N)) == pytest.approx(value, rel=1e-14)
    for found, expected in zip(loss.backward(), gradients, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-16)


@each_size
def test_the_triplet_of_any_distances(size: float, dtype: Any) -> None:
    a = np.zeros((1, 2), dtype)
    p, n = np.array([[3 * size, 4 * size]], dtype), np.array([[0, 2 * size]], dtype)
    loss = TripletLoss(margin=0)
    assert loss.forward((a, p, n)) == pytest.approx(3 * size, rel=1e-6)
    expected: Any = [[-0.6, 0.2]], [[0.6, 0.8]], [[0, -1]]
    for found, true in zip(loss.backward(), expected, strict=True):
        assert found.dtype == dtype
        np.testing.assert_allclose(found, true, rtol=1e-6)
    assert loss.forward((a, n, p)) == 0  # right by the margin
    assert not np.any(loss.backward())


def test_a_distance_of_0_is_finite() -> None:
    loss = TripletLoss()
    assert loss.forward((A, A, A)) == pytest.approx(1, rel=1e-15)
    assert not np.any(loss.backward())
    assert loss.forward((A, A, A + 0.1)) == pytest.approx(0.8, rel=1e-12)
    assert not np.any(loss.backward()[1])


def test_triplets_are_weighted_trained_and_refused() -> None:
    loss, weight = TripletLoss(), np.array([1.0, 0, 2, 0, 1, 0])
    value = loss((A, P, N), None, weight)
    rows = [0, 2, 2, 4]
    assert value == pytest.approx(loss((A[rows], P[rows], N[rows]), None), rel=1e-14)
    tower = Dense(4, 3, rng=0)
    lines: Any = {"u": (tower, "a"), "v": (tower, "p"), "w": (tower, "n")}
    model = Graph("a", "p", "n", outputs=("u", "v", "w"), **lines)
    trainer = Trainer(model, loss, SGD(model.parameters(), lr=0.1))
    before = Objective(model, loss).forward((A, P, N), None)
    trainer.fit((A, P, N), None, epochs=20)
    assert trainer.evaluate((A, P, N), None)["loss"] < before / 2
    with pytest.raises(ValueError, match="a tuple of three arrays: anchor, positive, negative"):
        loss((A, P), None)
    with pytest.raises(ValueError, match="in the shape of prediction"):
        loss((A, P, N[:, :1]), None)
    with pytest.raises(NonFiniteError):
        loss((A * math.inf, P, N), None)
