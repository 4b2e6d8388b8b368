# %% [markdown]
# Made from docs/learn/norms.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # Norms: twenty layers that train
#
# If the numbers in a network get too large, every tanh is flat, and no gradient comes through. A **norm** brings them back to mean 0 and
# variance 1. You write two, and train 20 layers.
#
# Time: two hours.

# %%
import numpy as np
from sklearn.datasets import load_digits
from minifw import Identity, Layer, Objective, Parameter, Sequential
from minifw.lessons import ask, mine
Dense, Tanh, CrossEntropyLoss, Adam = mine("Dense", "Tanh", "CrossEntropyLoss", "Adam")

# %% [markdown]
# ## LayerNorm
#
# One example has $n$ numbers $x_i$. With their mean $m$ and their variance $v$,
#
# $$z_i = (x_i - m)\, r, \qquad r = \frac{1}{\sqrt{v + \epsilon}}, \qquad y_i = w_i z_i + b_i$$
#
# $w_i$ and $b_i$ are parameters. Every example uses them, so $dw_i = \sum dy_i\, z_i$ and $db_i = \sum dy_i$, sums over the batch. And $dz_i =
# w_i\, dy_i$.
#
# **From dz to dx.** Three paths lead from $x_k$ to the cost. Their derivatives add up.
#
# 1. **Directly**: $x_k$ is in $z_k$, with the factor $r$. This gives $r\, dz_k$.
# 2. **Through the mean**: $\partial m / \partial x_k = 1/n$, and $m$ is in every $z_i$, with the factor $-r$. This gives $-r \cdot
#    \frac{1}{n} \sum_i dz_i$.
# 3. **Through the variance**: $\partial v / \partial x_k = \frac{2}{n} (x_k - m)$. ($m$ moves, too, but that adds nothing, because all $x_i - m$
#    add up to 0.) Then $dr/dv = -\frac{1}{2} r^3$, and in $z_i$, $r$ has the factor $x_i - m$. This gives $\sum_i dz_i\, (x_i - m) \cdot
#    \bigl(-\frac{1}{2} r^3\bigr) \cdot \frac{2}{n} (x_k - m)$. Since $(x - m)\, r = z$, that is $-r\, z_k \cdot \frac{1}{n} \sum_i dz_i z_i$.
#
# Together, with means over the features:
#
# $$dx_k = r\, \bigl(dz_k - \text{mean}(dz) - z_k\, \text{mean}(dz\, z)\bigr)$$
#
# This try takes the variance for a constant:

# %%
class LayerNorm(Layer):
    def __init__(self, features, eps=1e-5):
        self.weight, self.bias = Parameter(np.ones(features)), Parameter(np.zeros(features))
        self.eps = eps
    def forward(self, x):
        r = 1 / np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)  # (batch, 1)
        z = (x - x.mean(axis=-1, keepdims=True)) * r  # (batch, features)
        self.save(z, r)
        return self.weight.value * z + self.bias.value
    def backward(self, dy):
        z, r = self.saved()
        self.weight.grad[...] = (dy * z).sum(axis=0)
        self.bias.grad[...] = dy.sum(axis=0)
        dz = dy * self.weight.value
        return r * (dz - dz.mean(axis=-1, keepdims=True))  # your turn

ask("layer_norm", LayerNorm(5))

# %% [markdown]
# ## BatchNorm
#
# `BatchNorm` does the same for each *feature*, over the batch: axis 0 in place of axis -1. The formula is the same. But in use, an example must
# not depend on others. So there are two modes, and `self.training` says which:
#
# - **train**: $m$ and $v$ of the batch. Each forward also moves `running_mean` a tenth of the way to $m$, and `running_var` to
#   $v\, n / (n - 1)$, the estimate for all data.
# - **eval**: these two in place of $m$ and $v$. They are constants, so paths 2 and 3 are gone: $dx = r\, dz$.

# %%
class BatchNorm(Layer):
    buffers = ("running_mean", "running_var")
    def __init__(self, features, eps=1e-5, momentum=0.1):
        self.weight, self.bias = Parameter(np.ones(features)), Parameter(np.zeros(features))
        self.running_mean, self.running_var = np.zeros(features), np.ones(features)
        self.eps, self.momentum = eps, momentum
    def forward(self, x):
        raise NotImplementedError("your turn")
    def backward(self, dy):
        raise NotImplementedError("your turn")

ask("batch_norm", BatchNorm(3))

# %% [markdown]
# ## Twenty layers
#
# Take the digits of chapter 7, and weights that are too large. The numbers to reach: **80 %** with a norm. Without one it stays below 20 %.

# %%
digits = load_digits()
order = np.random.default_rng(0).permutation(1797)
x, y = digits.data[order] / 16, digits.target[order]

def train(norm, epochs=10):
    rng, layers = np.random.default_rng(0), []
    for width in [64] + 19 * [32]:
        dense = Dense(width, 32)
        dense.weight.value = rng.standard_normal((32, width))
        layers += [dense, norm(32), Tanh()]
    model = Sequential(*layers, Dense(32, 10, rng=rng))
    objective, optimizer = Objective(model, CrossEntropyLoss()), Adam(model.parameters(), lr=0.005)
    for epoch in range(epochs):
        for rows in np.array_split(rng.permutation(1437), 15):
            cost = objective.forward(x[rows], y[rows])
            objective.backward()
            optimizer.step()
    return (model.predict(x)[1437:].argmax(axis=1) == y[1437:]).mean()

print(train(lambda width: Identity()) < 0.2)
#> True

print(train(LayerNorm) > 0.8, train(BatchNorm) > 0.8)
#> True True

# %% [markdown]
# `LayerNorm` is the one that the GPT has: it needs no batch, and no second mode.
#
# Next: letters.
