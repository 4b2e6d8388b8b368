"""Watches the layers of a model, and writes down what goes in and out."""

from collections import Counter
from collections.abc import Callable
from itertools import chain, count
from typing import Any, TypeAlias

import numpy as np

from minifw._engine.heads import outputs_of
from minifw._engine.summary import inside
from minifw.core.layer import Identity, Layer
from minifw.core.parameter import Parameter
from minifw.layers import Graph, Sequential
from minifw.losses import Penalty
from minifw.tracing._formulas import Names, formula_of, name_of
from minifw.tracing._uses import State, Use, word_of
from minifw.tracing._values import AnyArray, TracedValue

Maybe: TypeAlias = "AnyArray | None"
GIVEN, FORWARD, BACKWARD = "given", "forward", "backward"
MANY = 6  # parameters of a penalty that are listed
LETTERS = {"weight": "W", "bias": "b"}  # of parameters, as in the notes


class Recorder:
    """Watches the layers of a model (a copy), and writes down what goes in and out.

    `body` is the model without the activations that are joined with the loss; what is deeper
    than `depth` is not shown.
    """

    def __init__(self, model: Layer, body: Layer, depth: int | None) -> None:
        self.formulas: dict[str, str] = {}  # of every symbol
        self._model = model
        self._rows: list[TracedValue] = []
        self._symbols: dict[int, str] = {}  # of an array, by its identity
        self._kept: list[object] = []  # so that no identity is used again
        self._running: list[Use] = []  # the layers whose own call goes on, the outermost first
        self._numbered = 0  # Z1, Z2, ...
        self._activations: Counter[int] = Counter()
        self._wanted: tuple[str, ...] = ()  # the symbols that the next layer's outputs get
        self._parameters: dict[Parameter, str] = {}  # the symbol of each
        self._used: Counter[Parameter] = Counter()  # how often; a penalty is a use, too
        self._parts: dict[Any, list[str]] = {}  # of gradients that are sums
        self._penalties: dict[Parameter, list[str]] = {}
        self._states = [State(name, layer) for name, layer in model._all_layers()]
        known = {id(state.layer) for state in self._states}
        extra = [State(*one, extra=True) for one in body._all_layers() if id(one[1]) not in known]
        self._state_of = {id(state.layer): state for state in (*self._states, *extra)}
        self.layers = [(state.path, state.layer) for state in self._state_of.values()]
        for state in self._state_of.values():
            around = [other for other in self._states if inside(state.path, other.path)]
            state.parents = [] if state.extra else around
            state.folded = state.holds_layers and len(around) == depth

    def rows(self) -> list[TracedValue]:
        """Return all rows, what is given first."""
        return sorted(self._rows, key=lambda row: (GIVEN, FORWARD, BACKWARD).index(row.section))

    def add(self, section: str, symbol: str, formula: str, layer: str, value: Maybe) -> None:
        """Write down a value, and know its array by the symbol from now on; None is left out."""
        if value is None:
            return
        self.formulas[symbol] = formula
        whole = f"{symbol} = {formula}" if formula else symbol
        self._rows.append(TracedValue(symbol, whole, section, layer, np.array(value)))
        self.know(value, symbol)

    def symbol(self, array: AnyArray) -> str:
        """Return the symbol of an array that was written down."""
        return self._symbols[id(array)]

    def know(self, array: Maybe, symbol: str) -> None:
        """Know an array by a symbol from now on."""
        if array is not None:
            self._symbols[id(array)] = symbol
            self._kept.append(array)

    def is_taken(self, symbol: str) -> bool:
        """Return whether several take a value of a Graph, its caller included."""
        graphs = [state.latest for state in self._state_of.values()]
        return any(n > 1 and g.name(v) == symbol for g in graphs for v, n in g.taken.items() if v)

    def penalise(self, name: str, penalty: Penalty) -> float:
        """Write down a penalty, and the term that it is of gradients; return it."""
        parameters, value = penalty.parameters(), penalty.forward()
        self._used.update(parameters)
        named = {p: name for name, p in self._model.named_parameters()}
        symbols = [self._parameters.get(p, named[p]) for p in parameters]
        for p, symbol in zip(parameters, symbols, strict=True):
            self._penalties.setdefault(p, []).append(f"d{name}/d{symbol}")
        if len(symbols) > MANY:
            symbols[MANY - 1 :] = [f"{len(symbols) - MANY + 1} more"]
        formula = f"{name_of(penalty)} of {', '.join(symbols)}"
        self.add(FORWARD, name, formula, name_of(penalty), np.array(value))
        return value

    def activated(self, output: int, activation: Layer, x: AnyArray) -> str:
        """Return the symbol of what the activation of an output makes, which is joined."""
        path, last = "", self._model
        while isinstance(last, Sequential):
            path, last = f"{path}{len(last) - 1}.", last[-1]
        self._wanted = (path + last._gives[output],) if isinstance(last, Graph) else ()
        return self.symbol(activation(x))

    def add_sums(self) -> None:
        """Write down the gradients of the parameters that have several uses."""
        for p, symbol in self._parameters.items():
            if self._used[p] > 1 and p in self._parts:
                formula = " + ".join([*self._parts[p], *self._penalties.get(p, [])])
                self.add(BACKWARD, f"d{symbol}", formula, "", p.grad)

    def _add_gradient(self, p: Parameter, use: str, formula: str, title: str) -> None:
        symbol = f"d{self._parameters[p]}"
        if self._used[p] > 1:
            symbol = self._fresh(f"{symbol}({use})")
            self._parts.setdefault(p, []).append(symbol)
        self.add(BACKWARD, symbol, formula, title, p.grad)

    def around(self, _: str, layer: Layer, method: str, call: Callable[..., Any], *xs: Any) -> Any:
        """Write down a call of a layer's method (see `listening`)."""
        if any(use.state.layer is layer or use.state.folded for use in self._running):
            return call(*xs)  # its backward calls its backward_parameters
        state = self._state_of[id(layer)]
        if method == "forward":
            use = Use(state, self._running[-1] if self._running else None)
            use.wanted, self._wanted = self._wanted, ()
        else:  # of the forward whose memory was recalled
            use = state.uses.get(id(layer._saved), state.latest)
        self._running.append(use)
        try:
            return (self._forward if method == "forward" else self._backward)(use, xs, call)
        finally:
            self._running.pop()

    def _forward(self, use: "Use", xs: tuple[Any, ...], original: Callable[..., Any]) -> Any:
        state = use.state
        for x in xs:
            if x is not None and id(x) not in self._symbols:
                symbol = self._fresh(f"X({state.path})")
                self.add(FORWARD, symbol, f"made by {state.around}", "", x)
        use.xs = ["" if x is None else self.symbol(x) for x in xs]
        use.find_wanted()
        result = original(*xs)
        state.latest = state.uses[id(state.layer._saved)] = use
        self._kept.append(state.layer._saved)
        ys = outputs_of(result)
        if state.extra and isinstance(state.layer, Identity):  # in place of what was joined
            self.know(result, use.xs[0])
        if not all(isinstance(y, np.ndarray) for y in ys):
            return result
        adds_nothing = state.holds_layers and not state.parameters()
        known = state.extra or (adds_nothing and all(id(y) in self._symbols for y in ys))
        use.passes_on = known and not state.folded
        if use.passes_on:  # what it returns is what its last layer did
            use.ys = [self.symbol(y) for y in ys]
            return result
        use.ys = [self._fresh(symbol) for symbol in self._next_symbols(use)]
        self._used.update(list(state.parameters()))
        names = Names(state.layer, self._known(use))
        whole = f"{name_of(state.layer)}({', '.join(filter(None, use.xs))})"
        for symbol, output, y in zip(use.ys, state.layer.output_names, ys, strict=True):
            tail = "" if len(ys) == 1 else f".{output}"
            formula = formula_of(state.layer, output if tail else "y", names)
            self.add(FORWARD, symbol, formula or whole + tail, state.title, y)
        return result

    def _backward(self, use: "Use", dys: tuple[Any, ...], original: Callable[..., Any]) -> Any:
        state, layer = use.state, use.state.layer
        for y, dy in zip(use.ys, dys, strict=True):
            if id(dy) not in self._symbols:
                graph = use.around if use.line is not None else None
                formula = " + ".join(self._parts.get((graph, y), ["0"]))
                formula = formula if graph else f"handed down by {state.around}"
                self.add(BACKWARD, self._fresh(f"d{y}", state), formula, state.title, dy)
        use.dys = [self.symbol(dy) for dy in dys]
        if isinstance(layer, Graph):  # what an output's gradient begins with, if lines take it
            self._parts |= {(use, y): [dy] for y, dy in zip(use.ys, use.dys, strict=True)}
        result = original(*dys)
        if state.extra and isinstance(layer, Identity):
            self.know(result, use.dys[0])
            return result
        fallback = f"{name_of(layer)}.backward({', '.join(use.dys)})"
        names = Names(layer, self._known(use))
        for parameter, name in state.parameters().items():
            if parameter in self._parameters and not parameter.frozen:
                formula = formula_of(layer, name, names) or fallback
                self._add_gradient(parameter, use.ys[0], formula, state.title)
        self._add_dxs(use, outputs_of(result), names, fallback)
        return result

    def _add_dxs(self, use: "Use", dxs: tuple[Any, ...], names: Names, fallback: str) -> None:
        """Write down the gradients that a layer returns."""
        state, layer = use.state, use.state.layer
        for i, (x, dx) in enumerate(zip(use.xs, dxs, strict=False)):
            if not isinstance(dx, np.ndarray):
                continue
            if state.holds_layers and id(dx) in self._symbols:
                use.dx = self.symbol(dx)
                continue
            name = layer.input_names[min(i, len(layer.input_names) - 1)]
            own = "dx" if name[-1] == "*" or len(use.xs) == 1 else f"d{name.rstrip('?')}"
            tail = f"[{i}]" if len(dxs) > 1 else ""
            formula = " + ".join(self._parts.get((use, x), ()))
            formula = formula or formula_of(layer, own, names) or fallback + tail
            use.dx = self._gradient_symbol(use, x)
            self.add(BACKWARD, use.dx, formula, state.title, dx)

    def _gradient_symbol(self, use: "Use", x: str) -> str:
        """Return the symbol of a dx: of a part only, where several layers take the value."""
        symbol, one = f"d{x}", use
        while one.around is not None:
            if one.line is not None:
                value = one.line.takes[one.xs.index(x)]
                if one.around.taken[value] > 1:
                    symbol = self._fresh(f"{symbol}({one.around.name(word_of(one.line))})")
                    self._parts.setdefault((one.around, x), []).append(symbol)
                    return symbol
            one = one.around
            if x not in one.xs:
                break
            if not one.passes_on:  # where a branch begins
                return self._fresh(f"{symbol}({use.state.path})")
        return self._fresh(symbol, use.state)

    def _next_symbols(self, use: "Use") -> list[str]:
        """Return the symbols of what the layer makes, and name its parameters alike."""
        state, outputs = use.state, use.state.layer.output_names
        word = use.wanted[0] if use.wanted else ""
        word = word.rpartition(".")[0] if len(outputs) > 1 else word
        own = state.parameters()
        if not word and own:
            self._numbered += 1
        of = f"_{word}" if word else self._numbered
        for parameter, name in own.items():
            if name and parameter not in self._parameters:
                symbol = self._parameters[parameter] = self._fresh(_parameter_symbol(name, of))
                self.add(GIVEN, symbol, "", state.title, parameter.value)
        if use.wanted:
            return list(use.wanted)
        symbol = f"Z{self._numbered}"
        if not own:
            self._activations[self._numbered] += 1
            nth = self._activations[self._numbered]
            tail = "" if nth == 1 else chr(ord("a") + nth - 1) if nth <= 26 else f".{nth}"
            symbol = f"A{self._numbered}{tail}"
        return [symbol] if len(outputs) == 1 else [f"{symbol}.{name}" for name in outputs]

    def _fresh(self, symbol: str, state: State | None = None) -> str:
        """Return a symbol that no value has: this one, or one with the path of a layer."""
        first = [symbol] if state is None else [symbol, f"{symbol}({state.path})"]
        found = chain(first, (f"{symbol}#{number}" for number in count(2)))
        return next(one for one in found if one not in self.formulas)

    def _known(self, use: "Use") -> dict[str, str]:
        """Return what the formulas of a layer may name."""
        state, layer = use.state, use.state.layer
        inner = [other.latest for other in self._states if state in other.parents[-1:]]
        ys, dys, given = use.ys or [""], use.dys or [""], list(filter(None, use.xs))
        known = dict(zip([name.rstrip("?") for name in layer.input_names], use.xs, strict=False))
        known |= dict(zip(layer.output_names, ys, strict=False))
        known |= {f"d{name}": dy for name, dy in zip(layer.output_names, dys, strict=False)}
        known.setdefault("x", ", ".join(given))
        known |= {"sum_x": " + ".join(given), "product_x": " * ".join(given)}
        known |= {"y": ys[0], "dy": dys[0]}
        known |= {n: self._parameters.get(p, n) for p, n in state.parameters().items()}
        known["inner"] = ", ".join(one.ys[0] for one in inner if one.ys)
        known["inner_dx"] = " + ".join(one.dx for one in inner if one.dx)
        return {word: symbol for word, symbol in known.items() if symbol}


def _parameter_symbol(name: str, of: object) -> str:
    """Return W1 and b1, W1_ih_l0 of weight_ih_l0; what is called otherwise keeps its name."""
    words = name.split("_")
    letter = next((word for word in words if word in LETTERS), "")
    rest = [word for word in words if word != letter]
    first = LETTERS.get(letter, "")
    if not letter:
        first, rest = name, []
    separator = "_" if first[-1:].isdigit() and isinstance(of, int) else ""
    return "_".join([f"{first}{separator}{of}", *rest])
