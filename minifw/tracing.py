"""Every value of one forward and backward, with its symbol and its formula."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np

from minifw._engine.composition import Line
from minifw._engine.listening import listening
from minifw._engine.summary import inside
from minifw._tools.checks import check_is
from minifw._tools.tables import Table, counted
from minifw.core.layer import Identity, Layer
from minifw.core.objective import Objective
from minifw.core.parameter import Parameter
from minifw.errors import NonFiniteError
from minifw.layers import Graph, Sequential
from minifw.losses import Loss, Penalty
from minifw.typing import Shape

__all__ = ["Trace", "TracedValue", "trace"]

AnyArray: TypeAlias = "np.ndarray[Any, Any]"
Maybe: TypeAlias = "np.ndarray[Any, Any] | None"

_PASSES = ("forward", "backward", "backward_parameters")
GIVEN, FORWARD, BACKWARD = "given", "forward", "backward"
LETTERS = {"weight": "W", "bias": "b"}  # of parameters, as in the notes
LEGEND = (
    "One example per row; ' is the transpose, * goes element by element; "
    "norm: sqrt(sum of squares)."
)


class TracedValue(NamedTuple):
    """One value of a `Trace`.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, MSELoss, Objective, trace
    >>> steps = trace(Objective(Dense(1, 1), MSELoss()), np.ones((2, 1)), np.zeros((2, 1)))
    >>> row = next(row for row in steps.rows if row.symbol == "dW1")
    >>> row.formula, row.section, row.shape
    ("dW1 = dZ1' X", 'backward', (1, 1))
    """

    symbol: str
    """Such as "Z1", "dW1"."""
    formula: str
    """Such as "Z1 = X W1' + b1"; the symbol alone of what is given."""
    section: str
    """"given", "forward" or "backward"."""
    layer: str
    """The layer that it belongs to, as in "0 Dense", or the loss; "" of X and Y."""
    value: AnyArray

    @property
    def shape(self) -> Shape:
        """The shape of the value."""
        shape: Shape = self.value.shape
        return shape

    @property
    def min(self) -> float:
        """The smallest element."""
        return float(self.value.min())

    @property
    def max(self) -> float:
        """The largest element."""
        return float(self.value.max())

    @property
    def norm(self) -> float:
        """The root of the sum of squares."""
        sizes = np.abs(self.value.astype(np.float64))
        largest = float(sizes.max())
        if not 0 < largest < np.inf:
            return largest
        return largest * float(np.sqrt(np.sum((sizes / largest) ** 2)))  # no square overflows


class Trace:
    """The values of one forward and backward; ``print`` shows them, ``trace["dW1"]`` is one.

    A notebook shows the same table as HTML.

    Attributes
    ----------
    rows : list of TracedValue
        In the order in which they are computed, what is given first.
    notes : list of str
        What else is to be said, below the table.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import Dense, MSELoss, Objective, trace
    >>> steps = trace(Objective(Dense(1, 1), MSELoss()), np.ones((2, 1)), np.zeros((2, 1)))
    >>> [row.symbol for row in steps.rows]
    ['X', 'Y', 'W1', 'b1', 'Z1', 'J', 'dZ1', 'dW1', 'db1']
    >>> steps["X"]
    array([[1.],
           [1.]])
    """

    def __init__(self, title: str, rows: list[TracedValue], notes: list[str]) -> None:
        self.title = title
        self.rows = rows
        self.notes = notes

    def __getitem__(self, symbol: str) -> AnyArray:
        """Return a copy of the value.

        Raises
        ------
        KeyError
            If there is none of that symbol, naming those that there are.
        """
        for row in self.rows:
            if row.symbol == symbol:
                return row.value.copy()
        raise KeyError(f"trace has no value {symbol!r}; it has {', '.join(self)}")

    def __contains__(self, symbol: object) -> bool:
        return any(row.symbol == symbol for row in self.rows)

    def __iter__(self) -> Iterator[str]:
        return iter([row.symbol for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def _table(self) -> Table:
        header = ["symbol", "formula", "shape", "min", "max", "norm", "layer"]
        table = Table(self.title, header, "lllrrrl")
        section = ""
        for row in self.rows:
            if row.section != section:
                section = row.section
                table.section(section)
            formula = row.formula.removeprefix(row.symbol).strip()
            numbers = [f"{number:.4g}" for number in (row.min, row.max, row.norm)]
            table.add(row.symbol, formula, str(row.shape), *numbers, row.layer)
        table.notes += self.notes
        return table

    def __repr__(self) -> str:
        return self._table().text()

    def _repr_html_(self) -> str:
        return self._table().html()


def trace(objective: Objective, x: Any, y: Any) -> Trace:
    """Return every value of one forward and backward of `objective`, with symbol and formula.

    Parameters
    ----------
    objective : Objective
        It is left as it is: a copy of its model and its loss runs, in the modes
        that the layers are in. Parameters, gradients, running statistics and
        generators do not change.
    x : array of shape (batch, ...), or tuple of several
    y : array, or tuple of several
        The target, as the loss expects it.

    Returns
    -------
    Trace

    Raises
    ------
    TypeError
        If `objective` is none.
    TypeError, ValueError
        What the layers and the loss raise for such an x and y.

    Notes
    -----
    The symbols are the notes', in minifw's convention of one example per row. A
    layer with parameters makes the next Z, one without makes the A that belongs to
    it (A1b, A1c if there are more), and W and b are its weight and bias. A final
    activation that is joined with the loss has no dA. dX is left out, as training
    does not need it. The formulas come from the layers: see ``formulas`` in `Layer`.

    In a `Graph` the values have its names, and so has what belongs to their layers: W_h is the
    weight of the line h. A value that several lines take, and a parameter that is used several
    times or has a penalty, has its gradient written out as a sum: dh = dh(k) + dh(l), the
    terms being what the lines k and l return. Of several outputs, Y and J carry the name.

    If the loss is not finite, the trace ends before it, and says so.

    Examples
    --------
    >>> from minifw import BCELoss, Dense, Objective, Sequential, Sigmoid, Tanh, trace
    >>> from minifw.datasets import planar_flower
    >>> x, y = planar_flower()
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
    >>> values = trace(Objective(model, BCELoss()), x, y)
    >>> for row in values.rows[6:]:
    ...     print(row.formula, row.shape)
    Z1 = X W1' + b1 (400, 4)
    A1 = tanh(Z1) (400, 4)
    Z2 = A1 W2' + b2 (400, 1)
    A2 = sigmoid(Z2) (400, 1)
    J = -mean(Y * log A2 + (1 - Y) * log(1 - A2)) ()
    dZ2 = (A2 - Y) / 400 (400, 1)
    dW2 = dZ2' A1 (1, 4)
    db2 = column sums of dZ2 (1,)
    dA1 = dZ2 W2 (400, 4)
    dZ1 = dA1 * (1 - A1^2) (400, 4)
    dW1 = dZ1' X (4, 2)
    db1 = column sums of dZ1 (4,)
    >>> values["dW1"].shape
    (4, 2)
    """
    hint = "; write Objective(model, loss)" if isinstance(objective, Layer) else ""
    check_is("trace", "objective to be an Objective", objective, Objective, hint=hint)
    parts = objective.model, objective._network, objective._head, objective._activations
    model, body, head, activations, penalties = copy.deepcopy((*parts, objective._penalties))
    loss, recorder, notes = objective.loss, _Recorder(model, body), [LEGEND]
    inputs = [name.rstrip("?*") for name in model.input_names]
    xs = _several(x)
    tails = [f"_{name}" for name in model.output_names] if loss.takes_several else [""]
    given = [*zip(["X"] if recorder.numbers_alone else inputs, xs, strict=False)]
    for name, one in [*given, *zip([f"Y{tail}" for tail in tails], _several(y), strict=False)]:
        recorder.add(GIVEN, name, "", "", one)

    everything = np.errstate(all="ignore")  # what is not finite stands in the table
    with everything, listening(recorder.layers, _PASSES, recorder.around):
        output: Any = body.forward(*xs)
        arrays = _several(output)
        weights = getattr(loss, "weights", None) or (1.0,) * len(arrays)
        pairs = zip(tails, weights, loss._heads(), head._heads(), activations, arrays, strict=True)
        outputs = [_Output(*one) for one in pairs]
        for index, one in enumerate(outputs):
            one.name(recorder, index)
        if penalties and not loss.takes_several:
            outputs[0].cost = "L"
        notes += [one.note for one in outputs if one.activation]
        try:
            cost = head.forward(output, y)
        except NonFiniteError as error:
            notes.append(f"J is not finite, and so there is no backward: {error}.")
        else:
            values = iter(getattr(head, "parts", (cost,)))
            total = [one.write_cost(recorder, next(values)) for one in outputs if one.loss]
            for number, penalty in enumerate(penalties, 1):
                total.append(f"R{number}")
                cost += recorder.penalise(total[-1], penalty)
            if total != ["J"]:
                recorder.add(FORWARD, "J", " + ".join(total), _name(loss), np.array(cost))
            dys = _several(head.backward())
            for one, dy in zip(outputs, dys, strict=True):
                one.write_gradient(recorder, dy)
            body.backward_parameters(*dys)
            for number, penalty in enumerate(penalties, 1):
                recorder.add_penalty(f"R{number}", penalty)
            recorder.add_sums()

    title = f"{_name(model)} and {loss!r}: {counted(len(xs[0]), 'example')}"
    return Trace(title, recorder.rows(), notes)


@dataclass
class _Output:
    """An output of the model, its loss, and the activation that is joined with that."""

    tail: str
    weight: float
    loss: Loss | None
    head: Loss | None
    activation: Layer | None
    array: AnyArray

    def name(self, recorder: "_Recorder", index: int) -> None:
        """Find the symbols."""
        self.cost, self.target = f"J{self.tail}", f"Y{self.tail}"
        self.factor = "" if self.weight == 1 else f"{self.weight:.4g} * "
        self.symbol = self.prediction = recorder.symbol(self.array)
        if self.activation is not None:
            self.prediction = recorder.activated(index, self.activation, self.array)

    @property
    def note(self) -> str:
        return (
            f"{self.activation!r} and {self.loss!r} are joined: {self.cost} and d{self.symbol} "
            f"come from {self.symbol} in one step, and d{self.prediction} is not formed."
        )

    def _formula(self, loss: Loss, key: str, symbol: str) -> str | None:
        """Return what a loss says of it."""
        n, rows = self.array.size, self.array.size // self.array.shape[-1]
        known = {"p": symbol, "t": self.target, "n": str(n), "m": str(rows)}
        return _formula(loss, key, _Names(loss, known))

    def write_cost(self, recorder: "_Recorder", value: float) -> str:
        """Write down this output's loss; return the term that it is of the sum."""
        loss = cast("Loss", self.loss)
        formula = self._formula(loss, "L", self.prediction)
        formula = formula or f"{_name(loss)}({self.prediction}, {self.target})"
        recorder.add(FORWARD, self.cost, formula, _name(loss), np.array(value))
        return self.factor + self.cost

    def write_gradient(self, recorder: "_Recorder", dy: AnyArray) -> None:
        """Write down the derivative of the loss."""
        head, formula = self.head, "0"
        if head is not None:
            formula = self._formula(head, "dp", self.symbol) or f"{_name(head)}.backward()"
            if self.activation is not None:  # (sigmoid(Z2) - Y) / 400 is (A2 - Y) / 400
                formula = formula.replace(recorder.formulas[self.prediction], self.prediction)
            formula = f"{self.factor}({formula})" if self.factor else formula
        part = "(J)" if recorder.is_taken(self.symbol) else ""
        recorder.add(BACKWARD, f"d{self.symbol}{part}", formula, _name(head or self.loss), dy)


class _Recorder:
    """Watches the layers of a model (a copy), and writes down what goes in and out.

    `body` is the model without the activations that are joined with the loss.
    """

    def __init__(self, model: Layer, body: Layer) -> None:
        self.formulas: dict[str, str] = {}  # of every symbol
        self._model = model
        self._rows: list[TracedValue] = []
        self._symbols: dict[int, str] = {}  # of an array, by its identity
        self._kept: list[AnyArray] = []  # so that no identity is used again
        self._running: list[_Use] = []  # the layers whose own call goes on, the outermost first
        self._numbered = 0  # Z1, Z2, ...
        self._activations: Counter[int] = Counter()
        self._wanted: tuple[str, ...] = ()  # the symbols that the next layer's outputs get
        self._parameters: dict[int, str] = {}  # the symbol of each, by its identity
        self._owned: Counter[int] = Counter()  # how often each is used
        self._parts: dict[Any, list[str]] = {}  # of gradients that are sums
        self._of_shared: list[Parameter] = []
        self._states = [_State(name, layer) for name, layer in model._all_layers()]
        known = {id(state.layer) for state in self._states}
        extra = [_State(*one) for one in body._all_layers() if id(one[1]) not in known]
        for state in extra:
            state.extra = True
        self._state_of = {id(state.layer): state for state in (*self._states, *extra)}
        self.layers = [(state.path, state.layer) for state in self._state_of.values()]
        for state in self._states:
            state.parents = [other for other in self._states if inside(state.path, other.path)]

    def rows(self) -> list[TracedValue]:
        """Return all rows, what is given first."""
        order = {GIVEN: 0, FORWARD: 1, BACKWARD: 2}
        return sorted(self._rows, key=lambda row: order[row.section])

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

    @property
    def numbers_alone(self) -> bool:
        """Whether the only input has no name of its own, and is X."""
        return len(self._model.input_names) == 1 and not isinstance(self._model, Graph)

    def is_taken(self, symbol: str) -> bool:
        """Return whether several take a value of a Graph, its caller included."""
        graphs = [state.latest for state in self._state_of.values()]
        return any(n > 1 and g.name(v) == symbol for g in graphs for v, n in g.taken.items() if v)

    def penalise(self, name: str, penalty: Penalty) -> float:
        """Write down a penalty, which is one more use of its parameters; return it."""
        parameters, value = penalty.parameters(), penalty.forward()
        self._owned.update(map(id, parameters))
        of = ", ".join(self._parameters[id(parameter)] for parameter in parameters)
        self.add(FORWARD, name, f"{_name(penalty)} of {of}", _name(penalty), np.array(value))
        return value

    def activated(self, output: int, activation: Layer, x: AnyArray) -> str:
        """Return the symbol of what the activation of an output makes, which is joined."""
        path, last = "", self._model
        while isinstance(last, Sequential):
            path, last = f"{path}{len(last) - 1}.", last[-1]
        self._wanted = (path + last._gives[output],) if isinstance(last, Graph) else ()
        return self.symbol(activation(x))

    def add_penalty(self, name: str, penalty: Penalty) -> None:
        """Write down what a penalty adds to the gradients."""
        before = [(p, p.grad.copy()) for p in penalty.parameters()]
        for p, _ in before:
            p.grad[...] = 0.0
        penalty.backward()
        for p, grad in before:
            formula = f"{_name(penalty)}.backward()"
            self._add_gradient(p, name, formula, _name(penalty))
            p.grad[...] += grad

    def add_sums(self) -> None:
        """Write down the gradients of the parameters that have several uses."""
        for p in {id(p): p for p in self._of_shared}.values():
            symbol = f"d{self._parameters[id(p)]}"
            self.add(BACKWARD, symbol, " + ".join(self._parts[id(p)]), "", p.grad)

    def _add_gradient(self, p: Parameter, use: str, formula: str, title: str) -> None:
        symbol = f"d{self._parameters[id(p)]}"
        if self._owned[id(p)] > 1:
            symbol = self._fresh(f"{symbol}({use})")
            self._parts.setdefault(id(p), []).append(symbol)
            self._of_shared.append(p)
        self.add(BACKWARD, symbol, formula, title, p.grad)

    def around(self, _: str, layer: Layer, method: str, call: Callable[..., Any], *xs: Any) -> Any:
        """Write down a call of a layer's method (see `listening`)."""
        if any(use.state.layer is layer for use in self._running):
            return call(*xs)  # its backward calls its backward_parameters
        state = self._state_of[id(layer)]
        if method == "forward":
            use = _Use(state, self._running[-1] if self._running else None)
            use.wanted, self._wanted = self._wanted, ()
        else:  # of the forward whose memory was recalled
            use = state.uses.get(id(layer._saved), state.latest)
        self._running.append(use)
        try:
            if method == "forward":
                return self._forward(use, xs, call)
            return self._backward(use, xs, call)
        finally:
            self._running.pop()

    def _forward(self, use: "_Use", xs: tuple[Any, ...], original: Callable[..., Any]) -> Any:
        state = use.state
        for x in xs:
            if x is not None and id(x) not in self._symbols:
                symbol = self._fresh(f"X({state.path})")
                self.add(FORWARD, symbol, f"made by {state.around}", "", x)
        use.xs = ["" if x is None else self.symbol(x) for x in xs]
        use.find_wanted()
        result = original(*xs)
        state.latest = state.uses[id(state.layer._saved)] = use
        use.saved = state.layer._saved  # so that its identity stays
        ys = _several(result)
        if state.extra and isinstance(state.layer, Identity):  # in place of what was joined
            self.know(result, use.xs[0])
        if not all(isinstance(y, np.ndarray) for y in ys):
            return result
        use.passes_on = state.extra or (
            state.holds_layers and all(id(y) in self._symbols for y in ys)
        )
        if use.passes_on:  # a chain: what it returns is what its last layer did
            use.ys = [self.symbol(y) for y in ys]
            return result
        use.ys = [self._fresh(symbol) for symbol in self._next_symbols(use)]
        self._owned.update({id(p) for p in state.parameters().values()})
        names = _Names(state.layer, self._known(use))
        whole = f"{_name(state.layer)}({', '.join(filter(None, use.xs))})"
        for symbol, output, y in zip(use.ys, state.layer.output_names, ys, strict=True):
            tail = "" if len(ys) == 1 else f".{output}"
            formula = _formula(state.layer, output if tail else "y", names)
            self.add(FORWARD, symbol, formula or whole + tail, state.title, y)
        return result

    def _backward(self, use: "_Use", dys: tuple[Any, ...], original: Callable[..., Any]) -> Any:
        state, layer = use.state, use.state.layer
        for y, dy in zip(use.ys, dys, strict=True):
            if id(dy) not in self._symbols:
                graph = use.around if use.line is not None else None
                formula = " + ".join(self._parts.get((graph, y), ["0"]))
                formula = formula if graph else f"handed down by {state.around}"
                self.add(BACKWARD, self._unused(f"d{y}", state), formula, state.title, dy)
        use.dys = [self.symbol(dy) for dy in dys]
        if isinstance(layer, Graph):  # what an output's gradient begins with, if lines take it
            self._parts |= {(use, y): [dy] for y, dy in zip(use.ys, use.dys, strict=True)}
        result = original(*dys)
        if state.extra and isinstance(layer, Identity):
            self.know(result, use.dys[0])
            return result
        fallback = f"{_name(layer)}.backward({', '.join(use.dys)})"
        use.dx = ""
        names = _Names(layer, self._known(use))
        for name, parameter in state.parameters().items():
            if not parameter.frozen:
                formula = _formula(layer, name, names) or fallback
                self._add_gradient(parameter, use.ys[0], formula, state.title)
        dxs = _several(result)
        made = list(zip(layer.input_names, use.xs, dxs, strict=False))
        starred = [(layer.input_names[-1], *one) for one in zip(use.xs, dxs, strict=False)]
        for i, (name, x, dx) in enumerate(made + starred[len(made) :]):
            if not isinstance(dx, np.ndarray):
                continue
            if state.holds_layers and id(dx) in self._symbols:
                use.dx = self.symbol(dx)
                continue
            own = "dx" if name[-1] == "*" or len(use.xs) == 1 else f"d{name.rstrip('?')}"
            tail = f"[{i}]" if len(dxs) > 1 else ""
            formula = " + ".join(self._parts.get((use, x), ()))
            formula = formula or _formula(layer, own, names) or fallback + tail
            use.dx = self._gradient_symbol(use, x)
            self.add(BACKWARD, use.dx, formula, state.title, dx)
        return result

    def _gradient_symbol(self, use: "_Use", x: str) -> str:
        """Return the symbol of a dx: of a part only, where several layers take the value."""
        symbol, one = f"d{x}", use
        while one.around is not None:
            if one.line is not None:
                value = one.line.takes[one.xs.index(x)]
                if one.around.taken[value] > 1:
                    symbol = self._fresh(f"{symbol}({one.around.name(_word(one.line))})")
                    self._parts.setdefault((one.around, x), []).append(symbol)
                    return symbol
            one = one.around
            if x not in one.xs:
                break
            if not one.passes_on:  # where a branch begins
                return self._fresh(f"{symbol}({use.state.path})")
        return self._unused(symbol, use.state)

    def _next_symbols(self, use: "_Use") -> list[str]:
        """Return the symbols of what the layer makes, and name its parameters alike."""
        state, outputs = use.state, use.state.layer.output_names
        word = use.wanted[0] if use.wanted else ""
        word = word.rpartition(".")[0] if len(outputs) > 1 else word
        own = state.parameters()
        if not word and own:
            self._numbered += 1
        for name, parameter in own.items():
            if id(parameter) not in self._parameters:
                symbol = self._fresh(
                    _parameter_symbol(name, f"_{word}" if word else self._numbered)
                )
                self._parameters[id(parameter)] = symbol
                self.add(GIVEN, symbol, "", state.title, parameter.value)
        if use.wanted:
            return list(use.wanted)
        symbol = f"Z{self._numbered}"
        if not own:
            self._activations[self._numbered] += 1
            count = self._activations[self._numbered]
            tail = "" if count == 1 else chr(ord("a") + count - 1) if count <= 26 else f".{count}"
            symbol = f"A{self._numbered}{tail}"
        return [symbol] if len(outputs) == 1 else [f"{symbol}.{name}" for name in outputs]

    def _fresh(self, symbol: str) -> str:
        """Return a symbol that no value has."""
        count = 2
        while (found := symbol if count == 2 else f"{symbol}#{count - 1}") in self.formulas:
            count += 1
        return found

    def _unused(self, symbol: str, state: "_State") -> str:
        return f"{symbol}({state.path})" if symbol in self.formulas else symbol

    def _known(self, use: "_Use") -> dict[str, str]:
        """Return what the formulas of a layer may name."""
        state, layer = use.state, use.state.layer
        inner = [other.latest for other in self._states if state in other.parents[-1:]]
        ys, dys, given = use.ys or [""], use.dys or [""], list(filter(None, use.xs))
        known = dict(zip([name.rstrip("?") for name in layer.input_names], use.xs, strict=False))
        known |= dict(zip(layer.output_names, ys, strict=False))
        known |= {f"d{name}": dy for name, dy in zip(layer.output_names, dys, strict=False)}
        known |= {"x": ", ".join(given), "sum_x": " + ".join(given), "y": ys[0], "dy": dys[0]}
        known |= {n: self._parameters.get(id(p), n) for n, p in state.parameters().items()}
        known["inner"] = ", ".join(one.ys[0] for one in inner if one.ys)
        known["inner_dx"] = " + ".join(one.dx for one in inner if one.dx)
        return known


class _State:
    """A layer and its place."""

    def __init__(self, path: str, layer: Layer) -> None:
        self.path = path
        self.layer = layer
        self.title = f"{path} {_name(layer)}".strip()
        self.holds_layers = bool(layer.named_layers())
        self.parents: list[_State] = []  # the layers around it, the outermost first
        self.extra = False  # whether it stands for a part of the model, which is not its own
        self.uses: dict[int, _Use] = {}  # by the identity of what the forward saved
        self.latest = _Use(self, None)

    @property
    def around(self) -> str:
        """The layer around this one, in words."""
        return self.parents[-1].title if self.parents else "the objective"

    def parameters(self) -> dict[str, Parameter]:
        """Return the layer's own, each once, also those that it made in its first forward."""
        found = [(n, p) for n, p in self.layer._members() if isinstance(p, Parameter)]
        first = {id(p): n for n, p in reversed(found)}
        return {n: p for n, p in found if first[id(p)] == n}


class _Use:
    """One forward of a layer, and the symbols of what went through it."""

    def __init__(self, state: _State, around: "_Use | None") -> None:
        self.state, self.around = state, around
        self.xs: list[str] = []
        self.ys: list[str] = []
        self.dys: list[str] = []
        self.dx = ""
        self.passes_on = False  # whether its output is that of a layer inside
        self.wanted: tuple[str, ...] = ()  # the names of what it makes, if a Graph gives them
        self.saved: object = None
        self.line: Line | None = None  # of the Graph around it
        self.count = 0  # of the lines that ran
        self.taken: Counter[str | None] = Counter()  # how often each value of a Graph is

    def find_wanted(self) -> None:
        """Find the names of what the layer makes, and of values inside."""
        outer, layer = self.around, self.state.layer
        if isinstance(layer, Graph):
            self.taken = Counter(value for line in layer._lines for value in line.takes)
            self.taken.update(layer._gives)
        if outer is None:
            return
        around: Any = outer.state.layer
        if isinstance(around, Graph):
            self.line = around._lines[outer.count]
            outer.count += 1
            self.wanted = tuple(outer.name(value) for value in self.line.makes)
        elif isinstance(around, Sequential) and layer is around[-1]:
            self.wanted = outer.wanted
        if self.state.extra:  # it makes something else: a joined activation comes after it
            self.wanted = ()

    def name(self, value: str) -> str:
        """Return the symbol of a value of this Graph."""
        gives: tuple[str, ...] = cast("Graph", self.state.layer)._gives
        if self.wanted and value in gives:
            return self.wanted[gives.index(value)]
        around = self.around.name(_word(self.line)) if self.line and self.around else ""
        return f"{around or self.state.path}.{value}".removeprefix(".")


def _word(line: Line) -> str:
    return line.place.removeprefix("line ")


def _parameter_symbol(name: str, of: object) -> str:
    """Return W1 and b1; what is called otherwise keeps its name."""
    word, _, rest = name.partition("_")
    separator = "_" if word[-1:].isdigit() and isinstance(of, int) else ""
    return f"{LETTERS.get(word, word)}{separator}{of}{'_' if rest else ''}{rest}"


class _Names(dict[str, str]):
    """The words that a formula may have in braces: symbols, and attributes that are numbers."""

    def __init__(self, owner: Layer | Loss, known: dict[str, str]) -> None:
        super().__init__(known)
        self._owner = owner

    def __missing__(self, key: str) -> str:
        value = getattr(self._owner, key, None)
        if isinstance(value, np.ndarray):
            return key if value.ndim else f"{value:.4g}"
        if isinstance(value, int | float) and not isinstance(value, bool):
            return f"{value:.4g}"
        raise KeyError(key)


def _formula(owner: Layer | Loss, key: str, names: _Names) -> str | None:
    """Return what `owner` says of `key`, with the symbols filled in; None if it says nothing."""
    own = type(owner)
    declaring = next(base for base in own.__mro__ if "formulas" in vars(base))
    for method in ("forward", "backward"):  # with another of them, it is another function
        if getattr(own, method) is not getattr(declaring, method):
            return None
    forms = owner.formulas.get(key, ())
    if isinstance(owner, Layer) and not owner.training:
        forms = owner.formulas.get(f"{key} in eval mode", forms)
    for form in (forms,) if isinstance(forms, str) else forms:
        try:
            return form.format_map(names)
        except KeyError:
            continue
    return None


def _several(value: Any) -> tuple[Any, ...]:
    return value if type(value) is tuple else (value,)


def _name(thing: object) -> str:
    return type(thing).__name__
