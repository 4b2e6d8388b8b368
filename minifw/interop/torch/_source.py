"""A network as PyTorch source, as a person would write it, and as its module."""

import ast
import inspect
import keyword
from collections.abc import Iterable
from textwrap import indent
from typing import Any

import numpy as np

from minifw import layers
from minifw._tools.checks import check_is
from minifw._tools.extras import needs
from minifw.core.layer import Layer
from minifw.interop.torch._twins import TWINS, Twin
from minifw.layers._windows import single
from minifw.typing import Array

IMPORTS = ("import torch", "from torch import nn", "from torch.nn import functional as F")
PAIRS = {"dilation", "factor", "kernel_size", "output_padding", "padding", "stride"}
SIGNS = {layers.Add: " + ", layers.Multiply: " * "}


class Source:
    """A model as PyTorch's source, and its arrays by their names there."""

    def __init__(self, owner: str, model: Layer) -> None:
        check_is(owner, "a layer", model, Layer)
        self.owner = owner
        self.classes: dict[str, Twin] = {}  # by name
        self.graphs: dict[str, tuple[Any, dict[str, str]]] = {}  # those, and their lines' modules
        self.arrays: dict[str, Array] = {}
        self.lines: list[str] = []  # what makes the model, out of the classes
        self._names: dict[int, str] = {}  # of each array, the first
        self._done: dict[int, tuple[str, str, Any]] = {}  # of each layer: place, text, images
        self._modes: dict[str, bool] = {}
        shape = model.input_shape
        text, _ = self._layer(model, "", None if shape is None else len(shape) == 3, 0)
        wide = any(array.dtype == np.float64 for array in self.arrays.values())
        self.lines.insert(0, f"model = {text}{'.double()' * wide}")
        self.lines += ["model.eval()"] * (not model.training)
        frozen = [self._names[id(p.value)] for _, p in model.named_parameters() if p.frozen]
        other = [path for path, mode in self._modes.items() if mode != model.training]
        for names, change in (
            (frozen, "get_parameter(name).requires_grad = False"),
            (other, f"get_submodule(name).training = {not model.training}"),
        ):
            self.lines += [f"for name in {names}:\n    model.{change}"] if names else []

    def text(self) -> str:
        """Return the whole source."""
        known = self.classes.items()
        parts = [f"\n\nclass {name}{one.text()}" for name, one in known if not one.own]
        body = "".join([*parts, "\n" * (1 + bool(parts)), *(f"{line}\n" for line in self.lines)])
        head = [line for line in IMPORTS if f"{line.rpartition(' ')[2]}." in body]
        for name, cls in [(name, one.module) for name, one in known if one.own]:
            head.append(f"from {cls.__module__} import {cls.__qualname__} as {name}")
        return "".join(f"{line}\n" for line in head) + body

    def _layer(self, layer: Layer, path: str, images: Any, inputs: int) -> tuple[str, Any]:
        """Return what makes a layer, and whether that gives images."""
        if id(layer) in self._done:
            first, text, images = self._done[id(layer)]
            self.lines.append(f"{place(path)} = {place(first)}")
            return text, images
        self._modes[path] = layer.training
        twin = self._twin(layer, path, inputs=inputs, images=images)
        write = self._graph if twin.cls is layers.Graph else self._call
        text, images = write(twin, layer, path, images)
        images = images if twin.gives is None else twin.gives
        self._done[id(layer)] = path, text, images
        return text, images

    def _twin(self, layer: Layer, path: str, **place: Any) -> Twin:
        kind = type(layer)
        for cls in kind.__mro__ if "forward" not in vars(layer) else ():
            same = all(getattr(kind, f) is getattr(cls, f, None) for f in ("forward", "__call__"))
            for twin in TWINS.get(cls, ()) if same else ():
                if all(place.get(k, getattr(layer, k, None)) == v for k, v in twin.given.items()):
                    return twin
        raise TypeError(
            f"{self.owner}: layer {path or 'at the top'}, {layer!r}, has no form in PyTorch yet; "
            f"minifw.interop.torch.register({kind.__name__}, Module) says of which torch.nn.Module"
        )

    def _call(self, twin: Twin, layer: Layer, path: str, images: Any) -> tuple[str, Any]:
        call, name, gives = twin.call, twin.module, images
        if twin.forward or twin.own:
            call = tuple(("" if o.default is o.empty else k, k) for k, o in twin.options.items())
            name = self._class(twin.cls.__name__, twin)
        parts, inner = [], set[int]()
        for key, ours in call:
            option = twin.options.get(ours.strip("*"))
            value = self._value(twin, layer, option) if option else ours
            if option and key and value == option.default and value != -1:  # theirs is not an axis
                continue
            many = option is not None and option.kind is option.VAR_POSITIONAL
            for number, one in enumerate(value if many else [value]):
                text = self._plain(layer, one) if option else ours
                if isinstance(one, Layer):
                    inner |= {id(array) for array in one._state().values()}
                    inside = join(path, str(number) if many else ours)
                    text, gives = self._layer(one, inside, images, 1)
                    images = gives if twin.cls is layers.Sequential else images
                parts.append(f"{key}={text}" if key else text)
        for ours, array in layer._state().items():
            if id(array) not in inner:
                self._array(join(path, ours), array)
        text = f"{name}({', '.join(parts)})"
        if len(text) > 72 or "\n" in text:
            lines = ",\n".join(parts)
            text = f"{name}(\n{indent(lines, '    ')},\n)"
        return text, gives

    def _class(self, name: str, thing: Any) -> str:
        """Return the name of a class, which no other one has."""
        known, count = name, 1
        while self.classes.setdefault(known, thing) != thing:
            count += 1
            known = f"{name}{count}"
        return known

    def _array(self, name: str, array: Array) -> None:
        self.arrays[name] = array
        first = self._names.setdefault(id(array), name)
        if first != name:
            self.lines.append(f"{place(name)} = {place(first)}")

    def _value(self, twin: Twin, layer: Any, option: inspect.Parameter) -> Any:
        """Return an argument of the constructor, as the layer has it now."""
        name, (args, named) = option.name, layer._arguments
        given = inspect.signature(type(layer)).bind(*args, **named).arguments
        value = getattr(layer, name, given.get(name, option.default))
        value = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
        if isinstance(option.default, bool):
            return value is not None and value is not False  # as of a bias
        if name == "stride" and option.default is None and value == layer.kernel_size:
            return None
        if "pad" in twin.made and name == "padding":
            value = layer._windows.padding[0]
        if not isinstance(value, tuple) or option.kind is option.VAR_POSITIONAL:
            return value
        alone = name in PAIRS or (len(value) == 1 and not twin.forward)
        return single(value) if alone else value

    def _plain(self, layer: Layer, value: Any) -> str:
        """Return the text of a plain value, or raise unless it is one, or a layer."""
        text = repr(value)
        try:
            ast.literal_eval(text if not isinstance(value, Layer) else "0")
        except (SyntaxError, ValueError) as error:
            raise TypeError(
                f"{self.owner}: {layer!r} was built with {text}, but modules are built with "
                "finite numbers, strings and tuples of them alone"
            ) from error
        return text

    def _graph(self, _: Twin, graph: Any, path: str, images: Any) -> tuple[str, Any]:
        values = dict[str | None, str]({None: "None"})  # the variable of each value
        kinds = dict.fromkeys(graph.input_names, images)
        modules, names = dict[str, str](), dict[int, str]()
        init, body = dict[str, str](), list[str]()
        for name in graph.input_names:
            values[name] = free(name, values.values())
        many = {id(line.layer) for line in graph._flow if len(line.takes) > 1}
        for line in graph._flow:
            layer, name = line.layer, line.makes[0].partition(".")[0]
            given, kind = [values[one] for one in line.takes], kinds.get(line.takes[0])
            made = self._joined(layer, join(path, name), given, kind)
            if not made:
                if id(layer) not in names:
                    names[id(layer)] = free(name, names.values())
                    where = join(path, names[id(layer)])
                    text, _ = self._layer(layer, where, kind, 1 + (id(layer) in many))
                    init[names[id(layer)]] = text
                modules[name], kind = names[id(layer)], self._done[id(layer)][2]
                made = f"self.{modules[name]}({', '.join(given)})"
            for value in line.makes:
                values[value] = free(value.replace(".", "_"), values.values())
                kinds[value] = kind
            body.append(f"{', '.join(values[one] for one in line.makes)} = {made}")
        body.append(f"return {', '.join(values[one] for one in graph._gives)}")
        inputs = [values[name] for name in graph.input_names]
        twin = Twin(
            layers.Graph, {}, "nn.Module", made=init, inputs=inputs, forward="\n".join(body)
        )
        name = self._class("Graph" if path else "Network", twin)
        self.graphs[name] = graph, modules
        return f"{name}()", kinds[graph._gives[0]]

    def _joined(self, layer: Any, path: str, given: list[str], images: Any) -> str:
        """Return the expression of a line that needs no module, or ""."""
        cls = self._twin(layer, path, inputs=len(given), images=images).cls
        if cls is layers.Join and given[1:] and (layer.axis, images) != (None, None):
            axis = (1 if images else -1) if layer.axis is None else layer.axis
            return f"torch.cat(({', '.join(given)}), dim={axis})"
        return SIGNS[cls].join(given) if cls in SIGNS and given[1:] else ""


def join(path: str, name: str) -> str:
    return f"{path}.{name}".strip(".")


def place(path: str) -> str:
    """Return the expression of a part of the model."""
    return "model" + "".join(f"[{one}]" if one.isdigit() else f".{one}" for one in path.split("."))


def free(name: str, taken: Iterable[str]) -> str:
    """Return a name that is neither taken nor a word of Python."""
    while name in {*taken, "F", "nn", "self", "torch", *keyword.kwlist}:
        name += "_"
    return name


def torch_source(model: Layer) -> str:
    """Return the source of a model in PyTorch: the class that a person would write.

    Parameters
    ----------
    model : Layer
        Any layer or container.

    Returns
    -------
    str
        Classes for what PyTorch has no module for, each `Graph` among them, and last the lines
        that make the model, with its dtype, mode, ties and frozen parameters. Run, it is
        what `to_torch` returns, except for the numbers.

    Raises
    ------
    TypeError
        If `model` is not a layer, or for a layer there is no module: the message says how to
        `register` one.

    Examples
    --------
    >>> from minifw import Add, Dense, Graph, Sequential, Tanh
    >>> from minifw.interop.torch import torch_source
    >>> print(torch_source(Sequential(Dense(2, 4), Tanh(), Dense(4, 1))))
    from torch import nn
    <BLANKLINE>
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    <BLANKLINE>
    >>> model = Graph("x", h=Dense(2, 2), a=Tanh(), y=(Add(), "a", "x"))
    >>> print(torch_source(model))
    from torch import nn
    <BLANKLINE>
    <BLANKLINE>
    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.h = nn.Linear(2, 2)
            self.a = nn.Tanh()
    <BLANKLINE>
        def forward(self, x):
            h = self.h(x)
            a = self.a(h)
            y = a + x
            return y
    <BLANKLINE>
    <BLANKLINE>
    model = Network().double()
    <BLANKLINE>
    """
    return Source("torch_source", model).text()


def package(owner: str) -> Any:
    """Return the module torch, or raise for `owner` if it is missing."""
    with needs(owner, "torch", "torch"):
        import torch  # noqa: PLC0415 - optional
    return torch


def to_torch(model: Layer) -> Any:
    """Return the ``torch.nn.Module`` of the same network, with the same numbers.

    Outputs and gradients are equal, in float64 to 1e-12. It is on the CPU, and shares no memory.

    Parameters
    ----------
    model : Layer
        Any layer or container. What `torch_source` prints is what is run.

    Returns
    -------
    torch.nn.Module
        With the names of the model's ``state_dict``, in its dtype and mode. What is tied or
        shared is so there, and what is frozen has ``requires_grad=False``.

    Raises
    ------
    TypeError
        If `model` is not a layer, or for a layer there is no module: the message says how to
        `register` one.
    ValueError
        If a registered module has other parameters or buffers than its layer; if a line of a
        `Graph` is called as something that every module has, such as ``type``.
    ImportError
        Without the extra ``minifw[torch]``.

    Notes
    -----
    A module of generated classes, as for a `Graph`, can be copied but not pickled:
    keep its ``state_dict``, and the text of `torch_source`. Frozen layers are in eval mode; in
    PyTorch ``train()`` puts them into train mode as well. Masks have to be of bool there. What
    `Dropout` drops is drawn by PyTorch.

    Examples
    --------
    >>> from minifw import Dense, Sequential, Tanh
    >>> from minifw.interop.torch import to_torch
    >>> model = Sequential(Dense(2, 4), Tanh(), Dense(4, 1))
    >>> to_torch(model).to("cuda")  # doctest: +SKIP
    Sequential(
      (0): Linear(in_features=2, out_features=4, bias=True)
      (1): Tanh()
      (2): Linear(in_features=4, out_features=1, bias=True)
    )
    """
    torch = package("to_torch")
    source = Source("to_torch", model)
    space: dict[str, Any] = {"torch": torch, "nn": torch.nn, "F": torch.nn.functional}
    for name, twin in source.classes.items():
        space[name] = twin.module
        if not twin.own:
            exec(f"class {name}{twin.text()}", space)  # noqa: S102 - what torch_source prints
            space[name].twin_of, space[name].graph_of = twin, source.graphs.get(name)
        taken = [one for one in twin.made if hasattr(torch.nn.Module(), one)]
        if taken:
            raise ValueError(
                f"to_torch: a Graph has the lines {taken}, which a Module has already"
            )
    with torch.random.fork_rng(devices=[]):  # what each module draws at its start is not kept
        exec("\n".join(source.lines), space)  # noqa: S102 - what torch_source prints
    new = {name: torch.tensor(array) for name, array in source.arrays.items()}
    module = space["model"]
    module.to(next((one.dtype for one in new.values()), None))  # whatever torch's default is
    missing, unexpected = module.load_state_dict(new, strict=False)
    needed = {name for name, _ in (*module.named_parameters(), *module.named_buffers())}
    faults = [one for one in missing if one in needed and "num_batches_tracked" not in one]
    if faults or unexpected:
        raise ValueError(
            "to_torch expects a registered module to have the parameters and buffers of its layer "
            f"by the same names; it has no {unexpected}, the layer no {faults}"
        )
    return module
