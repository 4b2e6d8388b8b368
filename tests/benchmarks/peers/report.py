"""Tables of the results: on the screen, and in docs/benchmarks.md with the numbers beside it."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from peers.measure import Row
from peers.workloads import WORKLOADS

__all__ = [
    "DATA",
    "Result",
    "load",
    "machine",
    "ordered",
    "result",
    "text",
    "title_of",
    "versions",
    "write",
]

DOCS = Path(__file__).parents[3] / "docs"
DATA = DOCS / "benchmarks.json"
PAGE = DOCS / "benchmarks.md"
START, END = "<!-- compare.py: start -->", "<!-- compare.py: end -->"
PROCESS = "the whole process of W1, 10,000 steps, from starting Python to the last cost"
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

Result = dict[str, Any]


def title_of(key: str) -> str:
    """Return the title of a result such as "W3" or "W3 with 2 threads"."""
    name, _, rest = key.partition(" ")
    title = WORKLOADS[name].title if name in WORKLOADS else PROCESS
    return f"{name}: {title}" + (f", {rest}" if rest else "")


def machine() -> str:
    """Return the processor and the system in a few words."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{model}, {os.cpu_count()} processors, {platform.system()}"


def versions() -> dict[str, str]:
    """Return the version of Python and of each distribution that is there."""
    found = {"Python": platform.python_version()}
    for name in DISTRIBUTIONS:
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
        "machine": machine(),
        "versions": versions(),
        "turns": turns,
        "threads": threads,
        "clock": clock,
        "rows": [row.as_dict() for row in rows],
    }


def load() -> dict[str, Result]:
    """Return the results that were written before."""
    if not DATA.exists():
        return {}
    stored: dict[str, Result] = json.loads(DATA.read_text(encoding="utf-8"))
    return stored


def write(results: Mapping[str, Result]) -> None:
    """Store the results, and put their tables into docs/benchmarks.md."""
    DATA.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(START)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{START}\n\n{markdown(results)}\n{END}{after}", encoding="utf-8")


def ordered(results: Mapping[str, Result]) -> list[str]:
    """Return the keys in the order of the workloads, those with more threads at the end."""
    names = [*WORKLOADS, "W7"]
    return sorted(results, key=lambda key: (" " in key, names.index(key.partition(" ")[0])))


def time_of(seconds: float) -> str:
    """Return 12.3 us, 4.56 ms or 1.23 s: three digits."""
    for unit, scale in (("us", 1e-6), ("ms", 1e-3)):
        if seconds < 999.5 * scale:
            return f"{digits(seconds / scale)} {unit}"
    return f"{digits(seconds)} s"


def digits(number: float) -> str:
    """Return three digits: 0.52, 1.23, 12.3, 123."""
    if number < 9.995:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < 99.95 else f"{number:.0f}"


def cells(row: Mapping[str, Any], extra: bool) -> list[str]:
    label = row["label"] if row["exact"] else f"{row['label']} (other maths)"
    label = row["label"] if row["name"] == "floor" else label
    ratio = f"{digits(row['ratio'])} ({digits(row['ratio_low'])}, {digits(row['ratio_high'])})"
    found = [
        label,
        time_of(row["median"]),
        f"{time_of(row['low'])}, {time_of(row['high'])}",
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


def table(rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the head and a line of cells for each row, the quickest first."""
    extra = any(row.get("extra") for row in rows)
    head = ["", "median", "quartiles", "times minifw (quartiles)"]
    head += ["import", "resident", "installed"] if extra else ["times the floor"]
    lines = [head, *(cells(row, extra) for row in sorted(rows, key=lambda row: row["median"]))]
    if not extra and not any(line[-1] for line in lines[1:]):
        lines = [line[:-1] for line in lines]
    return lines


def text(key: str, found: Result) -> str:
    """Return a table for the screen."""
    lines = table(found["rows"])
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


def markdown(results: Mapping[str, Result]) -> str:
    """Return the marked section of the page."""
    parts = ["![Times of all contenders, minifw as 1](images/benchmarks.png)\n"]
    parts.append(
        "*Written by `tests/benchmarks/compare.py --write`. Times minifw: the median of the "
        "ratios turn by turn, and in brackets their quartiles; above 1, minifw is faster. Times "
        "the floor: the median in the same way.*\n"
    )
    common = _setting(results[ordered(results)[0]])
    parts.append(f"Unless said otherwise: {common}\n")
    for key in ordered(results):
        found = results[key]
        head, *lines = table(found["rows"])
        parts.append(f"### {title_of(key)}\n")
        parts.append(" | ".join(["", *head, ""]).strip())
        parts.append("|" + "|".join(["---", *["---:"] * (len(head) - 1)]) + "|")
        for line in lines:
            bold = [f"**{cell}**" for cell in line] if line[0] == "minifw" else line
            parts.append(f"| {' | '.join(bold)} |")
        own = _setting(found)
        parts.append(f"\n{_conditions(found)}{'.' if own == common else f'; {own}'}\n")
    return "\n".join(parts)


def _setting(found: Result) -> str:
    names = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    return f"{found['machine']}; {names}."


def _conditions(found: Result) -> str:
    threads = "one thread" if found["threads"] == 1 else f"{found['threads']} threads"
    clock = "time on the clock" if found["clock"] == "wall" else "processor time"
    return f"{found['turns']} turns, {threads}, {clock}"
