"""Files of minifw 0.1.0 load to the last bit, and what they hold goes on as it did there."""

import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minifw import Layer, load

DATA = Path(__file__).parents[1] / "data" / "v0.1"
MADE = runpy.run_path(str(DATA / "make_v01.py"))  # its functions; the files lie beside it


@pytest.fixture(name="wanted")
def wanted_fixture() -> Mapping[str, Any]:
    with np.load(DATA / "out.npz") as file:
        return dict(file)


def assert_state(model: Layer, wanted: Mapping[str, Any], prefix: str) -> None:
    state = {f"{prefix}/{name}": array for name, array in model.state_dict().items()}
    assert set(state) == {name for name in wanted if name.startswith(f"{prefix}/")}
    for name, array in state.items():
        assert (array.dtype, array.tobytes()) == (wanted[name].dtype, wanted[name].tobytes())


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_a_model(kind: str, wanted: Mapping[str, Any]) -> None:
    if kind == "safetensors":
        pytest.importorskip("safetensors")
    model = load(DATA / f"model.{kind}")
    assert_state(model, wanted, "model")
    modes = [layer.training for _, layer in model.named_layers()]
    assert modes == wanted["modes"].tolist()
    close: Any = {"rtol": 1e-9, "atol": 1e-12}  # other BLAS libraries round otherwise
    np.testing.assert_allclose(model.forward(MADE["TOKENS"]), wanted["train"], **close)
    np.testing.assert_allclose(model.predict(MADE["TOKENS"]), wanted["predict"], **close)


def test_a_checkpoint(wanted: Mapping[str, Any]) -> None:
    trainer = MADE["trainer"]()
    trainer.load_checkpoint(DATA / "checkpoint.npz")
    assert_state(trainer.model, wanted, "run")
    trainer.fit(MADE["X"], MADE["Y"], epochs=4, batch_size=4)
    np.testing.assert_allclose(trainer.history["loss"], wanted["loss"], rtol=1e-9)
    assert trainer.optimizer.lr == wanted["lr"]
