# ruff: noqa: E501 - lines of homeworks
"""Homeworks written in other ways: each is right, and a line of it is changed.

With loops, einsum, masks, other saved values, staged derivatives, one-hot rows, and so on. The
key is the exercise, and how it is written.
"""

RIGHT = {
    "scale: loops": """
class Scale(Layer):
    def __init__(self, n):
        self.weight = Parameter(np.ones(n))
    def forward(self, x):
        y = np.zeros(x.shape)
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                y[i, j] = self.weight.value[j] * x[i, j]
        self.save(x)
        return y
    def backward(self, dy):
        (x,) = self.saved()
        dx, dw = np.zeros(x.shape), np.zeros(self.weight.shape)
        for i in range(len(x)):
            for j in range(x.shape[1]):
                dw[j] += dy[i, j] * x[i, j]
                dx[i, j] = dy[i, j] * self.weight.value[j]
        self.weight.grad = dw
        return dx
answer = Scale(3)
""",
    "square: slope saved": """
class Square(Layer):
    def forward(self, x):
        self.save(2 * x)
        return np.square(x)
    def backward(self, dout):
        (slope,) = self.saved()
        return dout * slope
answer = Square()
""",
    "centre: matrix": """
class Centre(Layer):
    def forward(self, x):
        n = x.shape[1]
        c = np.eye(n) - np.ones((n, n)) / n
        self.save(c)
        return x @ c
    def backward(self, dy):
        (c,) = self.saved()
        return dy @ c.T
answer = Centre()
""",
    "sigmoid: tanh": """
class Sigmoid(Layer):
    def forward(self, x):
        t = np.tanh(x / 2)
        self.save(t)
        return (1 + t) / 2
    def backward(self, dy):
        (t,) = self.saved()
        return dy * (1 - t**2) / 4
answer = Sigmoid()
""",
    "sigmoid: masks": """
class Sigmoid(Layer):
    def forward(self, x):
        y = np.zeros(x.shape)
        pos = x >= 0
        y[pos] = 1 / (1 + np.exp(-x[pos]))
        e = np.exp(x[~pos])
        y[~pos] = e / (1 + e)
        self.save(x)
        return y
    def backward(self, dy):
        (x,) = self.saved()
        e = np.exp(-np.abs(x))
        return dy * e / (1 + e) ** 2
answer = Sigmoid()
""",
    "softplus: max": """
class Softplus(Layer):
    def forward(self, x):
        self.save(x)
        return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
    def backward(self, dy):
        (x,) = self.saved()
        return dy * (1 + np.tanh(x / 2)) / 2
answer = Softplus()
""",
    "softplus: y saved": """
class Softplus(Layer):
    def forward(self, x):
        y = np.where(x > 30, x, np.log1p(np.exp(np.minimum(x, 30))))
        y = np.logaddexp(x, 0)
        self.save(y)
        return y
    def backward(self, dy):
        (y,) = self.saved()
        return dy * (1 - np.exp(-y))
answer = Softplus()
""",
    "dense: loops": """
class Dense(Layer):
    def __init__(self, n_in, n_out):
        self.weight = Parameter(np.random.default_rng(1).standard_normal((n_out, n_in)) * 0.1)
        self.bias = Parameter(np.zeros((n_out,)))
    def forward(self, x):
        w, b = self.weight.value, self.bias.value
        y = np.zeros((len(x), len(w)))
        for n in range(len(x)):
            for o in range(len(w)):
                for i in range(x.shape[1]):
                    y[n, o] += w[o, i] * x[n, i]
                y[n, o] += b[o]
        self.save(x)
        return y
    def backward(self, dy):
        (x,) = self.saved()
        w = self.weight.value
        dw, db, dx = np.zeros(w.shape), np.zeros(len(w)), np.zeros(x.shape)
        for n in range(len(x)):
            for o in range(len(w)):
                db[o] += dy[n, o]
                for i in range(x.shape[1]):
                    dw[o, i] += dy[n, o] * x[n, i]
                    dx[n, i] += dy[n, o] * w[o, i]
        self.weight.grad[...], self.bias.grad[...] = dw, db
        return dx
answer = Dense(3, 2)
""",
    "dense: einsum": """
class Dense(Layer):
    def __init__(self, n_in, n_out):
        self.weight = Parameter(np.random.default_rng(1).standard_normal((n_out, n_in)) * 0.1)
        self.bias = Parameter(np.zeros(n_out))
    def forward(self, x):
        self.save(x)
        return np.einsum("bi,oi->bo", x, self.weight.value) + self.bias.value
    def backward(self, dout):
        (x,) = self.saved()
        self.weight.grad[...] = np.einsum("bo,bi->oi", dout, x)
        self.bias.grad[...] = np.einsum("bo->o", dout)
        return np.einsum("bo,oi->bi", dout, self.weight.value)
answer = Dense(3, 2)
""",
    "dense: outer products": """
class Dense(Layer):
    def __init__(self, n_in, n_out):
        self.weight = Parameter(np.random.default_rng(1).standard_normal((n_out, n_in)) * 0.1)
        self.bias = Parameter(np.zeros(n_out))
    def forward(self, x):
        self.x = x
        return np.dot(self.weight.value, x.T).T + self.bias.value
    def backward(self, dy):
        self.weight.grad[...] = sum(np.outer(dy[n], self.x[n]) for n in range(len(dy)))
        self.bias.grad[...] = np.ones(len(dy)) @ dy
        return np.dot(self.weight.value.T, dy.T).T
answer = Dense(3, 2)
""",
    "tanh: exponentials": """
class Tanh(Layer):
    def forward(self, x):
        e = np.exp(-2 * np.abs(x))
        y = np.sign(x) * (1 - e) / (1 + e)
        self.save(x)
        return y
    def backward(self, dy):
        (x,) = self.saved()
        return dy * (1 - np.tanh(x) ** 2)
answer = Tanh()
""",
    "tanh: slope saved": """
class Tanh(Layer):
    def forward(self, x):
        y = np.tanh(x)
        self.save(1 - y * y)
        return y
    def backward(self, dy):
        (g,) = self.saved()
        return g * dy
answer = Tanh()
""",
    "bce: where": """
class BCE(Loss):
    def forward(self, p, t):
        self.check(p, t)
        p = np.clip(p, 1e-300, 1 - 1e-16)
        self.save(p, t)
        m = p.shape[0]
        with np.errstate(divide="ignore"):
            cost = -np.where(t == 1, np.log(p), np.log(1 - p)).sum() / m
        return self.finite(float(cost))
    def backward(self):
        p, t = self.saved()
        m = p.shape[0]
        return np.where(t == 1, -1 / p, 1 / (1 - p)) / m
answer = BCE()
""",
    "bce: notes": """
class BCE(Loss):
    def forward(self, A, Y):
        self.check(A, Y)
        m = Y.shape[0]
        A = np.minimum(np.maximum(A, 1e-12), 1 - 1e-12)
        self.save(A, Y)
        logprobs = np.multiply(np.log(A), Y) + np.multiply(np.log(1 - A), 1 - Y)
        return float(-np.sum(logprobs) / m)
    def backward(self):
        A, Y = self.saved()
        m = Y.shape[0]
        return -(np.divide(Y, A) - np.divide(1 - Y, 1 - A)) / m
answer = BCE()
""",
    "bce_with_logits: max": """
class Logits(Loss):
    def forward(self, z, t):
        self.check(z, t)
        self.save(z, t)
        loss = np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))
        return self.finite(float(loss.mean()))
    def backward(self):
        z, t = self.saved()
        s = 0.5 * (1 + np.tanh(0.5 * z))
        return (s - t) / len(z)
answer = Logits()
""",
    "bce_with_logits: two softplus": """
class Logits(Loss):
    def forward(self, z, t):
        self.check(z, t)
        self.save(z, t)
        lp, ln = -np.logaddexp(0, -z), -np.logaddexp(0, z)
        return self.finite(-float(np.mean(t * lp + (1 - t) * ln)))
    def backward(self):
        z, t = self.saved()
        p, q = np.exp(-np.logaddexp(0, -z)), np.exp(-np.logaddexp(0, z))
        return -(t * q - (1 - t) * p) / z.size
answer = Logits()
""",
    "huber: if": """
class Huber(Loss):
    def forward(self, p, t):
        self.check(p, t)
        self.save(p, t)
        total = 0.0
        for a, b in zip(p.ravel(), t.ravel()):
            e = abs(a - b)
            if e < 1:
                total += 0.5 * e**2
            else:
                total += e - 0.5
        return self.finite(float(total / p.size))
    def backward(self):
        p, t = self.saved()
        g = np.zeros(p.shape)
        for i in range(p.shape[0]):
            for j in range(p.shape[1]):
                e = p[i, j] - t[i, j]
                if abs(e) < 1:
                    g[i, j] = e
                elif e > 0:
                    g[i, j] = 1
                else:
                    g[i, j] = -1
        return g / p.size
answer = Huber()
""",
    "huber: masks": """
class Huber(Loss):
    def forward(self, prediction, target):
        self.check(prediction, target)
        e = prediction - target
        small = np.abs(e) <= 1.0
        self.save(e, small)
        loss = small * 0.5 * e**2 + (1 - small) * (np.abs(e) - 0.5)
        return self.finite(float(loss.mean()))
    def backward(self):
        e, small = self.saved()
        return np.where(small, e, np.sign(e)) / e.size
answer = Huber()
""",
    "momentum: new array": """
class Momentum(Optimizer):
    def __init__(self, parameters, lr, momentum=0.9):
        super().__init__(parameters, lr)
        self.momentum = momentum
        self.v = self.zeros()
    def update(self, values, grads):
        self.v[...] = self.momentum * self.v + grads
        values[...] = values - self.lr * self.v
answer = lambda parameters: Momentum(parameters, lr=0.1)
""",
    "momentum: list": """
class Momentum(Optimizer):
    def __init__(self, parameters, lr, momentum=0.9):
        super().__init__(parameters, lr)
        self.momentum = momentum
        self.v = self.zeros()
    def update(self, values, grads):
        for i in range(len(values)):
            self.v[i] = self.momentum * self.v[i] + grads[i]
            values[i] -= self.lr * self.v[i]
answer = lambda parameters: Momentum(parameters, lr=0.1)
""",
    "adam: rate": """
class Adam(Optimizer):
    def __init__(self, parameters, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
        super().__init__(parameters, lr)
        self.beta1, self.beta2, self.eps = beta1, beta2, eps
        self.m, self.v = self.zeros(), self.zeros()
    def update(self, values, grads):
        t = self.steps + 1
        self.m[...] = self.beta1 * self.m + (1 - self.beta1) * grads
        self.v[...] = self.beta2 * self.v + (1 - self.beta2) * (grads * grads)
        mt = self.m / (1 - self.beta1**t)
        vt = self.v / (1 - self.beta2**t)
        values[...] += -self.lr * mt / (np.sqrt(vt) + self.eps)
answer = lambda parameters: Adam(parameters, lr=0.1)
""",
    "softmax: jacobian": """
class Softmax(Layer):
    def forward(self, x):
        z = x - np.max(x, axis=-1, keepdims=True)
        e = np.exp(z)
        y = e / np.sum(e, axis=-1, keepdims=True)
        self.save(y)
        return y
    def backward(self, dy):
        (y,) = self.saved()
        dx = np.zeros(y.shape)
        for i in range(len(y)):
            s = y[i].reshape(-1, 1)
            jacobian = np.diagflat(s) - s @ s.T
            dx[i] = jacobian @ dy[i]
        return dx
answer = Softmax()
""",
    "softmax: logs": """
class Softmax(Layer):
    def forward(self, x):
        m = x.max(axis=1, keepdims=True)
        lse = m + np.log(np.exp(x - m).sum(axis=1, keepdims=True))
        y = np.exp(x - lse)
        self.save(y)
        return y
    def backward(self, dy):
        (y,) = self.saved()
        n = y.shape[1]
        jac = np.einsum("bi,ij->bij", y, np.eye(n)) - np.einsum("bi,bj->bij", y, y)
        return np.einsum("bij,bj->bi", jac, dy)
answer = Softmax()
""",
    "softmax: division": """
class Softmax(Layer):
    def forward(self, x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        s = e.sum(axis=1, keepdims=True)
        self.save(e, s)
        return e / s
    def backward(self, dy):
        e, s = self.saved()
        de = dy / s
        ds = -(dy * e).sum(axis=1, keepdims=True) / s**2
        de = de + ds
        return de * e
answer = Softmax()
""",
    "cross_entropy: one-hot": """
class CrossEntropy(Loss):
    def forward(self, scores, labels):
        if len(scores) != len(labels):
            raise ValueError("as many labels as rows")
        n, c = scores.shape
        onehot = np.eye(c)[labels]
        e = np.exp(scores - scores.max(axis=1, keepdims=True))
        s = e.sum(axis=1, keepdims=True)
        logp = scores - scores.max(axis=1, keepdims=True) - np.log(s)
        self.save(e / s, onehot)
        return self.finite(float(-np.sum(onehot * logp) / n))
    def backward(self):
        probs, onehot = self.saved()
        return (probs - onehot) / probs.shape[0]
answer = CrossEntropy()
""",
    "cross_entropy: loops": """
class CrossEntropy(Loss):
    def forward(self, scores, y):
        if len(scores) != len(y):
            raise ValueError("as many labels as rows")
        n = scores.shape[0]
        loss, grad = 0.0, np.zeros(scores.shape)
        for i in range(n):
            f = scores[i] - np.max(scores[i])
            loss += -f[y[i]] + np.log(np.sum(np.exp(f)))
            p = np.exp(f) / np.sum(np.exp(f))
            for j in range(scores.shape[1]):
                grad[i, j] = p[j] - (1 if j == y[i] else 0)
        self.save(grad / n)
        return self.finite(float(loss / n))
    def backward(self):
        (grad,) = self.saved()
        return grad.copy()
answer = CrossEntropy()
""",
    "conv2d: loops": """
class Conv2D(Layer):
    def __init__(self, c_in, c_out, k):
        self.weight = Parameter(np.random.default_rng(0).normal(size=(c_out, c_in, k, k)))
        self.bias = Parameter(np.zeros(c_out))
    def forward(self, x):
        w, b = self.weight.value, self.bias.value
        n, c, h, wd = x.shape
        f, _, hh, ww = w.shape
        ho, wo = h - hh + 1, wd - ww + 1
        y = np.zeros((n, f, ho, wo))
        for i in range(n):
            for o in range(f):
                for r in range(ho):
                    for s in range(wo):
                        y[i, o, r, s] = np.sum(x[i, :, r : r + hh, s : s + ww] * w[o]) + b[o]
        self.save(x)
        return y
    def backward(self, dout):
        (x,) = self.saved()
        w = self.weight.value
        hh, ww = w.shape[2:]
        dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(len(w))
        n, f, ho, wo = dout.shape
        for i in range(n):
            for o in range(f):
                db[o] += dout[i, o].sum()
                for r in range(ho):
                    for s in range(wo):
                        dw[o] += x[i, :, r : r + hh, s : s + ww] * dout[i, o, r, s]
                        dx[i, :, r : r + hh, s : s + ww] += w[o] * dout[i, o, r, s]
        self.weight.grad[...] = dw
        self.bias.grad[...] = db
        return dx
answer = Conv2D(2, 3, 3)
""",
    "conv2d: im2col": """
class Conv2D(Layer):
    def __init__(self, c_in, c_out, k):
        self.weight = Parameter(np.random.default_rng(0).normal(size=(c_out, c_in, k, k)))
        self.bias = Parameter(np.zeros(c_out))
    def forward(self, x):
        f, c, k, _ = self.weight.shape
        n, _, h, w = x.shape
        ho, wo = h - k + 1, w - k + 1
        cols = np.zeros((n, c, k, k, ho, wo))
        for u in range(k):
            for v in range(k):
                cols[:, :, u, v] = x[:, :, u : u + ho, v : v + wo]
        cols = cols.transpose(0, 4, 5, 1, 2, 3).reshape(n * ho * wo, c * k * k)
        self.save(x, cols)
        y = cols @ self.weight.value.reshape(f, -1).T + self.bias.value
        return y.reshape(n, ho, wo, f).transpose(0, 3, 1, 2)
    def backward(self, dy):
        x, cols = self.saved()
        f, c, k, _ = self.weight.shape
        n, _, ho, wo = dy.shape
        d = dy.transpose(0, 2, 3, 1).reshape(-1, f)
        self.weight.grad[...] = (d.T @ cols).reshape(self.weight.shape)
        self.bias.grad[...] = d.sum(axis=0)
        dcols = (d @ self.weight.value.reshape(f, -1)).reshape(n, ho, wo, c, k, k)
        dcols = dcols.transpose(0, 3, 4, 5, 1, 2)
        dx = np.zeros(x.shape)
        for u in range(k):
            for v in range(k):
                dx[:, :, u : u + ho, v : v + wo] += dcols[:, :, u, v]
        return dx
answer = Conv2D(2, 3, 3)
""",
    "conv2d: padded": """
class Conv2D(Layer):
    def __init__(self, c_in, c_out, k):
        self.weight = Parameter(np.random.default_rng(0).normal(size=(c_out, c_in, k, k)))
        self.bias = Parameter(np.zeros(c_out))
    def forward(self, x):
        w = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
        self.save(x)
        y = np.tensordot(w, self.weight.value, axes=([1, 4, 5], [1, 2, 3]))
        return y.transpose(0, 3, 1, 2) + self.bias.value.reshape(1, -1, 1, 1)
    def backward(self, dy):
        (x,) = self.saved()
        w = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(2, 3))
        self.weight.grad[...] = np.tensordot(dy, w, axes=([0, 2, 3], [0, 2, 3]))
        self.bias.grad[...] = dy.sum((0, 2, 3))
        padded = np.pad(dy, ((0, 0), (0, 0), (2, 2), (2, 2)))
        d = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
        flipped = self.weight.value[:, :, ::-1, ::-1]
        return np.einsum("nohwuv,oiuv->nihw", d, flipped)
answer = Conv2D(2, 3, 3)
""",
    "max_pool: loops": """
class MaxPool(Layer):
    def forward(self, x):
        n, c, h, w = x.shape
        y = np.zeros((n, c, h // 2, w // 2))
        for i in range(n):
            for j in range(c):
                for r in range(h // 2):
                    for s in range(w // 2):
                        y[i, j, r, s] = np.max(x[i, j, 2 * r : 2 * r + 2, 2 * s : 2 * s + 2])
        self.save(x)
        return y
    def backward(self, dout):
        (x,) = self.saved()
        dx = np.zeros(x.shape)
        n, c, h, w = dout.shape
        for i in range(n):
            for j in range(c):
                for r in range(h):
                    for s in range(w):
                        window = x[i, j, 2 * r : 2 * r + 2, 2 * s : 2 * s + 2]
                        a, b = np.unravel_index(window.argmax(), window.shape)
                        dx[i, j, 2 * r + a, 2 * s + b] += dout[i, j, r, s]
        return dx
answer = MaxPool()
""",
    "max_pool: mask": """
class MaxPool(Layer):
    def forward(self, x):
        n, c, h, w = x.shape
        r = x.reshape(n, c, h // 2, 2, w // 2, 2)
        y = r.max(axis=3).max(axis=4)
        self.save(x, y)
        return y
    def backward(self, dy):
        x, y = self.saved()
        big = y.repeat(2, axis=2).repeat(2, axis=3)
        mask = x == big
        return mask * dy.repeat(2, axis=2).repeat(2, axis=3)
answer = MaxPool()
""",
    "layer_norm: staged": """
class LayerNorm(Layer):
    def __init__(self, d, eps=1e-5):
        self.weight, self.bias, self.eps = Parameter(np.ones(d)), Parameter(np.zeros(d)), eps
    def forward(self, x):
        mu = np.mean(x, axis=1, keepdims=True)
        xmu = x - mu
        var = np.mean(xmu**2, axis=1, keepdims=True)
        ivar = 1 / np.sqrt(var + self.eps)
        xhat = xmu * ivar
        self.save(xhat, xmu, ivar)
        return self.weight.value * xhat + self.bias.value
    def backward(self, dout):
        xhat, xmu, ivar = self.saved()
        d = xhat.shape[1]
        self.bias.grad[...] = np.sum(dout, axis=0)
        self.weight.grad[...] = np.sum(dout * xhat, axis=0)
        dxhat = dout * self.weight.value
        dvar = np.sum(dxhat * xmu, axis=1, keepdims=True) * -0.5 * ivar**3
        dmu = -np.sum(dxhat * ivar, axis=1, keepdims=True)
        return dxhat * ivar + dvar * 2 * xmu / d + dmu / d
answer = LayerNorm(5)
""",
    "layer_norm: one line": """
class LayerNorm(Layer):
    def __init__(self, d, eps=1e-5):
        self.weight, self.bias, self.eps = Parameter(np.ones(d)), Parameter(np.zeros(d)), eps
    def forward(self, x):
        r = 1 / np.sqrt(np.var(x, -1, keepdims=True) + self.eps)
        h = (x - np.mean(x, -1, keepdims=True)) * r
        self.save(h, r)
        return h * self.weight.value + self.bias.value
    def backward(self, dy):
        h, r = self.saved()
        n = h.shape[-1]
        self.weight.grad[...] = np.einsum("bd,bd->d", dy, h)
        self.bias.grad[...] = dy.sum(0)
        g = dy * self.weight.value
        return r / n * (n * g - g.sum(-1, keepdims=True) - h * (g * h).sum(-1, keepdims=True))
answer = LayerNorm(5)
""",
    "batch_norm: staged": """
class BatchNorm(Layer):
    buffers = ("running_mean", "running_var")
    def __init__(self, d, eps=1e-5, momentum=0.1):
        self.weight, self.bias = Parameter(np.ones(d)), Parameter(np.zeros(d))
        self.running_mean, self.running_var = np.zeros(d), np.ones(d)
        self.eps, self.momentum = eps, momentum
    def forward(self, x):
        if self.training:
            n = x.shape[0]
            mu = x.sum(axis=0) / n
            xmu = x - mu
            var = (xmu**2).sum(axis=0) / n
            self.running_mean = self.running_mean + self.momentum * (mu - self.running_mean)
            unbiased = (xmu**2).sum(axis=0) / (n - 1)
            self.running_var = self.running_var + self.momentum * (unbiased - self.running_var)
        else:
            xmu, var = x - self.running_mean, self.running_var
        sqrtvar = np.sqrt(var + self.eps)
        ivar = 1 / sqrtvar
        xhat = xmu * ivar
        self.save(xhat, xmu, ivar, sqrtvar)
        return self.weight.value * xhat + self.bias.value
    def backward(self, dout):
        xhat, xmu, ivar, sqrtvar = self.saved()
        n, d = dout.shape
        self.bias.grad[...] = np.sum(dout, axis=0)
        self.weight.grad[...] = np.sum(dout * xhat, axis=0)
        dxhat = dout * self.weight.value
        if not self.training:
            return dxhat * ivar
        divar = np.sum(dxhat * xmu, axis=0)
        dxmu1 = dxhat * ivar
        dsqrtvar = -1 / sqrtvar**2 * divar
        dvar = 0.5 * dsqrtvar / sqrtvar
        dsq = np.ones((n, d)) * dvar / n
        dxmu2 = 2 * xmu * dsq
        dx1 = dxmu1 + dxmu2
        dmu = -1 * np.sum(dx1, axis=0)
        dx2 = np.ones((n, d)) * dmu / n
        return dx1 + dx2
answer = BatchNorm(3)
""",
    "batch_norm: one line": """
class BatchNorm(Layer):
    buffers = ("running_mean", "running_var")
    def __init__(self, d, eps=1e-5):
        self.weight, self.bias = Parameter(np.ones(d)), Parameter(np.zeros(d))
        self.running_mean, self.running_var = np.zeros(d), np.ones(d)
        self.eps = eps
    def forward(self, x):
        mu, var = self.running_mean, self.running_var
        if self.training:
            mu, var = x.mean(0), x.var(0)
            self.running_mean = 0.9 * self.running_mean + 0.1 * mu
            self.running_var = 0.9 * self.running_var + 0.1 * x.var(0, ddof=1)
        bnvar_inv = (var + self.eps) ** -0.5
        bnraw = (x - mu) * bnvar_inv
        self.save(bnraw, bnvar_inv)
        return self.weight.value * bnraw + self.bias.value
    def backward(self, dy):
        bnraw, bnvar_inv = self.saved()
        n = len(dy)
        self.weight.grad[...] = (bnraw * dy).sum(0)
        self.bias.grad[...] = dy.sum(0)
        g = self.weight.value
        if not self.training:
            return dy * g * bnvar_inv
        return g * bnvar_inv / n * (n * dy - dy.sum(0) - bnraw * (dy * bnraw).sum(0))
answer = BatchNorm(3)
""",
    "embedding: one-hot": """
class Embedding(Layer):
    def __init__(self, count, width):
        self.weight = Parameter(np.random.default_rng(0).standard_normal((count, width)))
    def forward(self, x):
        onehot = np.eye(self.weight.shape[0])[x]
        self.save(onehot)
        return onehot @ self.weight.value
    def backward(self, dy):
        (onehot,) = self.saved()
        self.weight.grad[...] = np.einsum("btv,btd->vd", onehot, dy)
        return np.zeros(onehot.shape[:2])
answer = Embedding(6, 3)
""",
    "embedding: loops": """
class Embedding(Layer):
    def __init__(self, count, width):
        self.weight = Parameter(np.random.default_rng(0).standard_normal((count, width)))
    def forward(self, ids):
        self.save(ids)
        return np.take(self.weight.value, ids, axis=0)
    def backward(self, dy):
        (ids,) = self.saved()
        dw = np.zeros_like(self.weight.value)
        for k in range(ids.shape[0]):
            for j in range(ids.shape[1]):
                ix = ids[k, j]
                dw[ix] += dy[k, j]
        self.weight.grad[...] = dw
        return np.zeros(ids.shape)
answer = Embedding(6, 3)
""",
    "embedding: flat": """
class Embedding(Layer):
    def __init__(self, count, width):
        self.weight = Parameter(np.random.default_rng(0).standard_normal((count, width)))
    def forward(self, x):
        self.save(x)
        return self.weight.value[x.ravel()].reshape(*x.shape, -1)
    def backward(self, dy):
        (x,) = self.saved()
        dw = np.zeros(self.weight.shape)
        np.add.at(dw, x.reshape(-1), dy.reshape(-1, dy.shape[-1]))
        self.weight.grad[...] = dw
        return np.zeros(x.shape)
answer = Embedding(6, 3)
""",
    "residual: branches": """
class Residual(Layer):
    def __init__(self, inner):
        self.layer = inner
    def forward(self, x):
        skip = x
        branch = self.layer.forward(x)
        return skip + branch
    def backward(self, dout):
        dskip = dout
        dbranch = self.layer.backward(dout)
        return dskip + dbranch
answer = Residual(minifw.Dense(3, 3))
""",
    "gelu: staged": """
class GELU(Layer):
    def forward(self, x):
        u = 0.7978845608028654 * (x + 0.044715 * x * x * x)
        self.save(x)
        return 0.5 * x * (1 + np.tanh(u))
    def backward(self, dy):
        (x,) = self.saved()
        k = np.sqrt(2 / np.pi)
        t = np.tanh(k * (x + 0.044715 * np.power(x, 3)))
        sech2 = 1 - t * t
        left = 0.5 * (1 + t)
        right = 0.5 * x * sech2 * k * (1 + 0.134145 * x**2)
        return dy * (left + right)
answer = GELU()
""",
    "swish: y saved": """
class Swish(Layer):
    def __init__(self, features):
        self.slope = Parameter(np.ones(features))
    def forward(self, x):
        b = self.slope.value
        s = (1 + np.tanh(b * x / 2)) / 2
        y = x * s
        self.save(x, s, y)
        return y
    def backward(self, dy):
        x, s, y = self.saved()
        b = self.slope.value
        self.slope.grad[...] = np.sum(dy * x * y * (1 - s), axis=0)
        return dy * (b * y + s * (1 - b * y))
answer = Swish(3)
""",
    "attention: loops": """
class Attention(Layer):
    def forward(self, q, k, v):
        n, t, d = q.shape
        y, ps = np.zeros(v.shape), np.zeros((n, t, t))
        for b in range(n):
            for i in range(t):
                s = np.array([q[b, i] @ k[b, j] for j in range(t)]) / d**0.5
                e = np.exp(s - s.max())
                ps[b, i] = e / e.sum()
                for j in range(t):
                    y[b, i] += ps[b, i, j] * v[b, j]
        self.save(q, k, v, ps)
        return y
    def backward(self, dy):
        q, k, v, ps = self.saved()
        n, t, d = q.shape
        dq, dk, dv = np.zeros(q.shape), np.zeros(k.shape), np.zeros(v.shape)
        for b in range(n):
            for i in range(t):
                p = ps[b, i]
                dp = np.zeros(t)
                for j in range(t):
                    dv[b, j] += p[j] * dy[b, i]
                    dp[j] = dy[b, i] @ v[b, j]
                ds = p * (dp - p @ dp)
                for j in range(t):
                    dq[b, i] += ds[j] * k[b, j] / d**0.5
                    dk[b, j] += ds[j] * q[b, i] / d**0.5
        return dq, dk, dv
answer = Attention()
""",
    "attention: einsum": """
class Attention(Layer):
    def forward(self, q, k, v):
        scale = q.shape[-1] ** -0.5
        s = np.einsum("bid,bjd->bij", q, k) * scale
        p = np.exp(s - s.max(-1, keepdims=True))
        p /= p.sum(-1, keepdims=True)
        self.save(q, k, v, p)
        return np.einsum("bij,bjd->bid", p, v)
    def backward(self, dy):
        q, k, v, p = self.saved()
        scale = q.shape[-1] ** -0.5
        dv = np.einsum("bij,bid->bjd", p, dy)
        dp = np.einsum("bid,bjd->bij", dy, v)
        jac = np.einsum("bij,jk->bijk", p, np.eye(p.shape[-1])) - np.einsum("bij,bik->bijk", p, p)
        ds = np.einsum("bijk,bik->bij", jac, dp) * scale
        dq = np.einsum("bij,bjd->bid", ds, k)
        dk = np.einsum("bij,bid->bjd", ds, q)
        return dq, dk, dv
answer = Attention()
""",
    "causal_attention: additive": """
class CausalAttention(Layer):
    def forward(self, q, k, v):
        t, d = q.shape[1:]
        mask = np.triu(np.full((t, t), -1e9), k=1)
        s = q @ k.transpose(0, 2, 1) / np.sqrt(d) + mask
        e = np.exp(s - s.max(axis=-1, keepdims=True))
        p = e / e.sum(axis=-1, keepdims=True)
        self.save(q, k, v, p)
        return p @ v
    def backward(self, dy):
        q, k, v, p = self.saved()
        dv = p.transpose(0, 2, 1) @ dy
        dp = dy @ v.transpose(0, 2, 1)
        ds = p * (dp - np.sum(dp * p, axis=-1, keepdims=True))
        ds = ds / np.sqrt(q.shape[-1])
        dq = ds @ k
        dk = ds.transpose(0, 2, 1) @ q
        return dq, dk, dv
answer = CausalAttention()
""",
    "causal_attention: after": """
class CausalAttention(Layer):
    def forward(self, q, k, v):
        t = q.shape[1]
        s = q @ k.swapaxes(1, 2) / np.sqrt(q.shape[2])
        e = np.exp(s - s.max(axis=-1, keepdims=True)) * np.tril(np.ones((t, t)))
        p = e / e.sum(axis=-1, keepdims=True)
        self.save(q, k, v, p)
        return p @ v
    def backward(self, dy):
        q, k, v, p = self.saved()
        scale = 1 / np.sqrt(q.shape[2])
        dv = np.matmul(p.swapaxes(1, 2), dy)
        dp = np.matmul(dy, v.swapaxes(1, 2))
        ds = p * dp - p * (p * dp).sum(-1, keepdims=True)
        ds = ds * np.tril(np.ones(ds.shape[1:])) * scale
        return np.matmul(ds, k), np.matmul(ds.swapaxes(1, 2), q), dv
answer = CausalAttention()
""",
    "heads: loop": """
class Heads(Layer):
    def __init__(self, width, heads):
        rng = np.random.default_rng(0)
        self.heads = heads
        self.in_proj_weight = Parameter(rng.standard_normal((3 * width, width)))
        self.in_proj_bias = Parameter(np.zeros(3 * width))
        self.out_proj = minifw.Dense(width, width, rng=0)
    def forward(self, x):
        n, t, c = x.shape
        d = c // self.heads
        qkv = x @ self.in_proj_weight.value.T + self.in_proj_bias.value
        q, k, v = qkv[..., :c], qkv[..., c : 2 * c], qkv[..., 2 * c :]
        z, ps = np.zeros((n, t, c)), []
        for h in range(self.heads):
            cut = slice(h * d, (h + 1) * d)
            s = q[..., cut] @ k[..., cut].transpose(0, 2, 1) / np.sqrt(d)
            s = s + np.triu(np.full((t, t), -np.inf), 1)
            p = np.exp(s - s.max(-1, keepdims=True))
            p = p / p.sum(-1, keepdims=True)
            z[..., cut] = p @ v[..., cut]
            ps.append(p)
        self.save(x, q, k, v, ps)
        return self.out_proj.forward(z)
    def backward(self, dy):
        x, q, k, v, ps = self.saved()
        n, t, c = x.shape
        d = c // self.heads
        dz = self.out_proj.backward(dy)
        dq, dk, dv = np.zeros(x.shape), np.zeros(x.shape), np.zeros(x.shape)
        for h in range(self.heads):
            cut = slice(h * d, (h + 1) * d)
            p = ps[h]
            dv[..., cut] = p.transpose(0, 2, 1) @ dz[..., cut]
            dp = dz[..., cut] @ v[..., cut].transpose(0, 2, 1)
            ds = p * (dp - (dp * p).sum(-1, keepdims=True)) / np.sqrt(d)
            dq[..., cut] = ds @ k[..., cut]
            dk[..., cut] = ds.transpose(0, 2, 1) @ q[..., cut]
        dqkv = np.concatenate([dq, dk, dv], axis=-1)
        flat = dqkv.reshape(-1, 3 * c)
        self.in_proj_weight.grad[...] = flat.T @ x.reshape(-1, c)
        self.in_proj_bias.grad[...] = flat.sum(axis=0)
        return dqkv @ self.in_proj_weight.value
answer = Heads(4, 2)
""",
    "slope: fourth order": """
def answer(f, x):
    h = 1e-3
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)
""",
}

# Pieces that leave a right answer right.
SAME = {
    "scale": [
        ("(dy * x).sum(axis=0)", "np.einsum('bf,bf->f', dy, x)"),
        ("(dy * x).sum(axis=0)", "np.diag(dy.T @ x)"),
    ],
    "square": [("x * x\n", "x**2\n"), ("2 * x * dy", "x * dy + dy * x")],
    "centre": [
        ("dy - dy.mean(axis=1, keepdims=True)", "dy - dy.sum(axis=1)[:, None] / dy.shape[1]"),
        ("x - x.mean(axis=1, keepdims=True)", "(x.T - x.T.mean(axis=0)).T"),
    ],
    "slope": [
        ("h=1e-5", "h=1e-6"),
        ("(f(x + h) - f(x - h)) / (2 * h)", "float(np.imag(f(x + 1j * 1e-20)) / 1e-20)"),
    ],
    "sigmoid": [
        ("dy * y * (1 - y)", "dy * (y - y**2)"),
        ("dy * y * (1 - y)", "dy * (0.25 - (y - 0.5) ** 2)"),
        (
            "np.where(x > 0, 1, np.exp(-abs(x))) / (1 + np.exp(-abs(x)))",
            "1 / (1 + np.exp(-np.clip(x, -500, 500)))",
        ),
        (
            "np.where(x > 0, 1, np.exp(-abs(x))) / (1 + np.exp(-abs(x)))",
            "np.exp(-np.logaddexp(0, -x))",
        ),
        ("np.where(x > 0, 1, np.exp(-abs(x))) / (1 + np.exp(-abs(x)))", "1 / (1 + np.exp(-x))"),
    ],
    "softplus": [("dy / (1 + np.exp(-x))", "dy * np.exp(x - np.logaddexp(0, x))")],
    "dense": [
        ("dy.T @ x", "(x.T @ dy).T"),
        ("dy.sum(axis=0)", "dy.T @ np.ones(len(dy))"),
        ("dy.T @ x", "(dy[:, :, None] * x[:, None, :]).sum(axis=0)"),
        ("dy.T @ x", "np.tensordot(dy, x, axes=(0, 0))"),
    ],
    "tanh": [
        ("dy * (1 - y**2)", "dy * (1 - y) * (1 + y)"),
        ("dy * (1 - y**2)", "dy - dy * y * y"),
        ("np.tanh(x)", "2 / (1 + np.exp(-2 * np.clip(x, -300, 300))) - 1"),
    ],
    "bce": [("(p - t) / (p * (1 - p))", "(-t / p + (1 - t) / (1 - p))")],
    "bce_with_logits": [("np.where(z > 0, 1, e) / (1 + e)", "np.exp(-np.logaddexp(0, -z))")],
    "huber": [
        ("np.clip(e, -1, 1)", "np.maximum(-1, np.minimum(e, 1))"),
        (
            "np.where(abs(e) <= 1, e**2 / 2, abs(e) - 0.5)",
            "np.minimum(abs(e), 1) * (abs(e) - np.minimum(abs(e), 1) / 2)",
        ),
    ],
    "momentum": [
        (
            "self.velocity *= self.momentum\n        self.velocity += grads",
            "np.add(self.momentum * self.velocity, grads, out=self.velocity)",
        ),
        (
            "self.velocity *= self.momentum\n        self.velocity += grads\n        values -= self.lr * self.velocity",
            "v = self.momentum * self.velocity + grads\n        self.velocity = v\n        values -= self.lr * v",
        ),
    ],
    "adam": [
        (
            "values -= self.lr * m / (np.sqrt(v) + self.eps)",
            "rate = self.lr * np.sqrt(1 - b**t) / (1 - a**t)\n        values -= rate * self.m / (np.sqrt(self.v) + self.eps * np.sqrt(1 - b**t))",
        ),
        ("self.m *= a\n        self.m += (1 - a) * grads", "self.m += (1 - a) * (grads - self.m)"),
    ],
    "softmax": [
        (
            "y * (dy - (dy * y).sum(axis=1, keepdims=True))",
            "y * dy - y * np.einsum('bi,bi->b', y, dy)[:, None]",
        ),
        ("x.max(axis=1, keepdims=True)", "x.max()"),
    ],
    "cross_entropy": [
        (
            "dz[np.arange(len(dz)), target] -= 1\n        return dz / len(dz)",
            "return (dz - (np.arange(dz.shape[1]) == target[:, None])) / len(dz)",
        ),
        (
            "dz[np.arange(len(dz)), target] -= 1\n        return dz / len(dz)",
            "np.add.at(dz, (np.arange(len(dz)), target), -1)\n        return np.divide(dz, dz.shape[0])",
        ),
    ],
    "conv2d": [("dy.sum(axis=(0, 2, 3))", "dy.sum(axis=3).sum(axis=2).sum(axis=0)")],
    "max_pool": [
        ("windows.max(axis=-1)", "np.take_along_axis(windows, at[..., None], axis=-1)[..., 0]")
    ],
    "layer_norm": [
        (
            "(dn - mean - n * along) / s",
            "(dn - n * along - (dn - n * along).mean(axis=-1, keepdims=True)) / s",
        )
    ],
    "batch_norm": [
        ("var * n / (n - 1)", "x.var(axis=0, ddof=1)"),
        (
            "if not self.training:\n            return dn / s\n        return (dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0)) / s",
            "if self.training:\n            dn = dn - dn.mean(axis=0) - n * (dn * n).mean(axis=0)\n        return dn / s",
        ),
    ],
    "embedding": [
        (
            "self.weight.grad[...] = 0\n        np.add.at(self.weight.grad, x, dy)",
            "for i in range(len(self.weight.grad)):\n            self.weight.grad[i] = dy[x == i].sum(axis=0)",
        ),
        (
            "self.weight.grad[...] = 0\n        np.add.at(self.weight.grad, x, dy)",
            "self.weight.grad[...] = np.stack([np.bincount(x.ravel(), dy[..., j].ravel(), 6) for j in range(3)], 1)",
        ),
    ],
    "residual": [
        (
            "return dy + self.layer.backward(dy)",
            "dx = self.layer.backward(dy)\n        return dx + dy",
        )
    ],
    "swish": [
        ("dy * (s + self.slope.value * t)", "dy * s * (1 + self.slope.value * x * (1 - s))")
    ],
    "attention": [
        ("(dp * p).sum(axis=-1, keepdims=True)", "np.einsum('bij,bij->bi', dp, p)[..., None]"),
        (
            "q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1])",
            "(q / np.sqrt(q.shape[-1])) @ np.transpose(k, (0, 2, 1))",
        ),
    ],
    "causal_attention": [
        (
            "np.tri(q.shape[1], k.shape[1], dtype=bool)",
            "np.arange(k.shape[1]) <= np.arange(q.shape[1])[:, None]",
        ),
        ("-np.inf)", "-1e9)"),
    ],
    "heads": [
        ("-np.inf)", "-1e9)"),
        ('np.einsum("nto,nti->oi", dh, x)', "np.tensordot(dh, x, axes=((0, 1), (0, 1)))"),
    ],
}

# As in homeworks.py: a piece, what is written in its place, and what the sentence says.
WRONG = {
    "scale: loops": [
        (
            "dx[i, j] = dy[i, j] * self.weight.value[j]",
            "dx[i, j] = dy[i, j] / self.weight.value[j]",
            "it is divided by weight, and must be",
        )
    ],
    "square: slope saved": [
        ("self.save(2 * x)", "self.save(2 * x**2)", "it is dy times 2 x^2, and must be dy times"),
        ("dout * slope", "dout + slope", "it is not 0 for a dy of zeros: dy must be a"),
        ("dout * slope", "dout**2 * slope", "it must be dy times 2 x"),
        ("self.save(2 * x)", "self.save(3 * x**2)", "it is dy times 3 x^2, and must be dy times"),
    ],
    "centre: matrix": [
        ("np.ones((n, n)) / n", "np.ones((n, n))", "at each place of axis 0 y differs by the"),
        ("return x @ c", "return x - x.mean()", "at each place of axis 0 y differs by the"),
        (
            "return x @ c",
            "return x - x.mean(axis=1)[:, None] * 2",
            "at each place of axis 0 y differs by the",
        ),
    ],
    "sigmoid: tanh": [
        ("np.tanh(x / 2)", "np.tanh(x)", "y is right for x times 2, and must be for x"),
        ("(1 - t**2) / 4", "t * (1 - t)", "it must be dy times y (1 - y)"),
    ],
    "sigmoid: masks": [
        ("dy * e / (1 + e) ** 2", "dy * e / (1 + e)", "it must be dy times y (1 - y)"),
        ("e / (1 + e)\n", "1 / (1 + e)\n", "y is right only where x > 0; elsewhere it"),
        ("dy * e / (1 + e) ** 2", "dy * 1 / (1 + e) ** 2", "it must be dy times y (1 - y)"),
    ],
    "sigmoid": [
        ("dy * y * (1 - y)", "y * (1 - dy)", "it is not 0 for a dy of zeros: dy must be a"),
        ("dy * y * (1 - y)", "dy + y * (1 - y)", "it is not 0 for a dy of zeros: dy must be a"),
        ("dy * y * (1 - y)", "dy * y - (1 - y)", "it is not 0 for a dy of zeros: dy must be a"),
        ("dy * y * (1 - y)", "dy * (y * (1 - y)).sum(axis=0)", "it must be dy times y (1 - y)"),
        (
            "dy * y * (1 - y)",
            "dy * y * (1 - y) ** 2",
            "it is dy times y (1 - y)^2, and must be dy",
        ),
        (
            "dy * y * (1 - y)",
            "dy * np.exp(-y) / (1 + np.exp(-y)) ** 2",
            "it must be dy times y (1 - y)",
        ),
    ],
    "softplus: max": [
        (
            "dy * (1 + np.tanh(x / 2)) / 2",
            "dy * (1 + np.tanh(x)) / 2",
            "it must be dy times 1 / (1 + e^-x)",
        ),
        ("np.maximum(x, 0) + ", "", "y is right only where x < 0"),
    ],
    "softplus: y saved": [
        (
            "dy * (1 - np.exp(-y))",
            "dy * (1 - np.exp(y))",
            "it is dy times 1 - e^y, and must be dy",
        ),
        (
            "dy * (1 - np.exp(-y))",
            "dy / (1 + np.exp(-y))",
            "it is dy times 1 / (1 + e^-y), and must be",
        ),
    ],
    "dense: loops": [
        (
            "dw[o, i] += dy[n, o] * x[n, i]",
            "dw[o, i] += dy[n, o] * x[0, i]",
            "it takes row 0 of x in place of each row",
        ),
        (
            "                y[n, o] += b[o]",
            "                    y[n, o] += b[o]",
            "at each place of axis 1 y differs by the",
        ),
    ],
    "dense: einsum": [
        (
            '"bo,bi->oi", dout, x',
            '"bo,bi->oi", dout, np.ones_like(x)',
            "x is missing in it: it is right for ones in",
        ),
        ('"bo->o", dout', '"bo->", dout', "it is right for dy summed over axis 1: the"),
        (
            'return np.einsum("bo,oi->bi", dout, self.weight.value)',
            'return np.einsum("bo,oi->bi", dout, self.weight.value) + self.bias.value.sum()',
            "it is not 0 for a dy of zeros: dy must be a",
        ),
        (
            'return np.einsum("bo,oi->bi", dout, self.weight.value)',
            "return dout @ self.weight.grad",
            "backward multiplies dy by itself, or by a",
        ),
        (
            'np.einsum("bi,oi->bo", x, self.weight.value) + self.bias.value',
            'np.maximum(np.einsum("bi,oi->bo", x, self.weight.value) + self.bias.value, 0)',
            "y is right only where the right y > 0;",
        ),
        (
            '"bo,bi->oi", dout, x)',
            '"bo,bi->oi", dout, x) + 0.01 * self.weight.value',
            "it is not 0 for a dy of zeros: dy must be a",
        ),
    ],
    "dense: outer products": [
        (
            "sum(np.outer(dy[n], self.x[n]) for n in range(len(dy)))",
            "np.outer(dy.sum(0), self.x.sum(0))",
            "it is right for dy summed over axis 0: the",
        ),
        ("np.ones(len(dy)) @ dy", "dy.sum(axis=1)", "it is summed over another axis than the"),
    ],
    "tanh: exponentials": [
        ("dy * (1 - np.tanh(x) ** 2)", "dy * (1 - np.tanh(x**2))", "it must be dy times 1 - y^2"),
        (
            "dy * (1 - np.tanh(x) ** 2)",
            "dy * 1 - np.tanh(x) ** 2",
            "it is not 0 for a dy of zeros: dy must be a",
        ),
        (
            "dy * (1 - np.tanh(x) ** 2)",
            "dy / np.cosh(x)",
            "it is dy times 1 / cosh x, and must be dy",
        ),
        (
            "np.exp(-2 * np.abs(x))",
            "np.exp(-np.abs(x))",
            "y is right for x times 0.5, and must be for",
        ),
        ("np.sign(x) * ", "", "y is right only where the right y > 0;"),
        (
            "dy * (1 - np.tanh(x) ** 2)",
            "dy * (1 - np.tanh(np.tanh(x)) ** 2)",
            "it is dy times 1 - tanh(y)^2, and must be",
        ),
    ],
    "tanh: slope saved": [
        ("1 - y * y", "1 - 2 * y", "it is dy times 1 - 2 y, and must be dy"),
        ("g * dy", "(1 - g * g) * dy", "it is dy times 1 - (1 - y^2)^2, and must be"),
        ("1 - y * y", "(1 - y) ** 2", "it is dy times (1 - y)^2, and must be dy"),
    ],
    "bce: where": [
        (
            "np.log(p), np.log(1 - p)",
            "np.log(1 - p), np.log(p)",
            "the labels 0 and 1 are exchanged in it",
        )
    ],
    "bce: notes": [
        (
            "-np.sum(logprobs) / m",
            "-np.sum(logprobs) / (2 * m)",
            "it is half of the right loss: a factor 1/2",
        )
    ],
    "bce_with_logits: max": [
        (
            "(s - t) / len(z)",
            "(s - t) * s * (1 - s) / len(z)",
            "the slope of the sigmoid, s (1 - s), is",
        ),
        (
            "(s - t) / len(z)",
            "(s - t) / (s * (1 - s)) / len(z)",
            "the slope of the sigmoid, s (1 - s), is",
        ),
        ("(s - t) / len(z)", "s * (1 - s) / len(z)", "it is the same with other targets: the"),
        ("loss.mean()", "loss.sum()", "it is the sum over the batch: take the mean"),
    ],
    "bce_with_logits: two softplus": [
        (
            "t * lp + (1 - t) * ln",
            "t * ln + (1 - t) * lp",
            "the labels 0 and 1 are exchanged in it",
        )
    ],
    "momentum: new array": [
        (
            "self.v[...] = self.momentum * self.v + grads",
            "self.v[...] = self.momentum * self.v - self.lr * grads",
            "it goes uphill: its first step is -0.1",
        ),
        (
            "self.v[...] = self.momentum * self.v + grads",
            "v = self.momentum * self.v + grads; self.v = grads",
            "its first steps are right, and step 2 is",
        ),
    ],
    "adam: rate": [
        ("self.beta1**t)", "self.beta1 * t)", "its first steps are right, and step 2 is"),
        (
            "(np.sqrt(vt) + self.eps)",
            "np.sqrt(vt + self.eps)",
            "its step 1 is right but for its last digits",
        ),
        (
            "values[...] += -self.lr",
            "values[...] += self.lr",
            "it goes uphill: its first step is -1 times",
        ),
    ],
    "softmax: jacobian": [
        (
            "np.diagflat(s) - s @ s.T",
            "np.diagflat(s) + s @ s.T",
            "the derivative by `e` in `np.sum(e,",
        ),
        ("np.diagflat(s) - s @ s.T", "np.diagflat(s)", "the derivative by `e` in `np.sum(e,"),
        (
            "np.sum(e, axis=-1, keepdims=True)",
            "np.sum(e)",
            "at each place of axis 0 y differs by one",
        ),
    ],
    "softmax: logs": [
        (
            'np.einsum("bij,bj->bi", jac, dy)',
            'np.einsum("bij,cj->bi", jac, dy)',
            "it is right for dy summed over axis 0: the",
        )
    ],
    "softmax: division": [
        ("        de = de + ds\n", "", "the derivative by `e` in `e.sum(axis=1,"),
        ("ds = -(dy", "ds = (dy", "the derivative by `e` in `e.sum(axis=1,"),
        ("(dy * e).sum(axis=1", "e.sum(axis=1", "it is not 0 for a dy of zeros: dy must be a"),
    ],
    "cross_entropy: one-hot": [
        (
            "(probs - onehot) / probs.shape[0]",
            "-onehot / probs / probs.shape[0]",
            "it is the derivative by the probabilities:",
        ),
        (
            "(probs - onehot) / probs.shape[0]",
            "(probs - 1) * onehot / probs.shape[0]",
            "it is right only where the class is the",
        ),
        (
            "(probs - onehot) / probs.shape[0]",
            "probs / probs.shape[0]",
            "it is wrong only where the class is the",
        ),
        (
            "(probs - onehot) / probs.shape[0]",
            "probs * (1 - probs) / probs.shape[0]",
            "it is the same with other targets: the",
        ),
        (
            "s = e.sum(axis=1, keepdims=True)",
            "s = e.sum(axis=0, keepdims=True)",
            "its softmax adds up over the batch: take it",
        ),
        (
            "-np.sum(onehot * logp) / n",
            "-np.sum(onehot * logp) / scores.size",
            "it is divided by the number of all scores:",
        ),
        (
            "-np.sum(onehot * logp) / n",
            "np.sum(onehot * logp) / n",
            "its sign is wrong: log of a number below 1",
        ),
        (
            "-np.sum(onehot * logp) / n",
            "-np.sum(logp) / n",
            "it adds up -log p of all classes: take the",
        ),
    ],
    "cross_entropy: loops": [
        (
            "p[j] - (1 if j == y[i] else 0)",
            "p[j] + (1 if j == y[i] else 0)",
            "it is wrong only where the class is the",
        ),
        (
            "p[j] - (1 if j == y[i] else 0)",
            "p[j] if j != y[i] else 0",
            "it is wrong only where the class is the",
        ),
        (
            "p[j] - (1 if j == y[i] else 0)",
            "p[j] - (1 if j == y[0] else 0)",
            "it is the same with other targets: the",
        ),
        (
            "(1 if j == y[i] else 0)",
            "(1 if j == i else 0)",
            "it is the same with other targets: the",
        ),
    ],
    "conv2d: loops": [
        ("* w[o]) + b[o]", "* w[o] + b[o])", "at each place of axis 1 y differs by the"),
        (
            "x[i, :, r : r + hh, s : s + ww] * dout",
            "x[0, :, r : r + hh, s : s + ww] * dout",
            "it takes row 0 of x in place of each row",
        ),
    ],
    "conv2d: im2col": [
        (
            "dy.transpose(0, 2, 3, 1).reshape(-1, f)",
            "dy.reshape(-1, f)",
            "it is right for dy with its axes in the",
        ),
        (
            "y.reshape(n, ho, wo, f).transpose(0, 3, 1, 2)",
            "y.reshape(n, f, ho, wo)",
            "its numbers are right, but in other places",
        ),
        ("d.sum(axis=0)", "d.sum()", "it is right for dy summed over axis 1: the"),
    ],
    "layer_norm: staged": [
        (
            "np.mean(xmu**2, axis=1, keepdims=True)",
            "np.mean(xmu**2)",
            "forward takes one mean or one variance of",
        ),
        (
            "np.sqrt(var + self.eps)",
            "(var + self.eps)",
            "forward divides by the variance: divide by",
        ),
        (
            "np.sqrt(var + self.eps)",
            "(np.sqrt(var) + self.eps)",
            "it is nearly right: another formula, as an",
        ),
        (
            "np.sum(dout, axis=0)",
            "np.sum(dout, axis=1).mean() * np.ones(d)",
            "dbias is wrong, and dweight, dx is right",
        ),
    ],
    "batch_norm: staged": [
        (
            "np.sum(dout * xhat, axis=0)",
            "np.sum(dout * xhat, axis=1)",
            "it is summed over another axis than the",
        ),
        (
            "xmu, var = x - self.running_mean, self.running_var",
            "xmu, var = x - x.mean(axis=0), self.running_var",
            "at each place of axis 1 y differs by the",
        ),
        (
            "sqrtvar = np.sqrt(var + self.eps)",
            "sqrtvar = var + self.eps",
            "forward divides by the variance: divide by",
        ),
    ],
    "embedding: one-hot": [
        (
            'np.einsum("btv,btd->vd", onehot, dy)',
            '(np.einsum("btv,btd->vd", onehot, dy) / np.maximum(onehot.sum((0, 1)), 1)[:, None])',
            "it is wrong at [3, 5] of axis 0, and right",
        ),
        (
            'np.einsum("btv,btd->vd", onehot, dy)',
            'np.einsum("btv,bsd->vd", onehot, dy)',
            "it is right for dy summed over axis 1: the",
        ),
    ],
    "embedding: loops": [
        (
            "dw[ix] += dy[k, j]",
            "dw[ix] += self.weight.value[ix]",
            "it is not 0 for a dy of zeros: dy must be a",
        ),
        (
            "dw[ix] += dy[k, j]",
            "dw[ix] += dy[0, j]",
            "it is right with place 0 of axis 0 of dy at",
        ),
    ],
    "embedding: flat": [
        ("x.reshape(-1), dy.", "x.T.reshape(-1), dy.", "it is right for dy with its axes in the"),
        (
            "dy.reshape(-1, dy.shape[-1])",
            "dy.swapaxes(0, 1).reshape(-1, dy.shape[-1])",
            "it is right for dy with its axes in the",
        ),
        (
            "self.weight.value[x.ravel()].reshape(*x.shape, -1)",
            "self.weight.value[x.T.ravel()].reshape(*x.shape, -1)",
            "its numbers are right, but in other places",
        ),
        (
            "dy.reshape(-1, dy.shape[-1])",
            "dy.reshape(dy.shape[-1], -1).T",
            "it is right for dy with its axes in the",
        ),
    ],
    "residual: branches": [
        ("dskip + dbranch", "dskip * dbranch", "backward multiplies dy by itself, or by a"),
        ("dskip = dout", "dskip = 1", "it is not 0 for a dy of zeros: dy must be a"),
        (
            "self.layer.backward(dout)",
            "self.layer.backward(dout * dout)",
            "backward multiplies dy by itself, or by a",
        ),
        (
            "self.layer.backward(dout)",
            "self.layer.backward(np.ones_like(dout))",
            "it is not 0 for a dy of zeros: dy must be a",
        ),
    ],
    "gelu: staged": [("0.7978845608028654", "0.8", "it is nearly right: another formula, as an")],
    "gelu": [
        (
            "x * (1 + t) / 2\n",
            "x / 2 * (1 + np.array([[__import__('math').erf(a / 2**0.5) for a in r] for r in x]))\n",
            "it is nearly right: another formula, as an",
        ),
        (
            "x * (1 + t) / 2\n",
            "x / (1 + np.exp(-1.702 * x))\n",
            "it is nearly right: another formula, as an",
        ),
    ],
    "swish: y saved": [
        (
            "np.sum(dy * x * y * (1 - s), axis=0)",
            "np.sum(dy * y * (1 - s), axis=0)",
            "the factor x is missing in it",
        ),
        (
            "np.sum(dy * x * y * (1 - s), axis=0)",
            "np.sum(dy * x * s * (1 - s), axis=0)",
            "the factor x is missing in it",
        ),
        (
            "b * y + s * (1 - b * y)",
            "b * (b * y + s * (1 - b * y))",
            "it is multiplied by slope once too often",
        ),
    ],
    "attention: loops": [
        ("e = np.exp(s - s.max())", "e = np.exp(s)", "with x 100 times as large, y is not finite,")
    ],
    "attention: einsum": [
        (
            '- np.einsum("bij,bik->bijk", p, p)',
            '+ np.einsum("bij,bik->bijk", p, p)',
            "the derivative by `p` in `p.sum(-1,",
        ),
        ('- np.einsum("bij,bik->bijk", p, p)', "", "the derivative by `p` in `p.sum(-1,"),
        (
            'dk = np.einsum("bij,bid->bjd", ds, q)',
            'dk = np.einsum("bij,bid->bjd", p, q)',
            "it is not 0 for a dy of zeros: dy must be a",
        ),
        ('"bid,bjd->bij", q, k', '"bid,bjd->bij", k, q', "queries and keys are exchanged"),
        (
            "p /= p.sum(-1, keepdims=True)",
            "p /= p.sum((1, 2), keepdims=True)",
            "the softmax divides by the sum of all",
        ),
    ],
    "causal_attention: after": [
        (
            "e = np.exp(s - s.max(axis=-1, keepdims=True)) * np.tril(np.ones((t, t)))\n        p = e / e.sum(axis=-1, keepdims=True)",
            "e = np.exp(s - s.max(axis=-1, keepdims=True))\n        p = e / e.sum(axis=-1, keepdims=True) * np.tril(np.ones((t, t)))",
            "the mask is multiplied in after the",
        ),
        (
            "p * dp - p * (p * dp).sum(-1, keepdims=True)",
            "p * dp - (p * dp).sum(-1, keepdims=True)",
            "dx of k, dx of q is wrong, and dx of v is",
        ),
        (
            "p * dp - p * (p * dp).sum(-1, keepdims=True)",
            "p * dp - p * p * dp",
            "dx of k, dx of q is wrong, and dx of v is",
        ),
    ],
    "heads: loop": [
        (
            "q, k, v = qkv[..., :c], qkv[..., c : 2 * c], qkv[..., 2 * c :]",
            "k, q, v = qkv[..., :c], qkv[..., c : 2 * c], qkv[..., 2 * c :]",
            "queries and keys are exchanged",
        ),
        ("flat.sum(axis=0)", "flat[0]", "din_proj_bias is wrong, and"),
    ],
}
