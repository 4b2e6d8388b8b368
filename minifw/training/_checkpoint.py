"""What training continues from: taken from a trainer, put back into one, and kept in a file."""

import copy
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any

import numpy as np

from minifw._tools.generators import AnyGenerator, find_generators, kind_of, load_states, state_of
from minifw._tools.options import options_below, same, settled
from minifw._tools.walking import places
from minifw.core.layer import Layer
from minifw.core.optimizer import Optimizer
from minifw.errors import FileFormatError
from minifw.metrics import Metric
from minifw.schedules.schedule import Scheduler
from minifw.storage.tree import PLAIN, read_tree, write_tree
from minifw.training._data import checksum
from minifw.training._hooks import Callback, keys_of
from minifw.training._plan import STREAMS
from minifw.training._run import Run

OWNER = "Trainer.load_checkpoint"
KIND = "checkpoint"
# The parts of a checkpoint, each a dict, and what each has at least.
PARTS: dict[str, tuple[str, ...]] = {
    "model": (),
    "optimizer": ("class", "state"),
    "callbacks": (),
    "generators": (),
    "metrics": (),
    "run": ("history", "totals"),
}


# -- a trainer as a tree of plain values and arrays -------------------------------------------


def capture(trainer: Any) -> dict[str, Any]:
    """Return a copy of all that a run continues from."""
    run, optimizer = trainer.run, trainer.optimizer
    seen = run.seen if run.latest is None else checksum(run.latest)
    now_under_way = {"due": trainer._hooks.due() or run.due, "seen": seen}
    states = {key: one.state_dict() for key, one in _by_key(trainer).items()}
    now = options(trainer)
    return {
        "model": trainer.model.state_dict(),
        "built": _built(trainer),
        "frozen": _frozen(trainer),
        "optimizer": {"class": optimizer._kind, "state": optimizer.state_dict()},
        "more": {name: one.state_dict() for name, one in _more(trainer).items()},
        "callbacks": {key: copy.deepcopy(state) for key, state in states.items() if state},
        "generators": run.owed | {name: state_of(g) for name, g in generators(trainer).items()},
        "metrics": {name: _identity(metric) for name, metric in trainer.metrics.items()},
        "options": now,
        "signs": copy.deepcopy(trainer._signs.state_dict()),
        "given": now if trainer._given is None else trainer._given,
        "run": copy.deepcopy(run.state_dict() | now_under_way),
    }


def apply(trainer: Any, tree: Mapping[str, Any]) -> None:
    """Put a trainer into the state of `tree`, or raise; it may then be left half changed."""
    _check_fit(trainer, tree)
    run = Run(trainer._no_totals())
    run.load_state_dict(tree["run"])
    _load("the model", trainer.model, tree["model"])
    rates = [(one, copy.copy(one.lr_factors)) for one in _optimizers(trainer)]
    _load("the optimizer", trainer.optimizer, tree["optimizer"]["state"])
    for one, factors in rates:  # which are given with the groups, and change in no run
        if factors is not None:
            one.lr_factors = factors
    for name, one in _more(trainer).items():
        _load(name, one, tree["more"][name])
    trainer._signs.load_state_dict(copy.deepcopy(tree.get("signs", {})))
    _load_options(trainer, tree)
    callbacks = _by_key(trainer)
    for key, state in tree["callbacks"].items():
        _load(f"the callback {key}", callbacks[key], copy.deepcopy(state))
    found = generators(trainer)
    load_states(found, tree["generators"])
    run.owed = {n: s for n, s in tree["generators"].items() if n.startswith(STREAMS)}
    trainer.run, trainer.objective.steps = run, run.step


def _load(what: str, one: Any, state: Any) -> None:
    try:
        one.load_state_dict(state)
    except ValueError as error:
        raise ValueError(f"{OWNER} expects {what} of the saved run: {error}") from error


def options(trainer: Any) -> dict[str, Any]:
    """Return the options of all that trains, such as an optimizer's lr, by their paths."""
    found = {}
    for path, (one, name) in options_below(_roots(trainer)).items():
        value = getattr(one, name)
        if isinstance(value, (*PLAIN, tuple, np.ndarray)):
            found[path] = copy.copy(value)
    return found


def _load_options(trainer: Any, tree: Mapping[str, Any]) -> None:
    """Assign the saved options, but where the user gave another one than that run was given."""
    given: Mapping[str, Any] = tree.get("given", {})
    saved: Mapping[str, Any] = tree.get("options", {})
    mine: Mapping[str, Any] = trainer._given or {}
    for path, (one, name) in options_below(_roots(trainer)).items():
        if path in saved and path in given and path in mine:
            now = getattr(one, name)
            value = settled(saved[path], given[path], mine[path])
            if not same(value, now):  # a file has lists for tuples
                setattr(one, name, tuple(value) if isinstance(now, tuple) else value)


def _check_fit(trainer: Any, tree: Mapping[str, Any]) -> None:
    """Raise unless the checkpoint is that of a trainer built like this one."""
    frozen = _frozen(trainer)
    _same_names("frozen parameters", frozen, tree.get("frozen", frozen))  # old files lack them
    metrics = {name: _identity(metric) for name, metric in trainer.metrics.items()}
    saved = {name: text or metrics.get(name, "") for name, text in tree["metrics"].items()}
    built = tree.get("built", {})
    facts = [
        ("", trainer.optimizer._kind, tree["optimizer"]["class"]),
        ("the metrics ", _listed(metrics), _listed(saved)),
        *((f"{name} ", text, built.get(name, text)) for name, text in _built(trainer).items()),
    ]
    for what, mine, other in facts:
        if mine != other:
            raise ValueError(
                f"{OWNER} expects the checkpoint of a run with {what}{mine}, got {other}"
            )
    states, found = tree["generators"], generators(trainer)
    with_state = [key for key, callback in _by_key(trainer).items() if callback.state_dict()]
    # Generators of callbacks without a state, such as one that interrupted the run, may differ;
    # the data's are not known before `fit`.
    passed = ("callbacks.", *STREAMS)
    _same_names("callbacks", with_state, tree["callbacks"])
    _same_names("other layers, optimizers and schedules", _more(trainer), tree.get("more", {}))
    _same_names("random generators", found, states, passed)
    for name in set(found) & set(states):
        kind, other = kind_of(state_of(found[name])), kind_of(states[name])
        if kind != other:
            raise ValueError(f"{OWNER} expects {name} to be a {other}, as saved, got a {kind}")


def generators(trainer: Any) -> dict[str, AnyGenerator]:
    """Return all random generators of a trainer, and of the data of a fit, by their paths."""
    roots = {"rng": trainer.rng, **_roots(trainer), "metrics": trainer.metrics, **trainer._streams}
    return find_generators(roots, {id(trainer)})


def _roots(trainer: Any) -> dict[str, Any]:
    return {
        "model": trainer.model,
        "loss": trainer.loss,
        "penalties": trainer.penalties,
        "optimizer": trainer.optimizer,
        **trainer._others(),
        "callbacks": _by_key(trainer),
    }


def _more(trainer: Any) -> dict[str, Any]:
    """Return what a subclass of `Trainer` has beside the trainer's own: what has a state."""
    own = (trainer, trainer.model, trainer.optimizer, trainer.objective, *trainer.callbacks)
    found: dict[str, Any] = {}
    for path, one in places(trainer._others(), {id(thing) for thing in own}):
        inside = path.startswith(tuple(f"{outer}." for outer in found))
        if isinstance(one, Layer | Optimizer | Scheduler) and not inside:
            found[path] = one
    return found


def _by_key(trainer: Any) -> dict[str, Callback]:
    return dict(zip(keys_of(trainer.callbacks), trainer.callbacks, strict=True))


def _identity(metric: Any) -> str:
    """Return what stands behind the name of a metric: one of minifw's, or a function's name."""
    if isinstance(metric, Metric):
        return repr(metric)
    return str(getattr(metric, "__name__", type(metric).__name__))


def _listed(metrics: Mapping[str, str]) -> str:
    texts = {name: "" if text in ("", name) else f" ({text})" for name, text in metrics.items()}
    return f"[{', '.join([f'{name!r}{text}' for name, text in texts.items()])}]"


def _optimizers(trainer: Any) -> list[Optimizer]:
    found = places({"": trainer.optimizer}, {id(trainer.model)})
    return [one for _, one in found if isinstance(one, Optimizer)]


def _built(trainer: Any) -> dict[str, str]:
    """Return what its arrays do not tell of a model and an optimizer: classes, and an order."""
    names = {id(p): name for name, p in trainer.model.named_parameters()}
    order = [names.get(id(p), "another") for p in trainer.optimizer.parameters]
    layers = {
        f"layer {name}": type(layer).__name__ for name, layer in trainer.model.named_layers()
    }
    return {**layers, "parameters in the order": ", ".join(order)}


def _frozen(trainer: Any) -> list[str]:
    return [name for name, p in trainer.model.named_parameters() if p.frozen]


def _same_names(
    what: str, mine: Iterable[str], saved: Iterable[str], passed: tuple[str, ...] = ()
) -> None:
    own, other = ({n for n in names if not n.startswith(passed)} for names in (mine, saved))
    faults = [f"{name} is not in the checkpoint" for name in sorted(own - other)]
    faults += [f"{name} is in the checkpoint alone" for name in sorted(other - own)]
    if faults:
        raise ValueError(f"{OWNER} expects the {what} of the saved run: {'; '.join(faults)}")


# -- the tree in a file -----------------------------------------------------------------------


def write(path: str | PathLike[str], tree: Mapping[str, Any]) -> None:
    """Write the tree into one file, whole or not at all."""
    write_tree("Trainer.save_checkpoint", path, KIND, tree)


def read(path: str | PathLike[str]) -> dict[str, Any]:
    """Return the tree of a file, or raise if anything that `apply` looks for is not there."""
    try:
        tree: dict[str, Any] = _of_0_1(read_tree(path, KIND))
        _check_tree(tree)
    except (KeyError, TypeError, ValueError) as error:
        raise FileFormatError(f"{path} is no checkpoint: {error}") from error
    return tree


def _of_0_1(tree: Any) -> Any:
    """Return the tree of a file of minifw 0.1 as it is written now; that of a later one as is."""
    if not isinstance(tree, dict) or "place" not in tree:
        return tree
    place, due = tree["place"], tree["due"]
    begun, order = place["_begun"], place["_order_state"]
    run = {
        **{name: place[name] for name in ("epoch", "batch", "step", "batch_loss")},
        "begun": begun,
        "validating": False,
        "varies": False,
        "place": place["batch"] if begun else 0,
        "drawn": ({"rng": order} if order else {}) if begun else None,
        "why": place["_stop"],
        "plan": place["_plan"],
        "due": due if due["event"] else None,
        "history": tree["history"],
        "totals": tree["totals"],
    }
    return {**tree, "metrics": dict.fromkeys(tree["metrics"], ""), "run": run}


def _check_tree(tree: Any) -> None:
    for name, keys in PARTS.items():
        if not isinstance(tree, dict) or not isinstance(tree.get(name), dict):
            raise TypeError(f"it has no {name}")
        missing = [key for key in keys if key not in tree[name]]
        if missing:
            raise ValueError(f"its {name} lacks {', '.join(missing)}")
    for name, state in tree["generators"].items():
        try:
            kind_of(state)
        except (LookupError, TypeError) as error:
            raise ValueError(f"{name} is no state of a generator") from error
