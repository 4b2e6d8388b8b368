"""A small GPT that writes in the style of Python's own documentation, one character at a time.

    .venv/bin/python examples/gpt.py
    .venv/bin/python examples/gpt.py --steps 300 --picture quick.png

The text is `pydoc_data.topics`, what help() prints, which comes with Python; nothing is
downloaded. A causal transformer of four blocks learns to foretell the next of 64 characters. It
is held against a bigram model, which knows of the last character alone, on the last tenth of the
text, which neither has seen. It takes some minutes on two cores.
"""

import argparse
import time
from collections.abc import Iterator
from pydoc_data.topics import topics
from typing import Any

import numpy as np

from minifw import (
    GELU,
    AdamW,
    Add,
    CrossEntropyLoss,
    Dense,
    Embedding,
    Graph,
    LayerNorm,
    MultiHeadAttention,
    Normal,
    Objective,
    OneCycleLR,
    Positions,
    Predictor,
    Softmax,
    biases_and_norms,
    clip_grad_norm,
)

BATCH, CONTEXT = 16, 64  # sequences, and characters in each
BLOCKS, HEADS, WIDTH = 4, 4, 128
DTYPE = np.float32
LEARNING_RATE = 2e-3  # at the top of the one cycle
STEPS = 3000


def block(rng: np.random.Generator) -> Graph:
    """Build attention and a perceptron, each added to what comes in (pre-norm, as in GPT-2)."""
    end = Normal(0.02 / np.sqrt(2 * BLOCKS))  # of what is added up over all blocks
    return Graph(
        "x",
        norm=(LayerNorm(WIDTH, dtype=DTYPE), "x"),
        attention=MultiHeadAttention(WIDTH, HEADS, causal=True, dtype=DTYPE, rng=rng),
        told=(Add(), "x", "attention"),  # (batch, time, width), as all others but wide
        norm2=LayerNorm(WIDTH, dtype=DTYPE),
        wide=Dense(WIDTH, 4 * WIDTH, init=Normal(0.02), dtype=DTYPE, rng=rng),
        gelu=GELU("tanh"),
        narrow=Dense(4 * WIDTH, WIDTH, init=end, dtype=DTYPE, rng=rng),
        y=(Add(), "told", "narrow"),
    )


def gpt(characters: int, rng: np.random.Generator) -> Graph:
    """Build the whole: the table that codes the characters also scores them (tied weights)."""
    code = Embedding(characters, WIDTH, init=Normal(0.02), dtype=DTYPE, rng=rng)
    model = Graph(
        "text",
        code=(code, "text"),
        x=Positions(CONTEXT, WIDTH, dtype=DTYPE, rng=rng),
        **{f"block{i}": block(rng) for i in range(BLOCKS)},
        norm=LayerNorm(WIDTH, dtype=DTYPE),
        scores=Dense(WIDTH, characters, bias=False, dtype=DTYPE, rng=rng),
    )
    model["scores"].weight = code.weight
    return model


def batches(text: Any, rng: np.random.Generator) -> Iterator[tuple[Any, Any]]:
    """Yield batches of characters and of those that follow, (batch, time) each."""
    while True:
        at = rng.integers(0, len(text) - CONTEXT, BATCH)[:, np.newaxis] + np.arange(CONTEXT)
        yield text[at], text[at + 1]


def bigram(train: Any, held_out: Any, characters: int) -> float:
    """Return the loss, in nats, of counting which character follows which."""
    counts = np.ones((characters, characters))  # as if each pair had been seen once
    np.add.at(counts, (train[:-1], train[1:]), 1)
    chances = counts / counts.sum(axis=1, keepdims=True)
    return float(-np.log(chances[held_out[:-1], held_out[1:]]).mean())


def held_out_loss(model: Graph, text: Any) -> float:
    """Return the mean loss over a text, cut into pieces."""
    pieces = text[: (len(text) - 1) // CONTEXT * CONTEXT + 1]
    x, target = (part.reshape(-1, CONTEXT) for part in (pieces[:-1], pieces[1:]))
    return CrossEntropyLoss().forward(model.predict(x, batch_size=BATCH), target)


def write(model: Graph, text: list[int], length: int, rng: np.random.Generator) -> list[int]:
    """Return a text that goes on, each character drawn by the chances that the model gives."""
    predictor, text, places = Predictor(model), list(text), CONTEXT
    for _ in range(length):
        new = text[-1:]
        if places == CONTEXT:  # all are used: begin once more, with the latest half
            predictor.reset()
            new, places = text[-CONTEXT // 2 :], 0
        for character in new:
            scores = predictor.step([character])  # (1, characters)
        places += len(new)
        chances = Softmax().forward(scores.astype(np.float64))[0]
        text.append(int(rng.choice(len(chances), p=chances)))
    return text


def picture(path: str, losses: list[float], line: float, weights: Any) -> None:
    """Draw the loss over training, and what one head of the last block asks for."""
    import matplotlib as mpl  # noqa: PLC0415 - of the picture alone

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415

    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5.5), layout="constrained")
    left.plot(losses, linewidth=0.5)
    left.axhline(line, color="tab:red", linestyle="--")
    left.set(xlabel="step", ylabel="loss (nats a character)", title="training, and the bigram")
    right.imshow(weights, cmap="Greys")
    figure.savefig(path)


def main() -> None:
    """Train, write, draw."""
    parser = argparse.ArgumentParser(description="Train a small GPT, and let it write.")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--picture", default="gpt.png")
    options = parser.parse_args()

    text = "\n".join(topics.values())
    alphabet = sorted(set(text))
    codes = np.array([alphabet.index(character) for character in text])
    train, held_out = np.split(codes, [len(codes) * 9 // 10])
    line = bigram(train, held_out, len(alphabet))
    print(
        f"{len(text)} characters, {len(alphabet)} different ones; a bigram model: {line:.3f} nats"
    )

    rng = np.random.default_rng(0)
    model = gpt(len(alphabet), rng)
    objective = Objective(model, CrossEntropyLoss())
    weights = model.parameters()
    optimizer = AdamW(
        weights, lr=LEARNING_RATE, weight_decay=0.1, no_decay=biases_and_norms(model)
    )
    schedule = OneCycleLR(optimizer, LEARNING_RATE, options.steps)
    losses, started = [], time.perf_counter()
    for step, (x, target) in zip(range(1, options.steps + 1), batches(train, rng), strict=False):
        losses.append(objective.forward(x, target))
        objective.backward()
        clip_grad_norm(weights, 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 0 or step == options.steps:
            spent = time.perf_counter() - started
            print(
                f"step {step}: held-out loss {held_out_loss(model, held_out):.3f}, {spent:.0f} s"
            )

    start = [alphabet.index(character) for character in "The "]
    print("".join(alphabet[code] for code in write(model, start, 500, rng)))
    model.eval().forward(held_out[np.newaxis, :32])
    picture(options.picture, losses, line, model["block3"]["attention"].attention_weights()[0, 0])


if __name__ == "__main__":
    main()
