"""The author's kit, held against layers that are wrong in one known way each, and right ones."""

import copy
import inspect
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import wrong_several  # noqa: F401 - which enters its own into WRONG
from cases import LAYER_CASES, LOSS_CASES, OPTIMIZER_CASES
from right_layers import RIGHT, Dropout, MovingMean, Scale, batch
from right_several import SEVERAL
from wrong_layers import WRONG, CentredByTheBatch, Wrong

import minifw
from minifw import Array, Dense, Layer, Loss, Optimizer, Parameter, Residual, Sequential, Tanh
from minifw.testing import (
    CheckError,
    Report,
    check_layer,
    layer_checks,
    numerical_gradient,
)
from minifw.testing._numeric import along, mismatches, wrong_slope
from minifw.testing.layers import _situation

pytestmark = pytest.mark.slow


RIGHT_ONES: dict[str, Any] = {**LAYER_CASES, **RIGHT, **SEVERAL}


@pytest.mark.parametrize("name", RIGHT_ONES)
def test_a_right_layer_passes(name: str) -> None:
    check_layer(*RIGHT_ONES[name])


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.kind)
def test_the_first_sentence_on_a_wrong_layer_says_what_to_mend(wrong: Wrong) -> None:
    with pytest.raises(CheckError) as caught:
        check_layer(wrong.make(), wrong.x)
    headline = caught.value.report.failures[0].message
    assert any(words in headline for words in wrong.says.split("|")), str(caught.value)
    assert str(caught.value).splitlines()[0].endswith(headline.splitlines()[0])


def test_every_public_loss_and_optimizer_is_in_the_table() -> None:
    def public(base: type) -> set[Any]:
        things = {getattr(minifw, name) for name in vars(minifw)["__all__"]}
        classes = {t for t in things if inspect.isclass(t) and issubclass(t, base)}
        return {c for c in classes if not inspect.isabstract(c)}

    of_one_output = {loss for loss in public(Loss) if not loss.takes_several}
    assert of_one_output == {type(loss) for loss, _, _ in LOSS_CASES.values()}
    made = [make([Parameter(np.ones(1))]) for make in OPTIMIZER_CASES.values()]
    assert public(Optimizer) == {type(optimizer) for optimizer in made}


def test_a_gradient_that_is_exactly_0_is_no_kink() -> None:
    """Its one-sided slopes are rounding alone, and differ by all they are."""
    for seed in (7, 11, 13, 14):
        check_layer(*RIGHT["a bias that batch norm takes away"], seed=seed)


class Bilinear(Layer):
    def forward(self, x: Array, y: Array) -> Array:
        return x * y

    def backward(self, dy: Array) -> tuple[Array, Array]:
        return dy, dy


def test_a_layer_of_two_inputs_asks_for_a_tuple() -> None:
    with pytest.raises(
        CheckError, match=r"needs 2 inputs, \(x, y\), and got 1; several are a tup"
    ):
        check_layer(Bilinear(), np.ones((2, 2)))


class FewAxes(Dense):
    """Its bias gradient is summed over these axes of dy alone."""

    axes: ClassVar[tuple[int, ...]]

    def backward(self, dy: Array) -> Array:
        assert self.bias is not None
        dx = super().backward(dy)
        self.bias.grad[...] = dy.sum(axis=self.axes)
        return dx


class FewAxesAssigned(Dense):
    def backward(self, dy: Array) -> Array:
        assert self.bias is not None
        dx = super().backward(dy)
        self.bias.grad = dy.sum(axis=0)
        return dx


@pytest.mark.parametrize(
    ("axes", "said"), [((0,), "axis 1 of dy"), ((1,), "the batch"), ((), "the axes (0, 1) of dy")]
)
def test_the_axis_is_named_whose_sum_is_forgotten(axes: tuple[int, ...], said: str) -> None:
    layer = FewAxes(3, 2, rng=0)
    type(layer).axes = axes
    with pytest.raises(CheckError, match=re.escape(f": a sum over {said} is forgotten")):
        check_layer(layer, np.ones((4, 5, 3)))
    with pytest.raises(CheckError, match=r"got an array of .*: a sum over axis 1 of dy is forg"):
        check_layer(FewAxesAssigned(3, 2, rng=0), np.ones((4, 5, 3)))


def test_what_is_broadcast_is_left_open() -> None:
    """A factor for each feature takes one feature for all: a hint, for few mean that."""
    said = hint(Scale(3), batch(4, 3), "other lengths of each axis")
    assert "with x of shape (5, 1), dx has the shape (5, 3), as it is broadcast" in said


def test_the_report_ends_with_what_was_not_tried() -> None:
    lines = str(check_layer(MovingMean(), batch(3, 4, 2))).splitlines()
    assert lines[-1].startswith("not tried: another length of axis 1 of x than 1, 3, 4 and 5")
    assert "|x| above" in lines[-1]


def test_a_layer_is_held_against_a_reference() -> None:
    layer = Dense(3, 2, bias=False, rng=0)
    check_layer(layer, batch(4, 3), reference=lambda x: x @ layer.weight.value.T)
    said = r"at each place of axis 1 y differs by the same amount: .*; most of all at y\["
    with pytest.raises(CheckError, match=said):
        check_layer(layer, batch(4, 3), reference=lambda x: x @ layer.weight.value.T + [0, 1])


def test_a_reference_says_where_it_is_another() -> None:
    with pytest.raises(CheckError, match=r"all of them at \[3\] of axis 1"):
        check_layer(MovingMean(), batch(3, 4, 2), reference=LooksAhead.mean)
    with pytest.raises(CheckError, match="and must have"):
        check_layer(Tanh(), batch(3, 4), reference=lambda x: np.tanh(x)[:, :1])


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        (3, "expects reference to be a function of x, it raised TypeError: 'int' object is not"),
        (print, "expects reference to return an array of real numbers, got a NoneType"),
        (lambda x: x + 0j, "of real numbers, got a complex128 array of shape"),
        (lambda x: (x, x), "return an array of real numbers, got a float64 array of shape .* and"),
        (np.dot, "expects reference to be a function of x, it raised TypeError: dot"),
    ],
)
def test_what_is_no_reference_is_refused(reference: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        check_layer(Tanh(), batch(3, 4), reference=reference)
    latent, xs = SEVERAL["Latent"]
    with pytest.raises(
        TypeError, match=r"a tuple of 2 arrays, one for each output, .* got a list"
    ):
        check_layer(latent, xs, reference=lambda a, b: [a, b])


class LooksAhead(Layer):
    """A moving mean whose last place has another, which sees one place too many."""

    @staticmethod
    def mean(x: Array) -> Array:
        y: Array = np.cumsum(x, axis=1) / np.arange(1.0, x.shape[1] + 1)[:, None]
        y[:, -1] = x.sum(axis=1)
        return y

    def forward(self, x: Array) -> Array:
        self.save()
        ahead: Array = x + np.concatenate([x[:, 1:], 0 * x[:, :1]], axis=1)
        return ahead

    def backward(self, dy: Array) -> Array:
        self.saved()
        dx: Array = dy + np.concatenate([0 * dy[:, :1], dy[:, :-1]], axis=1)
        return dx


def test_a_causal_layer_looks_at_nothing_later() -> None:
    check_layer(MovingMean(), batch(3, 4, 2), causal=True)
    check_layer(LooksAhead(), batch(3, 4, 2))
    with pytest.raises(CheckError, match="it looks ahead: y at place 0 of axis 1 changes with x"):
        check_layer(LooksAhead(), batch(3, 4, 2), causal=True)
    attention = minifw.MultiHeadAttention(4, 2, causal=True, rng=0)
    check_layer(attention, batch(3, 4, 4), causal=True)
    with pytest.raises(CheckError, match="it looks ahead"):
        check_layer(minifw.MultiHeadAttention(4, 2, rng=0), batch(3, 4, 4), causal=True)


def test_there_are_enough_wrong_layers_of_every_kind() -> None:
    kinds = [w.kind.partition(":")[0] for w in WRONG]
    assert len(kinds) >= 40
    for kind in (
        "factor",
        "sign",
        "transpose",
        "zero",
        "places",
        "sum",
        "stale",
        "mode",
        "diagonal",
        "update",
        "precision",
        "dy",
        "accumulate",
        "writes",
        "argument",
    ):
        assert kinds.count(kind) >= 2, kind


def test_the_report_is_a_table_of_named_verdicts() -> None:
    report = check_layer(Scale(3), batch(4, 3))
    assert isinstance(report, Report)
    assert report.passed
    assert not report.failures
    lines = str(report).splitlines()
    assert lines[0].startswith("Scale(3): all ")
    assert len(report.table().splitlines()) == len(report.verdicts)
    assert len({v.name for v in report.verdicts}) == len(report.verdicts)


def test_all_failures_come_at_once_with_index_values_and_diagnosis() -> None:
    class Bad(Dense):
        def backward(self, dy: Array) -> Array:
            return -super().backward(dy)

        def backward_parameters(self, dy: Array) -> None:
            super().backward_parameters(dy)
            self.weight.grad *= 2

    with pytest.raises(AssertionError) as caught:
        check_layer(Bad(3, 4, rng=0), batch(4, 3))
    error = caught.value
    assert isinstance(error, CheckError)
    messages = {v.name: v.message for v in error.report.failures}
    assert "its sign is wrong" in messages["dx, training"]
    parameters = messages["gradients of parameters, training"]
    assert "2 times too large: a missing 1/2?" in parameters
    assert parameters.startswith("dweight: it is 2 times")
    assert "differences give" in parameters
    assert str(error.report) in str(error)


def hint(layer: Layer, x: Array, name: str) -> str:
    """Return what a verdict says that is left open."""
    (verdict,) = (v for v in check_layer(layer, x).verdicts if v.name == name)
    return verdict.message


def test_a_buffer_that_is_made_late_gets_one_verdict() -> None:
    class Late(Tanh):
        buffers = ("mean",)

        def __init__(self) -> None:
            self.mean: Array | None = None

    with pytest.raises(CheckError, match="the buffer mean is None before the first forward") as e:
        check_layer(Late(), batch(4, 3))
    assert len(e.value.report.verdicts) == 1


def test_a_number_of_numpys_is_named_where_it_casts() -> None:
    class Scaled(Layer):
        def forward(self, x: Array) -> Array:
            self.save()
            y: Array = x / np.sqrt(x.shape[-1])
            return y

        def backward(self, dy: Array) -> Array:
            self.saved()
            dx: Array = dy / np.sqrt(dy.shape[-1])
            return dx

    with pytest.raises(CheckError, match=r"as np.sqrt\(4\) is: use float"):
        check_layer(Scaled(), batch(4, 4))


def test_a_mask_that_is_drawn_once_and_kept_is_no_buffer() -> None:
    class DrawsOnce(Layer):
        def __init__(self, rng: int = 0) -> None:
            self.rng = np.random.default_rng(rng)
            self.mask: Array | None = None

        def forward(self, x: Array) -> Array:
            if self.mask is None:
                self.mask = 2.0 * (self.rng.random(x.shape[1]) < 0.5)
            keep = self.mask if self.training else np.ones(x.shape[1])
            self.save(keep.astype(x.dtype))
            return x * keep.astype(x.dtype)

        def backward(self, dy: Array) -> Array:
            (keep,) = self.saved()
            dx: Array = dy * keep
            return dx

    said = hint(DrawsOnce(), batch(4, 6), "state_dict after training")
    assert "drawn again in each forward" in said


def test_statistics_of_the_batch_are_not_missing_in_eval_mode() -> None:
    """Nothing should be computed from the batch there: that alone is said."""

    class StillOfTheBatch(CentredByTheBatch):
        """x - the mean of the batch in both modes, and a gradient that knows none in eval mode."""

        def backward(self, dy: Array) -> Array:
            self.saved()
            dx: Array = dy - dy.mean(axis=0) * self.training
            return dx

    with pytest.raises(CheckError) as caught:
        check_layer(StillOfTheBatch(), batch(6, 3))
    said = {v.name: v.message for v in caught.value.report.failures}
    assert "rows apart in eval mode" in said
    assert "are missing" not in said.get("dx, eval", "")


def test_a_factor_that_any_batch_gives_is_no_batch_size() -> None:
    class NoDivision(Layer):
        """The mean of seven features, whose gradient is not divided by seven."""

        def forward(self, x: Array) -> Array:
            self.save()
            y: Array = x.mean(axis=1, keepdims=True)
            return y

        def backward(self, dy: Array) -> Array:
            self.saved()
            dx: Array = np.repeat(dy, 7, axis=1)
            return dx

    with pytest.raises(CheckError) as caught:
        check_layer(NoDivision(), batch(4, 7))
    message = next(v.message for v in caught.value.report.failures if v.name == "dx, training")
    assert "7 is the number of features" in message
    assert "batch" not in message.partition("7 is")[2]


def test_the_layer_that_is_checked_stays_as_it_was() -> None:
    layer = Dense(3, 2, rng=0).eval()
    layer.weight.grad = np.full((2, 3), 5.0)
    before = layer.state_dict()
    x = batch(4, 3)
    x_before = x.copy()
    check_layer(layer, x)
    assert not layer.training
    assert (layer.weight.grad == 5.0).all()
    np.testing.assert_array_equal(x, x_before)
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    dropout = Dropout(0.5, rng=1)
    state = copy.deepcopy(dropout.rng.bit_generator.state)
    check_layer(dropout, x)
    assert dropout.rng.bit_generator.state == state


class Unprintable(Tanh):
    def __repr__(self) -> str:
        raise RuntimeError


class Locked(Tanh):
    def __init__(self) -> None:
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("layer", "x", "message"),
    [
        (Tanh, np.ones((2, 2)), r"write Tanh\(\.\.\.\)"),
        (np.tanh, np.ones((2, 2)), "expects a layer"),
        (Tanh(), [[1.0]], r"to be an array, a batch of numbers, got a list; use np.asarray\(x\)"),
        (Tanh(), [np.ones((2, 2))] * 2, r"a list; several are a tuple of arrays, tuple\(x\)$"),
        (Tanh(), np.ones((0, 2)), "got a float64 array of shape"),
        (Tanh(), np.array([["a"]]), "a batch of numbers"),
        (Tanh(), (), "expects x to be an array, a batch of numbers, got a tuple"),
        (Tanh(), (np.ones((2, 2)), np.ones(3)), "of one length, got"),
        (Tanh(), np.array([[1.0, np.nan]]), r"to hold finite numbers, got nan at index \(0, 1\)"),
        (Unprintable(), np.ones((2, 2)), "repr takes, and of this Unprintable it raised Runtime"),
        (
            Residual(Locked()),
            np.ones((2, 2)),
            "cannot pickle .*; make its lock where that is used",
        ),
    ],
)
def test_what_is_no_layer_or_no_batch_is_refused(layer: Any, x: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        check_layer(layer, x)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: check_layer(Tanh(), np.ones((2, 2)), seed=None), "expects seed to be a whole"),  # type: ignore[arg-type]
        (lambda: check_layer(Tanh(), np.ones(2), causal=True), r"x of shape \(batch, time, ...\)"),
        (lambda: layer_checks(Tanh()), r"expects tuples \(layer, x\), .* got a Tanh"),  # type: ignore[arg-type]
        (lambda: layer_checks([(Tanh(),)]), r"expects tuples \(layer, x\)"),  # type: ignore[list-item]
    ],
)
def test_what_the_kit_cannot_take_is_refused_in_a_sentence(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_a_layer_that_does_not_take_x_gets_one_verdict_not_thirty() -> None:
    with pytest.raises(CheckError) as caught:
        check_layer(Dense(3, 2), batch(4, 5))
    (verdict,) = caught.value.report.verdicts
    assert "expects x of shape (batch, 3)" in verdict.message


def test_each_verdict_is_a_test_of_its_own_under_pytest(tmp_path: Path) -> None:
    """An author's test module: the ids are readable, and one fault fails what it breaks."""
    (tmp_path / "test_mine.py").write_text(
        "import numpy as np, pytest\n"
        "from minifw import Tanh\n"
        "from minifw.testing import layer_checks\n"
        "class Bad(Tanh):\n"
        "    def backward(self, dy):\n"
        "        return 2 * super().backward(dy)\n"
        "x = np.linspace(-1, 1, 6).reshape(2, 3)\n"
        "@pytest.mark.parametrize('check', layer_checks([(Tanh(), x), (Bad(), x)]))\n"
        "def test_layer(check):\n"
        "    check()\n",
        encoding="utf-8",
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rf", "-p", "no:cacheprovider", "test_mine.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(minifw.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "FAILED test_mine.py::test_layer[Bad(): dx, training]" in result.stdout
    assert "[Tanh():" not in result.stdout
    assert "2 times too large" in result.stdout
    assert result.stdout.count("FAILED") == 1, result.stdout
    assert "skipped" in result.stdout


def test_of_what_is_large_a_part_is_asked_and_the_report_says_so() -> None:
    table = minifw.Embedding(40_000, 16, rng=0)
    assert "640,000 parameters: check a smaller one" in str(check_layer(table, np.array([[1, 2]])))
    deep = Sequential(*(Dense(16, 16, rng=seed) for seed in range(8)))
    assert "each number of 16 parameters, but a few" in str(check_layer(deep, batch(4, 16)))


def test_a_declared_layer_whose_jacobian_is_too_large_is_left_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Step(Layer):
        declared: ClassVar[Any] = {"dx": "straight through"}

        def forward(self, x: Array) -> Array:
            return np.asarray(x > 0, x.dtype)

        def backward(self, dy: Array) -> Array:
            return dy.copy()

    monkeypatch.setattr(_situation, "MOST", 10)
    model = Sequential(Dense(3, 4, rng=0), Step(), Dense(4, 1, rng=1))
    said = hint(model, batch(4, 3), "gradients of parameters, training")
    assert "Step(), whose dx is declared, gives 20 numbers, too many for its Jacobian" in said


def test_what_comes_before_a_declared_layer_is_asked_far_out_too() -> None:
    class Near(Layer):
        """y = x^2, whose dx is right near 0 alone."""

        def forward(self, x: Array) -> Array:
            self.save(x)
            return x**2

        def backward(self, dy: Array) -> Array:
            (x,) = self.saved()
            return 2 * x.clip(-9, 9) * dy

    model = Sequential(Near(), minifw.GradientReversal(), Dense(3, 2, rng=0))
    with pytest.raises(CheckError, match="with x 10 times as large, "):
        check_layer(model, batch(4, 3))


# -- differences ------------------------------------------------------------------------


def test_numerical_gradient_of_known_functions() -> None:
    x = batch(3, 2)
    for f, gradient in (
        (lambda x: float(np.sum(np.sin(x))), np.cos(x)),
        (lambda x: float(np.sum(x**2) ** 2), 4 * np.sum(x**2) * x),
        (lambda x: float(np.prod(x)), np.prod(x) / x),
    ):
        np.testing.assert_allclose(numerical_gradient(f, x), gradient, rtol=1e-9, atol=1e-11)


def test_a_slope_past_thousands_of_kinks_is_taken_with_a_short_reach() -> None:
    x, direction, dy = np.random.default_rng(19).standard_normal((3, 200_000))

    def slope(reach: float) -> Any:
        return along(lambda: np.abs(x), x, reach * direction, dy)

    right = float(np.sum(dy * np.sign(x) * direction))
    assert mismatches(np.array(right), slope(1.0))
    assert wrong_slope(slope, right) is None
    assert wrong_slope(slope, 2 * right) is not None


def test_numerical_gradient_restores_the_array_also_after_an_error() -> None:
    x = batch(2, 2)
    before = x.copy()
    numerical_gradient(lambda x: float(x.sum()), x)
    np.testing.assert_array_equal(x, before)

    def fail(_: Array) -> float:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        numerical_gradient(fail, x)
    np.testing.assert_array_equal(x, before)


def test_numerical_gradient_reads_an_array_where_it_lives() -> None:
    layer = Dense(2, 1, rng=0)
    x = batch(4, 2)
    found = numerical_gradient(lambda _: float(layer.forward(x).sum()), layer.weight.value)
    np.testing.assert_allclose(found, x.sum(axis=0, keepdims=True), rtol=1e-10)


def test_numerical_gradient_of_a_read_only_array_and_at_a_kink() -> None:
    x = np.array([-1.0, 0.0, 2.0, 1e-2, 1e-3, 1e-4, -1e-5, 3e-6])  # near it, too
    x.flags.writeable = False
    found = numerical_gradient(lambda x: float(np.abs(x).sum()), x)
    np.testing.assert_allclose(found, np.sign(x), atol=1e-9)


@pytest.mark.parametrize("array", [np.ones(2, np.float32), [1.0], np.ones(2, int), None])
def test_numerical_gradient_takes_float64_alone(array: Any) -> None:
    with pytest.raises(TypeError, match="expects a float64 array"):
        numerical_gradient(lambda _: 0.0, array)


def test_a_layer_may_be_given_as_a_pair_or_by_name() -> None:
    pairs: list[tuple[Layer, Array]] = [(Tanh(), batch(2, 2))]
    assert layer_checks(pairs)[0].__name__.startswith("Tanh(): ")
    assert layer_checks({"mine": pairs[0]})[0].__name__.startswith("mine: ")


def test_a_fault_in_one_element_of_thousands_is_caught() -> None:
    class LastElement(Dense):
        def backward_parameters(self, dy: Array) -> None:
            super().backward_parameters(dy)
            self.weight.grad[-1, -1] *= 1.5

    with pytest.raises(CheckError, match="along a random direction"):
        check_layer(LastElement(60, 60, rng=0), batch(4, 60))
    check_layer(Dense(60, 60, rng=0), batch(4, 60))
