# %% [markdown]
# Made from docs/learn/proof.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # Proved: the whole GPT, PyTorch, and a tape
#
# Time: an hour. The number to reach: equality.
#
# You have written every derivative of a GPT. Here they are proved in three ways.

# %%
import numpy as np
from minifw import Add, Graph, Objective, Positions
from minifw.lessons import mine
from minifw.testing import CheckError, check_objective
Adam, CrossEntropyLoss, Dense, Embedding = mine("Adam", "CrossEntropyLoss", "Dense", "Embedding")
GELU, LayerNorm, MultiHeadAttention = mine("GELU", "LayerNorm", "MultiHeadAttention")

def block(width, heads, rng, norm=LayerNorm):
    return Graph(
        "x",
        norm=(norm(width), "x"),
        attention=MultiHeadAttention(width, heads, causal=True, rng=rng),
        told=(Add(), "x", "attention"),
        norm2=norm(width),
        wide=Dense(width, 4 * width, rng=rng),
        gelu=GELU("tanh"),
        narrow=Dense(4 * width, width, rng=rng),
        y=(Add(), "told", "narrow"),
    )

def gpt(characters, context, width, heads, blocks, rng, norm=LayerNorm):
    return Graph(
        "text",
        code=(Embedding(characters, width, rng=rng), "text"),
        x=Positions(context, width, rng=rng),
        **{f"block{i}": block(width, heads, rng, norm) for i in range(blocks)},
        norm=norm(width),
        scores=Dense(width, characters, rng=rng),
    )

# %% [markdown]
# ## By differences
#
# `check_objective` moves each weight a little. The loss must change as your `backward` said. A GPT with one block and 313 weights will
# do:

# %%
text = np.random.default_rng(1).integers(0, 5, (2, 5))
x, target = text[:, :-1], text[:, 1:]
sizes = {"characters": 5, "context": 4, "width": 4, "heads": 2, "blocks": 1}
model = gpt(**sizes, rng=np.random.default_rng(0))
objective = Objective(model, CrossEntropyLoss())

print(check_objective(objective, x, target).passed)
#> True

# %% [markdown]
# If one layer is a hundredth off, the error names it:

# %%
class Nearly(LayerNorm):
    def backward(self, dy):
        return super().backward(dy) + 0.01 * dy

wrong = gpt(**sizes, rng=np.random.default_rng(0), norm=Nearly)

try:
    check_objective(Objective(wrong, CrossEntropyLoss()), x, target)
except CheckError as error:
    print("layer norm, Nearly(4): dx" in str(error))
#> True

# %% [markdown]
# ## By PyTorch
#
# One step of Adam with your classes:

# %%
start = {name: value.copy() for name, value in model.state_dict().items()}
loss = objective.forward(x, target)
objective.backward()
Adam(model.parameters(), lr=0.01).step()

# %% [markdown]
# PyTorch loads your weights, as the names are the same. If you have it, run its step in the same session. Loss and weights agree to
# 1e-6. (A test compares them with a recorded run.)

# %% [markdown]
# ## By a tape
#
# Other frameworks write a **tape**: each array remembers what it was made of, and a rule for the derivative of each part. `backward`
# reads the tape in reverse, and adds up. Four kinds of rules are enough for `LayerNorm`.

# %%
def summed(dy, shape):
    """Undo broadcasting: add up along the axes that were stretched."""
    dy = dy.sum(axis=tuple(range(dy.ndim - len(shape))))
    return dy.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)

class Traced:
    """An array, and what it was made of: pairs of an array and a rule from dy to its part."""

    def __init__(self, value, *made_of):
        self.value, self.made_of, self.grad = value, made_of, 0.0

    def __add__(self, other):
        return Traced(self.value + other.value, (self, lambda dy: dy), (other, lambda dy: dy))

    def __mul__(self, other):
        a, b = self.value, other.value
        return Traced(a * b, (self, lambda dy: dy * b), (other, lambda dy: dy * a))

    def __pow__(self, n):
        a = self.value
        return Traced(a**n, (self, lambda dy: dy * n * a ** (n - 1)))

    def mean(self):
        a = self.value
        rule = lambda dy: np.broadcast_to(dy / a.shape[-1], a.shape)
        return Traced(a.mean(axis=-1, keepdims=True), (self, rule))

    def tape(self, known=()):
        for source, _ in self.made_of:
            if source not in known:
                known = source.tape(known)
        return [*known, self]

    def backward(self, dy):
        self.grad = dy
        for result in reversed(self.tape()):
            for source, rule in result.made_of:
                source.grad = source.grad + summed(rule(result.grad), source.value.shape)

# %% [markdown]
# Your derivatives beside the tape's:

# %%
rng = np.random.default_rng(0)
layer, data, dy = LayerNorm(5), rng.standard_normal((4, 5)), rng.standard_normal((4, 5))
y, dx = layer.forward(data), layer.backward(dy)

inputs, weight, bias, eps, minus = map(
    Traced, (data, layer.weight.value, layer.bias.value, np.array(1e-5), np.array(-1.0))
)

centred = inputs + minus * inputs.mean()
traced = centred * ((centred * centred).mean() + eps) ** -0.5 * weight + bias
traced.backward(dy)

print(np.allclose(traced.value, y), np.allclose(inputs.grad, dx))
#> True True

print(np.allclose(weight.grad, layer.weight.grad), np.allclose(bias.grad, layer.bias.grad))
#> True True

print(len(traced.tape()))
#> 15

# %% [markdown]
# The tape keeps fifteen arrays, your layer two or three. It needs no derivation, and it cannot simplify one: it walks one by one
# through the three paths of chapter 9, which you added up on paper.
#
# You have a GPT, and you know each number in it. Writing a layer adds a layer to minifw, and
# from here to PyTorch and Keras maps the names.
#
# Next: reading the source.
