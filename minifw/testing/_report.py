"""What a check answers: a table of named verdicts."""

import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

Question: TypeAlias = tuple[str, Callable[[Any], None]]
"""A verdict's name, and the function that puts the question to a subject."""

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "-"}


@dataclass(frozen=True)
class Verdict:
    """One question that was put, and the answer.

    Attributes
    ----------
    name : str
        The question, in a few words.
    outcome : "passed", "failed" or "skipped"
    message : str
        What is wrong, or why the question does not apply; else empty.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Tanh
    >>> from minifw.testing import check_layer
    >>> report = check_layer(Tanh(), np.ones((4, 3)))
    >>> report.verdicts[3]
    Verdict(name='dx, training', outcome='passed', message='')
    """

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    message: str = ""


@dataclass(frozen=True)
class Report:
    """All verdicts on one subject; prints as a table.

    Attributes
    ----------
    subject : str
        The repr of what was checked.
    verdicts : tuple of Verdict

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Tanh
    >>> from minifw.testing import check_layer
    >>> report = check_layer(Tanh(), np.ones((4, 3)))
    >>> report.subject, report.passed, report.failures
    ('Tanh()', True, ())
    """

    subject: str
    verdicts: tuple[Verdict, ...]

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """The verdicts that failed."""
        return tuple(v for v in self.verdicts if v.outcome == "failed")

    @property
    def passed(self) -> bool:
        """Whether no verdict failed."""
        return not self.failures

    def __str__(self) -> str:
        width = max(len(v.name) for v in self.verdicts)
        mark = max(len(m) for m in _MARKS.values())
        indent = " " * (width + mark + 4)
        lines = [f"{self.subject}: {self._count()}"]
        for v in self.verdicts:
            message = v.message.replace("\n", "\n" + indent)
            lines.append(f"{v.name:{width}}  {_MARKS[v.outcome]:{mark}}  {message}".rstrip())
        return "\n".join(lines)

    def _count(self) -> str:
        failed, total = len(self.failures), len(self.verdicts)
        if failed:
            return f"{failed} of {total} verdicts failed"
        open_ = sum(v.outcome == "skipped" for v in self.verdicts)
        rest = f", {open_} left open (-)" if open_ else ""
        return f"all {total - open_} verdicts passed{rest}"


class CheckError(AssertionError):
    """At least one verdict failed; `report` holds them all, and the message shows them.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Tanh
    >>> from minifw.testing import CheckError, check_layer
    >>> class Wrong(Tanh):
    ...     def backward(self, dy):
    ...         return 2 * super().backward(dy)
    >>> try:
    ...     check_layer(Wrong(), np.ones((4, 3)))
    ... except CheckError as error:
    ...     print(error.report.failures[0].name)
    dx, training
    """

    __module__ = "minifw.testing"  # as it is imported, and shown in a traceback

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


class Failure(Exception):  # noqa: N818 - a finding, not an error of the kit
    """Raised by a check that found a fault; its message is the verdict's."""


class NotApplicable(Exception):  # noqa: N818 - as above
    """Raised by a check whose question has no meaning for the subject."""


@contextmanager
def told(where: str) -> Iterator[None]:
    """Within, say in every fault where it arose."""
    try:
        yield
    except NotApplicable:
        raise
    except Exception as error:  # noqa: BLE001 - whatever the subject raises is a finding
        raised = "" if isinstance(error, Failure) else f"it raised {type(error).__name__}: "
        raise Failure(f"{where}{raised}{error}") from None


def _verdict_of(name: str, check: Callable[[Any], None], subject: Any) -> Verdict:
    """Put one question to the subject; a warning is no answer, so none comes through."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            check(subject)
    except NotApplicable as reason:
        return Verdict(name, "skipped", str(reason))
    except Failure as fault:
        return Verdict(name, "failed", str(fault))
    except Exception as error:  # noqa: BLE001 - whatever the subject raises is a finding
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        return Verdict(name, "failed", f"it raised {type(error).__name__}: {error}{notes}")
    return Verdict(name, "passed")


def judge(subject_name: str, checks: Iterable[Question], subject: Any) -> Report:
    """Put all questions; return the report, or raise it if a verdict failed."""
    __tracebackhide__ = True  # pytest shows the line that called, not this one
    report = Report(
        subject_name, tuple(_verdict_of(name, check, subject) for name, check in checks)
    )
    if not report.passed:
        raise CheckError(report)
    return report
