"""W8, W9 and W10: what has two contenders, such as a single layer and PyTorch's.

W8 are layers, losses, nets, optimizers, predictions and files against PyTorch eager; W9 is what
the advice of docs/howto/fast.md gains; W10 holds minifw against bare products and bare passes.

Each piece has two contenders, which start from the same weights and numbers. What they return,
and their gradients, must agree before the clock starts; `Dropout` is left out for that, since its
masks are random. A net is written once, with PyTorch's names, and built by both.
"""

import importlib
import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from peers.measure import Row, repeated, rows_of, take_turns

__all__ = ["MEMORY", "PIECES", "Piece", "Side", "compare_piece"]

TOLERANCE = 1e-2  # of an array's largest number, for a near tie of ReLU or of a maximum
# Where an array is 0 but for rounding: the bias before a BatchNorm, a sum of 262,144 numbers, of
# which PyTorch gave up to 1e-4, and minifw 2e-7.
ABSOLUTE = 2e-4
CHECKED = 3  # runs, so that what a step changes is compared too
PEAK_TURNS = 3
NAMES = {"PyTorch eager": "torch", "NumPy": "numpy", "ONNX Runtime": "onnx"}  # in the file
MEMORY = "memory"  # the family whose rows are bytes

Build = Callable[[Any], Any]
"""From a namespace with the names of `torch.nn` to a model."""


@dataclass(frozen=True)
class Piece:
    """What is measured: `kind` is a function of a module of `peers`, which gets the options."""

    name: str
    family: str
    title: str
    kind: str
    options: dict[str, Any]
    turns: int = 21
    module: str = "sides"
    clock: str | None = None  # if it must be this one

    def sides(self, *, dropout: bool) -> tuple["Side", "Side"]:
        """Return minifw's side and the other one."""
        make = getattr(importlib.import_module(f"peers.{self.module}"), self.kind)
        options = self.options | ({"dropout": dropout} if self.module == "sides" else {})
        found: tuple[Side, Side] = make(**options)
        return found


class Side(NamedTuple):
    """One contender: `run` is timed, `look` turns what it returned into arrays to compare."""

    label: str
    run: Callable[[], Any]
    look: Callable[[Any], list[Any]]
    exact: bool = True


def compare_piece(piece: Piece, turns: int, clock: str) -> list[Row]:
    """Check that both agree, measure them by turns, and return a row for each.

    Raises
    ------
    RuntimeError
        If an output or a gradient of one is another than the other's.
    """
    _check(piece)
    sides = _named(piece.sides(dropout=True))
    if piece.family != MEMORY:
        return rows_of(
            take_turns({name: repeated(side.run) for name, side in sides.items()}, turns, clock),
            sides,
        )
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        peaks = {
            name: [pool.apply(peak, (piece.name, at)) for _ in range(min(turns, PEAK_TURNS))]
            for at, name in enumerate(sides)
        }
    return rows_of(peaks, sides)


def _named(sides: tuple[Side, Side]) -> dict[str, Side]:
    return {"minifw": sides[0], NAMES.get(sides[1].label, "plain"): sides[1]}


def _check(piece: Piece) -> None:
    ours, theirs = piece.sides(dropout=False)
    for _ in range(CHECKED):
        found, expected = ours.look(ours.run()), theirs.look(theirs.run())
        for place, (a, b) in enumerate(zip(found, expected, strict=True)):
            bound = TOLERANCE * np.abs(b).max() + ABSOLUTE
            if np.shape(a) != np.shape(b) or not np.abs(a - b).max() <= bound:
                raise RuntimeError(f"{piece.name}: array {place} of minifw is another than theirs")


def peak(name: str, at: int) -> float:
    """Return the bytes that two steps of a side held beyond what was there before the first."""
    run = PIECES[name].sides(dropout=True)[at].run
    start = _resident("VmRSS")
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:  # noqa: PTH123 - no file
        file.write("5")  # forget the highest so far
    run()
    run()
    return _resident("VmHWM") - start


def _resident(word: str) -> float:
    with open("/proc/self/status", encoding="ascii") as file:  # noqa: PTH123 - no file
        return float(file.read().split(f"{word}:")[1].split()[0]) * 1024


def _mlp(*sizes: int, norm: str, activation: str = "ReLU") -> Build:
    """Return hidden layers with a norm and Dropout, and a last layer."""

    def build(nn: Any) -> Any:
        layers = []
        for n, k in pairwise(sizes[:-1]):
            layers += [nn.Linear(n, k), getattr(nn, norm)(k), getattr(nn, activation)()]
            layers += [nn.Dropout(0.2)]
        return nn.Sequential(*layers, nn.Linear(*sizes[-2:]))

    return build


def _images(*channels: int, side: int, pools: int, norm: bool = False) -> Build:
    """Return convolutions of 3 x 3, each with ReLU and the first ones with a pool, and a Dense."""

    def build(nn: Any) -> Any:
        layers = []
        for at, (n, k) in enumerate(pairwise(channels)):
            layers += [nn.Conv2d(n, k, 3, padding=1), *([nn.BatchNorm2d(k)] if norm else [])]
            layers += [nn.ReLU(), *([nn.MaxPool2d(2)] if at < pools else [])]
        flat = channels[-1] * (side >> pools) ** 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(flat, 10))

    return build


def _single(kind: str, *arguments: Any, **options: Any) -> Build:
    return lambda nn: getattr(nn, kind)(*arguments, **options)


CUBE = (64, 128, 256)
NET_OF_THREE = {
    "build": _images(3, 32, 64, 64, side=32, pools=3),
    "shape": (64, 3, 32, 32),
    "classes": 10,
    "optimizer": "Adam",
}
LSTM = _single("LSTM", 64, 128)
SEQUENCES = (32, 50, 64)
SMALL_NET: Build = lambda nn: nn.Sequential(  # noqa: E731 - as the others of the table
    nn.Linear(64, 128), nn.Tanh(), nn.Linear(128, 64), nn.Tanh(), nn.Linear(64, 1), nn.Sigmoid()
)


def _layers() -> list[Piece]:
    made = [
        ("gelu", "GELU", _single("GELU")),
        ("gelu-tanh", 'GELU("tanh")', _single("GELU", "tanh")),
        ("silu", "SiLU", _single("SiLU")),
        ("leaky", "LeakyReLU", _single("LeakyReLU")),
        ("elu", "ELU", _single("ELU")),
        ("softplus", "Softplus", _single("Softplus")),
        ("softmax", "Softmax", _single("Softmax", -1)),
        ("layernorm", "LayerNorm", _single("LayerNorm", 256)),
    ]
    pieces = [
        Piece(name, "layers", f"{title}, {CUBE}", "layer", {"build": build, "shape": CUBE})
        for name, title, build in made
    ]
    options = {"build": _single("BatchNorm1d", 64), "shape": (8192, 64)}
    return [*pieces, Piece("batchnorm", "layers", "BatchNorm, (8192, 64)", "layer", options)]


def _losses() -> list[Piece]:
    wide = {"build": _single("Linear", 256, 10_000), "shape": (64, 256), "classes": 10_000}
    return [
        Piece("entropy", "losses", "CrossEntropyLoss of (64, 10000) from Dense", "loss", wide),
        Piece(
            "entropy-step", "losses", "a step of Dense(256, 10000) with it, batch 64, SGD",
            "step", wide | {"optimizer": "SGD"},
        ),
    ]  # fmt: skip


def _nets() -> list[Piece]:
    small, wide = (30, 64, 64, 1), (100, 512, 512, 512, 10)
    title = "{} with BatchNorm and Dropout, batch {}, Adam"
    return [
        Piece(
            f"mlp-{sizes[1]}", "nets", title.format("-".join(map(str, sizes)), batch), "step",
            {"build": _mlp(*sizes, norm="BatchNorm1d"), "shape": (batch, sizes[0]),
             "classes": sizes[-1], "optimizer": "Adam"},
        )
        for sizes, batch in ((small, 32), (wide, 256))
    ]  # fmt: skip


def _convolutions() -> list[Piece]:
    made = [
        ("depthwise-16", "depthwise 3 x 3", (64, 64, 3), 64, 16, 64),
        ("depthwise-32", "depthwise 3 x 3", (32, 32, 3), 32, 32, 32),
        ("groups", "3 x 3 in 4 groups", (64, 64, 3), 4, 16, 64),
        ("5x5", "5 x 5", (16, 32, 5), 1, 32, 32),
        ("3x3", "3 x 3", (16, 32, 3), 1, 64, 32),
    ]
    pieces = [
        Piece(
            f"conv-{name}", "convolution",
            f"{title}, {sizes[0]} to {sizes[1]} channels of {side} x {side}, batch {batch}",
            "layer",
            {"build": _single("Conv2d", *sizes, padding=sizes[2] // 2, groups=groups),
             "shape": (batch, sizes[0], side, side)},
        )
        for name, title, sizes, groups, side, batch in made
    ]  # fmt: skip
    title = "a net of three, 3-32-64-64, on 32 x 32 with pools, batch 64, Adam"
    return [*pieces, Piece("conv-net", "convolution", title, "step", NET_OF_THREE)]


def _sequences() -> list[Piece]:
    lstm = {"build": LSTM, "shape": SEQUENCES}
    gpts = [
        Piece(
            f"gpt-{context}", "sequences",
            f"a small GPT, a step with AdamW, context {context}, batch {batch}", "gpt_step",
            {"batch": batch, "context": context}, turns=9,
        )
        for batch, context in ((16, 64), (32, 128))
    ]  # fmt: skip
    title = "a token of it, with keys and values kept: all 128, batch 1"
    return [
        Piece("lstm", "sequences", "LSTM 64-128, 50 steps, batch 32", "layer", lstm),
        Piece("lstm-forward", "sequences", "its forward", "layer", lstm | {"backward": False}),
        Piece(
            "gru", "sequences", "GRU 64-128, 50 steps, batch 32", "layer",
            lstm | {"build": _single("GRU", 64, 128)},
        ),
        *gpts,
        Piece("gpt-token", "sequences", title, "gpt_tokens", {"context": 128}, turns=9),
    ]  # fmt: skip


def _optimizers() -> list[Piece]:
    table = {
        "build": _single("Embedding", 50_000, 128),
        "shape": (64, 100),
        "indices": 50_000,
        "optimizer": "Adam",
    }
    big = {"size": 6_400_000}
    title = "Embedding(50000, 128), 64 x 100 indices, with its gradient and Adam"
    fused = "against PyTorch's fused update"
    return [
        Piece("adam", "optimizers", "Adam over 6.4 million", "update", big),
        Piece("adam-fused", "optimizers", f"the same {fused}", "update", big | {"fused": True}),
        Piece("embedding", "optimizers", title, "layer", table),
        Piece(
            "embedding-fused", "optimizers", f"the same {fused}", "layer", table | {"fused": True}
        ),
    ]


def _predictions() -> list[Piece]:
    row = {"build": SMALL_NET, "shape": (1, 64)}
    image = {"build": _images(1, 8, 16, side=28, pools=2), "shape": (1, 1, 28, 28)}
    sequence = {"build": LSTM, "shape": (1, *SEQUENCES[1:])}
    made = [
        ("row", "model.predict of one row, 64-128-64-1", row | {"predictor": False}),
        ("image", "Predictor of one image, 1-8-16 convolutional net, 28 x 28", image),
        ("sequence", "Predictor of one sequence, LSTM 64-128, 50 steps", sequence),
    ]
    return [
        Piece(f"predict-{name}", "predictions", title, "prediction", options)
        for name, title, options in made
    ]


def _files() -> list[Piece]:
    big = {"build": _single("Linear", 5000, 5000)}
    return [
        Piece("save", "files", "save of 100 MB, against numpy.savez", "saving", big, turns=9),
        Piece("load", "files", "load of it, against numpy.load", "loading", big, turns=9),
    ]


def _memory() -> list[Piece]:
    wide = (1024, 2048, 2048, 10)
    layernorm = {
        "build": _mlp(*wide, norm="LayerNorm", activation="GELU"),
        "shape": (4096, wide[0]),
        "classes": wide[-1],
        "batches": 1,
    }
    images = {
        "build": _images(3, 32, 64, 64, side=32, pools=3, norm=True),
        "shape": (256, 3, 32, 32),
        "classes": 10,
        "batches": 1,
    }
    return [
        Piece(
            "memory-conv", MEMORY,
            "a step of the net of three with BatchNorm, batch 256, SGD", "step", images,
        ),
        Piece(
            "memory-norm", MEMORY,
            "a step of 1024-2048-2048-10 with LayerNorm, GELU, Dropout, batch 4096, SGD", "step",
            layernorm,
        ),
    ]  # fmt: skip


SMALL, DIGITS, WIDE = (64, 128, 64, 1), (784, 256, 128, 10), (1024, 2048, 2048, 10)


def _advice() -> list[Piece]:
    made: list[tuple[str, str, str, dict[str, Any]]] = [
        ("float32", "float32: 784-256-128-10, batch 128", "dtypes",
         {"sizes": DIGITS, "batch": 128}),
        ("float32-small", "float32: 64-128-64-1, batch 32", "dtypes",
         {"sizes": SMALL, "batch": 32}),
        ("batch", "a batch of 256 for 8 of 32: 64-128-64-1", "batches",
         {"sizes": SMALL, "few": 32, "many": 256}),
        ("batch-digits", "a batch of 256 for 8 of 32: 784-256-128-10", "batches",
         {"sizes": DIGITS, "few": 32, "many": 256}),
        ("replay", "steps that are replayed: 64-128-64-1, batch 32", "replay",
         {"sizes": SMALL, "batch": 32}),
        ("shape", "batches of one length, not of six: 64-128-64-1, 32 rows", "shapes",
         {"sizes": SMALL, "batch": 32}),
        ("fit", "Trainer.fit, not a loop of x[rows]: 64-128-64-1, 1250 steps", "loops",
         {"sizes": SMALL, "batch": 32, "cut": False}),
        ("cut", "Trainer.fit, not batches cut before the clock starts: the same", "loops",
         {"sizes": SMALL, "batch": 32, "cut": True}),
        ("layout", "images with the examples last, a layer of 16 to 32, 32 x 32", "images",
         {"sizes": (16, 32, 3), "shape": (32, 16, 32, 32)}),
        ("predictor", "a Predictor for model.predict, one row of 64-128-1", "predictions",
         {"kind": "predict"}),
        ("cast", "rows of the model's dtype, not of float64, for a Predictor", "predictions",
         {"kind": "cast"}),
        ("rows", "100 rows in one call", "predictions", {"kind": "rows"}),
    ]  # fmt: skip
    threads = [
        Piece(
            f"threads-{name}", "advice", f"two threads of BLAS for one: {title}", "threads",
            {"sizes": sizes, "batch": batch, "steps": steps}, module="advice", clock="wall",
        )
        for name, title, sizes, batch, steps in (
            ("small", "10 steps of 64-128-64-1, batch 32", SMALL, 32, 10),
            ("wide", "1024-2048-2048-10, batch 128", WIDE, 128, 1),
        )
    ]  # fmt: skip
    return [
        *(Piece(name, "advice", title, kind, options, module="advice")
          for name, title, kind, options in made),
        *threads,
    ]  # fmt: skip


def _limits() -> list[Piece]:
    vector = (6_400_000,)
    made: list[tuple[str, str, str, dict[str, Any]]] = [
        ("conv", "Conv2D of 3 x 3, 16 to 32, (32, 16, 32, 32), by its three products", "products",
         {"sizes": (16, 32, 3), "shape": (32, 16, 32, 32)}),
        ("conv-5x5", "Conv2D of 5 x 5, the same, by its three products", "products",
         {"sizes": (16, 32, 5), "shape": (32, 16, 32, 32)}),
        ("lstm", "LSTM 64-128, 50 steps, batch 32, by its products", "lstm_products",
         {"sizes": (64, 128), "shape": (32, 50)}),
        ("gelu", f"GELU of {CUBE}, by np.exp of as many numbers", "one_pass",
         {"name": "GELU", "shape": CUBE, "ufunc": "exp"}),
        ("layernorm", f"LayerNorm of {CUBE}, by np.multiply", "one_pass",
         {"name": "LayerNorm", "shape": CUBE, "ufunc": "multiply", "arguments": (256,)}),
        ("softmax", f"Softmax of {CUBE}, by np.exp", "one_pass",
         {"name": "Softmax", "shape": CUBE, "ufunc": "exp"}),
        ("adam", "Adam over 6.4 million, by np.multiply", "one_pass",
         {"name": "Adam", "shape": vector, "ufunc": "multiply"}),
        ("onnx-1", "Predictor of one image of 32 x 32, 3-32-64, by ONNX Runtime", "runtime",
         {"channels": (3, 32, 64), "shape": (1, 3, 32, 32)}),
        ("onnx-64", "Predictor of 64 such images, by ONNX Runtime", "runtime",
         {"channels": (3, 32, 64), "shape": (64, 3, 32, 32)}),
    ]  # fmt: skip
    return [
        Piece(name, "limits", title, kind, options, module="advice")
        for name, title, kind, options in made
    ]


FAMILIES: dict[str, tuple[Callable[[], list[Piece]], ...]] = {
    "W8": (
        _layers,
        _losses,
        _nets,
        _convolutions,
        _sequences,
        _optimizers,
        _predictions,
        _files,
        _memory,
    ),
    "W9": (_advice,),
    "W10": (_limits,),
}
PIECES = {
    f"{workload}-{piece.name}": replace(piece, name=f"{workload}-{piece.name}")
    for workload, families in FAMILIES.items()
    for family in families
    for piece in family()
}
