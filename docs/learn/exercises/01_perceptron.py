# %% [markdown]
# Made from docs/learn/perceptron.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # One unit
#
# A unit adds up its inputs with weights, adds a bias, and gives a number between 0 and 1. You derive its derivatives, write it by hand, and then as
# layers. It must reach 99.8 % on two clouds, and fail on a flower. Time: an hour.
#
# ## What it computes
#
# $$z=w_1x_1+w_2x_2+b,\qquad a=\sigma(z)=\frac{1}{1+e^{-z}}$$
#
# The **sigmoid** $\sigma$ turns any $z$ into $a$ between 0 and 1. We read $a$ as the probability of class 1. If $a>1/2$, we say class 1.
#
# $a=1/2$ where $z=0$, and $w_1x_1+w_2x_2+b=0$ describes a line: one unit divides the plane by **one straight line**.
#
# The label $y$ is 0 or 1. The cost of one example is the **cross-entropy**, $L=-(y\log a+(1-y)\log(1-a))$. For $y=1$ only the first part counts: it is 0 if
# $a=1$, and grows without limit as $a$ goes to 0. The cost $J$ is the mean over the examples.
#
# ## A slope by differences
#
# Chapter 0 checked slopes by $(f(x+h)-f(x-h))/2h$. Write it:

# %%
import numpy as np
from minifw import Layer
from minifw.lessons import ask

def slope(f, x, h=1e-5):
    raise NotImplementedError("your turn")

ask("slope", slope)
ask("slope", lambda f, x, h=1e-5: (f(x + h) - f(x)) / h)  # one side only

# %% [markdown]
# ## The derivative
#
# **Step 1: the sigmoid.** The outer function is $1/u$ with the slope $-1/u^2$. The inner one is $u=1+e^{-z}$ with the slope $-e^{-z}$:
#
# $$\frac{da}{dz}=\frac{e^{-z}}{(1+e^{-z})^2}=\frac{1}{1+e^{-z}}\cdot\frac{e^{-z}}{1+e^{-z}}=a(1-a)$$
#
# **Step 2: the cost.** $dL/da=(a-y)/(a(1-a))$. Multiply by step 1: $a(1-a)$ cancels, and $dL/dz=a-y$.
#
# **Step 3: the parameters.** $w_1$ has the factor $x_1$, and $b$ has the factor 1:
#
# $$\frac{dL}{dw_1}=(a-y)\,x_1,\qquad\frac{dL}{db}=a-y$$
#
# *The error, times the input.*
#
# Write the sigmoid as a layer, and then softplus, $y=\log(1+e^x)$, whose derivative you find yourself:

# %%
class Sigmoid(Layer):
    def forward(self, x):
        y = 1 / (1 + np.exp(-x))
        self.save(y)
        return y

    def backward(self, dy):
        (y,) = self.saved()
        raise NotImplementedError("your turn")

class Softplus(Layer):
    def forward(self, x):
        self.save(x)
        return np.log(1 + np.exp(x))  # it overflows: your turn

    def backward(self, dy):
        raise NotImplementedError("your turn")

ask("sigmoid", Sigmoid())
ask("softplus", Softplus())

# %% [markdown]
# Copy each class that is `right`, with its imports, into `mine.py` in your folder. The next chapters use it.
#
# ## By hand
#
# As in the notes, `X` has one example per **column**:

# %%
from minifw.datasets import blobs, planar_flower

def train(X, Y, iterations=1000, learning_rate=0.5):
    m = X.shape[1]
    w, b = np.zeros((1, 2)), 0.0
    for _ in range(iterations):
        A = 1 / (1 + np.exp(-(w @ X + b)))  # (1, m)
        dZ = A - Y  # (1, m)
        w = w - learning_rate * dZ @ X.T / m
        b = b - learning_rate * np.sum(dZ) / m
    return w, b

for name, (x, y) in (("clouds", blobs(rng=0)), ("flower", planar_flower())):
    w, b = train(x.T, y.T)
    print(f"{name} {np.mean((x @ w.T + b > 0) == y):.1%}")
#> clouds 99.8%
#> flower 47.0%

# %% [markdown]
# No line divides the flower. (Less than 50 % is possible: training makes the cost small, not the number of errors.) The remedy is a layer of hidden units
# before this one: the notes' network.
#
# ## As layers
#
# minifw holds one example per **row**:

# %%
from minifw import SGD, BCELoss, Dense, Objective, Sequential, Zeros
model = Sequential(Dense(2, 1, init=Zeros()), Sigmoid())
objective = Objective(model, BCELoss())
optimizer = SGD(model.parameters(), lr=0.5)

for iteration in range(1000):
    cost = objective.forward(x, y)  # still the flower
    objective.backward()
    optimizer.step()

print(np.allclose(model[0].weight.value, w), np.allclose(model[0].bias.value, b))
#> True True

# %% [markdown]
# `Dense` computes z, `Sigmoid` a, and `BCELoss` the cost. `Objective` joins model and loss, and `SGD` is gradient descent.
# examples/perceptron.py is the same as a script.
#
# Next: the notes' network, line by line.
