"""Every value of one forward and backward, with its symbol and its formula."""

from minifw.tracing._trace import trace
from minifw.tracing._values import Trace, TracedValue

__all__ = ["Trace", "TracedValue", "trace"]
