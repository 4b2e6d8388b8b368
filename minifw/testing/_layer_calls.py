"""The verdicts on a layer's methods called in other orders, and with other batches."""

import copy
from dataclasses import replace

import numpy as np

from minifw.testing._equal import ROUNDING, Results, rounding, same
from minifw.testing._layer_subject import (
    LayerCheck,
    LayerSubject,
    generator_states,
    hidden_state,
    put_back,
)
from minifw.testing._questions import (
    backward_first,
    backward_twice,
    latest_forward,
    overwrites,
    run,
)
from minifw.testing._report import Failure, NotApplicable

__all__ = ["CALL_CHECKS"]

ROWWISE = ("y", "dx")  # results that have a row for each row of x


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
    """Change the mode between a forward and its backward."""
    for training, call in ((True, "eval()"), (False, "train()")):
        one = replace(s, training=training)
        layer, inputs = one.twin(), one.inputs()
        one.forward(layer, inputs)
        layer.train(not training)
        what = f"with {call} between a forward and its backward"
        same(what, run(one, one.twin(), inputs), one.backward(layer, inputs), ROUNDING)


def _eval_between(s: LayerSubject) -> None:
    """Evaluate between a training forward and a backward: that is of the latest, the eval one."""
    inputs, found = s.inputs(), []
    for back_to_training in (False, True):
        layer = s.twin()
        layer.forward(s.input(draw=3))
        layer.eval().forward(inputs["x"])
        layer.train(back_to_training)
        found.append(s.backward(layer, inputs))
    what = "with a forward in eval mode between a training forward and backward"
    same(what, found[0], found[1], ROUNDING)


def _backward_parameters(s: LayerSubject) -> None:
    inputs, found = s.inputs(), []
    for method in ("backward", "backward_parameters"):
        layer = s.twin()
        if not layer.named_parameters():
            raise NotApplicable("there are no parameters")
        layer.forward(inputs["x"])
        for parameter in layer.parameters():
            parameter.grad = np.full(parameter.shape, np.nan)
        getattr(layer, method)(inputs["dy"])
        found.append({f"d{name}": p.grad for name, p in layer.named_parameters()})
    same("backward_parameters against backward", found[0], found[1], ROUNDING)


def _backward_first(s: LayerSubject) -> None:
    backward_first(s, free=not (s.layer.parameters() or _depends_on_x(s)))


def _depends_on_x(s: LayerSubject) -> bool:
    """Whether dx depends on x, so that something must be saved."""
    inputs = s.inputs()
    first, second = (run(s, s.twin(), {**inputs, "x": x}) for x in (inputs["x"], s.input(draw=3)))
    return not np.array_equal(first.get("dx", 0), second.get("dx", 0))


def _rows_alone(s: LayerSubject) -> None:
    for training in (True, False):
        one = replace(s, training=training)
        layer, inputs = one.twin(), one.inputs()
        if generator_states(layer) and training:
            continue  # each row has its own draw
        state = hidden_state(layer)
        y = layer.forward(inputs["x"]).copy()
        if not training and not np.array_equal(y, layer.forward(inputs["x"]), equal_nan=True):
            raise Failure("in eval mode, a second forward of the same x gives another y")
        if _mixes_rows(one, inputs):
            continue
        whole = run(one, one.twin(), inputs)
        margin, rows = rounding(*whole.values()), []
        for i in range(len(y)):
            put_back(layer, state)
            row = slice(i, i + 1)
            alone = run(one, layer, {name: array[row] for name, array in inputs.items()})
            mine = {name: whole[name][row] for name in alone if name in ROWWISE}
            what = f"row {i} alone and in a batch"
            same(what, mine, {name: alone.pop(name) for name in mine}, floor=margin)
            rows.append(alone)
        sums = {name: np.sum([row[name] for row in rows], axis=0) for name in rows[0]}
        same("of a batch and summed over its rows", whole, sums, floor=margin)


def _rows_apart_in_eval(s: LayerSubject) -> None:
    """Find an output row that depends on other input rows in eval mode."""
    s = replace(s, training=False)
    inputs = s.inputs()
    once, again = (s.twin().forward(inputs["x"].copy()) for _ in range(2))
    if not np.array_equal(once, again, equal_nan=True):
        raise NotApplicable("the same layer and x give another y each time")
    if _mixes_rows(s, inputs):
        raise Failure(
            "in eval mode, a row of y depends on other rows of x, so that predict would depend on "
            "batch_size: use what training has gathered (a running mean), or the row alone"
        )


def _mixes_rows(s: LayerSubject, inputs: Results) -> bool:
    """Whether an output row depends on another input row, as in batch normalisation."""
    before = s.twin().forward(inputs["x"].copy())
    others = s.input(len(before), draw=4)
    for i in range(len(others)):  # of each alone: a maximum depends on few rows
        x = others.copy()
        x[i] = inputs["x"][i]
        after = s.twin().forward(x)
        if not (np.abs(before[i] - after[i]) <= rounding(before, after)).all():
            return True
    return False


CALL_CHECKS: tuple[LayerCheck, ...] = (
    ("gradients are overwritten", overwrites),
    ("backward twice", backward_twice),
    ("backward of the latest forward", latest_forward),
    ("modes reach all layers inside", _modes_reach_all),
    ("mode changed before backward", _mode_of_the_forward),
    ("eval between forward and backward", _eval_between),
    ("backward_parameters", _backward_parameters),
    ("backward before forward", _backward_first),
    ("rows apart in eval mode", _rows_apart_in_eval),
    ("rows alone and in a batch", _rows_alone),
)
