"""The losses of a choice among classes, against loops and decimal arithmetic."""

import copy
import math
import pickle
import warnings
from decimal import Decimal, localcontext
from typing import Any

import numpy as np
import pytest

from minifw import (
    Array,
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    CrossEntropyLoss,
    Dense,
    LogSoftmax,
    Loss,
    NLLLoss,
    NonFiniteError,
    Objective,
    SaturationWarning,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
)

DIGITS = 60


def through_pickle(objective: Any) -> Any:
    return pickle.loads(pickle.dumps(objective))


FORMS = [CrossEntropyLoss, NLLLoss, CategoricalCrossEntropyLoss]
each_form = pytest.mark.parametrize("make", FORMS)
each_dtype = pytest.mark.parametrize("dtype", [np.float64, np.float32])
WEIGHT = [0.5, 2.0, 1.25, 0.0]


def softmax_rows(z: Array) -> list[list[float]]:
    """Return the softmax of every row, in decimal digits."""
    rows = []
    with localcontext(prec=DIGITS):
        for row in z.tolist():
            e = [Decimal(v).exp() for v in row]
            rows.append([float(v / sum(e)) for v in e])
    return rows


def prediction_of(make: Any, z: Array) -> Array:
    """Return what a model that has the logits z hands to this loss."""
    if make is CrossEntropyLoss:
        return z
    p = np.array(softmax_rows(z)).reshape(z.shape)
    return np.log(p) if make is NLLLoss else p


def batch(rows: int = 7, classes: int = 4, seed: int = 0) -> tuple[Array, Any]:
    rng = np.random.default_rng(seed)
    return 2 * rng.standard_normal((rows, classes)), rng.integers(0, classes - 1, rows)


def soft_batch(rows: int = 7, classes: int = 4) -> tuple[Array, Array]:
    z, _ = batch(rows, classes)
    q = np.random.default_rng(1).uniform(size=(rows, classes))
    q[0] = np.eye(classes)[1]
    return z, q / q.sum(axis=1, keepdims=True)


def by_pytorchs_formula(
    z: Array,
    target: Any,
    weight: list[float] | None = None,
    smoothing: float = 0.0,
    examples: list[float] | None = None,
) -> float:
    """Return the cross-entropy as the documentation of PyTorch writes it, example by example."""
    rows, classes = z.shape
    w = weight or [1.0] * classes
    s = examples or [1.0] * rows
    above = below = 0.0
    for n, p in enumerate(softmax_rows(z)):
        logs = [math.log(v) for v in p]
        if target.ndim == 1:
            y = int(target[n])
            smooth = math.fsum(w[c] * logs[c] for c in range(classes)) / classes
            above -= s[n] * ((1 - smoothing) * w[y] * logs[y] + smoothing * smooth)
            below += s[n] * w[y]
        else:
            for c in range(classes):
                mixed = (1 - smoothing) * float(target[n, c]) + smoothing / classes
                above -= s[n] * w[c] * mixed * logs[c]
            below += s[n]
    return above / below


def slopes(loss: Loss, prediction: Array, *rest: Any) -> Array:
    """Return the derivative by central differences of the fourth order."""
    found = np.empty_like(prediction)
    for index in np.ndindex(prediction.shape):
        step = 1e-3 * min(1.0, abs(float(prediction[index])))
        values = []
        for k in (-2, -1, 1, 2):
            moved = prediction.copy()
            moved[index] += k * step
            values.append(loss(moved, *rest))
        found[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    return found


# -- values and gradients ---------------------------------------------------------------


@each_form
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("examples", [None, [1.0, 2.0, 0.0, 0.5, 1.0, 3.0, 1.5]])
def test_labels_cost_what_the_formula_says(make: Any, weight: Any, examples: Any) -> None:
    z, labels = batch()
    sample_weight = None if examples is None else np.array(examples)
    loss = make(weight)
    value = loss.forward(prediction_of(make, z), labels, sample_weight)
    assert value == pytest.approx(by_pytorchs_formula(z, labels, weight, 0, examples), abs=1e-13)
    expected = slopes(make(weight), prediction_of(make, z), labels, sample_weight)
    np.testing.assert_allclose(loss.backward(), expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("make", [CrossEntropyLoss, CategoricalCrossEntropyLoss])
@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("examples", [None, [1.0, 2.0, 0.0, 0.5, 1.0, 3.0, 1.5]])
def test_smoothing_weights_and_probabilities_are_pytorchs(
    make: Any, weight: Any, smoothing: float, soft: bool, examples: Any
) -> None:
    z, target = soft_batch() if soft else batch()
    sample_weight = None if examples is None else np.array(examples)
    loss = make(weight=weight, label_smoothing=smoothing)
    value = loss.forward(prediction_of(make, z), target, sample_weight)
    truth = by_pytorchs_formula(z, target, weight, smoothing, examples)
    assert value == pytest.approx(truth, abs=1e-13)
    expected = slopes(make(weight, smoothing), prediction_of(make, z), target, sample_weight)
    np.testing.assert_allclose(loss.backward(), expected, rtol=1e-8, atol=1e-10)


def test_the_gradient_of_logits_is_p_minus_q() -> None:
    z, q = soft_batch()
    loss = CrossEntropyLoss()
    loss.forward(z, q)
    expected = (np.array(softmax_rows(z)) - q) / len(z)
    np.testing.assert_allclose(loss.backward(), expected, rtol=0, atol=1e-15)


@pytest.mark.parametrize("make", [CrossEntropyLoss, CategoricalCrossEntropyLoss])
def test_a_label_is_its_one_hot_row(make: Any) -> None:
    z, labels = batch()
    one, other = make(label_smoothing=0.1), make(label_smoothing=0.1)
    prediction = prediction_of(make, z)
    expected = one.forward(prediction, np.eye(4)[labels])
    assert other.forward(prediction, labels) == pytest.approx(expected, rel=1e-15)
    np.testing.assert_allclose(one.backward(), other.backward(), rtol=1e-14, atol=1e-17)


def test_two_classes_are_a_sigmoid() -> None:
    z = np.random.default_rng(0).standard_normal((9, 1)) * 5
    labels = np.arange(9) % 2
    binary, two = BCEWithLogitsLoss(), CrossEntropyLoss()
    cost = binary.forward(z, labels[:, np.newaxis].astype(float))
    assert two.forward(np.hstack([np.zeros_like(z), z]), labels) == pytest.approx(cost, rel=1e-14)
    gradient = two.backward()
    np.testing.assert_allclose(gradient[:, 1:], binary.backward(), rtol=1e-13)
    np.testing.assert_allclose(gradient[:, :1], -binary.backward(), rtol=1e-13)


def test_equal_logits_cost_the_logarithm_of_the_classes() -> None:
    for classes in (2, 3, 10, 1000):
        loss = CrossEntropyLoss(label_smoothing=0.3)
        value = loss.forward(np.full((3, classes), 7.0), np.array([0, 1, 1]))
        assert value == pytest.approx(math.log(classes), rel=1e-14)


def test_a_constant_added_to_the_logits_changes_nothing() -> None:
    z, labels = batch()
    one, other = CrossEntropyLoss(), CrossEntropyLoss()
    assert one.forward(z, labels) == pytest.approx(other.forward(z + 64, labels), rel=1e-13)
    np.testing.assert_allclose(one.backward().sum(axis=1), 0, atol=1e-16)


@each_form
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_classes_stand_on_the_last_axis_of_sequences(make: Any, weight: Any) -> None:
    z, labels = batch(12)
    prediction = prediction_of(make, z)
    flat, deep = make(weight), make(weight)
    weights = np.array([1.0, 3.0, 0.5])
    for w in (None, weights):
        each = None if w is None else np.repeat(w, 4)
        value = deep.forward(prediction.reshape(3, 2, 2, 4), labels.reshape(3, 2, 2), w)
        assert value == pytest.approx(flat.forward(prediction, labels, each), rel=1e-14)
        gradient = deep.backward()
        assert gradient.shape == (3, 2, 2, 4)
        np.testing.assert_allclose(gradient.reshape(12, 4), flat.backward(), rtol=1e-14)


# -- extremes ---------------------------------------------------------------------------


@each_dtype
@pytest.mark.parametrize("size", [40.0, 1e3, 1e4, 1e30, 3e38])
def test_a_wrong_label_costs_its_logits_distance(size: float, dtype: Any) -> None:
    loss = CrossEntropyLoss()
    z: Array = np.array([[0.0, size, -size]], dtype)
    far = float(z[0, 1])
    for label, cost in ((0, far), (2, 2 * far)):
        assert loss.forward(z, np.array([label])) == cost
        expected = np.eye(3)[1] - np.eye(3)[label]
        found = loss.backward()
        assert found.dtype == dtype
        np.testing.assert_allclose(found, [expected], rtol=1e-6, atol=1e-17)
    assert loss.forward(z, np.array([1])) == pytest.approx(math.exp(-far), rel=1e-6, abs=1e-44)
    found = loss.backward()
    np.testing.assert_allclose(found[0, 1], -math.exp(-far), rtol=1e-6, atol=1e-44)


@pytest.mark.parametrize("gap", [1e-8, 1.0, 20.0, 37.0, 40.0, 100.0, 700.0])
def test_a_right_label_keeps_its_digits(gap: float) -> None:
    loss = CrossEntropyLoss()
    with localcontext(prec=400):
        e = (-Decimal(gap)).exp()
        r = e + (-2 * Decimal(gap)).exp()
        cost, slope, other = (float(v) for v in ((1 + r).ln(), -r / (1 + r), e / (1 + r)))
    assert loss.forward(np.array([[gap, 0.0, -gap]]), np.array([0])) == pytest.approx(
        cost, rel=1e-15, abs=0
    )
    if other < 2.0**-500:  # too small to matter
        slope = other = 0.0
    np.testing.assert_allclose(loss.backward()[0, :2], [slope, other], rtol=1e-15)


@each_dtype
def test_soft_targets_at_the_extremes(dtype: Any) -> None:
    z: Array = np.array([[0.0, 1e30, -1e30]], dtype)
    far = float(z[0, 1])
    q: Array = np.array([[0.5, 0.25, 0.25]], dtype)
    loss = CrossEntropyLoss()
    assert loss.forward(z, q) == pytest.approx(0.5 * far + 0.25 * 2 * far, rel=1e-7)
    np.testing.assert_allclose(loss.backward(), [[-0.5, 0.75, -0.25]], rtol=1e-7)


def test_a_class_that_is_ruled_out_has_no_part() -> None:
    loss = CrossEntropyLoss()
    z = np.array([[1.0, -math.inf, 2.0]])
    assert loss.forward(z, np.array([0])) == pytest.approx(math.log(1 + math.e), rel=1e-15)
    gradient = loss.backward()
    assert gradient[0, 1] == 0
    assert np.isfinite(gradient).all()
    with pytest.raises(NonFiniteError, match="the loss is inf"):
        loss.forward(z, np.array([1]))


@pytest.mark.parametrize("make", [CrossEntropyLoss, NLLLoss, CategoricalCrossEntropyLoss])
@each_dtype
def test_a_row_or_class_that_counts_nothing_may_be_infinitely_wrong(make: Any, dtype: Any) -> None:
    z: Array = np.array([[0.0, -math.inf, -1.0], [-1.0, -2.0, -0.5]], dtype)
    if make is CategoricalCrossEntropyLoss:
        z = np.exp(z)
    alone = make().forward(z[1:], np.array([2]))
    weights: Array = np.array([0.0, 2.0], dtype)
    assert make().forward(z, np.array([1, 2]), weights) == pytest.approx(alone, rel=1e-6)
    assert make([1.0, 0.0, 1.0]).forward(z, np.array([1, 2])) == pytest.approx(alone, rel=1e-6)
    if make is not NLLLoss:
        loss = make()
        value = loss.forward(z, np.eye(3, dtype=dtype)[[0, 2]])
        assert value == pytest.approx(make().forward(z, np.array([0, 2])), rel=1e-6)
        assert np.isfinite(loss.backward()).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_logit_that_is_no_number_is_refused(bad: float) -> None:
    for column in range(3):
        z = np.zeros((2, 3))
        z[1, column] = bad
        for label in range(3):
            with pytest.raises(NonFiniteError, match="the loss is"):
                CrossEntropyLoss().forward(z, np.array([0, label]))


@each_dtype
@pytest.mark.parametrize("classes", [127, 1000, 4099])
@pytest.mark.parametrize("equal", [False, True])
def test_many_classes_in_any_order_of_memory(classes: int, dtype: Any, equal: bool) -> None:
    z = np.random.default_rng(0).standard_normal((5, classes)).astype(dtype)
    z = np.full_like(z, -0.7) + np.eye(5, classes, dtype=dtype) if equal else 4 * z
    labels = np.array([0, classes - 1, 3, 77, 60])
    below = z.astype(np.longdouble) - z.max(axis=1, keepdims=True)
    log_p = below - np.log(np.exp(below).sum(axis=1, keepdims=True))
    slope = (np.exp(log_p) - np.eye(classes)[labels]) / 5
    for logits in (z, np.asfortranarray(z), np.repeat(z, 2, axis=1)[:, ::2]):
        loss = CrossEntropyLoss()
        cost = float(-log_p[np.arange(5), labels].mean())
        assert loss.forward(logits, labels) == pytest.approx(
            cost, rel=4 * float(np.finfo(dtype).eps)
        )
        tolerance = 4e-6 if dtype is np.float32 else 1e-14
        np.testing.assert_allclose(loss.backward(), slope, rtol=tolerance, atol=0)


@each_dtype
def test_a_mean_of_many_equal_costs_is_that_cost(dtype: Any) -> None:
    z: Array = np.tile(np.array([[0.1, 0.7, -0.3]], dtype), (100_000, 1))
    alone = CrossEntropyLoss().forward(z[:1], np.array([2]))
    value = CrossEntropyLoss().forward(z, np.full(len(z), 2))
    assert value == pytest.approx(alone, rel=1e-6 if dtype is np.float32 else 1e-12)


@each_dtype
def test_a_probability_of_0_is_finite_and_warns(dtype: Any) -> None:
    tiny = float(np.finfo(dtype).tiny)
    loss = CategoricalCrossEntropyLoss()
    p: Array = np.array([[0.0, 1.0], [0.5, 0.5]], dtype)
    with pytest.warns(SaturationWarning, match="1 of 4 predictions") as caught:
        value = loss.forward(p, np.array([0, 1]))
    assert caught[0].filename == __file__
    assert value == pytest.approx((-math.log(tiny) + math.log(2)) / 2, rel=1e-6)
    assert np.isfinite(loss.backward()).all()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert loss.forward(p[:1], np.array([1])) == 0
    np.testing.assert_array_equal(loss.backward(), [[0, -1]])


# -- joins ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        (Softmax(), CategoricalCrossEntropyLoss(WEIGHT, 0.1)),
        (Softmax(), CategoricalCrossEntropyLoss()),
        (LogSoftmax(), NLLLoss(WEIGHT)),
        (LogSoftmax(), NLLLoss()),
    ],
)
def test_the_joint_form_is_the_two_apart(activation: Any, loss: Any) -> None:
    z, labels = batch()
    weights = np.linspace(0.5, 2, 7)
    model = Sequential(Dense(4, 4, rng=0), activation)
    objective = Objective(model, loss)
    value = objective.forward(z, labels, weights)
    objective.backward()
    joint = [p.grad.copy() for p in model.parameters()]
    assert value == pytest.approx(loss.forward(model.forward(z), labels, weights), rel=1e-13)
    model.backward(loss.backward())
    for found, p in zip(joint, model.parameters(), strict=True):
        np.testing.assert_allclose(found, p.grad, rtol=1e-11, atol=1e-15)
    np.testing.assert_array_equal(objective.prediction, model.forward(z))


@pytest.mark.parametrize(
    ("activation", "loss"),
    [(Softmax(), CategoricalCrossEntropyLoss()), (LogSoftmax(), NLLLoss())],
)
def test_the_joint_form_is_right_where_the_probability_rounds(activation: Any, loss: Any) -> None:
    model = Sequential(Dense(2, 2, rng=0), activation)
    model.parameters()[0].value = np.eye(2)
    objective = Objective(model, loss)
    assert objective.forward(np.array([[1000.0, 0.0]]), np.array([1])) == 1000
    objective.backward()
    np.testing.assert_array_equal(model.parameters()[1].grad, [1, -1])


@pytest.mark.parametrize("twin_of", [lambda o: o, copy.deepcopy, through_pickle])
@pytest.mark.parametrize(
    ("activation", "make", "name", "option"),
    [
        (Softmax, CategoricalCrossEntropyLoss, "label_smoothing", 0.5),
        (Softmax, CategoricalCrossEntropyLoss, "weight", WEIGHT),
        (LogSoftmax, NLLLoss, "weight", WEIGHT),
    ],
)
def test_a_joint_form_reads_the_options_of_its_loss_as_they_are(
    twin_of: Any, activation: Any, make: Any, name: str, option: Any
) -> None:
    z, labels = batch()
    loss = make()
    first = Objective(Sequential(Dense(4, 4, rng=0), activation()), loss)
    objective = twin_of(first)
    before = objective.forward(z, labels)
    setattr(objective.loss, name, option)
    after = objective.forward(z, labels)
    assert after != pytest.approx(before, rel=1e-6)
    p = objective.model.forward(z)
    assert after == pytest.approx(objective.loss.forward(p, labels), rel=1e-13)
    objective.forward(z, labels)
    objective.backward()
    if objective is not first:  # a copy has a loss of its own
        assert first.forward(z, labels) == pytest.approx(before, rel=1e-15)
    z[3, 1] = math.nan
    with pytest.raises(NonFiniteError, match="the input x holds 1 NaN"):
        objective.forward(z, labels)
    z[3], labels[3] = [1.7e308, -1.7e308, 0, 0], 1
    objective.model[0].weight.value = np.eye(4)
    with np.errstate(all="ignore"), pytest.raises(NonFiniteError, match="it arose in Cross"):
        objective.forward(z, labels)


def test_a_softmax_along_another_axis_is_not_joined() -> None:
    assert CategoricalCrossEntropyLoss().joined_with(Softmax(axis=1)) is None
    assert NLLLoss().joined_with(LogSoftmax(axis=1)) is None
    assert NLLLoss().joined_with(Softmax()) is None
    assert CrossEntropyLoss().joined_with(Softmax()) is None
    joint = CategoricalCrossEntropyLoss(WEIGHT, 0.1).joined_with(Softmax())
    assert isinstance(joint, CrossEntropyLoss)
    assert joint.label_smoothing == 0.1
    assert joint.weight is not None
    np.testing.assert_array_equal(joint.weight, WEIGHT)


@pytest.mark.parametrize("activation", [Softmax(), LogSoftmax()])
def test_a_softmax_too_many_is_warned_of(activation: Any) -> None:
    with pytest.warns(UserWarning, match=r"oftmax itself"):
        Objective(Sequential(Dense(2, 3), activation), CrossEntropyLoss())


# -- weights of the examples ------------------------------------------------------------


def whole_batches() -> dict[str, tuple[Loss, Array, Any]]:
    z, labels = batch()
    _, soft = soft_batch()
    yes_no = (soft > 0.25).astype(float)
    return {
        "CrossEntropyLoss": (CrossEntropyLoss(), z, labels),
        "CrossEntropyLoss, all": (CrossEntropyLoss(WEIGHT, 0.1), z, labels),
        "CrossEntropyLoss, soft": (CrossEntropyLoss(WEIGHT, 0.1), z, soft),
        "NLLLoss": (NLLLoss(WEIGHT), prediction_of(NLLLoss, z), labels),
        "Categorical": (CategoricalCrossEntropyLoss(), prediction_of(Softmax, z), soft),
        "BCELoss": (BCELoss(), 1 / (1 + np.exp(-z)), yes_no),
        "BCEWithLogitsLoss": (BCEWithLogitsLoss(), z, yes_no),
        "BCEWithLogitsLoss, pos_weight": (BCEWithLogitsLoss(WEIGHT), z, yes_no),
    }


each_batch = pytest.mark.parametrize("case", whole_batches().values(), ids=whole_batches())


@each_batch
def test_a_whole_weight_is_that_many_rows(case: tuple[Loss, Array, Any]) -> None:
    loss, prediction, target = case
    times = np.array([1, 3, 0, 2, 1, 1, 5])
    value = loss(prediction, target, times.astype(float))
    gradient = loss.backward()
    repeated = loss(np.repeat(prediction, times, axis=0), np.repeat(target, times, axis=0))
    assert value == pytest.approx(repeated, rel=1e-13)
    rows = np.repeat(np.arange(7), times)
    summed = np.zeros_like(prediction)
    np.add.at(summed, rows, loss.backward())
    np.testing.assert_allclose(gradient, summed, rtol=1e-12, atol=1e-17)


@each_batch
def test_equal_weights_of_any_size_are_no_weights(case: tuple[Loss, Array, Any]) -> None:
    loss, prediction, target = case
    plain = loss(prediction, target)
    gradient = loss.backward()
    for size in (5e-324, 1e-300, 1.0, 7.0, 1.7e308):
        assert loss(prediction, target, np.full(7, size)) == pytest.approx(plain, rel=1e-13)
        np.testing.assert_allclose(loss.backward(), gradient, rtol=1e-12)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("t", [0.0, 0.2, 1.0])
def test_pos_weight_is_pytorchs(t: float, weight: float) -> None:
    for z in (-1e4, -30.0, -1.0, -0.0, 0.0, 2.0, 30.0, 1e4):
        loss = BCEWithLogitsLoss(pos_weight=weight)
        value = loss.forward(np.array([[z]]), np.array([[t]]))
        with localcontext(prec=DIGITS):
            logit, target, a = Decimal(z), Decimal(t), Decimal(weight)
            above = max(logit, Decimal(0)) + (1 + (-abs(logit)).exp()).ln()  # log(1 + exp z)
            below = above - logit
            s = 1 / (1 + (-logit).exp())
            expected = float(a * target * below + (1 - target) * above)
            slope = float(-a * target * (1 - s) + (1 - target) * s)
        assert value == pytest.approx(expected, rel=1e-14, abs=1e-300)
        assert loss.backward().item() == pytest.approx(slope, rel=1e-14, abs=1e-15)


def test_pos_weight_of_1_is_none_and_each_column_has_its_own() -> None:
    z, soft = soft_batch()
    loss, plain = BCEWithLogitsLoss(1.0), BCEWithLogitsLoss()
    assert loss.forward(z, soft) == pytest.approx(plain.forward(z, soft), rel=1e-14)
    np.testing.assert_allclose(loss.backward(), plain.backward(), rtol=1e-12, atol=1e-17)
    both = BCEWithLogitsLoss(WEIGHT).forward(z, soft)
    alone = [
        BCEWithLogitsLoss(w).forward(z[:, [c]].copy(), soft[:, [c]].copy())
        for c, w in enumerate(WEIGHT)
    ]
    assert both == pytest.approx(math.fsum(alone) / 4, rel=1e-14)
    with pytest.raises(ValueError, match="pos_weight of shape"):
        BCEWithLogitsLoss([1.0, 2.0]).forward(z, soft)
    for bad, error in (([-1.0], ValueError), (math.nan, ValueError), ("a", TypeError)):
        with pytest.raises(error, match="pos_weight"):
            BCEWithLogitsLoss(bad)


BAD_WEIGHTS: list[Any] = [
    ([1.0] * 7, TypeError, r"use np\.asarray\(sample_weight, dtype=np\.float64\)"),
    (np.ones(7, np.float32), TypeError, "dtype of prediction, float64"),
    (np.ones(7, int), TypeError, "int64 array"),
    (np.ones(6), ValueError, r"of shape \(7,\), (or .*, )?got \(6,\)"),
    (np.ones((7, 1)), ValueError, r"use sample_weight\.ravel\(\)"),
    (np.array(1.0), ValueError, r"got \(\)"),
    (np.array([1, 1, -1.0, 1, 1, 1, 1]), ValueError, "got -1.0 at index 2"),
    (np.array([1, math.nan, 1, 1, 1, 1, 1]), ValueError, "got nan at index 1"),
    (np.array([1, 1, 1, 1, 1, 1, math.inf]), ValueError, "got inf at index 6"),
    (np.zeros(7), ValueError, "above 0, got 0 for every example"),
]


@each_batch
@pytest.mark.parametrize(("weights", "error", "message"), BAD_WEIGHTS)
def test_bad_weights_are_refused(case: Any, weights: Any, error: Any, message: str) -> None:
    loss, prediction, target = case
    loss(prediction, target)
    before = loss.backward()
    with pytest.raises(error, match=message):
        loss(prediction, target, weights)
    np.testing.assert_array_equal(loss.backward(), before)


class Unweighted(Loss):
    """An author's loss of two arguments."""

    def forward(self, prediction: Array, target: Array) -> float:
        self.check(prediction, target)
        self.save(prediction - target)
        return float(np.mean(self.saved()[0] ** 2))

    def backward(self) -> Array:
        (error,) = self.saved()
        return 2 * error / error.size


class KeywordOnly(Unweighted):
    """One of three."""

    def forward(
        self, prediction: Array, target: Array, *, sample_weight: Array | None = None
    ) -> float:
        self.save((prediction - target) * self.shares(prediction, sample_weight))
        return float(np.sum(self.saved()[0]))


def test_a_loss_without_weights_is_told_so() -> None:
    x, y, weights = np.ones((3, 2)), np.ones((3, 1)), np.array([1.0, 0.0, 2.0])
    objective = Objective(Dense(2, 1, rng=0), Unweighted())
    objective.forward(x, y)
    for call in (objective.forward, objective):
        with pytest.raises(TypeError, match=r"Unweighted\(\) takes no sample_weight; give"):
            call(x, y, weights)
    assert math.isfinite(Objective(Dense(2, 1, rng=0), KeywordOnly()).forward(x, y, weights))


def test_an_objective_passes_the_weights_on_also_to_a_joint_form() -> None:
    x = np.random.default_rng(0).standard_normal((5, 2))
    y = np.array([[0.0], [1.0], [1.0], [0.0], [1.0]])
    weights = np.array([1.0, 2.0, 0.0, 0.5, 1.0])
    model = Sequential(Dense(2, 3, rng=0), Tanh(), Dense(3, 1, rng=1), Sigmoid())
    objective = Objective(model, BCELoss())
    value = objective.forward(x, y, weights)
    objective.backward()
    found = [p.grad.copy() for p in model.parameters()]
    loss = BCELoss()
    assert value == pytest.approx(loss.forward(model.forward(x), y, weights), rel=1e-14)
    model.backward(loss.backward())
    for one, p in zip(found, model.parameters(), strict=True):
        np.testing.assert_allclose(one, p.grad, rtol=1e-12)
    with pytest.raises(NonFiniteError, match=r"the input x holds 1 NaN"):
        objective.forward(
            np.where(np.arange(5)[:, np.newaxis] == 3, [[math.nan, 0]], x), y, weights
        )


# -- what is refused --------------------------------------------------------------------


@each_form
@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (np.array([[0], [1]]), ValueError, r"use target\.ravel\(\)$"),
        (np.array([0]), ValueError, r"whole numbers of shape \(2,\)"),
        (np.array([0, 1, 2]), ValueError, r"array of shape \(3,\)"),
        (np.array([[1, 0, 0], [0, 1, 0]]), ValueError, r"use target\.argmax\(axis=-1\)"),
        (np.array([0.0, 1.0]), (TypeError, ValueError), r"use target\.astype\(np\.int64\)"),
        (np.array([True, False]), TypeError, "a bool array"),
        ([0, 1], TypeError, "got a list"),
        (np.array([0, 3]), ValueError, "from 0 to 2, got 3 at index 1"),
        (np.array([-1, 3]), ValueError, "from 0 to 2, got -1 at index 0"),
        (np.array([1, 3]), ValueError, "labels count from 0: target - 1"),
    ],
)
def test_bad_labels_are_refused(make: Any, target: Any, error: Any, message: str) -> None:
    loss = make()
    prediction = prediction_of(make, np.array([[0.0, 1.0, 2.0], [3.0, 1.0, 0.0]]))
    loss.forward(prediction, np.array([0, 1], np.uint8))
    before = loss.backward()
    with pytest.raises(error, match=message) as caught:
        loss.forward(prediction, target)
    assert str(caught.value).startswith(repr(make()))
    np.testing.assert_array_equal(loss.backward(), before)


def test_the_index_of_a_bad_label_in_a_sequence() -> None:
    with pytest.raises(ValueError, match=r"got 9 at index \(1, 0\)"):
        CrossEntropyLoss().forward(np.zeros((2, 2, 3)), np.array([[0, 1], [9, 2]]))


@pytest.mark.parametrize("make", [CrossEntropyLoss, CategoricalCrossEntropyLoss])
@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ([[0.5, 0.5, 0.5]], ValueError, "add up to 1, got 1.5; .* BCEWithLogitsLoss"),
        ([[0.0, 0.0, 0.0]], ValueError, "add up to 1, got 0"),
        ([[1.5, -0.5, 0.0]], ValueError, r"in \[0, 1\], got"),
        ([[math.nan, 0.5, 0.5]], ValueError, r"in \[0, 1\], got nan"),
        (np.array([[1, 0, 0]], np.float32), TypeError, "dtype of prediction"),
    ],
)
def test_bad_probabilities_are_refused(make: Any, target: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make().forward(np.full((1, 3), 1 / 3), np.asarray(target))


@each_form
@pytest.mark.parametrize(
    ("prediction", "error", "message"),
    [
        (np.zeros(3), ValueError, r"\(batch, classes\)"),
        (np.zeros((3, 1)), ValueError, "of one column, use BCEWithLogitsLoss"),
        (np.zeros((0, 2)), ValueError, "at least one example"),
        (np.zeros((3, 2), int), TypeError, "float64 or float32"),
        ([[0.0, 1.0]], TypeError, "NumPy array"),
    ],
)
def test_bad_predictions_are_refused(make: Any, prediction: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        make().forward(prediction, np.zeros(3, int))


def test_predictions_of_the_wrong_form_are_refused() -> None:
    p = np.array([[0.25, 0.75]])
    with pytest.raises(ValueError, match=r"at most 0, got 0\.75; end the model in LogSoftmax"):
        NLLLoss().forward(p, np.array([0]))
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"in \[0, 1\], got .* end the model in Softmax"):
            CategoricalCrossEntropyLoss().forward(np.array([[0.5, bad]]), np.array([0]))
    with pytest.raises(NonFiniteError, match="the loss is nan"):
        NLLLoss().forward(np.array([[-1.0, math.nan]]), np.array([0]))
    with pytest.raises(NonFiniteError, match="the loss is inf"):
        NLLLoss().forward(np.array([[-1.0, -math.inf]]), np.array([1]))
    assert NLLLoss().forward(np.array([[-1.0, -math.inf]]), np.array([0])) == 1
    assert NLLLoss().forward(np.array([[1e-7, -20.0]], np.float32), np.array([1])) == 20


@each_form
@pytest.mark.parametrize(
    ("weight", "error"),
    [
        ([1.0], ValueError),
        (1.0, ValueError),
        ([[1.0, 2.0]], ValueError),
        ([1.0, -1.0], ValueError),
        ([1.0, math.nan], ValueError),
        ([0.0, 0.0], ValueError),
        (["a", "b"], TypeError),
        ([None, {}], TypeError),
    ],
)
def test_bad_class_weights_are_refused(make: Any, weight: Any, error: Any) -> None:
    with pytest.raises(error, match=f"{make.__name__} expects .*weight"):
        make(weight)


@each_form
def test_class_weights_that_do_not_fit_the_batch_are_refused(make: Any) -> None:
    z, labels = batch()
    with pytest.raises(ValueError, match=r"expects 3 classes, .* \(7, 4\)"):
        make([1.0, 1.0, 1.0]).forward(prediction_of(make, z), labels)
    with pytest.raises(ValueError, match="the weight of every label in this batch is 0"):
        make(WEIGHT).forward(prediction_of(make, z), np.full(7, 3))


@each_form
def test_class_weights_are_copied_and_any_scale_of_them_is_the_same(make: Any) -> None:
    z, labels = batch()
    prediction = prediction_of(make, z)
    weight = np.array(WEIGHT)
    loss = make(weight)
    expected = loss.forward(prediction, labels)
    weight[...] = 1
    assert loss.forward(prediction, labels) == expected
    for scale in (1e-300, 1e300):
        scaled = make(scale * np.array(WEIGHT))
        assert scaled.forward(prediction, labels) == pytest.approx(expected, rel=1e-13)
        scaled.forward(prediction.astype(np.float32), labels)


@pytest.mark.parametrize("make", [CrossEntropyLoss, CategoricalCrossEntropyLoss])
@pytest.mark.parametrize("smoothing", [-0.1, 1.1, math.nan, "a", True])
def test_bad_smoothing_is_refused(make: Any, smoothing: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="expects label_smoothing"):
        make(label_smoothing=smoothing)
