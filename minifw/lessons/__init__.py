"""Exercises that are graded with a reason: `ask` says in one sentence what is wrong."""

from minifw.lessons._ask import ask
from minifw.lessons._mine import mine

__all__ = ["ask", "mine"]
