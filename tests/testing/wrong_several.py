"""Layers of several inputs or outputs that are wrong in one way each; see `wrong_layers`."""

from typing import Any

import numpy as np
from right_layers import batch
from right_several import Bilinear, Distance, Latent, MaskedMean
from wrong_layers import wrong

from minifw import Add, Array, Dense, Layer, Tanh

PAIR = batch(5, 3), batch(5, 3, seed=1)
UNEQUAL = batch(5, 3), batch(5, 4, seed=1)
MASKED = batch(4, 3, 2), np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 1]], bool)


@wrong("several", "it is dx of b: backward must return the gradients in the order of", x=PAIR)
class Swapped(Distance):
    def backward(self, dy: Array) -> Any:
        return super().backward(dy)[::-1]


@wrong(
    "several",
    "backward must return a tuple of 2 arrays, one for each argument that forward was given, it "
    "returned a float64 array",
    *(3, 4, 2),
    x=UNEQUAL,
)
class FirstAlone(Bilinear):
    def backward(self, dy: Array) -> Any:
        return super().backward(dy)[0]


@wrong(
    "several", "must return dL/db in the shape of b, (5, 4), it returned None", 3, 4, 2, x=UNEQUAL
)
class SecondMissing(Bilinear):
    def backward(self, dy: Array) -> Any:
        return super().backward(dy)[0], None


@wrong("several", "return dL/db in the shape of b, (5, 4), it returned (5, 3)", 3, 4, 2, x=UNEQUAL)
class ShapeOfTheOther(Bilinear):
    def backward(self, dy: Array) -> Any:
        da, db = super().backward(dy)
        return da, db[:, :3]


@wrong("several", "dy of kl is ignored: it is the gradient for a dy of kl of zeros", x=PAIR)
class SecondIgnored(Latent):
    def backward(self, dz: Array, dkl: Array) -> Any:
        return super().backward(dz, np.zeros_like(dkl))


@wrong("several", "with dy of z alone, and zeros for the others", x=PAIR)
class DividesByASecond(Latent):
    """What a zero of dkl makes NaN."""

    def backward(self, dz: Array, dkl: Array) -> Any:
        dmu, ds = super().backward(dz, dkl)
        return dmu * dkl / dkl, ds


@wrong("several", "return None as dx of mask, for which there is no derivative", x=MASKED)
class MaskWithGradient(MaskedMean):
    def backward(self, dy: Array) -> Any:
        dx = super().backward(dy)
        return (dx[0], np.ones(dx[0].shape[:2])) if type(dx) is tuple else dx


@wrong("several", "AlwaysTwo().backward must return an array, it returned (", x=MASKED)
class AlwaysTwo(MaskedMean):
    def backward(self, dy: Array) -> Any:
        dx = super().backward(dy)
        return dx if type(dx) is tuple else (dx, None)


@wrong("several", "dx of xs[0] and dx of xs[1] share memory", x=PAIR)
class OneArrayForAll(Add):
    def backward(self, dy: Array) -> Any:
        (dx, *_) = super().backward(dy)
        return dx, dx


@wrong("several", "backward writes into dy of kl", x=PAIR)
class ScalesADy(Latent):
    def backward(self, dz: Array, dkl: Array) -> Any:
        result = super().backward(dz, dkl)
        dkl *= 2
        return result


@wrong("several", "must return an array, it returned a tuple of 2; of several outputs", x=PAIR)
class Nameless(Latent):
    output_names = ("y",)  # type: ignore[assignment]


@wrong("several", "output_shape((3,), (3,)) is (3,), forward gives ((3,), (1,))", x=PAIR)
class OneShape(Latent):
    def output_shape(self, mu: Any, _: Any) -> Any:
        return mu


class Pair(Layer):
    """y = second(tanh(first(x))): an author's container of two layers that may be one."""

    def __init__(self, *, tied: bool) -> None:
        self.first = Dense(3, 3, rng=0)
        self.second = Dense(3, 3, rng=1) if tied else self.first
        self.middle = Tanh()
        if tied:
            self.second.weight = self.first.weight

    def forward(self, x: Array) -> Array:
        y: Array = self.second(self.middle(self.first(x)))
        return y

    def backward(self, dy: Array) -> Array:
        dz = self.middle.backward(self.second.backward(dy))
        return self.first.backward(dz)


@wrong("several", "ran two forwards before one backward, and saves one forward at a time")
class RunsOneTwice(Pair):
    def __init__(self) -> None:
        super().__init__(tied=False)


@wrong("several", "first.weight and second.weight are the same")
class TiesWithoutAdding(Pair):
    def __init__(self) -> None:
        super().__init__(tied=True)


class SaysItAdds(Pair):
    """It does not."""

    adds_shared = True


@wrong("uses", "used 2 times in one forward: the gradients of all uses must be added")
class OnlySaysItAdds(SaysItAdds):
    def __init__(self) -> None:
        super().__init__(tied=True)


@wrong("uses", "used 2 times in one forward: the gradients of all uses must be added")
class RecallsWithoutAdding(Pair):
    def __init__(self) -> None:
        super().__init__(tied=False)

    def forward(self, x: Array) -> Array:
        h = self.first(x)
        self._saved_first = self.first.memory()
        y: Array = self.first(self.middle(h))
        return y

    def backward(self, dy: Array) -> Array:
        dz = self.middle.backward(self.first.backward(dy))
        self.first.recall(self._saved_first)
        return self.first.backward(dz)


@wrong("memory", "or in attributes whose names begin with _saved")
class KeepsItElsewhere(Layer):
    """Of two uses in one forward, it knows the second alone."""

    def forward(self, x: Array) -> Array:
        self.save()
        self.x = x
        return x**2

    def backward(self, dy: Array) -> Array:
        self.saved()
        return 2 * self.x * dy
