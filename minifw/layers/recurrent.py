"""Recurrent layers: sequences are read step by step, and differentiated back through time."""

import math
from abc import abstractmethod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minifw._tools.arrays import constant, ones
from minifw._tools.checks import (
    check_cotangent,
    check_mask,
    check_place,
    check_place_mask,
    check_sequence_shape,
    check_sequences,
    check_state,
)
from minifw._tools.loading import make_weight
from minifw._tools.numbers import check_dtype, check_flag, check_rng, check_size
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.initializers import Uniform
from minifw.layers._given import for_given
from minifw.typing import RNG, Array, Formulas, Shape

__all__ = ["GRU", "LSTM"]


class _Recurrent(Layer):
    """What LSTM and GRU share: the weights, and the products over all steps at once.

    Inside, arrays are (time, batch, ...), so those of one step lie
    together. The loops over the steps hold what cannot be done at once: the
    product with the state before, and what is computed from it.
    """

    takes_whole_numbers: ClassVar[tuple[str, ...]] = ("mask",)
    _gates: ClassVar[int]  # how many rows of hidden_size the weights have
    _states: ClassVar[tuple[str, ...]]  # what a step hands on to the next
    _saved_given: tuple[object, ...]  # True for x, and what the latest forward was given besides
    return_sequences = Option(check_flag, fixed=True)
    return_state = Option(check_flag, fixed=True)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        return_sequences: bool = True,
        return_state: bool = False,
        dtype: object = np.float64,
        rng: RNG = None,
    ) -> None:
        owner = type(self).__name__
        width = check_size(owner, "input_size", input_size)
        hidden = check_size(owner, "hidden_size", hidden_size)
        self.return_sequences = return_sequences
        self.return_state = return_state
        numbers = check_dtype(owner, dtype)
        generator = check_rng(owner, rng)
        start = Uniform(1 / math.sqrt(hidden))
        rows = self._gates * hidden

        def parameter(*shape: int) -> Parameter:
            return Parameter(make_weight(owner, start, shape, numbers, generator))

        self.weight_ih_l0 = parameter(rows, width)
        self.weight_hh_l0 = parameter(rows, hidden)
        self.bias_ih_l0 = parameter(rows)
        self.bias_hh_l0 = parameter(rows)

    @property
    def input_size(self) -> int:
        """The features of x at each step."""
        return self.weight_ih_l0.shape[1]

    @property
    def hidden_size(self) -> int:
        """The width of the state."""
        return self.weight_hh_l0.shape[1]

    @property
    def output_names(self) -> tuple[str, ...]:  # type: ignore[override]
        """("y",), and with ``return_state`` the names of the states."""
        return ("y", *self._states) if self.return_state else ("y",)

    def output_shape(self, input_shape: Shape, *_: Shape) -> Shape | tuple[Shape, ...]:
        """Return (time, hidden_size) for (time, input_size); (hidden_size,) of the last alone.

        With ``return_state`` a tuple of this and of the shapes of the states.
        """
        check_sequence_shape(self, input_shape, self.input_size)
        state = (self.hidden_size,)
        y = (input_shape[0], *state) if self.return_sequences else state
        return (y, *(state for _ in self._states)) if self.return_state else y

    @np.errstate(under="ignore")  # a gate that is shut may well pass on next to nothing
    def backward(self, dy: Array, *dstates: Array) -> Array | Any:
        """Return dx, and set the gradients of the weights and biases.

        With ``return_state`` it takes the gradients of the states, too. If ``forward`` was
        given a mask or states, it returns (dx, None for the mask, the states' gradients),
        up to the last that was given.
        """
        da, *starts = self._through_time(dy, *dstates)  # (time * batch, gates * hidden)
        steps = self.saved()[0]  # (time, batch, in)
        dx: Array = da.dot(self.weight_ih_l0.value).reshape(steps.shape)  # (time, batch, in)
        dx = dx.swapaxes(0, 1)  # (batch, time, in)
        return for_given(self._saved_given, dx, None, *starts)

    @np.errstate(under="ignore")
    def backward_parameters(self, dy: Array, *dstates: Array) -> None:
        """Set the gradients of the weights and biases."""
        self._through_time(dy, *dstates)

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        """Return what forward gives for one place that continues from the states kept."""
        x, mask, *starts = x if isinstance(x, tuple) and len(x) > 1 else (x, None)
        check_place(self, x, self.input_size, self.weight_ih_l0.dtype)
        mask = None if mask is None else check_place_mask(self, mask, len(x))
        made: Any = self.forward(x[:, np.newaxis], mask, *(starts if kept is None else kept))
        y, *states = made if self.return_state else (made,)
        y = y[:, 0] if self.return_sequences else y  # (batch, hidden)
        kept = [state[-1].copy() for state in self.saved()[2 : 2 + len(self._states)]]
        return (y, *states) if self.return_state else y, kept

    @abstractmethod
    def _through_time(self, dy: Array, *dstates: Array) -> tuple[Array, ...]:
        """Set the gradients; return da, of the weighted sums of x, and those of the start."""

    def _sums_of_x(self, x: Array, bias: Array) -> tuple[Array, Array]:
        """Return x as (time, batch, in), and W_ih x + bias as (time, batch, gates, hidden)."""
        weight = self.weight_ih_l0.value  # (gates * hidden, in)
        batch, time = check_sequences(self, x, self.input_size, weight.dtype)
        steps = x.swapaxes(0, 1).copy()  # (time, batch, in)
        a: Array = steps.reshape(-1, self.input_size).dot(weight.T)  # (time * batch, ...)
        a += bias
        return steps, a.reshape(time, batch, self._gates, self.hidden_size)

    def _begin(
        self, gates: Array, mask: npt.NDArray[Any] | None, *starts: Array | None
    ) -> tuple[Array, list[npt.NDArray[np.bool_]]]:
        """Return the states, each (time + 1, batch, hidden), the first of which is set.

        And which steps do not count, (time, batch), in a list; [] if all do.
        """
        time, batch, _, hidden = gates.shape
        states = np.zeros_like(gates, shape=(len(starts), time + 1, batch, hidden))
        for place, start in enumerate(starts):
            if start is not None:
                check_state(self, self._states[place], start, (batch, hidden), gates.dtype)
                states[place, 0] = start
        skipped = [] if mask is None else [~check_mask(self, mask, batch, time).T]
        vars(self)["_saved_given"] = (True, mask, *starts)
        return states, skipped

    def _output(self, *states: Array) -> Array | tuple[Array, ...]:
        """Return y from the states before and after each step, (time + 1, batch, hidden).

        The last states alone are copied: a view would keep all the others in memory.
        """
        h = states[0]
        y = h[1:].swapaxes(0, 1) if self.return_sequences else h[-1].copy()
        return (y, *(state[-1].copy() for state in states)) if self.return_state else y

    def _dy_of_steps(self, h: Array, dy: Array, *dstates: Array) -> tuple[Array, ...]:
        """Return dy as (time, batch, hidden), and what comes from the states at the end.

        The first is 0 where a state was not handed out.
        """
        after = h[1:]  # (time, batch, hidden)
        time, batch, hidden = after.shape
        if (dstates or self.return_state) and len(dstates) != len(self.output_names) - 1:
            raise TypeError(
                f"{self!r}.backward expects a gradient for each of {', '.join(self.output_names)}"
                f", got {1 + len(dstates)}"
            )
        ends = np.zeros_like(h, shape=(len(self._states), batch, hidden))
        for place, dstate in enumerate(dstates):
            check_cotangent(self, dstate, (batch, hidden), h.dtype)
            ends[place] = dstate
        if self.return_sequences:
            check_cotangent(self, dy, (batch, time, hidden), h.dtype)
            return dy.swapaxes(0, 1), *ends
        check_cotangent(self, dy, (batch, hidden), h.dtype)
        steps = np.zeros_like(after)
        steps[-1] = dy
        return steps, *ends

    def _set_gradients(self, da: Array, dq: Array, steps: Array, h: Array) -> Array:
        """Set all gradients, one product each; return da as a matrix.

        da and dq, (time, batch, gates, hidden), are the gradients of the weighted
        sums of x and of the state before.
        """
        of_x = da.reshape(-1, self.bias_ih_l0.size)  # (time * batch, gates * hidden)
        of_h = dq.reshape(of_x.shape)  # (time * batch, gates * hidden)
        before = h[:-1].reshape(len(of_x), -1)  # (time * batch, hidden)
        one = ones(len(of_x), da.dtype)
        of_x.T.dot(steps.reshape(len(of_x), -1), self.weight_ih_l0.grad)
        of_h.T.dot(before, self.weight_hh_l0.grad)
        of_x.T.dot(one, self.bias_ih_l0.grad)
        of_h.T.dot(one, self.bias_hh_l0.grad)
        return of_x


class LSTM(_Recurrent):
    """A sequence is read step by step into a state h and a cell c, which gates protect.

    At each step, with s the sigmoid, * by element, and h and c of the step before (0 at the start,
    unless given),

        i = s(a_i)        what of g is let in
        f = s(a_f)        what of c is kept             a = W_ih x + b_ih + W_hh h + b_hh,
        g = tanh(a_g)     what is new                   cut into four, in the order i, f, g, o
        o = s(a_o)        what of c is shown
        c1 = f * c + i * g
        h1 = o * tanh(c1)

    y holds h1 of all steps, or of the last. Backward goes through the steps in
    reverse. dh1 is dy of the step plus the dh of the step after, and dc1 starts as
    the dc of the step after. A sigmoid s has the slope s (1 - s), tanh 1 - tanh^2:

        dc1 += dh1 * o * (1 - tanh(c1)^2)
        da_i = dc1 * g * i (1 - i)          da_g = dc1 * i * (1 - g^2)
        da_f = dc1 * c * f (1 - f)          da_o = dh1 * tanh(c1) * o (1 - o)
        dc = dc1 * f                        dh = W_hh' da

    The rest is done for all steps at once, the sums being over steps and batch:

        dW_ih = sum of da x'     dW_hh = sum of da h'     db_ih = db_hh = sum of da
        dx = W_ih' da

    Parameters
    ----------
    input_size : int
        The features of x at each step.
    hidden_size : int
        The width H of h and c.
    return_sequences : bool, default True
        Whether y holds h of all steps, (batch, time, H), or of the last, (batch, H).
    return_state : bool, default False
        Whether ``forward`` also returns the last h and c, (batch, H), after y.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.
    rng : numpy.random.Generator, int or None, default None
        The source of the weights, or its seed; None takes fresh entropy.

    Attributes
    ----------
    weight_ih_l0 : Parameter of shape (4 H, input_size)
    weight_hh_l0 : Parameter of shape (4 H, H)
    bias_ih_l0, bias_hh_l0 : Parameter of shape (4 H,)
        Named and laid out as in PyTorch's ``LSTM`` of one layer: its state dict
        loads. All start uniform between -1/sqrt(H) and 1/sqrt(H), as there.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, time, input_size) in the layer's dtype, the mask
        (batch, time), True where a step counts, and h and c (batch, H).

    Notes
    -----
    ``forward(x, mask, h, c)``: all but x may be left out, and a state that is starts at 0.
    A step that does not count leaves h and c as they are: with i = 0 and f = 1 it is
    c1 = c, and h1 = h. So y repeats the state there (PyTorch's packed sequences have 0), the
    last state is the one after the last step that counts, wherever the padding is, and of a
    row that is masked whole it is the start. No gradient comes to x there, and the gradient
    of the state passes through.

    PyTorch has ``batch_first=False``; here x is always (batch, time, features), and states
    have no axis of layers, (batch, H). Any number of steps is accepted, so
    ``input_shape`` is None: in a `Sequential` that does not start with a fixed
    shape, neighbours that do not fit are found by ``output_shape`` and ``forward``.

    The two biases are one, written twice: PyTorch keeps both, and their
    gradients are equal.

    References
    ----------
    S. Hochreiter and J. Schmidhuber, "Long short-term memory", Neural Computation
    9, 1997; with the gate f of F. Gers, J. Schmidhuber and F. Cummins, "Learning to
    forget", Neural Computation 12, 2000.

    Examples
    --------
    A gate that is open, and one that is shut: the cell counts the ones in x.

    >>> import numpy as np
    >>> from minifw import LSTM
    >>> layer = LSTM(1, 1)
    >>> layer.weight_ih_l0.value = [[0.0], [0.0], [100.0], [0.0]]  # g = tanh(100 x)
    >>> layer.weight_hh_l0.value = np.zeros((4, 1))
    >>> layer.bias_ih_l0.value = [100.0, 100.0, 0.0, 100.0]  # i = f = o = 1
    >>> layer.bias_hh_l0.value = np.zeros(4)
    >>> y = layer.forward(np.array([[[1.0], [0.0], [1.0]]]))
    >>> np.arctanh(y)
    array([[[1.],
            [1.],
            [2.]]])

    A step that does not count, and a state to start at.

    >>> x, mask = np.array([[[1.0], [1.0]]]), np.array([[True, False]])
    >>> np.arctanh(layer.forward(x, mask, None, np.array([[2.0]])))
    array([[[3.],
            [3.]]])
    """

    formulas: ClassVar[Formulas] = {
        "y": "o * tanh(f * c + i * g), i f g o of {x} {weight_ih_l0}' + h {weight_hh_l0}' + b",
        "dx": "da {weight_ih_l0}",
        "dh": "da {weight_hh_l0} of the first step",
        "dc": "dc1 * f of the first step",
        "weight_ih_l0": "da' {x}",
        "weight_hh_l0": "da' h",
        "bias_ih_l0": "column sums of da",
        "bias_hh_l0": "column sums of da",
    }
    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    _gates = 4
    _states = ("h", "c")

    def forward(
        self,
        x: Array,
        mask: npt.NDArray[Any] | None = None,
        h: Array | None = None,
        c: Array | None = None,
    ) -> Array | Any:
        """Return h after each step, or after the last; with ``return_state`` (y, h, c)."""
        bias = self.bias_ih_l0.value + self.bias_hh_l0.value
        steps, sums = self._sums_of_x(x, bias)  # (time, batch, in), (time, batch, 4, hidden)
        (h, c), skipped = self._begin(sums, mask, h, c)
        shown = np.empty_like(h[1:])  # (time, batch, hidden): tanh(c)
        weight = self.weight_hh_l0.value.T  # (hidden, 4 * hidden)
        a = np.empty_like(sums[0])  # (batch, 4, hidden): the sums of a step
        by_gate = a.swapaxes(0, 1)  # (4, batch, hidden)
        # Each gate is contiguous, in memory that the sums of its step no longer need.
        gates = sums.reshape(len(sums), *by_gate.shape)  # (time, 4, batch, hidden)
        with np.errstate(over="ignore", under="ignore"):  # see _sigmoid
            for t in range(len(gates)):
                h[t].dot(weight, a.reshape(len(a), -1))
                a += sums[t]
                i, f, g, o = gates[t]  # each (batch, hidden)
                _sigmoid(by_gate, gates[t])  # of all: one too many costs less than two calls
                np.tanh(by_gate[2], g)
                for skip in skipped:
                    _shut(gates[t].swapaxes(0, 1), skip[t])
                c1 = np.multiply(f, c[t], c[t + 1])  # (batch, hidden)
                c1 += i * g
                np.multiply(o, np.tanh(c1, shown[t]), h[t + 1])
                for skip in skipped:
                    h[t + 1, skip[t]] = h[t, skip[t]]
        self.save(steps, gates, h, c, shown, *skipped)
        return self._output(h, c)

    def _through_time(self, dy: Array, *dstates: Array) -> tuple[Array, ...]:
        steps, gates, h, c, shown, *skipped = self.saved()
        # (time, batch, hidden), and twice (batch, hidden)
        dh_out, dh, dc = self._dy_of_steps(h, dy, *dstates)
        i, f, g, o = gates.swapaxes(0, 1)  # each (time, batch, hidden)
        one = constant(1.0, h.dtype)
        # What dc1 (the last: dh1) is multiplied by to give da is known before the loop.
        by_step = gates.swapaxes(1, 2)  # (time, batch, 4, hidden)
        da = np.subtract(one, by_step, order="C")  # (time, batch, 4, hidden)
        da *= by_step
        da[:, :, 0] *= g
        da[:, :, 1] *= c[:-1]
        da[:, :, 2] = i * (one - g * g)
        da[:, :, 3] *= shown
        from_h = o * (one - shown * shown)  # (time, batch, hidden): dc1 / dh1
        weight = self.weight_hh_l0.value  # (4 * hidden, hidden)
        for t in reversed(range(len(da))):
            dh += dh_out[t]
            dc += dh * from_h[t]
            da[t, :, :3] *= dc[:, np.newaxis]
            da[t, :, 3] *= dh
            dc *= f[t]
            if skipped:  # there h went past the gates
                past = dh * skipped[0][t, :, np.newaxis]  # (batch, hidden)
            da[t].reshape(len(dh), -1).dot(weight, dh)
            if skipped:
                dh += past
        return self._set_gradients(da, da, steps, h), dh, dc


class GRU(_Recurrent):
    """A sequence is read step by step into a state h, by a gate that keeps and one that resets.

    At each step, with s the sigmoid, * by element, and h of the step before (0 at the start),

        r = s(a_r + q_r)               what of h is seen      a = W_ih x + b_ih,
        z = s(a_z + q_z)               what of h is kept      q = W_hh h + b_hh,
        n = tanh(a_n + r * q_n)        what is new            cut into three: r, z, n
        h1 = (1 - z) * n + z * h

    y holds h1 of all steps, or of the last. Backward goes through the steps in
    reverse; dh1 is dy of the step plus the dh of the step after. A sigmoid s has
    the slope s (1 - s), tanh 1 - tanh^2:

        da_n = dh1 * (1 - z) (1 - n^2)      dq_n = da_n * r
        da_z = dh1 * (h - n) * z (1 - z)    dq_z = da_z
        da_r = da_n * q_n * r (1 - r)       dq_r = da_r
        dh = dh1 * z + W_hh' dq

    The rest is done for all steps at once, the sums being over steps and batch:

        dW_ih = sum of da x'     db_ih = sum of da      dx = W_ih' da
        dW_hh = sum of dq h'     db_hh = sum of dq

    Parameters
    ----------
    input_size : int
        The features of x at each step.
    hidden_size : int
        The width H of h.
    return_sequences : bool, default True
        Whether y holds h of all steps, (batch, time, H), or of the last, (batch, H).
    return_state : bool, default False
        Whether ``forward`` also returns the last h, (batch, H), after y.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x must have it too.
    rng : numpy.random.Generator, int or None, default None
        The source of the weights, or its seed; None takes fresh entropy.

    Attributes
    ----------
    weight_ih_l0 : Parameter of shape (3 H, input_size)
    weight_hh_l0 : Parameter of shape (3 H, H)
    bias_ih_l0, bias_hh_l0 : Parameter of shape (3 H,)
        Named and laid out as in PyTorch's ``GRU`` of one layer: its state dict
        loads. All start uniform between -1/sqrt(H) and 1/sqrt(H), as there.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x is (batch, time, input_size) in the layer's dtype, the mask
        (batch, time), True where a step counts, and h (batch, H).

    Notes
    -----
    ``forward(x, mask, h)``: at a step that does not count z = 1 and n = 0, so h1 = h.
    The paper multiplies r with h before W_hh; this is PyTorch's form, in which one
    product with h serves all three gates.
    For masks, sequences, starts and shapes see `LSTM`.

    References
    ----------
    K. Cho et al., "Learning phrase representations using RNN encoder-decoder for
    statistical machine translation", EMNLP 2014, equations 5 to 8.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import GRU
    >>> layer = GRU(2, 3, return_sequences=False, rng=0)
    >>> layer.forward(np.ones((4, 5, 2))).shape, layer.output_shape((5, 2))
    ((4, 3), (3,))
    >>> layer.bias_ih_l0.value[3:6] = 100.0  # z = 1: the state stays at its start
    >>> layer.forward(np.ones((1, 5, 2)))
    array([[0., 0., 0.]])
    """

    formulas: ClassVar[Formulas] = {
        "y": "(1 - z) * n + z * h, r z n of {x} {weight_ih_l0}' + h {weight_hh_l0}' + b",
        "dx": "da {weight_ih_l0}",
        "dh": "dh1 * z + dq {weight_hh_l0} of the first step",
        "weight_ih_l0": "da' {x}",
        "weight_hh_l0": "dq' h",
        "bias_ih_l0": "column sums of da",
        "bias_hh_l0": "column sums of dq",
    }
    replayable: ClassVar[bool] = True
    stepwise: ClassVar[bool] = True
    _gates = 3
    _states = ("h",)

    def forward(
        self, x: Array, mask: npt.NDArray[Any] | None = None, h: Array | None = None
    ) -> Array | Any:
        """Return h after each step, or after the last; with ``return_state`` (y, h)."""
        # (time, batch, in), (time, batch, 3, hidden)
        steps, gates = self._sums_of_x(x, self.bias_ih_l0.value)
        (h,), skipped = self._begin(gates, mask, h)
        seen = np.empty_like(h[1:])  # (time, batch, hidden): q_n
        weight = self.weight_hh_l0.value.T.copy()  # (hidden, 3 * hidden)
        bias = self.bias_hh_l0.value  # (3 * hidden,)
        with np.errstate(over="ignore", under="ignore"):  # see _sigmoid
            for t in range(len(gates)):
                a = gates[t]  # (batch, 3, hidden): the sums, and then r, z, n
                q = h[t].dot(weight)  # (batch, 3 * hidden)
                q += bias
                q = q.reshape(a.shape)
                a[:, :2] += q[:, :2]
                _sigmoid(a[:, :2], a[:, :2])
                seen[t] = q[:, 2]
                a[:, 2] += a[:, 0] * seen[t]
                np.tanh(a[:, 2], a[:, 2])
                for skip in skipped:
                    _shut(a, skip[t])
                np.subtract(h[t], a[:, 2], h[t + 1])  # n + z (h - n)
                h[t + 1] *= a[:, 1]
                h[t + 1] += a[:, 2]
        self.save(steps, gates, h, seen)
        return self._output(h)

    def _through_time(self, dy: Array, *dstates: Array) -> tuple[Array, ...]:
        steps, gates, h, seen = self.saved()
        dh_out, dh = self._dy_of_steps(h, dy, *dstates)  # (time, batch, hidden), (batch, hidden)
        r, z, n = gates.transpose(2, 0, 1, 3)  # each (time, batch, hidden)
        one = constant(1.0, h.dtype)
        # What dh1 (the first: da_n) is multiplied by to give da is known before the loop.
        da, dq = np.empty_like(gates), np.empty_like(gates)  # (time, batch, 3, hidden)
        np.subtract(one, gates, da)
        da *= gates
        da[:, :, 0] *= seen
        da[:, :, 1] *= h[:-1] - n
        da[:, :, 2] = (one - z) * (one - n * n)
        weight = self.weight_hh_l0.value  # (3 * hidden, hidden)
        for t in reversed(range(len(da))):
            dh += dh_out[t]
            da[t, :, 1:] *= dh[:, np.newaxis]
            da[t, :, 0] *= da[t, :, 2]
            dq[t, :, :2] = da[t, :, :2]
            np.multiply(da[t, :, 2], r[t], dq[t, :, 2])
            dh *= z[t]
            dh += dq[t].reshape(len(dh), -1).dot(weight)
        return self._set_gradients(da, dq, steps, h), dh


def _shut(a: Array, rows: npt.NDArray[np.bool_]) -> None:
    """Set the gates of these rows, in place, so the state stays as it is.

    i, f, g, o become 0, 1, 0, 0, and r, z, n become 0, 1, 0: what is kept is all, what is new
    nothing, and all slopes are 0, so the gradient of the state passes as well.
    """
    a[rows] = 0.0
    a[rows, 1] = 1.0


def _sigmoid(a: Array, out: Array) -> None:
    """Set out, which may be a, to 1 / (1 + exp(-a)).

    Far below 0 the exponential is infinite and the sigmoid 0, far above it is 0 and the
    sigmoid 1, as it should be: the caller silences overflow and underflow, once for all steps.
    """
    np.negative(a, out)
    np.exp(out, out)
    out += constant(1.0, a.dtype)
    np.reciprocal(out, out)
