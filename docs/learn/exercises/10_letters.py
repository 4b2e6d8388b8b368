# %% [markdown]
# Made from docs/learn/letters.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # Letters: count, look up, learn
#
# From here on a network says which character comes next. This page counts first: every network must beat the loss of counting.
# Then you write the layer that turns characters into numbers.
#
# Time: two hours. The text comes with Python: what `help()` prints.

# %%
import numpy as np
from pydoc_data.topics import topics
from minifw import Flatten, Layer, Normal, Objective, Parameter, Sequential
from minifw.lessons import ask, mine
Dense, Tanh, CrossEntropyLoss, Adam = mine("Dense", "Tanh", "CrossEntropyLoss", "Adam")
text = "".join(topics.values())
alphabet, codes = np.unique(list(text), return_inverse=True)

print(len(text) > 400_000, 100 < len(alphabet) < 110, "".join(alphabet[codes[:10]]) == text[:10])
#> True True True

# %% [markdown]
# `codes` has the text as whole numbers: `alphabet[k]` is character k.
#
# ## Count
#
# A model gives each character a probability $p$. Its loss is the mean of $-\log p$ of the characters that came, the
# cross-entropy of chapter 7. The unit is the **nat**.
#
# **Unigram**: $p$ is how often the character occurs in the text, divided by the length. **Bigram**: $p$ knows the last character,
# too. Count the pairs $c_{ij}$: how often $j$ follows $i$. Then
#
# $$p(j \mid i) = \frac{c_{ij}}{\sum_k c_{ik}}$$
#
# Compute both losses on the whole text: **3.25** and **2.46** nats in Python 3.11, some hundredths less in later ones. (`ask` knows yours.)
# Do not divide by the number of all pairs:

# %%
counts = np.zeros((len(alphabet), len(alphabet)))
np.add.at(counts, (codes[:-1], codes[1:]), 1)  # adds 1 for each pair, also if it repeats
p = counts / counts.sum()
seen = counts > 0  # 0 log 0 counts as 0
ask("bigram", -(counts[seen] * np.log(p[seen])).sum() / counts.sum())

# %% [markdown]
# ## Look up
#
# Counting triples takes a table of a million numbers. A network needs fewer. For it, row $k$ of a table $W$ belongs to character
# $k$:
#
# $$y_p = W_{x_p} \qquad \text{at each place } p$$
#
# Where is $W_k$ used, and with which factor? At each place with $x_p = k$, with the factor 1. The parts of these places add up,
# and a row that nobody looked up gets 0:
#
# $$dW_k = \sum_{p:\ x_p = k} dy_p$$
#
# $x$ is a whole number. It has no derivative, and `backward` returns zeros.

# %%
class Embedding(Layer):
    """y = the rows x of weight."""

    takes_whole_numbers = True  # else predict makes x a float64 array

    def __init__(self, num_embeddings, embedding_dim, *, init=None, rng=None):
        shape, rng = (num_embeddings, embedding_dim), np.random.default_rng(rng)
        self.weight = Parameter((init or Normal())(shape, rng))

    def forward(self, x):  # (batch, time)
        self.save(x)
        return self.weight.value[x]  # (batch, time, embedding_dim)

    def backward(self, dy):
        (x,) = self.saved()
        raise NotImplementedError("your turn")

ask("embedding", Embedding(6, 3))

# %% [markdown]
# The obvious line is wrong. NumPy reads all rows, adds, and writes back. If a row occurs twice, only the last sum stays:

# %%
class Overwritten(Embedding):
    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad[...] = 0
        self.weight.grad[x] += dy
        return np.zeros(x.shape)

ask("embedding", Overwritten(6, 3))

# %% [markdown]
# ## Learn
#
# Three characters go in, each as 16 numbers. A hidden layer follows:

# %%
windows = np.lib.stride_tricks.sliding_window_view(codes, 4)  # three characters and the next

def train(steps, batch=128):
    rng, n = np.random.default_rng(0), len(alphabet)
    layers = Embedding(n, 16, rng=rng), Flatten(), Dense(48, 64, rng=rng), Tanh(), Dense(64, n, rng=rng)
    objective = Objective(Sequential(*layers), CrossEntropyLoss())
    optimizer = Adam(objective.model.parameters(), lr=0.005)
    for step in range(steps):
        chosen = windows[rng.integers(0, len(windows), batch)]
        objective.forward(chosen[:, :3], chosen[:, 3])
        objective.backward()
        optimizer.step()
    return objective.model

model = train(1000)
loss = CrossEntropyLoss().forward(model.predict(windows[::50, :3]), windows[::50, 3])

print(loss < 2.2)
#> True

# %% [markdown]
# That is 2.1 nats after some seconds, and 10,000 steps lead to 1.7. A longer window would need more
# weights for each place. Attention reads any number of places with the same weights.
#
# Next: depth.
