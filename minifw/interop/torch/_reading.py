"""`from_torch`: the network of a module, with its weights."""

import inspect
from contextlib import suppress
from copy import deepcopy
from functools import reduce
from operator import attrgetter
from typing import Any

from minifw import layers
from minifw._tools.checks import check_is
from minifw.core.layer import Layer
from minifw.core.parameter import Parameter
from minifw.interop.torch._source import PAIRS, package, to_torch
from minifw.interop.torch._twins import ELSEWHERE, TWINS
from minifw.layers._windows import single

ACTIVATIONS = {"relu": layers.ReLU, "gelu": layers.GELU}  # of a TransformerEncoderLayer
NONE = "has no counterpart"
WAYS = {  # what to set an option to
    "batch_first": "set it to True, and give (batch, time, features)",
    "dropout": "set it to 0.0, which predicts the same",
    "padding_mode": "put an nn.ReflectionPad2d, or another pad, before it",
}


def from_torch(module: Any) -> Layer:
    """Return the network of a ``torch.nn.Module``, with its numbers: the way back of `to_torch`.

    Parameters
    ----------
    module : torch.nn.Module
        Modules that are layers here, in ``nn.Sequential``, and whatever `to_torch` returned. An
        ``nn.LSTM`` or ``nn.GRU`` returns y and its states; of several layers or directions it is
        a `Graph` of one for each. ``nn.MultiheadAttention`` asks x itself; an
        ``nn.TransformerEncoderLayer`` is a `Sequential` of its parts.

    Returns
    -------
    Layer
        With its dtype and modes. What is tied or shared is so here, and what has
        ``requires_grad=False`` is frozen.

    Raises
    ------
    TypeError, ValueError
        If `module` is none; if it, a module inside, or an option has no counterpart: it is named.
        If its numbers are of another dtype than float64 or float32, or of both.
    ImportError
        Without the extra ``minifw[torch]``.

    Notes
    -----
    The ``forward`` of a class of your own is not read. Give the modules in it to `from_torch` and
    join them in a `Sequential` or a `Graph`, or go by ``torch.onnx.export`` and `import_`; what
    is a layer of your own here, `register` says. ``nn.Softplus`` gives x from its threshold on,
    which is 2e-9 off at 20; the layer does not. ``nn.AdaptiveAvgPool2d(1)`` needs an
    ``nn.Flatten`` behind it, and ``nn.Unflatten(1, shape)`` rows of numbers before it.

    Examples
    --------
    >>> from minifw.interop.torch import from_torch
    >>> from torch import nn  # doctest: +SKIP
    >>> from_torch(nn.Sequential(nn.Linear(2, 4), nn.Tanh()).double())  # doctest: +SKIP
    Sequential(Dense(2, 4), Tanh())
    """
    torch = package("from_torch")
    check_is("from_torch", "a torch.nn.Module", module, torch.nn.Module)
    reader = Reader(torch, module)
    model = reader.layer(module, "the module")
    for inner, layer in reversed(reader.made):  # the outer ones first
        layer.train(inner.training)
    return model


class Reader:
    """Makes the layers of modules."""

    def __init__(self, torch: Any, module: Any) -> None:
        self.nn = nn = torch.nn
        self.made: list[tuple[Any, Layer]] = []
        self._done: dict[Any, Layer] = {}  # what has numbers, and may stand at several places
        self._parameters: dict[Any, Parameter] = {}
        tensors = (*module.parameters(), *module.buffers())
        dtypes = sorted({str(one.dtype)[6:] for one in tensors if one.is_floating_point()})
        if dtypes not in ([], ["float32"], ["float64"]):
            raise TypeError(
                f"from_torch expects a module of float64 or of float32 numbers, got "
                f"{' and '.join(dtypes)}; use module.float()"
            )
        self._dtype: Any = {"dtype": "float32"} if dtypes == ["float32"] else {}
        self._special: dict[Any, Any] = {nn.LSTM: self._recurrent, nn.GRU: self._recurrent}
        self._special[nn.TransformerEncoderLayer] = self._encoder
        self._special |= {nn.InstanceNorm2d: self._instance_norm, nn.Unflatten: self._unflatten}
        self._twins = {nn.MultiheadAttention: TWINS[layers.MultiHeadAttention][0]}
        for twin in [twin for twins in TWINS.values() for twin in twins if not twin.forward]:
            own = isinstance(twin.module, type)
            self._twins[twin.module if own else attrgetter(twin.module[3:])(nn)] = twin
        for kind in (nn.ReLU6, nn.ZeroPad2d):  # with their options given
            self._twins.setdefault(kind, self._twins[kind.__base__])

    def layer(self, module: Any, place: str) -> Layer:
        """Return the layer that a module is."""
        if module in self._done:
            return self._done[module]
        kind = type(module)
        read = self._twin if self._twin_of(kind) else self._special.get(kind)
        if not read:
            raise refusal(place, module, NONE)
        if module._forward_hooks or module._forward_pre_hooks:
            raise refusal(place, module, "has hooks", "remove them")
        layer = read(module, place)
        self.made.append((module, layer))
        if layer._state():
            self._done[module] = layer
        return layer

    def _graph(self, module: Any, place: str) -> Layer:
        (graph, modules), lines = type(module).graph_of, dict[str, Any]()
        for line in graph._flow:
            name = line.makes[0].partition(".")[0]
            path = modules.get(name)
            inner = self.layer(getattr(module, path), f"{place}.{path}") if path else line.layer
            lines[name] = (inner if path else deepcopy(inner), *line.takes)
        return layers.Graph(*graph.input_names, **lines, outputs=graph._gives)

    def _twin_of(self, kind: type) -> Any:
        return self._twins.get(kind) or vars(kind).get("twin_of")

    def _twin(self, module: Any, place: str) -> Layer:
        twin = self._twin_of(type(module))
        if twin.cls is layers.Graph:
            return self._graph(module, place)
        own = inspect.signature(twin.cls).parameters
        args, named = list[Any](), {key: one for key, one in twin.given.items() if key in own}
        there = {ours: key for key, ours in twin.call if key}
        if twin.own:
            self._check_kept(module, place, twin, own)
        for name, option in twin.options.items():
            if option.kind is option.VAR_POSITIONAL:
                args += getattr(module, name, module)
                continue
            value = self._value(
                module, place, option, (ELSEWHERE.get(name), there.get(name), name)
            )
            if option.default is option.empty:
                args.append(value)
            elif value != option.default:
                named[name] = value
        modules = isinstance(module, self.nn.Sequential)
        args = self._chain(args, place) if modules else args
        try:
            layer: Layer = twin.cls(*args, **named, **(self._dtype if "dtype" in own else {}))
        except (TypeError, ValueError) as error:
            raise type(error)(f"from_torch: {place} ({type(module).__name__}): {error}") from error
        if type(module) in self._twins and not (twin.own or modules):
            self._compare(module, to_torch(layer), place)
        inner = [one for one in (*args, *named.values()) if isinstance(one, Layer)]
        self._take_all(module, layer, inner, place)
        return layer

    def _check_kept(self, module: Any, place: str, twin: Any, own: Any) -> None:
        """Raise if a module of an author does not say what its layer was built with."""
        for name, option in own.items():
            needed = name in twin.options or option.default is option.empty
            if needed and not (name in twin.options and hasattr(module, name)):
                raise TypeError(
                    f"from_torch: {place} ({type(module).__name__}) does not say which {name} "
                    f"{twin.cls.__name__} has; let its constructor take it, and keep it: "
                    f"self.{name} = {name}"
                )

    def _chain(self, modules: list[Any], place: str) -> list[Layer]:
        """Return the layers of modules one behind the other."""
        made = []
        for i, module in enumerate(modules):
            kind, behind = type(module), type((*modules, None)[i + 1])
            pools = kind is self.nn.AdaptiveAvgPool2d and single(module.output_size) == 1
            flat = pools and behind is self.nn.Flatten  # which then has nothing to do
            made.append(layers.GlobalAvgPool2D() if flat else self.layer(module, f"{place}[{i}]"))
        return made

    def _take_all(self, module: Any, layer: Any, inner: list[Layer], place: str) -> None:
        """Copy the numbers of a layer, but of those inside, which have them."""
        known = {id(array) for one in inner for array in one._state().values()}
        for name, parameter in layer.named_parameters():
            if id(parameter.value) not in known:
                self._take(module, name, layer, name, place)
        for name, buffer in layer.named_buffers():
            if id(buffer) not in known:
                buffer[...] = module.get_buffer(name).cpu().numpy()

    def _value(self, module: Any, place: str, option: inspect.Parameter, keys: Any) -> Any:
        """Return an argument of our constructor, read off the first of these attributes."""
        value, name = option.default, option.name
        for key in filter(None, reversed(keys)):
            with suppress(AttributeError):
                value = attrgetter(key)(module)
        if isinstance(option.default, bool):
            return value is not None and value is not False  # as of a bias
        if isinstance(value, self.nn.Module):
            return self.layer(value, f"{place}.{name}")
        if name == "factor" and value is not None:  # floats there
            return tuple(map(int, value)) if isinstance(value, tuple) else int(value)
        one = name in PAIRS or (isinstance(value, tuple) and len(value) == 1)
        return single(value) if one else value

    def _compare(self, module: Any, twin: Any, place: str) -> None:
        """Raise if a module has an option that its layer has not."""
        for key, value in vars(module).items():
            free = key[0] == "_" or key in {"training", "inplace"}
            near = key == "threshold" and value >= 20  # from there on softplus is x, to 2e-9
            if not free and not near and single(value) != single(getattr(twin, key, None)):
                raise lacks(place, module, key)

    def _take(self, module: Any, theirs: str, layer: Any, name: str, place: str) -> None:
        """Copy a parameter, or tie it to the layer that has it already."""
        try:
            parameter = module.get_parameter(theirs)
            numbers = parameter.detach().cpu().numpy()
        except (AttributeError, NotImplementedError) as error:  # none, or on no device
            raise refusal(place, module, f"has no plain parameter {theirs}") from error
        *path, last = name.split(".")
        owner = reduce(getattr, path, layer)
        if parameter in self._parameters:
            setattr(owner, last, self._parameters[parameter])
        else:
            copy = self._parameters[parameter] = getattr(owner, last)
            copy.value, copy.frozen = numbers, not parameter.requires_grad

    def _recurrent(self, module: Any, place: str) -> Layer:
        """Return one layer, or a Graph of one for each of PyTorch's layers and directions."""
        for key, wanted in (("batch_first", True), ("bias", True), ("proj_size", 0)):
            if getattr(module, key) != wanted:
                raise lacks(place, module, key)
        kind = layers.LSTM if module.mode == "LSTM" else layers.GRU
        lines, below, width = dict[str, Any](), "x", module.input_size
        for k in range(module.num_layers):
            made = []
            for end in ("", "_reverse")[: 1 + module.bidirectional]:
                made.append(kind(width, module.hidden_size, return_state=True, **self._dtype))
                for name, _ in made[-1].named_parameters():
                    self._take(module, f"{name[:-1]}{k}{end}", made[-1], name, place)
            if k and module.dropout:
                lines[f"d{k}"], below = (layers.Dropout(module.dropout), below), f"d{k}"
            lines[f"l{k}"], below = (both_ways(*made), below), f"l{k}.y"
            width = module.hidden_size * len(made)
        first = lines["l0"][0]
        states = [
            f"l{k}.{one}" for k in range(module.num_layers) for one in first.output_names[1:]
        ]
        states.sort(key=lambda name: name[-1] == "c")  # h before c, as there
        return layers.Graph("x", **lines, outputs=(below, *states)) if len(lines) > 1 else first

    def _instance_norm(self, module: Any, place: str) -> Layer:
        """Return a norm of as many groups as channels."""
        if module.track_running_stats:
            raise lacks(place, module, "track_running_stats")
        number, options = module.num_features, {"eps": module.eps, "affine": module.affine}
        layer = layers.GroupNorm(number, number, **options, **self._dtype)
        self._take_all(module, layer, [], place)
        return layer

    def _unflatten(self, module: Any, place: str) -> Layer:
        shape = tuple(module.unflattened_size)
        if module.dim != 1 or not all(isinstance(size, int) and size > 0 for size in shape):
            raise lacks(place, module, "dim" if module.dim != 1 else "unflattened_size")
        return layers.Reshape(shape)

    def _encoder(self, module: Any, place: str) -> Layer:
        """Return attention and two layers at every place, each around a norm and x itself."""
        one = {name: self.layer(part, f"{place}.{name}") for name, part in module.named_children()}
        name = getattr(module.activation, "__name__", "activation")
        if name not in {*ACTIVATIONS, *one}:
            raise refusal(place, module, f"has the activation {name}")
        between = one.get(name) or ACTIVATIONS[name]()
        asks = [one["self_attn"], one["dropout1"]]
        thinks = [one["linear1"], between, one["dropout"], one["linear2"], one["dropout2"]]
        parts = list[Layer]()
        for norm, inner in ((one["norm1"], asks), (one["norm2"], thinks)):
            before, after = ([norm], []) if module.norm_first else ([], [norm])
            parts += [layers.Residual(layers.Sequential(*before, *inner)), *after]
        return layers.Sequential(*parts)


def both_ways(ahead: Any, behind: Any = None) -> Any:
    """Return a layer that reads from the start and, if given, beside it one from the end."""
    if behind is None:
        return ahead
    _, *states = ahead.output_names
    return layers.Graph(
        "x",
        ahead=(ahead, "x"),
        x_turned=(layers.Flip(), "x"),
        behind=(behind, "x_turned"),
        y_behind=(layers.Flip(), "behind.y"),
        y=(layers.Join(), "ahead.y", "y_behind"),
        outputs=("y", *(f"{way}.{one}" for one in states for way in ("ahead", "behind"))),
    )


def refusal(place: str, module: Any, why: str, way: str = "") -> TypeError:
    name, onnx = type(module).__name__, "torch.onnx.export and minifw.interop.onnx.import_"
    if why == NONE and next(module.children(), None) is not None:
        why += ", and its forward is not read"
        way = way or (
            "give the modules in it to from_torch and join them in a Sequential or a Graph, or "
            f"go by {onnx}"
        )
    return TypeError(
        f"from_torch: {place} ({name}) {why}; "
        + (way or f"write a layer and register(Layer, {name}), or go by {onnx}, which reads more")
    )


def lacks(place: str, module: Any, key: str) -> TypeError:
    why = f"has {key}={getattr(module, key)!r}, which its layer has not"
    return refusal(place, module, why, WAYS.get(key, ""))
