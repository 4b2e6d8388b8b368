# %% [markdown]
# Made from docs/learn/logits.md by docs/learn/make_exercises.py. The page has the pictures, and the answers.
# Run it cell by cell in an editor, or as a script. Replace each NotImplementedError. "#>" is what
# a right answer prints.

# %% [markdown]
# # A sigmoid and its loss
#
# On paper, the derivative of the sigmoid cancels in $a-y$. In the computer it does not: at $z=40$ the product is infinity times 0. You write the sigmoid and
# its loss as one. It must give label 0 at $z=20$, 40 and 1000 the costs 20, 40 and 1000, with the gradient 1. Time: an hour.
#
# ## Where two steps fail
#
# A float64 has 16 digits. Already at $z=37$, $a=1/(1+e^{-z})$ rounds to 1, and $1-a$ to 0. Label 0 then has the cost $-\log 0$:

# %%
import numpy as np

for z in (20.0, 40.0):
    a = 1 / (1 + np.exp(-z))
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = -np.log(1 - a)
        da = a / (a * (1 - a))  # dL/da for label 0
        dz = da * a * (1 - a)
    print(f"z {z:g}: cost {cost:.6g}, da {da:.3g}, dz {dz:.3g}")
#> z 20: cost 20, da 4.85e+08, dz 1
#> z 40: cost inf, da inf, dz nan

# %% [markdown]
# So the example that is most wrong would end training. `BCELoss` moves a into (0, 1), as yours does by `np.clip`. Its cost then stays finite, but the
# sigmoid's slope is 0, and nothing goes back.
#
# ## The two as one
#
# Put $a=\sigma(z)$ into the cost. First, its two logarithms:
#
# $$-\log a=\log(1+e^{-z})\qquad-\log(1-a)=\log\frac{1+e^{-z}}{e^{-z}}=z+\log(1+e^{-z})$$
#
# Their weights in the cost are $y$ and $1-y$, which add up to 1:
#
# $$L=y\log(1+e^{-z})+(1-y)\bigl(z+\log(1+e^{-z})\bigr)=z-yz+\log(1+e^{-z})$$
#
# No $a$ is left, and nothing is rounded to 1. But for $z=-1000$, $e^{-z}$ overflows. There, take $e^{-z}$ out of the logarithm: $\log(1+e^{-z})=-z+\log(e^{z}+1)$. So
#
# $$z\ge0:\;L=z-yz+\log(1+e^{-z}),\qquad z<0:\;L=-yz+\log(1+e^{z})$$
#
# Both in one line, where the exponent is never positive:
#
# $$L=\max(z,0)-yz+\log(1+e^{-|z|})$$
#
# **The derivative.** For $z\ge0$, the logarithm has the slope $-e^{-z}/(1+e^{-z})$, so
#
# $$\frac{dL}{dz}=1-y-\frac{e^{-z}}{1+e^{-z}}=\frac{1}{1+e^{-z}}-y=\sigma(z)-y$$
#
# For $z<0$ it is $-y+e^z/(1+e^z)$: the same. It is $a-y$ again, but now without a division. The mean over $m$ examples brings $1/m$.
#
# ## Write it
#
# The prediction is now z, the **logit**. `finite` refuses a loss that is not finite. In `backward`, too, no exponent may be positive.

# %%
from minifw import Loss
from minifw.lessons import ask

class BCEWithLogitsLoss(Loss):
    def forward(self, prediction, target):
        self.check(prediction, target)
        z = prediction
        self.save(z, target)
        loss = np.log(1 + np.exp(z)) - target * z  # it overflows: your turn
        return self.finite(float(np.mean(loss)))

    def backward(self):
        z, target = self.saved()
        raise NotImplementedError("your turn")

ask("bce_with_logits", BCEWithLogitsLoss())

# %% [markdown]
# ## The number to reach

# %%
loss = BCEWithLogitsLoss()

for z in (20.0, 40.0, 1000.0):
    cost = loss.forward(np.array([[z]]), np.array([[0.0]]))
    print(f"z {z:g}: cost {cost:.6g}, dz {loss.backward().item():.6g}")
#> z 20: cost 20, dz 1
#> z 40: cost 40, dz 1
#> z 1000: cost 1000, dz 1

# %% [markdown]
# minifw's `Objective(model, BCELoss())` does this for you.
#
# ## Another loss: Huber
#
# Let e be the prediction minus the target. Huber's loss is $e^2/2$ where $|e|\le1$, and $|e|-1/2$ elsewhere: an outlier pulls less than with squares. Take the
# mean over all elements.

# %%
class HuberLoss(Loss):
    def forward(self, prediction, target):
        self.check(prediction, target)
        e = prediction - target
        self.save(e)
        return self.finite(float(np.mean(np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5))))

    def backward(self):
        raise NotImplementedError("your turn")

ask("huber", HuberLoss())

# %% [markdown]
# Next: downhill.
