"""What a check answers: named verdicts, and a report that begins with the likeliest cause."""

import html
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

CAUSE = 3
FOLLOWS = "not asked, as it follows from"
SAME = 50  # characters: two messages that begin alike have one cause
_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "-"}


@dataclass(frozen=True)
class Question:
    """A verdict's name, and the function that puts the question to a subject.

    The function raises a Failure or NotApplicable, or returns None or more fields of the Verdict.
    If one of the questions named in `after` failed, this one would fail for the same reason: it is
    not put. If one that is `needed` fails, nothing else is asked: all would repeat its fault.
    """

    name: str
    put: Callable[[Any], dict[str, Any] | None]
    after: tuple[str, ...] = ()
    needed: bool = False


@dataclass(frozen=True)
class Verdict:
    """One question that was put, and the answer.

    Attributes
    ----------
    name : str
        The question, in a few words.
    outcome : "passed", "failed" or "skipped"
    message : str
        What is wrong, the likeliest cause first; or why the question was not put; else empty.
    telling : int
        What the message has: 3 a cause, 2 or 1 a place of a parameter or of x, 0 numbers alone.
    wrong, right : tuple of str
        The gradients that the question found wrong, and right.
    untried : str
        What the question did not try.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Tanh
    >>> from minifw.testing import check_layer
    >>> report = check_layer(Tanh(), np.ones((4, 3)))
    >>> verdict = next(v for v in report.verdicts if v.name == "dx, training")
    >>> verdict.outcome, verdict.right
    ('passed', ('dx',))
    """

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    message: str = ""
    telling: int = CAUSE
    wrong: tuple[str, ...] = ()
    right: tuple[str, ...] = ()
    untried: str = ""


@dataclass(frozen=True, repr=False)
class Report:
    """All verdicts on one subject; its repr says the likeliest cause first.

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
    >>> report  # doctest: +ELLIPSIS
    Tanh(): all ... verdicts passed, ... left open (-)
    not tried: ...
    >>> report.subject, report.passed, report.failures
    ('Tanh()', True, ())
    """

    subject: str
    verdicts: tuple[Verdict, ...]

    @property
    def failures(self) -> tuple[Verdict, ...]:
        """The verdicts that failed, the most telling first."""
        failed = [v for v in self.verdicts if v.outcome == "failed"]
        return tuple(sorted(failed, key=lambda v: -v.telling))

    @property
    def passed(self) -> bool:
        """Whether no verdict failed."""
        return not self.failures

    def table(self) -> str:
        """Return all verdicts as a table, a line each.

        Examples
        --------
        >>> import numpy as np
        >>> from minifw import Tanh
        >>> from minifw.testing import check_layer
        >>> print(check_layer(Tanh(), np.ones((4, 3))).table().splitlines()[0])
        takes x, returns arrays               ok
        """
        width = max(len(v.name) for v in self.verdicts)
        indent = "\n" + " " * (width + 10)
        rows = [f"{v.name:{width}}  {_MARKS[v.outcome]:6}  {v.message}" for v in self.verdicts]
        return "\n".join(row.rstrip().replace("\n", indent) for row in rows)

    def __repr__(self) -> str:
        failures = self.failures
        skipped = sum(v.outcome == "skipped" for v in self.verdicts)
        passed = len(self.verdicts) - skipped - len(failures)
        rest = f", {skipped} left open (-)" if skipped else ""
        lines = [f"{self.subject}: all {passed} verdicts passed{rest}"]
        if failures:
            lines = [f"{self.subject}: {failures[0].message}", *self._gradients()]
            begin = failures[0].message[:SAME]
            for v in failures[1:]:
                more = "the same" if v.message.startswith(begin) else v.message
                lines += [f"also wrong, {v.name}: {more}"]
            lines += [f"{passed} other verdicts passed{rest}; report.table() shows all"]
        if untried := dict.fromkeys(v.untried for v in self.verdicts if v.untried):
            lines += [f"not tried: {'; '.join(untried)}"]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        summary, table = (
            f'<pre style="white-space: pre-wrap">{html.escape(text)}</pre>'
            for text in (repr(self), self.table())
        )
        return f"{summary}<details><summary>all verdicts</summary>{table}</details>"

    def _gradients(self) -> Iterator[str]:
        """Say which gradients are wrong, where, and which are right."""
        wrong = dict.fromkeys(name for v in self.verdicts for name in v.wrong)
        where = {n: "; ".join(v.name for v in self.verdicts if n in v.wrong) for n in wrong}
        right = sorted({name for v in self.verdicts for name in v.right} - wrong.keys())
        if wrong:
            shown = ", ".join(f"{name} ({places})" for name, places in where.items())
            yield f"wrong: {shown}" + (f"; right: {', '.join(right)}" if right else "")


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
    """Raised by a check that found a fault; its message and `fields` are the verdict's."""

    def __init__(self, message: str, **fields: Any) -> None:
        super().__init__(message)
        self.fields = fields


class NotApplicable(Exception):  # noqa: N818 - as above
    """Raised by a check whose question has no meaning for the subject."""


def declared(thing: Any) -> dict[str, str]:
    """Return what a class declares to be meant as it is, by name, and the reason.

    The attribute `declared` holds a name, several names, or a dict of reasons by name.
    """
    names = getattr(thing, "declared", ())
    if isinstance(names, Mapping):
        return {name: f"declared: {reason}" for name, reason in names.items()}
    return dict.fromkeys((names,) if isinstance(names, str) else names, "declared")


def leave_declared(thing: Any, name: str) -> None:
    """Raise NotApplicable if the thing declares that `name` is meant as it is."""
    if name in declared(thing):
        raise NotApplicable(declared(thing)[name])


@contextmanager
def told(where: str) -> Iterator[None]:
    """Within, say in every fault where it arose."""
    try:
        yield
    except NotApplicable:
        raise
    except Failure as fault:
        raise Failure(f"{where}{fault}", **fault.fields) from None
    except Exception as error:  # noqa: BLE001 - whatever the subject raises is a finding
        notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
        raise Failure(f"{where}it raised {type(error).__name__}: {error}{notes}") from None


@contextmanager
def quiet() -> Iterator[None]:
    """Within, let no warning through, and no change of the global generator."""
    state = np.random.get_state()  # noqa: NPY002
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            np.random.set_state(state)  # noqa: NPY002


def _verdict_of(question: Question, subject: Any) -> Verdict:
    """Put one question to the subject."""
    passed = Verdict(question.name, "passed")
    try:
        with told(""), quiet():
            return replace(passed, **(question.put(subject) or {}))
    except NotApplicable as reason:
        return replace(passed, outcome="skipped", message=str(reason))
    except Failure as fault:
        return replace(passed, outcome="failed", message=str(fault), **fault.fields)


def judge(
    subject_name: str,
    questions: Iterable[Question],
    subject: Any,
    wrong: dict[str, bool] | None = None,
) -> Report:
    """Put all questions; return the report, or raise it if a verdict failed.

    `wrong` holds what failed before, and whether all others need it.
    """
    __tracebackhide__ = True  # pytest shows the line that called, not this one
    verdicts, wrong = list[Verdict](), {} if wrong is None else wrong
    for question in questions:
        others = {name: needed for name, needed in wrong.items() if name != question.name}
        if causes := [n for n, needed in others.items() if needed or n in question.after]:
            verdict = Verdict(question.name, "skipped", f"{FOLLOWS}: {causes[0]}")
        else:
            verdict = _verdict_of(question, subject)
        if causes or verdict.outcome == "failed":
            wrong[question.name] = question.needed
        verdicts.append(verdict)
        if question.needed and verdict.outcome == "failed":
            break
    report = Report(subject_name, tuple(verdicts))
    if not report.passed:
        raise CheckError(report)
    return report
