"""The verdicts on an optimizer."""

import copy
from collections.abc import Callable
from functools import partial

from minifw._tools.checks import check_is, describe
from minifw._tools.numbers import check_size
from minifw.optimizers import Optimizer
from minifw.testing._doors import check_subject
from minifw.testing._report import Question, Report, judge
from minifw.testing.optimizers import _state as state
from minifw.testing.optimizers import _steps as step
from minifw.testing.optimizers._subject import VALLEYS, MakeOptimizer, OptimizerSubject, lowers


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
        Prints the likeliest cause first; `table()` has all verdicts.

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
    it goes uphill: its step has the sign of the gradient
    """
    __tracebackhide__ = True
    subject = optimizer_subject(make_optimizer, seed)
    return judge(repr(subject.make(subject.parameters())), OPTIMIZER_CHECKS, subject)


def optimizer_subject(make_optimizer: MakeOptimizer, seed: int = 0) -> OptimizerSubject:
    """Return what the checks take, or raise if `make_optimizer` makes no optimizer."""
    what = "a function that makes an optimizer, such as lambda parameters: SGD(parameters, lr=0.1)"
    check_is("check_optimizer", what, make_optimizer, Callable)
    check_size("check_optimizer", "seed", seed, least=0)
    subject = OptimizerSubject(make_optimizer, seed)
    try:
        made = make_optimizer(subject.parameters())
    except Exception as error:
        raised = f"{type(error).__name__}: {error}"
        got = f"got {describe(make_optimizer)}, which raised {raised}"
        raise TypeError(f"check_optimizer expects {what}, {got}") from error
    returns = "make_optimizer to return an optimizer"
    check_subject("check_optimizer", returns, made, Optimizer, seed)
    return subject


def _question(name: str, put: Callable[[OptimizerSubject], None], *after: str) -> Question:
    return Question(name, put, ("works in place", *after))


MOVES = ("moves every number", "uses an lr that is assigned")
OPTIMIZER_CHECKS = (
    Question("works in place", step.works_in_place),
    _question("deterministic", step.deterministic),
    _question("leaves gradients alone", step.gradients_kept),
    _question("moves every number", step.moves_all),
    _question("uses an lr that is assigned", step.rate_used),
    _question("zero gradient, no move", step.zero_gradient),
    _question("weight_decay shrinks", step.decay_shrinks, "zero gradient, no move"),
    _question("refuses an lr that is not above 0", step.rate_refused),
    _question("counts its steps", step.counts),
    _question("resumes from state_dict", state.resumes, "deterministic", "counts its steps"),
    _question("refuses a non-finite gradient", step.non_finite_refused, "resumes from state_dict"),
    _question("state_dict is a copy", state.state_is_a_copy),
    _question("order of the parameters", step.order, "deterministic", "moves every number"),
    _question("deepcopy", partial(state.continues, copy.deepcopy), "resumes from state_dict"),
    _question("pickle", partial(state.continues, state.pickle), "deepcopy"),
    _question("dtype of the state", state.state_dtype),
    _question("float32", state.in_float32, "deterministic", "dtype of the state"),
    _question("uses every argument", step.uses_arguments, "deterministic", "weight_decay shrinks"),
    *(_question(f"lowers {name}", partial(lowers, name), *MOVES) for name in VALLEYS),
)
