# %% [markdown]
# Made from docs/learn/depth.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # Depth: residual connections, GELU
#
# A norm is one way to train twenty layers. Here is the other: let each layer *add* something to its input. You also write the
# activation of the GPT.
#
# Time: an hour.

# %%
import numpy as np
from sklearn.datasets import load_digits
from minifw import Layer, Objective, Parameter, Sequential
from minifw.lessons import ask, mine
Dense, CrossEntropyLoss, Adam = mine("Dense", "CrossEntropyLoss", "Adam")

# %% [markdown]
# ## Why the gradient vanishes
#
# Backward multiplies by the derivative of each layer, one after the other. Suppose that each makes the gradient 7 times smaller, as with
# small weights. After 20 layers, $7^{-20} \approx 10^{-17}$ of it is left. The first layers do not learn.
#
# ## Residual
#
# $$y = x + f(x)$$
#
# $f$ is a layer, or several. $x$ reaches $y$ by two paths: directly, with the factor 1, and through $f$. Their derivatives add up:
#
# $$dx = dy + f'(x)^T dy$$
#
# The second term is what the layer's own `backward` returns. The first arrives whole, however small $f'$ is. So over 20 layers the
# gradient does not vanish.
#
# The layer is an attribute, and its parameters are found there. This try forgets a path:

# %%
class Residual(Layer):
    def __init__(self, layer):
        self.layer = layer
    def forward(self, x):
        return x + self.layer.forward(x)
    def backward(self, dy):
        return self.layer.backward(dy)  # your turn

ask("residual", Residual(Dense(3, 3)))

# %% [markdown]
# ## GELU
#
# $y = x\, g$, with a gate $g$ between 0 and 1 that depends on $x$ itself. A large $x$ passes, and a negative one hardly:
#
# $$g = \frac{1 + \tanh u}{2}, \qquad u = \sqrt{2 / \pi}\, (x + 0.044715\, x^3)$$
#
# **The derivative.** $x$ stands in front *and* in the gate, so the product rule gives $dy/dx = g + x\, g'$. The chain rule gives $g'$: the
# slope of tanh is $1 - \tanh^2 u$, and with $\tanh u = 2g - 1$
#
# $$\frac{dg}{du} = \frac{1 - (2g - 1)^2}{2} = 2 g (1 - g), \qquad \frac{du}{dx} = \sqrt{2 / \pi}\, (1 + 0.134145\, x^2)$$

# %%
class GELU(Layer):
    def __init__(self, approximate):
        self.approximate = approximate  # "tanh", as in the formula
    def forward(self, x):
        g = (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
        self.save(x, g)
        return x * g
    def backward(self, dy):
        x, g = self.saved()
        raise NotImplementedError("your turn")

ask("gelu", GELU("tanh"))

# %% [markdown]
# ## Swish, with a parameter
#
# Here the gate is a sigmoid, with a slope $b$ for each feature that is learned, too: $y = x\, s$, $s = \sigma(b x)$. Derive $dx$ and $db$,
# and write the whole layer, `Swish(features)`. Its parameter is `slope`, 1 at the start. Then `ask("swish", Swish(3))`.
#
# ## Twenty layers
#
# Once more the digits, with small weights. First look at the gradients of the biases, before any step, in layers 1, 5, 10, 15 and 20. The
# first row is without residual connections, the second with them. Then train. The number to reach: **93 %** with them. Without them, it
# stays below 20 %.

# %%
digits = load_digits()
order = np.random.default_rng(0).permutation(1797)
x, y = digits.data[order] / 16, digits.target[order]

def build(wrap):
    rng, denses = np.random.default_rng(0), [Dense(32, 32) for _ in range(20)]
    for dense in denses:
        dense.weight.value = 0.05 * rng.standard_normal((32, 32))
    blocks = [wrap(Sequential(dense, GELU("tanh"))) for dense in denses]
    model = Sequential(Dense(64, 32, rng=rng), *blocks, Dense(32, 10, rng=rng))
    return Objective(model, CrossEntropyLoss()), denses

def plain(layer):
    return layer

for wrap in (plain, Residual):
    objective, denses = build(wrap)
    cost = objective.forward(x[:1437], y[:1437])
    objective.backward()
    norms = [np.linalg.norm(denses[i - 1].bias.grad) for i in (1, 5, 10, 15, 20)]
    print(" ".join(f"{norm:.0e}" for norm in norms))
#> 1e-18 3e-15 6e-11 9e-07 1e-02
#> 2e-01 3e-01 2e-01 2e-01 1e-01

def train(wrap, epochs=8):
    (objective, _), rng = build(wrap), np.random.default_rng(0)
    optimizer = Adam(objective.model.parameters(), lr=0.003)
    for epoch in range(epochs):
        for rows in np.array_split(rng.permutation(1437), 15):
            cost = objective.forward(x[rows], y[rows])
            objective.backward()
            optimizer.step()
    return (objective.model.predict(x)[1437:].argmax(axis=1) == y[1437:]).mean()

print(train(plain) < 0.2, train(Residual) > 0.93)
#> True True

# %% [markdown]
# The GPT has both in each block: a norm, and a residual connection.
#
# Next: attention.
