"""Attention weights, head by head."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minifw._tools.checks import describe
from minifw._tools.numbers import check_size
from minifw.core.layer import Layer
from minifw.plots._drawing import Axes, AxesLike, Figure, Path, axes_for, bar, finish

OWNER = "plots.attention"
CELL, SMALLEST, LARGEST = 0.2, 2.0, 4.6  # inches of a place, and of the side of a panel
SEEN = str.maketrans(
    " \n\t", "\N{OPEN BOX}\N{DOWNWARDS ARROW WITH CORNER LEFTWARDS}\N{RIGHTWARDS ARROW}"
)


def attention(
    layer: Any,
    example: int = 0,
    path: Path = None,
    *,
    heads: int | Sequence[int] | None = None,
    tokens: Any = None,
    ax: AxesLike = None,
) -> "Figure":
    """Draw who asked whom in the latest forward of a layer, one panel for each head.

    A row is a place that asks, and the shade of a cell how much of its answer comes from the
    place below or above the cell: each row sums up to 1.

    Parameters
    ----------
    layer : Layer
        One with a method ``attention_weights()``, such as `MultiHeadAttention`. It returns
        the weights of the latest forward, (batch, heads, places that ask, places asked).
    example : int, default 0
        Which one of the batch.
    path : str or path, optional
        The file to write.
    heads : int or sequence of int, optional
        Which ones. Default: all.
    tokens : str or sequence of str, optional
        A label for each place: the characters of a text, or words. If queries and keys differ, a
        tuple of two of these, the queries first.
    ax : Axes or sequence of Axes, optional
        Where to draw; one for each head.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    RuntimeError
        If the layer ran no forward.
    TypeError
        If `layer` has no such method, or example or heads are no whole numbers.
    ValueError
        If there is no such example or head, or not one token for each place.

    Notes
    -----
    The shade is the square root of the weight, so one sees the small weights of a long
    row. All panels, and all pictures, have one scale, from 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from minifw import MultiHeadAttention, plots
    >>> layer = MultiHeadAttention(4, 2, causal=True, rng=0)
    >>> y = layer.forward(np.ones((1, 5, 4)))
    >>> figure = plots.attention(layer, tokens="hello")  # doctest: +SKIP
    """
    weights = _weights(layer)
    p = weights[_index("example", example, len(weights))]  # (heads, time, steps)
    every = range(len(p)) if heads is None else heads if isinstance(heads, Sequence) else [heads]
    chosen = [_index("heads", head, len(p)) for head in every]
    if not chosen:
        raise ValueError(f"{OWNER} expects at least one head, got none")
    labels = _labels(tokens, p.shape[1:])
    count = len(chosen)
    across = count if count < 4 else math.ceil(count**0.5)
    down = math.ceil(count / across)
    wide, high = (min(max(CELL * places, SMALLEST), LARGEST) for places in p.shape[:0:-1])
    size = across * (wide + 0.7) + 1.2, down * (high + 0.8)
    grid = (down, across) if ax is None else (1, count)
    figure, panels = axes_for("attention", ax, size, grid)
    from matplotlib.colors import PowerNorm  # noqa: PLC0415 - optional

    while len(panels) > count:
        panels.pop().remove()
    for place, (head, panel) in enumerate(zip(chosen, panels, strict=True)):
        image = panel.imshow(p[head], cmap="Blues", norm=PowerNorm(0.5, 0, 1))
        _name_places(panel, labels, (wide, high))
        panel.set(title=f"head {head}", ylabel="" if place % across else "asks")
        panel.set(xlabel="is asked" if place + across >= count else "")
    style: dict[str, Any] = {"ticks": [0, 0.1, 0.5, 1], "format": "{x:g}", "shrink": 0.75}
    bar(figure, image, panels, "weight", aspect=25, **style)
    return finish(figure, path)


def _name_places(panel: "Axes", labels: list[list[str]], sides: tuple[float, float]) -> None:
    """Write a token at each place, in letters for which there is room."""
    from matplotlib.ticker import MaxNLocator  # noqa: PLC0415 - optional

    for axis, words, side in zip((panel.yaxis, panel.xaxis), labels, sides[::-1], strict=True):
        axis.set_major_locator(MaxNLocator(6, integer=True))
        if words:
            size = min(10.0, 64 * side / len(words))
            turned = 90 if axis is panel.xaxis and max(map(len, words)) > 1 else 0
            axis.set_ticks(range(len(words)), words, size=size, rotation=turned, parse_math=False)
            axis.set_tick_params(length=0)


def _weights(layer: Any) -> Any:
    """Return the attention weights, (batch, heads, time, steps)."""
    if isinstance(layer, type) or not hasattr(layer, "attention_weights"):
        inner = layer.named_layers() if isinstance(layer, Layer) else []
        names = [name for name, one in inner if hasattr(one, "attention_weights")]
        hint = f"; in it there is {', '.join(names)}" if names else ""
        raise TypeError(
            f"{OWNER} expects layer to have a method attention_weights, got {describe(layer)}"
            f"{hint}"
        )
    try:
        weights = np.asarray(layer.attention_weights())
    except RuntimeError as error:
        raise RuntimeError(f"{OWNER} needs a forward of {layer!r} before it") from error
    if weights.ndim != 4:
        raise ValueError(
            f"{OWNER} expects attention_weights() to be (batch, heads, time, steps), got "
            f"{describe(weights)}"
        )
    return weights


def _index(name: str, value: Any, count: int) -> int:
    place = check_size(OWNER, name, value, least=0)
    if place >= count:
        raise ValueError(f"{OWNER} expects {name} to be at most {count - 1}, got {value}")
    return place


def _labels(tokens: Any, places: tuple[int, ...]) -> list[list[str]]:
    """Return the tokens of those who ask, and of those who are asked."""
    if tokens is None:
        return [[], []]
    pair = tokens if isinstance(tokens, tuple) and len(tokens) == 2 else (tokens, tokens)
    if not all(isinstance(one, Iterable) for one in pair):
        raise TypeError(f"{OWNER} expects tokens to be a text or words, got {describe(tokens)}")
    labels = [[str(token).translate(SEEN) for token in one] for one in pair]
    found = tuple(map(len, labels))
    if found != places:
        hint = "" if pair is tokens or places[0] == places[1] else "; pass a tuple of two"
        raise ValueError(
            f"{OWNER} expects a token for each of {places[0]} places that ask and {places[1]} "
            f"that are asked, got {found[0]} and {found[1]}{hint}"
        )
    return labels
