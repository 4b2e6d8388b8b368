# %% [markdown]
# Made from docs/learn/trace.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # Every derivative as a number
#
# Here you see the formulas of the page before as numbers, in a network so small that you can follow with a calculator. You compute
# one derivative yourself, through the whole network. Time: an hour.
#
# ## A network for the calculator
#
# There are three examples and two hidden units. In all arrays, also Z1 and A1, a **row** is an example, and a **column** is a unit.

# %%
import numpy as np
from minifw import SGD, BCELoss, Dense, Objective, Sequential, Sigmoid, Tanh, trace
from minifw.lessons import ask
x = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
y = np.array([[1.0], [1.0], [0.0]])
model = Sequential(Dense(2, 2), Tanh(), Dense(2, 1), Sigmoid())
model[0].weight.value = [[1.0, -1.0], [0.5, 0.5]]  # W1
model[0].bias.value = [0.0, -0.5]  # b1
model[2].weight.value = [[1.0, -2.0]]  # W2
model[2].bias.value = [0.5]  # b2
objective = Objective(model, BCELoss())

# %% [markdown]
# `trace` runs one forward and one backward on a copy of the model. Get a value by its symbol in the notes:

# %%
values = trace(objective, x, y)

def show(*symbols):
    for symbol in symbols:
        rows = np.atleast_2d(values[symbol])
        lines = ["".join(f"{number + 0.0:9.4f}" for number in row) for row in rows]
        print(f"{symbol:4}" + "\n    ".join(lines))

# %% [markdown]
# ## Forward
#
# - Z1 = X W1' + b1. The first example is (1, 0). Unit 1: 1 · 1 - 1 · 0 + 0 = 1. Unit 2: 0.5 · 1 + 0.5 · 0 - 0.5 = 0.
# - A1 = tanh(Z1), with tanh 1 = 0.7616 and tanh 0.5 = 0.4621.
# - Z2 = A1 W2' + b2. The third example: 1 · 0 - 2 · 0.4621 + 0.5 = -0.4242.
# - A2 = sigmoid(Z2). The labels are 1, 1 and 0: the second example is on the wrong side of 1/2.
# - J is the mean of -log 0.7793, -log 0.4350 and -log(1 - 0.3955).

# %%
show("Z1", "A1", "Z2", "A2", "J")
#> Z1     1.0000   0.0000
#>       -1.0000   0.0000
#>        0.0000   0.5000
#> A1     0.7616   0.0000
#>       -0.7616   0.0000
#>        0.0000   0.4621
#> Z2     1.2616
#>       -0.2616
#>       -0.4242
#> A2     0.7793
#>        0.4350
#>        0.3955
#> J      0.5284

# %% [markdown]
# ## Backward
#
# - dZ2 = (A2 - Y) / 3. The second example has the largest error: (0.4350 - 1) / 3 = -0.1883. (The notes bring in the 1/3 later, with dW2 and db2.)
# - dW2 = dZ2' A1, the error times the value before it: -0.0736 · 0.7616 - 0.1883 · (-0.7616) + 0.1318 · 0 = 0.0874.
# - db2 is the sum of dZ2.

# %%
show("dZ2", "dW2", "db2")
#> dZ2   -0.0736
#>       -0.1883
#>        0.1318
#> dW2    0.0874   0.0609
#> db2   -0.1301

# %% [markdown]
# **Your turn.** Compute dW1[1, 0], the derivative of the weight 0.5 from feature 1 to unit 2, with a pocket calculator. First dA1 = dZ2 W2, then
# dZ1 = dA1 * (1 - A1²), then dW1 = dZ1' X. You need the second column of dA1 and dZ1 alone. Three digits are
# enough. Put yours in the place of 1:

# %%
ask("dW1", 1.0)

# %% [markdown]
# `print(values)` shows all symbols in one table.
#
# ## What a derivative predicts
#
# db1 of unit 2 is 0.3165. If this bias grows by a small h, the cost grows by about 0.3165 h:

# %%
before = objective.forward(x, y)
model[0].bias.value[1] += 0.001

print(f"{(objective.forward(x, y) - before) / 0.001:.3f}")
#> 0.317

model[0].bias.value[1] -= 0.001

# %% [markdown]
# Gradient descent moves each parameter against its derivative. So the cost should fall by lr times the sum of the squared derivatives. But it is not a straight line:

# %%
optimizer = SGD(model.parameters(), lr=0.5)
cost = objective.forward(x, y)
objective.backward()
optimizer.step()
squares = sum(float(np.sum(values[s] ** 2)) for s in ("dW1", "db1", "dW2", "db2"))

print(f"forecast {0.5 * squares:.4f}, in fact {cost - objective.forward(x, y):.4f}")
#> forecast 0.0871, in fact 0.0619

# %% [markdown]
# ## Question
#
# Set W2 to (0, 0). Which derivatives become 0?
#
# The network, live has the same table, with the numbers of every step of the training.
#
# Next: a sigmoid and its loss.
