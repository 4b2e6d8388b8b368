"""A step of the GPT of examples/gpt.py, and a token that it writes, against PyTorch eager.

    OPENBLAS_NUM_THREADS=1 .venv/bin/python tests/benchmarks/gpt.py

Needs PyTorch (tests/benchmarks/requirements.txt). The PyTorch model is the text that stands in
docs/howto/gpt.md; both start from the same weights and get the same text, in float32, on one
thread. They take turns; what counts is the median of the ratios of processor time.
"""

import importlib
import os
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from minifw import AdamW, CrossEntropyLoss, Objective, Predictor, __version__

ROOT = Path(__file__).parents[2]
CHARACTERS = 95
SIZES = ((16, 64), (32, 128))  # batch, context
TURNS = 9
SECONDS = 0.4  # of each turn, about


def turns(jobs: dict[str, Callable[[], object]]) -> dict[str, tuple[float, float, float, float]]:
    """Return the median seconds of each job, and the quartiles of its ratio to the last one."""
    times: dict[str, list[float]] = {name: [] for name in jobs}
    counts = {}
    for name, job in jobs.items():
        job()
        start = time.process_time()
        job()
        counts[name] = max(1, round(SECONDS / (time.process_time() - start)))
    for turn in range(TURNS):
        for name in list(jobs)[:: 1 if turn % 2 else -1]:
            start = time.process_time()
            for _ in range(counts[name]):
                jobs[name]()
            times[name].append((time.process_time() - start) / counts[name])
    base = times[list(jobs)[-1]]
    found = {}
    for name, spent in times.items():
        ratios = [one / other for one, other in zip(spent, base, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        found[name] = statistics.median(spent), middle, low, high
    return found


def models(context: int) -> tuple[Any, Any, Any]:
    """Return the example's GPT, and that of the page with the same weights, and its names."""
    sys.path.insert(0, str(ROOT / "examples"))
    gpt: Any = importlib.import_module("gpt")
    gpt.CONTEXT = context
    model = gpt.gpt(CHARACTERS, np.random.default_rng(0))
    page = (ROOT / "docs" / "howto" / "gpt.md").read_text("utf-8")
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(import torch.*?)```", page, re.DOTALL)[0], names)  # noqa: S102
    names["torch"].set_num_threads(1)
    module = names["GPT"](CHARACTERS, context, gpt.WIDTH, gpt.HEADS, gpt.BLOCKS)
    names["load"](module, model.state_dict())
    return model, module, names["torch"]


def steps(batch: int, context: int) -> dict[str, Callable[[], object]]:
    """Return a training step of each."""
    model, module, torch = models(context)
    text = np.random.default_rng(1).integers(0, CHARACTERS, (batch, context + 1))
    x, target = text[:, :-1], text[:, 1:]
    objective = Objective(model, CrossEntropyLoss())
    optimizer = AdamW(model.parameters(), lr=1e-3)

    def ours() -> float:
        loss = objective.forward(x, target)
        objective.backward()
        optimizer.step()
        return loss

    tensors = torch.tensor(x), torch.tensor(target).reshape(-1)
    other = torch.optim.AdamW(module.parameters(), lr=1e-3)

    def theirs() -> float:
        other.zero_grad()
        scores = module(tensors[0]).reshape(-1, CHARACTERS)
        loss = torch.nn.functional.cross_entropy(scores, tensors[1])
        loss.backward()
        other.step()
        return float(loss.item())

    pairs = [(ours(), theirs()) for _ in range(5)]
    print(f"  losses differ by {max(abs(a - b) for a, b in pairs):.1e} over 5 steps")
    return {"minifw": ours, "PyTorch": theirs}


def tokens(context: int) -> dict[str, Callable[[], object]]:
    """Return how each writes `context` tokens, one by one, with the keys and values kept."""
    model, module, torch = models(context)
    text = np.random.default_rng(1).integers(0, CHARACTERS, (1, context))
    predictor, tensor = Predictor(model), torch.tensor(text)
    functional, blocks = torch.nn.functional, [*module.children()][2:-1]

    def ours() -> None:
        predictor.reset()
        for place in range(context):
            predictor.step(text[:, place])

    def theirs() -> Any:
        kept: list[Any] = [None] * len(blocks)
        for place in range(context):
            x = module.code(tensor[:, place]) + module.x.weight[place]
            for index, block in enumerate(blocks):
                attention = block.attention
                heads = attention.num_heads
                weight, bias = attention.in_proj_weight, attention.in_proj_bias
                parts = functional.linear(block.norm(x), weight, bias)
                q, k, v = parts.reshape(len(x), 3, heads, 1, -1).unbind(1)
                if kept[index] is not None:
                    k, v = (torch.cat(pair, 2) for pair in zip(kept[index], (k, v), strict=True))
                kept[index] = k, v
                z = functional.scaled_dot_product_attention(q, k, v)
                x = x + attention.out_proj(z.reshape(x.shape))
                wide = functional.gelu(block.wide(block.norm2(x)), approximate="tanh")
                x = x + block.narrow(wide)
            scores = functional.linear(module.norm(x), module.code.weight)
        return scores

    predictor.reset()
    last = [predictor.step(text[:, place]) for place in range(context)][-1]
    without_gradients = torch.inference_mode()(theirs)
    off = np.abs(last - without_gradients().numpy()).max()
    print(f"  scores differ by {off:.1e} at the last token")
    return {"minifw": ours, "PyTorch": without_gradients}


def show(jobs: dict[str, Callable[[], object]], scale: float, unit: str) -> None:
    for name, (seconds, middle, low, high) in turns(jobs).items():
        ratio = f"{middle:.2f} ({low:.2f}, {high:.2f})"
        print(f"  {name:8} {seconds * scale:8.1f} {unit}  {ratio}")


def main() -> None:
    """Print the ratios."""
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
    print(f"minifw {__version__}, NumPy {np.__version__}, {threads} thread(s)")
    for batch, context in SIZES:
        print(f"step, batch {batch}, context {context}")
        show(steps(batch, context), 1e3, "ms")
    context = SIZES[-1][1]
    print(f"a token of {context}, batch 1, with keys and values kept")
    show(tokens(context), 1e6 / context, "us")


if __name__ == "__main__":
    main()
