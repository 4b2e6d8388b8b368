"""Optimizers that are wrong on purpose, each after a mistake that real projects made.

Each stands with the words that the first failure must contain, and with words that it must not.
"""

import copy
import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from minifw import SGD, Array, Optimizer, Parameter

Parameters = Iterable[Parameter]
Make = Callable[[list[Parameter]], Optimizer]


@dataclass(frozen=True)
class Wrong:
    """A wrong optimizer, what must be said of it first, and what must not."""

    name: str
    make: Make
    words: str
    never: str = "seed what it draws|each time"


# -- the right ones, which the wrong ones change in one place ----------------------------


class Momentum(Optimizer):
    """v <- m v + g, theta <- theta - lr v."""

    def __init__(self, parameters: Parameters, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(parameters, lr)
        self.momentum = momentum
        self.velocity = self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self.velocity *= self.momentum
        self.velocity += grads
        values -= self.lr * self.velocity


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015), with the decoupled decay of AdamW."""

    def __init__(self, parameters: Parameters, lr: float = 1e-3, weight_decay: float = 0) -> None:
        super().__init__(parameters, lr)
        self.weight_decay = weight_decay
        self.first, self.second = self.zeros(), self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self.first += 0.1 * (grads - self.first)
        self.second += 0.001 * (grads**2 - self.second)
        t = self.steps + 1
        first, second = self.first / (1 - 0.9**t), self.second / (1 - 0.999**t)
        values -= self.lr * (first / (np.sqrt(second) + 1e-8) + self.weight_decay * values)


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer, 2011)."""

    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self.total = self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self.total += grads**2
        values -= self.lr * grads / (np.sqrt(self.total) + 1e-10)


class RMSprop(Optimizer):
    """RMSprop (Tieleman and Hinton, 2012)."""

    def __init__(self, parameters: Parameters, lr: float = 1e-3) -> None:
        super().__init__(parameters, lr)
        self.square = self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self.square += 0.1 * (grads**2 - self.square)
        values -= self.lr * grads / (np.sqrt(self.square) + 1e-8)


class Adadelta(Optimizer):
    """Adadelta (Zeiler, 2012), which starts slowly."""

    def __init__(self, parameters: Parameters, lr: float = 1.0) -> None:
        super().__init__(parameters, lr)
        self.square, self.moved = self.zeros(), self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self.square += 0.1 * (grads**2 - self.square)
        move = grads * np.sqrt((self.moved + 1e-6) / (self.square + 1e-6))
        self.moved += 0.1 * (move**2 - self.moved)
        values -= self.lr * move


class Signs(Optimizer):
    """theta <- theta - lr sign(g)."""

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * np.sign(grads)


class Clipped(Optimizer):
    """Gradient descent with the norm of the gradient limited to 1."""

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * grads / max(1.0, float(np.linalg.norm(grads)))


class NonNegative(SGD):
    """A step, and back to what is allowed: a projection."""

    def update(self, values: Array, grads: Array) -> None:
        super().update(values, grads)
        np.maximum(values, 0, out=values)


class Averaged(Optimizer):
    """z <- z - lr g, x <- its mean so far, values between the two (Defazio and others, 2024)."""

    def __init__(self, parameters: Parameters, lr: float, beta: float = 0.9) -> None:
        super().__init__(parameters, lr)
        self.beta = beta
        self.z: Array | None = None
        self.x: Array | None = None

    def update(self, values: Array, grads: Array) -> None:
        if self.z is None or self.x is None:
            self.z, self.x = values.copy(), values.copy()
        self.z -= self.lr * grads
        self.x += (self.z - self.x) / (self.steps + 1)
        values[...] = (1 - self.beta) * self.z + self.beta * self.x


class Noisy(SGD):
    """Noise on every gradient, that of 0 too, from a generator of its own."""

    def __init__(self, parameters: Parameters, lr: float, rng: int = 0) -> None:
        super().__init__(parameters, lr)
        self.rng = np.random.RandomState(rng)

    def update(self, values: Array, grads: Array) -> None:
        noise = 1e-4 * self.rng.standard_normal(grads.size)
        super().update(values, (grads + noise).astype(grads.dtype))


class Rprop(Optimizer):
    """Resilient backpropagation (Riedmiller and Braun, 1993): lr is the first step's size."""

    declared = "lr"

    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self.old = self.zeros()
        self.size = self.zeros() + self.lr

    def update(self, values: Array, grads: Array) -> None:
        turn = np.sign(grads * self.old)
        self.size *= np.choose(turn.astype(int) + 1, (0.5, 1, 1.2)).astype(values.dtype)
        np.clip(self.size, 1e-6, 50, out=self.size)
        self.old[...] = np.where(turn < 0, 0, grads)
        values -= np.sign(self.old) * self.size


class FarFromTheNumbers(Optimizer):
    """Arguments that matter late, for large gradients only, or to people."""

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.01,
        *,
        bound: float = 20.0,
        warm: int = 900,
        slow: float = 0.5,
        title: str = "far",
    ) -> None:
        super().__init__(parameters, lr)
        self.bound, self.warm, self.slow, self.title = bound, warm, slow, title

    def update(self, values: Array, grads: Array) -> None:
        rate = self.lr * (self.slow if self.steps > self.warm else 1.0)
        values -= rate * np.clip(grads, -self.bound, self.bound)


class DecaysWhereItMoves(Optimizer):
    """A decay that needs a gradient (Liang and others, 2024)."""

    declared: ClassVar[dict[str, str]] = {"weight_decay": "only with the gradient"}

    def __init__(self, parameters: Parameters, lr: float, weight_decay: float = 0.1) -> None:
        super().__init__(parameters, lr)
        self.weight_decay = weight_decay

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * (grads + self.weight_decay * values * (grads * values > 0))


RIGHT: dict[str, Make] = {
    "Rprop": Rprop,
    "far from the numbers": FarFromTheNumbers,
    "cautious decay": lambda p: DecaysWhereItMoves(p, lr=0.1),
    "not below 0": lambda p: NonNegative(p, lr=0.1),
    "averaged": lambda p: Averaged(p, lr=0.1),
    "gradient noise": lambda p: Noisy(p, lr=0.1),
    "SGD": lambda p: SGD(p, lr=0.1),
    "SGD, the notes' lr": lambda p: SGD(p, lr=1.2),
    "SGD, a tiny lr": lambda p: SGD(p, lr=1e-6),
    "momentum": Momentum,
    "Adam": Adam,
    "AdamW": lambda p: Adam(p, weight_decay=0.1),
    "Adagrad": Adagrad,
    "RMSprop": RMSprop,
    "Adadelta": Adadelta,
    "signs": lambda p: Signs(p, lr=0.1),
    "clipped": lambda p: Clipped(p, lr=0.5),
}


# -- the step ----------------------------------------------------------------------------


class Uphill(Optimizer):
    def update(self, values: Array, grads: Array) -> None:
        values += self.lr * grads


class UphillWithMomentum(Momentum):
    """The velocity has a minus already."""

    def update(self, values: Array, grads: Array) -> None:
        self.velocity *= self.momentum
        self.velocity -= self.lr * grads
        values -= self.velocity


class NewArray(Optimizer):
    """values = ... names another array."""

    def update(self, values: Array, grads: Array) -> None:
        values = values - self.lr * grads


class FirstParameterOnly(Optimizer):
    """A return inside the loop."""

    def update(self, values: Array, grads: Array) -> None:  # noqa: ARG002
        for parameter in self.parameters:
            parameter.value = parameter.value - self.lr * parameter.grad
            return


class AllButTheLast(Optimizer):
    """A slice that ends one early."""

    def update(self, values: Array, grads: Array) -> None:
        values[:-1] -= self.lr * grads[:-1]


class HalfUphill(Optimizer):
    """The sign of a branch is wrong."""

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * np.where(np.arange(grads.size) % 2, grads, -grads)


class RootOfTheGradient(RMSprop):
    """The square is forgotten: the root of a negative number."""

    def update(self, values: Array, grads: Array) -> None:
        self.square += 0.1 * (grads - self.square)
        values -= self.lr * grads / (np.sqrt(self.square) + 1e-8)


class PuffsUp(Optimizer):
    """The running mean lacks its 1 - beta, and grows for ever."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self.mean = self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self.mean *= 1.5
        self.mean += grads
        values -= self.lr * self.mean


# -- what a step touches -----------------------------------------------------------------


class ScalesGradients(Optimizer):
    def update(self, values: Array, grads: Array) -> None:
        grads *= self.lr
        values -= grads


class DecayIntoGradients(Optimizer):
    """Adds the decay to the gradient that it was given."""

    weight_decay = 0.1

    def update(self, values: Array, grads: Array) -> None:
        grads += self.weight_decay * values
        values -= self.lr * grads


class UndeclaredDecay(Optimizer):
    def update(self, values: Array, grads: Array) -> None:
        values *= 1 - 0.01 * self.lr
        values -= self.lr * grads


class UnusedDecay(Optimizer):
    """Keeps its decay for show."""

    def __init__(self, parameters: list[Parameter], lr: float, weight_decay: float = 0.1) -> None:
        super().__init__(parameters, lr)
        self.weight_decay = weight_decay

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * grads


class Growth(UnusedDecay):
    def update(self, values: Array, grads: Array) -> None:
        values *= 1 + self.lr * self.weight_decay
        values -= self.lr * grads


class Float32Step(Optimizer):
    """Its step goes through float32."""

    def update(self, values: Array, grads: Array) -> None:
        values -= (self.lr * grads).astype(np.float32)


class DroppedMomentum(Optimizer):
    def __init__(self, parameters: list[Parameter], lr: float, momentum: float = 0.9) -> None:  # noqa: ARG002
        super().__init__(parameters, lr)

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * grads


class NoEpsilon(RMSprop):
    def update(self, values: Array, grads: Array) -> None:
        self.square += 0.1 * (grads**2 - self.square)
        values -= self.lr * grads / np.sqrt(self.square)


class ReplacesArrays(SGD):
    """Gives each parameter a new array, out of the vector."""

    def update(self, values: Array, grads: Array) -> None:
        super().update(values, grads)
        for parameter in self.parameters:
            object.__setattr__(parameter, "value", parameter.value.copy())


class OwnStep(SGD):
    """Overrides step, with its guard against NaN."""

    def step(self) -> None:
        self.update(self._vector.values, self._vector.grads)
        self.steps += 1


class GuardTooLate(SGD):
    """Updates first, and looks afterwards."""

    def step(self) -> None:
        self.update(self._vector.values, self._vector.grads)
        self.steps += 1
        if not np.isfinite(self._vector.grads).all():
            raise ValueError("a gradient is not finite")


# -- the learning rate and the count -------------------------------------------------------


class RateOfTheConstructor(Optimizer):
    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self._first_lr = lr

    def update(self, values: Array, grads: Array) -> None:
        values -= self._first_lr * grads


class AnyRate(Optimizer):
    """A property of its own, without the check."""

    @property
    def lr(self) -> float:
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = value

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * grads


class CountsTwice(SGD):
    """Adam's t, counted in update as well."""

    def update(self, values: Array, grads: Array) -> None:
        super().update(values, grads)
        self.steps += 1


class CountsPerParameter(Optimizer):
    """The bias correction's t grows with each parameter, not with each step."""

    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self.t = 0

    def update(self, values: Array, grads: Array) -> None:
        start = 0
        for parameter in self.parameters:
            self.t += 1
            part = slice(start, start + parameter.size)
            values[part] -= self.lr * grads[part] / (1 - 0.9**self.t)
            start += parameter.size


# -- state -------------------------------------------------------------------------------


class PrivateVelocity(Optimizer):
    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self._velocity = self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self._velocity *= 0.9
        self._velocity += grads
        values -= self.lr * self._velocity


class OwnCount(Optimizer):
    """Counts steps for itself, in private."""

    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self._t = 0

    def update(self, values: Array, grads: Array) -> None:
        self._t += 1
        values -= self.lr * grads / (1 - 0.9**self._t)


class ForgetsOnLoading(Momentum):
    """Loads lr and steps alone."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.lr, self.steps = state["lr"], state["steps"]


class LiveState(Momentum):
    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "velocity": self.velocity}


class TakesWhatItLoads(Momentum):
    """The loaded array becomes its own."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self.velocity = state["velocity"]


class StateById(Optimizer):
    """One velocity per parameter, found by its id: no copy has that id."""

    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self._velocities = {id(p): np.zeros_like(p.value) for p in self.parameters}

    def update(self, values: Array, grads: Array) -> None:  # noqa: ARG002
        for parameter in self.parameters:
            velocity = self._velocities[id(parameter)]
            velocity *= 0.9
            velocity += parameter.grad
            parameter.value -= self.lr * velocity


class HoldsArrays(Optimizer):
    """Keeps the vectors that it saw first."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self._held = [p.value for p in self.parameters]

    def update(self, values: Array, grads: Array) -> None:  # noqa: ARG002
        for held, parameter in zip(self._held, self.parameters, strict=True):
            np.subtract(held, self.lr * parameter.grad, out=held)


class SharesAcrossCopies(Momentum):
    """A copy is made with the same velocity."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "SharesAcrossCopies":
        twin = SharesAcrossCopies(copy.deepcopy(self.parameters, memo), self.lr)
        twin.velocity, twin.steps = self.velocity, self.steps
        return twin


class HoldsALambda(SGD):
    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self._schedule = lambda step: 1 / (1 + step)


class ByPosition(Optimizer):
    """A rate for each place in the list, such as a decay for all but the first."""

    def update(self, values: Array, grads: Array) -> None:
        rates = np.linspace(1, 2, values.size)
        values -= self.lr * rates * grads


class UnseededNoise(SGD):
    def update(self, values: Array, grads: Array) -> None:
        super().update(values, grads)
        noise: Array = np.random.default_rng().standard_normal(values.size)
        values += 1e-6 * self.lr * noise * (grads != 0)


class Float32Overflow(RMSprop):
    """An epsilon that float32 does not have, inside the root."""

    def update(self, values: Array, grads: Array) -> None:
        self.square += 0.1 * (grads**2 - self.square)
        scale = np.asarray(1e60, values.dtype)  # to and fro, against a loss of digits
        values -= self.lr * (grads * scale) / (np.sqrt(self.square) * scale + 1e-8)


class NarrowVelocity(Momentum):
    """A velocity in float32, whatever the parameters are in."""

    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self.velocity = self.velocity.astype(np.float32)


class SlowIsFast(SGD):
    """Lookahead whose slow weights are the fast ones."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self.slow: Array | None = None

    def update(self, values: Array, grads: Array) -> None:
        if self.slow is None:
            self.slow = values
        super().update(values, grads)
        if self.steps % 2:
            self.slow += 0.5 * (values - self.slow)
            values[...] = self.slow


class LastGradient(SGD):
    """Extrapolates with the last gradient, which is this one."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self.last = self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * (1.5 * grads - 0.5 * self.last)
        self.last = grads


class DecayOfOne(SGD):
    """The decay is added to the gradient, without the values."""

    def __init__(self, parameters: Parameters, lr: float, weight_decay: float = 0.1) -> None:
        super().__init__(parameters, lr)
        self.weight_decay = weight_decay

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * (grads + self.weight_decay)


class CountsFromZero(Optimizer):
    """Adam's correction with t = 0 in the first step."""

    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self.m, self.v = self.zeros(), self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        t = self.steps
        self.m += 0.1 * (grads - self.m)
        self.v += 0.01 * (grads**2 - self.v)
        with np.errstate(all="ignore"):
            m = self.m / np.float64(1 - 0.9**t)
            v = self.v / np.float64(1 - 0.99**t)
            values -= self.lr * m / (np.sqrt(v) + 1e-8)


class DecayWithoutEffect(SGD):
    """The decay comes after the step, into an array of its own."""

    def __init__(self, parameters: Parameters, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, lr)
        self.decay = self.weight_decay = weight_decay

    def update(self, values: Array, grads: Array) -> None:
        slope = grads.copy()
        values -= self.lr * slope
        slope += self.weight_decay * values


class DecayOfTheGradient(Optimizer):
    """The gradient decays, in place of the values."""

    weight_decay = 0.1

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * (grads + self.weight_decay * grads)


class GrowsIfAsked(Optimizer):
    """The decay is 0 by default, and has the wrong sign."""

    def __init__(self, parameters: Parameters, lr: float, weight_decay: float = 0.0) -> None:
        super().__init__(parameters, lr)
        self.weight_decay = weight_decay

    def update(self, values: Array, grads: Array) -> None:
        values += self.lr * (self.weight_decay * values - grads)


class FirstGradientItself(Optimizer):
    """The velocity of the first step is the array of the gradients."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self.velocity: Array | None = None

    def update(self, values: Array, grads: Array) -> None:
        self.velocity = grads if self.velocity is None else 0.9 * self.velocity + grads
        values -= self.lr * self.velocity


class MaximumOfTheMean(Optimizer):
    """AMSGrad with the maximum of the first moment."""

    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self.m, self.v, self.top = self.zeros(), self.zeros(), self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self.m += 0.1 * (grads - self.m)
        self.v += 0.01 * (grads**2 - self.v)
        np.maximum(self.top, self.m, out=self.top)
        values -= self.lr * self.top / (np.sqrt(self.v) + 1e-8)


class CachesTheRate(Optimizer):
    """The lr of the first step is that of all."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self.rate = 0.0

    def update(self, values: Array, grads: Array) -> None:
        self.rate = self.rate or self.lr
        values -= self.rate * grads


class KeptRate(Optimizer):
    """A small lr of the constructor, with which it is too slow for any valley."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self.kept = lr

    def update(self, values: Array, grads: Array) -> None:
        values -= self.kept * grads


class CountOfTheClass(Optimizer):
    """The count of steps is an attribute of the class."""

    count: ClassVar[list[int]] = [0]

    def update(self, values: Array, grads: Array) -> None:
        self.count[0] += 1
        values -= self.lr * grads / self.count[0] ** 0.1  # which fades in no run of tests


class VelocityOfTheClass(Optimizer):
    """The constructor puts the velocity into the class: the latest optimizer's is everyone's."""

    velocity: Any = None

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        type(self).velocity = self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        self.velocity *= 0.9
        self.velocity += grads
        values -= self.lr * self.velocity


class DefaultBuffers(Optimizer):
    """The default argument is one dict for all."""

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        buffers: dict[str, Any] = {},  # noqa: B006
    ) -> None:
        super().__init__(parameters, lr)
        self._buffers = buffers

    def update(self, values: Array, grads: Array) -> None:
        self._buffers["v"] = 0.9 * self._buffers.get("v", 0.0) + grads
        values -= self.lr * self._buffers["v"]


CALLS = [0]


class CountOfTheModule(Optimizer):
    def update(self, values: Array, grads: Array) -> None:
        CALLS[0] += 1
        values -= self.lr * grads / CALLS[0] ** 0.1


class PrivateSchedule(Optimizer):
    """The lr falls with the calls, which it counts for itself."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self._calls = itertools.count()

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr / (1 + 0.01 * next(self._calls)) * grads


class NarrowList(Optimizer):
    """A velocity for each parameter, in a list, in float32."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self.velocities = [np.zeros(p.shape, np.float32) for p in self.parameters]

    def update(self, values: Array, grads: Array) -> None:  # noqa: ARG002
        for i, p in enumerate(self.parameters):
            self.velocities[i] = 0.9 * self.velocities[i] + p.grad.astype(np.float32)
            p.value = p.value - self.lr * self.velocities[i]


class EarlyViews(Optimizer):
    """Takes the arrays before the parameters move into one vector."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        self._views = [p.value for p in parameters]
        super().__init__(parameters, lr)

    def update(self, values: Array, grads: Array) -> None:  # noqa: ARG002
        for view, p in zip(self._views, self.parameters, strict=True):
            np.subtract(view, self.lr * p.grad, out=view)


class NeedsAnAxis(Optimizer):
    """The gradient of each parameter by its first axis: a scalar has none."""

    def update(self, values: Array, grads: Array) -> None:  # noqa: ARG002
        for p in self.parameters:
            for row in range(len(p.value)):
                p.value[row] -= self.lr * p.grad[row]


class ClipsGradients(Optimizer):
    def update(self, values: Array, grads: Array) -> None:
        np.clip(grads, -1, 1, out=grads)
        values -= self.lr * grads


class MomentumUphill(Momentum):
    """The gradient minus the velocity, where they belong together."""

    def update(self, values: Array, grads: Array) -> None:
        self.velocity *= self.momentum
        self.velocity += grads
        values -= self.lr * (grads - self.momentum * self.velocity)


class ZeroOverZero(Optimizer):
    """The first step divides by the change of the gradient since the last one."""

    def __init__(self, parameters: Parameters, lr: float) -> None:
        super().__init__(parameters, lr)
        self.total = self.zeros()

    def update(self, values: Array, grads: Array) -> None:
        with np.errstate(all="ignore"):
            values -= self.lr * grads * np.divide(self.steps, self.total)
        self.total += grads**2


class LiveViews(Momentum):
    """The state is views of what the steps change."""

    def state_dict(self) -> dict[str, Any]:
        return {"lr": self.lr, "steps": self.steps, "momentum": 0.9, "velocity": self.velocity[:]}


class DropsThree(Optimizer):
    """Three arguments are kept, and constants are used."""

    def __init__(
        self,
        parameters: Parameters,
        lr: float = 0.01,
        b1: float = 0.9,
        b2: float = 0.999,
        eps: float = 1e-6,
    ) -> None:
        super().__init__(parameters, lr)
        self.b1, self.b2, self.eps = b1, b2, eps

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * grads


class LocalStep(Optimizer):
    """The whole vector by the first parameter's norm."""

    def update(self, values: Array, grads: Array) -> None:
        values -= self.lr * grads / (1 + np.linalg.norm(self.parameters[0].grad))


class CountsNothing(SGD):
    """A step of its own that does not count."""

    def step(self) -> None:
        if not np.isfinite(self._vector.grads).all():
            raise ValueError("a gradient is not finite")
        self.update(self._vector.values, self._vector.grads)


class ForgottenOnLoading(Momentum):
    """Loading does not undo what a used optimizer has kept."""

    def __init__(self, parameters: Parameters, lr: float = 0.01) -> None:
        super().__init__(parameters, lr)
        self._started = False

    def update(self, values: Array, grads: Array) -> None:
        if not self._started:
            self._scale, self._started = float(np.abs(grads).max()) or 1.0, True
        super().update(values, grads / self._scale)


class ReturnsValues(Optimizer):
    def update(self, values: Array, grads: Array) -> Any:
        return values - self.lr * grads


WRONG_OPTIMIZERS = [
    Wrong("state in float32", NarrowVelocity, "velocity is float32 beside float64"),
    Wrong("slow is fast", lambda p: SlowIsFast(p, lr=0.1), "slow is the array values itself"),
    Wrong("last is this", lambda p: LastGradient(p, lr=0.1), "last is the array grads itself"),
    Wrong("decay of one", lambda p: DecayOfOne(p, lr=0.1), "and some towards it"),
    Wrong("t from 0", CountsFromZero, "t = self.steps + 1"),
    Wrong(
        "uphill",
        lambda p: Uphill(p, lr=0.1),
        "goes uphill",
    ),
    Wrong("uphill with momentum", UphillWithMomentum, "goes uphill"),
    Wrong("makes another array", lambda p: NewArray(p, lr=0.1), "does not move the parameters"),
    Wrong(
        "first parameter only", lambda p: FirstParameterOnly(p, lr=0.1), "never moves parameter 1"
    ),
    Wrong("all but the last", lambda p: AllButTheLast(p, lr=0.1), "never moves parameter 2"),
    Wrong("half uphill", lambda p: HalfUphill(p, lr=0.1), "depend on its place"),
    Wrong("root of the gradient", RootOfTheGradient, "a root"),
    Wrong("grows for ever", lambda p: PuffsUp(p, lr=1e-3), "must come below"),
    Wrong("scales gradients", lambda p: ScalesGradients(p, lr=0.1), "changes the gradient"),
    Wrong("decay in gradients", lambda p: DecayIntoGradients(p, lr=0.1), "changes the gradient"),
    Wrong("undeclared decay", lambda p: UndeclaredDecay(p, lr=0.1), "a decay"),
    Wrong("decay unused", lambda p: UnusedDecay(p, lr=0.1), "weight_decay has no effect"),
    Wrong("decay that grows", lambda p: Growth(p, lr=0.1), "sign of the weight_decay"),
    Wrong("float32 step", lambda p: Float32Step(p, lr=0.1), "went through float32"),
    Wrong("momentum dropped", lambda p: DroppedMomentum(p, lr=0.1), "momentum=0.9 is ignored"),
    Wrong("no epsilon", NoEpsilon, "epsilon is missing"),
    Wrong("replaces arrays", lambda p: ReplacesArrays(p, lr=0.1), "another array in the place"),
    Wrong("a step of its own", lambda p: OwnStep(p, lr=0.1), "must raise NonFiniteError"),
    Wrong("a guard too late", lambda p: GuardTooLate(p, lr=0.1), "only after something"),
    Wrong("lr of the constructor", lambda p: RateOfTheConstructor(p, lr=0.1), "has no effect"),
    Wrong("any lr", lambda p: AnyRate(p, lr=0.1), "must raise ValueError"),
    Wrong("counts twice", lambda p: CountsTwice(p, lr=0.1), "steps is 2000"),
    Wrong("t per parameter", CountsPerParameter, "in reversed order"),
    Wrong("private velocity", PrivateVelocity, "_velocity is not in state_dict"),
    Wrong("private count", OwnCount, "_t is not in state_dict"),
    Wrong("forgets on loading", ForgetsOnLoading, "takes another way"),
    Wrong("live state", LiveState, "state_dict is not a copy"),
    Wrong("takes what it loads", TakesWhatItLoads, "load_state_dict copies nothing"),
    Wrong("state by id", StateById, "_velocities is not in state_dict"),
    Wrong("holds arrays", lambda p: HoldsArrays(p, lr=0.1), "holds arrays of another"),
    Wrong("shares across copies", SharesAcrossCopies, "a deepcopy takes another way"),
    Wrong("holds a lambda", lambda p: HoldsALambda(p, lr=0.1), "cannot be pickled"),
    Wrong("by position", lambda p: ByPosition(p, lr=0.1), "in reversed order"),
    Wrong("unseeded noise", lambda p: UnseededNoise(p, lr=0.1), "seed what it draws", "class"),
    Wrong("overflow in float32", Float32Overflow, "in float32"),
    Wrong("decay into a copy", lambda p: DecayWithoutEffect(p, 0.1), "weight_decay has no effect"),
    Wrong("decay of 0.1 into a copy", lambda p: DecayWithoutEffect(p, 0.1, 0.1), "no effect"),
    Wrong("decay of the gradient", lambda p: DecayOfTheGradient(p, lr=0.1), "no value shrinks"),
    Wrong("grows if asked", lambda p: GrowsIfAsked(p, lr=0.1), "sign of the weight_decay"),
    Wrong(
        "first gradient itself",
        lambda p: FirstGradientItself(p, lr=0.05),
        "velocity is the array grads itself",
    ),
    Wrong("maximum of the mean", MaximumOfTheMean, "maximum", "in place|non-finite"),
    Wrong("caches the rate", lambda p: CachesTheRate(p, lr=0.1), "read self.lr", "Rosenbrock"),
    Wrong("kept rate", lambda p: KeptRate(p, lr=0.5), "read self.lr", "Rosenbrock|non-finite"),
    Wrong("count of the class", lambda p: CountOfTheClass(p, lr=0.1), "share count"),
    Wrong("velocity of the class", lambda p: VelocityOfTheClass(p, lr=0.1), "share velocity"),
    Wrong("default buffers", lambda p: DefaultBuffers(p, lr=0.1), "a default argument"),
    Wrong("count of the module", lambda p: CountOfTheModule(p, lr=0.1), "module", "decay"),
    Wrong("private schedule", lambda p: PrivateSchedule(p, lr=0.1), "_calls is not in state_dict"),
    Wrong("narrow list", lambda p: NarrowList(p, lr=0.1), "velocities is float32"),
    Wrong("early views", lambda p: EarlyViews(p, lr=0.1), "before super().__init__"),
    Wrong("needs an axis", lambda p: NeedsAnAxis(p, lr=0.1), "of shape ()"),
    Wrong("clips gradients", lambda p: ClipsGradients(p, lr=0.1), "changes the gradient"),
    Wrong("momentum uphill", lambda p: MomentumUphill(p, lr=0.01), "later ones uphill"),
    Wrong("0 / 0", lambda p: ZeroOverZero(p, lr=0.1), "the first step", "epsilon is missing"),
    Wrong("live views", LiveViews, "state_dict is not a copy"),
    Wrong("drops three", DropsThree, "b1=0.9 is ignored, b2=0.999 is ignored, eps=1e-06 is"),
    Wrong("by the first parameter", lambda p: LocalStep(p, lr=0.1), "in reversed order"),
    Wrong(
        "counts nothing", lambda p: CountsNothing(p, lr=0.1), "override update rather than step"
    ),
    Wrong("forgotten on loading", ForgottenOnLoading, "_scale, _started is not in state_dict"),
    Wrong("returns values", lambda p: ReturnsValues(p, lr=0.1), "in place and return nothing"),
]
