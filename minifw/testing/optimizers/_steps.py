"""Verdicts on an optimizer: what a step does, and what it does it by."""

import copy
import math
from dataclasses import replace
from functools import partial
from inspect import Parameter as Argument
from typing import Any

import numpy as np

from minifw.optimizers import Optimizer
from minifw.testing._arguments import Arguments, signature_of
from minifw.testing._equal import Results, alike
from minifw.testing._report import Failure, NotApplicable, leave_declared
from minifw.testing._state import random_sources
from minifw.testing.optimizers._subject import (
    FEW,
    OptimizerSubject,
    copied,
    finite,
    moved,
    values_of,
    walk,
)
from minifw.typing import Array

MANY = 1000  # identical steps
ROUNDING = 1e-9  # what two orders of summation may come to after a few steps, relatively
DECAY = 0.1  # a weight_decay, where it is 0
SCALES = (1.0, 10.0, 0.1, 100.0, 0.01)  # of gradients: a bound is felt by large ones only

# -- what a step does -------------------------------------------------------------------


def works_in_place(s: OptimizerSubject) -> None:
    """Make some steps: of one that raises, makes NaN or does not move nothing else is asked."""
    parameters, optimizer = s.built()
    before, arrays = values_of(parameters), [(p.value, p.grad) for p in parameters]
    try:
        first, after = (walk(parameters, optimizer, s.gradients(steps)) for steps in (1, FEW))
    except Exception as error:
        kind = type(error).__name__
        if "read-only" in str(error):
            raise Failure(
                "it writes into an array that it took from a parameter before super().__init__, "
                f"which moves them all into one vector: write into values (it raised {kind}: "
                f"{error})"
            ) from None
        fewer = replace(s, shapes=s.shapes[:-1])
        if _runs(fewer):
            raise Failure(
                f"a parameter of shape () makes it raise {kind}: {error}; write into "
                "values[...], or update the vector values as a whole"
            ) from None
        raise
    if not finite(after):
        raise Failure(_why_nan(s, first))
    if not moved(before, after):
        raise Failure(
            "it does not move the parameters: values must be changed in place, values -= ..., "
            "where values = ... makes another array"
        )
    vector = optimizer._vector.values, optimizer._vector.grads
    for name, p, mine in zip(after, parameters, arrays, strict=True):
        kept = p.value is mine[0] and p.grad is mine[1]
        if not (kept and all(map(np.shares_memory, mine, vector))):
            raise Failure(f"it puts another array in the place of {name}: write into values")


def _runs(s: OptimizerSubject) -> bool:
    try:
        walk(*s.built(), s.gradients(FEW))
    except Exception:  # noqa: BLE001 - that is the answer
        return False
    return True


def _why_nan(s: OptimizerSubject, first: Results) -> str:
    above_0 = [[np.abs(gradient) for gradient in step] for step in s.gradients(FEW)]
    if finite(walk(*s.built(), above_0)):
        return (
            "a gradient below 0 makes the parameters NaN: it takes a root or a power of a number "
            "that is not squared"
        )
    if finite(first):
        return f"it becomes non-finite within {FEW} steps"
    return (
        "the first step makes the parameters NaN: there self.steps is 0, so that "
        "t = self.steps + 1, and what is divided by must not be 0"
    )


def moves_all(s: OptimizerSubject) -> None:
    """Step on one gradient and on its opposite: each number must move by both."""
    unmoved, signs = [], list[Array]()
    for scale in (1.0, -1.0):
        pair, gradient = s.built(), s.gradients(1, scale=scale)
        before, after = values_of(pair[0]), walk(*pair, gradient * 4 * FEW)
        unmoved.append([np.asarray(a == after[name]) for name, a in before.items()])
        pairs = zip(unmoved[-1], gradient[0], strict=True)
        signs += [np.sign(g[still]) for still, g in pairs]
    never = [i for i, (a, b) in enumerate(zip(*unmoved, strict=True)) if (a & b).any()]
    names = [*values_of(s.parameters())]
    if never:
        listed = ", ".join(names[i] for i in never)
        raise Failure(f"it never moves {listed}, or a part of it: the step must change all values")
    kinds = set(np.concatenate([sign.ravel() for sign in signs]))
    if len(kinds) == 1:
        raise Failure(
            f"it moves no number whose gradient stays {'above' if kinds == {1.0} else 'below'} 0: "
            "what has a sign went into a maximum, a minimum or a root where a square belongs"
        )


def gradients_kept(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    names = values_of(parameters)
    for step in s.gradients(FEW):
        walk(parameters, optimizer, [step])
        pairs = zip(names, parameters, step, strict=True)
        changed = [name for name, p, gradient in pairs if not np.array_equal(p.grad, gradient)]
        if changed:
            raise Failure(
                f"it changes the gradient of {', '.join(changed)}: read grads, and copy it before "
                "it is clipped, scaled or added to"
            )


def deterministic(s: OptimizerSubject) -> None:
    """Let another one of the class step in between."""
    expected = walk(*s.built(), s.gradients(FEW))
    pair, other = s.built(), s.built()
    walk(*other, s.gradients(FEW, draw=3))
    if not moved(expected, walk(*pair, s.gradients(FEW))):
        return
    kind = type(pair[1])
    before = _shared(kind)
    walk(*other, s.gradients(FEW, draw=3))
    changed = [name for name, value in _shared(kind).items() if not alike(before.get(name), value)]
    if changed:
        raise Failure(
            f"all optimizers of the class share {', '.join(changed)}, which a step changes: keep "
            "it in self, made in __init__"
        )
    raise Failure(
        "the same gradients lead elsewhere each time: seed what it draws, and keep in self what "
        "it keeps elsewhere, as in the module"
    )


def _shared(kind: Any) -> dict[str, Any]:
    """Return copies of what all objects of a class share: its attributes, and defaults."""
    found = {name: copied(v) for one in kind.__mro__[::-1] for name, v in vars(one).items()}
    return {**found, "a default argument": copied(kind.__init__.__defaults__)}


def order(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    _refuse_random(optimizer)
    expected = walk(parameters, optimizer, s.gradients(FEW))
    twins = s.parameters()
    found = walk(twins, s.make(twins[::-1]), s.gradients(FEW))
    if elsewhere := moved(expected, found, ROUNDING):
        raise Failure(
            f"in reversed order of the parameters, {elsewhere} goes elsewhere: a number's step "
            "must not depend on its place, nor on how many parameters come before it"
        )


def _refuse_random(optimizer: Optimizer) -> None:
    if random_sources(optimizer):
        raise NotApplicable("it draws random numbers, in the order of the parameters")


# -- a zero gradient, one that is not finite ---------------------------------------------


def zero_gradient(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    before = walk(parameters, optimizer, s.zeros(1))
    if not finite(before):
        raise Failure("a zero gradient makes the parameters NaN: 0 / 0, an epsilon is missing")
    if np.any(getattr(optimizer, "weight_decay", 0.0)):
        raise NotApplicable("it has a weight_decay")
    # A projection, such as a clip, may move what starts outside: once. And an average of values
    # that are all one rounds.
    _refuse_random(optimizer)
    after = walk(parameters, optimizer, s.zeros(FEW))
    if elsewhere := moved(before, after, ROUNDING):
        shrunk = all(np.all(np.abs(b) <= np.abs(before[name])) for name, b in after.items())
        reason = ": a decay, which an attribute weight_decay must declare" if shrunk else ""
        raise Failure(f"a zero gradient moves {elsewhere}{reason}")


def decay_shrinks(s: OptimizerSubject) -> None:
    """Let the decay alone move the values: towards 0."""
    _, optimizer = s.built()
    if not hasattr(optimizer, "weight_decay"):
        raise NotApplicable("it has no attribute weight_decay")
    leave_declared(optimizer, "weight_decay")
    _refuse_random(optimizer)
    arguments = arguments_of(s)
    if not np.any(optimizer.weight_decay):
        if "weight_decay" not in arguments.given:
            raise NotApplicable("weight_decay is 0")
        optimizer = arguments.build(weight_decay=DECAY)
    before = values_of(optimizer.parameters)
    after = walk(optimizer.parameters, optimizer, s.zeros(1))
    for name, a in before.items():
        outwards, inwards = (np.any(sign * (after[name] - a) * a > 0) for sign in (1, -1))
        if outwards and inwards:
            raise Failure(
                f"with a zero gradient, some numbers of {name} move away from 0 and some towards "
                "it: what is taken off must be weight_decay times the values"
            )
        if outwards:
            raise Failure(
                f"with a zero gradient, {name} moves away from 0: the sign of the weight_decay is "
                "wrong"
            )
    if not moved(before, walk(optimizer.parameters, optimizer, s.zeros(FEW))):
        raise Failure(
            "weight_decay has no effect: with a zero gradient no value shrinks; subtract "
            "self.lr * self.weight_decay * values, or add weight_decay * values to the gradient "
            "before it is used"
        )


def non_finite_refused(s: OptimizerSubject) -> None:
    for bad in (math.nan, math.inf):
        parameters, optimizer = s.built()
        before = walk(parameters, optimizer, s.gradients(FEW))
        state = copy.deepcopy(optimizer.state_dict())
        step = s.gradients(1)
        step[0][-1] = np.full(s.shapes[-1], bad)
        try:
            walk(parameters, optimizer, step)
        except (ValueError, FloatingPointError):
            if moved(before, values_of(parameters)) or not alike(state, optimizer.state_dict()):
                raise Failure(
                    f"a gradient of {bad} is refused, but only after something was changed"
                ) from None
        else:
            raise Failure(
                f"a non-finite gradient, {bad}, must raise NonFiniteError: "
                "override update rather than step"
            )


# -- the learning rate and the count of steps ---------------------------------------------


def rate_used(s: OptimizerSubject) -> None:
    leave_declared(s.built()[1], "lr")
    ways = []
    for factor in (1.0, 0.5):
        pair = s.built()
        walk(*pair, s.gradients(1))  # after which it may have kept the first lr
        pair[1].lr *= factor
        ways.append(walk(*pair, s.gradients(FEW)))
    first, second = ways
    if not moved(first, second):
        raise Failure("an lr that is assigned has no effect: read self.lr at each step")


def rate_refused(s: OptimizerSubject) -> None:
    _, optimizer = s.built()
    kept = optimizer.lr
    for bad in (0.0, -1.0, math.nan):
        try:
            optimizer.lr = bad
        except ValueError:
            pass
        else:
            raise Failure(f"an lr of {bad} must raise ValueError: leave lr as Optimizer has it")
        if optimizer.lr != kept:
            raise Failure(f"an lr of {bad} was refused, but changed lr to {optimizer.lr}")


def counts(s: OptimizerSubject) -> None:
    parameters, optimizer = s.built()
    values = walk(parameters, optimizer, s.gradients(1) * MANY)
    if optimizer.steps != MANY:
        raise Failure(
            f"steps is {optimizer.steps} after {MANY} steps: step counts them, update must not; "
            "override update rather than step"
        )
    if not finite(values):
        raise Failure(f"the parameters are not finite after {MANY} steps of one gradient")


# -- arguments -------------------------------------------------------------------------


def arguments_of(s: OptimizerSubject) -> Arguments:
    """Return the arguments of the constructor, by the attributes of their names."""
    _, optimizer = s.built()
    first, *others = signature_of(type(optimizer)).parameters.values()

    def given(argument: Argument) -> Any:
        unkept = 0.5 if argument.default is Argument.empty else argument.default
        kept = getattr(optimizer, f"_{argument.name}", unkept)
        return getattr(optimizer, argument.name, kept)

    def way(gradients: list[list[Array]], one: Optimizer) -> Results:
        return walk(one.parameters, one, gradients)

    return Arguments(
        type(optimizer),
        {argument.name: given(argument) for argument in others},
        [
            *(partial(way, s.gradients(FEW, scale=scale)) for scale in SCALES),
            partial(way, s.gradients(1) * MANY),
        ],
        what="optimizer",
        fixed={first.name: list(optimizer.parameters)},
    )


def uses_arguments(s: OptimizerSubject) -> None:
    """Change one argument at a time; the optimizer must take another way."""
    arguments_of(s).judge()
