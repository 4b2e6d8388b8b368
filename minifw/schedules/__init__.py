"""Schedules: how the learning rate of an optimizer changes.

A schedule sets ``optimizer.lr`` when it is built and at each call of its `step`,
once an epoch or once a batch as its numbers are meant::

    schedule = CosineLR(optimizer, total_steps=100)
    for epoch in range(100):
        ...                     # forward, backward, optimizer.step()
        schedule.step()

All but `ReduceOnPlateau` are functions of the number of steps alone, in closed
form, so nothing is accumulated. A rate that comes to 0 is set as the smallest
normal number of the parameters' dtype, since an optimizer's lr is above 0; it moves
nothing that a rate of 0 would not.
"""

from minifw.schedules.decays import CosineCyclesLR, CosineLR, ExponentialLR, StepLR
from minifw.schedules.plateau import ReduceOnPlateau
from minifw.schedules.schedule import Schedule
from minifw.schedules.warmup import LinearWarmup, OneCycleLR

__all__ = [
    "CosineCyclesLR",
    "CosineLR",
    "ExponentialLR",
    "LinearWarmup",
    "OneCycleLR",
    "ReduceOnPlateau",
    "Schedule",
    "StepLR",
]
