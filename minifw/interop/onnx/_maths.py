"""Arithmetic in a graph: operators by the names of their formulas, with numbers as operands."""

from collections.abc import Callable
from functools import partialmethod
from typing import TypeAlias

from minifw.core.parameter import Parameter
from minifw.layers._special import (
    GRID,
    INNER,
    INNER_RATIO,
    MIDDLE_RATIO,
    NOWHERE,
    OUTER,
    OUTER_RATIO,
    PEAK,
)

BOOL, INT64 = 9, 7  # types by ONNX's numbers

Operand: TypeAlias = str | float
Ratio: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]


class Arithmetic:
    """What exporters write again and again; each method adds nodes and returns a value's name."""

    node: Callable[..., str]
    nodes: Callable[..., list[str]]
    constant: Callable[..., str]
    whole: Callable[..., str]
    takes: Callable[[str, int], None]

    def _two(self, operator: str, a: Operand, b: Operand) -> str:
        names = [v if isinstance(v, str) else self.constant(v) for v in (a, b)]
        return self.node(operator, *names)

    add = partialmethod(_two, "Add")
    sub = partialmethod(_two, "Sub")
    mul = partialmethod(_two, "Mul")
    div = partialmethod(_two, "Div")

    def reshape(self, a: str, *shape: int) -> str:
        """Return a in another shape, in which 0 stands for the batch as it is."""
        return self.node("Reshape", a, self.whole(shape))

    def transpose(self, a: str, *perm: int) -> str:
        """Return a with its axes in another order."""
        return self.node("Transpose", a, perm=perm)

    def split(self, a: str, parts: int, axis: int = 0) -> list[str]:
        """Return so many equal parts of a."""
        return self.nodes("Split", parts, a, axis=axis, num_outputs=parts)

    def some(self, *values: Parameter | None) -> list[str]:
        """Return as constants these parameters, except None."""
        return [self.constant(value) for value in values if value is not None]

    def linear(self, x: str, weight: str, *bias: str) -> str:
        """Return x W' + b, of the last axis of x."""
        y = self.node("MatMul", x, self.transpose(weight, 1, 0))
        return self.add(y, *bias) if bias else y

    def truth(self, mask: str) -> str:
        """Return a mask in bool; as an input of the graph it holds that."""
        self.takes(mask, BOOL)
        return self.node("Cast", mask, to=BOOL)

    def counted(self, mask: str) -> str:
        """Return 1 where a mask is true, else 0."""
        return self.where(self.truth(mask), *[self.constant(n) for n in (1.0, 0.0)])

    def exp(self, a: str) -> str:
        """Return exp(a)."""
        return self.node("Exp", a)

    def where(self, condition: str, a: str, b: str) -> str:
        """Return a where the condition holds, else b."""
        return self.node("Where", condition, a, b)

    def where_positive(self, x: str, a: str, b: str) -> str:
        """Return a where x > 0, else b."""
        return self.where(self._two("Greater", x, 0.0), a, b)

    def gated(self, x: str, u: str) -> str:
        """Return x s(u), s being the sigmoid: x / (1 + exp(-u)), where infinity gives 0."""
        return self.div(x, self.add(self.exp(self.node("Neg", u)), 1.0))

    def expm1_below(self, x: str) -> str:
        """Return exp(n) - 1 with n = min(x, 0), to all digits: 2 t / (1 - t), t = tanh(n / 2)."""
        t = self.node("Tanh", self.mul(self._two("Min", x, 0.0), 0.5))
        return self.div(self.mul(t, 2.0), self.sub(1.0, t))

    def normal(self, x: str) -> str:
        """Return Phi(x), the standard normal distribution, as `layers._special.normal` does.

        ONNX Runtime has Erf in float32 alone.
        """
        a = self._two("Min", self.node("Abs", x), NOWHERE)
        g = self.div(self.node("Floor", self.mul(a, GRID)), GRID)
        rest = self.mul(self.mul(self.sub(g, a), self.add(g, a)), 0.5)
        gauss = self.mul(self.exp(self.mul(self.mul(g, g), -0.5)), self.exp(rest))
        inner = self.sub(0.5, self.mul(a, self._ratio(INNER_RATIO, self.mul(a, a))))
        middle = self.mul(gauss, self._ratio(MIDDLE_RATIO, a))
        far = self._two("Max", a, OUTER)
        inverse = self.div(1.0, self.mul(far, far))
        series = self.sub(PEAK, self.mul(inverse, self._ratio(OUTER_RATIO, inverse)))
        outer = self.mul(self.div(gauss, far), series)
        tail = self.where(self._two("Less", a, INNER), inner, middle)
        tail = self.where(self._two("Greater", a, OUTER), outer, tail)  # Phi(-a)
        return self.where_positive(x, self.sub(1.0, tail), tail)

    def _ratio(self, coefficients: Ratio, t: str) -> str:
        """Return the ratio of two polynomials, by Horner's rule."""
        values: list[str] = []
        for leading, *rest in coefficients:
            value: Operand = leading
            for coefficient in rest:
                value = self.add(self.mul(value, t), coefficient)
            values.append(str(value))
        return self.div(*values)
