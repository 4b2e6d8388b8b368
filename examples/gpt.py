"""A small GPT: it writes in the style of Python's documentation, one character at a time.

    .venv/bin/python examples/gpt.py

The text is `pydoc_data.topics`, which comes with Python: what help() prints. A transformer of four
blocks learns to foretell the next character. A bigram model, which knows the last character alone,
is held against it, on a tenth of the text that neither has seen. More: docs/howto/gpt.md.
"""

import argparse
import time
from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any

import numpy as np

import minifw as fw

BATCH, CONTEXT = 16, 64  # sequences, and characters in each
BLOCKS, HEADS, WIDTH = 4, 4, 128
DTYPE = np.float32
LEARNING_RATE = 2e-3  # at the top of one cycle
STEPS = 3000
TEMPERATURE = 0.7  # below 1: surer of itself than the model is


# %%
# The model
# ---------
# Each block adds attention and a perceptron to its input. The table that codes the characters also
# scores them.


def block(own: Any) -> fw.Graph:
    """Build attention and a perceptron, each added to what comes in (pre-norm, as in GPT-2)."""
    end = fw.Normal(0.02 / np.sqrt(2 * BLOCKS))  # of what is added up over all blocks
    return fw.Graph(
        "x",
        norm=(fw.LayerNorm(WIDTH, dtype=DTYPE), "x"),
        attention=fw.MultiHeadAttention(WIDTH, HEADS, causal=True, **own),
        told=(fw.Add(), "x", "attention"),  # (batch, time, width), as all others but wide
        norm2=fw.LayerNorm(WIDTH, dtype=DTYPE),
        wide=fw.Dense(WIDTH, 4 * WIDTH, init=fw.Normal(0.02), **own),
        gelu=fw.GELU("tanh"),
        narrow=fw.Dense(4 * WIDTH, WIDTH, init=end, **own),
        y=(fw.Add(), "told", "narrow"),
    )


def gpt(characters: int, rng: np.random.Generator) -> fw.Graph:
    """Build the whole: the table that codes the characters also scores them (tied weights)."""
    own: Any = {"dtype": DTYPE, "rng": rng}
    model = fw.Graph(
        "text",
        code=(fw.Embedding(characters, WIDTH, init=fw.Normal(0.02), **own), "text"),
        x=fw.Positions(CONTEXT, WIDTH, **own),
        **{f"block{i}": block(own) for i in range(BLOCKS)},
        norm=fw.LayerNorm(WIDTH, dtype=DTYPE),
        scores=fw.Dense(WIDTH, characters, bias=False, **own),
    )
    model["scores"].weight = model["code"].weight
    return model


# %%
# The data and a baseline
# -----------------------
# Batches are random pieces of the text. The baseline counts which character follows which.


def batches(text: Any, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    """Yield batches of characters and of those that follow, (batch, time) each."""
    while True:
        at = rng.integers(0, len(text) - CONTEXT, BATCH)[:, np.newaxis] + np.arange(CONTEXT)
        yield text[at], text[at + 1]


def bigram(train: Any, held_out: Any, characters: int) -> float:
    """Return the loss, in nats, of counting which character follows which."""
    counts = np.ones((characters, characters))  # as if each pair had been seen once
    np.add.at(counts, (train[:-1], train[1:]), 1)
    logs = np.log(counts / counts.sum(axis=1, keepdims=True))
    return float(-logs[held_out[:-1], held_out[1:]].mean())


def held_out_loss(model: fw.Graph, text: Any) -> float:
    """Return the mean loss over a text, cut into pieces."""
    pieces = text[: (len(text) - 1) // CONTEXT * CONTEXT + 1]
    x, target = (part.reshape(-1, CONTEXT) for part in (pieces[:-1], pieces[1:]))
    return fw.CrossEntropyLoss().forward(model.predict(x, batch_size=BATCH), target)


# %%
# Writing
# -------
# A `Predictor` keeps the keys and values of earlier characters, so each new one costs one step.


def write(model: fw.Graph, text: list[int], length: int, rng: np.random.Generator) -> list[int]:
    """Return a text that goes on, each character drawn by the chances that the model gives."""
    predictor, text, places = fw.Predictor(model), list(text), CONTEXT
    for _ in range(length):
        new = text[-1:]
        if places == CONTEXT:  # all are used: begin once more, with the latest half
            predictor.reset()
            new, places = text[-CONTEXT // 2 :], 0
        for character in new:
            scores = predictor.step([character])  # (1, characters)
        places += len(new)
        chances = fw.Softmax().forward(scores.astype(np.float64) / TEMPERATURE)[0]
        text.append(int(rng.choice(len(chances), p=chances)))
    return text


# %%
# The picture
# -----------
# The loss over training, and where one head of the last block looks.


def draw(path: str, losses: list[float], line: float, layer: fw.Layer, tokens: str) -> None:
    """Write a picture of the loss over training, and of what one head asks."""
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - optional
    except ImportError:
        print(f"For the picture, {path}, install the extra minifw[plot]")
        return
    figure: Any = Figure(figsize=(12, 5.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    fw.plots.learning_curves({"loss": losses}, ax=left)
    left.axhline(line, color="tab:red", linestyle="--", label="bigram")
    left.set(xlabel="step", ylabel="nats a character")
    left.legend()
    fw.plots.attention(layer, heads=0, tokens=tokens, ax=right)
    figure.savefig(path, dpi=110)
    print(f"Picture: {path}")


# %%
# Train, write, draw
# ------------------
# AdamW with one cycle of the learning rate; norms and biases have no weight decay.


def main() -> None:
    """Train, write, draw."""
    parser = argparse.ArgumentParser(description="Train a small GPT, and let it write.")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"default {STEPS}")
    parser.add_argument("--picture", metavar="PATH", default="gpt.png", help="default gpt.png")
    options = parser.parse_args()

    text = "\n".join(topics.values())
    alphabet = sorted(set(text))
    codes = np.array([alphabet.index(character) for character in text])
    train, held_out = np.split(codes, [len(codes) * 9 // 10])
    line = bigram(train, held_out, len(alphabet))
    print(f"{len(text)} characters of {len(alphabet)} kinds; a bigram model: {line:.3f} nats")

    rng, losses, started = np.random.default_rng(0), [], time.perf_counter()
    model = gpt(len(alphabet), rng)
    objective, weights = fw.Objective(model, fw.CrossEntropyLoss()), model.parameters()
    optimizer = fw.AdamW(weights, weight_decay=0.1, no_decay=fw.biases_and_norms(model))
    schedule = fw.OneCycleLR(optimizer, LEARNING_RATE, options.steps)
    for step, (x, target) in zip(range(1, options.steps + 1), batches(train, rng), strict=False):
        losses.append(objective.forward(x, target))
        objective.backward()
        fw.clip_grad_norm(weights, 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 0 or step == options.steps:
            loss, spent = held_out_loss(model, held_out), time.perf_counter() - started
            print(f"step {step}: {loss:.3f} nats on the held-out text, {spent:.0f} s", flush=True)

    print("".join(alphabet[code] for code in write(model, [*codes[:4]], 600, rng)))
    model.eval().forward(codes[np.newaxis, :32])
    draw(options.picture, losses, line, model["block3"]["attention"], text[:32])


if __name__ == "__main__":
    main()
