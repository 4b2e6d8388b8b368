"""Verdicts on an optimizer: what a step does, and what it depends on."""

import copy
import math
from contextlib import suppress
from dataclasses import replace
from functools import partial
from inspect import Parameter as Argument
from typing import Any

import numpy as np

from minifw.optimizers import Optimizer
from minifw.testing._arguments import Arguments, signature_of
from minifw.testing._equal import Results, alike, differing
from minifw.testing._report import Failure, NotApplicable, leave_declared
from minifw.testing._state import drawing_by_itself, random_sources
from minifw.testing.optimizers._subject import FEW, OptimizerSubject, Trial, finite, moved
from minifw.typing import Array

MANY = 1000  # identical steps
ROUNDING = 1e-9  # what two orders of summation may come to after a few steps, relatively
DECAY = 0.1  # a weight_decay, where it is 0
SCALES = (1.0, 10.0, 0.1, 100.0, 0.01)  # of gradients: a bound is felt by large ones only

# -- what a step does -------------------------------------------------------------------


def works_in_place(s: OptimizerSubject) -> None:
    """Make some steps: of one that raises, makes NaN or does not move nothing else is asked."""
    trial, gradients = s.built(), s.gradients(FEW)
    before, arrays = trial.values(), [(p.value, p.grad) for p in trial.parameters]
    try:
        after = trial.walk(gradients)
    except Exception as error:
        if "read-only" in str(error):
            error.add_note(
                "it took an array of a parameter before super().__init__, which moves all into "
                "one vector: write into values"
            )
        fewer = replace(s, shapes=s.shapes[:-1])
        with suppress(Exception):
            fewer.built().walk(fewer.gradients(FEW))
            error.add_note(
                "only a parameter of shape () makes it raise: write into values[...], or update "
                "the vector values as a whole"
            )
        raise
    if not finite(after):
        why = (
            "in the first step self.steps is 0, so t = self.steps + 1; divide by nothing that is 0"
        )
        if finite(s.built().walk([[np.abs(g) for g in step] for step in gradients])):
            why = "it takes a root or a power of a gradient below 0, where a square belongs"
        raise Failure(f"the parameters become NaN: {why}")
    if not moved(before, after):
        raise Failure(
            "it does not move the parameters: change values in place, values -= ..., as "
            "values = ... makes another array"
        )
    vector = trial.optimizer._vector.values, trial.optimizer._vector.grads
    for name, p, mine in zip(after, trial.parameters, arrays, strict=True):
        kept = p.value is mine[0] and p.grad is mine[1]
        if not (kept and all(map(np.shares_memory, mine, vector))):
            raise Failure(f"it puts another array in the place of {name}: write into values")


def moves_all(s: OptimizerSubject) -> None:
    """Step on one gradient and on its opposite: each number must move by both."""
    still = []  # by parameter: the sign of the gradient, and 0 where a number moved
    for scale in (1.0, -1.0):
        trial, gradients = s.built(), s.gradients(1, scale=scale)
        before, after = trial.values(), trial.walk(gradients * 4 * FEW)
        pairs = zip(before, gradients[0], strict=True)
        still.append({name: (before[name] == after[name]) * np.sign(g) for name, g in pairs})
    first, second = still
    if never := [name for name in first if np.any(first[name] * second[name])]:
        raise Failure(
            f"it never moves {', '.join(never)}, or a part of it: the step must change all values"
        )
    signs = np.concatenate([np.ravel(sign) for one in still for sign in one.values()])
    if abs(signs.sum()) == np.count_nonzero(signs) > 0:
        raise Failure(
            f"it moves no number whose gradient stays {'above' if signs.sum() > 0 else 'below'} "
            "0: a maximum, a minimum or a root is taken of a gradient, where its square belongs"
        )


def gradients_kept(s: OptimizerSubject) -> None:
    trial = s.built()
    for step in s.gradients(FEW):
        triples = zip(trial.walk([step]), trial.parameters, step, strict=True)
        if changed := [name for name, p, given in triples if not np.array_equal(p.grad, given)]:
            raise Failure(
                f"it changes the gradient of {', '.join(changed)}: clip, scale or add to a copy"
            )


def deterministic(s: OptimizerSubject) -> None:
    """Let another one of the class step in between."""
    with drawing_by_itself("step"):
        expected = s.built().walk(s.gradients(FEW))
    trial, other = s.built(), s.built()
    before = _shared(other.optimizer)
    other.walk(s.gradients(FEW, draw=3))
    if not moved(expected, trial.walk(s.gradients(FEW))):
        return
    if changed := differing(before, _shared(other.optimizer)):
        raise Failure(
            f"all optimizers of the class share {', '.join(sorted(changed))}, which a step "
            "changes: keep it in self, made in __init__"
        )
    raise Failure(
        "the same gradients lead elsewhere each time: seed what it draws, and keep in self what "
        "it keeps in the module"
    )


def _shared(optimizer: Optimizer) -> dict[str, Any]:
    """Return copies of what all objects of a class share: its attributes, and defaults."""
    kind = type(optimizer)
    found = {name: value for one in kind.__mro__[::-1] for name, value in vars(one).items()}
    return copied({**found, "a default argument": kind.__init__.__defaults__})


def copied(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return deepcopies of attributes; what cannot be copied stays as it is."""
    copies = dict(attributes)
    for name, value in attributes.items():
        with suppress(Exception):
            copies[name] = copy.deepcopy(value)
    return copies


def order(s: OptimizerSubject) -> None:
    trial, twins = s.built(), s.parameters()
    _refuse_random(trial.optimizer)
    expected = trial.walk(s.gradients(FEW))
    found = Trial(twins, s.make(twins[::-1])).walk(s.gradients(FEW))
    if elsewhere := moved(expected, found, ROUNDING):
        raise Failure(
            f"in reversed order of the parameters, {elsewhere} goes elsewhere: a number's step "
            "must not depend on its place"
        )


def _refuse_random(optimizer: Optimizer) -> None:
    if random_sources(optimizer):
        raise NotApplicable("it draws random numbers, in the order of the parameters")


# -- a zero gradient, one that is not finite ---------------------------------------------


def zero_gradient(s: OptimizerSubject) -> None:
    trial, zeros = s.built(), s.gradients(FEW, scale=0.0)
    before = trial.walk(zeros[:1])
    if not finite(before):
        raise Failure("a zero gradient makes the parameters NaN: 0 / 0, an epsilon is missing")
    if np.any(getattr(trial.optimizer, "weight_decay", 0.0)):
        raise NotApplicable("it has a weight_decay")
    # A projection, such as a clip, may move what starts outside: once. And an average of values
    # that are all one rounds.
    _refuse_random(trial.optimizer)
    after = trial.walk(zeros)
    if elsewhere := moved(before, after, ROUNDING):
        shrunk = all(np.all(np.abs(b) <= np.abs(before[name])) for name, b in after.items())
        reason = ": a decay, which an attribute weight_decay must declare" if shrunk else ""
        raise Failure(f"a zero gradient moves {elsewhere}{reason}")


def decay_shrinks(s: OptimizerSubject) -> None:
    """Let the decay alone move the values: towards 0."""
    optimizer = s.built().optimizer
    if not hasattr(optimizer, "weight_decay"):
        raise NotApplicable("it has no attribute weight_decay")
    leave_declared(optimizer, "weight_decay")
    _refuse_random(optimizer)
    if not np.any(optimizer.weight_decay):
        arguments = arguments_of(s)
        if "weight_decay" not in arguments.given:
            raise NotApplicable("weight_decay is 0")
        optimizer = arguments.build(weight_decay=DECAY)
    trial, zeros = Trial([*optimizer.parameters], optimizer), s.gradients(FEW, scale=0.0)
    before, after = trial.values(), trial.walk(zeros[:1])
    for name, a in before.items():
        outwards = np.sign((after[name] - a) * a)
        if np.any(outwards > 0):
            why = ": the sign of the weight_decay is wrong"
            if np.any(outwards < 0):
                why = " and some towards it: take weight_decay times the values off"
            raise Failure(f"a zero gradient moves numbers of {name} away from 0{why}")
    if not moved(before, trial.walk(zeros)):
        raise Failure(
            "weight_decay has no effect, with a zero gradient no value shrinks: subtract "
            "self.lr * self.weight_decay * values, or add weight_decay * values to the gradient"
        )


def non_finite_refused(s: OptimizerSubject) -> None:
    for bad in (math.nan, math.inf):
        trial, step = s.built(), s.gradients(1)
        before = trial.walk(s.gradients(FEW))
        state = copy.deepcopy(trial.optimizer.state_dict())
        step[0][-1] = np.full(s.shapes[-1], bad)
        with suppress(ValueError, FloatingPointError):
            trial.walk(step)
            raise Failure(
                f"a gradient of {bad} must raise NonFiniteError: override update rather than step"
            )
        if moved(before, trial.values()) or not alike(state, trial.optimizer.state_dict()):
            raise Failure(f"a gradient of {bad} is refused only after something was changed")


# -- the learning rate and the count of steps ---------------------------------------------


def rate_used(s: OptimizerSubject) -> None:
    leave_declared(s.built().optimizer, "lr")
    trial, twin = s.built(), s.built()
    for one in (trial, twin):
        one.walk(s.gradients(1))  # after which it may have kept the first lr
    twin.optimizer.lr /= 2
    if not moved(trial.walk(s.gradients(FEW)), twin.walk(s.gradients(FEW))):
        raise Failure("an lr that is assigned has no effect: read self.lr at each step")


def rate_refused(s: OptimizerSubject) -> None:
    optimizer = s.built().optimizer
    kept = optimizer.lr
    for bad in (0.0, -1.0, math.nan):
        with suppress(ValueError):
            optimizer.lr = bad
            raise Failure(f"an lr of {bad} must raise ValueError: leave lr as Optimizer has it")
        if optimizer.lr != kept:
            raise Failure(f"an lr of {bad} was refused, but changed lr to {optimizer.lr}")


def counts(s: OptimizerSubject) -> None:
    trial = s.built()
    values = trial.walk(s.gradients(1) * MANY)
    if trial.optimizer.steps != MANY:
        raise Failure(
            f"steps is {trial.optimizer.steps} after {MANY} steps: step counts them, update must "
            "not; override update rather than step"
        )
    if not finite(values):
        raise Failure(f"the parameters are not finite after {MANY} steps of one gradient")


# -- arguments -------------------------------------------------------------------------


def arguments_of(s: OptimizerSubject) -> Arguments:
    """Return the arguments of the constructor, by the attributes of their names."""
    optimizer = s.built().optimizer
    first, *others = signature_of(type(optimizer)).parameters.values()

    def given(argument: Argument) -> Any:
        unkept = 0.5 if argument.default is Argument.empty else argument.default
        kept = getattr(optimizer, f"_{argument.name}", unkept)
        return getattr(optimizer, argument.name, kept)

    def way(gradients: list[list[Array]], one: Optimizer) -> Results:
        return Trial([*one.parameters], one).walk(gradients)

    walks = [*(s.gradients(FEW, scale=scale) for scale in SCALES), s.gradients(1) * MANY]
    return Arguments(
        type(optimizer),
        {first.name: [*optimizer.parameters], **{one.name: given(one) for one in others}},
        [partial(way, gradients) for gradients in walks],
    )


def uses_arguments(s: OptimizerSubject) -> None:
    """Change one argument at a time; the optimizer must take another way."""
    arguments_of(s).judge()
