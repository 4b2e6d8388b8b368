"""The verdicts on a layer."""

import copy
import pickle
import warnings
from collections.abc import Callable

import numpy as np

from minifw._core.checks import describe
from minifw._core.layer import Layer
from minifw._core.typing import Array, Shape
from minifw.testing._arguments import ARGUMENT_CHECKS
from minifw.testing._compare import layouts, looks_like_float32, worst
from minifw.testing._explain import Fault, explain
from minifw.testing._gradients import INPUT, Situation, analytic, check_result, numeric
from minifw.testing._numeric import mismatches
from minifw.testing._report import Failure, NotApplicable, Report, judge
from minifw.testing._subject import LayerSubject, generator_states, set_generator_states

__all__ = ["LAYER_CHECKS", "check_layer", "layer_subject"]

FORGOTTEN_SUM = "a sum over the axes that were broadcast (the batch) is forgotten"

ROUNDING = 1e-12  # what two ways of computing the same float64 may differ by, relative to all
FLOAT32_ROUNDING = 1e-3  # what float32 may differ from float64 by, where the layer is no worse


def check_layer(layer: Layer, x: Array, *, seed: int = 0) -> Report:
    """Check everything that the contract of a layer asks, and say what is wrong.

    Parameters
    ----------
    layer : Layer
        It is copied, and left as it is.
    x : array
        A batch that it accepts; the checks draw others like it. Whole numbers
        are taken for indices, and not differentiated.
    seed : int, default 0
        Of everything random in the checks.

    Returns
    -------
    Report
        Prints as a table of named verdicts.

    Raises
    ------
    CheckError
        If a verdict failed. It is an AssertionError, and its `report` holds all
        verdicts: all failures at once.

    Notes
    -----
    Gradients are those of sum(dy * y) for a random dy, at random values of the
    parameters, in float64, by a five-point formula with a step that fits (see
    `minifw.testing._numeric`).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense
    >>> from minifw.testing import check_layer
    >>> x = np.random.default_rng(0).standard_normal((4, 3))
    >>> check_layer(Dense(3, 2), x).passed
    True
    """
    subject = layer_subject(layer, x, seed)
    name = repr(layer)
    try:
        _accepts_x(subject)
    except Exception:  # noqa: BLE001 - the verdict tells it; all others would repeat it
        return judge(name, LAYER_CHECKS[:1], subject)
    return judge(name, LAYER_CHECKS, subject)


def layer_subject(layer: Layer, x: Array, seed: int = 0) -> LayerSubject:
    """Return what the checks take, or raise if it is no layer or no batch."""
    if not isinstance(layer, Layer):
        hint = f"; write {layer.__name__}(...)" if isinstance(layer, type) else ""
        raise TypeError(f"check_layer expects a layer, got {describe(layer)}{hint}")
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "fiu" or x.ndim < 1 or not x.size:
        raise TypeError(
            f"check_layer expects x to be an array, a batch of numbers, got {describe(x)}"
        )
    return LayerSubject(layer, x, seed)


# -- results ---------------------------------------------------------------------------


def _accepts_x(s: LayerSubject) -> None:
    layer = copy.deepcopy(s.layer)
    y = layer.forward(s.given())
    check_result("forward", y)
    if y.dtype.kind != "f":
        raise Failure(f"forward must return floating-point numbers, it returned {describe(y)}")
    if y.ndim < 1 or len(y) != len(s.x):
        raise Failure(f"forward must keep the batch of {len(s.x)} rows, it returned {describe(y)}")
    try:
        dx = layer.backward(np.ones_like(y))
    except ValueError as error:
        if "broadcast" in str(error):
            raise Failure(f"backward raised {error}: {FORGOTTEN_SUM}") from None
        raise
    check_result("backward", dx)
    if s.differentiable and dx.shape != s.x.shape:
        raise Failure(
            f"backward must return dL/dx in the shape of x, {s.x.shape}, it returned {dx.shape}"
            f"{_misshapen(dx.shape, s.x.shape)}"
        )


def _misshapen(found: Shape, wanted: Shape) -> str:
    """Say what may have gone wrong with a shape."""
    if found == wanted[::-1]:
        return ": it is transposed"
    try:
        wider = np.broadcast_shapes(found, wanted) == found
    except ValueError:
        return ""
    return f": {FORGOTTEN_SUM}" if wider else ""


def _output_shape(s: LayerSubject) -> None:
    example = s.x.shape[1:]
    for training in (True, False):
        layer = s.twin(training=training)
        real = layer.forward(s.input()).shape[1:]
        try:
            said = layer.output_shape(example)
        except Exception as error:
            if type(layer).output_shape is Layer.output_shape:
                raise Failure(
                    f"the default output_shape asks forward with zeros, which raised "
                    f"{type(error).__name__}: {error}; override output_shape"
                ) from None
            raise
        if tuple(said) != real:
            raise Failure(f"output_shape({example}) is {said}, forward gives {real}")


# -- gradients -------------------------------------------------------------------------


def _gradient(
    *, of_x: bool, training: bool, batch: int | None = None, given: bool = False
) -> Callable[[LayerSubject], None]:
    def check(s: LayerSubject) -> None:
        if given:
            situation = Situation.at(s, training, s.given(np.float64))
        else:
            situation = Situation.of(s, training=training, batch=batch)
        _compare(situation, of_x=of_x)

    return check


def _compare(situation: Situation, *, of_x: bool) -> None:
    s = situation.subject
    names = [name for name, _ in situation.layer().named_parameters()]
    if of_x and not s.differentiable:
        raise NotApplicable("x holds whole numbers")
    if not of_x and not names:
        raise NotApplicable("there are none")
    earlier = s.input(len(situation.x), draw=2)
    found = analytic(situation, earlier=earlier)
    messages = []
    for name in [INPUT] if of_x else names:
        true = numeric(situation, name)
        if found[name].shape != true.value.shape:
            raise Failure(f"d{name} has the shape {found[name].shape}, not {true.value.shape}")
        wrong = mismatches(found[name], true)
        if wrong.any():
            place = worst(f"d{name}", found[name], true, wrong)
            why = explain(Fault(situation, name, found[name], true, earlier))
            messages.append(f"{place}\n{why}" if why else place)
    if messages:
        raise Failure("\n".join(messages))


# -- calls in other orders -------------------------------------------------------------


def _same(what: str, first: Array, second: Array, rounding: float = 0.0) -> None:
    """Raise unless two results are equal, up to rounding relative to the largest."""
    if first.shape != second.shape:
        raise Failure(f"{what}: the shapes {first.shape} and {second.shape} differ")
    margin = rounding * float(np.max(np.abs(first), initial=0.0))
    different = ~(np.abs(first - second) <= margin) & ~(np.isnan(first) & np.isnan(second))
    if different.any():
        index = tuple(int(i) for i in np.argwhere(different)[0])
        raise Failure(f"{what}: at {index}, {first[index]:.10g} and {second[index]:.10g}")


def _same_gradients(
    what: str, first: dict[str, Array], second: dict[str, Array], rounding: float = 0.0
) -> None:
    for name, array in first.items():
        _same(f"{what}, d{name} differs", array, second[name], rounding)


def _gradients(layer: Layer, dx: Array | None) -> dict[str, Array]:
    found = {name: p.grad.copy() for name, p in layer.named_parameters()}
    return found if dx is None else {INPUT: dx, **found}


def _overwrites(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    names = [name for name, _ in situation.layer().named_parameters()]
    if not names:
        raise NotApplicable("there are no parameters")
    clean, filled = analytic(situation, fill=0.0), analytic(situation, fill=7.0)
    for name in names:
        if not np.array_equal(clean[name], filled[name]):
            rest = "backward adds to what was there: overwrite it (= in place of +=)"
            if (filled[name] == 7.0).any():
                rest = "backward leaves what was there"
            raise Failure(f"the gradient of {name} depends on what it held before: {rest}")


def _backward_twice(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    layer = situation.layer()
    layer.forward(situation.x)
    first = _gradients(layer, layer.backward(situation.dy.copy()).copy())
    second = _gradients(layer, layer.backward(situation.dy.copy()))
    _same_gradients("after a second backward", first, second)


def _latest_forward(s: LayerSubject) -> None:
    """Find a cache that keeps the first input, or one that misses the second."""
    situation = Situation.of(s, training=True)
    other = s.input(draw=3)
    layer = situation.layer()
    states = generator_states(layer)
    for x in (other, situation.x):
        set_generator_states(layer, states)
        layer.forward(x)
    found = _gradients(layer, layer.backward(situation.dy))
    expected = analytic(situation)
    try:
        _same_gradients("after two forwards", expected, found)
    except Failure as fault:
        raise Failure(f"{fault}; backward must differentiate the latest forward") from None


def _mode_of_the_forward(s: LayerSubject) -> None:
    """Change the mode between a forward and its backward."""
    for training, call in ((True, "eval()"), (False, "train()")):
        situation = Situation.of(s, training=training)
        layer = situation.layer()
        layer.forward(situation.x)
        layer.train(not training)
        found = _gradients(layer, layer.backward(situation.dy))
        what = f"with {call} between a forward and its backward"
        _same_gradients(what, analytic(situation), found, ROUNDING)


def _eval_between(s: LayerSubject) -> None:
    """Evaluate between a training forward and a backward: that is of the latest, the eval one."""
    situation = Situation.of(s, training=True)
    found = []
    for back_to_training in (False, True):
        layer = situation.layer()
        layer.forward(s.input(draw=3))
        layer.eval().forward(situation.x)
        layer.train(back_to_training)
        found.append(_gradients(layer, layer.backward(situation.dy)))
    what = "with a forward in eval mode between a training forward and backward"
    _same_gradients(what, found[0], found[1], ROUNDING)


def _backward_parameters(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    layer, other = situation.layer(), situation.layer()
    if not layer.named_parameters():
        raise NotApplicable("there are no parameters")
    for one in (layer, other):
        one.forward(situation.x)
        for parameter in one.parameters():
            parameter.grad = np.full(parameter.shape, np.nan)
    layer.backward(situation.dy)
    other.backward_parameters(situation.dy)
    _same_gradients(
        "backward_parameters against backward",
        _gradients(layer, None),
        _gradients(other, None),
        ROUNDING,
    )


def _backward_first(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    layer = copy.deepcopy(s.layer)  # which leaves behind what was saved
    try:
        layer.backward(situation.dy)
    except RuntimeError:
        return
    except Exception as error:  # noqa: BLE001 - any other is the finding
        raise Failure(
            f"backward before forward raised {type(error).__name__}: {error}; "
            "a RuntimeError is expected, which self.saved() raises"
        ) from None
    if s.layer.parameters() or _depends_on_x(situation):
        raise Failure("backward before forward raised nothing; self.saved() would")


def _depends_on_x(situation: Situation) -> bool:
    """Whether dx depends on x, so that something must be saved."""
    other = Situation(situation.subject, True, situation.subject.input(draw=3), situation.dy)
    return not np.array_equal(analytic(situation)[INPUT], analytic(other)[INPUT])


# -- batches ---------------------------------------------------------------------------


def _rows_alone(s: LayerSubject) -> None:
    for training in (True, False):
        situation = Situation.of(s, training=training)
        layer = situation.layer()
        states = generator_states(layer)
        if states and training:
            continue  # each row has its own draw
        y = layer.forward(situation.x)
        if _mixes_rows(situation):
            continue
        dx = layer.backward(situation.dy)
        sums = {name: np.zeros(p.shape) for name, p in layer.named_parameters()}
        whole = {name: p.grad.copy() for name, p in layer.named_parameters()}
        for i in range(len(y)):
            row = slice(i, i + 1)
            _same(
                f"row {i} alone and in a batch, y differs",
                y[row],
                layer.forward(situation.x[row]),
                ROUNDING,
            )
            alone = layer.backward(situation.dy[row])
            if s.differentiable:
                _same(f"row {i} alone and in a batch, dx differs", dx[row], alone, ROUNDING)
            for name, parameter in layer.named_parameters():
                sums[name] += parameter.grad
        for name, gradient in whole.items():
            _same(
                f"of a batch and summed over its rows, d{name} differs",
                gradient,
                sums[name],
                ROUNDING,
            )


def _mixes_rows(situation: Situation) -> bool:
    """Whether an output row depends on another input row, as in batch normalisation."""
    x = situation.x.copy()
    before = situation.layer().forward(x.copy())
    x[0] = situation.subject.input(1, draw=4)[0]
    after = situation.layer().forward(x)
    return not np.allclose(before[1:], after[1:], rtol=ROUNDING, atol=0)


def _layouts(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    expected = analytic(situation)
    y = situation.layer().forward(situation.x)
    inputs, cotangents = layouts(situation.x), layouts(situation.dy)
    for name, x in inputs.items():
        layer = situation.layer()
        try:
            _same(f"x {name}, y differs", y, layer.forward(x), ROUNDING)
            found = _gradients(layer, layer.backward(cotangents[name]))
        except Failure:
            raise
        except Exception as error:  # noqa: BLE001 - told with the layout
            raise Failure(
                f"with x and dy {name} it raised {type(error).__name__}: {error}"
            ) from None
        _same_gradients(f"x and dy {name}", expected, found, ROUNDING)


# -- memory ----------------------------------------------------------------------------


def _writes_nothing(s: LayerSubject) -> None:
    for training in (True, False):
        situation = Situation.of(s, training=training)
        layer = situation.layer()
        x, dy = situation.x.copy(), situation.dy.copy()
        y = layer.forward(x)
        y_then = y.copy()
        _unchanged(x, situation.x, "forward writes into its input x")
        dx = layer.backward(dy)
        dx_then = dx.copy()
        _unchanged(dy, situation.dy, "backward writes into dy")
        _unchanged(x, situation.x, "backward writes into the x of the forward before")
        _unchanged(y, y_then, "backward writes into the y that forward had handed out")
        later = layer.forward(s.input(draw=3))
        layer.backward(s.cotangent(later, draw=3))
        _unchanged(y, y_then, "a second forward writes into the y that the first handed out")
        _unchanged(dx, dx_then, "a second backward writes into the dx that the first handed out")
        if np.shares_memory(y, later):
            raise Failure("the results of two forwards share memory")


def _leaves_parameters(s: LayerSubject) -> None:
    for training in (True, False):
        situation = Situation.of(s, training=training)
        layer = situation.layer()
        before = layer.state_dict()
        for method, argument in (("forward", situation.x), ("backward", situation.dy)):
            getattr(layer, method)(argument)
            for name, value in layer.state_dict().items():
                _unchanged(
                    value,
                    before[name],
                    f"{method} changes the parameter {name}: that is the optimizer's business",
                )


def _unchanged(now: Array, then: Array, otherwise: str) -> None:
    if not np.array_equal(now, then, equal_nan=True):
        raise Failure(otherwise)


def _dtype(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    layer = s.twin(np.float32)
    states = generator_states(layer)
    y = layer.forward(s.input(dtype=np.float32))
    results = {"y": y, **_gradients(layer, layer.backward(s.cotangent(y)))}
    _check_dtype(s, results, np.float32)
    if not states:  # which draws others in another dtype
        wide = situation.layer().forward(situation.x)
        _same("float64 and float32, y differs", wide, y.astype(np.float64), FLOAT32_ROUNDING)


def _check_dtype(s: LayerSubject, results: dict[str, Array], dtype: type) -> None:
    for name, array in results.items():
        if array.dtype != dtype and (name != INPUT or s.differentiable):
            what = "y" if name == "y" else f"d{name}"
            raise Failure(f"{np.dtype(dtype)} in, {what} is {array.dtype}: a hidden cast")


def _precision(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    layer = situation.layer()
    results = {"y": layer.forward(situation.x)}
    results.update(_gradients(layer, layer.backward(situation.dy)))
    _check_dtype(s, results, np.float64)
    for name, array in results.items():
        what = "y" if name == "y" else f"d{name}"
        if looks_like_float32(array):
            raise Failure(f"float64 in, but {what} holds float32 numbers: a hidden cast")


# -- copies ----------------------------------------------------------------------------


def _deterministic(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    first, second = situation.layer(), situation.layer()
    _same(
        "twice the same layer and x, y differs",
        first.forward(situation.x),
        second.forward(situation.x),
    )
    _same_gradients("twice the same layer and x", analytic(situation), analytic(situation))


def _copied(how: Callable[[Layer], Layer], what: str) -> Callable[[LayerSubject], None]:
    def check(s: LayerSubject) -> None:
        situation = Situation.of(s, training=True)
        layer = situation.layer()
        twin = how(layer)
        if repr(twin) != repr(layer):
            raise Failure(f"the {what} is {twin!r}, not {layer!r}")
        if twin.training != layer.training:
            raise Failure(f"the {what} is in another mode")
        before = layer.state_dict()
        _same(f"in the {what}, y differs", layer.forward(situation.x), twin.forward(situation.x))
        _same_gradients(
            f"in the {what}",
            _gradients(layer, layer.backward(situation.dy)),
            _gradients(twin, twin.backward(situation.dy)),
        )
        for parameter in twin.parameters():
            parameter.value = np.zeros(parameter.shape)
        for name, value in layer.state_dict().items():
            if not np.array_equal(value, before[name]):
                raise Failure(f"the {what} shares the parameter {name} with the original")

    return check


def _pickled(layer: Layer) -> Layer:
    for one in (layer, *(nested for _, nested in layer.named_layers())):
        try:
            pickle.dumps(type(one))
        except (AttributeError, pickle.PicklingError):
            raise NotApplicable(
                f"{type(one).__name__} is not at the top of a module, where pickle looks for it"
            ) from None
    twin: Layer = pickle.loads(pickle.dumps(layer))  # noqa: S301 - made here
    return twin


def _state_dict(s: LayerSubject) -> None:
    situation = Situation.of(s, training=True)
    layer, other = situation.layer(), s.twin(draw=9)
    other.load_state_dict(layer.state_dict())
    _same(
        "after load_state_dict, y differs", layer.forward(situation.x), other.forward(situation.x)
    )
    _same_gradients(
        "after load_state_dict",
        _gradients(layer, layer.backward(situation.dy)),
        _gradients(other, other.backward(situation.dy)),
    )


# -- refusals --------------------------------------------------------------------------


def _wrong_width(s: LayerSubject) -> None:
    if s.x.ndim < 2 or not s.differentiable:
        raise NotApplicable("x has no axis of features")
    x = s.input()
    _refuses(s, np.concatenate([x, x[..., :1]], axis=-1), "one feature too many")


def _wrong_rank(s: LayerSubject) -> None:
    if not s.differentiable:
        raise NotApplicable("x holds whole numbers")
    x = s.input()
    _refuses(s, x[:, np.newaxis], "an axis too many")
    if x.ndim > 1:
        _refuses(s, x[0], "no batch axis")


def _refuses(s: LayerSubject, x: Array, what: str) -> None:
    """Raise unless the layer refuses x in a sentence, or takes it and all shapes agree."""
    layer = s.twin(training=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y = layer.forward(x)
            dx = layer.backward(np.ones_like(y))
    except (ValueError, TypeError) as error:
        if str(error):
            return
        raise Failure(f"{what}, it raised {type(error).__name__} without a word") from None
    except Exception as error:  # noqa: BLE001 - the wrong type is the finding
        raise Failure(
            f"{what}, it raised {type(error).__name__}: {error}; a ValueError that says which "
            "shape is expected would be clear"
        ) from None
    if dx.shape != x.shape:
        raise Failure(
            f"{what}, it raised nothing, and for x of shape {x.shape} dx has the shape {dx.shape}"
        )


LAYER_CHECKS: tuple[tuple[str, Callable[[LayerSubject], None]], ...] = (
    ("takes x, returns arrays", _accepts_x),
    ("output_shape", _output_shape),
    ("dx, training", _gradient(of_x=True, training=True)),
    ("dx, eval", _gradient(of_x=True, training=False)),
    ("dx, one example", _gradient(of_x=True, training=False, batch=1)),
    ("dx at the given x", _gradient(of_x=True, training=True, given=True)),
    ("gradients of parameters, training", _gradient(of_x=False, training=True)),
    ("gradients of parameters, eval", _gradient(of_x=False, training=False)),
    ("gradients of parameters, one example", _gradient(of_x=False, training=False, batch=1)),
    ("gradients are overwritten", _overwrites),
    ("backward twice", _backward_twice),
    ("backward of the latest forward", _latest_forward),
    ("mode changed before backward", _mode_of_the_forward),
    ("eval between forward and backward", _eval_between),
    ("backward_parameters", _backward_parameters),
    ("backward before forward", _backward_first),
    ("rows alone and in a batch", _rows_alone),
    ("memory layouts, read-only", _layouts),
    ("writes into nothing of others", _writes_nothing),
    ("leaves parameters alone", _leaves_parameters),
    ("float32 in, float32 out", _dtype),
    ("float64 throughout", _precision),
    ("deterministic", _deterministic),
    ("deepcopy", _copied(copy.deepcopy, "deepcopy")),
    ("pickle", _copied(_pickled, "pickle")),
    ("state_dict", _state_dict),
    *ARGUMENT_CHECKS,
    ("refuses a wrong width", _wrong_width),
    ("refuses a wrong rank", _wrong_rank),
)
