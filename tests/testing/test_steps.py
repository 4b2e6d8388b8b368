"""The author's kit on layers of sequences: steps that go wrong are caught, and explained."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from right_layers import batch

from minifw import Array, Layer, Parameter
from minifw.testing import CheckError, check_layer

pytestmark = pytest.mark.slow


class Sums(Layer):
    """y_t = x_t + y_(t-1); dx_t = dy_t + dx_(t+1)."""

    def forward(self, x: Array) -> Array:
        return x.cumsum(axis=1)

    def backward(self, dy: Array) -> Array:
        return dy[:, ::-1].cumsum(axis=1)[:, ::-1].copy()

    def step(self, x: Array, state: Any = None) -> Any:
        y = x.copy() if state is None else x + state
        return y, y.copy()


class InSelf(Sums):
    kept: Any = None

    def step(self, x: Array, state: Any = None) -> Any:
        y, self.kept = super().step(x, None if state is None else self.kept)
        return y, True


class WritesX(Sums):
    def step(self, x: Array, state: Any = None) -> Any:
        x += 0.0 if state is None else state
        return x, x.copy()


class Float64(Sums):
    def step(self, x: Array, state: Any = None) -> Any:
        return super().step(x, np.zeros(x.shape) if state is None else state)


class Same(Sums):
    def step(self, x: Array, state: Any = None) -> Any:
        y, _ = super().step(x, state)
        return y, y


class KeepsX(Sums):
    """y_t = x_t + x_(t-1)."""

    def forward(self, x: Array) -> Array:
        return np.concatenate([x[:, :1], x[:, 1:] + x[:, :-1]], axis=1)

    def backward(self, dy: Array) -> Array:
        return np.concatenate([dy[:, :-1] + dy[:, 1:], dy[:, -1:]], axis=1)

    def step(self, x: Array, state: Any = None) -> Any:
        return super().step(x, state)[0], x


class Doubled(Sums):
    def step(self, x: Array, state: Any = None) -> Any:
        y, state = super().step(x, state)
        return 2 * y, state


class OnlyY(Sums):
    def step(self, x: Array, state: Any = None) -> Any:
        return super().step(x, state)[0]


class Offsets(Layer):
    """y_t = x_t + w_t, which is not the same at each place."""

    stepwise = True

    def __init__(self, places: int, features: int) -> None:
        self.w = Parameter(np.ones((places, features)))

    def forward(self, x: Array) -> Array:
        if x.shape[1:] != self.w.shape:
            raise ValueError("operands could not be broadcast together")
        return x + self.w.value

    def backward(self, dy: Array) -> Array:
        self.w.grad[...] = dy.sum(axis=0)
        return dy.copy()


class LastAlone(Layer):
    """The last place of x, which of one place is the last feature."""

    stepwise = True

    def forward(self, x: Array) -> Array:
        self.save(x)
        return x[:, -1]

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx = np.zeros_like(x)
        dx[:, -1] = dy
        return dx


FALSE = "(say stepwise = True only if a place of y depends on that place of x alone"


@pytest.mark.parametrize(
    ("make", "says", "not_said"),
    [
        (InSelf, "for two sequences in turn (keep all in the state, nothing in self)", FALSE),
        (WritesX, "step writes into x; work in a copy", FALSE),
        (Float64, "step gives y as float64, forward as float32", FALSE),
        (Same, "where x and y are overwritten after each step (keep copies in state)", FALSE),
        (KeepsX, "where x and y are overwritten after each step (keep copies in state)", FALSE),
        (Doubled, "forward at once: most of all at y[", FALSE),
        (OnlyY, "step must return (y, state), y as forward returns it; it returned a", "unpack"),
        (lambda: Offsets(5, 3), f"at once {FALSE}", "ValueError"),
        (LastAlone, f"at once {FALSE}", "ValueError"),
    ],
)
def test_a_wrong_step_is_caught_and_explained(
    make: Callable[[], Layer], says: str, not_said: str
) -> None:
    with pytest.raises(CheckError) as caught:
        check_layer(make(), batch(2, 5, 3))
    (said,) = (v.message for v in caught.value.report.failures if v.name == "step by step")
    assert says in said
    assert not_said not in said


def test_the_words_say_what_step_gives_and_what_forward() -> None:
    with pytest.raises(CheckError, match=r"which step gives as (\S+) and forward as (\S+)") as one:
        check_layer(Doubled(), batch(2, 5, 3))
    words = str(one.value).split("which step gives as ")[1].split()  # 2.0 and forward as 1.0
    assert float(words[0]) == pytest.approx(2 * float(words[4]))


def test_a_right_step_passes() -> None:
    assert check_layer(Sums(), batch(2, 5, 3), causal=True).passed


class Helped(Layer):
    """It has a method called step, from before layers had one."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        return np.stack([self.step(row, 2.0) for row in x])

    def step(self, row: Array, factor: float) -> Array:  # type: ignore[override]
        return factor * row

    def backward(self, dy: Array) -> Array:
        return 2 * dy


def test_a_method_of_this_name_for_another_purpose_is_let_be() -> None:
    assert check_layer(Helped(), np.random.default_rng(0).normal(size=(3, 4, 2))).passed
