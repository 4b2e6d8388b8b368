"""The catalogue against the public names."""

import inspect
import re
from pathlib import Path

import minifw
from minifw import Layer, Loss, Optimizer, Penalty, Schedule

CATALOGUE = Path(__file__).parents[2] / "docs" / "catalogue.md"
KINDS = (Layer, Loss, Optimizer, Penalty, Schedule)


def test_each_class_has_a_row_and_what_is_left_out_is_no_class() -> None:
    there, left_out = CATALOGUE.read_text(encoding="utf-8").split("## Left out\n")
    names = vars(minifw)["__all__"]
    rows = "\n".join(re.findall(r"^\| (.*?) \|", there, re.MULTILINE))
    for name in names:
        kind = getattr(minifw, name)
        if inspect.isclass(kind) and issubclass(kind, KINDS) and not inspect.isabstract(kind):
            assert re.search(rf"`{name}\b", rows), f"{name} has no row"
    public = {name.lower() for name in names}
    cells = re.findall(r"^\| (`.*?) \| (.*) \|$", left_out, re.MULTILINE)
    assert cells
    for missing, instead in cells:
        assert public.isdisjoint(re.findall(r"`(\w+)`", missing.lower())), f"it has {missing}"
        classes = re.findall(r"`([A-Z]\w+)[`(]", instead)
        assert set(classes) <= set(names), f"{instead}: there is no such class"
