"""What the containers share: checks of the layers handed to them, and the note on an error."""

from minifw.core.layer import Layer
from minifw.core.parameter import Parameter

__all__ = ["add_place", "check_dtypes", "check_layer", "check_layers"]


def add_place(error: Exception, place: str, layer: Layer, container: str) -> None:
    """Note on an error from inside `layer` where that stands: "in layer 1, Tanh(), of Concat"."""
    error.add_note(f"in {place}, {layer!r}, of {container}")


def check_layer(container: str, layer: Layer) -> None:
    """Raise unless `layer`, the one that `container` takes, is a layer."""
    if not isinstance(layer, Layer):
        hint = _hint(layer, f"{container}(Sequential(*layers))")
        raise TypeError(f"{container} expects a layer, got {layer!r}{hint}")


def check_layers(container: str, layers: tuple[Layer, ...]) -> None:
    """Raise unless `layers` are layers, at least one, and share no layer and no parameter."""
    if not layers:
        raise ValueError(f"{container} expects at least one layer, got none")
    seen: dict[int, str] = {}  # the name of every layer and parameter by its identity
    for index, layer in enumerate(layers):
        if not isinstance(layer, Layer):
            hint = _hint(layer, f"{container}(*layers)")
            raise TypeError(f"{container} expects layers, got {layer!r} at index {index}{hint}")
        for name, found in _named(str(index), layer):
            if id(found) in seen:
                why = "backward overwrites a gradient, so give each layer a parameter of its own"
                if isinstance(found, Layer):
                    why = "a layer saves one forward at a time, so make a second one"
                raise ValueError(
                    f"{container}: {seen[id(found)]} and {name} are the same {found!r}; {why}"
                )
            seen[id(found)] = name


def check_dtypes(container: str, layers: tuple[Layer, ...]) -> None:
    """Raise unless all layers that have parameters have them in one dtype."""
    found: tuple[int, Layer, Parameter] | None = None
    for index, layer in enumerate(layers):
        for parameter in layer.parameters()[:1]:
            if found and found[2].dtype != parameter.dtype:
                raise TypeError(
                    f"{container}: layer {found[0]}, {found[1]!r}, computes in {found[2].dtype}, "
                    f"but layer {index}, {layer!r}, in {parameter.dtype}; give both one dtype"
                )
            found = index, layer, parameter


def _named(name: str, layer: Layer) -> list[tuple[str, Layer | Parameter]]:
    """Return a layer and all that is inside it, with the names that a container gives them."""
    found: list[tuple[str, Layer | Parameter]] = [(name, layer)]
    found += [(f"{name}.{inner}", one) for inner, one in layer.named_layers()]
    found += [(f"{name}.{inner}", one) for inner, one in layer.named_parameters()]
    return found


def _hint(value: object, unpacked: str) -> str:
    if isinstance(value, type):
        return f"; write {value.__name__}(...)"
    if isinstance(value, list | tuple):
        return f"; write {unpacked}"
    return ""
