"""What a trace holds, and how it is shown."""

from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from minifw._tools.tables import Table
from minifw.typing import Shape

AnyArray: TypeAlias = "np.ndarray[Any, Any]"


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
