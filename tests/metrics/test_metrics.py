"""Metrics against scikit-learn's, whole and added up over batches of any sizes."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from minifw import (
    SGD,
    BCEWithLogitsLoss,
    CrossEntropyLoss,
    Dense,
    HingeLoss,
    MSELoss,
    Sequential,
    Trainer,
)
from minifw import metrics as minifw_metrics
from minifw.metrics import (
    Metric,
    accuracy,
    binary_accuracy,
    f1,
    mae,
    mse,
    precision,
    r2,
    recall,
    roc_auc,
)

MASKED = np.ma.array([1.0, 2.0], mask=np.array([False, True]))
ALL = [accuracy, binary_accuracy, f1, mae, mse, precision, r2, recall, roc_auc]


def truth(metric: Metric, score: Any, target: Any, weight: Any) -> float:
    """Return scikit-learn's value, for scores whose yes is above 1/2."""
    said, options = score > 0.5, {"sample_weight": weight}
    if metric is mse:
        return float(sk.mean_squared_error(target, score, **options))
    if metric is mae:
        return float(sk.mean_absolute_error(target, score, **options))
    if metric is r2:
        return float(sk.r2_score(target, score, **options))
    if metric is roc_auc:
        return float(sk.roc_auc_score(target, score, **options))
    if metric in (accuracy, binary_accuracy):
        return float(sk.accuracy_score(target, said, **options))
    function = {f1: sk.f1_score, precision: sk.precision_score, recall: sk.recall_score}[metric]
    return float(function(target, said, zero_division=0, **options))


@st.composite
def tables(draw: Any) -> tuple[Any, Any, Any, list[int]]:
    """Scores with ties, targets of both kinds, whole or other weights, and cuts into batches."""
    rows = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    target = (rng.random(rows) < draw(st.floats(0.1, 0.9))).astype(float)
    target[:2] = 0, 1
    steps = draw(st.integers(1, 19))
    score = rng.integers(0, steps + 1, rows) / steps
    weight = rng.integers(1, 4, rows).astype(float) if draw(st.booleans()) else rng.random(rows)
    cuts = draw(st.lists(st.integers(1, rows - 1), max_size=5))
    return score[:, np.newaxis], target[:, np.newaxis], weight, sorted(set(cuts))


@pytest.mark.slow
@given(tables(), st.booleans())
def test_every_metric_is_that_of_scikit_learn_in_any_batches(
    table: tuple[Any, Any, Any, list[int]], weighted: bool
) -> None:
    score, target, weight, cuts = table
    weight = weight if weighted else None
    bounds = [0, *cuts, len(score)]
    for metric in ALL:
        expected = pytest.approx(truth(metric, score, target, weight), rel=1e-9, abs=1e-12)
        assert metric(score, target, weight) == expected, metric
        sums = None
        for start, end in pairwise(bounds):
            part = slice(start, end)
            new = metric.checked(
                score[part], target[part], None if weight is None else weight[part]
            )
            sums = new if sums is None else metric.merge(sums, new)
        assert sums is not None
        assert metric.value(sums) == expected, (metric, bounds)


def test_the_catalogue_is_complete() -> None:
    assert {metric.name for metric in ALL} == set(minifw_metrics.__all__) - {"Metric"}
    assert [metric.name for metric in ALL if not metric.higher_is_better] == ["mae", "mse"]


def test_classes() -> None:
    rng = np.random.default_rng(0)
    score, label = rng.random((40, 5)), rng.integers(0, 5, 40)
    expected = sk.accuracy_score(label, score.argmax(axis=1))
    assert accuracy(score, label) == pytest.approx(expected)
    assert accuracy(score, np.eye(5)[label]) == pytest.approx(expected)
    steps = rng.random((8, 5, 3))  # a class for each step of a sequence
    labels = rng.integers(0, 3, (8, 5))
    expected = sk.accuracy_score(labels.ravel(), steps.reshape(-1, 3).argmax(axis=1))
    assert accuracy(steps, labels) == pytest.approx(expected)


def test_several_columns() -> None:
    rng = np.random.default_rng(0)
    prediction, target = rng.random((40, 3)), rng.random((40, 3))
    target[:, 1] = 2.0  # a constant one
    assert r2(prediction, target) == pytest.approx(sk.r2_score(target, prediction))
    assert mse(prediction, target) == pytest.approx(sk.mean_squared_error(target, prediction))
    assert mae(prediction, target) == pytest.approx(sk.mean_absolute_error(target, prediction))
    target[:, 2] = prediction[:, 2] = 3.0
    assert r2(prediction, target) == pytest.approx(sk.r2_score(target, prediction))
    yes = (rng.random((40, 3)) > 0.5).astype(float)
    said = prediction > 0.5
    assert binary_accuracy.at(0.5)(prediction, yes) == pytest.approx(np.mean(said == yes))
    assert f1.at(0.5)(prediction, yes) == pytest.approx(sk.f1_score(yes, said, average="micro"))


def test_r2_does_not_cancel_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    target = 1e8 + rng.standard_normal((1000, 1))
    prediction = target + 0.1 * rng.standard_normal((1000, 1))
    expected = sk.r2_score(target - 1e8, prediction - 1e8)
    assert r2(prediction, target) == pytest.approx(expected, rel=1e-6)


def test_what_has_no_answer() -> None:
    no = np.zeros((4, 1))
    assert precision(no, no) == recall(no, no) == f1(no, no) == 0.0
    assert math.isnan(roc_auc(no, no))


def test_thresholds() -> None:
    logits, target = np.array([[0.2], [-0.2]]), np.array([[1.0], [0.0]])
    assert accuracy.at(0.5)(logits, target) == 0.5
    assert accuracy.at(0.0)(logits, target) == 1.0
    assert repr(accuracy.at(0.0)) == "accuracy.at(0.0)"
    for loss, sign in ((BCEWithLogitsLoss(), 0.0), (HingeLoss(), -1.0)):
        model = Sequential(Dense(1, 1, rng=0))
        model.parameters()[0].value = [[1.0]]
        trainer = Trainer(
            model, loss, SGD(model.parameters(), lr=0.1), metrics=[accuracy, f1.at(0.3)]
        )
        yes = np.array([[1.0], [sign]])
        assert trainer.evaluate(logits, yes)["accuracy"] == 1.0
        assert trainer.evaluate(logits, yes)["f1"] == 0.0


def test_class_weights_and_smoothing_in_the_loss_of_unequal_batches() -> None:
    rng = np.random.default_rng(0)
    x, label = rng.standard_normal((50, 3)), rng.integers(0, 4, 50)
    model = Sequential(Dense(3, 4, rng=0))
    weight = rng.random(50)
    for loss in (
        CrossEntropyLoss(weight=[0.1, 1.0, 5.0, 0.0]),
        CrossEntropyLoss(weight=[0.1, 1.0, 5.0, 0.5], label_smoothing=0.1),
        CrossEntropyLoss(label_smoothing=0.1),
    ):
        trainer = Trainer(model, loss, SGD(model.parameters(), lr=1e-30))
        whole = loss.forward(model.predict(x), label)
        weighted = loss(model.predict(x), label, weight)
        for size in (1, 7, 16):
            assert trainer.evaluate(x, label, batch_size=size)["loss"] == pytest.approx(whole)
            found = trainer.evaluate(x, label, batch_size=size, sample_weight=weight)["loss"]
            assert found == pytest.approx(weighted)
            history = trainer.fit(x, label, epochs=1, batch_size=size, sample_weight=weight)
            assert history["loss"] == [pytest.approx(weighted)]


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([1, 2, 3], "got 3 at index 2; labels count from 0: target - 1"),
        (
            [0, 2, -100],
            "got -100 at index 2; what is padding has any class, and the sample_weight",
        ),
        ([0, 7, 1], "got 7 at index 1$"),
        ([0.0, 1.5, 1.0], r"got 1\.5 at index 1$"),
    ],
)
def test_the_accuracy_of_a_label_that_is_no_class(label: list[float], message: str) -> None:
    """It is no error of the model; a weight of 0 does not make it one, as in the losses."""
    scores, target, weight = np.eye(3), np.array(label), np.array([1.0, 0.0, 0.0])
    for call in (
        lambda: accuracy(scores, target),
        lambda: accuracy(scores, target, weight),
        lambda: accuracy.checked(scores, target, weight),
        lambda: accuracy.of(1)((scores, scores), (target, target)),
    ):
        with pytest.raises(ValueError, match=f"every label to be from 0 to 2, {message}"):
            call()
    if target.dtype.kind == "i":
        with pytest.raises(ValueError, match=f"every label to be from 0 to 2, {message}"):
            CrossEntropyLoss()(scores, target)
    assert accuracy(scores, [0.0, 1.0, 1.0]) == accuracy(scores, [0, 1, 1]) == 2 / 3


def test_a_ranking_is_kept_in_few_arrays_and_joined_in_order() -> None:
    """Batches of any sizes give the same bits as all at once, and `merge` changes neither."""
    rng = np.random.default_rng(0)
    score, weight = rng.random((5000, 1)), rng.random(5000)
    target = rng.integers(0, 2, (5000, 1)).astype(float)
    sums: Any = None
    for start in range(0, 5000, 7):
        part = slice(start, start + 7)
        new = roc_auc.checked(score[part], target[part], weight[part])
        before: Any = None if sums is None else list(sums)
        joined = new if sums is None else roc_auc.merge(sums, new)
        assert sums is None or all(one is other for one, other in zip(sums, before, strict=True))
        sums = joined
        assert len(sums) <= 1 + math.log2(1 + start / 7)
    (whole,) = roc_auc.checked(score, target, weight)
    assert np.concatenate(sums, axis=1).tobytes() == whole.tobytes()
    assert roc_auc.value(sums) == roc_auc.value([whole]) == roc_auc(score, target, weight)


def test_a_label_that_is_no_class() -> None:
    model = Sequential(Dense(3, 4, rng=0))
    loss = CrossEntropyLoss(weight=[0.1, 1.0, 5.0, 0.5])
    trainer = Trainer(model, loss, SGD(model.parameters(), lr=0.1))
    for label in (4, -1):
        with pytest.raises(ValueError) as expected:
            loss(model.predict(np.ones((2, 3))), np.array([0, label]))
        with pytest.raises(ValueError) as caught:
            trainer.fit(np.ones((2, 3)), np.array([0, label]), epochs=1, shuffle=False)
        assert str(caught.value) == str(expected.value)
        assert caught.value.__notes__ == ["in epoch 1, batch 1 of 1, row 1 of the data"]


@pytest.mark.parametrize(
    ("metric", "prediction", "target", "message"),
    [
        (mse, MASKED, np.ones(2), "prediction without a mask"),
        (mse, np.ones(2), MASKED, "target without a mask"),
        (accuracy, np.zeros((3, 2)), np.zeros((3, 1)), "labels of shape (3,), or probabilities"),
        (mse, np.zeros((3, 1)), np.zeros(3), "use target.reshape((3, 1))"),
        (roc_auc, np.zeros((3, 2)), np.zeros((3, 2)), "one score for each example"),
        (f1, np.zeros((3, 1)), np.zeros((2, 1)), "as many targets as predictions, got 2 and 3"),
        (r2, np.array(["a"]), np.zeros(1), "expects prediction to hold real numbers"),
        (mse, np.zeros((0, 1)), np.zeros((0, 1)), "one row for each example"),
        (f1, np.zeros((3, 4)), np.zeros(3), "f1(prediction.argmax(axis=-1) == k, target == k)"),
        (roc_auc, np.zeros((3, 4)), np.zeros(3), "roc_auc(prediction[..., k], target == k)"),
        (binary_accuracy, np.zeros((3, 4)), np.zeros(3), "of several classes, use accuracy"),
    ],
)
def test_wrong_arguments(metric: Metric, prediction: Any, target: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        metric(prediction, target)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ("accuracy", "expects a list of metrics, got 'accuracy'; write ['accuracy']"),
        (["acuracy"], "one of accuracy, binary_accuracy, f1"),
        ([lambda _p, _t: 0.0], 'name it: metrics={"name": ...}'),
        ([mse, mse], "got 'mse' twice"),
        ({"val_x": mse}, "the name 'val_x' of a metric is taken"),
        ([3], "(prediction, target) -> float, got an int"),
        (3, "expects a list of metrics, got an int"),
    ],
)
def test_wrong_metrics_of_a_trainer(metrics: Any, message: str) -> None:
    model = Dense(1, 1)
    with pytest.raises((TypeError, ValueError)) as caught:
        Trainer(model, BCEWithLogitsLoss(), SGD(model.parameters(), lr=0.1), metrics=metrics)
    assert message in str(caught.value)


def test_a_metric_that_returns_no_number() -> None:
    model = Dense(1, 1)
    optimizer = SGD(model.parameters(), lr=0.1)
    trainer = Trainer(
        model, BCEWithLogitsLoss(), optimizer, metrics={"own": lambda _p, _t: "much"}
    )
    with pytest.raises(
        TypeError, match="the metric 'own' must return a number, it returned a str"
    ):
        trainer.evaluate([[1.0]], [[1.0]])


def test_labels_against_labels_are_compared_as_labels() -> None:
    said, true = np.array([0, 1, 2, 2]), np.array([0, 2, 2, 1])
    assert accuracy(said, true) == sk.accuracy_score(true, said)
    assert accuracy([1], [2]) == 0.0


@pytest.mark.parametrize("metric", [accuracy, binary_accuracy, precision, recall, f1, roc_auc])
@pytest.mark.parametrize("bad", [2.0, 3.3, -1.2, np.nan])
def test_what_is_no_yes_or_no_is_refused(metric: Any, bad: float) -> None:
    with pytest.raises(ValueError, match=f"expects targets of 0 and 1, or of -1 and 1, got {bad}"):
        metric([0.2, 0.7, 0.4], [0.0, bad, 1.0])


def test_several_answers_each_are_no_single_class() -> None:
    said, true = [[0.9, 0.8, 0.1], [0.1, 0.2, 0.3]], [[1, 1, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match=r"add up to 1 in each row.*use binary_accuracy"):
        accuracy(said, true)
    assert binary_accuracy(said, true) == 1.0


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_is_refused(metric: Metric, bad: float) -> None:
    score, target = np.array([0.2, bad, 0.4]), np.array([0.0, 1.0, 1.0])
    with pytest.raises(ValueError):  # as scikit-learn has it
        truth(roc_auc, score, target, None)
    message = rf"expects every prediction to be finite, got {bad} at index 1"
    for each in (metric, metric.at(0.0)):
        with pytest.raises(ValueError, match=message):
            each(score, target)
        with pytest.raises(ValueError, match=message):  # a batch of a Trainer
            each.checked(score, target)


def test_classes_that_are_not_finite() -> None:
    for bad in (np.nan, np.inf):
        with pytest.raises(ValueError, match=f"prediction to be finite, got {bad} at index .0, 1"):
            accuracy([[0.1, bad], [0.1, 0.2]], [0, 1])
    assert accuracy([[0.1, -np.inf], [-np.inf, 0.2]], [0, 1]) == 1.0  # classes ruled out
    with pytest.raises(ValueError, match="target to be finite, got nan at index"):
        accuracy([[0.1, 0.3], [0.1, 0.2]], [0.0, np.nan])


@pytest.mark.parametrize("metric", [mae, mse, r2])
def test_a_number_to_be_met_that_is_not_finite_is_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match=r"every target to be finite, got nan at index \(1, 0\)"):
        metric([[1.0], [2.0]], [[1.0], [np.nan]])


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("scale", [1e-200, 1e200, 2.0**-700, 2.0**700])
def test_the_size_of_the_weights_is_none_of_its_matters(metric: Metric, scale: float) -> None:
    score, target = np.array([0.2, 0.9, 0.4, 0.7]), np.array([0.0, 1.0, 1.0, 0.0])
    weight = np.array([1.0, 0.3, 2.5, 0.7])
    assert metric(score, target, scale * weight) == pytest.approx(metric(score, target, weight))
    if math.frexp(scale)[0] == 0.5 and metric is roc_auc:
        assert metric(score, target, scale * weight) == metric(score, target, weight)


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_weights_that_are_none(metric: Metric, bad: float) -> None:
    score, target = np.array([0.2, 0.9, 0.4]), np.array([0.0, 1.0, 1.0])
    message = f"expects every sample_weight to be finite and at least 0, got {bad} at index 1"
    with pytest.raises(ValueError, match=message):
        metric(score, target, [1.0, bad, 2.0])
    with pytest.raises(ValueError, match="a sample_weight above 0, got 0 for every example"):
        metric(score, target, [0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match="sample_weight to hold real numbers"):
        metric(score, target, ["a", "b", "c"])


YES_OR_NO = [accuracy, binary_accuracy, precision, recall, f1]


@pytest.mark.parametrize("metric", YES_OR_NO)
def test_logits_without_a_threshold_are_refused(metric: Metric) -> None:
    for score in ([2.0, 0.3, 0.2], [0.9, -0.3, 0.2]):
        with pytest.raises(ValueError, match=rf"of logits use {metric.name}\.at\(0\)"):
            metric(score, [1, 1, 0])
        said = np.array(score) > 0
        assert metric.at(0)(score, [1, 1, 0]) == metric(said, [1, 1, 0])
    # labels of both kinds, and what rounding makes of probabilities
    assert metric([-1.0, 1.0], [-1.0, 1.0]) == metric([-1, 1], [-1, 1]) == 1.0
    assert metric([0.0 - 1e-9, 1.0 + 1e-9], [0, 1]) == 1.0


def test_what_stands_beside_a_loss_or_has_classes_takes_any_scores() -> None:
    assert accuracy([[-3.0, 4.0], [7.0, 4.0]], [1, 0]) == 1.0
    assert accuracy([3, 7], [3, 5]) == 0.5
    assert roc_auc([-3.0, 4.0], [0, 1]) == 1.0
    model = Sequential(Dense(1, 1, rng=0))
    model.parameters()[0].value = [[1.0]]
    for loss, no in ((BCEWithLogitsLoss(), 0.0), (HingeLoss(), -1.0), (MSELoss(), 0.0)):
        optimizer = SGD(model.parameters(), lr=0.1)
        trainer = Trainer(model, loss, optimizer, metrics=YES_OR_NO)
        found = trainer.evaluate([[3.0], [-2.0]], [[1.0], [no]])
        assert [found[metric.name] for metric in YES_OR_NO] == [1.0] * len(YES_OR_NO)


def test_a_function_of_the_reverse_order_is_refused() -> None:
    def own(y_true: Any, y_pred: Any) -> float:
        return float(np.mean(y_true - y_pred))

    model = Dense(1, 1)
    optimizer = SGD(model.parameters(), lr=0.1)
    for function, name in ((sk.r2_score, "r2_score"), (own, "own")):
        fix = f"lambda prediction, target: {name}\\(target, prediction\\)"
        with pytest.raises(TypeError, match=fix):
            Trainer(model, MSELoss(), optimizer, metrics=[function])
    right = {"r2_score": lambda prediction, target: sk.r2_score(target, prediction), "max": np.dot}
    Trainer(model, MSELoss(), optimizer, metrics=right)


@pytest.mark.parametrize("metric", ALL)
def test_weights_of_steps_select_the_steps(metric: Metric) -> None:
    """A step of weight 0 leaves no trace, and scikit-learn has the same of those left."""
    rng = np.random.default_rng(3)
    score, weight = rng.random((6, 5, 1)), rng.uniform(0.5, 2, (6, 5))
    target = rng.integers(0, 2, (6, 5, 1)).astype(float)
    keep = np.arange(5) < np.array([[5], [3], [0], [5], [1], [4]])
    expected = truth(metric, score[keep][:, 0], target[keep][:, 0], weight[keep])
    score[~keep] = 0.25
    weight *= keep
    assert metric(score, target, weight) == pytest.approx(expected, rel=1e-12)
    parts = [
        metric.checked(score[rows], target[rows], weight[rows])
        for rows in (slice(0, 2), slice(3, 6))
    ]
    assert metric.value(metric.merge(*parts)) == pytest.approx(expected, rel=1e-12)
    ones = np.ones((6, 1))  # of examples, as (6,)
    if metric not in (roc_auc, r2):
        rows = weight[:, 0] + 0.5
        every = np.repeat(rows[:, np.newaxis], 5, axis=1)
        assert metric(score, target, every) == pytest.approx(metric(score, target, rows))
    with pytest.raises(ValueError, match=r"leading axes of \(6, 5, 1\), got \(6, 1\)"):
        metric(score, target, ones)


def test_the_accuracy_of_steps_counts_classes_once() -> None:
    rng = np.random.default_rng(4)
    score, label = rng.random((6, 5, 3)), rng.integers(0, 3, (6, 5))
    weight = rng.integers(0, 3, (6, 5)).astype(float)
    right = (score.argmax(axis=-1) == label).ravel()
    expected = np.average(right, weights=weight.ravel())
    assert accuracy(score, label, weight) == pytest.approx(expected)
    assert accuracy(score, np.eye(3)[label], weight) == pytest.approx(expected)
    with pytest.raises(ValueError, match=r"leading axes of \(6, 5\), got \(6, 5, 3\)"):
        accuracy(score, np.eye(3)[label], np.ones((6, 5, 3)))


def test_a_metric_of_one_output() -> None:
    rng = np.random.default_rng(5)
    number, scores = rng.random((7, 1)), rng.standard_normal((7, 3))
    target, w = (rng.random((7, 1)), rng.integers(0, 3, 7)), rng.random(7)
    of_kind = accuracy.of(1)
    assert (repr(of_kind), repr(binary_accuracy.at(0).of(1))) == (
        "accuracy.of(1)",
        "binary_accuracy.at(0.0).of(1)",
    )
    for weight, mine in ((None, None), (w, w), ((None, w), w), ((w, None), None)):
        expected = accuracy(scores, target[1], mine)
        assert of_kind((number, scores), target, weight) == expected
        sums = of_kind.checked((number, scores), target, weight)
        assert of_kind.value(sums) == pytest.approx(expected)
    assert mae.of(0)((number, scores), target[:1]) == mae(number, target[0])
    logits = (number, scores[:, :1]), (number, (number > 0.5) * 1.0)
    none = mae.of(0).checked((number, scores), target, (0 * w, None))  # of a batch
    assert math.isnan(mae.value(none))
    assert math.isnan(r2.of(0)((number, scores), target, (0 * w, None)))
    some = mae.of(0).checked((number, scores), target, (w, None))
    assert mae.value(mae.merge(none, some)) == mae(number, target[0], w)
    sums = binary_accuracy.of(1).checked(*logits, None, (0.5, 0.0))  # the midpoint of each output
    assert binary_accuracy.value(sums) == binary_accuracy.at(0)(logits[0][1], logits[1][1])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: accuracy.of(-1), ValueError, "accuracy.of expects output to be at least 0"),
        (lambda: accuracy.of(1.0), TypeError, "output to be a whole number"),  # type: ignore[arg-type]
        (
            lambda: accuracy.of(1)(np.ones((3, 2)), np.ones(3)),
            ValueError,
            r"accuracy.of\(1\) expects prediction to be a tuple of 2 outputs or more, got a ",
        ),
        (
            lambda: mae.of(1)((np.ones(3), np.ones(3)), (np.ones(3),)),
            ValueError,
            "expects target to be a tuple of 2 outputs or more, got 1",
        ),
        (
            lambda: mae.of(1)((np.ones(3),) * 2, (np.ones(3),) * 2, (None,)),
            ValueError,
            "expects sample_weight to be a tuple of 2 outputs or more, got 1",
        ),
        (
            lambda: mae.checked((np.ones(3), np.ones(3)), (np.ones(3), np.ones(3))),
            ValueError,
            r"one prediction, got a tuple of 2; say of which output it is: mae.of\(0\)",
        ),
    ],
)
def test_which_output_is_refused(call: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()
