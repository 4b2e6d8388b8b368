"""Signs that a network does not learn, which a run or a callback tells."""

import copy
import math
from collections.abc import Sequence
from typing import Any, TypeGuard

import numpy as np

from minifw._engine.flow import Link, chains, entrance, neighbours
from minifw._tools.numbers import check_number
from minifw._tools.rows import SHOWN, Rows, Several, evenly
from minifw._tools.warn import warn_of_run
from minifw.core.layer import Layer
from minifw.training._data import Source, Table

# tests/training/test_signs.py has a case on both sides of each number.
LEAST = 10  # rows: of fewer, one class and other scales are chance
ROWS = 256  # of x whose scales are looked at, from all over it: to sort them costs next to nothing
TAIL = 0.05  # of a column, left out at each end: rare dummies and outliers make no scale
SCALES = 1e3  # between columns: with an lr that the one bears, the other stands still
ROUNDING = 1e-12  # of the widest column: what is narrower is constant, but for rounding
LARGE = 10.0  # of standardised columns, next to no number is larger
CLASSES = 20  # of more, such as the characters of a text, some may well have no row
BEYOND = 0.1  # of the spread of y: by less, noise goes out of what an activation can give
WORSE = 1.5  # times the loss of one constant: a network that has learnt nothing comes near 1
GROWN = 100.0  # times: an lr that is a little too high overshoots by less, and comes back
SMALL = 0.01  # a loss that began below it counts as this: after another fit it may be next to 0
STILL = 1e-6  # a loss that moves by less than this part of itself does not move
PATIENCE = 5  # epochs for which it has to stand still
# Ten layers of sigmoids come to 1e-6. Nets that learn stay above 1e-4, but for tiny weights under
# Adam, where it rises a thousandfold from look to look.
VANISHED = 1e-5  # the largest gradient of the first layer, as a part of the last one's
RISES = 10.0  # times, from look to look: a gradient will come through
SETTLED = 8  # steps: the first ones move a last layer of zeros, and nothing before it
STANDARDISE = "take from it its mean, and divide it by its standard deviation"


class Signs:
    """What a run has told of a network that does not learn: each sign once.

    It looks at the layers and at a sample of the data before the first epoch; at gradients and
    weights after the epochs 1, 2, 4, 8, ... and the last one, so it costs many short epochs
    nothing. With ``watch=False`` it looks at nothing, and callbacks may `tell` all the same.
    """

    def __init__(self, watch: bool) -> None:
        self._watch = watch
        self.load_state_dict({})

    def tell(self, sign: str, message: str) -> None:
        """Warn, unless this sign was told in this run."""
        if sign not in self._said:
            self._said.append(sign)
            warn_of_run(message)

    def begin(self, trainer: Any, train: Source) -> None:
        """Look at the layers and the data of a new run."""
        self.load_state_dict({})
        if not self._watch or not trainer.main:
            return
        for place, one, two, alone in neighbours(trainer.model):
            if alone and one.linear and two.linear and _is_wasted(one, two):
                self.tell(
                    "linear",
                    f"layer {place}, {two!r}, takes the output of another linear layer, {one!r}, "
                    "and the two can do no more than one; put an activation between them, or "
                    "Identity() if it is meant",
                )
        if isinstance(train, Table) and train.rows >= LEAST:
            x, y, weight = train.columns
            self._gaps = _gaps(x) if isinstance(x, Rows) and x.header else ""
            if _is_matrix(x) and len(x.shape) == 2 and entrance(trainer.model).linear:
                self._look_at_scales(x)
            parts = y.columns if isinstance(y, Several) else (y,)
            losses = getattr(trainer.loss, "losses", (trainer.loss,))
            for loss, part in zip(losses, parts, strict=False):
                if loss is not None and _is_matrix(part):
                    self._look_at_classes(loss, part)
                if _is_matrix(part):
                    self._look_at_order(trainer.run.plan, part)
            if _is_matrix(y):
                self._look_at_target(trainer, y, weighted=weight is not None)

    def _look_at_scales(self, x: Rows) -> None:
        rows = x.take(evenly(len(x), ROWS))
        columns = np.sort(rows.T, axis=1)  # (features, rows)
        out = math.ceil(TAIL * len(rows))
        with np.errstate(all="ignore"):  # of what is not finite the loss will tell
            spread = columns[:, -1 - out] - columns[:, out]  # (features,)
        wide = int(spread.argmax())
        narrow = int(np.where(spread > ROUNDING * spread[wide], spread, np.inf).argmin())
        if math.inf > spread[wide] / SCALES > spread[narrow] > 0:
            self.tell(
                "scales",
                f"the columns of x differ in scale: column {wide} spreads over "
                f"{spread[wide]:.3g}, column {narrow} over {spread[narrow]:.3g}, and no lr serves "
                "both; take from each its mean, and divide it by its standard deviation, or begin "
                f"with BatchNorm({len(spread)})",
            )

    def _look_at_classes(self, loss: Any, y: Any) -> None:
        labels = loss.takes_labels and y.dtype.kind in "iu"
        if not labels and not any(one.probabilities for one in (*loss.joins, *loss.applies)):
            return
        row = y.take(slice(0, 1)).ravel()  # a label, 0 or 1, or a one-hot row
        known = row.size == 1 if labels else np.isin(row, (0, 1)).all() and row[1:].sum() <= 1
        if known and (y.take(slice(None)) == row.reshape(y.shape[1:])).all():
            self.tell(
                "class",
                f"all {len(y)} rows of {y.name} are of one class, "
                f"{int(row.argmax() if row.size > 1 else row[0])}, and nothing else can be learnt "
                "of them; if they are sorted, shuffle them before you split them, and look at how "
                "the labels are made",
            )

    def _look_at_order(self, plan: Any, y: Any) -> None:
        if plan.get("shuffle", True) or y.shape[1:] not in {(), (1,)}:
            return
        labels = y.take(slice(None)).ravel()
        steps = np.diff(labels)
        starts = np.flatnonzero(steps)  # where another class begins
        # Of more values, y is measured, and may well rise with time.
        if 0 < len(starts) < CLASSES and ((steps >= 0).all() or (steps <= 0).all()):
            rows = np.diff(starts, prepend=-1, append=len(labels) - 1)  # of each class
            if rows.min() > plan["batch_size"]:
                self.tell(
                    "sorted",
                    f"{y.name} is sorted, and shuffle=False, so whole batches are of one class, "
                    "and each undoes what others have taught; shuffle the rows",
                )

    def _look_at_target(self, trainer: Any, y: Rows, *, weighted: bool) -> None:
        loss, (before, last) = trainer.loss, trainer.model.split_last()
        if before is not None and isinstance(last, (*loss.joins, *loss.applies)):
            last = before.split_last()[1]
        if not loss.takes_labels or y.dtype.kind not in "iu":
            self._look_at_numbers(loss, y, last, weighted=weighted)
        elif len(y.shape) == 1 and last.linear and getattr(loss, "weight", None) is None:
            labels, classes = y.take(slice(None)), len(last.parameters()[0].value)
            if classes > min(CLASSES, len(y) / LEAST) or not 0 <= labels.min() < labels.max():
                return
            rows = np.bincount(labels.astype(np.intp), minlength=classes)  # (classes,)
            if len(rows) == classes and not rows.all():
                self.tell(
                    "missing",
                    f"class {rows.argmin()} of {classes} outputs has no row in {y.name}; labels "
                    "count from 0; if the rows are sorted, shuffle them before you split them, "
                    "and if there is no such class, give the model fewer outputs",
                )

    def _look_at_numbers(self, loss: Any, y: Rows, last: Any, *, weighted: bool) -> None:
        some, twin = y.take(evenly(len(y), ROWS)), copy.deepcopy(loss)
        try:
            with np.errstate(all="ignore"):  # of what is not finite the loss will tell
                others = min(twin.forward(2 * some, some), twin.forward(some / 2, some))
                if not twin.forward(some, some) < others:
                    return  # it wants a margin or an angle, and not these numbers
                mean, size = some.mean(axis=0), float(np.abs(some).mean())
                if size > LARGE and not weighted:
                    self._constant = float(twin.forward(np.zeros_like(some) + mean, some))
        except Exception:  # noqa: BLE001 - of another shape or kind: the first step says it
            return
        if last.saturation:
            values, (low, high) = y.take(slice(None)), last.saturation
            least, most = float(values.min()), float(values.max())
            if max(low - least, most - high) > BEYOND * (most - least):
                self.tell(
                    "range",
                    f"{y.name} goes from {least:.3g} to {most:.3g}, but the model ends in "
                    f"{last!r}, which gives {low:g} to {high:g}; leave it out, or scale {y.name}",
                )

    def epoch(self, trainer: Any) -> None:
        """Look at an epoch whose values are in the history: 1, 2, 4, 8, ... and the last."""
        epoch = trainer.epoch
        if self._watch and (not epoch & (epoch - 1) or epoch == trainer.epochs) and trainer.main:
            history, when = trainer.history, f"after epoch {epoch}: "
            growth = self._grown(trainer)
            # No spike of a batch, and none that is over.
            if growth and history.last["loss"] > self._bound:
                self.tell("growth", when + growth.removeprefix("; "))
            if epoch > PATIENCE:
                self.still(trainer, history["loss"])
                causes = {"growth", "range"} & {*self._said}
                if history.last["loss"] > WORSE * self._constant and not causes:
                    self.tell(
                        "size",
                        f"{when}the loss is {history.last['loss']:.3g}, and the mean of y for "
                        f"every row would have one of {self._constant:.3g}; y is too large for "
                        f"these steps: {STANDARDISE}",
                    )
            if trainer.step >= SETTLED:
                layers = trainer.model._all_layers()
                linear = [link for link in layers if link[1].linear]
                # Without the outputs, each of which has a target.
                self._look_at_units(linear[: -len(trainer.model.output_names)], when)
                # Who declares its dx stops a gradient, or makes another: it is meant.
                declared = any("dx" in getattr(layer, "declared", ()) for _, layer in layers)
                if not declared and not {"growth", "equal"} & {*self._said}:  # causes of this
                    for chain in chains(layers):
                        self._look_at_gradients(chain, when)

    def _look_at_units(self, links: Sequence[Link], when: str) -> None:
        for name, layer in links:
            if _is_symmetric(layer):
                self.tell(
                    "equal",
                    f"{when}all units of layer {name}, {layer!r}, have equal weights and equal "
                    "gradients, and so stay equal; draw the weights: init=GlorotUniform(), or "
                    "HeNormal() before a ReLU",
                )

    def _look_at_gradients(self, chain: Sequence[Link], when: str) -> None:
        # The layers with matrices, which are trained.
        trained = [li for li in chain if any(len(p.shape) > 1 for p in li[1].parameters())]
        if len(trained) <= 1:
            return
        (name, one), (end, other) = trained[0], trained[-1]
        least, most = _largest_gradient(one), _largest_gradient(other)
        part, before = least / most if most else math.inf, self._parts.get(name, math.inf)
        self._parts[name] = part
        if max(part, before) < VANISHED and part <= RISES * before:
            self.tell(
                "vanished",
                f"{when}the gradients vanish from layer to layer: they go to {most:.2g} in layer "
                f"{end}, {other!r}, and to {least:.2g} in layer {name}, {one!r}; try ReLU or "
                "LeakyReLU after weights of HeNormal(), a BatchNorm between the layers, or a "
                "Residual around them",
            )

    def still(self, trainer: Any, losses: Sequence[float]) -> None:
        """Tell if the losses of these epochs are one; a loss of exactly 0 is at its end."""
        moved, latest = max(losses) - min(losses), losses[-1]
        if latest and moved <= STILL * abs(latest):
            self.tell(
                "loss",
                f"after epoch {trainer.epoch}: the loss has stayed at {latest:.6g} for "
                f"{len(losses) - 1} epochs; is lr, {trainer.optimizer.lr:g}, too small, or does "
                "no gradient come through?",
            )

    @property
    def _bound(self) -> float:
        return GROWN * max(abs(self.first), SMALL)

    def growth(self, trainer: Any) -> str:
        """Return what an error says: "; the loss has grown ...", or which columns have gaps."""
        return self._grown(trainer) or self._gaps

    def _grown(self, trainer: Any) -> str:
        """Return "; the loss has grown ...", and what cures it, if it has; else nothing."""
        loss, x = trainer.batch_loss, trainer.batch_x
        fix = f"; y is large, too: {STANDARDISE}" if self._constant < math.inf else ""
        if not self._watch or not loss > self._bound:  # NaN before the first step
            return ""
        if isinstance(x, np.ndarray) and x.ndim == 2 and x.shape[1] > 1:
            largest = np.abs(x).max(axis=0)  # (features,)
            column = int(largest.argmax())
            if largest[column] > LARGE:
                fix = f", or scale column {column} of x, which goes to {largest[column]:.3g}"
        steps = f"{trainer.step - 1} step{'s' * (trainer.step > 2)}"
        return (
            f"; the loss has grown from {self.first:.2g} to {loss:.2g} in {steps}; take a smaller "
            f"lr than {trainer.optimizer.lr:g}{fix}"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what was told, and what the next look compares with."""
        plain = {"first": self.first, "constant": self._constant}
        return {"said": self._said, "parts": self._parts, **plain}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` returned, or nothing: a new run."""
        self._gaps = ""  # of a run that goes on, its first part has met them
        first = state.get("first", math.nan)
        self.first = check_number("Signs", "first", first)  # the loss of the first batch
        constant = state.get("constant", math.inf)
        self._constant = check_number("Signs", "constant", constant)  # the loss of the mean of y
        self._said = list[str](state.get("said", ()))
        parts = dict[str, float](state.get("parts", {}))  # of each chain, at the latest look
        self._parts = {name: check_number("Signs", name, part) for name, part in parts.items()}


def _is_matrix(rows: Any) -> TypeGuard[Rows]:
    """Return whether it is one array in memory, of at most two axes."""
    return isinstance(rows, Rows) and rows.in_memory and len(rows.shape) <= 2


def _gaps(x: Rows) -> str:
    """Return which columns of a table are not finite, and how often, or nothing."""
    values = x.take(slice(None))
    with np.errstate(all="ignore"):
        if math.isfinite(values.sum()):  # a tenth of the time that a look at each number takes
            return ""
    times = (~np.isfinite(values)).sum(axis=0).tolist()
    named = [f"{x.header[i]!r} ({count})" for i, count in enumerate(times) if count]
    shown = ", ".join(named[:SHOWN]) + ", ..." * (len(named) > SHOWN)
    return f"; columns of x with NaN or infinity, and in how many rows: {shown}" * bool(named)


def _largest_gradient(layer: Layer) -> float:
    return max(float(np.abs(p.grad).max()) for p in layer.parameters())


def _is_wasted(one: Any, two: Any) -> bool:
    """Return whether two linear layers have more weights than one in their place would have.

    Through a bottleneck they have fewer. Where one of them is frozen, it has its reason.
    """
    shape, inner = one.input_shape, two.input_shape
    if not (shape and inner and one.parameters() and two.parameters()):
        return False
    return bool(inner[-1] >= min(shape[-1], two.output_shape(inner)[-1]))


def _is_symmetric(layer: Layer) -> bool:
    """Return whether all units, if there are several, have equal weights and gradients."""
    found = [array for p in layer.parameters() for array in (p.value, p.grad)]
    # Where weights were drawn, it ends at the first two rows.
    return len(found) > 0 and all(
        len(rows) > 1 and (rows[0] == rows[1]).all() and (rows == rows[0]).all() for rows in found
    )
