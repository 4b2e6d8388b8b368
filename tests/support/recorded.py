"""What PyTorch gives, recorded, so that no test needs PyTorch, which is gigabytes.

    MINIFW_RECORD=1 python -m pytest tests/layers/test_against_torch.py

asks PyTorch again and writes tests/data/torch/FILE.npz; so it needs torch, and no `-n`. Where
cases went, delete the file first. A record holds a hash of its inputs: a test whose inputs
changed since fails, and says how to record.
"""

import hashlib
import importlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

DATA = Path(__file__).parents[1] / "data" / "torch"


def recorded(name: str, inputs: Any, compute: Callable[[Any], Iterable[Any]]) -> list[Any]:
    """Return the arrays, or tensors, that `compute(torch)` gave, as arrays in its order.

    The name is "file/case". The inputs are all that the arrays depend on: arrays, numbers,
    strings, None, in tuples, lists, dicts. Their hash takes 8 decimals, which all machines share.
    """
    file, case = name.split("/")
    path = DATA / f"{file}.npz"
    text = json.dumps(inputs, default=lambda array: (np.round(array + 0.0, 8) + 0.0).tolist())
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    recording = os.environ.get("MINIFW_RECORD")
    records: dict[str, Any] = {}
    if path.exists():
        with np.load(path) as stored:
            records = {one: stored[one] for one in stored if recording or one == case}
    if recording:
        given = compute(importlib.import_module("torch"))
        arrays = [np.asarray(y.detach() if hasattr(y, "detach") else y) for y in given]
        fields = [(str(k), array.dtype, array.shape) for k, array in enumerate(arrays)]
        records[case] = np.array((key, *arrays), [("inputs", "U16"), *fields])
        np.savez_compressed(path, **records)
    again = f"{name} has no record of these inputs: run MINIFW_RECORD=1 python -m pytest on it"
    assert case in records, again
    assert records[case]["inputs"] == key, again
    return [records[case][field][()] for field in records[case].dtype.names[1:]]
