"""Signs that a network does not learn: told where they are, and not in the near miss."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from minifw import (
    SGD,
    Adam,
    Array,
    BatchNorm,
    BCELoss,
    BCEWithLogitsLoss,
    CosineLoss,
    CrossEntropyLoss,
    Dense,
    Graph,
    HingeLoss,
    History,
    Identity,
    L1Loss,
    Layer,
    Loss,
    MSELoss,
    NLLLoss,
    NonFiniteError,
    ReLU,
    Residual,
    Sequential,
    Sigmoid,
    StopGradient,
    SumLoss,
    Tanh,
    Trainer,
    TrainingWarning,
    Watch,
    Zeros,
)
from minifw.layers import LogSoftmax
from minifw.training._data import Table
from minifw.training._plan import casting_of
from minifw.training._signs import Signs

RNG = np.random.default_rng(0)
X = RNG.standard_normal((96, 3))
Y = np.sign(X[:, :1] + X[:, 1:2] * X[:, 2:]) / 2 + 0.5  # 0 and 1
LABELS = Y[:, 0].astype(int)


def told(model: Layer, x: Any = X, y: Any = Y, loss: Loss | None = None, **how: Any) -> list[str]:
    """Return what a run warns of."""
    optimizer = how.pop("optimizer", SGD)(model.parameters(), lr=how.pop("lr", 0.1))
    fit = {"epochs": how.pop("epochs", 1), "batch_size": how.pop("batch_size", 12)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Trainer(model, loss or MSELoss(), optimizer, rng=1, **how).fit(x, y, **fit)
    assert all(warning.category is TrainingWarning for warning in caught)
    assert {Path(warning.filename).name for warning in caught} <= {Path(__file__).name}
    return [str(warning.message) for warning in caught]


def seen(look: Any, *signs: Signs) -> list[str]:
    """Return what signs warn of where `look` calls them."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        look(*signs or (Signs(watch=True),))
    return [str(warning.message) for warning in caught]


def run(model: Layer, losses: tuple[float, ...] = (1.0,), **values: Any) -> Any:
    """Return a trainer at the end of its last epoch."""
    usual = {"batch_loss": losses[-1], "batch_x": X, "step": 8, "main": True}
    epoch, optimizer = len(losses), SimpleNamespace(lr=0.1)
    place = {"epoch": epoch, "epochs": epoch, "optimizer": optimizer, "loss": MSELoss()}
    place["run"] = SimpleNamespace(plan={})
    history = History()
    for loss in losses:
        history.append({"loss": loss})
    return SimpleNamespace(model=model, history=history, **usual | place | values)


def hidden(**options: Any) -> Sequential:
    return Sequential(Dense(3, 4, rng=0, **options), Tanh(), Dense(4, 1, rng=1))


class Bent(Sequential):
    """Does what nobody else knows in its forward."""

    def forward(self, x: Array) -> Array:
        return super().forward(x) + 0.0


# -- the layers ------------------------------------------------------------------------------


def test_two_linear_layers_without_an_activation_are_told() -> None:
    layers = [Dense(3, 8, rng=0), Tanh(), Dense(8, 8, rng=1), Dense(8, 4, rng=2), Dense(4, 1)]
    (message,) = told(Sequential(Sequential(*layers[:4]), Tanh(), layers[4]))
    assert message == (
        "layer 0.3, Dense(8, 4, rng=2), takes the output of another linear layer, Dense(8, 8, "
        "rng=1), and the two can do no more than one; put an activation between them, or "
        "Identity() if it is meant"
    )
    nested = Sequential(Sequential(Dense(3, 8, rng=0)), Sequential(Dense(8, 1, rng=1)))
    assert told(nested)[0].startswith("layer 1.0, Dense(8, 1, rng=1), takes the output of another")
    graph = Graph("x", h=Dense(3, 3, rng=0), k=Dense(3, 3, rng=1), t=Tanh(), y=Dense(3, 1, rng=2))
    assert told(graph)[0].startswith("layer k, Dense(3, 3, rng=1), takes the output of another")


@pytest.mark.parametrize(
    "model",
    [
        Sequential(Dense(3, 8, rng=0), Identity(), Dense(8, 1, rng=1)),
        Sequential(Dense(3, 2, rng=0), Dense(2, 3, rng=1), Tanh(), Dense(3, 1, rng=2)),
        Sequential(Dense(3, 8, rng=0).freeze(), Dense(8, 1, rng=1)),
        Sequential(
            Sequential(Dense(3, 2, rng=0)), Sequential(Dense(2, 3, rng=1), Tanh(), Dense(3, 1))
        ),
        Graph("x", h=Dense(3, 4, rng=0), t=Tanh(), y=(Dense(4, 1, rng=1), "t")),
        Bent(Dense(3, 8, rng=0), Dense(8, 1, rng=1)),
    ],
    ids=["meant", "bottleneck", "frozen", "encoder and decoder", "graph", "own forward"],
)
def test_linear_layers_that_have_a_reason(model: Layer) -> None:
    assert told(model) == []


def test_a_value_that_others_take_is_not_wasted() -> None:
    shared = Graph(
        "x",
        h=Dense(3, 4, rng=0),
        y=(Dense(4, 1, rng=1), "h"),
        t=(Tanh(), "h"),
        z=(Dense(4, 1, rng=2), "t"),
        outputs=("y", "z"),
    )
    given = Graph("x", h=Dense(3, 1, rng=0), z=(Dense(1, 1, rng=1), "h"), outputs=("h", "z"))
    for model in (shared, given):
        assert told(model, y=(Y, Y), loss=SumLoss(MSELoss(), MSELoss())) == []


# -- the data --------------------------------------------------------------------------------


def columns(*given: Array) -> Any:
    """Return a look at a table of these columns."""
    x = np.stack(given, axis=1)
    y = np.arange(len(x)).reshape(-1, 1) % 2.0
    model = Dense(x.shape[1], 1)
    trainer = Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1))
    table = Table("fit", x, y, None, casting_of(model, MSELoss()))
    return lambda signs: signs.begin(trainer, table)


def up_to(end: float, rows: int = 100) -> Array:
    return np.linspace(0, end, rows)


def test_columns_of_other_scales_are_told() -> None:
    x = X.copy()
    x[:, 1] *= 1e4
    (message,) = told(Sequential(Dense(3, 1, rng=0)), x, lr=1e-9)
    assert message.startswith("the columns of x differ in scale: column 1 spreads over 2.86e+04, ")
    assert message.endswith("or begin with BatchNorm(3)")
    assert told(Sequential(BatchNorm(3), Dense(3, 1, rng=0)), x) == []
    assert told(Sequential(Tanh(), Dense(3, 1, rng=0)), x) == []


def test_which_scales_are_told() -> None:
    assert seen(columns(up_to(1), up_to(1001)))
    assert not seen(columns(up_to(1), up_to(999)))
    # Constant, but for rounding.
    assert seen(columns(up_to(1), up_to(2e-12)))
    assert not seen(columns(up_to(1), up_to(0.5e-12), np.ones(100), np.zeros(100)))
    # A part of the rows makes a scale, and rare dummies and outliers none.
    for rows, count in ((6, 1), (5, 0)):
        rare = np.zeros(100)
        rare[:rows] = 2000
        assert len(seen(columns(up_to(1), rare))) == count
    # Of many rows, 256 from all over are looked at.
    for many, count in ((256, 1), (512, 0)):
        odd = np.zeros(many)
        odd[1 : 2 * 30 : 2] = 2000
        assert len(seen(columns(up_to(1, many), odd))) == count
    late = np.zeros(256)
    late[-28::2] = 2000  # 14, one more than are left out
    assert seen(columns(up_to(1, 256), late))
    # Of a few rows nobody knows.
    assert seen(columns(up_to(1, 10), up_to(2000, 10)))
    assert not seen(columns(up_to(1, 9), up_to(2000, 9)))
    # What is not finite is said by the loss.
    assert not seen(columns(up_to(1), np.where(up_to(1) > 0.5, np.inf, -np.inf)))


@pytest.mark.parametrize(
    ("y", "loss", "label"),
    [
        (np.full(96, 2), CrossEntropyLoss(), 2),
        (np.ones((96, 1)), BCEWithLogitsLoss(), 1),
        (np.zeros((96, 1)), BCEWithLogitsLoss(), 0),
        (np.eye(3)[np.full(96, 1)], CrossEntropyLoss(), 1),
    ],
)
def test_rows_of_one_class_are_told(y: Array, loss: Loss, label: int) -> None:
    def model() -> Layer:
        return Sequential(Dense(3, 1 if y.shape[1:] == (1,) else 3, rng=0))

    (message,) = told(model(), y=y, loss=loss)
    assert message.startswith(f"all 96 rows of y are of one class, {label}, and nothing else can")
    other = y.copy()
    other[70] = y[70] == 0 if y.ndim > 1 and y.shape[1] == 1 else np.roll(y[70], 1)
    if y.ndim == 1:
        other[70:72] = 0, 1
    assert told(model(), y=other, loss=loss) == []  # one row of each class is enough


SORTED = np.sort(Y, axis=0)


@pytest.mark.parametrize("y", [SORTED, SORTED[::-1].copy(), SORTED[:, 0]])
def test_sorted_rows_that_are_not_shuffled_are_told(y: Array) -> None:
    (message,) = told_in_order(y)
    assert "is sorted, and shuffle=False, so whole batches are of one class" in message


@pytest.mark.parametrize(
    ("y", "fit"),
    [
        (SORTED, {"shuffle": True}),
        (Y, {}),
        (np.ones_like(Y), {}),
        (np.linspace(0, 1, 96)[:, np.newaxis], {}),  # measured, in the order of time
        (SORTED, {"batch_size": 96}),
        (np.hstack([SORTED, SORTED]), {}),
    ],
)
def test_rows_whose_order_does_no_harm(y: Array, fit: dict[str, Any]) -> None:
    assert told_in_order(y, **fit) == []


def told_in_order(y: Array, **fit: Any) -> list[str]:
    labels = y.ndim == 1
    model = Sequential(Dense(3, 2 if labels else y.shape[1], rng=0))
    loss: Loss = CrossEntropyLoss() if labels else MSELoss()
    trainer = Trainer(model, loss, SGD(model.parameters(), lr=0.1), rng=1)
    how: dict[str, Any] = {"epochs": 1, "batch_size": 12, "shuffle": False, **fit}
    return seen(lambda _: trainer.fit(X, y.astype(int) if labels else y, **how))


def test_targets_that_are_no_classes() -> None:
    assert told(Sequential(Dense(3, 1, rng=0)), y=np.ones((96, 1))) == []
    assert told(Sequential(Dense(3, 1)), y=np.full((96, 1), 0.5), loss=BCEWithLogitsLoss()) == []
    several = Sequential(Dense(3, 3, rng=0))
    assert told(several, y=np.ones((96, 3)), loss=BCEWithLogitsLoss()) == []


def test_one_of_several_targets_has_one_class() -> None:
    heads: Any = {"a": (Dense(3, 1, rng=0), "x"), "b": (Dense(3, 2, rng=1), "x")}
    model, y = Graph("x", **heads, outputs=("a", "b")), (Y, np.zeros(96, int))
    (message,) = told(model, y=y, loss=SumLoss(MSELoss(), CrossEntropyLoss()))
    assert message.startswith("all 96 rows of target b are of one class, 0")


@pytest.mark.parametrize(
    ("labels", "loss", "last", "which"),
    [
        (np.arange(96) % 2, CrossEntropyLoss(), (), "class 2 of 3 outputs has no row in y;"),
        (np.arange(96) % 2 + 1, NLLLoss(), (LogSoftmax(),), "class 0 of 3 outputs"),
        (np.arange(30) % 2, CrossEntropyLoss(), (), "class 2 of 3 outputs"),
        (np.arange(29) % 2, CrossEntropyLoss(), (), ""),  # chance
        (np.arange(96) % 2, CrossEntropyLoss([1.0, 1.0, 0.0]), (), ""),  # meant
        (np.arange(96) % 3, CrossEntropyLoss(), (), ""),
    ],
)
def test_a_class_without_a_row_is_told(labels: Any, loss: Loss, last: Any, which: str) -> None:
    found = told(Sequential(Dense(3, 3, rng=0), *last), X[: len(labels)], labels, loss)
    assert len(found) == bool(which)
    assert "".join(found).startswith(which)


def test_of_many_classes_some_may_have_no_row() -> None:
    x = np.resize(X, (300, 3))
    for classes, count in ((20, 1), (21, 0)):
        labels = np.arange(300) % (classes - 1)
        assert len(told(Dense(3, classes, rng=0), x, labels, CrossEntropyLoss())) == count


def test_targets_out_of_what_the_model_gives_are_told() -> None:
    y = np.linspace(25, 346, 96).reshape(-1, 1)
    (message,) = told(Sequential(Dense(3, 1, rng=0), Tanh()), y=y, epochs=8)
    assert message == (
        "y goes from 25 to 346, but the model ends in Tanh(), which gives -1 to 1; leave it out, "
        "or scale y"
    )
    assert told(Sequential(Dense(3, 1, rng=0), ReLU()), y=y, lr=1e-6) == []
    assert "which gives 0 to inf" in told(Sequential(Dense(3, 1, rng=0), ReLU()), y=-Y)[0]
    for end, count in ((1.1, 0), (1.13, 1)):  # a little beyond is noise
        y = np.linspace(0, end, 96).reshape(-1, 1)
        assert len(told(Sequential(Dense(3, 1, rng=0), Sigmoid()), y=y)) == count
    # Lengths count nothing for an angle, and a margin may be larger.
    y = np.linspace(25, 346, 288).reshape(-1, 3)
    assert told(Sequential(Dense(3, 3, rng=0), Tanh()), y=y, loss=CosineLoss()) == []
    assert told(Sequential(Dense(3, 1, rng=0), ReLU()), y=2 * Y - 1, loss=HingeLoss()) == []


def test_targets_that_the_steps_do_not_reach_are_told() -> None:
    def look(y: Array, loss: float, epochs: int = 6, of: Loss | None = None) -> list[str]:
        model = Dense(3, 1, rng=0)
        trainer = run(model, (3 * loss,) * (epochs - 1) + (loss,), loss=of or MSELoss())
        table = Table("fit", X, y, None, casting_of(model, MSELoss()))

        def looks(signs: Signs) -> None:
            signs.begin(trainer, table)
            signs.first = loss
            signs.epoch(trainer)

        return seen(looks)

    y = np.linspace(100, 200, 96).reshape(-1, 1)
    variance, deviation = y.var(), np.abs(y - y.mean()).mean()
    (message,) = look(y, 1.51 * variance)
    assert message.startswith("after epoch 6: the loss is 1.28e+03, and the mean of y for every ")
    assert message.endswith("take from it its mean, and divide it by its standard deviation")
    assert not look(y, 1.49 * variance)
    assert not look(y, 1.51 * variance, epochs=5)
    assert look(y, 1.51 * deviation, of=L1Loss())
    assert not look(y, 1.49 * deviation, of=L1Loss())
    assert look(y / 14.9, 100.0)  # the mean goes over 10
    assert not look(y / 15.1, 100.0)
    (message,) = told(Dense(3, 1, rng=0), y=y, lr=2.0)
    assert message.endswith(
        "; y is large, too: take from it its mean, and divide it by its standard deviation"
    )


# -- the weights -----------------------------------------------------------------------------


def test_equal_units_are_told() -> None:
    (message,) = told(Sequential(Dense(3, 4, init=Zeros()), Tanh(), Dense(4, 1, init=Zeros())))
    assert message == (
        "after epoch 1: all units of layer 0, Dense(3, 4, init=Zeros()), have equal weights and "
        "equal gradients, and so stay equal; draw the weights: init=GlorotUniform(), or "
        "HeNormal() before a ReLU"
    )


def test_a_cause_is_told_without_what_comes_of_it() -> None:
    layers = [Dense(3, 4, init=Zeros()), Tanh(), Dense(4, 4, init=Zeros()), Tanh()]
    (message,) = told(Sequential(*layers, Dense(4, 1, init=Zeros())), epochs=4)
    assert message.startswith("after epoch 1: all units of layer 0")


def test_zeros_that_part_are_not_told() -> None:
    assert told(hidden(init=Zeros())) == []  # the layer after it draws them apart
    assert told(Sequential(Dense(3, 1, init=Zeros()), Tanh(), Dense(1, 1, init=Zeros()))) == []
    body = Sequential(Dense(3, 3, rng=0), Tanh(), Dense(3, 3, init=Zeros()))
    late = Sequential(Residual(body), Tanh(), Dense(3, 1, init=Zeros()))
    assert told(late, batch_size=None, epochs=16) == []
    # Outputs have each its target, even if their gradients are equal for long.
    outputs = Sequential(Dense(3, 4, rng=0), Tanh(), Dense(4, 2, init=Zeros()))
    y = np.hstack([Y + 90, 2 * Y + 90])
    assert told(outputs, y=y, loss=L1Loss(), epochs=4) == []
    heads = Graph(
        "x",
        h=Sequential(Dense(3, 4, rng=0), Tanh()),
        a=(Dense(4, 2, init=Zeros()), "h"),
        b=(Dense(4, 2, init=Zeros()), "h"),
        outputs=("a", "b"),
    )
    assert told(heads, y=(y, y), loss=SumLoss(L1Loss(), L1Loss())) == []


@pytest.mark.parametrize("part", ["value", "grad"])
@pytest.mark.parametrize("name", ["0.weight", "0.bias"])
def test_units_that_differ_in_one_number_are_not_equal(name: str, part: str) -> None:
    model = hidden(init=Zeros())
    for parameter in model.parameters():
        parameter.grad[...] = 0.5
    assert len(seen(lambda signs: signs.epoch(run(model)))) == 1
    getattr(dict(model.named_parameters())[name], part)[2] += 1e-9
    assert seen(lambda signs: signs.epoch(run(model))) == []


# -- the gradients ---------------------------------------------------------------------------


def deep(depth: int, activation: type[Layer], width: int = 16) -> Sequential:
    rng, layers, inputs = np.random.default_rng(depth), list[Layer](), 3
    for _ in range(depth):
        layers += [Dense(inputs, width, rng=rng), activation()]
        inputs = width
    return Sequential(*layers, Dense(inputs, 1, rng=rng))


@pytest.mark.parametrize("optimizer", [SGD, Adam])
@pytest.mark.parametrize("batch_size", [12, None])
def test_vanishing_gradients_are_told(optimizer: Any, batch_size: int | None) -> None:
    how = {"optimizer": optimizer, "batch_size": batch_size, "epochs": 16, "lr": 0.01}
    (message,) = told(deep(10, Sigmoid), **how)
    assert "the gradients vanish from layer to layer: they go to " in message
    assert " in layer 20, Dense(16, 1, rng=" in message
    assert " in layer 0, Dense(3, 16, rng=" in message
    assert message.endswith("or a Residual around them")
    chain = deep(10, Sigmoid)
    parts = [Sequential(*chain.layers[i : i + 2]) for i in range(0, 20, 2)]
    (message,) = told(Sequential(*parts, chain[-1]), **how)
    assert " in layer 10, Dense(16, 1, rng=" in message
    assert " in layer 0.0, Dense(3, 16, rng=" in message
    for model in (deep(4, Tanh), deep(4, Sigmoid), deep(10, ReLU)):
        assert told(model, **how) == []


def test_dead_units_let_no_gradient_through() -> None:
    model = Sequential(Dense(3, 4, rng=0), ReLU(), Dense(4, 1, rng=1))
    model[0].bias.value = [-99.0] * 4
    (message,) = told(model, epochs=2)
    assert "and to 0 in layer 0, Dense(3, 4, rng=0)" in message
    stopped = Sequential(Dense(3, 4, rng=0), Sequential(StopGradient()), Dense(4, 1, rng=1))
    assert told(stopped, epochs=2) == []


def test_which_gradients_have_vanished() -> None:
    model = hidden()

    def look(*parts: float, step: int = 8, last: float = 1.0) -> list[str]:
        def looks(signs: Signs) -> None:
            for part in parts:
                model[0].weight.grad[...], model[0].bias.grad[...] = part, -part / 2
                model[2].weight.grad[...], model[2].bias.grad[...] = 0.5 * last, -last
                signs.epoch(run(model, step=step))

        return seen(looks)

    assert look(0.9e-5, 0.9e-5)
    assert not look(0.9e-5)  # nobody knows whether it rises
    assert not look(0.9e-5, 1.1e-5)
    assert not look(1.1e-5, 0.9e-5)
    assert look(1e-7, 0.99e-6)
    assert not look(1e-7, 1.01e-6)
    assert look(1e-7, 1e-7, step=8)
    assert not look(1e-7, 1e-7, step=7)
    assert look(0.0, 0.0)
    assert not look(0.0, 0.0, last=0.0)  # all is at its end


# -- the loss --------------------------------------------------------------------------------


def test_a_loss_that_grows_is_told() -> None:
    x = X.copy()
    x[:, 2] *= 30
    (message,) = told(Dense(3, 1, rng=0), x, lr=0.01, batch_size=16)
    assert message.startswith("after epoch 1: the loss has grown from ")
    assert "in 5 steps; take a smaller lr than 0.01, or scale column 2 of x, which goes to" in (
        message
    )
    with pytest.raises(NonFiniteError, match=r"the loss has grown from .*; take a smaller lr"):
        told(Dense(3, 1, rng=0), x, lr=0.5, batch_size=1, epochs=4)
    with pytest.raises(NonFiniteError) as caught:
        told(Dense(3, 1, rng=0), x, lr=0.5, batch_size=1, epochs=4, watch=False)
    assert "has grown" not in str(caught.value)


def test_which_losses_have_grown() -> None:
    def look(first: float, mean: float, latest: float, x: Array = X, step: int = 6) -> list[str]:
        signs = Signs(watch=True)
        signs.first = first
        trainer = run(Identity(), (mean,), batch_loss=latest, batch_x=x, step=step)
        return seen(lambda signs: signs.epoch(trainer), signs)

    assert look(3.0, 301.0, 301.0)
    assert not look(3.0, 299.0, 301.0)  # a batch
    assert not look(3.0, 301.0, 299.0)  # it comes back
    assert look(-3.0, 301.0, 301.0)
    assert not look(-3.0, 299.0, 299.0)
    assert look(1e-9, 1.1, 1.1)
    assert not look(1e-9, 0.9, 0.9)
    (message,) = look(3.14, 5e8, 5e8, X / X.max() * 9)
    assert message == (
        "after epoch 1: the loss has grown from 3.1 to 5e+08 in 5 steps; take a smaller lr than "
        "0.1"
    )
    assert " in 1 step; " in look(3.0, 5e8, 5e8, step=2)[0]
    assert "scale column" in look(3.0, 5e8, 5e8, X / X.max() * 11)[0]
    assert "scale column" not in look(3.0, 5e8, 5e8, 99 * X[:, :1])[0]


def test_a_loss_that_stands_still_is_told() -> None:
    how: Any = {"lr": 1e-12, "epochs": 8}
    (message,) = told(hidden(), **how)
    assert message.startswith("after epoch 8: the loss has stayed at ")
    assert message.endswith("is lr, 1e-12, too small, or does no gradient come through?")
    assert told(hidden(), callbacks=[Watch(patience=2)], **how)[0].startswith("after epoch 3: ")
    assert len(told(hidden(), callbacks=[Watch()], **how)) == 1
    assert told(hidden(), lr=1e-12, epochs=4) == []


def test_which_losses_stand_still() -> None:
    def look(*losses: float) -> list[str]:
        return seen(lambda signs: signs.epoch(run(Identity(), losses)))

    assert look(*[2.0] * 5, 2.0 + 1.9e-6)
    assert not look(*[2.0] * 5, 2.0 + 2.1e-6)
    assert not look(3.0, *[2.0] * 9)  # it has learnt, and is at its end
    assert look(*[2.0] * 6)
    assert not look(*[2.0] * 5)
    assert look(*[-2.0] * 6)
    assert not look(*[0.0] * 6)


# -- when it is told -------------------------------------------------------------------------


def test_it_looks_after_the_epochs_1_2_4_8_and_the_last() -> None:
    looked = []

    class Listening(Signs):
        def still(self, trainer: Any, losses: Any) -> None:
            del losses
            looked.append(trainer.epoch)

    signs = Listening(watch=True)
    for epoch in range(1, 24):
        signs.epoch(run(Identity(), (1.0,) * epoch, epochs=23))
    assert looked == [8, 16, 23]


def test_nothing_is_told_without_watch() -> None:
    model = Sequential(Dense(3, 4, init=Zeros()), Dense(4, 1, init=Zeros()))
    x = X * [1, 1e9, 1]
    assert told(model, x, 0 * Y, BCEWithLogitsLoss(), lr=1e-12, epochs=8, watch=False) == []
    with pytest.raises(TypeError, match="Trainer expects watch"):
        Trainer(model, MSELoss(), SGD(model.parameters(), lr=0.1), watch=1)  # type: ignore[arg-type]


def test_every_run_tells_and_a_resumed_one_does_not_repeat(tmp_path: Path) -> None:
    path = tmp_path / "c.npz"

    def trainer() -> Trainer:
        model = Sequential(Dense(3, 4, rng=0), Dense(4, 1, rng=1), Sigmoid(), Sigmoid())
        optimizer = SGD(model.parameters(), lr=1e-12)
        return Trainer(model, BCELoss(), optimizer, rng=0, callbacks=[Watch()])

    first = trainer()
    for _ in range(2):
        assert len(seen(lambda _: first.fit(X, Y, epochs=8))) == 3
    first.save_checkpoint(path)
    second = trainer()
    second.load_checkpoint(path)
    assert second._signs.state_dict() == first._signs.state_dict()
    assert seen(lambda _: second.fit(X, Y, epochs=16)) == []


def test_arrays_in_files_are_not_read_for_it(tmp_path: Path) -> None:
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.float64, (96, 3))
    x[...] = X * [1, 1e9, 1]
    assert told(Dense(3, 1, rng=0), x, lr=1e-19) == []


def test_only_the_main_process_tells() -> None:
    model = Sequential(Dense(3, 4, rng=0), Dense(4, 1, rng=1))
    assert seen(lambda signs: signs.begin(run(model, main=False), None)) == []
    assert seen(lambda signs: signs.epoch(run(model, (2.0,) * 9, main=False))) == []
