"""The GPT of the page against the PyTorch text beside it, from the same weights."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from recorded import recorded

from minifw import AdamW, CrossEntropyLoss, Layer, Objective

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "gpt.md"
SIZES = {"characters": 11, "context": 8, "width": 16, "heads": 2, "blocks": 2}
STEPS = 20


def model_of_the_page() -> Layer:
    """Return the model that the page's own session builds."""
    session = re.findall(r"```python\n(>>> .*?)\n```", PAGE.read_text("utf-8"), re.DOTALL)[0]
    lines = [line[4:] for line in session.splitlines() if line.startswith((">>> ", "... "))]
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)  # noqa: S102 - our own page
    model = names["gpt"](**SIZES, rng=np.random.default_rng(0))
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
