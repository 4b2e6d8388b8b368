# %% [markdown]
# Made from docs/learn/gpt.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # The GPT, from your classes
#
# A GPT is a chain of parts that you have written. Here you put them together, train the whole on Python's manual, and let it write.
#
# Time: two hours. The number to reach: clearly below the bigram of chapter 10, 2.46 nats.

# %%
import numpy as np
from pydoc_data.topics import topics
from minifw import Add, Graph, Layer, Loss, Objective, Parameter, Positions
from minifw.lessons import ask, mine
Adam, CrossEntropyLoss, Dense, Embedding = mine("Adam", "CrossEntropyLoss", "Dense", "Embedding")
GELU, LayerNorm, MultiHeadAttention = mine("GELU", "LayerNorm", "MultiHeadAttention")

# %% [markdown]
# ## One axis more
#
# A value is now `(batch, time, width)`. What was a row of a matrix is a place of a text. `Dense` and `LayerNorm` work along the
# last axis. Each weight is used at all places of all texts, so its derivative is a sum over **both** other axes. The
# `dy.sum(axis=0)` of chapter 2 sums over the first only:

# %%
class ByRows(Dense):
    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad[...] = (dy.swapaxes(1, 2) @ x).sum(axis=0)
        self.bias.grad[...] = dy.sum(axis=0)
        return dy @ self.weight.value

ask("dense_steps", ByRows(3, 2))

# %% [markdown]
# Fold both axes into one, and it is chapter 2 again. Change `Dense`, `LayerNorm` and `CrossEntropyLoss`. Ask for `"dense_steps"`,
# `"layer_norm_steps"` and `"cross_entropy_steps"`.
#
# ## The composition
#
# A **block** adds two things to its input: what attention found at other places, and what a perceptron makes of each place. Both
# read a normed copy. The sum itself goes straight through, as in chapter 11: its derivative reaches every block.
#
# A `Graph` names each value and what goes into it. A line without names takes the value above. `Add` has two
# inputs. Where a value is used twice, such as `x` and `told`, the `Graph` adds both derivatives.

# %%
def block(width, heads, rng):
    return Graph(
        "x",
        norm=(LayerNorm(width), "x"),
        attention=MultiHeadAttention(width, heads, causal=True, rng=rng),
        told=(Add(), "x", "attention"),
        norm2=LayerNorm(width),
        wide=Dense(width, 4 * width, rng=rng),
        gelu=GELU("tanh"),
        narrow=Dense(4 * width, width, rng=rng),
        y=(Add(), "told", "narrow"),
    )

def gpt(characters, context, width, heads, blocks, rng):
    return Graph(
        "text",
        code=(Embedding(characters, width, rng=rng), "text"),
        x=Positions(context, width, rng=rng),
        **{f"block{i}": block(width, heads, rng) for i in range(blocks)},
        norm=LayerNorm(width),
        scores=Dense(width, characters, rng=rng),
    )

# %% [markdown]
# At every place the target is the next character. So one text of 16 gives 16 examples.

# %%
alphabet, codes = np.unique(list("".join(topics.values())), return_inverse=True)

def train(steps, batch=16, context=16, lr=0.005):
    rng = np.random.default_rng(0)
    objective = Objective(gpt(len(alphabet), context, 48, 4, 2, rng), CrossEntropyLoss())
    optimizer = Adam(objective.model.parameters(), lr=lr)
    for step in range(steps):
        start = rng.integers(0, len(codes) - context, batch)
        at = start[:, np.newaxis] + np.arange(context)  # (batch, context)
        objective.forward(codes[at], codes[at + 1])
        objective.backward()
        optimizer.step()
    return objective.model

ask("gpt", train(0))
model = train(500)
ask("gpt", model)

# %% [markdown]
# ## Write
#
# Draw the next character by its probability, append it, and ask again. A temperature below 1 makes the likely characters likelier.

# %%
def write(model, start, length, rng, temperature=0.7):
    text = [int(np.flatnonzero(alphabet == character)[0]) for character in start]
    for _ in range(length):
        scores = model.predict(np.array([text[-16:]]))[0, -1] / temperature
        p = np.exp(scores - scores.max())
        text.append(int(rng.choice(len(p), p=p / p.sum())))
    return "".join(alphabet[text])

sample = write(model, "The ", 60, np.random.default_rng(0))

print(len(sample), sample[:4])
#> 64 The

# %% [markdown]
# 2,000 steps take a minute or so, and reach 1.7 nats:

# %% [markdown]
# ```
#      0 steps  The [6!&sßWhZ~r s&q2|PES!8kaYT…”a[na?qQ3
#    100 steps  The of "ereneso t ontin " one,mrene: the Ihenco
#    500 steps  The oe dintest object ecrstemutent aspecrter object
#  2,000 steps  The pan to the "sequltail prosys of and as all core as are and "__dict__()",
# ```

# %% [markdown]
# examples/gpt.py has four blocks of width 128, and reaches 1.2 nats on text that it has not seen.
#
# Next: proved.
