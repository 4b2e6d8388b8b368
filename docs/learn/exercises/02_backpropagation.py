# %% [markdown]
# Made from docs/learn/backpropagation.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # Back-propagation, derived once and slowly
#
# You derive every derivative of the notes' network, and write `Dense`, `Tanh` and `BCELoss`. They must reach the notes' cost column, to 6
# digits. Time: two hours, with pen and paper.
#
# ## The graph, and two rules
#
# As in the notes, $dZ$ is the derivative of the cost $J$ with respect to $Z$.
#
# **One path.** If $J$ depends on $a$, and $a$ on $z$, derivatives multiply: $dz=da\cdot\frac{da}{dz}$. A small change of $z$ is $da/dz$ times as large in
# $a$, and from there $dJ/da$ times as large in $J$.
#
# **Several paths.** If $z$ is used in several places, the parts add up: $dz=\sum_i da_i\cdot\frac{da_i}{dz}$.
#
# So ask of each number: **where is it used, and with which factor?**
#
# ## One example
#
# Hidden unit $i$ computes $z_i=\sum_k W_1[i,k]\,x_k+b_1[i]$ and $a_i=\tanh z_i$. The output unit computes
# $z=\sum_i W_2[i]\,a_i+b_2$, $a=\sigma(z)$. The cost is $L=-(y\log a+(1-y)\log(1-a))$.
#
# **Step 1.** The derivatives of $\log a$ and $\log(1-a)$ are $1/a$ and $-1/(1-a)$:
#
# $$da=-\frac{y}{a}+\frac{1-y}{1-a}=\frac{a-y}{a(1-a)}$$
#
# **Step 2.** The slope of the sigmoid is $a(1-a)$, so $dz=da\cdot a(1-a)=a-y$.
#
# **Step 3.** $W_2[i]$ is used in $z$ with the factor $a_i$, and $b_2$ with the factor 1: $dW_2[i]=dz\cdot a_i$ and $db_2=dz$.
#
# **Step 4.** $a_i$ is used in $z$ with the factor $W_2[i]$: $da_i=dz\cdot W_2[i]$. Hence the name: the error goes **back** over the same weight
# over which $a_i$ came.
#
# **Step 5.** With $\tanh=\sinh/\cosh$, $\sinh'=\cosh$ and $\cosh'=\sinh$, the slope is
#
# $$\frac{\cosh^2z-\sinh^2z}{\cosh^2z}=1-\tanh^2z,\qquad dz_i=da_i\,(1-a_i^2)$$
#
# **Step 6.** As step 3, $dW_1[i,k]=dz_i\cdot x_k$ and $db_1[i]=dz_i$.
#
# **A weight's derivative is the error behind it times the value before it.**
#
# ## A batch
#
# There are $m$ examples, one per **row**. $J$ is the mean of their costs: step 1 brings the factor $1/m$. Steps 1, 2 and 5 hold in each row.
#
# **Step 3** mixes the rows: $W_2[i]$ is used in *every* example $j$:
#
# $$dW_2[i]=\sum_j dz_2[j]\,a_1[j,i],\qquad dW_2=dz_2^T\,a_1,\qquad db_2=\sum_j dz_2[j]$$
#
# A matrix product sums over the last index of the first factor, and the first of the second. Here both must be the example: so $dz_2$ is
# transposed. **Step 4** is $da_1=dz_2\,W_2$, and **step 6** is $dW_1=dz_1^T\,x$. Their shapes fit in one order only.
#
# ## Write them
#
# Each step needs the derivative from the right and some values from forward, nothing else. So it can be a layer that knows nothing of the
# others. A loss is the last step, so its `backward` takes no dy. It returns the gradient of the prediction:

# %%
import numpy as np
from minifw import SGD, Layer, Loss, Objective, Parameter, Sequential
from minifw.lessons import ask, mine

class Dense(Layer):
    def __init__(self, in_features, out_features, rng=None):
        rng = np.random.default_rng(rng)
        limit = np.sqrt(6 / (in_features + out_features))
        self.weight = Parameter(rng.uniform(-limit, limit, (out_features, in_features)))
        self.bias = Parameter(np.zeros(out_features))

    def forward(self, x):
        self.save(x)
        return x @ self.weight.value.T + self.bias.value

    def backward(self, dy):  # sets both grads, returns dx
        (x,) = self.saved()
        raise NotImplementedError("your turn")

class Tanh(Layer):
    def forward(self, x):
        raise NotImplementedError("your turn")

    def backward(self, dy):
        raise NotImplementedError("your turn")

class BCELoss(Loss):
    def forward(self, prediction, target):
        self.check(prediction, target)  # their shapes
        p = np.clip(prediction, 1e-300, 1 - 1e-16)  # no log(0)
        self.save(p, target)
        return float(-np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)))

    def backward(self):
        p, t = self.saved()
        raise NotImplementedError("your turn")

ask("dense", Dense(3, 2))
ask("tanh", Tanh())
ask("bce", BCELoss())

# %% [markdown]
# ## The number to reach

# %%
from minifw.datasets import planar_flower
Sigmoid = mine("Sigmoid")
x, y = planar_flower()
rng = np.random.RandomState(3)
model = Sequential(Dense(2, 4), Tanh(), Dense(4, 1), Sigmoid())
model[0].weight.value = 0.01 * rng.standard_normal((4, 2))
model[2].weight.value = 0.01 * rng.standard_normal((1, 4))
objective = Objective(model, BCELoss())
optimizer = SGD(model.parameters(), lr=1.2)

for iteration in range(6001):
    cost = objective.forward(x, y)
    if iteration % 1000 == 0:
        print(f"{iteration:4d} {cost:f}")
    objective.backward()
    optimizer.step()
#>    0 0.693162
#> 1000 0.258625
#> 2000 0.239334
#> 3000 0.230802
#> 4000 0.225528
#> 5000 0.221845
#> 6000 0.219094

# %% [markdown]
# ## Find the erratum
#
# The notes print $Z_2=W_2Z_1+b_2$, with $Z_1$ where $A_1$ should stand. Their backward belongs to $A_1$. Which of these are wrong for the printed forward?

# %% [markdown]
# ```
# dW2 = dz2.T @ a1    db2 = dz2.sum(axis=0)    dz1 = dz2 @ W2 * (1 - a1**2)
# dW1 = dz1.T @ x     db1 = dz1.sum(axis=0)
# ```

# %% [markdown]
# ## Question
#
# What if all weights start at 0?
#
# Next: every derivative as a number.
