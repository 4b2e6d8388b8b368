"""Trains the notes' network from an installed package, with NumPy and nothing else."""

import importlib.metadata
import sys
from pathlib import Path

import minifw
from minifw import SGD, BCELoss, Dense, Sequential, Sigmoid, Tanh, Trainer
from minifw.datasets import planar_flower

ACCURATE = 0.85  # the notes reach 90 % after more steps

where = Path(minifw.__file__)
installed = {d.metadata["Name"] for d in importlib.metadata.distributions()}
extra = installed - {"minifw", "numpy", "pip", "setuptools"}
x, y = planar_flower()
model = Sequential(Dense(2, 4, rng=3), Tanh(), Dense(4, 1, rng=4), Sigmoid())
trainer = Trainer(model, BCELoss(), SGD(model.parameters(), lr=1.2), metrics=["accuracy"], rng=0)
accuracy = trainer.fit(x, y, epochs=300).last["accuracy"]
print(f"minifw {minifw.__version__}: accuracy {accuracy:.0%}")
if "site-packages" not in where.parts or extra or accuracy < ACCURATE:
    sys.exit(f"{where}; besides NumPy there is {extra or 'nothing'}; accuracy {accuracy}")
