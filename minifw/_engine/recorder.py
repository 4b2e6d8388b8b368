"""A recording: the NumPy calls that the text of some layers made, to be made again.

The text runs once on arrays of the class `Recorded`, each of which writes down the calls it goes
through, with the array that the result went into. Made again, the calls do the same to
whatever these arrays hold by then. What cannot be seen from the arrays (a value that Python
read, an array that was made from values without a call) raises `Unseen`, and the text stays.
"""

import operator
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

Call: TypeAlias = Callable[[], object]
AnyArray: TypeAlias = "np.ndarray[Any, Any]"

CALL = 1024  # bytes that a call holds, with its views: 2000 calls take 0.1 s to record
BY_NAME = (np.maximum, np.minimum)  # NumPy wants their `out` by its name
COPIED = (np.ndarray.astype, np.ndarray.copy)  # whose result is what they are called on
FILLED = {np.zeros_like: 0, np.ones_like: 1}
WITH_OUT = (np.argmax, np.argmin, np.concatenate, np.einsum, np.stack, np.take)


class Unseen(Exception):  # noqa: N818 - no error: the text runs in place of the recording
    """What the text does cannot be recorded, or is not what it was in the recording."""


def run(calls: Iterable[Call]) -> None:
    """Make the calls; a number may underflow to 0, whatever NumPy is told."""
    rest = iter(calls)
    while True:
        try:
            for call in rest:
                call()
        except (FloatingPointError, RuntimeWarning) as error:
            if "underflow" not in str(error):
                raise  # else the call was made: NumPy writes the result before it raises
        else:
            return


def root(array: AnyArray) -> AnyArray:
    """Return the array that owns the numbers of a view; `as_strided` puts an object between."""
    base: Any = array
    while base is not None:
        array = base if isinstance(base, np.ndarray) else array
        base = getattr(base, "base", None)
    return array


def plain(value: Any) -> Any:
    """Return an array without its recorder, and anything else as it is."""
    return np.ndarray.view(value, np.ndarray) if isinstance(value, Recorded) else value


def _refuse(*_: object, **__: object) -> Any:
    raise Unseen("Python read a value, or a call cannot be seen")


class Recorder:
    """The calls that were made so far, and the arrays that they may read and write."""

    def __init__(self, limit: int) -> None:
        self.calls: list[Call] = []
        self.results: list[AnyArray] = []  # which a replay writes again
        self.guarded = False  # whether Python asked for a condition
        self._known: dict[int, AnyArray] = {}
        self._left = limit  # bytes

    def let_go(self) -> None:
        """Hold no array any more: views of a recorded one hold it, and so this."""
        self.calls, self._known = [], {}

    def hold(self, array: AnyArray) -> "Recorded":
        """Return an array that a replay finds in the same place, to be recorded."""
        owner = root(array)
        self._known[id(owner)] = owner
        recorded = np.ndarray.view(array, Recorded)
        recorded.recorder = self
        return recorded

    def knows(self, array: AnyArray) -> bool:
        """Return whether a replay finds the array as the text did."""
        return id(root(array)) in self._known

    def given(self, value: Any) -> Any:
        """Return an argument as NumPy gets it, or raise if it may be another one next time.

        An unknown array that can be written to may hold numbers which the text put there.
        """
        if isinstance(value, np.ndarray):
            if not self.knows(value) and root(value).flags.writeable:
                raise Unseen("an array was made without a call that is seen")
            return plain(value)
        if type(value) in (tuple, list):
            return type(value)(map(self.given, value))
        return value

    def call(self, function: Any, given: Sequence[Any], options: dict[str, Any]) -> Any:
        """Make a call, and write it down unless its result is a view."""
        out = options.pop("out", None)
        (out,) = out if isinstance(out, tuple) else (out,)
        if out is not None and not out.ndim:
            _refuse()  # what the text adds to may be a number, which is another one afterwards
        result: Any = None if out is None else self.written(out)
        # NumPy looks whether `out` overlaps with an argument, for 0.2 us, unless it is the same.
        given = tuple(result if value is out else self.given(value) for value in given)
        options = {key: self.given(value) for key, value in options.items()}
        if out is None:
            result = function(*given, **options)
            if isinstance(result, np.ndarray) and self.knows(result):
                return self.hold(result)
            if not isinstance(result, np.ndarray | np.generic):
                _refuse()
            result = self._made(np.asarray(result))
        call = _bound(function, given, result, options)
        if out is not None:
            call()
        if function is not np.empty_like:
            self.note(call)
        return self.hold(result) if out is None else out

    def _made(self, result: AnyArray) -> AnyArray:
        self._take(result.nbytes)
        self.results.append(result)
        return result

    def _take(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise Unseen("the step is too large")

    def written(self, out: Any) -> AnyArray:
        """Return an array that a call writes into."""
        seen = isinstance(out, Recorded) or (isinstance(out, np.ndarray) and self.knows(out))
        array: AnyArray = plain(out) if seen else _refuse()
        return array

    def write(self, function: Any, *given: Any) -> None:
        """Make a call that writes into its first argument, and write it down."""
        call = partial(function, self.written(given[0]), *map(self.given, given[1:]))
        call()
        self.note(call)

    def note(self, call: Call) -> None:
        """Write down a call, with what the text says by `np.errstate` around it.

        It runs under ``all="call"``, which no text says itself.
        """
        self._take(CALL)
        errors = {key: how for key, how in dict(np.geterr()).items() if how != "call"}
        if errors.keys() <= {"under"}:
            self.calls.append(call)
            return
        last = self.calls[-1] if self.calls else None
        if not (isinstance(last, Quiet) and last.errors == errors):
            self.calls.append(last := Quiet(errors))
        last.calls.append(call)


class Quiet:
    """Calls that the text made under `np.errstate`."""

    def __init__(self, errors: dict[str, Any]) -> None:
        self.errors, self.calls = errors, list[Call]()

    def __call__(self) -> None:
        with np.errstate(**{**self.errors, "under": "ignore"}):
            for call in self.calls:
                call()


def _bound(function: Any, given: Sequence[Any], out: AnyArray, options: dict[str, Any]) -> Call:
    """Return the call as it takes the least time; names take 0.1 us, and 0.4 in a reduction."""
    if function is np.ndarray.dot:
        return partial(given[0].dot, given[1], out)
    if function in BY_NAME and not options:
        a, b = given
        return lambda: function(a, b, out=out)
    if isinstance(function, np.ufunc) and function not in BY_NAME:
        return partial(function, *given, out, **options)
    plain_reduce = "initial" not in options and options.get("where", True) is True
    if plain_reduce and getattr(function, "__name__", "") == "reduce":
        axis, dtype = options.get("axis", 0), options.get("dtype")
        return partial(function, *given, axis, dtype, out, options.get("keepdims", False))
    if isinstance(getattr(function, "__self__", function), np.ufunc) or function in WITH_OUT:
        return partial(function, *given, out=out, **options)
    value = given[0] if function in COPIED else FILLED.get(function)
    if function is np.full_like:
        (value,) = given[1:2] or (options["fill_value"],)
    again = partial(_again, out, partial(function, *given, **options))
    # To fill the array at hand takes 0.3 us, to make another one 3.
    return again if value is None else partial(operator.setitem, out, ..., value)


def _again(result: AnyArray, call: Call) -> None:
    with np.errstate(under="ignore"):  # for what is raised here comes before the result is kept
        made: Any = call()
    if np.shape(made) != result.shape:
        raise Unseen("the shape of a result depends on values")
    result[...] = made


def _is_mask(key: Any) -> bool:
    parts = key if isinstance(key, tuple) else (key,)
    return any(isinstance(part, np.ndarray) and part.dtype == bool for part in parts)


def _expect(condition: AnyArray, outcome: bool) -> None:
    if bool(condition) is not outcome:
        raise Unseen("a condition came out in another way than in the recording")


class Recorded(np.ndarray[Any, Any]):
    """An array that writes down the calls it goes through."""

    recorder: Any = None
    __array_priority__ = 1e3  # so that a product by a plain array is of this class, and refused

    def __array_finalize__(self, source: Any) -> None:
        self.recorder = recorder = getattr(source, "recorder", None)
        if recorder is not None and not recorder.knows(self):
            _refuse()  # a copy was made

    def __array_ufunc__(self, ufunc: Any, method: str, *given: Any, **options: Any) -> Any:
        arrays = (*given, *options.get("out", ()), options.get("where"))
        recorder = next(a.recorder for a in arrays if isinstance(a, Recorded))
        if method == "at":
            return recorder.write(ufunc.at, *given)
        return recorder.call(
            ufunc if method == "__call__" else getattr(ufunc, method), given, options
        )

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.copyto:
            return self.recorder.write(func, *args, **kwargs)
        return self.recorder.call(func, args, dict(kwargs))

    def __getitem__(self, key: Any) -> Any:
        if _is_mask(key):
            _refuse()  # how many numbers it takes is another matter for each batch
        if isinstance(plain(self)[self.recorder.given(key)], np.generic):  # a view of one number
            key = (*key, ...) if isinstance(key, tuple) else (key, ...)
        return self.recorder.call(operator.getitem, (self, key), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        if _is_mask(key) and np.ndim(value):
            _refuse()
        self.recorder.write(operator.setitem, self, key, value)

    def dot(self, b: Any, out: Any = None) -> Any:
        """Return the product of two arrays."""
        return self.recorder.call(np.ndarray.dot, (self, b), {"out": out})

    def view(self, dtype: Any) -> Any:  # type: ignore[override]
        """Return the same bits, read as numbers of another kind."""
        return self.recorder.call(np.ndarray.view, (self, np.dtype(dtype)), {})

    def __bool__(self) -> bool:
        outcome = bool(plain(self))
        self.recorder.guarded = True
        self.recorder.note(partial(_expect, plain(self), outcome))
        return outcome

    def __pow__(self, other: Any) -> Any:  # type: ignore[override]
        if not self.ndim:
            _refuse()  # the text has a scalar, whose power may differ in the last bit
        return super().__pow__(other)

    __float__ = __int__ = __index__ = __complex__ = __contains__ = __rpow__ = __ipow__ = _refuse
    __copy__ = __deepcopy__ = __reduce_ex__ = _refuse
    flat = data = ctypes = property(_refuse)


def _method(name: str) -> Any:
    function = getattr(np.ndarray, name)
    return lambda self, *given, **options: self.recorder.call(function, (self, *given), options)


# Methods in C that call no ufunc: some can be seen, others show a value to Python.
for _name in "argmax argmin astype compress copy flatten ravel repeat reshape take".split():  # noqa: SIM905
    setattr(Recorded, _name, _method(_name))
for _name in (  # noqa: SIM905
    "byteswap choose dump dumps fill getfield item nonzero partition put resize searchsorted "
    "setfield sort tobytes tofile tolist trace"
).split():
    setattr(Recorded, _name, _refuse)


class Dice:
    """Stands for a layer's generator: a draw into an array at hand is a call."""

    def __init__(self, rng: Any, recorder: Recorder) -> None:
        self._rng, self._recorder = rng, recorder

    def random(self, *, dtype: Any = np.float64, out: Any) -> Any:
        """Fill `out` with numbers from 0 to 1, as `numpy.random.Generator.random` does."""
        call = partial(self._rng.random, dtype=dtype, out=self._recorder.written(out))
        call()
        self._recorder.note(call)
        return out

    __getattr__ = _refuse
