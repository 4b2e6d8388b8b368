"""The kinds of exercises: how an answer of each kind is graded."""

import copy
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Protocol
from warnings import catch_warnings, simplefilter

import numpy as np

from minifw._tools.checks import check_is
from minifw.callbacks import Watch
from minifw.core.layer import Layer
from minifw.core.loss import Loss
from minifw.core.optimizer import Optimizer
from minifw.core.parameter import Parameter
from minifw.lessons._sentences import Fault
from minifw.optimizers import SGD, Adam
from minifw.testing import CheckError, Report, check_layer, check_loss, check_optimizer
from minifw.training import Trainer
from minifw.typing import Array

SEED = 0  # of the inputs: the same each time, so that the answer to a question is
NEAR = 1e-9  # relative to the largest: two formulas of the same value, in float64
NEARLY = 1e-2  # as of a number that is rounded
ROUGH = 1e-4  # a factor that is the same up to an eps
LR = 0.03  # of an optimizer: none of its other numbers
STEPS = 4  # of an optimizer: enough for what it carries from one to the next to show
# How far the first step of Adam is off without the correction of a moment, 1 - beta^1.
MOMENTS = {"m": 10.0, "v": 1000**0.5, "m and v": 10**0.5}
RATIOS = {"loss negative": -1.0, "loss halved": 0.5, "in bits": 1 / np.log(2)}  # of losses
FORWARD = ("as the reference", "causal")  # the kit's questions about y
# What a layer of a library must do, and a homework need not.
BEYOND = {
    "float32 in, float32 out",
    "parameters of one dtype",
    "mode changed before backward",
    "refuses a wrong rank",
    "refuses other shapes",
    "a NaN is not silent",
    "rebuilt from its arguments",
    "gradients with other arguments",
    "other lengths of each axis",
    "memory, recall and backward_adding",
    "backward before forward",
    "ties",
    "refuses a non-finite gradient",
    "lowers a quadratic",
    "lowers Rosenbrock's function",
}

NUMBERS = r" \((?=[^()]*\[[^()]* differences give ).*$"  # what stands behind a sentence of the kit

# Around a sign that a run tells: when, and the cure, which is for the hints.
REMEDY = r"^after epoch \d+: |, init=None|, rng=Generator\(PCG64\)|; .*$"
TINY = 1e-12  # an lr that changes nothing
FADED = 0.01  # of the last layer's gradient: little comes through
LOWER = 0.9  # of the loss: then it falls

Arrays = tuple[Any, ...]
Inputs = Callable[[np.random.Generator], Arrays]
Forward = Callable[..., Array]
Slips = Mapping[str, Callable[..., Any]]


class Exercise(Protocol):
    """What `ask` asks for."""

    def fault(self, answer: Any, slips: Slips, /) -> Fault | None:
        """Return what is wrong, or None; `slips` are what people compute by mistake."""


@dataclass(frozen=True)
class LayerExercise:
    """A layer: its forward is held against minifw's, its backward against differences."""

    inputs: Inputs
    twin: Callable[[], Layer] = Layer  # minifw's; its parameters have the names that are asked for
    reference: Callable[..., Any] | None = None  # of the answer and its inputs: without a twin
    causal: bool = False

    def fault(self, answer: Any, slips: Slips) -> Fault | None:
        """Ask for the parameters, then for y in train mode, then the kit."""
        example = "Square()" if self.reference else repr(self.twin())
        check_is("ask", f"a layer, such as {example}", answer, Layer)
        rng = np.random.default_rng(SEED)
        xs, answer = self.inputs(rng), copy.deepcopy(answer)
        for parameter in answer.parameters():  # zeros hide what is forgotten
            parameter.value = rng.standard_normal(parameter.shape)
        if fault := self._parameters(answer):
            return fault
        reference = self._right(copy.deepcopy(answer).eval())
        x = xs if len(xs) > 1 else xs[0]
        check = partial(check_layer, answer, x, reference=reference, causal=self.causal, seed=SEED)
        return _of_kit(check, lambda: self._value(answer, xs, slips))

    def _right(self, answer: Layer) -> Callable[..., Any]:
        """Return what gives the right y: minifw's layer, with the answer's state and mode."""
        if self.reference:
            return partial(self.reference, answer)
        twin = self.twin()
        twin.load_state_dict(answer.state_dict())
        return twin.train(answer.training)

    def _parameters(self, answer: Layer) -> Fault | None:
        """Find a parameter that is missing, or has another name or shape."""
        said = []
        for layer in (answer if self.reference else self.twin(), answer):
            shapes = {name: value.shape for name, value in layer.state_dict().items()}
            said += [", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items())) or "-"]
        wanted, found = said
        values = {"wanted": wanted, "found": found}
        return None if wanted == found else Fault("parameters", values)

    def _value(self, answer: Layer, xs: Arrays, slips: Slips) -> Fault | None:
        """Hold y in both modes against what is right, and what is kept for eval mode."""
        wrong = {}
        for training in (True, False):
            layer = copy.deepcopy(answer).train(training)
            twin = self._right(layer)
            right, y = (one(*map(np.copy, xs)) for one in (twin, layer.forward))
            if fault := _known(y, right, slips, answer.train(training), *xs):
                return fault
            if not near(y, right):
                wrong[training] = Fault("in train mode", _worst(y, right))
            elif training and isinstance(twin, Layer):
                kept = layer.state_dict()
                for name, value in twin.state_dict().items():
                    if not near(kept[name], value):
                        return Fault("kept for eval", {"name": name})
        return wrong.get(True) if False not in wrong else None


@dataclass(frozen=True)
class LossExercise:
    """A loss: its value is held against minifw's, its gradient against differences."""

    inputs: Inputs  # a prediction and a target
    twin: Callable[[], Loss]
    far: tuple[tuple[float, float], ...] = ()  # more of both, where a formula may fail

    def fault(self, answer: Any, slips: Slips) -> Fault | None:
        """Hold the value against minifw's, then ask the kit."""
        check_is("ask", f"a loss, such as {self.twin()!r}", answer, Loss)
        p, t = self.inputs(np.random.default_rng(SEED))
        check = partial(check_loss, answer, p, t, seed=SEED)
        return _of_kit(check, lambda: self._value(answer, p, t, slips))

    def _value(self, answer: Loss, p: Array, t: Array, slips: Slips) -> Fault | None:
        pairs = [(p, t), *((np.full((1, 1), a), np.full((1, 1), b)) for a, b in self.far)]
        for prediction, target in pairs:
            found = copy.deepcopy(answer).forward(prediction.copy(), target.copy())
            right = self.twin().forward(prediction, target)
            ratios = {"loss summed": len(p), **RATIOS, "mean over all numbers": len(p) / p.size}
            times = {name: lambda *_, n=n, right=right: n * right for name, n in ratios.items()}
            known = {**times, **slips} if prediction is p else {}
            if fault := _known(found, right, known, prediction, target):
                return fault
            if not near(found, right):
                at = "" if prediction is p else f"{prediction.item():g}, {target.item():g}"
                return Fault("loss at" if at else "loss", {"at": at, **_worst(found, right)})
        return None


@dataclass(frozen=True)
class OptimizerExercise:
    """An optimizer: its steps are minifw's."""

    twin: Callable[[list[Parameter]], Optimizer]

    def fault(self, answer: Any, _: Slips, /) -> Fault | None:
        """Ask the kit, and hold some steps against minifw's."""
        check = partial(check_optimizer, answer, seed=SEED)
        return self._state(answer) or _of_kit(check, lambda: None) or self._steps(answer)

    def _state(self, make: Callable[[list[Parameter]], Optimizer]) -> Fault | None:
        """Find an array that two names share, or that no step changes."""
        parameter = Parameter(np.ones(3))
        with suppress(Exception):  # what it raises, the kit finds, too
            optimizer = make([parameter])
            state = {n: a for n, a in vars(optimizer).items() if isinstance(a, np.ndarray)}
            for (one, a), (other, b) in combinations(state.items(), 2):
                if np.shares_memory(a, b):
                    return Fault("one array", {"one": one, "other": other})
            before = copy.deepcopy(state)
            parameter.grad[...] = 1
            optimizer.step()
            moves = parameter.value.min() < 1
            for name, array in before.items() if moves else ():
                if name[0] != "_" and np.array_equal(array, getattr(optimizer, name)):
                    return Fault("never changes", {"name": name})
        return None

    def _steps(self, make: Callable[[list[Parameter]], Optimizer]) -> Fault | None:
        rng, pair = np.random.default_rng(SEED), [Parameter(np.ones(3)), Parameter(np.ones(3))]
        both = [make(pair[:1]), self.twin(pair[1:])]
        for optimizer in both:
            optimizer.lr = LR
        for step in range(1, STEPS + 1):
            before, grad = pair[1].value.copy(), rng.standard_normal(3)
            for parameter, optimizer in zip(pair, both, strict=True):
                parameter.grad[...] = grad
                optimizer.step()
            mine, right = (parameter.value - before for parameter in pair)
            if not near(mine, right):
                name, times = "later step" if step > 1 else "first step", mine / right
                off = max(abs(times[0]), 1 / abs(times[0]))  # a factor, or one over it
                of = [m for m, n in MOMENTS.items() if near(off, n, ROUGH)]
                if np.ptp(times) > ROUGH * abs(times).max():
                    name += " wrong"
                elif step == 1 and times[0] < 0:
                    name = "uphill"
                elif abs(times[0] - 1) < ROUGH:
                    name = "step nearly"
                elif step == 1 and near(off, 1 / LR, ROUGH):
                    name = "lr missing" if abs(times[0]) > 1 else "lr twice"
                elif step == 1 and of and isinstance(both[1], Adam):
                    name = "first step of moments"
                return Fault(name, {"step": step, "times": f"{times[0]:.6g}", "of": "".join(of)})
        return None


@dataclass(frozen=True)
class ValueExercise:
    """A function that must give the reference's values; or a number to be computed by hand."""

    reference: Callable[..., Any]
    cases: tuple[Arrays, ...] = ((),)
    digits: float = 1e-3  # how near it must be, relatively

    def fault(self, answer: Any, slips: Slips) -> Fault | None:
        """Compare it with the right value, and with what mistakes give."""
        of_numbers = self.cases == ((),)
        what, kind = (
            ("a number", int | float | np.number) if of_numbers else ("a function", Callable)
        )
        check_is("ask", what, answer, kind)
        for case in self.cases:
            right = self.reference(*case)
            try:
                found = answer if of_numbers else answer(*case)
            except Exception as error:  # noqa: BLE001 - whatever it raises is a finding
                return _raised(error)
            known = {"sign": lambda *case: -self.reference(*case), **slips}
            if found is None:
                return Fault("no return", {"right": f"{right:.7g}"})
            if near(found, right, self.digits):
                continue
            if fault := _known(found, right, known, *case, digits=self.digits):
                return fault
            if near(found, right, NEARLY):
                return Fault("number rounded" if of_numbers else "slope nearly")
            times = {"times": f"{found / right:.6g}"} if of_numbers else _worst(found, right)
            return Fault("number" if of_numbers else "value", times)
        return None


@dataclass(frozen=True)
class NetworkExercise:
    """A network to be trained: its loss on the exercise's data is below a bound."""

    data: Callable[[], Arrays]  # x, and the target
    loss: Callable[[], Loss]
    below: float
    looks: bool = False  # for the symptom of a network that does not learn

    def fault(self, answer: Any, _: Slips, /) -> Fault | None:
        """Predict, and compare the loss with the bound."""
        check_is("ask", "a trained model", answer, Layer)
        x, target = self.data()
        with catch_warnings(record=True):  # as of predictions that round to 0 and 1
            simplefilter("always")
            found = self.loss().forward(answer.predict(x), target)
            if found < self.below:
                return None
            symptom = self._symptom(answer, found) if self.looks else ""
        bound = f"its loss is {found:.3g}, and must be below {self.below:g}"
        return Fault("kit", {"message": f"{bound}: {symptom}".removesuffix(": ")})

    def _symptom(self, answer: Layer, found: float) -> str:
        """Return what a run warns of, or else what the gradients show, or more training."""
        twin = copy.deepcopy(answer)
        if told := self._train(twin, SGD(twin.parameters(), lr=TINY), epochs=2):
            return re.sub(REMEDY, "", told[0])
        sizes = [abs(p.grad).max() for p in twin.parameters() if len(p.shape) > 1]
        if sizes[0] < FADED * sizes[-1]:
            times = sizes[0] / sizes[-1]
            return f"the gradients vanish: the first layer's are {times:.0e} times the last one's"
        self._train(twin, Adam(twin.parameters(), lr=0.02), epochs=20)
        x, target = self.data()
        then = self.loss().forward(twin.predict(x), target)
        if then > LOWER * found:
            return ""
        return (
            "the network can learn, as 20 epochs of Adam with shuffled rows take it to "
            f"{then:.2g}: look at how it was trained"
        )

    def _train(self, model: Layer, optimizer: Optimizer, epochs: int) -> list[str]:
        with catch_warnings(record=True) as told:
            simplefilter("always")
            trainer = Trainer(model, self.loss(), optimizer, callbacks=[Watch()], rng=SEED)
            trainer.fit(*self.data(), epochs=epochs)
        return [str(one.message) for one in told]


def _of_kit(check: Callable[[], Any], value: Callable[[], Fault | None]) -> Fault | None:
    """Return what the kit finds, but first what is wrong with the value, if it can be had."""
    try:
        check()
    except CheckError as error:
        with suppress(Exception):  # what it raises, the kit has found, too
            if fault := value():
                return fault
        if any(verdict.name not in BEYOND for verdict in error.report.failures):
            return _most_specific(error.report)
    try:
        return value()
    except Exception as error:  # noqa: BLE001 - as at a prediction far out
        return _raised(error)


def _raised(error: Exception) -> Fault:
    return Fault("raised", {"error": f"{type(error).__name__}: {error}"})


def _most_specific(report: Report) -> Fault:
    """Return the likeliest cause: what is said of y first, as the gradients follow from it."""
    asked = [verdict for verdict in report.failures if verdict.name not in BEYOND]
    said = [verdict for verdict in asked if verdict.name in FORWARD] or asked
    if not said[0].telling and (right := {n for v in report.verdicts for n in v.right}):
        wrong = {n for v in asked for n in v.wrong}
        names = {"wrong": ", ".join(sorted(wrong)), "right": ", ".join(sorted(right - wrong))}
        if wrong and right - wrong:
            return Fault("wrong and right", names)
    return Fault("kit", {"message": re.sub(NUMBERS, "", said[0].message)})  # in its words


def _known(
    found: Any, right: Any, slips: Slips, *given: Any, digits: float = NEAR
) -> Fault | None:
    """Find a value that a known mistake gives."""
    there = np.isfinite(found)  # a mask that hides all gives NaN
    for name, wrong in {} if near(found, right, digits) else slips.items():
        value = np.asarray(wrong(*given))
        alike = there.any() and value.shape == there.shape
        if alike and near(np.asarray(found)[there], value[there], digits):
            return Fault(name)
    return None


def near(found: Any, right: Any, digits: float = NEAR) -> bool:
    """Whether all numbers agree, relative to the largest."""
    a, b = np.asarray(found), np.asarray(right)
    size = float(np.abs(b).max(initial=0))
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0, atol=digits * size))


def _worst(found: Any, right: Any) -> dict[str, str]:
    """Return the two numbers that differ most, or the two shapes."""
    a, b = np.asarray(found), np.asarray(right)
    if a.shape != b.shape:
        return {"found": f"an array of shape {a.shape}", "right": f"{b.shape}"}
    at = np.unravel_index(int(np.argmax(np.abs(a - b))), a.shape)
    digits = 7 if f"{a[at]:.7g}" != f"{b[at]:.7g}" else 17  # as many as tell the two
    return {"found": f"{a[at]:.{digits}g}", "right": f"{b[at]:.{digits}g}"}
