"""What each layer is in PyTorch: the table `twins.txt`, and what authors register.

A row of the table is

    Layer (images) if option=value: module; attribute = what -> forward

The module is the call that makes it, of our layer's arguments; ``bias=`` is short for
``bias=bias``. "(images)", of four axes, or "(rows)" is what it gives, if that is not what it
takes. The first row counts whose "if" holds; `inputs` and `images` there are how many values the
layer takes in its place, and of which kind. A forward is of a class that PyTorch lacks: the
module is its base, the attributes are what its constructor makes.
"""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from textwrap import dedent, indent
from typing import Any, NamedTuple

from minifw import layers
from minifw._tools.arguments import argument_names
from minifw._tools.checks import describe
from minifw.core.layer import Layer

ROW = re.compile(
    r"(?s)(\w+)(?: \((\w+)\))?(?: if ([^:]+))?: ([\w.]+)\(([^)]*)\)(?:; (.+?))?(?: ->\s(.+))?"
)
# Where PyTorch's module has an argument, if neither under its own name nor as the call says.
ELSEWHERE = {"padding": "pad.padding", "bias": "in_proj_bias"}


class Twin(NamedTuple):
    """What a layer is in PyTorch."""

    cls: type[Layer]
    options: dict[str, inspect.Parameter]  # our arguments that it is made of
    module: Any  # the name of a module, or of a base; or an author's class
    call: tuple[tuple[str, str], ...] = ()  # the argument there, or ""; ours, or a constant
    gives: bool | None = None  # whether images; None if it is what the layer takes
    given: Mapping[str, Any] = {}
    made: Mapping[str, str] = {}
    inputs: Sequence[str] = ()
    forward: str = ""

    @property
    def own(self) -> bool:
        """Whether an author registered it."""
        return isinstance(self.module, type)

    def text(self) -> str:
        """Return the class that PyTorch lacks, without its name."""
        named = {ours.strip("*") for _, ours in self.call} | set(ELSEWHERE if self.made else ())
        call = ", ".join(f"{key}={ours}" if key else ours for key, ours in self.call)
        init = [f"self.{name} = {name}" for name in self.options if name not in named]
        for name, made in self.made.items():
            buffer = f'self.register_buffer("{name}", {made})'
            init.append(buffer if name in self.cls.buffers else f"self.{name} = {made}")
        options = [str(one.replace(annotation=one.empty)) for one in self.options.values()]
        text = f"({self.module}):\n"
        if options or init:
            lines = "\n".join([f"super().__init__({call})", *init])
            text += (
                f"    def __init__({', '.join(['self', *options])}):\n{indent(lines, ' ' * 8)}\n\n"
            )
        inputs = ", ".join(["self", *self.inputs])
        return f"{text}    def forward({inputs}):\n{indent(self.forward, ' ' * 8)}\n"


def options_of(cls: Any, there: Any) -> dict[str, inspect.Parameter]:
    """Return the arguments of a layer's constructor that a module has, too."""
    own = [*inspect.signature(cls.__init__).parameters.values()][1:]
    return {one.name: one for one in own if one.name in there and one.name not in {"dtype", "rng"}}


def rows() -> Iterator[Twin]:
    """Read the table."""
    table = files(__package__).joinpath("twins.txt").read_text("utf-8")
    for row in re.split(r"\n(?=\w)", table.strip()):
        cls, gives, given, module, call, made, forward = re.fullmatch(ROW, row).groups("")  # type: ignore[union-attr]
        options = options_of(getattr(layers, cls), re.findall(r"\w+", f"{call} {made} {forward}"))
        pairs = [one.rpartition("=") for one in call.split(", ") if one]
        where = [one.split("=") for one in given.split(", ") if one]
        holds = {key: ast.literal_eval(value) for key, value in where}
        names = argument_names(getattr(layers, cls).forward)[: holds.get("inputs")]
        yield Twin(
            getattr(layers, cls),
            options,
            module,
            tuple((key, ours or key) for key, _, ours in pairs),
            {"images": True, "rows": False}.get(gives),
            holds,
            dict(one.split(" = ") for one in made.split("; ") if one),
            [f"*{x[:-1]}" if x[-1] == "*" else x.replace("?", "=None") for x in names],
            dedent(forward) if "return" in forward or not forward else f"return {forward}",
        )


TWINS: dict[type[Layer], list[Twin]] = {}
for _row in rows():
    TWINS.setdefault(_row.cls, []).append(_row)


def register(cls: type[Layer], module: type) -> None:
    """Say which ``torch.nn.Module`` a layer of your own is.

    Parameters
    ----------
    cls : subclass of Layer
        A subclass of it with the same ``forward`` is that module, too.
    module : subclass of torch.nn.Module
        With the same names of parameters and buffers. Of the arguments of your layer's
        constructor it gets the arguments that have the same names there; layers are modules there.
        For the way back it keeps them as attributes.

    Raises
    ------
    TypeError
        If they are no such classes.

    Examples
    --------
    >>> from minifw import Layer
    >>> from minifw.interop.torch import register
    >>> class Power(Layer):
    ...     '''y = x^n.'''
    ...     def __init__(self, n):
    ...         self.n = n
    ...     def forward(self, x):
    ...         self.save(x)
    ...         return x**self.n
    ...     def backward(self, dy):
    ...         (x,) = self.saved()
    ...         return dy * self.n * x ** (self.n - 1)
    >>> class TorchPower:  # in earnest it is a torch.nn.Module
    ...     def __init__(self, n):
    ...         self.n = n
    ...     def forward(self, x):
    ...         return x**self.n
    >>> register(Power, TorchPower)
    """
    if not (isinstance(cls, type) and issubclass(cls, Layer) and isinstance(module, type)):
        raise TypeError(
            "register expects a class of layers and its class of torch.nn.Module, got "
            f"{describe(cls)} and {describe(module)}"
        )
    there = inspect.signature(module).parameters
    TWINS[cls] = [Twin(cls, options_of(cls, there), module)]
