"""The verdicts on an optimizer."""

import copy
from dataclasses import replace
from functools import partial

from minifw._tools.checks import describe
from minifw.optimizers import Optimizer
from minifw.testing._questions import pickled
from minifw.testing._report import Question, Report, judge
from minifw.testing.optimizers import _state as state
from minifw.testing.optimizers import _steps as step
from minifw.testing.optimizers._subject import (
    MakeOptimizer,
    OptimizerSubject,
    lowers,
    quadratic,
    rosenbrock,
)


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
    `weight_decay` must move a parameter whose gradient is zero, towards zero.

    A class attribute ``declared = "lr"`` says that the lr is a first step only, as in
    Rprop, and ``declared = "weight_decay"`` that a decay needs a gradient.

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


FIRST = Question("works in place", step.works_in_place)
ONE_WAY = ("deterministic",)
RESUMES = (*ONE_WAY, "resumes from state_dict")
OTHERS = (
    Question("deterministic", step.deterministic),
    Question("leaves gradients alone", step.gradients_kept),
    Question("moves every number", step.moves_all),
    Question("uses an lr that is assigned", step.rate_used),
    Question("zero gradient, no move", step.zero_gradient),
    Question("weight_decay shrinks", step.decay_shrinks, ("zero gradient, no move",)),
    Question("refuses an lr that is not above 0", step.rate_refused),
    Question("counts its steps", step.counts),
    Question("resumes from state_dict", state.resumes, (*ONE_WAY, "counts its steps")),
    Question("refuses a non-finite gradient", step.non_finite_refused, RESUMES),
    Question("state_dict is a copy", state.state_is_a_copy),
    Question("order of the parameters", step.order, (*ONE_WAY, "moves every number")),
    Question("deepcopy", partial(state.continues, "a deepcopy", copy.deepcopy), RESUMES),
    Question(
        "pickle",
        partial(state.continues, "a pickle", lambda pair: pickled(pair, pair[1])),
        (*RESUMES, "deepcopy"),
    ),
    Question("state in the dtype of the parameters", state.state_dtype),
    Question("float32", state.in_float32, (*ONE_WAY, "state in the dtype of the parameters")),
    Question("uses every argument", step.uses_arguments, (*ONE_WAY, "weight_decay shrinks")),
    *(
        Question(
            name, partial(lowers, valley), ("moves every number", "uses an lr that is assigned")
        )
        for name, valley in (
            ("lowers a quadratic", quadratic),
            ("lowers Rosenbrock's function", rosenbrock),
        )
    ),
)
OPTIMIZER_CHECKS = (FIRST, *(replace(q, after=(FIRST.name, *q.after)) for q in OTHERS))
