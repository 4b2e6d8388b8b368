"""Ctrl-C: the first one asks training to end, so no step is left half done."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupt:
    """Whether training was asked to end."""

    def __init__(self) -> None:
        self.asked = False

    def ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.default_int_handler(number, frame)
        self.asked = True


@contextmanager
def interruptible() -> Iterator[Interrupt]:
    """Within, the first Ctrl-C sets `asked`, and the second is raised.

    Where Python's own handler is not in place, or this is not the main thread, which alone
    gets signals, nothing is changed.
    """
    interrupt, own = Interrupt(), signal.default_int_handler
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not own:
        yield interrupt
        return
    signal.signal(signal.SIGINT, interrupt.ask)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, own)
