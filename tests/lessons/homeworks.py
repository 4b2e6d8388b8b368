"""Homeworks: a right answer to each exercise, and what learners write in its place.

A wrong homework is the right one with a line changed. `WRONG` says which, and what the sentence
must contain. The kinds are from public courses' forums and issues: sums that are forgotten, wrong
axes, a 1/N, transposes, slopes of the wrong variable, masks that are off by one, and so on.
"""

import linecache
import zlib
from typing import Any

import formulations
import numpy as np

import minifw

RIGHT = {
    "scale": """
class Scale(Layer):
    def __init__(self, features):
        self.weight = Parameter(np.ones(features))
    def forward(self, x):
        self.save(x)
        return x * self.weight.value
    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad[...] = (dy * x).sum(axis=0)
        return dy * self.weight.value
answer = Scale(3)
""",
    "square": """
class Square(Layer):
    def forward(self, x):
        self.save(x)
        return x * x
    def backward(self, dy):
        (x,) = self.saved()
        return 2 * x * dy
answer = Square()
""",
    "centre": """
class Centre(Layer):
    def forward(self, x):
        return x - x.mean(axis=1, keepdims=True)
    def backward(self, dy):
        return dy - dy.mean(axis=1, keepdims=True)
answer = Centre()
""",
    "slope": """
def answer(f, x, h=1e-5):
    return (f(x + h) - f(x - h)) / (2 * h)
""",
    "sigmoid": """
class Sigmoid(Layer):
    def forward(self, x):
        y = np.where(x > 0, 1, np.exp(-abs(x))) / (1 + np.exp(-abs(x)))
        self.save(y)
        return y
    def backward(self, dy):
        (y,) = self.saved()
        return dy * y * (1 - y)
answer = Sigmoid()
""",
    "softplus": """
class Softplus(Layer):
    def forward(self, x):
        self.save(x)
        return np.logaddexp(0, x)
    def backward(self, dy):
        (x,) = self.saved()
        return dy / (1 + np.exp(-x))
answer = Softplus()
""",
    "dense": """
class Dense(Layer):
    def __init__(self, n_in, n_out):
        rng = np.random.default_rng(0)
        self.weight = Parameter(rng.standard_normal((n_out, n_in)))
        self.bias = Parameter(np.zeros(n_out))
    def forward(self, x):
        self.save(x)
        return x @ self.weight.value.T + self.bias.value
    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad[...] = dy.T @ x
        self.bias.grad[...] = dy.sum(axis=0)
        return dy @ self.weight.value
answer = Dense(3, 2)
""",
    "tanh": """
class Tanh(Layer):
    def forward(self, x):
        y = np.tanh(x)
        self.save(y)
        return y
    def backward(self, dy):
        (y,) = self.saved()
        return dy * (1 - y**2)
answer = Tanh()
""",
    "bce": """
class BCE(Loss):
    def forward(self, prediction, target):
        self.check(prediction, target)
        p = np.clip(prediction, 1e-300, 1 - 1e-16)
        self.save(p, target)
        return float(-np.mean(target * np.log(p) + (1 - target) * np.log(1 - p)))
    def backward(self):
        p, t = self.saved()
        return (p - t) / (p * (1 - p)) / p.size
answer = BCE()
""",
    "bce_with_logits": """
class Logits(Loss):
    def forward(self, prediction, target):
        self.check(prediction, target)
        z = prediction
        self.save(z, target)
        return self.finite(float(np.mean(np.logaddexp(0, z) - target * z)))
    def backward(self):
        z, t = self.saved()
        e = np.exp(-abs(z))
        return (np.where(z > 0, 1, e) / (1 + e) - t) / z.size
answer = Logits()
""",
    "huber": """
class Huber(Loss):
    def forward(self, prediction, target):
        self.check(prediction, target)
        e = prediction - target
        self.save(e)
        return self.finite(float(np.mean(np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5))))
    def backward(self):
        (e,) = self.saved()
        return np.clip(e, -1, 1) / e.size
answer = Huber()
""",
    "momentum": """
class Momentum(Optimizer):
    def __init__(self, parameters, lr, momentum=0.9):
        super().__init__(parameters, lr)
        self.momentum = momentum
        self.velocity = self.zeros()
    def update(self, values, grads):
        self.velocity *= self.momentum
        self.velocity += grads
        values -= self.lr * self.velocity
answer = lambda parameters: Momentum(parameters, lr=0.1)
""",
    "adam": """
class Adam(Optimizer):
    def __init__(self, parameters, lr, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(parameters, lr)
        self.betas, self.eps = betas, eps
        self.m, self.v = self.zeros(), self.zeros()
    def update(self, values, grads):
        a, b = self.betas
        self.m *= a
        self.m += (1 - a) * grads
        self.v *= b
        self.v += (1 - b) * grads**2
        t = self.steps + 1
        m, v = self.m / (1 - a**t), self.v / (1 - b**t)
        values -= self.lr * m / (np.sqrt(v) + self.eps)
answer = lambda parameters: Adam(parameters, lr=0.1)
""",
    "softmax": """
class Softmax(Layer):
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        y = e / e.sum(axis=1, keepdims=True)
        self.save(y)
        return y
    def backward(self, dy):
        (y,) = self.saved()
        return y * (dy - (dy * y).sum(axis=1, keepdims=True))
answer = Softmax()
""",
    "cross_entropy": """
class CrossEntropy(Loss):
    def forward(self, prediction, target):
        if len(prediction) != len(target):
            raise ValueError("as many labels as rows")
        z = prediction - prediction.max(axis=1, keepdims=True)
        log_p = z - np.log(np.exp(z).sum(axis=1, keepdims=True))
        self.save(log_p, target)
        return self.finite(float(-log_p[np.arange(len(z)), target].mean()))
    def backward(self):
        log_p, target = self.saved()
        dz = np.exp(log_p)
        dz[np.arange(len(dz)), target] -= 1
        return dz / len(dz)
answer = CrossEntropy()
""",
    "conv2d": """
class Conv2D(Layer):
    def __init__(self, c_in, c_out, k):
        rng = np.random.default_rng(0)
        self.weight = Parameter(rng.standard_normal((c_out, c_in, k, k)))
        self.bias = Parameter(np.zeros(c_out))
    def forward(self, x):
        w = np.lib.stride_tricks.sliding_window_view(x, self.weight.shape[2:], axis=(2, 3))
        self.save(x, w)
        y = np.einsum("nihwuv,oiuv->nohw", w, self.weight.value)
        return y + self.bias.value[:, None, None]
    def backward(self, dy):
        x, w = self.saved()
        self.weight.grad[...] = np.einsum("nohw,nihwuv->oiuv", dy, w)
        self.bias.grad[...] = dy.sum(axis=(0, 2, 3))
        dx = np.zeros_like(x)
        for u in range(self.weight.shape[2]):
            for v in range(self.weight.shape[3]):
                part = np.einsum("nohw,oi->nihw", dy, self.weight.value[:, :, u, v])
                dx[:, :, u : u + dy.shape[2], v : v + dy.shape[3]] += part
        return dx
answer = Conv2D(2, 3, 3)
""",
    "max_pool": """
class MaxPool(Layer):
    def forward(self, x):
        n, c, h, w = x.shape
        windows = x.reshape(n, c, h // 2, 2, w // 2, 2).swapaxes(3, 4)
        windows = windows.reshape(n, c, h // 2, w // 2, 4)
        at = windows.argmax(axis=-1)
        self.save(at)
        return windows.max(axis=-1)
    def backward(self, dy):
        (at,) = self.saved()
        n, c, h, w = dy.shape
        d = np.zeros((n, c, h, w, 4), dy.dtype)
        np.put_along_axis(d, at[..., None], dy[..., None], axis=-1)
        return d.reshape(n, c, h, w, 2, 2).swapaxes(3, 4).reshape(n, c, 2 * h, 2 * w)
answer = MaxPool()
""",
    "layer_norm": """
class LayerNorm(Layer):
    def __init__(self, features, eps=1e-5):
        self.weight, self.bias = Parameter(np.ones(features)), Parameter(np.zeros(features))
        self.eps = eps
    def forward(self, x):
        s = np.sqrt(x.var(axis=-1, keepdims=True) + self.eps)
        n = (x - x.mean(axis=-1, keepdims=True)) / s
        self.save(n, s)
        return n * self.weight.value + self.bias.value
    def backward(self, dy):
        n, s = self.saved()
        self.weight.grad[...] = (dy * n).sum(axis=0)
        self.bias.grad[...] = dy.sum(axis=0)
        dn = dy * self.weight.value
        mean = dn.mean(axis=-1, keepdims=True)
        along = (dn * n).mean(axis=-1, keepdims=True)
        return (dn - mean - n * along) / s
answer = LayerNorm(5)
""",
    "batch_norm": """
class BatchNorm(Layer):
    buffers = ("running_mean", "running_var")
    def __init__(self, features, eps=1e-5, momentum=0.1):
        self.weight, self.bias = Parameter(np.ones(features)), Parameter(np.zeros(features))
        self.running_mean, self.running_var = np.zeros(features), np.ones(features)
        self.eps, self.momentum = eps, momentum
    def forward(self, x):
        if self.training:
            mean, var = x.mean(axis=0), x.var(axis=0)
            m, n = self.momentum, len(x)
            self.running_mean = (1 - m) * self.running_mean + m * mean
            self.running_var = (1 - m) * self.running_var + m * var * n / (n - 1)
        else:
            mean, var = self.running_mean, self.running_var
        s = np.sqrt(var + self.eps)
        n = (x - mean) / s
        self.save(n, s)
        return n * self.weight.value + self.bias.value
    def backward(self, dy):
        n, s = self.saved()
        self.weight.grad[...] = (dy * n).sum(axis=0)
        self.bias.grad[...] = dy.sum(axis=0)
        dn = dy * self.weight.value
        if not self.training:
            return dn / s
        return (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0)) / s
answer = BatchNorm(3)
""",
    "embedding": """
class Embedding(Layer):
    def __init__(self, count, width):
        self.weight = Parameter(np.random.default_rng(0).standard_normal((count, width)))
    def forward(self, x):
        self.save(x)
        return self.weight.value[x]
    def backward(self, dy):
        (x,) = self.saved()
        self.weight.grad[...] = 0
        np.add.at(self.weight.grad, x, dy)
        return np.zeros(x.shape)
answer = Embedding(6, 3)
""",
    "residual": """
class Residual(Layer):
    def __init__(self, layer):
        self.layer = layer
    def forward(self, x):
        return x + self.layer.forward(x)
    def backward(self, dy):
        return dy + self.layer.backward(dy)
answer = Residual(minifw.Dense(3, 3))
""",
    "gelu": """
class GELU(Layer):
    def forward(self, x):
        c = np.sqrt(2 / np.pi)
        t = np.tanh(c * (x + 0.044715 * x**3))
        self.save(x, t)
        return x * (1 + t) / 2
    def backward(self, dy):
        x, t = self.saved()
        c = np.sqrt(2 / np.pi)
        du = c * (1 + 3 * 0.044715 * x**2)
        return dy * ((1 + t) / 2 + x * (1 - t**2) * du / 2)
answer = GELU()
""",
    "swish": """
class Swish(Layer):
    def __init__(self, features):
        self.slope = Parameter(np.ones(features))
    def forward(self, x):
        s = 1 / (1 + np.exp(-self.slope.value * x))
        self.save(x, s)
        return x * s
    def backward(self, dy):
        x, s = self.saved()
        t = x * s * (1 - s)
        self.slope.grad[...] = (dy * x * t).sum(axis=0)
        return dy * (s + self.slope.value * t)
answer = Swish(3)
""",
    "attention": """
class Attention(Layer):
    def forward(self, q, k, v):
        s = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        self.save(q, k, v, p)
        return p @ v
    def backward(self, dy):
        q, k, v, p = self.saved()
        dv = p.swapaxes(1, 2) @ dy
        dp = dy @ v.swapaxes(1, 2)
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
        return ds @ k, ds.swapaxes(1, 2) @ q, dv
answer = Attention()
""",
    "causal_attention": """
class CausalAttention(Layer):
    def forward(self, q, k, v):
        s = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])
        s = np.where(np.tri(q.shape[1], k.shape[1], dtype=bool), s, -np.inf)
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        self.save(q, k, v, p)
        return p @ v
    def backward(self, dy):
        q, k, v, p = self.saved()
        dv = p.swapaxes(1, 2) @ dy
        dp = dy @ v.swapaxes(1, 2)
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
        return ds @ k, ds.swapaxes(1, 2) @ q, dv
answer = CausalAttention()
""",
    "heads": """
class Heads(Layer):
    def __init__(self, width, heads):
        rng = np.random.default_rng(0)
        self.heads = heads
        self.in_proj_weight = Parameter(rng.standard_normal((3 * width, width)))
        self.in_proj_bias = Parameter(np.zeros(3 * width))
        self.out_proj = minifw.Dense(width, width, rng=0)
    def forward(self, x):
        n, t, w = x.shape
        h = x @ self.in_proj_weight.value.T + self.in_proj_bias.value
        q, k, v = (a.reshape(n, t, self.heads, -1).swapaxes(1, 2) for a in np.split(h, 3, axis=-1))
        s = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1])
        s = np.where(np.tri(t, t, dtype=bool), s, -np.inf)
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        self.save(x, q, k, v, p)
        return self.out_proj.forward((p @ v).swapaxes(1, 2).reshape(n, t, w))
    def backward(self, dy):
        x, q, k, v, p = self.saved()
        n, t, w = x.shape
        dz = self.out_proj.backward(dy).reshape(n, t, self.heads, -1).swapaxes(1, 2)
        dv = p.swapaxes(2, 3) @ dz
        dp = dz @ v.swapaxes(2, 3)
        ds = p * (dp - (dp * p).sum(axis=-1, keepdims=True)) / np.sqrt(q.shape[-1])
        dq, dk = ds @ k, ds.swapaxes(2, 3) @ q
        dh = np.concatenate([a.swapaxes(1, 2).reshape(n, t, w) for a in (dq, dk, dv)], axis=-1)
        self.in_proj_weight.grad[...] = np.einsum("nto,nti->oi", dh, x)
        self.in_proj_bias.grad[...] = dh.sum(axis=(0, 1))
        return dh @ self.in_proj_weight.value
answer = Heads(4, 2)
""",
}


# For each exercise: a piece of the right answer, what is written in its place, and what the
# sentence must say: all words of one of the alternatives between bars.
WRONG: dict[str, list[tuple[str, str, str]]] = {
    "scale": [
        (".sum(axis=0)", ".mean(axis=0)", "batch size"),
        ("(dy * x).sum(axis=0)", "(dy * x)[0]", "row 0"),
        ("(dy * x).sum(axis=0)", "x.sum(axis=0)", "dy of ones"),
        ("(dy * x).sum(axis=0)", "dy.sum(axis=0)", "as of a bias"),
        ("grad[...] =", "grad[...] +=", "adds to"),
        ("return dy * self.weight.value", "return self.weight.value + 0 * dy", "dy of ones"),
        ("return dy * self.weight.value", "return dy", "passed on"),
        ("self.weight.grad[...] = (dy * x).sum(axis=0)", "pass", "never sets"),
        ("(dy * x).sum(axis=0)", "(dy * x).sum()", "summed"),
        ("dy * self.weight.value", "dy * self.weight.value / 2", "2 times too small"),
        (
            "return x * self.weight.value",
            "return x + self.weight.value",
            "x weight | times weight | adds | x + weight",
        ),
        ("dy * self.weight.value", "dy * x", "weight"),
        (
            "self.weight.grad[...] = (dy * x).sum(axis=0)",
            "self.weight.value -= (dy * x).sum(axis=0)",
            "changes | writes into | weight",
        ),
        (".sum(axis=0)", ".sum(axis=1)[:3]", "axis | batch"),
    ],
    "square": [
        ("2 * x * dy", "2 * dy", "x"),
        ("2 * x * dy", "x * dy", "factor 2"),
        ("2 * x * dy", "2 * x", "dy of ones"),
        ("2 * x * dy", "x * x * dy", "slope | derivative | x"),
        ("2 * x * dy", "-2 * x * dy", "sign"),
        ("return 2 * x * dy", "dy *= 2 * x; return dy", "writes into dy"),
        ("x * x\n", "2 * x\n", "2 x | x^2"),
        ("x * x\n", "x ** 3\n", "x^3 | x^2"),
        ("(x,) = self.saved()", "x = self.saved()", "comma"),
        ("2 * x * dy", "2 * x + dy", "zeros | factor | times"),
    ],
    "centre": [
        ("dy - dy.mean(axis=1, keepdims=True)", "dy", "passed on | mean"),
        ("dy - dy.mean(axis=1, keepdims=True)", "dy - dy.sum(axis=1, keepdims=True)", "mean"),
        ("dy - dy.mean(axis=1", "dy - dy.mean(axis=0", "axis"),
        ("x - x.mean(axis=1", "x - x.mean(axis=0", "batch"),
        ("dy - dy.mean(axis=1, keepdims=True)", "dy + dy.mean(axis=1, keepdims=True)", "mean"),
        (
            "return x - x.mean(axis=1, keepdims=True)",
            "return x - x.mean()",
            "axis 0 | whole | batch | all",
        ),
        (
            "dy - dy.mean(axis=1, keepdims=True)",
            "-dy.mean(axis=1, keepdims=True) + 0 * dy",
            "term | missing | dy",
        ),
        (
            "x - x.mean(axis=1, keepdims=True)",
            "(x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)",
            "divide | std | deviation | variance",
        ),
        ("dy - dy.mean(axis=1, keepdims=True)", "dy - dy.mean()", "axis | batch | mean"),
    ],
    "slope": [
        ("/ (2 * h)", "/ h", "2h"),
        ("(f(x + h) - f(x - h)) / (2 * h)", "(f(x + h) - f(x)) / h", "one side"),
        ("f(x + h) - f(x - h)", "f(x - h) - f(x + h)", "sign"),
        ("h=1e-5", "h=0.1", "h | step"),
        ("(f(x + h) - f(x - h)) / (2 * h)", "(f(x) - f(x - h)) / h", "one side"),
        ("/ (2 * h)", "/ 2 * h", "parenthes | bracket | h^2 | / (2 * h) | / (2h)"),
        ("/ (2 * h)", "/ 2", "h"),
        ("(f(x + h) - f(x - h)) / (2 * h)", "f(x + h) - f(x - h)", "2h | 2 h | divide"),
    ],
    "sigmoid": [
        ("dy * y * (1 - y)", "y * (1 - y)", "dy of ones"),
        ("dy * y * (1 - y)", "dy * y * (1 + y)", "1 + "),
        ("self.save(y)", "self.save(x)", "y"),
        ("dy * y * (1 - y)", "dy * (1 - y)", "1 - y"),
        ("dy * y * (1 - y)", "dy * (1 - y**2)", "1 - y^2"),
        ("dy * y * (1 - y)", "-dy * y * (1 - y)", "sign"),
        (
            "np.where(x > 0, 1, np.exp(-abs(x))) / (1 + np.exp(-abs(x)))",
            "1 / (1 + np.exp(x))",
            "exponent is -x",
        ),
        ("dy * y * (1 - y)", "dy * y", "1 - y"),
        ("dy * y * (1 - y)", "dy * y - y**2", "zeros"),
        (
            "y = np.where(x > 0, 1, np.exp(-abs(x))) / (1 + np.exp(-abs(x)))",
            "y = 1 / (1 - np.exp(-x))",
            "1 - e^-x | 1 + e^-x",
        ),
        (
            "y = np.where(x > 0, 1, np.exp(-abs(x))) / (1 + np.exp(-abs(x)))",
            "y = np.exp(x) / (1 + np.exp(x))",
            "overflow | nan | finite",
        ),
    ],
    "softplus": [
        ("dy / (1 + np.exp(-x))", "dy / (1 + np.exp(x))", "1 / (1 + e^x)"),
        ("np.logaddexp(0, x)", "np.log(1 + np.exp(x))", "overflow"),
        ("dy / (1 + np.exp(-x))", "1 / (1 + np.exp(-x))", "dy of ones"),
        ("dy / (1 + np.exp(-x))", "dy * np.exp(x)", "e^x"),
        ("np.logaddexp(0, x)", "np.logaddexp(1, x)", "1 | e^x | constant"),
        ("np.logaddexp(0, x)", "np.logaddexp2(0, x)", "log | 2"),
        ("dy / (1 + np.exp(-x))", "dy / (1 + np.exp(-x)) ** 2", "1 / (1 + e^-x)"),
        ("dy / (1 + np.exp(-x))", "dy * np.exp(x) / (1 + np.exp(x))", "overflow | nan | finite"),
    ],
    "dense": [
        ("dy.T @ x", "(x.T @ dy).T[:, ::-1]", "reversed"),
        ("dy.T @ x", "dy @ x.T", "transposes of the product"),
        ("dy.T @ x", "dy.T @ x / len(x)", "batch size"),
        ("dy.T @ x", "dy[:1].T @ x[:1]", "row 0"),
        ("grad[...] = dy.T @ x", "grad[...] += dy.T @ x", "adds to"),
        ("dy.sum(axis=0)", "dy.mean(axis=0)", "batch size"),
        ("dy.sum(axis=0)", "dy.sum()", "one sum"),
        ("dy.sum(axis=0)", "dy[0]", "row 0"),
        ("dy @ self.weight.value", "np.ones_like(dy) @ self.weight.value", "dy of ones"),
        ("dy @ self.weight.value", "dy @ self.weight.value / len(dy)", "batch size"),
        ("+ self.bias.value", "", "add the bias"),
        ("+ self.bias.value", "- self.bias.value", "subtracts the bias"),
        ("self.bias.grad[...] = dy.sum(axis=0)", "pass", "never sets"),
        ("(n_out, n_in)", "(n_in, n_out)", "(2, 3)"),
        (
            "self.save(x)",
            "self.first = getattr(self, 'first', x); self.save(self.first)",
            "earlier forward",
        ),
        ("dy.T @ x", "x.T @ dy", "transpos"),
        ("dy @ self.weight.value", "dy @ self.weight.value.T", "transpos | (n_out | shape | size"),
        ("dy.T @ x", "dy.T @ np.ones_like(x)", "x | ones"),
        (
            "self.bias.grad[...] = dy.sum(axis=0)",
            "self.bias.grad[...] = dy.sum(axis=1)[:2]",
            "axis | batch",
        ),
    ],
    "tanh": [
        ("dy * (1 - y**2)", "1 - y**2", "dy of ones"),
        ("dy * (1 - y**2)", "dy * (1 - y)", "1 - y"),
        ("self.save(y)", "self.save(x)", "1 - x^2"),
        ("dy * (1 - y**2)", "dy * (1 + y**2)", "1 + y^2"),
        ("dy * (1 - y**2)", "dy * y * (1 - y)", "y (1 - y)"),
        ("dy * (1 - y**2)", "dy / (1 - y**2)", "1 / (1 - y^2)"),
        ("dy * (1 - y**2)", "dy * (1 - y) ** 2", "(1 - y)^2"),
        ("dy * (1 - y**2)", "dy * (y**2 - 1)", "sign"),
        ("dy * (1 - y**2)", "dy * (1 - 2 * y)", "1 - y^2"),
        ("y = np.tanh(x)", "y = (1 - np.exp(-x)) / (1 + np.exp(-x))", "2 | x / 2"),
    ],
    "bce": [
        ("/ p.size", "", "1/N"),
        ("-np.mean", "np.mean", "sign"),
        (
            "-np.mean(target * np.log(p) + (1 - target) * np.log(1 - p))",
            "-np.sum(target * np.log(p) + (1 - target) * np.log(1 - p))",
            "mean",
        ),
        ("+ (1 - target) * np.log(1 - p)", "", "(1 - t) log(1 - p)"),
        ("(p - t) /", "(t - p) /", "sign"),
        ("(p - t) / (p * (1 - p))", "(p - t)", "p (1 - p)"),
        ("(p - t) / (p * (1 - p))", "-t / p", "target"),
        ("(p - t) / (p * (1 - p))", "-t / p - (1 - t) / (1 - p)", "sign"),
        ("np.log(p)", "np.log2(p)", "log"),
        (
            "target * np.log(p) + (1 - target) * np.log(1 - p)",
            "target * np.log2(p) + (1 - target) * np.log2(1 - p)",
            "log2 | 1.44 | base | natural",
        ),
        ("+ (1 - target)", "- (1 - target)", "sign | (1 - t)"),
        ("np.mean(", "np.sum(", "mean"),
    ],
    "bce_with_logits": [
        ("/ z.size", "", "1/N"),
        ("np.logaddexp(0, z)", "np.log(1 + np.exp(z))", "inf"),
        ("- target * z", "+ target * z", "must be"),
        ("- t) / z.size", ") / z.size", "target"),
        ("np.where(z > 0, 1, e) / (1 + e) - t", "t - np.where(z > 0, 1, e) / (1 + e)", "sign"),
        (
            "np.mean(np.logaddexp(0, z) - target * z)",
            "np.sum(np.logaddexp(0, z) - target * z)",
            "mean",
        ),
        (
            "np.logaddexp(0, z) - target * z",
            "np.logaddexp(0, -z) - target * z",
            "(1 - t) | sign | target",
        ),
        (
            "(np.where(z > 0, 1, e) / (1 + e) - t)",
            "(z - t)",
            "prediction | sigmoid | logit | p - t",
        ),
    ],
    "huber": [
        ("/ e.size", "", "1/N"),
        ("np.clip(e, -1, 1)", "e", "1"),
        ("np.clip(e, -1, 1)", "np.sign(e)", "1"),
        ("- 0.5", "", "must be"),
        ("e**2 / 2", "e**2", "must be"),
        ("np.clip(e, -1, 1)", "-np.clip(e, -1, 1)", "sign"),
        ("abs(e) - 0.5", "abs(e)", "0.5"),
        ("abs(e) <= 1", "abs(e) <= 2", "1"),
        ("np.clip(e, -1, 1)", "np.clip(e, 0, 1)", "e > 0 | e < 0 | negative | where"),
        ("np.clip(e, -1, 1)", "np.where(abs(e) <= 1, e, 1)", "sign | where | -1"),
    ],
    "momentum": [
        ("values -= self.lr", "values += self.lr", "uphill"),
        (
            "values -= self.lr * self.velocity",
            "values = values - self.lr * self.velocity",
            "place",
        ),
        ("self.velocity += grads", "self.velocity += (1 - self.momentum) * grads", "0.1 times"),
        ("self.velocity *= self.momentum\n", "pass\n", "momentum"),
        ("self.lr * self.velocity", "self.velocity", "lr"),
        ("self.velocity += grads", "self.velocity = grads", "step 2 | copy"),
        ("self.velocity += grads", "self.velocity -= grads", "uphill"),
        ("self.velocity += grads", "self.velocity += self.lr * grads", "lr"),
        (
            "self.velocity *= self.momentum",
            "self.velocity *= 1 - self.momentum",
            "1 - momentum | 0.1",
        ),
        (
            "values -= self.lr * self.velocity",
            "values -= self.lr * self.momentum * self.velocity",
            "0.9",
        ),
    ],
    "adam": [
        ("self.m / (1 - a**t), self.v / (1 - b**t)", "self.m, self.v", "3.16"),
        ("t = self.steps + 1", "t = self.steps", "step | non-finite | finite"),
        ("(1 - b) * grads**2", "(1 - b) * grads", "NaN | finite | step"),
        ("np.sqrt(v)", "v", "first step"),
        ("self.m += (1 - a) * grads", "self.m += grads", "10 times"),
        ("self.v / (1 - b**t)", "self.v", "31.6"),
        ("values -= self.lr * m", "values += self.lr * m", "uphill"),
        (
            "self.m, self.v = self.zeros(), self.zeros()",
            "self.m = self.v = self.zeros()",
            "one array | same array | both m and v",
        ),
        ("        self.m *= a\n        self.m += (1 - a) * grads\n", "", "m"),
        ("        self.v *= b\n        self.v += (1 - b) * grads**2\n", "", "v"),
        ("        self.m *= a\n", "        self.m *= b\n", "m | beta"),
    ],
    "softmax": [
        ("y * (dy - (dy * y).sum(axis=1, keepdims=True))", "dy * y * (1 - y)", "diagonal"),
        ("(dy * y).sum(axis=1", "(dy * y).sum(axis=0", "axis"),
        ("y * (dy - (dy * y).sum(axis=1, keepdims=True))", "0 * dy", "zero"),
        ("y * (dy - (dy * y).sum(axis=1, keepdims=True))", "dy * y", "missing"),
        ("(dy * y).sum(axis=1", "dy.sum(axis=1", "sum"),
        ("(dy * y).sum(axis=1", "(dy * y).mean(axis=1", "too small"),
        (" - x.max(axis=1, keepdims=True)", "", "overflow"),
        ("e / e.sum(axis=1", "e / e.sum(axis=0", "column"),
        ("(dy * y).sum(axis=1, keepdims=True)", "(dy * y).sum()", "axis | batch | row"),
        (
            "y * (dy - (dy * y).sum(axis=1, keepdims=True))",
            "dy - (dy * y).sum(axis=1, keepdims=True)",
            "y",
        ),
        ("y * (dy - (dy", "y * (dy + (dy", "sign"),
        ("y = e / e.sum(axis=1, keepdims=True)", "y = e / e.sum()", "sum | row | axis"),
    ],
    "cross_entropy": [
        ("return dz / len(dz)", "return dz", "1/N"),
        ("return dz / len(dz)", "return dz / dz.size", "4 times too small"),
        ("target] -= 1", "target] = -1", "target"),
        ("target] -= 1", "target] += 1", "target"),
        (".mean())", ".sum())", "mean"),
        ("- prediction.max(axis=1, keepdims=True)", "", "nan"),
        ("dz = np.exp(log_p)", "dz = log_p.copy()", "target"),
        (
            "np.log(np.exp(z).sum(axis=1, keepdims=True))",
            "np.log2(np.exp(z).sum(axis=1, keepdims=True))",
            "log | base",
        ),
        ("float(-log_p", "float(log_p", "sign"),
        ("dz = np.exp(log_p)", "dz = -np.exp(log_p)", "sign | target | softmax"),
        ("return dz / len(dz)", "return -dz / len(dz)", "sign"),
    ],
    "conv2d": [
        ("dy.sum(axis=(0, 2, 3))", "dy.mean(axis=(0, 2, 3))", "too small"),
        ("dy.sum(axis=(0, 2, 3))", "dy[0].sum(axis=(1, 2))", "row 0"),
        ("dy.sum(axis=(0, 2, 3))", "dy[:, :, 0, 0].sum(axis=0)", "place 0"),
        ("+= part", "= part", "overlap"),
        (
            "self.weight.value[:, :, u, v])",
            "self.weight.value[:, :, 2 - u, 2 - v])",
            "flip | order | places",
        ),
        (
            '"nihwuv,oiuv->nohw", w, self.weight.value',
            '"nihwuv,oiuv->nohw", w, self.weight.value[..., ::-1, ::-1]',
            "flips the kernel",
        ),
        (
            '"nihwuv,oiuv->nohw", w, self.weight.value',
            '"nihwuv,oivu->nohw", w, self.weight.value',
            "rows and columns",
        ),
        ("+ self.bias.value[:, None, None]", "", "add the bias"),
        ('"nohw,nihwuv->oiuv", dy, w)', '"nohw,nihwuv->oiuv", dy, w) / len(x)', "batch size"),
        (
            '"nohw,nihwuv->oiuv", dy, w)',
            '"nohw,nihwvu->oiuv", dy, w)',
            "exchanged | transposed | places",
        ),
        (
            '"nohw,nihwuv->oiuv", dy, w)',
            '"nohw,nihwuv->oiuv", dy, w)[..., ::-1, ::-1]',
            "flip | reversed",
        ),
        (
            "self.bias.grad[...] = dy.sum(axis=(0, 2, 3))",
            "self.bias.grad[...] = dy.sum(axis=(0, 2, 3)) / dy[0, 0].size",
            "too small | mean",
        ),
        (
            '"nohw,oi->nihw", dy, self.weight.value[:, :, u, v]',
            '"nohw,oi->nihw", dy, self.weight.value[:, :, v, u]',
            "exchanged | transposed | rows and columns",
        ),
        ('"nohw,nihwuv->oiuv", dy, w)', '"nohw,nihwuv->oiuv", dy[:1], w[:1])', "row 0"),
    ],
    "max_pool": [
        ("windows.max(axis=-1)", "windows.mean(axis=-1)", "mean of each window"),
        (
            "np.put_along_axis(d, at[..., None], dy[..., None], axis=-1)",
            "d[...] = dy[..., None] / 4",
            "no output depends on",
        ),
        (
            "np.put_along_axis(d, at[..., None], dy[..., None], axis=-1)",
            "d[...] = dy[..., None]",
            "no output depends on",
        ),
        (
            "np.put_along_axis(d, at[..., None], dy[..., None], axis=-1)",
            "d[..., 0] = dy",
            "no output depends on",
        ),
        ("dy[..., None], axis=-1)", "1.0, axis=-1)", "dy of ones"),
        (
            "np.put_along_axis(d, at[..., None], dy[..., None], axis=-1)",
            "np.put_along_axis(d, at[..., None], dy[..., None] / 4, axis=-1)",
            "4 times too small",
        ),
        ("windows.max(axis=-1)", "windows.min(axis=-1)", "min"),
        ("windows.max(axis=-1)", "windows.sum(axis=-1)", "sum | mean"),
        (
            "at = windows.argmax(axis=-1)",
            "at = windows.argmin(axis=-1)",
            "no output depends | min | largest",
        ),
    ],
    "layer_norm": [
        ("dn - mean - n * along", "dn - n * along", "x.mean(axis=-1"),
        ("dn - mean - n * along", "dn - mean", "x.var(axis=-1"),
        ("dn - mean - n * along", "dn", "x.var(axis=-1"),
        ("mean = dn.mean(", "mean = dn.sum(", "mean"),
        ("along = (dn * n).mean(", "along = (dn * n).sum(", "5 times"),
        ("dn = dy * self.weight.value", "dn = dy", "weight"),
        ("(dy * n).sum(axis=0)", "(dy * n).mean(axis=0)", "batch size"),
        ("(dy * n).sum(axis=0)", "dy.sum(axis=0)", "n | normalised | x"),
        ("mean = dn.mean(axis=-1", "mean = dn.mean(axis=0", "axis"),
        ("- n * along) / s", "- n * along)", "factor"),
        ("x.var(axis=-1, keepdims=True)", "x.var(axis=-1, ddof=1, keepdims=True)", "divide by n"),
        ("n * self.weight.value + self.bias.value", "n * self.weight.value", "bias"),
        ("- n * along) / s", "- n * along) / s**2", "factor"),
        ("(dn - mean - n * along) / s", "(dn - mean + n * along) / s", "sign | term | variance"),
        (
            "self.bias.grad[...] = dy.sum(axis=0)",
            "self.bias.grad[...] = dy.mean(axis=0)",
            "batch size",
        ),
        (
            "self.weight.grad[...] = (dy * n).sum(axis=0)",
            "self.weight.grad[...] = (dn_ := dy * n).sum(axis=1)[: n.shape[1]]",
            "axis",
        ),
    ],
    "batch_norm": [
        ("dn - dn.mean(axis=0) - n", "dn - n", "mean over axis 0"),
        (" - n * (dn * n).mean(axis=0)", "", "variance"),
        (
            "return (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0)) / s",
            "return dn / s",
            "mean and a variance",
        ),
        ("dn.mean(axis=0) - n", "dn.sum(axis=0) - n", "mean"),
        (
            "x.mean(axis=0), x.var(axis=0)",
            "x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)",
            "features",
        ),
        ("if self.training:", "if True:", "eval"),
        (
            "(1 - m) * self.running_mean + m * mean",
            "m * self.running_mean + (1 - m) * mean",
            "running_mean",
        ),
        ("* n / (n - 1)", "", "running_var"),
        ("dn = dy * self.weight.value", "dn = dy", "weight"),
        ("if not self.training:\n            return dn / s", "pass", "eval"),
        ("(dy * n).sum(axis=0)", "(dy * n).mean(axis=0)", "batch size"),
        ("s = np.sqrt(var + self.eps)", "s = np.sqrt(var) + self.eps", "eps"),
        (
            "            mean, var = self.running_mean, self.running_var",
            "            mean, var = x.mean(axis=0), x.var(axis=0)",
            "eval",
        ),
        ("m * var * n / (n - 1)", "m * np.sqrt(var) * n / (n - 1)", "running_var"),
        (
            "            self.running_mean = (1 - m) * self.running_mean + m * mean\n",
            "",
            "running_mean",
        ),
    ],
    "embedding": [
        ("np.add.at(self.weight.grad, x, dy)", "self.weight.grad[x] += dy", "repeats"),
        ("np.add.at(self.weight.grad, x, dy)", "self.weight.grad[x] = dy", "repeats"),
        ("self.weight.grad[...] = 0\n", "pass\n", "adds to"),
        ("np.add.at(self.weight.grad, x, dy)", "np.add.at(self.weight.grad, x, 1)", "dy of ones"),
        (
            "np.add.at(self.weight.grad, x, dy)",
            "np.add.at(self.weight.grad, x, dy / len(x))",
            "batch size",
        ),
        ("np.add.at(self.weight.grad, x, dy)", "np.add.at(self.weight.grad, x, -dy)", "sign"),
        (
            "        self.weight.grad[...] = 0\n        np.add.at(self.weight.grad, x, dy)",
            "        pass",
            "never sets",
        ),
        (
            "np.random.default_rng(0).standard_normal((count, width))",
            "np.random.default_rng(0).standard_normal((width, count))",
            "(6, 3) | shape | raised",
        ),
        ("return np.zeros(x.shape)", "return dy", "shape | dx"),
    ],
    "residual": [
        ("return dy + self.layer.backward(dy)", "return self.layer.backward(dy)", "x | path | dy"),
        ("return dy + self.layer.backward(dy)", "self.layer.backward(dy); return dy", "passed on"),
        ("return x + self.layer", "return self.layer", "must be"),
        ("return dy + self.layer.backward(dy)", "return dy", "never called | never sets"),
        (
            "return x + self.layer.forward(x)",
            "x += self.layer.forward(x); return x",
            "writes into its input x",
        ),
        (
            "return x + self.layer.forward(x)",
            "return x * self.layer.forward(x)",
            "x + | sum | plus | must be",
        ),
        (
            "return dy + self.layer.backward(dy)",
            "return dy * self.layer.backward(dy)",
            "zeros | sum | linear | times | + ",
        ),
        (
            "return x + self.layer.forward(x)",
            "return x + self.layer.forward(x) / 2",
            "layer | 2 times | half | must be",
        ),
        ("return dy + self.layer.backward(dy)", "return dy - self.layer.backward(dy)", "sign"),
    ],
    "gelu": [
        ("3 * 0.044715 * x**2", "0.044715 * x**2", "3 times too small"),
        ("(1 + t) / 2 + x * (1 - t**2) * du / 2", "(1 + t) / 2", "product | x"),
        ("(1 - t**2)", "(1 - t)", "1 - "),
        ("dy * ((1 + t)", "((1 + t)", "dy of ones"),
        ("x * (1 + t) / 2\n", "x * (1 + t)\n", "must be"),
        ("(1 + 3 * 0.044715 * x**2)", "1", "nearly | derivative | x"),
        ("0.044715 * x**3))", "0.044715 * x**2))", "x**3 | x^3"),
        ("c = np.sqrt(2 / np.pi)\n        t", "c = 2 / np.pi\n        t", "sqrt | root"),
        ("0.044715 * x**3))", "0.44715 * x**3))", "0.044715"),
        ("return x * (1 + t) / 2\n", "return (1 + t) / 2\n", "x"),
    ],
    "swish": [
        ("(dy * x * t).sum(axis=0)", "(dy * x * t).mean(axis=0)", "batch size"),
        ("dy * (s + self.slope.value * t)", "dy * (s + t)", "dx is wrong, and dslope"),
        ("dy * (s + self.slope.value * t)", "dy * s", "product | term | x"),
        ("(dy * x * t)", "(dy * t)", "x"),
        ("-self.slope.value * x))", "self.slope.value * x))", "must be"),
        (
            "dy * (s + self.slope.value * t)",
            "dy * self.slope.value * t",
            "term | product | is missing",
        ),
        ("t = x * s * (1 - s)", "t = s * (1 - s)", "x"),
        ("(dy * x * t).sum(axis=0)", "(dy * x * t)[0]", "row 0"),
        ("(dy * x * t).sum(axis=0)", "(dy * self.slope.value * t).sum(axis=0)", "slope | x"),
    ],
    "attention": [
        (" / np.sqrt(q.shape[-1])\n        e", "\n        e", "square root"),
        ("/ np.sqrt(q.shape[-1])\n        e", "/ q.shape[-1]\n        e", "square root"),
        ("keepdims=True)) / np.sqrt(q.shape[-1])", "keepdims=True))", "1.732"),
        ("ds.swapaxes(1, 2) @ q, dv", "ds @ q, dv", "dx of k is wrong"),
        ("p.swapaxes(1, 2) @ dy", "p @ dy", "transpos"),
        (
            "p * (dp - (dp * p).sum(axis=-1, keepdims=True))",
            "dp * p * (1 - p)",
            "dx of v is right",
        ),
        (
            "(dp * p).sum(axis=-1, keepdims=True)",
            "(dp * p).sum(axis=-1)",
            "keepdims=True is missing",
        ),
        ("(dp * p).sum(axis=-1", "(dp * p).sum(axis=1", "dx of v is right"),
        (
            "return ds @ k, ds.swapaxes(1, 2) @ q, dv",
            "return ds.swapaxes(1, 2) @ q, ds @ k, dv",
            "order",
        ),
        ("e / e.sum(axis=-1", "e / e.sum(axis=1", "queries"),
        ("dp = dy @ v.swapaxes(1, 2)", "dp = dy @ v.swapaxes(1, 2) * p", "dx of v is right"),
        (
            "e / e.sum(axis=-1, keepdims=True)",
            "e / e.sum(axis=(-2, -1), keepdims=True)",
            "sum | queries | axis",
        ),
        ("return p @ v\n", "return p.swapaxes(1, 2) @ v\n", "transpos"),
        (
            "s = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])",
            "s = q @ k.swapaxes(1, 2) * np.sqrt(q.shape[-1])",
            "square root",
        ),
        ("return ds @ k,", "return -ds @ k,", "sign"),
    ],
    "causal_attention": [
        (
            "k.shape[1], dtype=bool)",
            "k.shape[1], 1, dtype=bool)",
            "off by one: each place sees the one after",
        ),
        ("k.shape[1], dtype=bool)", "k.shape[1], 9, dtype=bool)", "mask is missing"),
        ("s, -np.inf)", "s, 0)", "-inf | later | mask"),
        (
            "np.tri(q.shape[1], k.shape[1], dtype=bool)",
            "np.tri(q.shape[1], k.shape[1], dtype=bool).T",
            "later | mask",
        ),
        (
            "np.tri(q.shape[1], k.shape[1], dtype=bool)",
            "np.triu(np.ones((q.shape[1], k.shape[1]), bool))",
            "later | mask",
        ),
        (
            "np.tri(q.shape[1], k.shape[1], dtype=bool)",
            "np.tri(q.shape[1], k.shape[1], -1, dtype=bool)",
            "itself | mask",
        ),
        (
            "s = np.where(np.tri(q.shape[1], k.shape[1], dtype=bool), s, -np.inf)",
            "s = s * np.tri(q.shape[1], k.shape[1])",
            "-inf | mask",
        ),
        ("(q.shape[-1])\n        s = np.where", "(1)\n        s = np.where", "square root"),
    ],
    "heads": [
        (
            "a.reshape(n, t, self.heads, -1).swapaxes(1, 2) for a in np",
            "a.reshape(n, self.heads, t, -1) for a in np",
            "reshape alone",
        ),
        ("(p @ v).swapaxes(1, 2).reshape", "(p @ v).reshape", "joined by reshape alone"),
        ("np.tri(t, t, dtype=bool)", "np.tri(t, t, 1, dtype=bool)", "off by one"),
        ("np.tri(t, t, dtype=bool)", "np.tri(t, t, -1, dtype=bool)", "see itself | NaN | finite"),
        (
            "k.swapaxes(2, 3) / np.sqrt(q.shape[-1])",
            "k.swapaxes(2, 3) / np.sqrt(w)",
            "square root",
        ),
        ("dh.sum(axis=(0, 1))", "dh.mean(axis=(0, 1))", "too small"),
        ("(dq, dk, dv)", "(dk, dq, dv)", "in_proj"),
        ("e / e.sum(axis=-1", "e / e.sum(axis=-2", "queries"),
        ('"nto,nti->oi", dh, x)', '"nto,nti->oi", dh, x) / n', "batch size"),
        (
            "s = np.where(np.tri(t, t, dtype=bool), s, -np.inf)",
            "s = np.where(np.tri(t, t, dtype=bool).T, s, -np.inf)",
            "later | mask",
        ),
        ("s = np.where(np.tri(t, t, dtype=bool), s, -np.inf)\n", "pass\n", "mask"),
        ("q, k, v = (a.reshape", "k, q, v = (a.reshape", "order | queries and keys"),
        ("/ np.sqrt(q.shape[-1])\n        s = np", "\n        s = np", "square root"),
    ],
}


def answer(exercise: str, old: str = "", new: str = "") -> Any:
    """Return the right answer, or the wrong one with a piece replaced."""
    source = (RIGHT | formulations.RIGHT)[exercise]
    if old not in source:
        raise LookupError(f"{exercise}: {old!r} is not in the right answer")
    names = {name: getattr(minifw, name) for name in ("Layer", "Loss", "Optimizer", "Parameter")}
    found: dict[str, Any] = {**names, "np": np, "minifw": minifw}
    source = source.replace(old, new, 1) if old else source
    name = f"{exercise} {zlib.crc32(source.encode())}.py"
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), found)  # noqa: S102 - sources of this file
    return found["answer"]
