"""Counts which state dicts of PyTorch go into minifw's layers, and which are refused.

    python tests/data/torch/state_dicts.py
    python tests/data/torch/state_dicts.py --write

needs torch, safetensors and minifw. Each case is saved by PyTorch's side and loaded here; then
both must give the same outputs. Where the file has all of the model, other weights go back, with
``strict=True`` there. A refusal must say what the case names. With --write, and huggingface_hub,
the files in states/ are written again, which tests/interop/test_safetensors.py loads without
torch.
"""

import doctest
import importlib
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import nn

import minifw as mf
from minifw.interop.safetensors import load_into, save

HERE = Path(__file__).parent
STATES = HERE / "states"
FOLDER = Path(tempfile.mkdtemp())
FILE = FOLDER / "state.safetensors"
Case = Callable[[], object]
DONE: dict[str, Case] = {}
REFUSED: dict[str, tuple[str, Case]] = {}  # with what the message says


class Tied(nn.Module):  # type: ignore[misc]
    """A table of tokens that is the last layer's weight, too."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> Any:
        return self.head(self.embed(x))


def tied_here(*, tie: bool) -> mf.Layer:
    """Return the same network, of one table or of two."""
    model = mf.Graph(
        "x",
        embed=mf.Embedding(5, 3, dtype=np.float32),
        head=mf.Dense(3, 5, bias=False, dtype=np.float32),
    )
    if tie:
        model["head"].weight = model["embed"].weight
    return model


def page() -> dict[str, Any]:
    """Return what docs/howto/recurrent.md imports and defines."""
    names: dict[str, Any] = {}
    text = (HERE.parents[2] / "docs" / "howto" / "recurrent.md").read_text(encoding="utf-8")
    for example in doctest.DocTestParser().get_examples(text):
        if example.source.startswith(("import", "from", "def", "STATES")):
            exec(example.source, names)  # noqa: S102 - our own page
    return names


def inputs(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def same(module: nn.Module, model: mf.Layer, *xs: np.ndarray[Any, Any]) -> None:
    """Raise unless both give the same output."""
    with torch.no_grad():
        theirs = module.eval()(torch.from_numpy(xs[0]))
    theirs = theirs[0] if isinstance(theirs, tuple) else theirs
    ours = model.predict(xs if len(xs) > 1 else xs[0])
    ours = ours[0] if isinstance(ours, tuple) else ours
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=0, atol=1e-5)


def both(module: nn.Module, model: mf.Layer, *xs: np.ndarray[Any, Any], names: Any = None) -> None:
    """Load a state dict, compare, and bring other weights back."""
    save_file(module.state_dict(), FILE)
    load_into(model, FILE, names=names)
    same(module, model, *xs)
    for parameter in model.parameters():
        parameter.value *= 1.5
    save(model, FILE, names=names)
    module.load_state_dict(load_file(FILE), strict=True)
    same(module, model, *xs)


def case(name: str, refused: str = "") -> Callable[[Case], None]:
    """Enter a case into the table; one that is refused with what the message must say."""

    def enter(run: Case) -> None:
        if refused:
            REFUSED[name] = refused, run
        else:
            DONE[name] = run

    return enter


def chain(*modules: nn.Module) -> nn.Module:
    return nn.Sequential(*modules)


def f4(kind: Any, *sizes: Any, **options: Any) -> Any:
    return kind(*sizes, dtype=np.float32, **options)


# -- layers ---------------------------------------------------------------------------

PAIRS: dict[str, Callable[[], tuple[Any, ...]]] = {
    "dense": lambda: (
        chain(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)),
        mf.Sequential(f4(mf.Dense, 4, 8), mf.ReLU(), f4(mf.Dense, 8, 2)),
        inputs(3, 4),
    ),
    "RMSNorm": lambda: (chain(nn.RMSNorm(4)), mf.Sequential(f4(mf.RMSNorm, 4)), inputs(3, 4)),
    "PReLU": lambda: (chain(nn.PReLU(3)), mf.Sequential(f4(mf.PReLU, 3)), inputs(3, 3)),
    "Embedding": lambda: (
        chain(nn.Embedding(5, 3, padding_idx=0)),
        mf.Sequential(f4(mf.Embedding, 5, 3, padding_idx=0)),
        np.array([[0, 1, 2]]),
    ),
    "LSTM": lambda: (nn.LSTM(3, 5, batch_first=True), f4(mf.LSTM, 3, 5), inputs(2, 6, 3)),
    "GRU": lambda: (nn.GRU(3, 5, batch_first=True), f4(mf.GRU, 3, 5), inputs(2, 6, 3)),
    "BatchNorm(affine=False)": lambda: (
        chain(nn.BatchNorm1d(4, affine=False)),
        mf.Sequential(f4(mf.BatchNorm, 4, affine=False)),
        inputs(3, 4),
    ),
}
for name, pair in PAIRS.items():
    case(name)(partial(lambda pair: both(*pair()), pair))


@case("Conv2d and BatchNorm after training")
def _() -> None:
    module = chain(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    for _ in range(5):
        module(torch.randn(8, 1, 6, 6) * 3 + 1)
    model = mf.Sequential(f4(mf.Conv2D, 1, 4, 3), f4(mf.BatchNorm, 4), mf.ReLU())
    both(module, model, inputs(3, 1, 6, 6))


@case("LSTM of two layers, into a Sequential")
def _() -> None:
    model = mf.Sequential(f4(mf.LSTM, 3, 5), mf.Dropout(), f4(mf.LSTM, 5, 5))
    both(
        nn.LSTM(3, 5, 2, batch_first=True),
        model,
        inputs(2, 6, 3),
        names=lambda name: f"{name[2:-1]}{int(name[0]) // 2}",
    )


def stacked(kind: Any, module: Any, layers: int) -> None:
    """Load the weights of layers in both directions into the Graph of the page."""
    twin, found = module(3, 2, layers, bidirectional=True, batch_first=True).double(), page()
    model, path = found["stacked"](kind, 3, 2, layers, rng=0), FOLDER / "deep"
    save_file(twin.state_dict(), path)
    load_into(model, path, names=found["torch_name"])
    same(twin, model, inputs(2, 5, 3).astype(float), np.ones((2, 5), bool))


case("LSTM in both directions")(lambda: stacked(mf.LSTM, nn.LSTM, 1))
case("GRU in both directions")(lambda: stacked(mf.GRU, nn.GRU, 1))
case("LSTM of three layers in both directions")(lambda: stacked(mf.LSTM, nn.LSTM, 3))


def partly(module: nn.Module, model: Any, *xs: np.ndarray[Any, Any]) -> None:
    """Load what a module without biases has, and set the others to 0."""
    save_file(module.state_dict(), FILE)
    missing = load_into(model, FILE, strict=False).missing_keys
    for name, parameter in model.named_parameters():
        if name in missing:
            assert "bias" in name
            parameter.value = np.zeros(parameter.shape)
    same(module, model, *xs)


case("LSTM(bias=False), strict=False, then 0")(
    lambda: partly(nn.LSTM(3, 5, batch_first=True, bias=False), f4(mf.LSTM, 3, 5), inputs(2, 6, 3))
)


@case("LayerNorm(bias=False) and BatchNorm(affine=False), strict=False")
def _() -> None:
    module = chain(nn.LayerNorm(4, bias=False), nn.BatchNorm1d(4, affine=False))
    save_file(module.state_dict(), FILE)
    model = mf.Sequential(f4(mf.LayerNorm, 4), f4(mf.BatchNorm, 4))
    load_into(model, FILE, strict=False)
    same(module, model, inputs(3, 4))


# -- dtypes ---------------------------------------------------------------------------


def cast_to(dtype: torch.dtype, kind: Any, **options: Any) -> None:
    """Load numbers of another dtype, and compare with what PyTorch makes of them."""
    module = nn.Linear(4, 2).to(dtype)
    save_file(module.state_dict(), FILE)
    model = mf.Dense(4, 2, dtype=kind)
    load_into(model, FILE, **options)
    theirs = module.weight.detach().to(torch.float64 if kind == np.float64 else torch.float32)
    np.testing.assert_array_equal(model.weight.value, theirs.numpy())


case("bfloat16 into float32")(lambda: cast_to(torch.bfloat16, np.float32))
case("bfloat16 into float64")(lambda: cast_to(torch.bfloat16, np.float64))
case("float16 into float32")(lambda: cast_to(torch.float16, np.float32))
case("float32 into float64")(lambda: cast_to(torch.float32, np.float64))
case("float64 into float32, cast=True")(lambda: cast_to(torch.float64, np.float32, cast=True))
case("float64 into float32", "cast=True")(lambda: cast_to(torch.float64, np.float32))
case("float8", r"F8_E4M3, not float32")(lambda: cast_to(torch.float8_e4m3fn, np.float32))


@case("all 65,536 numbers of bfloat16")
def _() -> None:
    every = torch.arange(2**16).to(torch.uint16).view(torch.bfloat16)
    save_file({"weight": every}, FILE)
    model = f4(mf.RMSNorm, 2**16)
    load_into(model, FILE)
    np.testing.assert_array_equal(model.weight.value, every.float().numpy())


# -- ties and names -------------------------------------------------------------------


def tied(*, tie: bool, whole: bool) -> None:
    """Load a module that ties, from a file with one entry or with two."""
    module, model, x = Tied(), tied_here(tie=tie), np.array([[0, 1, 2]])
    if whole:
        save_file({name: one.clone() for name, one in module.state_dict().items()}, FILE)
    else:
        save_model(module, str(FILE))
    load_into(model, FILE)
    same(module, model, x)


case("tied, save_model, into one that ties")(lambda: tied(tie=True, whole=False))
case("tied, save_model, into one that does not")(lambda: tied(tie=False, whole=False))
case("tied, both entries")(lambda: tied(tie=True, whole=True))


@case("two names for one entry, without metadata")
def _() -> None:
    module, model = Tied(), tied_here(tie=False)
    save_file({"embed.weight": module.embed.weight}, FILE)
    load_into(model, FILE, names={"head.weight": "embed.weight"})
    same(module, model, np.array([[0, 1, 2]]))


@case("names of a Hugging Face encoder")
def _() -> None:
    layers = [nn.Linear(4, 4) for _ in range(2)]
    state = {
        f"bert.encoder.layer.{index}.dense.{name}": one
        for index, layer in enumerate(layers)
        for name, one in layer.state_dict().items()
    }
    save_file(state, FILE)
    model = mf.Sequential(f4(mf.Dense, 4, 4), mf.Tanh(), f4(mf.Dense, 4, 4))
    load_into(model, FILE, names=lambda n: f"bert.encoder.layer.{int(n[0]) // 2}.dense.{n[2:]}")
    same(chain(layers[0], nn.Tanh(), layers[1]), model, inputs(3, 4))


# -- parts ----------------------------------------------------------------------------


@case("a backbone without its head")
def _() -> None:
    module = nn.Linear(4, 3)
    state = {f"fc1.{name}": one for name, one in module.state_dict().items()}
    save_file({**state, "head.weight": torch.zeros(9, 9)}, FILE)
    model = f4(mf.Dense, 4, 3)
    found = load_into(model, FILE, names="fc1.{}".format, strict=False)
    assert found.unexpected_keys == ["head.weight"]
    assert not found.missing_keys
    same(module, model, inputs(2, 4))


@case("two files, one after the other")
def _() -> None:
    module = chain(nn.Linear(4, 3), nn.Linear(3, 2))
    model = mf.Sequential(f4(mf.Dense, 4, 3), f4(mf.Dense, 3, 2))
    for part in "01":
        state = {name: one for name, one in module.state_dict().items() if name[0] == part}
        save_file(state, FILE)
        load_into(model, FILE, strict=False)
    same(module, model, inputs(2, 4))


@case("several files with their index")
def _() -> None:
    model = mf.Sequential(f4(mf.Dense, 4, 8), mf.ReLU(), f4(mf.Dense, 8, 2))
    load_into(model, STATES / "model.safetensors.index.json")
    module = chain(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    module.load_state_dict(
        {k: v for path in STATES.glob("model-*") for k, v in load_file(path).items()}
    )
    same(module, model, inputs(2, 4))


case("nothing that fits, strict=False", "0.weight is missing")(
    lambda: load_into(mf.Sequential(f4(mf.Dense, 4, 3)), STATES / "half.safetensors", strict=False)
)


# -- what has no counterpart ----------------------------------------------------------

case("BatchNorm(track_running_stats=False)", "running_mean is missing")(
    lambda: both(nn.BatchNorm1d(4, track_running_stats=False), f4(mf.BatchNorm, 4), inputs(3, 4))
)
case("LSTM(proj_size=2)", "weight_hr_l0 is unexpected")(
    lambda: both(nn.LSTM(3, 5, batch_first=True, proj_size=2), f4(mf.LSTM, 3, 5), inputs(2, 6, 3))
)
case("LSTM of two layers, into one", "weight_ih_l1 is unexpected")(
    lambda: both(nn.LSTM(3, 5, 2, batch_first=True), f4(mf.LSTM, 3, 5), inputs(2, 6, 3))
)


@case("a .pt file", r"safetensors.torch.save_file(module.state_dict(), path) writes one")
def _() -> None:
    torch.save(nn.Linear(4, 2).state_dict(), FILE)
    load_into(mf.Dense(4, 2), FILE)


# -- without a file -------------------------------------------------------------------


@case("tensors into load_state_dict")
def _() -> None:
    module, model = nn.Linear(4, 2), f4(mf.Dense, 4, 2)
    model.load_state_dict({name: one.detach() for name, one in module.state_dict().items()})
    same(module, model, inputs(2, 4))


@case("arrays of tensors into load_state_dict, strict=False")
def _() -> None:
    module, model = nn.Linear(4, 2), f4(mf.Dense, 4, 2)
    state = {name: one.numpy() for name, one in module.state_dict().items()}
    found = model.load_state_dict({**state, "more": np.ones(1)}, strict=False)
    theirs: Any = module.load_state_dict({**module.state_dict(), "more": 0}, strict=False)
    assert tuple(found) == tuple(theirs)
    same(module, model, inputs(2, 4))


@case("a tensor into predict")
def _() -> None:
    module, model = nn.Linear(4, 2), f4(mf.Dense, 4, 2)
    model.load_state_dict(module.state_dict())
    x = torch.from_numpy(inputs(2, 4))
    np.testing.assert_allclose(model.predict(x), module(x).detach().numpy(), atol=1e-6)


def write() -> None:
    """Write the files of states/."""
    hub = importlib.import_module("huggingface_hub")  # which only this needs
    torch.manual_seed(0)
    STATES.mkdir(exist_ok=True)
    module = chain(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    hub.save_torch_state_dict(module.state_dict(), STATES, max_shard_size=200)
    save_model(Tied(), str(STATES / "tied.safetensors"))
    every = torch.tensor([0.0, -0.0, 1.0, torch.inf, -torch.inf, torch.nan, 3e38, 1e-40, 6e-8])
    numbers = torch.cat((every, torch.randn(55)))
    half = {"bfloat16": numbers.bfloat16(), "float16": numbers.half()}
    save_file(half | {f"{name}.float": one.float() for name, one in half.items()},
              STATES / "half.safetensors")  # fmt: skip


def main() -> int:
    """Run every case, print what failed, and the counts; return how many failed."""
    failed = 0
    for name, run in DONE.items():
        try:
            run()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}")
    for name, (says, refused) in REFUSED.items():
        try:
            refused()
        except (TypeError, ValueError) as error:
            wrong = "" if says in str(error) else f"the message is {error}"
        else:
            wrong = "it was not refused"
        if wrong:
            failed += 1
            print(f"FAILED  {name}: {wrong}")
    total = len(DONE) + len(REFUSED)
    print(
        f"{total} cases, {len(DONE)} to be loaded, {len(REFUSED)} to be refused; {failed} failed"
    )
    return failed


if __name__ == "__main__":
    if "--write" in sys.argv:
        write()
    raise SystemExit(main())
