# %% [markdown]
# Made from docs/learn/grader.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # The grader
#
# You write derivatives, and `ask` says whether they are right. Here you meet `ask`: you break a layer in five ways, read
# what it says, and find three bugs that others made. Time: half an hour.
#
# ## How a derivative is checked without knowing it
#
# Move x a little to both sides, and see how far y moves. The line through the two points is nearly as steep as the tangent:
#
# $$f'(x)\approx\frac{f(x+h)-f(x-h)}{2h}$$
#
# `ask` compares each number of your gradient with such a quotient, and your forward with minifw's. If something is wrong, it
# looks for the likeliest reason, and prints one sentence.
#
# ## Break a layer
#
# A layer has two methods. `forward` takes x, returns y, and saves what `backward` needs. `backward` takes dy, the derivative of the cost with
# respect to y. It returns dx, and writes the derivatives of parameters into their `grad`: `[...] =` fills an array. `saved()` returns a tuple, hence the comma.
#
# This layer multiplies each feature by a learned factor:

# %%
import numpy as np
from minifw import Layer, Parameter
from minifw.lessons import ask

class Scale(Layer):
    def __init__(self, features):
        self.weight = Parameter(np.ones(features))

    def forward(self, x):
        self.save(x)
        return x * self.weight.value

    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad[...] = (dy * x).sum(axis=0)  # over the batch
        return dy * self.weight.value

ask("scale", Scale(3))

# %% [markdown]
# Now break it in each of these ways. Ask, and undo the change before the next:
#
# 1. `.mean(axis=0)` in place of `.sum(axis=0)`
# 2. `+=` in place of `=`
# 3. `return dy`
# 4. `return self.weight.value + 0 * dy`
# 5. in `forward`, `x *= self.weight.value` and then `return x`
#
# ## Find three bugs
#
# Ask, read, and mend each class.

# %%
class Square(Layer):  # y = x^2
    def forward(self, x):
        if not hasattr(self, "x"):
            self.x = x
        return x**2

    def backward(self, dy):
        return 2 * self.x * dy

ask("square", Square())

class Centre(Layer):  # each row minus its mean
    def forward(self, x):
        return x - x.mean(axis=1, keepdims=True)

    def backward(self, dy):
        return dy

ask("centre", Centre())

class ELU(Layer):  # x, and 0.1 (e^x - 1) below 0
    def forward(self, x):
        self.save(x)
        return np.where(x > 0, x, 0.1 * np.expm1(np.minimum(x, 0)))

    def backward(self, dy):
        (x,) = self.saved()
        return dy * np.where(x > 0, 1, 0.1 * np.expm1(np.minimum(x, 0)))

ask("elu", ELU())

# %% [markdown]
# ## What other graders miss
#
# We gave 143 wrong layers, of mistakes that learners make, to graders that check less:
#
# | The grader looks at | Wrong layers that pass |
# |---|---|
# | y, and whether there is a gradient | 114 |
# | gradients for a dy of ones alone | 32 |
# | one number of each gradient | 20 |
# | all of them, with a tolerance of 0.01 | 16 |
# | one number, for a dy of ones, with that tolerance (as MiniTorch's `grad_check`) | 37 |
# | all of them, for a random dy, to 6 digits | 16 |
# | the same, y, what is saved, training and prediction: `ask` | 0 |
#
# The 16 have a wrong forward, and a backward that fits it, such as a bias left out.
# `python tests/benchmarks/weak_graders.py` measures the table.
#
# Next: one unit.
