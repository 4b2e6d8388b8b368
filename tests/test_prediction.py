"""`predict` and `Predictor`: what they let through, and what other threads and forks see."""

import copy
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest

from minifw import (
    Dense,
    Dropout,
    Layer,
    MSELoss,
    NonFiniteError,
    Objective,
    Parameter,
    Predictor,
    Sequential,
    Sigmoid,
    Softmax,
    Tanh,
    save,
    trace,
)
from minifw.interop.sklearn import NetworkRegressor
from minifw.typing import Array


def network() -> Sequential:
    return Sequential(Dense(3, 8, rng=0), Tanh(), Dropout(0.5, rng=1), Dense(8, 1, rng=2))


X = np.random.default_rng(0).normal(size=(600, 3))


class Root(Layer):
    """y = sqrt(x): NaN below 0."""

    def forward(self, x: Array) -> Array:
        self.save(x)
        y: Array = np.sqrt(x)
        return y

    def backward(self, dy: Array) -> Array:
        (x,) = self.saved()
        dx: Array = dy / (2 * np.sqrt(x))
        return dx


# -- lists ---------------------------------------------------------------------------


UNEVEN = [[1.0, 2.0, 3.0], [1.0]]


@pytest.mark.parametrize(
    ("call", "who"),
    [
        (lambda m: m.predict(UNEVEN), "Sequential.predict expects x"),
        (lambda m: Predictor(m)(UNEVEN), "Predictor expects x"),
        (lambda m: m.forward(UNEVEN), r"Dense\(3, 8, rng=0\) expects x"),
        (lambda m: Objective(m, MSELoss()).forward(UNEVEN, X[:2, :1]), r"Dense\(.*\) expects x"),
        (lambda m: Objective(m, MSELoss()).forward(X[:2], UNEVEN), r"MSELoss\(\) expects target"),
        (lambda m: trace(Objective(m, MSELoss()), UNEVEN, X[:2]), "trace expects X"),
        (
            lambda _: NetworkRegressor(max_epochs=1).fit(UNEVEN, [1, 2]),
            "NetworkRegressor expects X",
        ),
    ],
)
def test_lists_of_rows_of_other_lengths_are_refused(
    call: Callable[[Layer], object], who: str
) -> None:
    said = r" to hold rows of one length, got the shape \(3,\) in row 0 and \(1,\) in row 1; pad"
    with pytest.raises(ValueError, match=f"^{who}{said}"):
        call(network())


def test_the_sequence_is_named_whose_steps_differ() -> None:
    with pytest.raises(
        ValueError, match=r"expects x\[1\] to hold .*\(1,\) in row 0 and \(2,\) in"
    ):
        network().predict([[[1.0], [2.0]], [[1.0], [2.0, 3.0]]])


# -- not finite ----------------------------------------------------------------------


@pytest.mark.parametrize("row", [0, 5, 400])
@pytest.mark.parametrize("door", [lambda m: m.predict, Predictor])
def test_the_first_bad_row_is_named_across_batches(
    row: int, door: Callable[[Layer], Callable[..., Array]]
) -> None:
    x = X.copy()
    x[row, 1] = x[-1, 0] = np.nan
    call = door(network())
    with pytest.raises(NonFiniteError, match=rf"row {row} of .* x holds some, too") as found:
        call(x)
    assert found.value.rows is not None
    assert found.value.rows.tolist() == [row]
    y = call(x, allow_nan=True)
    assert np.flatnonzero(np.isnan(y[:, 0])).tolist() == [row, 599]


def test_a_finite_row_of_x_is_said_to_be_finite() -> None:
    x = np.abs(X)
    x[300] = -1.0
    with np.errstate(invalid="ignore"):
        for call in (Root().predict, Predictor(Root())):
            with pytest.raises(NonFiniteError, match=r"row 300 of .* row of x is finite; look"):
                call(x)


@pytest.mark.parametrize("columns", [1, 3, 40, 5000])
def test_every_place_of_an_output_is_judged(columns: int) -> None:
    for bad in (np.nan, np.inf, -np.inf):
        for place in (0, columns - 1):
            layer = Dense(1, columns, rng=0)
            layer.weight.value[place, 0] = bad
            for call in (layer.predict, Predictor(layer)):
                with pytest.raises(NonFiniteError, match="row 0 "):
                    call([[1.0]])
                call([[1.0]], allow_nan=True)
    huge = Dense(1, columns, bias=False)
    huge.weight.value = np.full((columns, 1), 1e308)  # the sum overflows, no element does
    assert huge.predict([[1.0]]).max() == 1e308


def test_underflow_is_no_fault() -> None:
    model = Sequential(Dense(1, 2, rng=0), Sigmoid(), Dense(2, 2, rng=1), Softmax())
    model.load_state_dict({name: array * 1e4 for name, array in model.state_dict().items()})
    with np.errstate(all="raise"):
        y = model.predict([[-1.0], [0.5]])
    assert np.array_equal(y, model.predict([[-1.0], [0.5]]))


# -- members and names ---------------------------------------------------------------


class Remembers(Layer):
    """Keeps layers of its latest forward, and parameters by the keys of a dict."""

    def __init__(self, *keys: object) -> None:
        self.own = {key: Parameter(np.ones(2)) for key in keys}

    def forward(self, x: Array) -> Array:
        self._saved_copy = Dense(3, 3, rng=0)
        self.save(x)
        return x.copy()

    def backward(self, dy: Array) -> Array:
        self.saved()
        return dy.copy()


def test_what_a_forward_saved_is_no_member() -> None:
    layer = Remembers("a")
    layer(X)
    assert layer.named_layers() == []
    assert [name for name, _ in layer.named_parameters()] == ["own.a"]


def test_two_arrays_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match=r"both have 'own\.1'; rename"):
        Remembers(1, "1").state_dict()


# -- threads and forks ---------------------------------------------------------------


@contextmanager
def predicting(model: Layer, threads: int = 1) -> Iterator[list[BaseException]]:
    """Let threads predict meanwhile, changing places often."""
    errors: list[BaseException] = []
    ended = threading.Event()

    def run() -> None:
        try:
            while not ended.is_set():
                model.predict(X[:4])
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            errors.append(error)

    workers = [threading.Thread(target=run) for _ in range(threads)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    for worker in workers:
        worker.start()
    try:
        yield errors
    finally:
        ended.set()
        for worker in workers:
            worker.join()
        sys.setswitchinterval(interval)


def is_untouched(model: Layer) -> bool:
    """Return whether the model is in train mode, with nothing saved."""
    return all(
        layer.training and not any(name.startswith("_saved") for name in vars(layer))
        for _, layer in model._all_layers()
    )


def test_copies_made_while_threads_predict_are_in_train_mode() -> None:
    model = network()
    wanted = network().predict(X[:4])
    with predicting(model, threads=3) as errors:
        for _ in range(12):
            assert is_untouched(copy.deepcopy(model))
            assert is_untouched(pickle.loads(pickle.dumps(model)))
            assert np.array_equal(Predictor(model)(X[:4]), wanted)
        for _ in range(300):
            assert len(model.named_parameters()) == 4
    assert errors == []
    assert is_untouched(model)


def test_save_writes_the_modes_of_no_prediction(tmp_path: object) -> None:
    model = network()
    with predicting(model):
        for _ in range(10):
            save(model, f"{tmp_path}/model.npz")
    from minifw import load  # noqa: PLC0415

    assert all(layer.training for _, layer in load(f"{tmp_path}/model.npz")._all_layers())


def test_others_predict_and_copy_while_one_evaluates() -> None:
    model = network()
    wanted = network().predict(X[:4])
    with ThreadPoolExecutor(1) as pool:
        with model.evaluating():
            assert np.array_equal(pool.submit(model.predict, X[:4]).result(10), wanted)
            assert np.array_equal(model(X[:4]), wanted)
            assert pool.submit(copy.deepcopy, model).result(10).training
            assert not copy.deepcopy(model).training  # of the thread itself
        assert is_untouched(model)
        inner = model.evaluating()
        with model.evaluating():  # leaves before the other one
            pool.submit(inner.__enter__).result(10)
        assert not any(layer.training for _, layer in model._all_layers())
        pool.submit(inner.__exit__, None, None, None).result(10)
    assert is_untouched(model)


class Scratch(Layer):
    """y = x, by way of an attribute that another thread could overwrite meanwhile."""

    def forward(self, x: Array) -> Array:
        self.scratch = x
        time.sleep(0.01)
        return self.scratch.copy()

    def backward(self, dy: Array) -> Array:
        return dy.copy()


def test_threads_that_predict_take_turns() -> None:
    layer = Scratch()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(layer.predict, [[[float(i)]] for i in range(8)]))
    assert [y.item() for y in found] == list(range(8))


def test_evaluating_gives_back_what_was_set_inside_another() -> None:
    model = network()
    with model.evaluating():
        model[2].train()
        model.predict(X[:4])
        assert model[2].training
        assert not model[0].training
    assert is_untouched(model)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_while_a_thread_predicts() -> None:
    model, predictor = network(), Predictor(network())
    wanted = network().predict(X[:4])

    def serve() -> None:
        while not ended.is_set():
            predictor(X[:4])

    ended = threading.Event()
    server = threading.Thread(target=serve)
    server.start()
    try:
        with predicting(model) as errors:
            for _ in range(8):
                child = os.fork()
                if not child:
                    right = is_untouched(model)
                    right = right and np.array_equal(model.predict(X[:4]), wanted)
                    right = right and np.array_equal(predictor(X[:4]), wanted)
                    os._exit(0 if right and is_untouched(model) else 1)
                assert ended_well(child)
        assert errors == []
    finally:
        ended.set()
        server.join()


def ended_well(child: int) -> bool:
    """Wait some seconds for a child process, and end it if it hangs."""
    for _ in range(2000):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return False


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here")
def test_a_fork_inside_evaluating_stays_inside() -> None:
    model = network()
    with model.evaluating():
        child = os.fork()
        inside = not any(layer.training for _, layer in model._all_layers())
    if not child:
        os._exit(0 if inside and is_untouched(model) else 1)
    assert ended_well(child)
