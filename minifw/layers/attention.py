"""Attention: each step of a sequence takes from others what it asks for."""

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from minifw._tools.arrays import sum_rows
from minifw._tools.checks import check_cotangent, check_mask, check_sequence_shape, check_sequences
from minifw._tools.loading import make_weight
from minifw._tools.numbers import check_dtype, check_flag, check_rng, check_size
from minifw._tools.options import Option
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.initializers import GlorotUniform
from minifw.layers._given import for_given
from minifw.layers.dense import Dense
from minifw.typing import RNG, Array, Shape

__all__ = ["MultiHeadAttention"]


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
        ds_ij = p_ij (dp_ij - sum over j of dp_ij p_ij)
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
        Wo and bo. Names, layout and the start of the first two are those of PyTorch's
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
        dtype = self.in_proj_weight.dtype
        batch, time = check_sequences(self, x, self.features, dtype)
        asked = x if memory is None else memory  # (batch, steps, features)
        rows, steps = check_sequences(self, asked, self.features, dtype, "memory")
        if rows != batch:
            raise ValueError(f"{self!r} expects a memory for each row of x, {batch}, got {rows}")
        counts = np.tri(time, steps, dtype=bool) if self.causal else np.ones((1, steps), bool)
        if mask is not None:
            counts = counts & check_mask(self, mask, batch, steps)[:, np.newaxis, np.newaxis]
        q, k, v = self._part(0, x), self._part(1, asked), self._part(2, asked)
        # (batch, heads, time, steps), as p
        s = np.where(counts, q @ k.swapaxes(2, 3) * self._scale, -np.inf)
        largest = s.max(axis=-1, keepdims=True)  # (batch, heads, time, 1)
        p = np.exp(s - np.where(largest == -np.inf, 0, largest))
        total = p.sum(axis=-1, keepdims=True)  # (batch, heads, time, 1): 0 where nothing counts
        p /= np.where(total == 0, 1, total)
        self.save(x, asked, q, k, v, p)
        vars(self)["_saved_given"] = (True, memory, mask)
        return self.out_proj.forward(_merged(p @ v))

    @np.errstate(under="ignore")
    def backward(self, dy: Array) -> Array | Any:
        """Return dx, and set the gradients; with a memory or a mask (dx, dmemory, None)."""
        x, asked, q, k, v, p = self.saved()
        check_cotangent(self, dy, x.shape, x.dtype)
        dz = self._cut(self.out_proj.backward(dy))  # (batch, heads, time, width)
        dp = dz @ v.swapaxes(2, 3)  # (batch, heads, time, steps), as ds
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) * self._scale
        dx = self._back(0, x, ds @ k)
        dmemory = self._back(1, asked, ds.swapaxes(2, 3) @ q)  # (batch, steps, features)
        dmemory += self._back(2, asked, p.swapaxes(2, 3) @ dz)
        if self._saved_given[1] is None:  # the memory was x
            dx += dmemory
        return for_given(self._saved_given, dx, dmemory, None)

    @property
    def _scale(self) -> float:
        return 1 / math.sqrt(self.features // self.heads)

    def _third(self, part: int) -> slice:
        return slice(part * self.features, (part + 1) * self.features)

    def _part(self, part: int, x: Array) -> Array:
        """Return q (part 0), k (1) or v (2) of x, (batch, heads, time, width)."""
        third = self._third(part)
        y = x.reshape(-1, self.features) @ self.in_proj_weight.value[third].T
        if self.in_proj_bias is not None:
            y += self.in_proj_bias.value[third]
        return self._cut(y.reshape(x.shape))

    def _back(self, part: int, x: Array, dpart: Array) -> Array:
        """Set the gradients of this third of the parameters; return what comes to x."""
        third = self._third(part)
        rows = _merged(dpart).reshape(-1, self.features)  # (batch * time, features)
        rows.T.dot(x.reshape(rows.shape), self.in_proj_weight.grad[third])
        if self.in_proj_bias is not None:
            sum_rows(rows, self.in_proj_bias.grad[third])
        dx: Array = rows @ self.in_proj_weight.value[third]
        return dx.reshape(x.shape)

    def _cut(self, x: Array) -> Array:
        """Return (batch, time, features) as (batch, heads, time, width)."""
        return x.reshape(*x.shape[:2], self.heads, -1).swapaxes(1, 2)


def _merged(x: Array) -> Array:
    """Return (batch, heads, time, width) as (batch, time, features)."""
    batch, heads, time, width = x.shape
    return x.swapaxes(1, 2).reshape(batch, time, heads * width)
