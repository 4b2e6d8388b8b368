"""Writes the files that tests/storage/test_old_files.py loads, with minifw 0.1.0.

    PYTHONPATH=OLD python tests/data/v0.1/make_v01.py

OLD being a checkout of commit d4b9693, needs NumPy and safetensors. out.npz has the arrays as
they were saved, and what that version then computes with them.
"""

from pathlib import Path
from typing import Any

import numpy as np

import minifw as mf

HERE = Path(__file__).parent
TOKENS = np.array([[0, 3, 6, 1], [2, 2, 5, 4], [6, 0, 1, 3]])
X = np.linspace(-1, 1, 24).reshape(8, 3)
Y = np.array([[0.0], [1.0]] * 4)


def model() -> mf.Sequential:
    """Return one of each kind that a file has to say something of."""
    rng = np.random.default_rng(7)
    return mf.Sequential(
        mf.Embedding(7, 3, rng=1),
        mf.LSTM(3, 4, return_sequences=False, rng=2),
        mf.Residual(mf.Sequential(mf.Dense(4, 4, rng=3), mf.Dropout(0.3, rng=rng))),
        mf.Concat(mf.Dense(4, 2, rng=4), mf.Sequential(mf.Dense(4, 3, rng=5), mf.Tanh())),
        mf.BatchNorm(5),
        mf.Dropout(0.5, rng=rng),
    )


def trainer() -> mf.Trainer:
    """Return a trainer with a state in every part."""
    net = mf.Sequential(mf.Dense(3, 4, rng=1), mf.BatchNorm(4), mf.Tanh(), mf.Dense(4, 1, rng=2))
    optimizer = mf.Adam(net.parameters(), lr=0.1)
    return mf.Trainer(
        net,
        mf.BCEWithLogitsLoss(),
        optimizer,
        callbacks=[mf.callbacks.Scheduled(mf.schedules.StepLR(optimizer, 3), per="batch")],
        rng=3,
    )


def main() -> None:
    """Write them all."""
    out: dict[str, Any] = {}
    saved = model()
    saved.forward(TOKENS)  # moves the running means and the generator
    saved[3].eval()
    for kind in ("npz", "safetensors"):
        mf.save(saved, HERE / f"model.{kind}")
    out |= {f"model/{name}": array for name, array in saved.state_dict().items()}
    out["modes"] = np.array([layer.training for _, layer in saved.named_layers()])
    out["train"] = saved.forward(TOKENS)
    out["predict"] = saved.predict(TOKENS)

    run = trainer()
    run.fit(X, Y, epochs=2, batch_size=4)
    run.save_checkpoint(HERE / "checkpoint.npz")
    out |= {f"run/{name}": array for name, array in run.model.state_dict().items()}
    twin = trainer()
    twin.load_checkpoint(HERE / "checkpoint.npz")
    twin.fit(X, Y, epochs=4, batch_size=4)
    out["loss"] = np.array(twin.history["loss"])
    out["lr"] = np.array(twin.optimizer.lr)
    np.savez(HERE / "out.npz", **out)


if __name__ == "__main__":
    main()
