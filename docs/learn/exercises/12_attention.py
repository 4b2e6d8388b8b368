# %% [markdown]
# Made from docs/learn/attention.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # Attention: each place asks the others
#
# A sequence, such as a text, has a row of numbers for each place. In attention each place asks the others. Its question is a
# **query** $q_i$. Each place has a **key** $k_j$, which says what it knows, and a **value** $v_j$, which it tells.
#
# Time: three hours. The number to reach: a copy task, solved to 100 %.

# %%
import numpy as np
from minifw import CrossEntropyLoss, GlorotUniform, Layer, Normal, Objective, Parameter, Positions, Sequential
from minifw.lessons import ask, mine
Adam, Dense, Embedding = mine("Adam", "Dense", "Embedding")

# %% [markdown]
# ## One head
#
# $Q$, $K$ and $V$ have one place per row, $w$ numbers each. In the code, more axes may stand before these two, so $P^T$ is
# `p.swapaxes(-1, -2)`. With the softmax of chapter 7 in each row:
#
# $$S = \frac{Q K^T}{\sqrt{w}}, \qquad P = \text{softmax}(S), \qquad Z = P V$$
#
# $s_{ij}$ is large where the query $i$ fits the key $j$, and $z_i = \sum_j p_{ij} v_j$ is a mean of the values. The division by $\sqrt w$ keeps
# the scores from growing with $w$. Go from the end to the start: where is each used, and with which factor?
#
# - $v_j$ is in every $z_i$, with the factor $p_{ij}$. So $dv_j = \sum_i p_{ij}\, dz_i$. In matrices $dV = P^T dZ$.
# - $p_{ij}$ is in $z_i$, with the factor $v_j$. So $dp_{ij} = dz_i \cdot v_j$, and $dP = dZ\, V^T$.
# - Softmax, in each row: $ds_{ij} = p_{ij} \bigl(dp_{ij} - \sum_k dp_{ik}\, p_{ik}\bigr)$.
# - $q_i$ is in row $i$ of $S$, with the factors $k_j / \sqrt w$. $k_j$ is in column $j$, with the factors $q_i / \sqrt w$:
#
# $$dQ = \frac{dS\, K}{\sqrt w}, \qquad dK = \frac{dS^T Q}{\sqrt w}$$

# %%
class Attention(Layer):
    def __init__(self, causal=False):
        self.causal = causal

    def forward(self, q, k, v):  # (..., time, w) each
        s = q @ k.swapaxes(-1, -2) / q.shape[-1] ** 0.5  # (..., queries, keys)
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        self.save(q, k, v, p)
        return p @ v

    def backward(self, dz):
        q, k, v, p = self.saved()
        raise NotImplementedError("your turn: return dq, dk, dv")

ask("attention", Attention())

# %% [markdown]
# ## The mask
#
# A network that says what comes next must not see it. **Causal** attention sets $s_{ij} = -\infty$ for $j > i$. Then $p_{ij} = 0$, and
# backward, with its factor $p_{ij}$, stays as it is. Add two lines to `forward`, for `causal=True`. `np.tri(n, m)` has ones on and
# below the diagonal.

# %%
ask("causal_attention", Attention(causal=True))

# %% [markdown]
# ## Heads
#
# In **self-attention** one $x$ makes all three, by a matrix of $3f$ rows. Several **heads** attend side by side, each with its own
# part of the $f$ numbers. A `Dense` mixes their answers. The rest is shapes:
#
# `x (batch, time, f)` → `(batch, time, 3 f)` → reshape `(batch, time, 3, heads, w)` → transpose
# `(3, batch, heads, time, w)` → attention `(batch, heads, time, w)` → transpose, reshape `(batch, time, f)` → `Dense`.
#
# Backward undoes each step in reverse. Your `Dense` and the formula of dW take a matrix: reshape to `(batch · time, f)` first.

# %%
class MultiHeadAttention(Layer):
    def __init__(self, features, heads, causal=False, *, rng=None):
        rng = np.random.default_rng(rng)
        self.in_proj_weight = Parameter(GlorotUniform()((3 * features, features), rng))
        self.in_proj_bias = Parameter(np.zeros(3 * features))
        self.out_proj = Dense(features, features, rng=rng)
        self.attention, self.heads = Attention(causal), heads

    def forward(self, x):
        raise NotImplementedError("your turn")

    def backward(self, dy):
        raise NotImplementedError("your turn")

ask("heads", MultiHeadAttention(4, 2, causal=True))

# %% [markdown]
# ## Copy
#
# Six symbols, then six blanks. At the blanks the network must repeat the symbols.

# %%
def batch(rng, rows):
    symbols = rng.integers(1, 9, (rows, 6))
    return np.hstack([symbols, np.zeros_like(symbols)]), np.hstack([symbols, symbols])

rng = np.random.default_rng(0)
places, attention = Positions(12, 16, init=Normal(1.0), rng=rng), MultiHeadAttention(16, 1, causal=True, rng=rng)
objective = Objective(Sequential(Embedding(9, 16, rng=rng), places, attention), CrossEntropyLoss())
optimizer = Adam(objective.model.parameters(), lr=0.02)

for step in range(200):
    loss = objective.forward(*batch(rng, 64))
    objective.backward()
    optimizer.step()

x, target = batch(rng, 1000)

print(f"{np.mean(objective.model.predict(x).argmax(axis=-1) == target):.1%}")
#> 100.0%

# %% [markdown]
# `Positions` adds a learned vector at each place. Without it attention sees no order.
#
# Next: the GPT.
