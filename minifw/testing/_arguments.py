"""Whether the arguments of the constructor of a layer, a loss or an optimizer matter.

One argument at a time gets another value. An argument is called ignored only where
nothing that can be seen depends on it, and nothing that was kept of it is read: without
the attributes that hold it all is the same. For many a one matters far from the numbers
of a check only, as a threshold of 20 does.
"""

import copy
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from minifw.testing._equal import alike, differing
from minifw.testing._report import Failure, NotApplicable

LARGER = 10.0  # times the input: a bound is felt only by what reaches it
SEEDS = (1, 2)  # for an argument named rng
LABELS = ("name", "label", "description")  # of arguments whose None stands for a string
SURE = ("weight_decay",)  # what must matter for any numbers
Behaviour: TypeAlias = Callable[[Any], Any]


def signature_of(kind: Any) -> inspect.Signature:
    """Return the signature of a constructor whose arguments have names."""
    signature = inspect.signature(kind)
    if kind.__init__ is object.__init__ or not signature.parameters:
        raise NotApplicable("there are none")
    if any(p.kind.name.startswith("VAR_") for p in signature.parameters.values()):
        raise NotApplicable("the constructor takes any number of arguments")
    return signature


def bound(subject: Any) -> dict[str, Any]:
    """Return the constructor's arguments by name, defaults included."""
    args, kwargs = subject._arguments
    arguments = signature_of(type(subject)).bind(*args, **kwargs)
    arguments.apply_defaults()
    return dict(arguments.arguments)


def construct(kind: type, arguments: dict[str, Any]) -> Any:
    """Call the constructor with arguments by name."""
    call = inspect.BoundArguments(inspect.signature(kind), copy.deepcopy(arguments))
    return kind(*call.args, **call.kwargs)


@dataclass(frozen=True)
class Arguments:
    """The arguments of a subject, and what may depend on them.

    Attributes
    ----------
    kind : type
        The subject's class.
    given : dict of str to any
        The arguments that it was given, by name.
    behaviours : sequence of callables
        Each returns something that can be seen of a subject; the first never raises.
    parts : callable
        Returns a subject and all inside it whose attributes may keep an argument.
    """

    kind: type
    given: dict[str, Any]
    behaviours: Sequence[Behaviour]
    parts: Callable[[Any], list[Any]] = lambda subject: [subject]

    def judge(self) -> None:
        """Raise if an argument is ignored, or if that cannot be known."""
        first = self._before[0]
        if isinstance(first, type):  # rebuilding is another verdict
            raise NotApplicable(f"it cannot be rebuilt: {first.__name__}")
        if not self._same({}):
            raise Failure("built twice from the same arguments, it differs: seed what it draws")
        found = {f"{name}={value!r}": self._doubt(name) for name, value in self.given.items()}
        if ignored := [shown for shown, doubt in found.items() if doubt == ""]:
            names = " is ignored, ".join(ignored)
            said = f"the argument {names} is ignored: with other values all is the same"
            raise Failure(said, telling=0)  # a wrong gradient says more
        if unknown := [f"{shown} {doubt}" for shown, doubt in found.items() if doubt]:
            raise NotApplicable("; ".join(unknown))

    def build(self, **changed: Any) -> Any:
        """Return a new subject, with other values of some arguments."""
        seed = {"rng": SEEDS[0]} if "rng" in self.given else {}
        return construct(self.kind, {**self.given, **seed, **changed})

    def _doubt(self, name: str) -> str | None:
        """Say why it is open whether an argument matters: None if it does, "" if it does not."""
        value = self.given[name]
        changes = [{name: new} for new in other_values(name, value)]
        if not changes:
            return "is of a kind for which the kit knows no other value"
        if not all(map(self._same, changes)):
            return None
        # What differs with the same arguments, too, may be an identity.
        kept = set[str]().union(*map(self._differing, changes)) - self._differing({})
        if kept and (isinstance(value, str) or (value is None and name in LABELS)):
            return "is kept, but not computed with"  # a label is for people
        if name not in SURE and self._matters_beside_others(name, changes):
            return "makes no difference with the other arguments as they are"
        read = not self._same({}, kept) or self._seen(repr, {}, kept) is AttributeError
        return "makes no difference for the numbers tried" if read and name not in SURE else ""

    @cached_property
    def _before(self) -> list[Any]:
        return [self._seen(behaviour, {}) for behaviour in self.behaviours]

    def _seen(self, look: Behaviour, changed: dict[str, Any], without: Iterable[str] = ()) -> Any:
        """Return what is seen of a new subject: of an error its kind, as a refusal is a use."""
        try:
            subject = self.build(**changed)
            for part in self.parts(subject) if without else ():
                for name in without:
                    vars(part).pop(name, None)
            return look(subject)
        except Exception as error:  # noqa: BLE001 - other verdicts speak of it
            return type(error)

    def _same(self, changed: dict[str, Any], without: Iterable[str] = ()) -> bool:
        """Return whether all is the same with other arguments, or without some attributes."""
        pairs = zip(self.behaviours, self._before, strict=True)
        return all(alike(self._seen(b, changed, without), before) for b, before in pairs)

    def _matters_beside_others(self, name: str, changes: list[dict[str, Any]]) -> bool:
        """Return whether it makes a difference once another argument has another value."""
        return any(
            not alike(self._seen(look, {other: new}), self._seen(look, {other: new, **change}))
            for other in self.given.keys() - {name}
            for new in other_values(other, self.given[other])
            for change in changes
            for look in self.behaviours
        )

    def _differing(self, changed: dict[str, Any]) -> set[str]:
        """Return the attributes that differ in a subject with other arguments."""
        pairs = zip(self.parts(self.build()), self.parts(self.build(**changed)), strict=False)
        return set[str]().union(*(differing(one, other) for one, other in pairs))


def other_values(name: str, value: Any) -> Iterator[Any]:  # noqa: C901 - a list of kinds
    """Yield other values that an argument could have; none for what is not understood."""
    match value:
        case _ if name == "rng":
            yield SEEDS[1]
        case bool():  # before int, of which it is a kind
            yield not value
        case int():
            yield from (value + 1, value + 2, value - 1, 2 * value + 3, 100 * value + 7)
        case float():
            yield from (value * 0.75 if value else 0.25, value * 1.5 + 0.1)
            yield from (value * 1e-3 + 1e-3, value * 1e3 + 1e3)
        case str():
            yield f"{value}?"  # unknown to most, which refuse it
        case None:
            yield from (1, 0.5)  # a wrong kind is refused
        case type() | np.dtype() if value in (float, np.float32, np.float64):
            yield np.float64 if value == np.float32 else np.float32
        case np.ndarray() if value.dtype.kind == "f":
            yield value * 0.75 + 0.1
        case tuple() | list() if value:
            for index, item in enumerate(value):
                for other in other_values("", item):
                    yield type(value)([*value[:index], other, *value[index + 1 :]])
            yield type(value)(value[:-1])
