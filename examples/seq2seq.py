"""Words backwards: an encoder and a decoder with attention learn to write them.

    .venv/bin/python examples/seq2seq.py
    .venv/bin/python examples/seq2seq.py --steps 200

An LSTM reads a random word of 4 to 12 letters; a second one, which starts at the state of the
first, writes the word backwards, and asks by attention where in the word to look. In training it
is told the letter before ("teacher forcing"). Afterwards it goes on from what it wrote itself,
step by step, and is held against 1,000 new words. It takes about half a minute.
"""

import argparse
import time
from typing import Any

import numpy as np

from minifw import (
    LSTM,
    Adam,
    CrossEntropyLoss,
    Dense,
    Embedding,
    Graph,
    Join,
    Mask,
    MultiHeadAttention,
    Objective,
    OneCycleLR,
    Predictor,
    clip_grad_norm,
)

BATCH = 64  # words
DTYPE = np.float32
LEARNING_RATE = 0.01  # of Adam, at the top of its one cycle
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LONGEST, SHORTEST = 12, 4
NEW_WORDS = 1000
PADDING, START = 0, len(LETTERS) + 1  # the codes of the letters lie between
STEPS = 1000
WIDTH = 64


# %%
# Encoder and decoder
# -------------------
# The decoder starts at the encoder's last state, and its attention looks at all states.


def build(rng: np.random.Generator) -> tuple[Graph, Graph, Graph]:
    """Build the encoder, the decoder, and the whole that is trained."""
    own: Any = {"dtype": DTYPE, "rng": rng}
    encoder = Graph(
        "word",
        keep=(Mask(PADDING), "word"),  # (batch, letters): which are letters
        code=(Embedding(START, WIDTH, **own), "word"),
        read=(LSTM(WIDTH, WIDTH, return_state=True, **own), "code", "keep"),
        outputs=("read.y", "read.h", "read.c", "keep"),
    )
    decoder = Graph(
        "before",
        "told",
        "h",
        "c",
        "keep",
        code=(Embedding(START + 1, WIDTH, **own), "before"),  # (batch, letters, width)
        state=(LSTM(WIDTH, WIDTH, **own), "code", None, "h", "c"),
        seen=(MultiHeadAttention(WIDTH, 1, **own), "state", "told", "keep"),
        both=(Join(), "state", "seen"),
        scores=Dense(2 * WIDTH, START, **own),  # (batch, letters, codes)
    )
    whole = Graph(
        "word",
        "before",
        read=(encoder, "word"),
        scores=(decoder, "before", "read.read.y", "read.read.h", "read.read.c", "read.keep"),
    )
    return encoder, decoder, whole


# %%
# The data
# --------
# Random words and the same words backwards, padded to 12 letters.


def words(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Return random words, (count, LONGEST), PADDING after them, and the same backwards."""
    lengths = rng.integers(SHORTEST, LONGEST + 1, (count, 1))
    places = np.arange(LONGEST)
    word = np.where(places < lengths, rng.integers(1, START, (count, LONGEST)), PADDING)
    back = np.maximum(lengths - 1 - places, 0)
    return word, np.where(word, np.take_along_axis(word, back, axis=1), PADDING)


# %%
# Writing without a teacher
# -------------------------
# The decoder gets its own last letter at each step.


def backwards(encoder: Graph, decoder: Graph, word: Any) -> Any:
    """Return what the decoder writes of words, (words, LONGEST), told nothing but them."""
    told, h, c, keep = encoder.predict(word)
    decode, letter, written = Predictor(decoder), np.full(len(word), START), []
    for _ in range(LONGEST):
        scores = decode.step((letter, told, h, c, keep))  # (words, codes)
        letter = scores.argmax(axis=1)
        written.append(letter)
    return np.where(keep, np.stack(written, axis=1), PADDING)


# %%
# Train and count
# ---------------
# In training the decoder gets the right letter before each one.


def main() -> None:
    """Train, write, and count what is right."""
    parser = argparse.ArgumentParser(description="Learn to write words backwards.")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    encoder, decoder, whole = build(rng)
    objective = Objective(whole, CrossEntropyLoss())
    optimizer = Adam(whole.parameters(), lr=LEARNING_RATE)
    schedule = OneCycleLR(optimizer, LEARNING_RATE, options.steps)
    started = time.perf_counter()
    for step in range(1, options.steps + 1):
        word, target = words(BATCH, rng)
        before = np.insert(target[:, :-1], 0, START, axis=1)  # the letter before each
        weight = (target != PADDING).astype(DTYPE)
        loss = objective.forward((word, before), target, weight)
        objective.backward()
        clip_grad_norm(whole.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 200 == 0 or step == options.steps:
            new, mirrored = words(NEW_WORDS, np.random.default_rng(1))
            right = (backwards(encoder, decoder, new) == mirrored).all(axis=1).mean()
            spent = time.perf_counter() - started
            print(f"step {step}: loss {loss:.4f}, {right:.1%} of new words, {spent:.0f} s")


if __name__ == "__main__":
    main()
