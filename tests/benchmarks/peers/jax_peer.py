"""JAX: a jitted step, and the whole loop compiled."""

from collections.abc import Callable
from functools import partial
from itertools import cycle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from peers.contender import Contender
from peers.workloads import Problem, Workload

__all__ = ["JaxLoop", "JaxStep"]

jax.config.update("jax_enable_x64", True)  # for W1; arrays of float32 stay what they are

Params = Any
Step = Callable[[Params, Any, Any, Any], tuple[Params, Any, Any]]


def logits(workload: Workload, params: Params, x: Any) -> Any:
    activation = jnp.tanh if workload.activation == "tanh" else jax.nn.relu
    for index, (w, b) in enumerate(params):
        if w.ndim == 4:
            x = lax.conv(x, w, (1, 1), "SAME") + b[:, None, None]
            x = lax.reduce_window(
                activation(x),
                np.array(-np.inf, x.dtype),
                lax.max,
                (1, 1, 2, 2),
                (1, 1, 2, 2),
                "VALID",
            )
        else:
            x = x.reshape(len(x), -1) @ w.T + b
            x = activation(x) if index < len(params) - 1 else x
    return x


def loss_of(workload: Workload, params: Params, x: Any, y: Any) -> Any:
    z = logits(workload, params, x)
    if workload.binary:
        return jnp.mean(jnp.logaddexp(z, 0) - y * z)
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1))


def sgd(lr: float, params: Params, grads: Params, state: Any) -> tuple[Params, Any]:
    return jax.tree.map(lambda p, g: p - lr * g, params, grads), state


def adam(lr: float, params: Params, grads: Params, state: Any) -> tuple[Params, Any]:
    t, m, v = state
    t = t + 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, grads)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, grads)
    first, second = 1 - 0.9**t, 1 - 0.999**t
    params = jax.tree.map(
        lambda p, m, v: p - lr * (m / first) / (jnp.sqrt(v / second) + 1e-8), params, m, v
    )
    return params, (t, m, v)


class JaxStep(Contender):
    """`jax.jit` of one step, parameters donated; the loss stays on the device until it is read.

    A prediction is waited for each time, as its reader would.
    """

    label = "JAX, jitted step"
    imports = "import jax, jax.numpy"

    def __init__(self, problem: Problem) -> None:
        self.workload = workload = problem.workload
        self.params: Params = [(jnp.array(w), jnp.array(b)) for w, b in problem.weights]
        zeros = jax.tree.map(jnp.zeros_like, self.params)
        dtype = np.dtype(workload.dtype)
        self.state: Any = ()
        if workload.optimizer == "adam":
            self.state = (np.zeros((), dtype), zeros, jax.tree.map(jnp.zeros_like, self.params))
        update = partial(sgd if workload.optimizer == "sgd" else adam, workload.lr)
        gradient = jax.value_and_grad(partial(loss_of, workload))

        def step(params: Params, state: Any, x: Any, y: Any) -> tuple[Params, Any, Any]:
            loss, grads = gradient(params, x, y)
            return *update(params, grads, state), loss

        self.one_step = step
        self.jitted = jax.jit(step, donate_argnums=(0, 1))
        self.data = [(jnp.array(x), jnp.array(y)) for x, y in problem.batches]
        self.batches = cycle(self.data)
        last = jax.nn.sigmoid if workload.binary else jax.nn.softmax
        self.probabilities = jax.jit(lambda params, x: last(logits(workload, params, x)))

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return bool(workload)

    def step(self) -> Any:
        x, y = next(self.batches)
        self.params, self.state, loss = self.jitted(self.params, self.state, x, y)
        return loss

    def predict(self) -> Any:
        return self.probabilities(self.params, self.data[0][0]).block_until_ready()


class JaxLoop(JaxStep):
    """All steps of a turn in one compiled loop; the loss is computed in each."""

    label = "JAX, whole loop compiled"

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.x = jnp.stack([x for x, _ in self.data])
        self.y = jnp.stack([y for _, y in self.data])
        self.at = 0
        step, batches = self.one_step, len(self.data)

        def loop(count: Any, at: Any, carried: tuple[Params, Any], x: Any, y: Any) -> Any:
            def body(i: Any, carry: Any) -> Any:
                params, state, _ = carry
                n = (at + i) % batches
                return step(params, state, x[n], y[n])

            start = (*carried, jnp.zeros((), x.dtype))
            return lax.fori_loop(0, count, body, start)

        self.loop = jax.jit(loop, donate_argnums=2)

    @classmethod
    def supports(cls, workload: Workload) -> bool:
        return not workload.predicts

    def run(self, count: int) -> float:
        self.params, self.state, loss = self.loop(
            count, self.at, (self.params, self.state), self.x, self.y
        )
        self.at = (self.at + count) % len(self.data)
        return float(loss)
