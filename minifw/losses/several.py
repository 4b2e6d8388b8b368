"""Losses of a model with several outputs: a weighted sum, and an output that is a loss itself."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from minifw._tools.checks import check_array, describe
from minifw._tools.numbers import check_finite_number
from minifw._tools.options import LiveOption, Option
from minifw.core.loss import Loss
from minifw.errors import NonFiniteError
from minifw.typing import Array, Formulas, Target

__all__ = ["MeanLoss", "SumLoss"]


class MeanLoss(Loss):
    """The prediction is the loss: a layer has worked it out, as the KL of a VAE.

        L = mean(p),    dL/dp = 1 / n.

    It takes no target, and ignores one. Weights of the examples count as in `MSELoss`.

    Raises
    ------
    ValueError
        If the weights are no weights.
    NonFiniteError
        If the loss is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import MeanLoss
    >>> loss = MeanLoss()
    >>> loss.forward(np.array([[1.0], [4.0]])), loss.backward()
    (2.5, array([[0.5],
           [0.5]]))
    """

    takes_target: ClassVar[bool] = False
    replayable: ClassVar[bool] = True
    formulas: ClassVar[Formulas] = {"L": "mean({p})", "dp": "1 / {n}"}

    def forward(
        self,
        prediction: Array,
        target: Target | None = None,  # noqa: ARG002
        sample_weight: Array | None = None,
    ) -> float:
        """Return the mean of p."""
        check_array(self, "prediction", prediction)
        share = self.shares(prediction, sample_weight)
        value = self.mean(np.positive(prediction, dtype=np.float64), share)
        self.save(prediction, share)
        return value

    def backward(self) -> Array:
        """Return 1 / n."""
        prediction, share = self.saved()
        return np.zeros_like(prediction) + share


def _check_losses(owner: str, _name: str, losses: tuple[Any, ...]) -> tuple[Loss | None, ...]:
    for loss in losses:
        if loss is not None and (not isinstance(loss, Loss) or loss.takes_several):
            hint = f"; write {loss.__name__}()" if isinstance(loss, type) else ""
            what = repr(loss) if isinstance(loss, Loss) else describe(loss)
            raise TypeError(
                f"{owner} expects one loss, or None, for each output, got {what}{hint}"
            )
    if all(loss is None for loss in losses):
        raise ValueError(f"{owner} expects at least one loss, got none")
    return losses


def _check_weights(owner: str, name: str, weights: Any) -> tuple[float, ...] | None:
    if weights is None:
        return None
    if not isinstance(weights, Iterable):
        raise TypeError(f"{owner} expects {name} to be one number for each loss, got {weights!r}")
    return tuple(check_finite_number(owner, name, weight) for weight in weights)


class SumLoss(Loss):
    """The weighted sum of one loss for each output of a model.

        L = sum_i w_i L_i(prediction_i, target_i),    dL/dprediction_i = w_i dL_i/dprediction_i.

    Prediction and target are tuples, in the order of the outputs. Targets that no loss takes
    may be left out at the end, and are None elsewhere.

    Parameters
    ----------
    *losses : Loss or None
        One for each output; None for an output without a loss, whose derivative is 0.
    weights : sequence of float, optional
        What each output's loss counts, finite; 1 by default.

    Attributes
    ----------
    losses : tuple of Loss or None
    weights : tuple of float, or None
    parts : tuple of float
        L_i of the latest forward, without their weights: one for each output that has a loss.

    Raises
    ------
    ValueError
        If there is not one output, and one target, for each loss, or a loss refuses its own.
    NonFiniteError
        If a part is not finite, saying which.

    Notes
    -----
    A `sample_weight` that is an array is every part's; a tuple has one of each output, or None.
    A part of which nothing counts in a batch, because all its weights are 0, is 0 there, unless
    nothing of any part counts.

    In an `Objective` each loss is joined with the last activation of its output.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import L1Loss, MSELoss, SumLoss
    >>> loss = SumLoss(MSELoss(), L1Loss(), weights=(1.0, 0.5))
    >>> prediction = np.array([[1.0], [2.0]]), np.array([[1.0], [2.0]])
    >>> target = np.array([[1.0], [4.0]]), np.array([[1.0], [4.0]])
    >>> loss.forward(prediction, target), loss.parts
    (2.5, (2.0, 1.0))
    >>> loss.backward()[1]
    array([[ 0.  ],
           [-0.25]])
    """

    takes_several: ClassVar[bool] = True

    _losses: tuple[Loss | None, ...]
    losses = Option(_check_losses, fixed=True)
    weights = LiveOption(_check_weights)
    _made_of: "SumLoss | None" = None  # of joint forms
    _saved_parts: tuple[float, ...] | None = None
    _saved_runs: Sequence[Any] = ()  # what each loss saved; None where its derivative is 0

    def __init__(self, *losses: Loss | None, weights: Iterable[float] | None = None) -> None:
        self.losses = losses
        self.weights = weights

    def _check_fits(self, name: str, value: tuple[object, ...] | None) -> None:
        if name == "weights" and value is not None and len(value) != len(self.losses):
            raise ValueError(
                f"SumLoss expects one of the weights for each of its {len(self.losses)} losses, "
                f"got {len(value)}"
            )

    @property
    def parts(self) -> tuple[float, ...]:
        """The losses of the latest forward, without their weights."""
        parts = (self._made_of or self)._saved_parts
        if parts is None:
            raise RuntimeError(f"{self!r}.parts needs a forward before it; call forward first")
        return parts

    def _heads(self) -> Sequence[Loss | None]:
        return self._losses

    def _with_heads(self, heads: Sequence[Loss | None]) -> Self:
        """Return this loss with others, its joint forms: it reads the weights, and sets `parts`.

        They are those of the loss that it was made of, as they are at each forward.
        """
        twin = copy.copy(self)
        twin._losses, twin._made_of = tuple(heads), self._made_of or self
        return twin

    def combined(self, parts: Iterable[float]) -> float:
        """Return the weighted sum of these parts; `Trainer` has their means over an epoch."""
        with_loss = zip(self.losses, self._factors(), strict=True)
        counted = [factor for loss, factor in with_loss if loss is not None]
        return self.finite(sum(f * part for f, part in zip(counted, parts, strict=True)))

    def forward(self, prediction: Any, target: Any = (), sample_weight: Any = None) -> float:
        """Return the weighted sum of the parts."""
        self._check_number("prediction", prediction, len(self.losses))
        each = self._each(target, sample_weight)
        counts = _counts(prediction[0], each)
        left, some = iter(counts), any(counts)
        parts: list[float] = []
        runs: list[Any] = []
        for i, (p, (loss, t, w)) in enumerate(zip(prediction, each, strict=True)):
            runs.append(None)
            if loss is None:
                continue
            parts.append(0.0)
            if next(left) or not some:
                parts[-1] = self._part(i, loss, p, t, w)
                runs[-1] = loss._all_saved()  # one loss may serve two outputs
        value = self.combined(parts)
        self.save(*prediction)
        vars(self)["_saved_runs"] = runs
        vars(self._made_of or self)["_saved_parts"] = tuple(parts)
        return value

    def backward(self) -> tuple[Array, ...]:
        """Return the derivative for each output: a tuple of arrays."""
        dys: list[Array] = []
        each = zip(self.saved(), self.losses, self._factors(), self._saved_runs, strict=True)
        for p, loss, factor, run in each:
            if loss is None or run is None:
                dys.append(np.zeros_like(p))
            else:
                loss._put_back(run)
                dy: Any = loss.backward()  # one array: a loss here takes one output
                dys.append(dy * factor)
        return tuple(dys)

    def total_weight(self, target: Any, sample_weight: Any = None) -> float:
        """Return the sum of `total_weights`: 0 where nothing of any part counts."""
        return sum(self.total_weights(next(iter(target), ()), target, sample_weight))

    def total_weights(
        self, batch: Any, target: Any, sample_weight: Any = None
    ) -> tuple[float, ...]:
        """Return what each of the `parts` counts in the mean of several batches."""
        return _counts(batch, self._each(target, sample_weight))

    def _factors(self) -> Sequence[float]:
        return self.weights or (1.0,) * len(self.losses)

    def _part(self, index: int, loss: Loss, p: Array, t: Any, w: Any) -> float:
        """Return the loss of one output; an error says of which."""
        try:
            return loss.finite(loss(p, t, w))
        except NonFiniteError as error:
            raise NonFiniteError(f"{self!r}: of output {index}, {error}") from None
        except Exception as error:
            error.add_note(f"in the loss of output {index} of {self!r}")
            raise

    def _each(self, target: Any, sample_weight: Any) -> list[tuple[Loss | None, Any, Any]]:
        """Return each output's loss, target and weights."""
        most = len(self.losses)
        takes = [loss is not None and loss.takes_target for loss in self.losses]
        self._check_number("target", target, most - [*takes[::-1], True].index(True))
        if isinstance(sample_weight, tuple):
            self._check_number("sample_weight", sample_weight, most)
        else:
            sample_weight = (sample_weight,) * most
        targets = (*target, *(None,) * (most - len(target)))
        for i, t in enumerate(targets):
            if takes[i] and not isinstance(t, np.ndarray):
                raise TypeError(
                    f"{self!r} expects the target of output {i} to be an array, got {describe(t)}"
                )
        return list(zip(self.losses, targets, sample_weight, strict=True))

    def _check_number(self, what: str, value: Any, least: int) -> None:
        """Raise unless it is a tuple for all outputs, or for the first `least` at least."""
        most = len(self.losses)
        if not isinstance(value, tuple) or not least <= len(value) <= most:
            number = f"{least} to {most}" if least < most else f"{most}"
            got = f"a tuple of {len(value)}" if isinstance(value, tuple) else describe(value)
            raise ValueError(
                f"{self!r} expects a {what} of {number} output{'s' * (most > 1)}, got "
                f"{'one array' if isinstance(value, np.ndarray) else got}"
            )


def _counts(batch: Any, each: Iterable[tuple[Loss | None, Any, Any]]) -> tuple[float, ...]:
    """Return what each loss counts in the mean of several batches."""
    return tuple([loss.total_weights(batch, t, w)[0] for loss, t, w in each if loss is not None])
