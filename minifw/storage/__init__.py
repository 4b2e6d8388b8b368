"""Models in files: exact, whole or not at all, and safe to read."""

from minifw.storage._model import load, save

__all__ = ["load", "save"]
