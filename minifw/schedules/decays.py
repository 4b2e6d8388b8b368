"""Schedules that fall: in stairs, by a factor, along half a cosine, in waves that grow longer."""

import math

from minifw._tools.numbers import check_non_negative, check_positive, check_size
from minifw._tools.options import Option
from minifw.core.optimizer import Optimizer
from minifw.schedules.schedule import Schedule, half_cosine

__all__ = ["CosineCyclesLR", "CosineLR", "ExponentialLR", "StepLR"]


class StepLR(Schedule):
    """Multiply the rate by `gamma` after every `step_size` steps.

    lr(t) = base_lr gamma^floor(t / step_size).

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
        At least 1.
    gamma : float, default 0.1
        Above 0; PyTorch's default.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import StepLR
    >>> schedule = StepLR(SGD([Parameter(np.ones(1))], lr=1.0), step_size=2, gamma=0.5)
    >>> [schedule.rate(t) for t in range(6)]
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """

    step_size = Option(check_size)
    gamma = Option(check_positive)

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        super().__init__(optimizer)
        self.step_size = step_size
        self.gamma = gamma
        self.start()

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        return self.base_lr * _power(self.gamma, steps // self.step_size)


class ExponentialLR(Schedule):
    """Multiply the rate by `gamma` at every step: lr(t) = base_lr gamma^t.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float
        Above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import ExponentialLR
    >>> schedule = ExponentialLR(SGD([Parameter(np.ones(1))], lr=1.0), gamma=0.5)
    >>> [schedule.rate(t) for t in range(4)]
    [1.0, 0.5, 0.25, 0.125]
    """

    gamma = Option(check_positive)

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        super().__init__(optimizer)
        self.gamma = gamma
        self.start()

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        return self.base_lr * _power(self.gamma, steps)


class CosineLR(Schedule):
    """Go from the base rate to `eta_min` along half a cosine, and stay there.

    lr(t) = eta_min + (base_lr - eta_min) (1 + cos(pi t / total_steps)) / 2 for
    t <= total_steps, and eta_min afterwards.

    Parameters
    ----------
    optimizer : Optimizer
    total_steps : int
        At least 1.
    eta_min : float, default 0.0
        At least 0.

    Notes
    -----
    PyTorch's ``CosineAnnealingLR``, in which ``T_max`` is `total_steps`; there the rate
    rises again after that.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: stochastic gradient descent with warm restarts",
    2017, equation 5, without restarts.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import CosineLR
    >>> schedule = CosineLR(SGD([Parameter(np.ones(1))], lr=1.0), total_steps=4)
    >>> [round(schedule.rate(t), 3) for t in range(6)]
    [1.0, 0.854, 0.5, 0.146, 0.0, 0.0]
    """

    total_steps = Option(check_size)
    _ends = True
    eta_min = Option(check_non_negative)

    def __init__(self, optimizer: Optimizer, total_steps: int, eta_min: float = 0.0) -> None:
        super().__init__(optimizer)
        self.total_steps = total_steps
        self.eta_min = eta_min
        self.start()

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        return half_cosine(self.base_lr, self.eta_min, steps / self.total_steps)


class CosineCyclesLR(Schedule):
    """Rise and fall between 0 and the base rate in waves, each twice as long as the one before.

    With c cycles and p = t / total_steps,

        lr(t) = base_lr (1 - cos(2 pi log2(1 + (2^c - 1) p))) / 2  for t <= total_steps,

    and 0 afterwards: it starts at 0, and is 0 again after 1/15, 3/15, 7/15 and all of the steps
    of four cycles. Each end is a chance to have found a good network: keep the best one, as
    `EarlyStopping` does.

    Parameters
    ----------
    optimizer : Optimizer
    total_steps : int
        At least 1.
    cycles : int, default 4
        At least 1.

    References
    ----------
    D. Holzmueller, L. Grinsztajn and I. Steinwart, "Better by Default: Strong Pre-Tuned MLPs
    and Boosted Trees on Tabular Data", NeurIPS 2024, section 3 (coslog4).

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import SGD, Parameter
    >>> from minifw.schedules import CosineCyclesLR
    >>> schedule = CosineCyclesLR(SGD([Parameter(np.ones(1))], lr=1.0), total_steps=6, cycles=2)
    >>> [round(schedule.rate(t), 3) for t in range(8)]
    [0.0, 0.93, 0.0, 0.718, 0.93, 0.324, 0.0, 0.0]
    """

    total_steps = Option(check_size)
    _ends = True
    cycles = Option(check_size)

    def __init__(self, optimizer: Optimizer, total_steps: int, cycles: int = 4) -> None:
        super().__init__(optimizer)
        self.total_steps = total_steps
        self.cycles = cycles
        self.start()

    def rate(self, steps: int) -> float:
        """Return the rate after so many steps."""
        part = min(1.0, steps / self.total_steps)
        phase = math.log2(1 + (2.0**self.cycles - 1) * part)
        return self.base_lr * (1 - math.cos(2 * math.pi * phase)) / 2


def _power(base: float, exponent: int) -> float:
    """Return base^exponent; infinite where that overflows, which the optimizer reports."""
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf
