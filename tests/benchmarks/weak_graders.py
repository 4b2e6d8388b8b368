"""How many wrong homeworks pass the graders of other courses, and how many pass `ask`.

    python tests/benchmarks/weak_graders.py

The homeworks are the wrong layers of tests/lessons/homeworks.py. Each grader that compares the
derivatives with central differences has one fault: what comes from the layer above is all ones,
one place of each array is looked at, or the tolerance is 1e-2. A fourth has all three, as
MiniTorch's grad_check; a fifth has none. One looks at y alone. docs/learn/grader.md has the table.
"""

import copy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "lessons"))

from homeworks import RIGHT, WRONG, answer

from minifw.lessons._ask import grade
from minifw.lessons._exercises import EXERCISES
from minifw.lessons._kinds import LayerExercise

STEP, TIGHT, LOOSE = 1e-6, 1e-6, 1e-2
SEEDS = range(5)  # of the graders that draw

Arrays = list[np.ndarray]
Grader = Callable[[Any, tuple[Any, ...], np.random.Generator], bool]


def forward(layer: Any, xs: tuple[Any, ...]) -> np.ndarray:
    """Return y, and leave x and the layer as they are."""
    return np.asarray(copy.deepcopy(layer).forward(*(x.copy() for x in xs)))


def backward(layer: Any, xs: tuple[Any, ...], dy: np.ndarray) -> Arrays:
    """Return the gradients by the inputs that have one, then by the parameters."""
    layer = copy.deepcopy(layer)
    layer.forward(*(x.copy() for x in xs))
    dx = layer.backward(dy.copy())
    found = dx if isinstance(dx, tuple) else (dx,)
    inner = [d for d, x in zip(found, xs, strict=True) if x.dtype.kind == "f"]
    return [*inner, *(p.grad.copy() for p in layer.parameters())]


def differences(
    layer: Any, xs: tuple[Any, ...], dy: np.ndarray, *, one: np.random.Generator | None
) -> Arrays:
    """Return the same by central differences; where it is not asked for, nan."""
    layer = copy.deepcopy(layer)
    inputs = [x for x in xs if x.dtype.kind == "f"]
    result = []
    for array in [*inputs, *(p.value for p in layer.parameters())]:
        slope = np.full(array.shape, np.nan)
        places = list(np.ndindex(array.shape))
        for place in [places[one.integers(len(places))]] if one else places:
            kept, ends = array[place], []
            for h in (STEP, -STEP):
                array[place] = kept + h
                ends.append(float((dy * forward(layer, xs)).sum()))
            array[place] = kept
            slope[place] = (ends[0] - ends[1]) / (2 * STEP)
        result.append(slope)
    return result


def by_differences(
    layer: Any,
    xs: tuple[Any, ...],
    rng: np.random.Generator,
    *,
    ones: bool = False,
    one: bool = False,
    tolerance: float = TIGHT,
) -> bool:
    """Return whether a grader with differences lets a layer pass."""
    shape = forward(layer, xs).shape
    dy = np.ones(shape) if ones else rng.standard_normal(shape)
    wanted = differences(layer, xs, dy, one=rng if one else None)
    found = backward(layer, xs, dy)
    return all(
        a.shape == b.shape and np.allclose(a[at], b[at], rtol=tolerance, atol=tolerance)
        for a, b in zip(found, wanted, strict=True)
        for at in [~np.isnan(b)]
    )


def by_values(layer: Any, xs: tuple[Any, ...], _: Any, *, exercise: LayerExercise) -> bool:
    """Return whether y is right, and there are gradients."""
    y = forward(layer, xs)
    backward(layer, xs, np.ones_like(y))
    right = exercise._right(copy.deepcopy(layer))(*xs)
    return y.shape == right.shape and np.allclose(y, right, rtol=TIGHT, atol=TIGHT)


GRADERS: dict[str, Grader] = {
    "all ones for dy": partial(by_differences, ones=True),
    "one place of each array": partial(by_differences, one=True),
    "a tolerance of 1e-2": partial(by_differences, tolerance=LOOSE),
    "all three": partial(by_differences, ones=True, one=True, tolerance=LOOSE),
    "none of them": by_differences,
}
VALUES = "y alone, and that there is a gradient"


def passes(grader: Grader, layer: Any, xs: tuple[Any, ...], seed: int) -> bool:
    """Return whether a layer passes; one that raises does not."""
    try:
        with np.errstate(all="ignore"):
            return grader(layer, xs, np.random.default_rng(seed))
    except Exception:  # noqa: BLE001 - whatever it raises
        return False


def prepared(exercise: LayerExercise, layer: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a layer with parameters of ordinary size, and its inputs."""
    rng = np.random.default_rng(0)
    xs = exercise.inputs(rng)
    for parameter in layer.parameters():
        parameter.value = rng.standard_normal(parameter.shape)
    return layer, xs


def main() -> None:
    """Print the table."""
    layers = {n: e for n, e in EXERCISES.items() if isinstance(e, LayerExercise) and n in RIGHT}
    through, count = dict.fromkeys([*GRADERS, VALUES, "ask"], 0.0), 0
    for name, exercise in layers.items():
        graders: dict[str, Grader] = {**GRADERS, VALUES: partial(by_values, exercise=exercise)}
        right, xs = prepared(exercise, answer(name))
        for label, grader in graders.items():
            if not all(passes(grader, right, xs, seed) for seed in SEEDS):
                print(f"{label}: refuses the right {name}")
        for old, new, _ in WRONG[name]:
            wrong, xs = prepared(exercise, answer(name, old, new))
            for label, grader in graders.items():
                passed = [passes(grader, wrong, xs, seed) for seed in SEEDS]
                through[label] += float(np.mean(passed))
            through["ask"] += grade(name, answer(name, old, new)) is None
            count += 1
    print(f"{count} wrong layers of {len(layers)} exercises; let through, on the average:")
    for label, number in through.items():
        print(f"{label:40} {number:5.1f}")


if __name__ == "__main__":
    main()
