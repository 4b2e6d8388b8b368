"""What training goes on from: taken from a trainer, put back into one, and kept in a file."""

import copy
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from minifw._tools.generators import AnyGenerator, find_generators, kind_of, load_state, state_of
from minifw.errors import FileFormatError
from minifw.storage._archive import read_archive, write_archive
from minifw.training._hooks import keys_of

OWNER = "Trainer.load_checkpoint"
KIND = "checkpoint"
# The attributes of a trainer that say where its run is.
PLACE = ("epoch", "batch", "step", "batch_loss", "_begun", "_order_state", "_stop", "_plan")
# The parts of a checkpoint, their types, and what each has at least.
PARTS: dict[str, tuple[type, tuple[str, ...]]] = {
    "model": (dict, ()),
    "optimizer": (dict, ("class", "state")),
    "callbacks": (dict, ()),
    "generators": (dict, ()),
    "history": (dict, ("stopped", "length", "columns")),
    "metrics": (list, ()),
    "totals": (dict, ("loss", "weight", "sums", "kept")),
    "place": (dict, PLACE),
    "due": (dict, ("event", "callbacks")),
}
_ARRAY = "array of the archive"  # the key of a dict that stands for an array
_PLAIN = (type(None), bool, int, float, str)


# -- a trainer as a tree of plain values and arrays -------------------------------------------


def capture(trainer: Any) -> dict[str, Any]:
    """Return a copy of all that a run goes on from."""
    keys = keys_of(trainer.callbacks)
    states = [callback.state_dict() for callback in trainer.callbacks]
    optimizer = trainer.optimizer
    return {
        "model": trainer.model.state_dict(),
        "frozen": _frozen(trainer),
        "optimizer": {"class": optimizer._kind, "state": optimizer.state_dict()},
        "callbacks": {
            key: copy.deepcopy(state) for key, state in zip(keys, states, strict=True) if state
        },
        "generators": {name: state_of(found) for name, found in _generators(trainer).items()},
        "history": trainer.history.state_dict(),
        "metrics": list(trainer.metrics),
        "totals": trainer._totals.state_dict(),
        "place": {name: getattr(trainer, name) for name in PLACE},
        "due": trainer._hooks.due() or trainer._due,
    }


def apply(trainer: Any, tree: Mapping[str, Any]) -> None:
    """Put a trainer into the state of `tree`, or raise; it may then be left half changed."""
    _check_fit(trainer, tree)
    trainer.model.load_state_dict(tree["model"])
    trainer.optimizer.load_state_dict(tree["optimizer"]["state"])
    callbacks = dict(zip(keys_of(trainer.callbacks), trainer.callbacks, strict=True))
    for key, state in tree["callbacks"].items():
        callbacks[key].load_state_dict(copy.deepcopy(state))
    generators = _generators(trainer)
    for name, state in tree["generators"].items():
        if name in generators:
            load_state(generators[name], state)
    trainer.history.load_state_dict(tree["history"])
    trainer._totals.load_state_dict(tree["totals"])
    for name in PLACE:
        setattr(trainer, name, tree["place"][name])
    trainer.objective.steps = trainer.step
    trainer._due = tree["due"]


def _check_fit(trainer: Any, tree: Mapping[str, Any]) -> None:
    """Raise unless the checkpoint is that of a trainer built like this one."""
    mine, saved = trainer.optimizer._kind, tree["optimizer"]["class"]
    if mine != saved:
        raise ValueError(f"{OWNER} expects the checkpoint of a run with {mine}, got {saved}")
    if list(trainer.metrics) != tree["metrics"]:
        raise ValueError(
            f"{OWNER} expects the checkpoint of a run with the metrics "
            f"{list(trainer.metrics)}, got {tree['metrics']}"
        )
    frozen = tree.get("frozen", _frozen(trainer))  # files of older versions do not say it
    _same_names("frozen parameters", set(_frozen(trainer)), set(frozen))
    pairs = zip(keys_of(trainer.callbacks), trainer.callbacks, strict=True)
    with_state = {key for key, callback in pairs if callback.state_dict()}
    _same_names("callbacks", with_state, set(tree["callbacks"]))
    generators = _generators(trainer)
    # Those of callbacks without a state, such as one that interrupted the run, may differ.
    both = (set(generators), set(tree["generators"]))
    mine_found, saved_found = ({n for n in s if not n.startswith("callbacks.")} for s in both)
    _same_names("random generators", mine_found, saved_found)
    for name in set(generators) & set(tree["generators"]):
        kind, other = kind_of(state_of(generators[name])), kind_of(tree["generators"][name])
        if kind != other:
            raise ValueError(f"{OWNER} expects {name} to be a {other}, as saved, got a {kind}")


def check_plan(owner: str, trainer: Any, plan: Mapping[str, Any], columns: list[str]) -> None:
    """Raise unless a run is gone on with as it was begun."""
    history, begun = trainer.history, trainer._plan
    if len(history) and history.columns != columns:
        raise ValueError(
            f"{owner} goes on with a run whose history has {', '.join(history.columns)}, got "
            f"arguments that give {', '.join(columns)}"
        )
    changed = [name for name in plan if trainer._begun and plan[name] != begun[name]]
    if changed:
        raise ValueError(
            f"{owner} goes on in the middle of epoch {trainer.epoch}, which was begun with "
            f"{', '.join(f'{name}={begun[name]}' for name in changed)}; got "
            f"{', '.join(f'{name}={plan[name]}' for name in changed)}"
        )


def _generators(trainer: Any) -> dict[str, AnyGenerator]:
    roots = {
        "rng": trainer.rng,
        "model": trainer.model,
        "loss": trainer.loss,
        "optimizer": trainer.optimizer,
        "callbacks": dict(zip(keys_of(trainer.callbacks), trainer.callbacks, strict=True)),
        "metrics": trainer.metrics,
    }
    return find_generators(roots, {id(trainer)})


def _frozen(trainer: Any) -> list[str]:
    return [name for name, p in trainer.model.named_parameters() if p.frozen]


def _same_names(what: str, mine: set[str], saved: set[str]) -> None:
    faults = [f"{name} is not in the checkpoint" for name in sorted(mine - saved)]
    faults += [f"{name} is in the checkpoint alone" for name in sorted(saved - mine)]
    if faults:
        raise ValueError(f"{OWNER} expects the {what} of the saved run: {'; '.join(faults)}")


# -- the tree in a file -----------------------------------------------------------------------


def write(path: str | PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write the tree into one file, whole or not at all."""
    arrays: dict[str, Any] = {}
    write_archive(path, KIND, {"tree": _without_arrays(tree, "", arrays)}, arrays)


def read(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the tree of a file, or raise if anything that `apply` looks for is not there."""
    meta, arrays = read_archive(path, KIND)
    try:
        tree = _with_arrays(meta.get("tree"), arrays)
        _check_tree(tree)
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path} is no checkpoint: {error}") from error
    found: dict[str, Any] = tree
    return found


def _check_tree(tree: Any) -> None:
    for name, (kind, keys) in PARTS.items():
        if not isinstance(tree, dict) or not isinstance(tree.get(name), kind):
            raise TypeError(f"it has no {name}")
        missing = [key for key in keys if key not in tree[name]]
        if missing:
            raise ValueError(f"its {name} lacks {', '.join(missing)}")
    for name, state in tree["generators"].items():
        try:
            kind_of(state)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{name} is no state of a generator") from error


def _without_arrays(value: Any, name: str, arrays: dict[str, Any]) -> Any:
    """Return the tree with the name of each array in its place, and put those into `arrays`."""
    if isinstance(value, np.ndarray):
        arrays[name] = value
        return {_ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {
            key: _without_arrays(item, f"{name}/{key}".lstrip("/"), arrays)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        items = (_without_arrays(v, f"{name}/{i}", arrays) for i, v in enumerate(value))
        return tuple(items) if isinstance(value, tuple) else list(items)
    if not isinstance(value, _PLAIN):
        raise TypeError(
            f"Trainer.save_checkpoint expects state_dict to hold numbers, text, arrays and "
            f"containers of them, got {type(value).__name__} at {name}"
        )
    return value


def _with_arrays(value: Any, arrays: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            return arrays[value[_ARRAY]]  # a KeyError, if there is none
        return {key: _with_arrays(item, arrays) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_with_arrays(item, arrays) for item in value)
    return value
