"""The layers of a model under watch, and each forward of one with the names in it."""

from collections import Counter
from typing import Any, cast

from minifw._engine.composition import Line
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.layers import Graph, Sequential
from minifw.tracing._formulas import name_of


class State:
    """A layer and its place."""

    def __init__(self, path: str, layer: Layer, *, extra: bool = False) -> None:
        self.path = path
        self.layer = layer
        self.title = f"{path} {name_of(layer)}".strip()
        self.holds_layers = bool(layer.named_layers())
        self.parents: list[State] = []  # the layers around it, the outermost first
        self.folded = False  # whether nothing inside is shown
        self.extra = extra  # whether it stands for a part of the model, which is not its own
        self.uses: dict[int, Use] = {}  # by the identity of what the forward saved
        self.latest = Use(self, None)

    @property
    def around(self) -> str:
        """The layer around this one, in words."""
        return self.parents[-1].title if self.parents else "the objective"

    def parameters(self) -> dict[Parameter, str]:
        """Return the layer's own with their names; those inside with "", if it is folded.

        Also attributes that it made in its first forward.
        """
        found: dict[Parameter, str] = {}
        for name, value in self.layer._members():
            if isinstance(value, Parameter):
                found.setdefault(value, name)
        inner = dict.fromkeys(self.layer.parameters() if self.folded else [], "")
        return inner | found


class Use:
    """One forward of a layer, and the symbols of what went through it."""

    def __init__(self, state: State, around: "Use | None") -> None:
        self.state, self.around = state, around
        self.xs: list[str] = []
        self.ys: list[str] = []
        self.dys: list[str] = []
        self.dx = ""
        self.passes_on = False  # whether its output is an inner layer's
        self.wanted: tuple[str, ...] = ()  # the names of what it makes, if a Graph gives them
        self.line: Line | None = None  # of the Graph around it
        self.is_in_graph: bool = around is not None and around.is_in_graph
        self.count = 0  # of the lines that ran
        self.taken: Counter[str | None] = Counter()  # how often each value of a Graph is

    def find_wanted(self) -> None:
        """Find the names of what the layer makes, and of values inside."""
        outer, layer = self.around, self.state.layer
        if isinstance(layer, Graph) and not self.state.folded:
            self.taken = Counter(value for line in layer._lines for value in line.takes)
            self.taken.update(layer._gives)
        if outer is None:
            return
        around: Any = outer.state.layer
        if isinstance(around, Graph):
            self.line, self.is_in_graph = around._lines[outer.count], True
            outer.count += 1
            self.wanted = tuple(outer.name(value) for value in self.line.makes)
        elif isinstance(around, Sequential) and layer is around[-1]:
            self.wanted = outer.wanted
        if self.state.extra:  # it makes something else: a joined activation comes after it
            self.wanted = ()
        elif self.is_in_graph and not self.wanted:
            names, path = layer.output_names, self.state.path
            self.wanted = (path,) if len(names) == 1 else tuple(f"{path}.{n}" for n in names)

    def name(self, value: str) -> str:
        """Return the symbol of a value of this Graph."""
        gives: tuple[str, ...] = cast("Graph", self.state.layer)._gives
        if self.wanted and value in gives:
            return self.wanted[gives.index(value)]
        around = self.around.name(word_of(self.line)) if self.line and self.around else ""
        return f"{around or self.state.path}.{value}".removeprefix(".")


def word_of(line: Line) -> str:
    return line.place.removeprefix("line ")
