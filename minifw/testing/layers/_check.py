"""The verdicts on a layer: the table, and what is asked of no other subject."""

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from minifw._tools.checks import check_is, describe
from minifw.core.layer import Layer
from minifw.testing import _questions as ask
from minifw.testing._doors import check_batch, check_subject
from minifw.testing._equal import ROUNDING, Results, cast, copies, rounding, same
from minifw.testing._questions import run
from minifw.testing._report import (
    Failure,
    NotApplicable,
    Question,
    Report,
    judge,
    leave_declared,
    quiet,
    told,
)
from minifw.testing._state import every_layer, generator_states, undoing
from minifw.testing.layers import _kept as kept
from minifw.testing.layers._beyond import answers, in_full_size, lengths, linear, sizes, ties
from minifw.testing.layers._extremes import finite_far_out
from minifw.testing.layers._gradients import (
    DP,
    DX,
    GRADIENT_CHECKS,
    ONE_EXAMPLE,
    OUTPUT_SHAPE,
    RIGHT,
    TAKES_X,
    USED_TWICE,
    at_the_given_x,
)
from minifw.testing.layers._reference import answer_of, as_the_reference, causal, step_by_step
from minifw.testing.layers._subject import LayerSubject, gradients, part_of

KEEP = (
    "what backward needs must lie in self.save(...), or in attributes whose names begin with "
    "_saved: else"
)
MANY = 500_000  # parameters, of which each copy takes milliseconds
FLOAT32_ROUNDING = 1e-3  # what float32 may differ from float64 by, where the layer is no worse


def check_layer(
    layer: Layer,
    x: Any,
    *,
    reference: Callable[..., Any] | None = None,
    causal: bool = False,
    seed: int = 0,
) -> Report:
    """Check everything that the contract of a layer asks, and say what is wrong.

    Parameters
    ----------
    layer : Layer
        It is copied, and left as it is.
    x : array, or tuple of arrays
        A batch that it accepts; the checks draw others like it. Whole numbers and masks are not
        differentiated. For several inputs it is a tuple, with None for an input that is left out;
        optional inputs are checked as given, and once more left out.
    reference : callable, optional
        Another way to the same y: it takes the inputs as `forward` does, and reads parameters
        from the layer that you give, which keeps them: ``lambda x: x @ layer.weight.value.T``.
        The layer as it is given, in eval mode, is held against it, at `x` and at inputs like it.
        Without one, only the derivative of what `forward` computes is proved.
    causal : bool, default False
        Whether no place of axis 1 of x, the first input, may change an earlier one of y.
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
    The gradients belong to sum(dy * y) for a random dy of each output, at random values of the
    parameters, in float64, by a five-point formula with a step that fits (see
    `minifw.testing._numeric`). Of a large batch a part is taken, where the layer takes it; the
    whole is tried along one random direction, and the report says so.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense
    >>> from minifw.testing import check_layer
    >>> x = np.random.default_rng(0).standard_normal((4, 3))
    >>> check_layer(Dense(3, 2), x).passed
    True
    """
    __tracebackhide__ = True
    subject = layer_subject(layer, x, seed, reference=reference, causal=causal)
    return judge(repr(layer), LAYER_CHECKS, subject)


def layer_subject(layer: Layer, x: Any, seed: int = 0, **known: Any) -> LayerSubject:
    """Return what the checks take, or raise if it is not a layer or no batch."""
    copied = check_subject("check_layer", "a layer", layer, Layer, seed)
    check_is("check_layer", "train() to return the layer", copied.train(), Layer)
    xs = x if type(x) is tuple and x else (x,)
    while len(xs) > 1 and xs[-1] is None:
        xs = xs[:-1]
    names = [f"x[{i}]" for i in range(len(xs))] if len(xs) > 1 else ["x"]
    pairs = zip(names, xs, strict=True)
    check_batch("check_layer", {n: one for n, one in pairs if one is not None or len(xs) == 1})
    if known.get("causal") and xs[0].ndim == 1:
        wanted = "x of shape (batch, time, ...), as causal=True asks for"
        raise ValueError(f"check_layer expects {wanted}, got {describe(xs[0])}")
    part, whole = part_of(layer, xs)
    subject = LayerSubject(layer, part, seed, **known, whole=whole)
    if subject.reference is not None:
        with quiet():
            answer_of(subject, subject.given())
    return subject


# -- memory and precision --------------------------------------------------------------


def _in_both_modes(question: Callable[[LayerSubject], None]) -> Callable[[LayerSubject], None]:
    def check(s: LayerSubject) -> None:
        for training in (True, False):
            with told("" if training else "in eval mode, "):
                question(s.in_mode(training))

    return check


def _dtype(s: LayerSubject) -> None:
    _has_a_dtype(s)
    layer = s.twin(np.float32)
    states = generator_states(layer)
    results = run(s, layer, s.inputs(dtype=np.float32))
    ask.keeps_dtype(results, np.float32)
    if not states:  # which draws others in another dtype
        wide = s.forward(s.twin(), s.inputs())
        narrow = cast({name: results[name] for name in wide}, np.float64)
        same("in float64 and in float32", wide, narrow, FLOAT32_ROUNDING)


def _one_dtype(s: LayerSubject) -> None:
    dtypes = {name: parameter.dtype for name, parameter in s.layer.named_parameters()}
    if not dtypes:
        raise NotApplicable("there are no parameters")
    first, *others = dtypes
    for other in others:
        if dtypes[other] != dtypes[first]:
            raise Failure(
                f"the parameter {first} is {dtypes[first]}, and {other} is {dtypes[other]}: make "
                "all in one dtype, such as an argument dtype's"
            )


def _has_a_dtype(s: LayerSubject) -> None:
    if not (s.real or s.layer.parameters()):
        raise NotApplicable("neither x nor a parameter says in which dtype it computes")


def _precision(s: LayerSubject) -> None:
    _has_a_dtype(s)
    results = run(s, s.twin(), s.inputs())
    ask.keeps_dtype(results, np.float64)
    ask.not_through_float32(results)


# -- calls -----------------------------------------------------------------------------


def _modes_reach_all(s: LayerSubject) -> None:
    layer = copy.deepcopy(s.layer)
    if not layer.named_layers():
        raise NotApplicable("there is no layer inside")
    layer.train().eval()
    left = [name for name, one in layer.named_layers() if one.training]
    if left:
        raise Failure(
            f"after eval(), {' and '.join(left)} is in train mode still: train must reach all "
            "layers inside; call super().train(mode)"
        )


def _mode_of_the_forward(s: LayerSubject) -> None:
    """Change the mode between a forward and its backward, after a forward in the other mode."""
    for training, call in ((True, "eval()"), (False, "train()")):
        inputs, found = s.in_mode(training).inputs(), []
        for changed_to in (training, not training):
            layer = s.twin(training=not training)
            s.forward(layer, s.input(draw=3))
            s.forward(layer.train(training), copies(inputs))
            layer.train(changed_to)
            found.append(s.backward(layer, copies(inputs)))
        same(f"with {call} between a forward and its backward", found[0], found[1], ROUNDING)


def _backward_parameters(s: LayerSubject) -> None:
    inputs, found = s.inputs(), []
    for method in ("backward", "backward_parameters"):
        layer = s.twin()
        if not layer.parameters():
            raise NotApplicable("there are no parameters")
        s.forward(layer, inputs)
        for parameter in layer.parameters():
            parameter.grad = np.full(parameter.shape, np.nan)
        getattr(layer, method)(*(inputs[dy] for dy in s.dys))
        found.append(gradients(layer))
    same("backward_parameters against backward", found[0], found[1], ROUNDING)


def _memory(s: LayerSubject) -> None:
    """Recall an earlier forward, and add its gradients to those of the latest."""
    inputs, later, layer = s.inputs(), s.inputs(draw=3), s.twin()
    expected = run(s, s.twin(), inputs)
    s.forward(layer, copies(inputs))
    memory = layer.memory()
    added = run(s, layer, later)
    layer.recall(memory)
    expected.update({name: expected[name] + added[name] for name in gradients(layer)})
    with told("after memory, another forward, recall and backward_adding: "):
        found = s.backward(layer, copies(inputs), "backward_adding")
    same(f"after memory, another forward and recall, {KEEP}", expected, found, ROUNDING)


def _backward_first(s: LayerSubject) -> None:
    ask.backward_first(s, free=not (s.layer.parameters() or _depends_on_x(s)))


def _depends_on_x(s: LayerSubject) -> bool:
    """Whether dx depends on x, so something must be saved."""
    inputs = s.inputs()
    first, second = (run(s, s.twin(), {**inputs, **xs}) for xs in ({}, s.input(draw=3)))
    return not all(np.array_equal(first[dx], second[dx]) for dx in s.real)


def _leave_rows(s: LayerSubject) -> None:
    for one in every_layer(s.layer):
        leave_declared(one, "rows")


def _rows_alone(s: LayerSubject) -> None:
    _leave_rows(s)
    for training in (True, False):
        one = s.in_mode(training)
        layer, inputs = one.twin(), one.inputs()
        if generator_states(layer) and training:
            continue  # each row has its own draw
        undo = undoing(layer)
        ys = copies(s.forward(layer, inputs))
        if _mixes_rows(one, inputs):
            continue
        whole = run(one, one.twin(), inputs)
        margin, rows = rounding(*whole.values()), []
        for i in range(s.batch):
            undo()
            row = slice(i, i + 1)
            alone = run(one, layer, {name: array[row] for name, array in inputs.items()})
            mine = {name: whole[name][row] for name in (*ys, *s.real)}
            what = f"row {i} alone and in a batch, whose rows must not mix (axis 0 is the batch)"
            same(what, mine, {name: alone.pop(name) for name in mine}, floor=margin)
            rows.append(alone)
        sums = {name: np.sum([row[name] for row in rows], axis=0) for name in rows[0]}
        what = "of a batch and summed over its rows"
        same(what, whole, sums, floor=margin, telling=0)  # why, the gradients say


def _rows_apart_in_eval(s: LayerSubject) -> None:
    """Find an output row that depends on other input rows in eval mode."""
    _leave_rows(s)
    s = s.in_mode(False)
    inputs = s.inputs()
    if _mixes_rows(s, inputs):
        raise Failure(
            "in eval mode, a row of y depends on other rows of x, so predict would depend on "
            "batch_size: use what training has gathered (a running mean), or the row alone"
        )


def _mixes_rows(s: LayerSubject, inputs: Results) -> bool:
    """Whether an output row depends on another input row, as in batch normalisation."""
    before = cast(s.forward(s.twin(), copies(inputs)), np.float64)
    others = s.input(s.batch, draw=4)
    for i in range(s.batch):  # of each alone: a maximum depends on few rows
        xs = copies(others)
        for name, x in xs.items():
            x[i] = inputs[name][i]
        for name, after in s.forward(s.twin(), xs).items():
            distance = np.abs(np.subtract(before[name][i], after[i], dtype=np.float64))
            if not (distance <= rounding(before[name], after)).all():
                return True
    return False


def _wrong_rank(s: LayerSubject) -> None:
    if not s.real:
        raise NotApplicable("x holds whole numbers")
    xs = s.input()
    tried = {"an axis too many": {name: x[:, np.newaxis] for name, x in xs.items()}}
    if all(x.ndim > 1 for x in xs.values()):
        tried["no batch axis"] = {name: x[0] for name, x in xs.items()}
    for what, wrong in tried.items():
        dxs = answers(s, wrong, what, rank=True)
        for dx in dxs.keys() & {*s.real}:
            name = s.dxs[dx]
            if dxs[dx].shape != wrong[name].shape:
                raise Failure(
                    f"{what}, it raised nothing, and for {name} of shape {wrong[name].shape} "
                    f"{dx} has the shape {dxs[dx].shape}"
                )


def _small(put: Callable[[LayerSubject], Any]) -> Callable[[LayerSubject], Any]:
    """Ask it of a layer that is not too large for it."""

    def check(s: LayerSubject) -> Any:
        if (many := sum(s.sizes)) <= MANY:
            return put(s)
        less = f"what takes its time with {many:,} parameters: check a smaller one, too"
        return {"outcome": "skipped", "message": f"not asked: {less}", "untried": less}

    return check


ALONE, SHARES, WRITES = "y depends on x alone", "keeps its state in itself", "writes into nothing"
COPIES = (USED_TWICE.name, "deepcopy", "deterministic", ALONE)
KEEPS = (*COPIES, SHARES)
STATE = (*KEEPS, "backward twice")
LATEST, ROWS = "backward of the latest forward", "rows alone and in a batch"
OVERWRITES = "gradients are overwritten"
FOUND, LEAVES = "every Parameter is found", "leaves parameters alone"

LAYER_CHECKS: tuple[Question, ...] = (
    # Causes before consequences: what fails first is the headline.
    TAKES_X,
    Question("a generator of its own", _in_both_modes(ask.global_generator), needed=True),
    Question(FOUND, kept.finds_parameters),
    Question("knows what is declared", kept.knows_what_is_declared),
    Question(WRITES, _in_both_modes(ask.writes_nothing)),
    OUTPUT_SHAPE,
    USED_TWICE,
    Question("deepcopy", ask.copied("deepcopy", copy.deepcopy)),
    Question("deterministic", ask.deterministic),
    Question(ALONE, kept.depends_on_x_alone, after=("deterministic",)),
    Question(SHARES, kept.keeps_its_state, after=COPIES),
    Question(LEAVES, _in_both_modes(ask.leaves_parameters)),
    Question(OVERWRITES, ask.overwrites, after=(WRITES, *KEEPS)),
    Question("backward twice", ask.backward_twice, after=(WRITES, OVERWRITES, *KEEPS)),
    *(replace(q, after=(*STATE, *q.after)) for q in GRADIENT_CHECKS),
    Question("as the reference", as_the_reference),
    Question("causal", causal),
    Question("step by step", step_by_step, after=("deterministic",)),
    Question("backward linear in dy", linear, after=STATE),
    Question("ties", ties, after=(*STATE, *DX, *DP)),
    Question("dx at the given x", at_the_given_x, after=(*STATE, *DX, "ties")),
    Question("other lengths of each axis", lengths, after=(*STATE, *RIGHT)),
    Question("other sizes of x", sizes, after=(*STATE, *RIGHT)),
    Question("x in its full size", in_full_size, after=(*STATE, *RIGHT)),
    Question("memory layouts, read-only", _small(ask.layouts), after=(WRITES,)),
    Question("parameters of one dtype", _one_dtype),
    Question("float32 in, float32 out", _dtype, after=(FOUND,)),
    Question("float64 throughout", _precision),
    Question("finite at extremes", finite_far_out),
    Question("uses every argument", _small(kept.uses_every_argument)),
    Question(LATEST, _in_both_modes(ask.latest_forward), after=(*STATE, *RIGHT)),
    Question("memory, recall and backward_adding", _small(_memory), after=(*STATE, LEAVES)),
    Question("modes reach all layers inside", _modes_reach_all),
    Question("mode changed before backward", _small(_mode_of_the_forward), after=STATE),
    Question("backward_parameters", _backward_parameters, after=(*STATE, *RIGHT)),
    Question("backward before forward", _backward_first),
    Question("rows apart in eval mode", _rows_apart_in_eval, after=(ALONE,)),
    Question(ROWS, _small(_rows_alone), after=STATE),
    *(replace(q, put=_small(q.put), after=(*STATE, *RIGHT, ROWS)) for q in ONE_EXAMPLE),
    Question("pickle", ask.copied("pickle", ask.pickled)),
    Question("state_dict", kept.state_dict),
    Question("state_dict after training", _small(kept.state_after_training)),
    Question("rebuilt from its arguments", kept.rebuilt),
    Question("gradients with other arguments", _small(kept.right_with_others)),
    Question("refuses a wrong rank", _wrong_rank),
)
