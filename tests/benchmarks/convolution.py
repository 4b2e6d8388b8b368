"""Conv2D's forward and backward against its own matrix products, and against other layouts.

    OPENBLAS_NUM_THREADS=1 .venv/bin/python tests/benchmarks/convolution.py

All take turns in one run; what counts are the ratios of the times of a turn, and
their median. The matrix products are three of whole matrices: W X, dY X' and
W' dY with X of (C k k, N OH OW), which is there before the clock starts.

With one thread of BLAS, processor time is what counts, which other work on the
machine does not stretch; with several, which wait for each other, time on the clock.
"""

import os
import platform
import statistics
from collections.abc import Callable
from functools import partial

import numpy as np
from peers.measure import quartiles, ratios, repeated, take_turns

from minifw import Array, Conv2D, __version__
from minifw.layers._windows import Windows, batch_last, taps
from minifw.layers.convolution import BLOCK

TURNS = 25  # enough that the median of the ratio is stable to a few per cent
BATCH, CHANNELS, SIZE, FILTERS, KERNEL = 32, 16, 32, 32, 3
SMALL = (2, 3, 12, 4)  # batch, channels, size, filters: the loops take a second or so for it

WINDOWS = Windows((KERNEL, KERNEL), (1, 1), ((1, 1), (1, 1)))

Layout = Callable[[Array, Array, Array, Array], tuple[Array, ...]]
"""From x, weight, bias and dy to y, dx, dweight and dbias."""


def padded(x: Array) -> Array:
    """Return x with a margin of zeros, in the order of x, as the other layouts have it."""
    return np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))


def scattered(dimage: Array, parts: Array) -> Array:
    """Add up the copies of each pixel, in the layout (batch, channels, kh, kw, rows, columns)."""
    for tap, part in zip(taps(WINDOWS.view(dimage)), taps(parts), strict=True):
        np.add(tap, part, out=tap)
    return WINDOWS.cropped(dimage)


def pixels_by_weights(x: Array, w: Array, b: Array, dy: Array) -> tuple[Array, ...]:
    """X as (N OH OW, C k k), a pixel a row."""
    image = padded(x)
    windows = WINDOWS.view(image)
    n, c, k, _, h, width = windows.shape
    rows = windows.transpose(0, 4, 5, 1, 2, 3).reshape(n * h * width, -1)
    flat = w.reshape(len(w), -1)
    y = (rows @ flat.T + b).reshape(n, h, width, -1).transpose(0, 3, 1, 2)
    d = dy.transpose(0, 2, 3, 1).reshape(-1, len(w))
    parts = (d @ flat).reshape(n, h, width, c, k, k).transpose(0, 3, 4, 5, 1, 2)
    return y, scattered(np.zeros_like(image), parts), (d.T @ rows).reshape(w.shape), d.sum(axis=0)


def weights_by_pixels(x: Array, w: Array, b: Array, dy: Array) -> tuple[Array, ...]:
    """X as (C k k, N OH OW), a pixel a column."""
    image = padded(x)
    windows = WINDOWS.view(image)
    n, c, k, _, h, width = windows.shape
    columns = windows.transpose(1, 2, 3, 0, 4, 5).reshape(c * k * k, -1)
    flat = w.reshape(len(w), -1)
    y = (flat @ columns + b[:, None]).reshape(-1, n, h, width).swapaxes(0, 1)
    d = dy.swapaxes(0, 1).reshape(len(w), -1)
    parts = (flat.T @ d).reshape(c, k, k, n, h, width).transpose(3, 0, 1, 2, 4, 5)
    dw = (d @ columns.T).reshape(w.shape)
    return y, scattered(np.zeros_like(image), parts), dw, d.sum(axis=1)


def example_by_example(x: Array, w: Array, b: Array, dy: Array) -> tuple[Array, ...]:
    """X as (N, C k k, OH OW): a product for each example, in one call."""
    image = padded(x)
    windows = WINDOWS.view(image)
    n, c, k, _, h, width = windows.shape
    columns = windows.reshape(n, c * k * k, -1)
    flat = w.reshape(len(w), -1)
    y = (flat @ columns + b[:, None]).reshape(n, -1, h, width)
    d = dy.reshape(n, len(w), -1)
    dw = (d @ columns.swapaxes(1, 2)).sum(axis=0).reshape(w.shape)
    parts = (flat.T @ d).reshape(windows.shape)
    return y, scattered(np.zeros_like(image), parts), dw, d.sum(axis=(0, 2))


def shifted_images(x: Array, w: Array, b: Array, dy: Array) -> tuple[Array, ...]:
    """No X: k k products of shifted images, channels last, added up."""
    image = np.ascontiguousarray(padded(x).transpose(0, 2, 3, 1))
    n, c, h, width = x.shape
    y = np.empty((n, h, width, len(w)), x.dtype)
    y[...] = b
    d = dy.transpose(0, 2, 3, 1).reshape(-1, len(w))
    dimage, dw = np.zeros_like(image), np.empty_like(w)
    for i, j in np.ndindex(KERNEL, KERNEL):
        place = (slice(None), slice(i, i + h), slice(j, j + width))
        shifted = image[place].reshape(-1, c)
        y += (shifted @ w[:, :, i, j].T).reshape(y.shape)
        dw[:, :, i, j] = d.T @ shifted
        dimage[place] += (d @ w[:, :, i, j]).reshape(n, h, width, c)
    dx = WINDOWS.cropped(dimage.transpose(0, 3, 1, 2))
    return y.transpose(0, 3, 1, 2), dx, dw, d.sum(axis=0)


def loops(x: Array, w: Array, b: Array, dy: Array) -> tuple[Array, ...]:
    """Every number by itself: what the formula says, in Python."""
    image = padded(x)
    y = np.empty_like(dy)
    dimage, dw, db = np.zeros_like(image), np.zeros_like(w), np.zeros_like(b)
    for n, o, r, c in np.ndindex(dy.shape):
        total, slope = b[o], dy[n, o, r, c]
        db[o] += slope
        for i, u, v in np.ndindex(w.shape[1:]):
            total += w[o, i, u, v] * image[n, i, r + u, c + v]
            dw[o, i, u, v] += slope * image[n, i, r + u, c + v]
            dimage[n, i, r + u, c + v] += slope * w[o, i, u, v]
        y[n, o, r, c] = total
    return y, WINDOWS.cropped(dimage), dw, db


class Contenders:
    """Everything that takes turns, on the same numbers."""

    def __init__(self, batch: int, channels: int, size: int, filters: int, dtype: type) -> None:
        rng = np.random.default_rng(0)
        shapes = [
            (batch, channels, size, size),
            (filters, channels, KERNEL, KERNEL),
            (filters,),
            (batch, filters, size, size),
        ]
        self.arrays: list[Array] = [
            np.asarray(rng.standard_normal(shape), dtype) for shape in shapes
        ]
        self.layer = Conv2D(channels, filters, KERNEL, padding=1, dtype=dtype)
        x, w, b, dy = self.arrays
        for parameter, value in zip(self.layer.parameters(), (w, b), strict=True):
            parameter.value = value
        self.x, self.dy = x, dy
        self.x_last, self.dy_last = batch_last(x), batch_last(dy)
        windows = WINDOWS.view(padded(x))
        self.flat = w.reshape(filters, -1)
        self.columns = windows.transpose(1, 2, 3, 0, 4, 5).reshape(self.flat.shape[1], -1)
        self.cotangent = dy.swapaxes(0, 1).reshape(filters, -1)

    def conv2d(self) -> tuple[Array, ...]:
        y, dx = self.layer.forward(self.x), self.layer.backward(self.dy)
        return y, dx, *(parameter.grad for parameter in self.layer.parameters())

    def in_its_order(self) -> None:
        self.layer.forward(self.x_last)
        self.layer.backward(self.dy_last)

    def products(self) -> None:
        for a, b in (
            (self.flat, self.columns),
            (self.cotangent, self.columns.T),
            (self.flat.T, self.cotangent),
        ):
            np.matmul(a, b)

    def forward(self) -> None:
        self.layer.forward(self.x)

    def backward_parameters(self) -> None:
        self.layer.backward_parameters(self.dy)

    def step(self, other: Layout) -> tuple[Array, ...]:
        return other(*self.arrays)


CLOCK = "process" if os.environ.get("OPENBLAS_NUM_THREADS") == "1" else "wall"


def compare(jobs: dict[str, Callable[[], object]], unit: str, turns: int = TURNS) -> None:
    """Let them take turns; print medians, and the ratios to `unit` turn by turn."""
    times = take_turns({name: repeated(job) for name, job in jobs.items()}, turns, CLOCK)
    for name, own in times.items():
        low, middle, high = quartiles(ratios(own, times[unit]))
        print(
            f"  {name:43s}{statistics.median(own) * 1e3:10.2f} ms"
            f"{middle:9.2f} times (quartiles {low:.2f} and {high:.2f})"
        )


def agree(one: tuple[Array, ...], other: tuple[Array, ...]) -> None:
    eps = float(np.finfo(one[0].dtype).eps)
    for a, b in zip(one, other, strict=True):
        if not np.allclose(a, b, rtol=0, atol=1e3 * eps * float(np.abs(b).max())):
            message = "two layouts differ"
            raise RuntimeError(message)


def rest(contenders: Contenders) -> dict[str, Callable[[], object]]:
    """Return what Conv2D does beside its products, each alone and in its blocks."""
    layer, x, dy = contenders.layer, contenders.x, contenders.dy_last
    image, around = WINDOWS.padded(x), WINDOWS.around(dy)
    blocks = [(place, columns.copy()) for place, columns in layer._blocks(image)]
    cotangents = [columns.copy() for _, columns in layer._blocks(around)]
    weight = layer._by_group(layer.weight.value)
    mirrored = layer._by_group(np.ascontiguousarray(layer.weight.value.swapaxes(0, 1)))
    output = np.empty_like(dy)

    def products() -> None:
        for place, columns in blocks:
            d = layer._by_group(dy[place].transpose(1, 2, 3, 0))
            np.matmul(weight, columns)
            np.matmul(d, columns.swapaxes(1, 2))
        for columns in cotangents:
            np.matmul(mirrored, columns)

    def biases() -> None:
        for place, columns in blocks:
            block = output[place].transpose(1, 2, 3, 0)
            value = columns[0, : len(block)].reshape(block.shape)
            np.add(value, layer.bias.value[:, None, None, None], out=block)  # type: ignore[union-attr]
        dy.sum(axis=(0, 2, 3))

    return {
        "the products, block by block": products,
        "making X, twice": lambda: [None for _ in range(2) for _ in layer._blocks(image)],
        "making X of dY": lambda: [None for _ in layer._blocks(around)],
        "zeros around x, twice, and dY": lambda: (
            [WINDOWS.padded(contenders.x_last) for _ in range(2)],
            WINDOWS.around(dy),
        ),
        "x in its order": lambda: batch_last(x),
        "dy in its order": lambda: batch_last(contenders.dy),
        "writing y with b, and db": biases,
    }


def main() -> None:
    print(
        f"minifw {__version__}, NumPy {np.__version__}, Python {platform.python_version()}, "
        f"{platform.machine()}, {os.cpu_count()} processors, "
        f"{os.environ.get('OPENBLAS_NUM_THREADS', 'all')} BLAS threads, blocks of {BLOCK} numbers"
    )
    layouts: tuple[Layout, ...] = (
        pixels_by_weights,
        weights_by_pixels,
        example_by_example,
        shifted_images,
    )
    for dtype in (np.float32, np.float64):
        big = Contenders(BATCH, CHANNELS, SIZE, FILTERS, dtype)
        print(f"{big.x.shape}, {FILTERS} filters of {KERNEL} x {KERNEL}, {dtype.__name__}")
        jobs: dict[str, Callable[[], object]] = {
            "its three matrix products": big.products,
            "Conv2D, forward and backward": big.conv2d,
            "  of x and dy with the examples last": big.in_its_order,
            "  forward": big.forward,
            "  backward_parameters": big.backward_parameters,
        }
        for layout in layouts:
            agree(big.step(layout), big.conv2d())
            jobs[str(layout.__doc__).split(":")[0].rstrip(".")] = partial(big.step, layout)
        compare(jobs, "its three matrix products")
        print("  where the time of Conv2D goes, each part alone:")
        parts = rest(big)
        compare({"Conv2D": big.conv2d, **parts}, "Conv2D")
        small = Contenders(*SMALL, dtype)
        agree(small.step(loops), small.conv2d())
        print(f"{small.x.shape}, {SMALL[-1]} filters, against loops over the numbers")
        compare({"Conv2D": small.conv2d, "loops": partial(small.step, loops)}, "Conv2D", turns=3)


if __name__ == "__main__":
    main()
