"""A gradient that is wrong, and what other gradient it could be."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from minifw.testing._equal import Results, copies
from minifw.testing._explain import Fault
from minifw.testing._numeric import Slopes, mismatches
from minifw.testing.layers._situation import Situation, analytic, numeric, wrong_along
from minifw.typing import Array

DIRECTIONS = 3  # along which two gradients are compared; two others agree in one by chance
FEW_PLACES = 5  # of an axis, below which the smallest x is looked for
FEW_ROWS = 3  # of it


@dataclass(frozen=True)
class LayerFault(Fault):
    """A gradient that is wrong, and how it came about.

    Attributes
    ----------
    situation : Situation
        Where the layer was differentiated.
    name : str
        Its name, as "dx" or "dweight".
    earlier : dict of arrays by name, or None
        The inputs of the forward before.
    """

    situation: Situation
    name: str
    earlier: Results | None

    @property
    def of_input(self) -> bool:
        """Whether it belongs to an input, and not to a parameter."""
        return self.name in self.situation.subject.dxs

    @property
    def of(self) -> str:
        """The name of the input that it is of; of a parameter the first one."""
        s = self.situation.subject
        return s.dxs.get(self.name, next(iter(s.given())))

    @property
    def x(self) -> Array:
        """That input."""
        return self.situation.inputs[self.of]

    @property
    def matrix(self) -> Array:
        """The derivative of each number of y by each element: (elements, numbers of y)."""
        return self.situation.jacobian(self.name).matrix

    def fits(self, other: Slopes | Array) -> bool:
        """Whether it is the right gradient of something else."""
        if isinstance(other, np.ndarray):
            other = replace(self.true, value=other, low=other, high=other)
        if np.isnan(other.value[self.asked]).any():
            return False  # something is not known
        return not mismatches(self.found, other).any()

    def fits_dys(self, change: Callable[[str, Array], Array]) -> bool:
        """Whether it is the right gradient for another dy."""
        dy = self.situation.with_dys(change).dy
        return self.fits((self.matrix @ dy.ravel()).reshape(self.found.shape))

    def fits_at(self, situation: Situation) -> bool:
        """Whether it is the right gradient in another situation: along some directions."""
        for d in self.directions():
            if wrong_along(situation, self.name, self.found, d):
                return False
            if not wrong_along(self.situation, self.name, self.found, d):
                return False  # what is wrong cannot be seen along a direction
        return True

    def directions(self) -> list[Array]:
        """Return random directions."""
        rng = self.situation.subject.rng(6)
        return [np.asarray(rng.standard_normal(self.found.shape)) for _ in range(DIRECTIONS)]


def smallest(fault: LayerFault, least: int | None, *, full: bool = True) -> LayerFault:
    """Return the fault for few rows, and the shortest axes of x with which it is still one.

    If it is not `full`, the differences are not taken.
    """
    s, name = fault.situation.subject, fault.name
    for length in (None,) if least is None else range(least, FEW_PLACES):
        xs = {n: x[:FEW_ROWS] for n, x in fault.situation.xs.items()}
        for axis in range(1, max(x.ndim for x in xs.values())) if length else ():
            cut = (slice(None),) * axis + (slice(length),)
            shorter = {n: x[cut] if x.ndim > axis else x for n, x in xs.items()}
            with contextlib.suppress(Exception):  # it takes no other length
                s.forward(fault.situation.layer(), copies(shorter))
                xs = shorter
        with contextlib.suppress(Exception):
            situation = fault.situation.at(inputs=s.answered(xs))
            found = analytic(situation)[name]
            direction = np.asarray(s.rng(6).standard_normal(found.shape))
            if wrong_along(situation, name, found, direction):
                slopes = numeric(situation, name) if full else Slopes.unknown(found.shape)
                return LayerFault(found, slopes, situation, name, None)
    return fault
