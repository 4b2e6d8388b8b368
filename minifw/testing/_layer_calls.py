"""The verdicts on a layer's methods called in other orders, and with other batches."""

import copy

import numpy as np

from minifw.testing._layer_same import gradients, rounding, same, same_gradients
from minifw.testing._layer_situation import INPUT, Situation, analytic
from minifw.testing._layer_subject import (
    LayerCheck,
    LayerSubject,
    generator_states,
    hidden_state,
    put_back,
)
from minifw.testing._report import Failure, NotApplicable

__all__ = ["CALL_CHECKS"]

OTHER_BATCH = 3  # which is in no BATCHES


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
    handed_out = layer.backward(situation.dy.copy())
    first = gradients(layer, handed_out.copy())
    second = gradients(layer, layer.backward(situation.dy.copy()))
    same_gradients("after a second backward", first, second)
    layer.backward(s.cotangent(situation.dy, draw=1))
    if not np.array_equal(handed_out, first[INPUT], equal_nan=True):
        raise Failure("a second backward writes into the dx that the first handed out")


def _latest_forward(s: LayerSubject) -> None:
    """Find a cache that keeps the first input, or one that misses the second."""
    situation = Situation.of(s, training=True)
    for batch, how in ((len(situation.x), ""), (OTHER_BATCH, ", the first of another batch size")):
        layer = situation.layer()
        state = hidden_state(layer)
        for x in (s.input(batch, draw=3), situation.x):
            put_back(layer, state)
            layer.forward(x)
        found = gradients(layer, layer.backward(situation.dy))
        expected = analytic(situation)
        try:
            same_gradients(f"after two forwards{how}", expected, found)
        except Failure as fault:
            raise Failure(f"{fault}; backward must differentiate the latest forward") from None


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
        situation = Situation.of(s, training=training)
        layer = situation.layer()
        layer.forward(situation.x)
        layer.train(not training)
        found = gradients(layer, layer.backward(situation.dy))
        what = f"with {call} between a forward and its backward"
        same_gradients(what, analytic(situation), found, rounded=True)


def _eval_between(s: LayerSubject) -> None:
    """Evaluate between a training forward and a backward: that is of the latest, the eval one."""
    situation = Situation.of(s, training=True)
    found = []
    for back_to_training in (False, True):
        layer = situation.layer()
        layer.forward(s.input(draw=3))
        layer.eval().forward(situation.x)
        layer.train(back_to_training)
        found.append(gradients(layer, layer.backward(situation.dy)))
    what = "with a forward in eval mode between a training forward and backward"
    same_gradients(what, found[0], found[1], rounded=True)


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
    same_gradients(
        "backward_parameters against backward",
        gradients(layer, None),
        gradients(other, None),
        rounded=True,
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


def _rows_alone(s: LayerSubject) -> None:
    for training in (True, False):
        situation = Situation.of(s, training=training)
        layer = situation.layer()
        if generator_states(layer) and training:
            continue  # each row has its own draw
        state = hidden_state(layer)
        y = layer.forward(situation.x).copy()
        if not training and not np.array_equal(y, layer.forward(situation.x), equal_nan=True):
            raise Failure("in eval mode, a second forward of the same x gives another y")
        put_back(layer, state)
        layer.forward(situation.x)
        if _mixes_rows(situation):
            continue
        whole = gradients(layer, layer.backward(situation.dy))
        margin = rounding(y, *whole.values())
        sums = {name: np.zeros(p.shape) for name, p in layer.named_parameters()}
        for i in range(len(y)):
            row = slice(i, i + 1)
            what = f"row {i} alone and in a batch"
            put_back(layer, state)
            same(f"{what}, y differs", y[row], layer.forward(situation.x[row]), margin)
            alone = gradients(layer, layer.backward(situation.dy[row]))
            if s.differentiable:
                same(f"{what}, dx differs", whole[INPUT][row], alone[INPUT], margin)
            for name in sums:
                sums[name] += alone[name]
        for name, total in sums.items():
            what = f"of a batch and summed over its rows, d{name} differs"
            same(what, whole[name], total, margin)


def _rows_apart_in_eval(s: LayerSubject) -> None:
    """Find an output row that depends on other input rows in eval mode."""
    situation = Situation.of(s, training=False)
    once, again = (situation.layer().forward(situation.x.copy()) for _ in range(2))
    if not np.array_equal(once, again, equal_nan=True):
        raise NotApplicable("the same layer and x give another y each time")
    if _mixes_rows(situation):
        raise Failure(
            "in eval mode, a row of y depends on other rows of x, so that predict would depend on "
            "batch_size: use what training has gathered (a running mean), or the row alone"
        )


def _mixes_rows(situation: Situation) -> bool:
    """Whether an output row depends on another input row, as in batch normalisation."""
    before = situation.layer().forward(situation.x.copy())
    others = situation.subject.input(len(situation.x), draw=4)
    for i in range(len(others)):  # of each alone: a maximum depends on few rows
        x = others.copy()
        x[i] = situation.x[i]
        after = situation.layer().forward(x)
        if not (np.abs(before[i] - after[i]) <= rounding(before, after)).all():
            return True
    return False


CALL_CHECKS: tuple[LayerCheck, ...] = (
    ("gradients are overwritten", _overwrites),
    ("backward twice", _backward_twice),
    ("backward of the latest forward", _latest_forward),
    ("modes reach all layers inside", _modes_reach_all),
    ("mode changed before backward", _mode_of_the_forward),
    ("eval between forward and backward", _eval_between),
    ("backward_parameters", _backward_parameters),
    ("backward before forward", _backward_first),
    ("rows apart in eval mode", _rows_apart_in_eval),
    ("rows alone and in a batch", _rows_alone),
)
