"""The GPTs of the pages against the PyTorch text beside them, from the same weights."""

import doctest
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded import recorded

import minifw
from minifw import Adam, AdamW, CrossEntropyLoss, Layer, Objective

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "howto" / "gpt.md"
PROOF = DOCS / "learn" / "proof.md"
CHAPTER = DOCS / "learn" / "gpt.md"
SIZES = {"characters": 11, "context": 8, "width": 16, "heads": 2, "blocks": 2}
STEPS = 20


def names_of(page: Path, until: str) -> dict[str, Any]:
    """Return what a page's session defines before a line that begins so."""
    names: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(page.read_text("utf-8")):
        if example.source.startswith(until):
            break
        exec(example.source, names)  # noqa: S102 - our own page
    return names


def model_of_the_page() -> Layer:
    """Return the model that the page's own session builds."""
    model = names_of(PAGE, "model =")["gpt"](**SIZES, rng=np.random.default_rng(0))
    assert isinstance(model, Layer)
    return model


def test_losses_are_those_of_the_torch_text() -> None:
    model = model_of_the_page()
    state = model.state_dict()
    text = np.random.default_rng(1).integers(0, 11, (4, 9))
    x, target = text[:, :-1], text[:, 1:]
    torch_text = re.findall(r"```python\n(import torch.*?)```", PAGE.read_text("utf-8"), re.DOTALL)

    def compute(torch: Any) -> list[Any]:
        names: dict[str, Any] = {}
        exec(torch_text[0], names)  # noqa: S102 - our own page
        module = names["GPT"](**SIZES).double()
        names["load"](module, state)
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.003)
        losses = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            scores = module(torch.tensor(x)).reshape(-1, 11)
            loss = torch.nn.functional.cross_entropy(scores, torch.tensor(target).reshape(-1))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        return [losses, *(module.state_dict()[name] for name in state)]

    objective = Objective(model, CrossEntropyLoss())
    optimizer = AdamW(model.parameters(), lr=0.003)
    losses = []
    for _ in range(STEPS):
        losses.append(objective.forward(x, target))
        objective.backward()
        optimizer.step()
    theirs = recorded("gpt/losses", (state, text, torch_text[0]), compute)
    np.testing.assert_allclose(losses, theirs[0], rtol=0, atol=1e-12)
    for own, other in zip(model.state_dict().values(), theirs[1:], strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-10)


def test_the_step_of_the_proof_is_torchs() -> None:
    names = names_of(PROOF, "print(check_objective")
    objective, x, target = (names[name] for name in ("objective", "x", "target"))
    start = {name: value.copy() for name, value in objective.model.state_dict().items()}
    text = re.findall(r"```python\n(import torch.*?)```", PROOF.read_text("utf-8"), re.DOTALL)[0]

    def compute(_: Any) -> list[Any]:
        given = {**names, "start": start, "model": objective.model, "loss": loss}
        exec(text, given)  # noqa: S102 - our own page
        state = given["theirs"].state_dict()
        return [given["their_loss"], *(state[name] for name in start)]

    loss = objective.forward(x, target)
    objective.backward()
    Adam(objective.model.parameters(), lr=0.01).step()
    theirs = recorded("gpt/proof", (start, x, target, text), compute)
    assert loss == pytest.approx(float(theirs[0]), abs=1e-12)
    for own, other in zip(objective.model.state_dict().values(), theirs[1:], strict=True):
        np.testing.assert_allclose(own, other, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_the_proof_holds_for_the_answers_of_all_chapters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a learner has in mine.py at the end: the latest answer for each class of minifw."""
    index = (DOCS / "learn" / "index.md").read_text("utf-8").split("```{toctree}")[1]
    classes: dict[str, str] = {}
    for page in re.findall(r"^\w+$", index, re.MULTILINE):
        path = DOCS / "learn" / f"{page}.md"
        text = path.read_text("utf-8") if path.is_file() else ""
        for answers in re.findall(r"<details>.*?</details>", text, re.DOTALL):
            for example in doctest.DocTestParser().get_examples(answers):
                if found := re.match(r"class (\w+)\(", example.source):
                    classes[found[1]] = example.source
    own = [text for n, text in classes.items() if hasattr(minifw, n) or n == "Attention"]
    text = "\n".join(["import numpy as np", "from minifw import *", *own])
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    names = names_of(PROOF, "class Nearly")  # check_objective raises if a derivative is wrong
    monkeypatch.delitem(sys.modules, "mine")
    for name in ("CrossEntropyLoss", "Dense", "Embedding", "LayerNorm", "MultiHeadAttention"):
        assert names[name].__module__ == "mine"


@pytest.mark.slow
def test_the_gpt_of_the_path_goes_clearly_below_the_bigram() -> None:
    names = names_of(CHAPTER, 'ask("gpt"')
    model, codes = names["train"](1000), names["codes"]
    pieces = np.lib.stride_tricks.sliding_window_view(codes, 17)[::500]
    loss = CrossEntropyLoss().forward(model.predict(pieces[:, :16]), pieces[:, 1:])
    assert loss < 2.1  # a bigram has 2.42 to 2.46
