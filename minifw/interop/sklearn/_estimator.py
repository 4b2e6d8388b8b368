"""What the classifier and the regressor share: the parameters, and training."""

import math
from typing import Any, Self

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from minifw._tools.checks import describe
from minifw._tools.numbers import (
    check_choice,
    check_flag,
    check_non_negative,
    check_positive,
    check_size,
    or_none,
)
from minifw._tools.warn import warn_user
from minifw.callbacks import EarlyStopping, Progress
from minifw.core.layer import Layer
from minifw.interop.sklearn import _presets as presets
from minifw.interop.sklearn._at_once import at_once, is_at_once
from minifw.interop.sklearn._building import (
    build_chain,
    build_optimizer,
    build_with,
    same,
    snapshot,
)
from minifw.interop.sklearn._reading import Rows, TableReader, counted, random_state
from minifw.interop.sklearn._rollback import undone_by_errors
from minifw.interop.sklearn._stopping import between_epochs, own_copy
from minifw.interop.sklearn._tabular import ENCODINGS, front
from minifw.layers import adapt
from minifw.losses import Loss
from minifw.training import History, Trainer
from minifw.training._hooks import check_callbacks
from minifw.typing import Array

AUTO_BATCH = 200  # rows, or all where there are fewer: what "auto" means to scikit-learn
SEED_WORDS = 4  # of 32 bits, the entropy that NumPy asks for


class NetworkEstimator(TableReader):
    """The parameters and the training of both estimators; see there."""

    _kind: str  # "classifier" or "regressor"
    optimizer_: Any  # None where there is none that makes steps
    _metric: str  # of minifw.metrics: what is recorded beside the loss

    def _keep(self, arguments: dict[str, Any]) -> None:
        """Keep the arguments of the constructor under their names, as scikit-learn asks for it."""
        for name in arguments.keys() - {"self"}:
            setattr(self, name, arguments[name])

    # -- what the two differ in --------------------------------------------------

    def _learn_target(self, y: Any, *classes: Any) -> None:
        """Take from `y`, or from all classes, what the network has to say: classes, columns."""
        raise NotImplementedError

    def _out_features(self) -> int:
        raise NotImplementedError

    def _loss_of(self, model: Layer, outputs: int) -> Loss:
        """Return the loss that this network needs, and remember how to read its outputs."""
        raise NotImplementedError

    def _end(self) -> list[Layer]:
        """Return what stands behind the last `Dense` of a network of its own."""
        return []

    def _dressed(self, learner: Layer) -> Layer:
        """Return the network as it predicts, of the one that learns."""
        return learner

    def _begin(self, rows: Rows) -> None:
        """Measure the training rows, before the first step."""
        adapt(self._learner, self._input(rows.x))

    def _finish(self, owner: str, validation: Rows | None) -> None:
        """Do what comes after the last step."""

    # -- training ----------------------------------------------------------------

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : array or table of shape (examples, features)
        y : array of shape (examples,), or of several columns: of a classifier 0 and 1 per label
        sample_weight : array of shape (examples,), optional
            What each example counts: a weight of 2 is as good as the row twice.
        X_val, y_val, sample_weight_val : optional
            A validation part of your own, evaluated after each epoch.

        Returns
        -------
        self
        """
        held = None if X_val is None and y_val is None else (X_val, y_val, sample_weight_val)
        owner = f"{type(self).__name__}.fit"
        with undone_by_errors(self):
            self._trained(owner, X, y, sample_weight, held)
        use = self._use
        self._warn_if_interrupted(self.history_)
        steps, ended = self.optimizer_ is not None, self.history_.stopped is not None
        watched = use.tol is not None and use.n_iter_no_change is not None
        if steps and watched and not (ended or use.early_stopping):
            warn_user(
                f"{owner}: the loss still fell by tol={use.tol:g} after all {self.n_iter_} "
                "epochs; raise max_epochs or lr, or train for so many with tol=None",
                ConvergenceWarning,
            )
        return self

    def _trained(
        self, owner: str, X: Any, y: Any, sample_weight: Any, held: tuple[Any, Any, Any] | None
    ) -> None:
        """Do what `fit` is."""
        use = self._use = presets.chosen(owner, self, self._kind)
        epochs = self._check_parameters(owner)
        again = check_flag(owner, "warm_start", use.warm_start) and hasattr(self, "model_")
        X, y = self._read(X, y, reset=not again)
        if not again:
            self._learn_target(y)
        target = self._check_target(owner, y)
        part = Rows(X, target, self._read_weight(owner, "sample_weight", sample_weight, X))
        early = check_flag(owner, "early_stopping", use.early_stopping)
        random = random_state(owner, use.random_state)
        if again:
            self._go_on(owner)
            if self.optimizer_ is not None:
                self.optimizer_.lr = self._base_lr  # a schedule of the fit before may have left 0
        else:
            self._build(owner, X, random)
        measured: Rows | None = None
        if held is not None:
            measured = self._read_held(owner, *held)
        elif early:
            part, measured = self._split(owner, part, random)
        if not again:
            self._begin(counted(part))
        validation = None
        if measured is not None:
            validation = self._rows(owner, "rows of the validation part", measured)
        split = held is None and early
        rows = self._rows(owner, "rows of the training part" if split else "rows", part)
        stopping: EarlyStopping | None = None
        if self.optimizer_ is None:
            self.history_ = at_once(owner, self._learner, self._loss, rows, use)
        else:
            n = rows.x.shape[0]
            steps = epochs * (n // self._batch_size(owner, n))
            held_out = validation is not None
            callbacks = between_epochs(
                owner, use, self.optimizer_, self._metric, steps, measured=held_out
            )
            stopping = next((one for one in callbacks if isinstance(one, EarlyStopping)), None)
            trainer = self._trainer(owner, callbacks, measured=held_out)
            self.history_ = self._run(trainer, rows, epochs, validation)
        self.n_iter_ = len(self.history_)
        self.best_epoch_ = self.n_iter_ if stopping is None else stopping.best_epoch
        self._finish(owner, validation)

    def _partial_fit(self, X: Any, y: Any, sample_weight: Any, *classes: Any) -> Self:
        owner = f"{type(self).__name__}.partial_fit"
        with undone_by_errors(self):
            self._use = presets.chosen(owner, self, self._kind)
            self._check_parameters(owner)
            first = not hasattr(self, "model_")
            X, y = self._read(X, y, reset=first)
            if first:
                self._learn_target(y, *classes)
            target = self._check_target(owner, y)
            part = Rows(X, target, self._read_weight(owner, "sample_weight", sample_weight, X))
            if first:
                self._build(owner, X, random_state(owner, self.random_state))
                self._begin(counted(part))
                self.history_ = History()
            else:
                self._go_on(owner)
                if self.preset is not None:  # of whose cycles `fit` leaves the end, which is 0
                    self.optimizer_.lr = self._base_lr
            trainer = self._trainer(owner, [], measured=False, watch=first)
            rows = self._rows(owner, "rows", part)
            history = self._run(trainer, rows, 1, None)
        if len(history):  # else Ctrl-C ended it
            if self.history_.columns not in ([], history.columns):  # of a fit with validation
                self.history_ = History()
            self.history_.append(history.last)
        self.n_iter_ = self.best_epoch_ = len(self.history_)
        self._warn_if_interrupted(history)
        return self

    def _warn_if_interrupted(self, history: History) -> None:
        why = history.stopped or ""
        if why.startswith("interrupted"):
            warn_user(f"{type(self).__name__}: {why}")

    def _check_parameters(self, owner: str) -> int:
        """Return max_epochs, or raise if a number is none that serves."""
        use = self._use
        or_none(check_non_negative)(owner, "tol", use.tol)
        if use.n_iter_no_change == math.inf:
            use.n_iter_no_change = None
        or_none(check_size)(owner, "n_iter_no_change", use.n_iter_no_change)
        check_positive(owner, "lr", use.lr)
        check_non_negative(owner, "weight_decay", use.weight_decay)
        return check_size(owner, "max_epochs", use.max_epochs)

    def _build(self, owner: str, X: Array, random: Any) -> None:
        """Make network, loss and optimizer."""
        # A RandomState, also NumPy's global one, gives a seed; all else is drawn from it.
        words = random.randint(0, 2**32, size=SEED_WORDS, dtype=np.uint32)
        self._rng = rng = np.random.default_rng(words)
        sizes = X.shape[1], self._out_features()
        use, recipe = self._use, self._use.preset is not None
        encoding = check_choice(*ENCODINGS, None)(owner, "number_encoding", use.number_encoding)
        if use.network is None:
            model = build_chain(
                owner,
                use.hidden_layers,
                use.activation,
                sizes,
                front=lambda dtype: front(
                    X, self._categories, robust=recipe, encoding=encoding, dtype=dtype, rng=rng
                ),
                dense=presets.dense if recipe else None,
                end=self._end(),
                dtype=X.dtype,
                rng=rng,
            )
        else:
            model = build_with(owner, use.network, sizes, rng)
        model.eval()
        self._whole = model._whole_inputs[0]
        shape = model.output_shape(sizes[:1])
        if len(shape) != 1:
            raise ValueError(
                f"{owner} expects the network to give a row of numbers for each example, it gives "
                f"the shape {shape}; end it in Flatten() or Dense(..., {sizes[1]})"
            )
        self._outputs_wide = shape[0]
        self._loss = self._loss_of(model, shape[0])
        if is_at_once(use.optimizer):
            self.optimizer_ = None
        elif recipe and use.optimizer == "adam" and not use.weight_decay:
            self.optimizer_ = presets.optimizer(model, use.lr)
        else:
            self.optimizer_ = build_optimizer(
                owner, use.optimizer, model, use.lr, use.weight_decay
            )
        self._base_lr = use.lr if self.optimizer_ is None else self.optimizer_.lr
        self._learner, self.model_ = model, self._dressed(model).eval()
        self._made_with = self._made_of()

    def _made_of(self) -> dict[str, Any]:
        """Return the parameters of the network and the optimizer, as `same` compares them."""
        names = ["preset", "optimizer", "lr", "weight_decay", "network"]
        if self.network is None:
            names += ["hidden_layers", "activation", "number_encoding"]
        if self._numeric:
            names.append("normalize_target")
        return {name: snapshot(getattr(self._use, name)) for name in names}

    def _go_on(self, owner: str) -> None:
        """Let changed parameters take effect on what is kept, or raise if they cannot."""
        old, new = self._made_with, self._made_of()
        rates = ("lr", "weight_decay")
        changed = [n for n in (*old, *new) if n not in rates and not same(old.get(n), new.get(n))]
        if self.optimizer_ is not None and old["weight_decay"] != new["weight_decay"]:
            # A class that was not given a decay does not know whose parameters are left out.
            named = isinstance(self._use.optimizer, str)
            if named or (old["weight_decay"] and hasattr(self.optimizer_, "weight_decay")):
                self.optimizer_.weight_decay = new["weight_decay"]
            else:
                changed.append("weight_decay")
        if changed:
            raise ValueError(
                f"{owner} cannot go on with another {changed[0]} than its trained network "
                "has; fit without warm_start"
            )
        if self.optimizer_ is not None and old["lr"] != new["lr"]:
            self.optimizer_.lr = self._base_lr = new["lr"]
        self._loss = self._loss_of(self._learner, self._outputs_wide)
        self._made_with = new

    def _trainer(
        self, owner: str, callbacks: list[Any], *, measured: bool, watch: bool = True
    ) -> Trainer:
        metrics = [self._metric] if measured and self._metric else []
        parts = self._learner, self._loss, self.optimizer_
        trainer = Trainer(*parts, metrics=metrics, rng=self._rng, watch=watch)
        trainer._validation_fix = "give fit X_val and y_val, or set early_stopping=True"
        if isinstance(self.callbacks, str) or not hasattr(self.callbacks, "__iter__"):
            raise TypeError(f"{owner} expects a list of callbacks, got {describe(self.callbacks)}")
        own = [
            own_copy(owner, f"callbacks[{index}]", item, trainer)
            for index, item in enumerate(self.callbacks)
        ]
        if check_flag(owner, "verbose", self.verbose):
            own.append(Progress())
        # Callbacks that put back the best weights, or stop, come last.
        trainer.callbacks = check_callbacks(owner, [*own, *callbacks])
        self.callbacks_ = own
        return trainer

    def _run(self, trainer: Trainer, rows: Rows, epochs: int, validation: Rows | None) -> History:
        owner, n = type(self).__name__, rows.x.shape[0]
        size = self._batch_size(owner, n)
        return trainer.fit(
            rows.x,
            rows.target,
            epochs=epochs,
            batch_size=size,
            # The order of the rows of a batch is nothing to the mean over it.
            shuffle=check_flag(owner, "shuffle", self._use.shuffle) and size < n,
            drop_last=self._use.preset is not None and size < n,
            sample_weight=rows.weight,
            validation=validation,
        )

    def _batch_size(self, owner: str, n: int) -> int:
        size = self._use.batch_size
        if isinstance(size, str):
            if size != "auto":
                raise ValueError(
                    f"{owner} expects batch_size to be 'auto', a whole number or None, got "
                    f"{size!r}"
                )
            size = AUTO_BATCH
        return n if size is None else min(check_size(owner, "batch_size", size), n)

    # -- prediction --------------------------------------------------------------

    def _outputs(self, X: Any, part: Layer | None = None) -> Any:
        """Return what the network, or this first part of it, gives for the rows of `X`."""
        X = self.as_numbers(X)  # asked first whether it is fitted
        return np.asarray((part or self.model_).predict(X))

    @property
    def loss_curve_(self) -> list[float]:
        """The training loss of each epoch."""
        return self.history_["loss"]

    @property
    def validation_scores_(self) -> list[float] | None:
        """The score of the validation part after each epoch; None without such a part."""
        column = f"val_{self._metric}"
        return self.history_[column] if column in self.history_.columns else None
