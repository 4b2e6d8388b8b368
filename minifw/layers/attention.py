"""Attention: each step of a sequence takes a weighted mean of others."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minifw._engine.steps import refuse
from minifw._tools.arrays import ones, sum_rows
from minifw._tools.checks import (
    check_cotangent,
    check_mask,
    check_place,
    check_place_mask,
    check_sequence_shape,
    check_sequences,
)
from minifw._tools.loading import make_weight
from minifw._tools.numbers import check_dtype, check_flag, check_rng, check_size
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.initializers import GlorotUniform
from minifw.layers._given import for_given
from minifw.layers.dense import Dense
from minifw.typing import RNG, Array, Formulas, Shape

__all__ = ["MultiHeadAttention"]

SCORES = 2**17  # at once: 512 KB in float32, which stay in the cache from product to product
ROOM = 16  # places that a state has room for at first; it doubles

_QKV, _Q, _KV = slice(0, 3), slice(0, 1), slice(1, 3)  # which thirds of the weights
_NOTHING: tuple[Any, Any, int] = (None, None, 0)  # keys and values, which count, how many places


class MultiHeadAttention(Layer):
    """Each step asks all steps of a memory, and gets a mean of what they say, head by head.

    With x (batch, time, features), a memory (batch, steps, features), which is x itself if
    none is given, and w = features / heads, each head has its own

        q = Wq x + bq,    k = Wk memory + bk,    v = Wv memory + bv      (w numbers a step)
        s_ij = q_i' k_j / sqrt(w)          how well step j of the memory answers step i
        p_ij = exp(s_ij) / sum over j of exp(s_ij)
        z_i = sum over j of p_ij v_j

    and y = Wo z + bo, z being all heads side by side. j runs over the steps that count: those
    where the mask is True and, if causal, j <= i. If there are none, z_i is 0.

    Backward, with dz = Wo' dy cut into heads: z is linear in p and v, s in q and k, and the
    softmax has the derivative that stands at `Softmax`,

        dv_j = sum over i of p_ij dz_i         dp_ij = dz_i' v_j
        ds_ij = p_ij (dp_ij - dz_i' z_i)       as the sum over j of p_ij dp_ij is dz_i' z_i
        dq_i = sum over j of ds_ij k_j / sqrt(w)
        dk_j = sum over i of ds_ij q_i / sqrt(w)

    and dx = Wq' dq, dmemory = Wk' dk + Wv' dv, which of self-attention are added up. Each of
    the three matrices has the gradients of a `Dense`: dWq = sum of dq x', dbq = sum of dq.

    Parameters
    ----------
    features : int
        The width of x, of the memory and of y.
    heads : int
        How many there are; features is a multiple of it.
    causal : bool, default False
        Whether step i gets nothing of the steps j > i of the memory.
    bias : bool, default True
        Whether there are bq, bk, bv and bo; they start at 0.
    dtype : float64 (default) or float32
        What the layer holds and computes in; x and the memory must have it too.
    rng : numpy.random.Generator, int or None, default None
        The source of the weights, or its seed; None takes fresh entropy.

    Attributes
    ----------
    in_proj_weight : Parameter of shape (3 features, features)
        Wq, Wk and Wv, one below the other, each head's rows together; `GlorotUniform`.
    in_proj_bias : Parameter of shape (3 features,), or None
    out_proj : Dense
        Wo and bo. Names, layout and the start of the first two are as in PyTorch's
        ``MultiheadAttention``: its state dict loads.

    Raises
    ------
    TypeError, ValueError
        By ``forward``, unless x and the memory are (batch, time, features) in the layer's
        dtype, and the mask is (batch, steps of the memory), True where a step counts.

    Notes
    -----
    ``forward(x, memory, mask)``: the last two may be left out. PyTorch's
    ``key_padding_mask`` is True where a step does NOT count, and gives NaN for a row that is
    masked whole; here y is bo there. The largest s of a row is subtracted from it before
    the exponential, which changes no p.

    References
    ----------
    A. Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.

    Examples
    --------
    One head that takes over what is asked, and asks for what is like itself.

    >>> import numpy as np
    >>> from minifw import MultiHeadAttention
    >>> layer = MultiHeadAttention(2, 1, bias=False)
    >>> layer.in_proj_weight.value = np.concatenate([2e3 * np.eye(2), np.eye(2), np.eye(2)])
    >>> layer.out_proj.weight.value = np.eye(2)
    >>> x = np.array([[[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]])
    >>> layer.forward(x)
    array([[[1., 0.],
            [0., 1.],
            [1., 0.]]])
    >>> layer.forward(x, None, np.array([[False, True, False]]))  # the second step alone counts
    array([[[0., 1.],
            [0., 1.],
            [0., 1.]]])
    """

    formulas: ClassVar[Formulas] = {
        "y": (
            "out_proj(softmax(q k' / sqrt(w)) v), q of {x}, k and v of {memory}",
            "out_proj(softmax(q k' / sqrt(w)) v), q k v: {x} {in_proj_weight}' + {in_proj_bias}",
            "out_proj(softmax(q k' / sqrt(w)) v), q k v: {x} {in_proj_weight}'",
        ),
        "dx": ("dq Wq, as k and v are of {memory}", "dq Wq + dk Wk + dv Wv"),
        "dmemory": "dk Wk + dv Wv",
        "in_proj_weight": ("dq' {x}, dk' {memory}, dv' {memory}", "dq' {x}, dk' {x}, dv' {x}"),
        "in_proj_bias": "column sums of dq, dk, dv",
    }
    stepwise: ClassVar[bool] = True
    takes_whole_numbers: ClassVar[tuple[str, ...]] = ("mask",)
    heads = Option(check_size, fixed=True)
    causal = Option(check_flag, fixed=True)
    _saved_given: tuple[object, ...]  # True for x, and what the latest forward was given besides

    def __init__(
        self,
        features: int,
        heads: int,
        causal: bool = False,
        *,
        bias: bool = True,
        dtype: object = np.float64,
        rng: RNG = None,
    ) -> None:
        owner = "MultiHeadAttention"
        width = check_size(owner, "features", features)
        self.heads, self.causal = heads, causal
        if width % self.heads:
            raise ValueError(
                f"{owner} expects features to be a multiple of heads, got {width} for {heads}"
            )
        numbers, generator = check_dtype(owner, dtype), check_rng(owner, rng)
        weight = make_weight(owner, GlorotUniform(), (3 * width, width), numbers, generator)
        self.in_proj_weight = Parameter(weight)
        with_bias = check_flag(owner, "bias", bias)
        self.in_proj_bias = Parameter(np.zeros(3 * width, numbers)) if with_bias else None
        self.out_proj = Dense(width, width, bias=with_bias, dtype=numbers, rng=generator)

    @property
    def features(self) -> int:
        """The width of x, of the memory and of y."""
        return self.in_proj_weight.shape[1]

    def output_shape(self, input_shape: Shape, *_: Shape) -> Shape:
        """Return (time, features), as it is given."""
        check_sequence_shape(self, input_shape, self.features)
        return input_shape

    @np.errstate(under="ignore")  # what is far less like than the rest counts for nothing
    def forward(
        self, x: Array, memory: Array | None = None, mask: npt.NDArray[Any] | None = None
    ) -> Array:
        """Return y, (batch, time, features)."""
        batch, time = check_sequences(self, x, self.features, self.in_proj_weight.dtype)
        if memory is None:
            steps, (q, k, v) = time, self._parts(_QKV, x)
        else:
            steps = self._check_memory(memory, batch)
            (q,), (k, v) = self._parts(_Q, x), self._parts(_KV, memory)
        earlier = np.tri(time, steps, dtype=bool) if self.causal else None
        counts = self._counts(mask, batch, steps, earlier)
        z, e, total = _attend(q, k, v, counts)
        self.save(x, x if memory is None else memory, q, k, v, z, e, total)
        vars(self)["_saved_given"] = (True, memory, mask)
        return self.out_proj.forward(z.reshape(x.shape))

    @np.errstate(under="ignore")
    def backward(self, dy: Array) -> Array | Any:
        """Return dx, and set the gradients; with a memory or a mask (dx, dmemory, None)."""
        x, memory, q, k, v, z, e, total = self.saved()
        check_cotangent(self, dy, x.shape, x.dtype)
        dz = self.out_proj.backward(dy).reshape(z.shape)  # (batch, time, heads, width)
        alone = self._saved_given[1] is None  # the memory was x: one product for all three
        dx = np.empty((*z.shape[:2], 3 if alone else 1, *z.shape[2:]), z.dtype)
        dmemory = np.empty((*memory.shape[:2], 0 if alone else 2, *z.shape[2:]), z.dtype)
        _attend_back(dz, (q, k, v), (z, e, total), (*_by_head(dx), *_by_head(dmemory)))
        if alone:
            return for_given(self._saved_given, self._back(_QKV, x, dx), None, None)
        dx, dmemory = self._back(_Q, x, dx), self._back(_KV, memory, dmemory)
        return for_given(self._saved_given, dx, dmemory, None)

    def attention_weights(self) -> Array:
        """Return p of the latest forward, (batch, heads, time, steps): 0 at what did not count.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import MultiHeadAttention
        >>> layer = MultiHeadAttention(2, 1, causal=True, rng=0)
        >>> y = layer.forward(np.zeros((1, 3, 2)))
        >>> layer.attention_weights()[0, 0].round(2)
        array([[1.  , 0.  , 0.  ],
               [0.5 , 0.5 , 0.  ],
               [0.33, 0.33, 0.33]])
        """
        if self._saved is None:
            raise RuntimeError(
                f"{self!r}.attention_weights needs a forward before it; predict leaves none behind"
            )
        *_, e, total = self.saved()
        p: Array = e / total
        return p

    def _step(self, x: Any, kept: Any) -> tuple[Any, Any]:
        """Return y at one more place, which asks the places so far, or the whole memory."""
        x, memory, mask = (
            (*x, None, None)[: max(3, len(x))] if isinstance(x, tuple) else (x, None, None)
        )
        batch = check_place(self, x, self.features, self.in_proj_weight.dtype)
        known, kv, counts, n = (memory, *_NOTHING) if kept is None else kept
        alike = not n or (kv.shape[1:3], kv.dtype) == ((batch, self.heads), x.dtype)
        if (memory is None) != (known is None) or not alike:
            raise ValueError(
                f"{self!r}.step expects as many rows as at the places before, a memory at all "
                "places or at none, and its own state"
            )
        if memory is None:
            if not self.causal:
                refuse(self, "a place asks later ones, too; say causal=True")
            parts = self._parts(_QKV, x[:, np.newaxis])  # (3, batch, heads, 1, width)
            q, kv = parts[0], _appended(kv, parts[1:], n)  # (2, batch, heads, room, width)
            if mask is not None or counts is not None:
                one = check_place_mask(self, np.ones(batch, bool) if mask is None else mask, batch)
                before = np.ones((batch, 1, 1, n, 1), bool) if counts is None else counts
                counts = _appended(before, one.reshape(batch, 1, 1, 1, 1), n)
            kept = (None, kv, counts, n + 1)
            k, v = kv[:, :, :, : n + 1]
            counts = None if counts is None else counts[..., 0][..., : n + 1]
        else:
            steps = self._check_memory(memory, batch)
            (q,) = self._parts(_Q, x[:, np.newaxis])
            if not n or not np.array_equal(known, memory):
                known, kv = memory.copy(), self._parts(_KV, memory)
            k, v = kv
            kept = (known, kv, None, n + 1)
            earlier = np.arange(steps) <= n if self.causal else None
            counts = self._counts(mask, batch, steps, earlier)
        z, _, _ = _attend(q, k, v, counts)  # (batch, 1, heads, width)
        return self.out_proj.forward(z.reshape(x.shape)), kept

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.features // self.heads)

    def _check_memory(self, memory: Array, batch: int) -> int:
        """Return the steps of a memory, or raise unless it has one for each row of x."""
        dtype = self.in_proj_weight.dtype
        rows, steps = check_sequences(self, memory, self.features, dtype, "memory")
        if rows != batch:
            raise ValueError(f"{self!r} expects a memory for each row of x, {batch}, got {rows}")
        return steps

    def _counts(
        self, mask: npt.NDArray[Any] | None, batch: int, steps: int, earlier: Any = None
    ) -> Any:
        """Return which steps count, (batch, 1, time, steps), or None if all do."""
        if mask is None:
            return earlier if earlier is None else earlier.reshape(1, 1, -1, steps)
        counts = check_mask(self, mask, batch, steps)[:, np.newaxis, np.newaxis]
        return counts if earlier is None else counts & earlier

    def _parts(self, part: slice, x: Array) -> Array:
        """Return q / sqrt(w), k and v, or some of them: (parts, batch, heads, time, width)."""
        rows = self._rows(part)
        y = x.reshape(-1, self.features).dot(self.in_proj_weight.value[rows].T)
        if self.in_proj_bias is not None:
            y += self.in_proj_bias.value[rows]  # (batch * time, parts * features)
        parts = y.reshape(*x.shape[:2], -1, self.heads, self.features // self.heads)
        if part.start == 0:
            parts[:, :, 0] *= self._scale
        return _by_head(parts)

    def _back(self, part: slice, x: Array, dparts: Array) -> Array:
        """Set the gradients of these parts, (batch, time, parts, heads, width); return dx."""
        if part.start == 0:
            dparts[:, :, 0] *= self._scale
        rows = self._rows(part)
        dy = dparts.reshape(len(x) * x.shape[1], -1)  # (batch * time, parts * features)
        dy.T.dot(x.reshape(-1, self.features), self.in_proj_weight.grad[rows])
        if self.in_proj_bias is not None:
            sum_rows(dy, self.in_proj_bias.grad[rows])
        dx: Array = dy.dot(self.in_proj_weight.value[rows])
        return dx.reshape(x.shape)

    def _rows(self, part: slice) -> slice:
        """Return the rows of the weight that make these parts."""
        return slice(part.start * self.features, part.stop * self.features)


def _by_head(parts: Array) -> Array:
    """Return (batch, time, parts, heads, width) as (parts, batch, heads, time, width)."""
    return parts.transpose(2, 0, 3, 1, 4)


def _attend(q: Array, k: Array, v: Array, counts: Any) -> tuple[Array, Array, Array]:
    """Return z, (batch, time, heads, width), and e and its sums, of which p = e / total.

    q is divided by sqrt(width) already. z is divided by the sums, which are fewer numbers than
    e; and products go straight to where the heads lie side by side.
    """
    batch, heads, time, width = q.shape
    z = np.empty((batch, time, heads, width), q.dtype)
    e = np.empty((batch, heads, time, k.shape[2]), q.dtype)
    total = np.empty((batch, heads, time, 1), q.dtype)
    out = z.transpose(0, 2, 1, 3)  # (batch, heads, time, width)
    one = ones(k.shape[2], q.dtype)[:, np.newaxis]
    hides = None
    if counts is not None and not counts.all():
        hides = np.where(counts, 0, -np.inf).astype(q.dtype)
        hides = np.broadcast_to(hides, (batch, *hides.shape[1:]))
    for block in _blocks(e):
        s = np.matmul(q[block], k[block].swapaxes(2, 3), out=e[block])
        if hides is not None:
            s += hides[block]
        largest = np.maximum.reduce(s, axis=3, keepdims=True)  # (..., heads, time, 1)
        if hides is not None:  # of a row in which nothing counts it is -inf
            np.maximum(largest, np.finfo(s.dtype).min, out=largest)
        s -= largest
        np.exp(s, s)
        np.matmul(s, one, out=total[block])
        np.matmul(s, v[block], out=out[block])
    if hides is not None:
        total[total == 0] = 1
    z /= total.transpose(0, 2, 1, 3)
    return z, e, total


def _attend_back(
    dz: Array, parts: Sequence[Array], made: Sequence[Array], dparts: Sequence[Array]
) -> None:
    """Set dq, dk and dv."""
    (q, k, v), (z, e, total), (dq, dk, dv) = parts, made, dparts
    dz = dz / total.transpose(0, 2, 1, 3)
    c = np.einsum("bthw,bthw->bht", dz, z)[..., np.newaxis]  # (batch, heads, time, 1): dz' z
    dz = dz.transpose(0, 2, 1, 3)  # (batch, heads, time, width)
    blocks = _blocks(e)
    room = np.empty_like(e[blocks[0]])
    for block in blocks:
        ds = np.matmul(dz[block], v[block].swapaxes(2, 3), out=room[: len(e[block])])
        ds -= c[block]
        ds *= e[block]  # (..., heads, time, steps)
        np.matmul(ds, k[block], out=dq[block])
        np.matmul(ds.swapaxes(2, 3), q[block], out=dk[block])
        np.matmul(e[block].swapaxes(2, 3), dz[block], out=dv[block])


def _blocks(e: Array) -> list[slice]:
    """Return slices of the batch, of as many rows as stay in the cache."""
    rows = max(1, SCORES // e[0].size)
    return [slice(start, start + rows) for start in range(0, len(e), rows)]


def _appended(room: Any, one: Any, n: int) -> Any:
    """Return an array, longer than needed along axis 3, in which place n is `one`."""
    if room is None or n == room.shape[3]:
        longer = np.empty((*one.shape[:3], max(ROOM, 2 * n), *one.shape[4:]), one.dtype)
        if room is not None:
            longer[:, :, :, :n] = room
        room = longer
    room[:, :, :, n : n + 1] = one
    return room
