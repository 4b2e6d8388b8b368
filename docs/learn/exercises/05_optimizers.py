# %% [markdown]
# Made from docs/learn/optimizers.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # Downhill: momentum and Adam
#
# The gradient says where the cost rises. An optimizer decides how far to go the other way. You write two, and race them on
# the notes' network.
#
# Time: an hour and a half.

# %%
import numpy as np
from minifw import Objective, Optimizer, Sequential
from minifw.datasets import planar_flower
from minifw.lessons import ask, mine
Dense, Tanh, Sigmoid, BCELoss = mine("Dense", "Tanh", "Sigmoid", "BCELoss")

# %% [markdown]
# ## Gradient descent
#
# With the parameters $\theta$, their gradient $g$ and the learning rate $\eta$:
#
# $$\theta \leftarrow \theta - \eta\, g$$
#
# The cost $\frac{c}{2} \theta^2$ has the gradient $c\,\theta$, so a step multiplies $\theta$ by $1 - \eta c$. If $\eta > 2 / c$, each step leads
# farther away.
#
# In a narrow valley, $c$ may be 100 across and 1 along. The sides allow only $\eta < 0.02$. So a step along the valley covers less
# than 2 % of the way that is left.
#
# ## Momentum
#
# A rolling ball keeps its speed. The velocity $v$ starts at 0:
#
# $$v \leftarrow \mu\, v + g, \qquad \theta \leftarrow \theta - \eta\, v$$
#
# If $g$ stays the same, $v$ grows to $g + \mu g + \mu^2 g + \dots = g / (1 - \mu)$, which is $10\,g$ for $\mu = 0.9$. Across the valley
# $g$ changes its sign in each step, and the parts cancel.
#
# `update` gets all parameters as one vector and all gradients as another. `zeros` makes a third.

# %%
class SGD(Optimizer):
    def __init__(self, parameters, lr, momentum=0.0):
        super().__init__(parameters, lr)
        self.momentum = momentum
        self.velocity = self.zeros()
    def update(self, values, grads):
        values = values - self.lr * grads  # your turn

ask("momentum", lambda parameters: SGD(parameters, lr=0.1, momentum=0.9))

# %% [markdown]
# ## Adam
#
# Adam keeps two running means for each parameter: $m$ of the gradient, and $v$ of its square.
#
# $$m \leftarrow \beta_1 m + (1 - \beta_1)\, g, \qquad v \leftarrow \beta_2 v + (1 - \beta_2)\, g^2$$
#
# Both start at 0, so at first they are too small. If $g$ is constant, then $m = (1 - \beta_1^t)\, g$ after $t$ steps. Divide by that factor:
#
# $$\hat m = \frac{m}{1 - \beta_1^t}, \qquad \hat v = \frac{v}{1 - \beta_2^t}, \qquad
# \theta \leftarrow \theta - \eta\, \frac{\hat m}{\sqrt{\hat v} + \epsilon}$$
#
# A constant $g$ gives steps of length $\eta$, whether $g$ is 100 or 0.001.
#
# `self.steps` counts the steps before this one, from 0. This try lacks the two divisions:

# %%
class Adam(Optimizer):
    def __init__(self, parameters, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(parameters, lr)
        self.betas, self.eps = betas, eps
        self.m, self.v = self.zeros(), self.zeros()
    def update(self, values, grads):
        beta1, beta2 = self.betas
        self.m[...] = beta1 * self.m + (1 - beta1) * grads
        self.v[...] = beta2 * self.v + (1 - beta2) * grads**2
        values -= self.lr * self.m / (np.sqrt(self.v) + self.eps)  # your turn

ask("adam", lambda parameters: Adam(parameters, lr=0.1))

# %% [markdown]
# ## The race
#
# All start where the notes start. The numbers to reach are the lowest costs within 20, 50, 100 and 1,000 steps.

# %%
x, y = planar_flower()

def race(name, make):
    rng = np.random.RandomState(3)
    model = Sequential(Dense(2, 4), Tanh(), Dense(4, 1), Sigmoid())
    model[0].weight.value = rng.standard_normal((4, 2)) * 0.01
    model[2].weight.value = rng.standard_normal((1, 4)) * 0.01
    objective, optimizer, costs = Objective(model, BCELoss()), make(model.parameters()), []
    for _ in range(1000):
        costs.append(objective.forward(x, y))
        objective.backward()
        optimizer.step()
    lowest = np.minimum.accumulate(costs)
    print(f"{name:18}" + "".join(f"{lowest[step - 1]:8.2f}" for step in (20, 50, 100, 1000)))

race("gradient descent", lambda parameters: SGD(parameters, lr=1.2))
#> gradient descent      0.68    0.64    0.61    0.26

race("momentum 0.9", lambda parameters: SGD(parameters, lr=0.5, momentum=0.9))
#> momentum 0.9          0.68    0.61    0.40    0.24

race("Adam, lr 0.01", lambda parameters: Adam(parameters, lr=0.01))
#> Adam, lr 0.01         0.68    0.65    0.61    0.28

race("Adam, lr 0.05", lambda parameters: Adam(parameters, lr=0.05))
#> Adam, lr 0.05         0.62    0.48    0.32    0.25

# %% [markdown]
# The learning rate matters with Adam, too.
#
# ## Ten starts, nine methods
#
# examples/optimizers.py repeats the race, with batches, and with Newton and quasi-Newton methods (BFGS),
# which also use the curvature. Thick lines are medians of ten starts.
#
# BFGS is fastest, but sometimes gets stuck, and needs all examples at once. For batches, begin with `Adam(parameters, lr=1e-3)`. Then
# try three learning rates, a factor of three apart.
#
# Next: the clinic.
