"""Write data.js: the notes' 400 points, and the numbers that the notes' weights start from.

    python docs/_static/playground/make_data.py

The start of h hidden units is what the notes draw with the seed 3, W1 before W2: the first 3 h of
these standard normal numbers. Every number has all its digits.
"""

import json
from pathlib import Path

import numpy as np

from minifw.datasets import planar_flower

LARGEST = 20  # hidden units


def script() -> str:
    """Return the text of data.js."""
    x, y = planar_flower()
    normals = np.random.RandomState(3).standard_normal(3 * LARGEST)
    arrays = {"X": x, "Y": y, "normals": normals}
    lines = [f"  {name}: {json.dumps(array.tolist())}," for name, array in arrays.items()]
    body = "\n".join(lines)
    return (
        "// Written by make_data.py: the planar flower, and standard normal numbers (seed 3).\n"
        f"globalThis.flower = {{\n{body}\n}};\n"
    )


if __name__ == "__main__":
    Path(__file__).with_name("data.js").write_text(script(), encoding="utf-8")
