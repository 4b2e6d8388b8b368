"""The verdicts on an optimizer."""

import copy
import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from minifw._tools.checks import describe
from minifw.core.parameter import Parameter
from minifw.optimizers import SGD, Optimizer
from minifw.testing._arguments import VARIADIC, Arguments
from minifw.testing._equal import alike, looks_like_float32
from minifw.testing._questions import pickled
from minifw.testing._report import Failure, NotApplicable, Question, Report, judge
from minifw.testing._state import random_sources
from minifw.testing.optimizers._subject import (
    DESCENT_CHECKS,
    FEW,
    SHAPES,
    MakeOptimizer,
    OptimizerSubject,
    differing,
    named,
    values_of,
    walk,
)
from minifw.typing import Array

MANY = 1000  # identical steps
ROUNDING = 1e-9  # what two orders of summation may come to after a few steps, relatively
FLOAT32_ROUNDING = 1e-3  # the same of float32 against float64


def check_optimizer(make_optimizer: MakeOptimizer, *, seed: int = 0) -> Report:
    """Check everything that the contract of an optimizer asks, and say what is wrong.

    Parameters
    ----------
    make_optimizer : callable
        Called with a list of parameters, it returns a new optimizer over them,
        such as ``lambda parameters: SGD(parameters, lr=0.1)``. Where the
        optimizer draws random numbers, it gives the same seed each time.
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
    The functions to be lowered are tried with the optimizer's own learning rate
    and with powers of ten; one of them must do. What has a nonzero attribute
    `weight_decay` may move a parameter whose gradient is zero, towards zero.

    Examples
    --------
    >>> from minifw import Optimizer
    >>> from minifw.testing import CheckError, check_optimizer
    >>> class Ascent(Optimizer):
    ...     def update(self, values, grads):
    ...         values += self.lr * grads
    >>> try:
    ...     check_optimizer(lambda parameters: Ascent(parameters, lr=0.1))
    ... except CheckError as error:
    ...     print(error.report.failures[0].message)
    it goes uphill: the sign of its step is that of the gradient
    """
    __tracebackhide__ = True
    subject = optimizer_subject(make_optimizer, seed)
    return judge(repr(subject.make(subject.parameters())), OPTIMIZER_CHECKS, subject)


def optimizer_subject(make_optimizer: MakeOptimizer, seed: int = 0) -> OptimizerSubject:
    """Return what the checks take, or raise if `make_optimizer` makes no optimizer."""
    if not callable(make_optimizer):
        raise TypeError(
            "check_optimizer expects a function that makes an optimizer, such as "
            f"lambda parameters: SGD(parameters, lr=0.1), got {describe(make_optimizer)}"
        )
    subject = OptimizerSubject(make_optimizer, seed)
    try:
        made = make_optimizer(subject.parameters())
    except TypeError as error:
        if isinstance(make_optimizer, type):
            name = make_optimizer.__name__
            error.add_note(f"check_optimizer: write lambda parameters: {name}(parameters, ...)")
        raise
    if not isinstance(made, Optimizer):
        raise TypeError(
            f"check_optimizer expects make_optimizer to return an optimizer, it returned "
            f"{describe(made)}"
        )
    return subject


# -- what a step touches ---------------------------------------------------------------


def _in_place(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    arrays = [(p.value, p.grad) for p in parameters]
    walk(parameters, optimizer, s.gradients(1))
    values, grads = optimizer._vector.values, optimizer._vector.grads
    for index, (parameter, (value, grad)) in enumerate(zip(parameters, arrays, strict=True)):
        if parameter.value is not value or parameter.grad is not grad:
            raise Failure(f"it puts another array in the place of {named([index])}")
        if not (np.shares_memory(value, values) and np.shares_memory(grad, grads)):
            raise Failure(f"{named([index])} no longer lies in the optimizer's vector")


def _gradients_kept(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    gradients = s.gradients(FEW)
    for step in gradients:
        walk(parameters, optimizer, [step])
        changed = differing([p.grad for p in parameters], step)
        if changed:
            raise Failure(f"it changes the gradient of {named(changed)}: read grads, copy first")


def _zero_gradient(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    before = values_of(parameters)
    zeros: list[list[Array]] = [[np.zeros(shape) for shape in SHAPES]]
    after = walk(parameters, optimizer, zeros)
    if not all(np.isfinite(value).all() for value in after):
        raise Failure(f"a zero gradient makes the parameters NaN: {_why_nan(s)}")
    if np.any(getattr(optimizer, "weight_decay", 0.0)):
        for index, (a, b) in enumerate(zip(before, after, strict=True)):
            outwards = (b - a) * a > 0
            if np.any(outwards) and np.any((b - a) * a < 0):
                raise Failure(
                    f"with a zero gradient, some numbers of {named([index])} move away from 0 and "
                    "some towards it: what is taken off must be weight_decay times the values"
                )
            if np.any(outwards):
                raise Failure(
                    f"with a zero gradient, {named([index])} moves away from 0: the sign of the "
                    "weight_decay is wrong"
                )
        return
    # A projection, such as a clip, may move what starts outside: once. And an average of values
    # that are all one rounds.
    before, after = after, walk(parameters, optimizer, zeros * FEW)
    pairs = enumerate(zip(before, after, strict=True))
    moved = [i for i, (a, b) in pairs if not np.allclose(a, b, rtol=ROUNDING, atol=0.0)]
    if moved and random_sources(optimizer):
        raise NotApplicable("it draws random numbers, and may add noise to a gradient of 0")
    if moved:
        shrunk = all(np.all(np.abs(b) <= np.abs(a)) for a, b in zip(before, after, strict=True))
        reason = ": a decay, which an attribute weight_decay must declare" if shrunk else ""
        raise Failure(f"a zero gradient moves {named(moved)}{reason}")


def _why_nan(s: OptimizerSubject) -> str:
    """Tell a 0 / 0 of a zero gradient from one of the first step, that of any gradient."""
    parameters, optimizer = s.built()
    if all(np.isfinite(value).all() for value in walk(parameters, optimizer, s.gradients(1))):
        return "0 / 0, an epsilon is missing"
    return "as any does in the first step; there self.steps is 0, so that t = self.steps + 1"


def _non_finite_refused(s: OptimizerSubject) -> None:
    for bad in (math.nan, math.inf):
        parameters, optimizer = s.built()
        walk(parameters, optimizer, s.gradients(FEW))
        before, state = values_of(parameters), copy.deepcopy(optimizer.state_dict())
        step = s.gradients(1)[0]
        step[-1] = np.full(SHAPES[-1], bad)
        try:
            walk(parameters, optimizer, [step])
        except (ValueError, FloatingPointError):
            if differing(before, values_of(parameters)) or not alike(
                state, optimizer.state_dict()
            ):
                raise Failure(
                    f"a gradient of {bad} is refused, but only after something was changed"
                ) from None
        else:
            raise Failure(
                f"a non-finite gradient, {bad}, must raise NonFiniteError: "
                "override update rather than step"
            )


# -- the learning rate and the count of steps ---------------------------------------------


def _rate_used(s: OptimizerSubject) -> None:
    moves = []
    for factor in (1.0, 0.5):
        parameters, optimizer = s.built()
        optimizer.lr *= factor
        moves.append(walk(parameters, optimizer, s.gradients(FEW)))
    if not differing(*moves):
        raise Failure("an lr that is assigned has no effect: read self.lr at each step")


def _rate_refused(s: OptimizerSubject) -> None:
    _, optimizer = s.built()
    kept = optimizer.lr
    for bad in (0.0, -1.0, math.nan):
        try:
            optimizer.lr = bad
        except ValueError:
            pass
        else:
            raise Failure(f"an lr of {bad} must raise ValueError")
        if optimizer.lr != kept:
            raise Failure(f"an lr of {bad} was refused, but changed lr to {optimizer.lr}")


def _counts(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    values = walk(parameters, optimizer, s.gradients(1) * MANY)
    if optimizer.steps != MANY:
        raise Failure(f"steps is {optimizer.steps} after {MANY} steps")
    if not all(np.isfinite(value).all() for value in values):
        raise Failure(f"the parameters are not finite after {MANY} steps of one gradient")


# -- state -----------------------------------------------------------------------------


def _resumes(s: OptimizerSubject) -> None:
    gradients = s.gradients(2 * FEW)
    parameters, optimizer = s.built()
    before = _additions(optimizer)
    middle = walk(parameters, optimizer, gradients[:FEW])
    state = copy.deepcopy(optimizer.state_dict())
    after = _additions(optimizer)
    changed = {name for name in after if not alike(before.get(name), after[name])}
    expected = walk(parameters, optimizer, gradients[FEW:])

    twins, twin = s.built()
    for parameter, value in zip(twins, middle, strict=True):
        parameter.value = value
    twin.load_state_dict(state)
    if twin.steps != FEW:
        raise Failure(f"resumed from state_dict, steps is {twin.steps} and not {FEW}")
    if differing(expected, walk(twins, twin, gradients[FEW:])):
        lost = sorted(changed - state.keys())
        reason = f": {', '.join(lost)} is not in it, a public attribute would be" if lost else ""
        reason = _aliased(optimizer) or reason
        raise Failure(f"resumed from state_dict, it takes another way{reason}")


def _aliased(optimizer: Optimizer) -> str:
    """Name state that is the very memory of the values or the gradients."""
    vectors = {"values": optimizer._vector.values, "grads": optimizer._vector.grads}
    for name, state in vars(optimizer).items():
        for vector, array in vectors.items():
            if isinstance(state, np.ndarray) and np.shares_memory(state, array):
                return (
                    f": the attribute {name} is the array {vector} itself, and changes with it; "
                    f"keep a copy, self.{name}[...] = {vector}"
                )
    return ""


def _additions(optimizer: Optimizer) -> dict[str, Any]:
    """Return copies of the attributes that only this kind of optimizer has, private ones too."""
    plain = vars(SGD([Parameter(np.zeros(1))], lr=1.0))
    return {name: _copied(value) for name, value in vars(optimizer).items() if name not in plain}


def _copied(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001 - what cannot be copied is looked at as it is
        return value


def _state_is_a_copy(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    walk(parameters, optimizer, s.gradients(FEW))
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    walk(parameters, optimizer, s.gradients(FEW))
    changed = [name for name in kept if not alike(kept[name], state[name])]
    if changed:
        raise Failure(f"state_dict is no copy: later steps change {', '.join(changed)} in it")
    twins, twin = s.built()
    twin.load_state_dict(state)
    walk(twins, twin, s.gradients(FEW))
    if not alike(kept, state):
        raise Failure("load_state_dict copies nothing: later steps change what it was given")


def _order(s: OptimizerSubject) -> None:
    gradients = s.gradients(FEW)
    parameters, optimizer = s.built()
    if random_sources(optimizer):
        raise NotApplicable("it draws random numbers, in the order of the parameters")
    expected = walk(parameters, optimizer, gradients)
    twins = s.parameters()
    found = walk(twins, s.make(twins[::-1]), gradients)
    for index, (a, b) in enumerate(zip(expected, found, strict=True)):
        if not np.allclose(a, b, rtol=ROUNDING, atol=ROUNDING, equal_nan=True):
            raise Failure(f"in reversed order of the parameters, {named([index])} goes elsewhere")


def _deterministic(s: OptimizerSubject) -> None:
    first, second = (walk(*s.built(), s.gradients(FEW)) for _ in range(2))
    if differing(first, second):
        raise Failure("the same gradients lead elsewhere each time: seed what it draws")


# -- copies and dtypes -----------------------------------------------------------------


def _continues(what: str, duplicate: Callable[[Any], Any], s: OptimizerSubject) -> None:
    """Copy parameters and optimizer together, and let both go on: twin first."""
    gradients = s.gradients(2 * FEW)
    pair = s.built()
    middle = walk(*pair, gradients[:FEW])
    twins, twin = duplicate(pair)
    found = walk(twins, twin, gradients[FEW:])
    if differing(middle, values_of(pair[0])):
        raise Failure(f"{what} moves the parameters of the original")
    if not differing(found, walk(*pair, gradients[FEW:])):
        return
    if not differing(found, middle):
        raise Failure(f"{what} does not move its own parameters: it holds arrays of another's")
    raise Failure(f"{what} takes another way than the original")


def _state_dtype(s: OptimizerSubject) -> None:
    """Find state of all parameters in float32 beside parameters in float64."""
    parameters, optimizer = s.built()
    walk(parameters, optimizer, s.gradients(FEW))
    for name, state in vars(optimizer).items():
        size = optimizer._vector.values.size
        if isinstance(state, np.ndarray) and state.size == size and state.dtype == np.float32:
            raise Failure(
                f"the attribute {name} is float32 beside float64 parameters, and has 7 digits: "
                "self.zeros() has their dtype"
            )


def _float32(s: OptimizerSubject) -> None:
    gradients = s.gradients(FEW)
    parameters, optimizer = s.built()
    for parameter in parameters:
        parameter.value = np.zeros(parameter.shape)  # so that the values are the steps
    steps = walk(parameters, optimizer, gradients[:1])
    if all(looks_like_float32(step) for step in steps):
        raise Failure("the step of float64 parameters went through float32: it has 7 digits")
    expected = walk(*s.built(), gradients)
    parameters, optimizer = s.built(np.float32)
    found = walk(parameters, optimizer, gradients)
    for index, (a, b) in enumerate(zip(expected, found, strict=True)):
        if b.dtype != np.float32:
            raise Failure(f"{named([index])} was float32, and is {b.dtype} after a step")
        if not np.allclose(a, b, rtol=FLOAT32_ROUNDING, atol=FLOAT32_ROUNDING):
            raise Failure(f"in float32, {named([index])} goes elsewhere than in float64")


# -- arguments -------------------------------------------------------------------------


def _uses_every_argument(s: OptimizerSubject) -> None:
    """Change one argument at a time; the optimizer must take another way."""
    kind = type(s.built()[1])
    with _recorded(kind) as calls:
        _, optimizer = s.built()
    if len(calls) != 1:
        raise NotApplicable("the call of its constructor is not to be seen")
    (first, *_), given = inspect.signature(kind).parameters.values(), calls[0]
    if any(p.kind in VARIADIC for p in inspect.signature(kind).parameters.values()):
        raise NotApplicable("the constructor takes any number of arguments")
    # Copied with the others: one of them may hold some of the parameters.
    parameters = {first.name: list(given.pop(first.name))}
    gradients = s.gradients(FEW)

    def way(one: Optimizer) -> list[Array]:
        return walk(one.parameters, one, gradients)

    arguments = Arguments(kind, given, [way], what="optimizer", fixed=parameters)
    if differing(way(arguments.build()), way(optimizer)):
        raise NotApplicable("built anew from its arguments it takes another way")
    arguments.judge()


@contextmanager
def _recorded(kind: Any) -> Iterator[list[dict[str, Any]]]:
    """Write down the arguments of each call of a class, defaults included."""
    calls: list[dict[str, Any]] = []
    signature, init = inspect.signature(kind), kind.__init__
    own = "__init__" in vars(kind)

    def recording(self: Any, *args: Any, **kwargs: Any) -> None:
        if type(self) is kind:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            calls.append(dict(bound.arguments))
        init(self, *args, **kwargs)

    kind.__init__ = recording
    try:
        yield calls
    finally:
        if own:
            kind.__init__ = init
        else:
            del kind.__init__


OPTIMIZER_CHECKS: tuple[Question, ...] = (
    *DESCENT_CHECKS,
    Question("works in place", _in_place),
    Question("leaves gradients alone", _gradients_kept),
    Question("zero gradient, no move", _zero_gradient),
    Question("refuses a non-finite gradient", _non_finite_refused),
    Question("uses an lr that is assigned", _rate_used),
    Question("refuses an lr that is not above 0", _rate_refused),
    Question("counts its steps", _counts),
    Question("resumes from state_dict", _resumes),
    Question("state_dict is a copy", _state_is_a_copy),
    Question("order of the parameters", _order),
    Question("deterministic", _deterministic),
    Question("deepcopy", partial(_continues, "a deepcopy", copy.deepcopy)),
    Question("pickle", partial(_continues, "a pickle", lambda pair: pickled(pair, pair[1]))),
    Question("state in the dtype of the parameters", _state_dtype),
    Question("float32", _float32),
    Question("uses every argument", _uses_every_argument),
)
