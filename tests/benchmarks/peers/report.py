"""Tables of the results: on the screen, and in docs/benchmarks.md with the numbers beside it."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peers.measure import Row
from peers.pieces import MEMORY, PIECES
from peers.workloads import WORKLOADS

__all__ = [
    "COMPARED",
    "DATA",
    "PREDICTING",
    "TRAINING",
    "Result",
    "compared",
    "load",
    "machine",
    "markdown",
    "page",
    "pieces",
    "result",
    "settings",
    "text",
    "title_of",
    "versions",
    "with_tables",
]

DATA = Path(__file__).parents[3] / "docs" / "benchmarks.json"
PROCESS = "the whole process of W1, 10,000 steps, from starting Python to the last cost"
EXPLAINED = (
    "*Written by `tests/benchmarks/compare.py --write`. Times minifw: the median of the ratios "
    "turn by turn, and in brackets their quartiles; above 1, minifw is faster. "
    "[benchmarks.json](benchmarks.json) has the quartiles of the times and the ratios to the "
    "floor, too.*\n"
)
LEFT_TO_THE_FILE = {"quartiles", "times the floor"}
SINGLE = "W8: single layers, losses, nets, optimizers, predictions, files"
TIMES = "*The peer's time by minifw's: above 1, minifw is faster.*"
BY_PYTORCH = "*Here a ratio is minifw's time by PyTorch's: below 1, minifw is faster.*"
COMPARED = {
    "torch": "PyTorch eager",
    "torch-compile": "torch.compile",
    "keras": "Keras (on JAX)",
    "sklearn": "scikit-learn, fit",
    "jax-step": "JAX, jitted step",
    "jax-loop": "JAX, whole loop",
    "tinygrad": "tinygrad (TinyJit)",
    "thinc": "thinc",
    "mygrad": "MyGrad",
    "onnx": "ONNX Runtime",
    "notes": "plain NumPy functions",
    "hand": "NumPy by hand",
}
TRAINING = ("W1", "W2", "W3", "W3-Adam", "W4", "W6-28", "W7")
PREDICTING = ("W5-W2-1", "W5-W3-1", "W5-W2-1024", "W5-W3-1024")
EIGHT = ("minifw", "PyTorch eager", "minifw by PyTorch (quartiles)")
DISTRIBUTIONS = (
    "minifw",
    "numpy",
    "torch",
    "jax",
    "scikit-learn",
    "keras",
    "tinygrad",
    "thinc",
    "mygrad",
    "onnxruntime",
)

_TITLES = {
    **{name: workload.title for name, workload in WORKLOADS.items()},
    **{name: piece.title for name, piece in PIECES.items()},
    "W7": PROCESS,
}
ORDER = [*WORKLOADS, "W7", *PIECES]

Result = dict[str, Any]
Results = dict[str, dict[str, Result]]
"""By machine, and there by workload, as "W3" or "W3 with 2 threads"."""


def title_of(key: str) -> str:
    """Return the title of a result such as "W3" or "W3 with 2 threads"."""
    name, _, rest = key.partition(" ")
    title = _TITLES[name]
    return f"{name}: {title}" + (f", {rest}" if rest else "")


def machine() -> str:
    """Return the processor and the system in a few words."""
    model = platform.processor() or platform.machine()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        lines = text.splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
        model += " with AVX-512" if "avx512f" in text else " without AVX-512"
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} processors, {platform.system()}"


def versions(names: Sequence[str] = DISTRIBUTIONS) -> dict[str, str]:
    """Return the version of Python and of each distribution that is there."""
    found = {"Python": platform.python_version()}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    blas: Any = np.show_config(mode="dicts")
    library = blas.get("Build Dependencies", {}).get("blas", {})
    found["BLAS of NumPy"] = f"{library.get('name')} {library.get('version')}"
    return found


def result(rows: Sequence[Row], turns: int, threads: int, clock: str) -> Result:
    """Return everything about one run of one workload, as plain values."""
    return {
        "versions": versions(),
        "turns": turns,
        "threads": threads,
        "clock": clock,
        "rows": [row.as_dict() for row in rows],
    }


def load() -> Results:
    """Return the results that were written before."""
    if not DATA.exists():
        return {}
    stored: Results = json.loads(DATA.read_text(encoding="utf-8"))
    return stored


def ordered(results: Mapping[str, Result]) -> list[str]:
    """Return the keys in the order of the workloads, those with more threads at the end."""
    return sorted(results, key=lambda key: (" " in key, ORDER.index(key.partition(" ")[0])))


def with_tables(results: Mapping[str, Result]) -> list[str]:
    """Return those of the keys that have a table of their own."""
    return [key for key in ordered(results) if key.partition(" ")[0] not in PIECES]


def time_of(seconds: float) -> str:
    """Return 12.3 us, 4.56 ms or 1.23 s: three digits."""
    for unit, scale in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * scale:
            return f"{digits(seconds / scale)} {unit}"
    return f"{digits(seconds)} s"


def megabytes(size: float) -> str:
    return f"{size / 1e6:.0f} MB"


def _shown(key: str) -> Callable[[float], str]:
    """Return how to write what was measured: bytes or seconds."""
    piece = PIECES.get(key.partition(" ")[0])
    return megabytes if piece and piece.family == MEMORY else time_of


def digits(number: float) -> str:
    """Return three digits: 0.52, 1.23, 12.3, 123."""
    if number < 9.995:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 99.95 else f"{number:.0f}"


def cells(row: Mapping[str, Any], extra: bool, shown: Callable[[float], str]) -> list[str]:
    label = row["label"] if row["exact"] else f"{row['label']} (other maths)"
    label = row["label"] if row["name"] == "floor" else label
    ratio = f"{digits(row['ratio'])} ({digits(row['ratio_low'])}, {digits(row['ratio_high'])})"
    found = [
        label,
        shown(row["median"]),
        f"{shown(row['low'])}, {shown(row['high'])}",
        "1" if row["name"] == "minifw" else ratio,
    ]
    if extra:
        more = row["extra"]
        return [
            *found,
            time_of(more["import"]),
            f"{more['memory']:.0f} MB",
            f"{more['size']:.0f} MB" if more["size"] >= 10 else f"{more['size']:.1f} MB",
        ]
    return [*found, digits(row["floor"]) if row["floor"] else ""]


def table(key: str, rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the head and a line of cells for each row, the quickest first."""
    shown = _shown(key)
    extra = any(row.get("extra") for row in rows)
    head = ["", "median", "quartiles", "times minifw (quartiles)"]
    head += ["import", "resident", "installed"] if extra else ["times the floor"]
    lines = [
        head,
        *(cells(row, extra, shown) for row in sorted(rows, key=lambda row: row["median"])),
    ]
    if not extra and not any(line[-1] for line in lines[1:]):
        lines = [line[:-1] for line in lines]
    return lines


def text(key: str, found: Result) -> str:
    """Return a table for the screen."""
    lines = table(key, found["rows"])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    body = "\n".join(
        "  "
        + "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
    return f"{title_of(key)} ({found['turns']} turns)\n{body}\n"


def page(stored: Results) -> str:
    """Return the marked section of the page: all of the first machine, the ratios of others."""
    parts = [
        "![Times of all contenders, minifw as 1](images/benchmarks.png)\n",
        EXPLAINED,
    ]
    for place, (name, results) in enumerate(stored.items()):
        first = results[ordered(results)[0]]
        common = _versions(first)
        usual = _conditions(first, common)
        if place:
            parts.append(f"## On another machine: {name}\n")
        parts.append(f"Unless said otherwise: {name}. {usual} {common}\n")
        if place:
            parts.append(f"{TIMES}\n")
            for workloads in (TRAINING, PREDICTING):
                parts += [*compared(results, workloads), ""]
            parts.append(f"{BY_PYTORCH}\n")
        else:
            for key in with_tables(results):
                parts += _section(key, results[key], common, usual)
            parts.append(f"### {SINGLE}\n\n{BY_PYTORCH}\n")
        parts += pieces(results, "W8", EIGHT, inverse=True)
        parts.append(settings(results, "W8", common) + "\n")
    return "\n".join(parts)


def compared(results: Mapping[str, Result], workloads: Sequence[str]) -> list[str]:
    """Return a table of times minifw, a column for each workload that was measured."""
    measured = [key for key in workloads if key in results]
    columns = [
        {row["name"]: f"{row['ratio']:.2g}" for row in results[key]["rows"]} for key in measured
    ]
    lines = [
        [label, *(column.get(name, "") for column in columns)]
        for name, label in COMPARED.items()
        if any(name in column for column in columns)
    ]
    return markdown(["", *measured], lines)


def _section(key: str, found: Result, common: str, usual: str) -> list[str]:
    head, *lines = table(key, found["rows"])
    bold = [[f"**{cell}**" for cell in line] if line[0] == "minifw" else line for line in lines]
    kept = [index for index, name in enumerate(head) if name not in LEFT_TO_THE_FILE]
    shown, *rows = ([line[index] for index in kept] for line in [head, *bold])
    own = _conditions(found, common)
    below = "" if own == usual else f"\n{own}\n"
    return [f"### {title_of(key)}\n", *markdown(shown, rows), below]


def pieces(
    results: Mapping[str, Result], workload: str, head: Sequence[str], *, inverse: bool
) -> list[str]:
    """Return the table of W8, W9 or W10: both medians, and the ratio or its inverse."""
    keys = [key for key in ordered(results) if key.startswith(f"{workload}-")]
    lines, family = [], ""
    families = {PIECES[key.partition(" ")[0]].family for key in keys}
    for key in keys:
        name, _, rest = key.partition(" ")
        piece, (ours, theirs) = PIECES[name], results[key]["rows"]
        if piece.family != family and len(families) > 1:
            family = piece.family
            lines.append([f"**{family}**", "", "", ""])
        shown, found = _shown(key), [theirs[name] for name in ("ratio", "ratio_low", "ratio_high")]
        middle, *quartiles = [1 / ratio for ratio in found] if inverse else found
        low, high = sorted(quartiles)
        lines.append([
            f"{piece.title}, {rest}" if rest else piece.title,
            shown(ours["median"]),
            shown(theirs["median"]),
            f"**{digits(middle)}** ({digits(low)}, {digits(high)})",
        ])  # fmt: skip
    return [*markdown(["", *head], lines), ""] if keys else []


def settings(results: Mapping[str, Result], workload: str, common: str = "") -> str:
    """Return how W8, W9 or W10 was measured, and the versions if they are not the common ones."""
    keys = [key for key in ordered(results) if key.startswith(f"{workload}-")]
    found = list(dict.fromkeys(_versions(results[key]) for key in keys))
    if len(found) == 1 and found[0] != common:
        own = " ".join(dict.fromkeys(_conditions(results[key], found[0]) for key in keys))
        return f"{own} {found[0]}"
    return " ".join(dict.fromkeys(_conditions(results[key], common) for key in keys))


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table."""
    rule = "|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|"
    return [
        " | ".join(["", *head, ""]).strip(),
        rule,
        *(f"| {' | '.join(line)} |" for line in lines),
    ]


def _versions(found: Result) -> str:
    return ", ".join(f"{name} {version}" for name, version in found["versions"].items()) + "."


def _conditions(found: Result, common: str) -> str:
    threads = "one thread" if found["threads"] == 1 else f"{found['threads']} threads"
    clock = "time on the clock" if found["clock"] == "wall" else "processor time"
    own = _versions(found)
    other = "." if own == common else f"; {own}"
    return f"{found['turns']} turns, {threads}, {clock}{other}"
