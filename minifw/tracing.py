"""Every value of one forward and backward, with its symbol and its formula."""

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minifw._engine.listening import listening
from minifw._engine.summary import inside
from minifw._tools.checks import check_is
from minifw._tools.tables import Table, counted
from minifw.core.layer import Identity, Layer
from minifw.core.objective import Objective
from minifw.core.parameter import Parameter
from minifw.errors import NonFiniteError
from minifw.losses import Loss
from minifw.typing import Shape, Target

__all__ = ["Trace", "TracedValue", "trace"]

AnyArray: TypeAlias = "np.ndarray[Any, Any]"

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


def trace(objective: Objective, x: AnyArray, y: Target) -> Trace:
    """Return every value of one forward and backward of `objective`, with symbol and formula.

    Parameters
    ----------
    objective : Objective
        It is left as it is: a copy of its model and its loss runs, in the modes
        that the layers are in. Parameters, gradients, running statistics and
        generators do not change.
    x : array of shape (batch, ...)
    y : array
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
    parts = objective.model, objective._network, objective._head, objective._activation
    model, body, head, activation = copy.deepcopy(parts)
    loss = objective.loss
    recorder = _Recorder(model)
    recorder.add(GIVEN, "X", "", "", x)
    recorder.add(GIVEN, "Y", "", "", y)
    notes = [LEGEND]

    everything = np.errstate(all="ignore")  # what is not finite stands in the table
    with everything, listening(model._all_layers(), _PASSES, recorder.around):
        output = body.forward(x)
        if isinstance(body, Identity):  # of a model that is a joined activation alone
            recorder.know(output, "X")
        symbol = prediction = recorder.symbol(output)
        if activation is not None:
            prediction = recorder.symbol(activation.forward(output))
            notes.append(
                f"{activation!r} and {loss!r} are joined: J and d{symbol} come from {symbol} in "
                f"one step, and d{prediction} is not formed."
            )
        try:
            cost = np.array(head.forward(output, y))
        except NonFiniteError as error:
            notes.append(f"J is not finite, and so there is no backward: {error}.")
        else:
            names = _about_loss(loss, output, prediction)
            formula = _formula(loss, "L", names) or f"{_name(loss)}({prediction}, Y)"
            recorder.add(FORWARD, "J", formula, _name(loss), cost)
            dy = head.backward()
            names = _about_loss(head, output, symbol)
            formula = _formula(head, "dp", names) or f"{_name(head)}.backward()"
            if activation is not None:  # (sigmoid(Z2) - Y) / 400 is (A2 - Y) / 400
                formula = formula.replace(recorder.formulas[prediction], prediction)
            recorder.add(BACKWARD, f"d{symbol}", formula, _name(head), dy)
            body.backward_parameters(dy)

    title = f"{_name(model)} and {loss!r}: {counted(len(x), 'example')}"
    return Trace(title, recorder.rows(), notes)


class _Recorder:
    """Watches the layers of a model (a copy), and writes down what goes in and out."""

    def __init__(self, model: Layer) -> None:
        self.formulas: dict[str, str] = {}  # of every symbol
        self._rows: list[TracedValue] = []
        self._symbols: dict[int, str] = {}  # of an array, by its identity
        self._kept: list[AnyArray] = []  # so that no identity is used again
        self._running: set[int] = set()  # layers whose own call goes on
        self._numbered = 0  # Z1, Z2, ...
        self._activations: Counter[int] = Counter()
        self._parameters: set[int] = set()
        self._states = [_State(name, layer) for name, layer in model._all_layers()]
        self._state_of = {id(state.layer): state for state in self._states}
        for state in self._states:
            state.parents = [other for other in self._states if inside(state.path, other.path)]
            self._find_parameters(state)

    def rows(self) -> list[TracedValue]:
        """Return all rows, what is given first."""
        order = {GIVEN: 0, FORWARD: 1, BACKWARD: 2}
        return sorted(self._rows, key=lambda row: order[row.section])

    def add(self, section: str, symbol: str, formula: str, layer: str, value: AnyArray) -> None:
        """Write down a value, and know its array by the symbol from now on."""
        self.formulas[symbol] = formula
        whole = f"{symbol} = {formula}" if formula else symbol
        self._rows.append(TracedValue(symbol, whole, section, layer, np.array(value)))
        self.know(value, symbol)

    def symbol(self, array: AnyArray) -> str:
        """Return the symbol of an array that was written down."""
        return self._symbols[id(array)]

    def know(self, array: AnyArray, symbol: str) -> None:
        """Know an array by a symbol from now on."""
        self._symbols[id(array)] = symbol
        self._kept.append(array)

    def _find_parameters(self, state: "_State") -> None:
        """Look for the layer's own, also those that it makes in its first forward."""
        for name, found in state.layer._members():
            if isinstance(found, Parameter) and id(found) not in self._parameters:
                self._parameters.add(id(found))
                state.parameters[name] = found

    def around(self, _: str, layer: Layer, method: str, call: Callable[..., Any], *xs: Any) -> Any:
        """Write down a call of a layer's method (see `listening`)."""
        if id(layer) in self._running:  # its backward calls its backward_parameters
            return call(*xs)
        write = self._forward if method == "forward" else self._backward
        self._running.add(id(layer))
        try:
            return write(self._state_of[id(layer)], xs[0], call)
        finally:
            self._running.discard(id(layer))

    def _forward(self, state: "_State", x: AnyArray, original: Callable[..., Any]) -> Any:
        if id(x) not in self._symbols:
            self.add(FORWARD, f"X({state.path})", f"made by {state.around}", "", x)
        state.x = self._symbols[id(x)]
        y = original(x)
        self._find_parameters(state)
        if not isinstance(y, np.ndarray):
            return y
        state.passes_on = state.holds_layers and not state.parameters and id(y) in self._symbols
        if state.passes_on:  # a chain: what it returns is what its last layer did
            state.y = self._symbols[id(y)]
            return y
        state.y = self._next_symbol(state)
        for name, parameter in state.parameters.items():
            self.add(GIVEN, state.symbols[name], "", state.title, parameter.value)
        names = _Names(state.layer, self._known(state))
        formula = _formula(state.layer, "y", names) or f"{_name(state.layer)}({state.x})"
        self.add(FORWARD, state.y, formula, state.title, y)
        return y

    def _backward(self, state: "_State", dy: AnyArray, original: Callable[..., Any]) -> Any:
        if id(dy) not in self._symbols:
            symbol = self._unused(f"d{state.y}", state)
            self.add(BACKWARD, symbol, f"handed down by {state.around}", state.title, dy)
        state.dy = self._symbols[id(dy)]
        dx = original(dy)
        self._find_parameters(state)
        fallback = f"{_name(state.layer)}.backward({state.dy})"
        state.dx = ""
        names = _Names(state.layer, self._known(state))
        for name, parameter in state.parameters.items():
            formula = _formula(state.layer, name, names) or fallback
            symbol = f"d{state.symbols[name]}"
            self.add(BACKWARD, symbol, formula, state.title, parameter.grad)
        if not isinstance(dx, np.ndarray):
            return dx
        if state.holds_layers and id(dx) in self._symbols:
            state.dx = self._symbols[id(dx)]
            return dx
        formula = _formula(state.layer, "dx", names) or fallback
        # Where a branch begins, what comes back is a part of the gradient only.
        part = any(other.x == state.x and not other.passes_on for other in state.parents)
        symbol = f"d{state.x}"
        state.dx = f"{symbol}({state.path})" if part else self._unused(symbol, state)
        self.add(BACKWARD, state.dx, formula, state.title, dx)
        return dx

    def _next_symbol(self, state: "_State") -> str:
        """Return the symbol of what the layer makes, and name its parameters alike."""
        if state.parameters:
            self._numbered += 1
            state.name_parameters(self._numbered)
            return f"Z{self._numbered}"
        self._activations[self._numbered] += 1
        count = self._activations[self._numbered]
        letter = "" if count == 1 else chr(ord("a") + count - 1) if count <= 26 else f".{count}"
        return f"A{self._numbered}{letter}"

    def _unused(self, symbol: str, state: "_State") -> str:
        return f"{symbol}({state.path})" if symbol in self.formulas else symbol

    def _known(self, state: "_State") -> dict[str, str]:
        """Return what the formulas of a layer may name."""
        inner = [other for other in self._states if state in other.parents[-1:]]
        known = {"x": state.x, "y": state.y, "dy": state.dy, **state.symbols}
        known["inner"] = ", ".join(other.y for other in inner)
        known["inner_dx"] = " + ".join(other.dx for other in inner if other.dx)
        return known


class _State:
    """A layer, its place, and the symbols of what went through it."""

    def __init__(self, path: str, layer: Layer) -> None:
        self.path = path
        self.layer = layer
        self.title = f"{path} {_name(layer)}".strip()
        self.holds_layers = bool(layer.named_layers())
        self.parents: list[_State] = []  # the layers around it, the outermost first
        self.parameters: dict[str, Parameter] = {}
        self.symbols: dict[str, str] = {}  # of its parameters
        self.x = self.y = self.dx = self.dy = ""
        self.passes_on = False  # whether its output is that of a layer inside

    @property
    def around(self) -> str:
        """The layer around this one, in words."""
        return self.parents[-1].title if self.parents else "the objective"

    def name_parameters(self, number: int) -> None:
        """Name them W1 and b1; what is called otherwise keeps its name."""
        for name in self.parameters:
            word, _, rest = name.partition("_")
            rest = f"_{rest}" if rest else ""
            separator = "_" if word[-1:].isdigit() else ""
            self.symbols[name] = f"{LETTERS.get(word, word)}{separator}{number}{rest}"


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


def _about_loss(loss: Loss, prediction: AnyArray, symbol: str) -> _Names:
    """Return what the formulas of a loss may name."""
    rows = prediction.size // prediction.shape[-1]
    return _Names(loss, {"p": symbol, "t": "Y", "n": str(prediction.size), "m": str(rows)})


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


def _name(thing: object) -> str:
    return type(thing).__name__
