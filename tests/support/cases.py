"""The table of all layers, losses and optimizers: every public one stands here.

The layers and losses come with inputs that they accept.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from minifw import (
    ELU,
    GELU,
    GRU,
    LSTM,
    SELU,
    SGD,
    Accumulate,
    Adagrad,
    Adam,
    AdamW,
    Add,
    Array,
    Averaged,
    AvgPool2D,
    BatchNorm,
    BCELoss,
    BCEWithLogitsLoss,
    CategoricalCrossEntropyLoss,
    Clamp,
    Columns,
    Concat,
    Conv1D,
    Conv2D,
    Conv2DTranspose,
    CosineLoss,
    CrossEntropyLoss,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    Flip,
    FocalLoss,
    GlobalAvgPool2D,
    GradientReversal,
    Graph,
    GroupNorm,
    HardTanh,
    HingeLoss,
    HuberLoss,
    Identity,
    Impute,
    Increasing,
    Join,
    KLDivLoss,
    L1Loss,
    Layer,
    LayerNorm,
    LeakyReLU,
    Lion,
    LogSoftmax,
    Lookahead,
    Loss,
    MaxPool2D,
    MeanLoss,
    MeanOverTime,
    Mish,
    MSELoss,
    MultiHeadAttention,
    Multiply,
    NAdam,
    NLLLoss,
    NTKDense,
    Optimizer,
    Pad2D,
    Parameter,
    PeriodicEncoding,
    Permute,
    PiecewiseLinearEncoding,
    PinballLoss,
    PoissonLoss,
    Positions,
    PReLU,
    ReLU,
    Rescaling,
    Reshape,
    Residual,
    RMSNorm,
    RMSprop,
    RobustScale,
    Rprop,
    Scale,
    Sequential,
    Sigmoid,
    SiLU,
    SinusoidalPositions,
    Softmax,
    Softplus,
    Standardize,
    StopGradient,
    Tanh,
    UpSample2D,
)

BATCH = 4


@dataclass(frozen=True)
class Case:
    """One layer, and one batch that it accepts."""

    name: str
    make: Callable[[type], Layer]
    """Makes the layer in a dtype."""

    example_shape: tuple[int, ...]
    """The shape of one input example."""

    indices: int = 0
    """If x holds whole numbers: how many there are, from 0 on."""
    exported: bool = True
    """Whether it is written to ONNX."""

    def x(self, batch: int, dtype: type = np.float64, seed: int = 0) -> Array:
        """Return a random batch."""
        rng = np.random.default_rng(seed)
        shape = (batch, *self.example_shape)
        if self.indices:
            return rng.integers(0, self.indices, shape)  # type: ignore[return-value]
        return rng.standard_normal(shape).astype(dtype)


_table = np.random.default_rng(9).standard_normal((20, 3)) * (1, 2, 5) + (0, 1, -2)
_table[:5, 1] = 1.0  # a quarter of one number
_table[3, 0] = np.nan

CASES = [
    Case("Dense", lambda dtype: Dense(3, 2, rng=1, dtype=dtype), (3,)),
    Case("Dense, wide", lambda dtype: Dense(2, 7, rng=1, dtype=dtype), (2,)),
    Case("Dense, one unit", lambda dtype: Dense(5, 1, rng=1, dtype=dtype), (5,)),
    Case("Dense, no bias", lambda dtype: Dense(3, 2, bias=False, rng=1, dtype=dtype), (3,)),
    Case(
        "Dense, sequences",
        lambda dtype: Dense(3, 2, rng=1, dtype=dtype),
        (4, 3),
    ),
    Case("Tanh", lambda _: Tanh(), (3,)),
    Case("Tanh, images", lambda _: Tanh(), (2, 3, 4)),
    Case("Sigmoid", lambda _: Sigmoid(), (3,)),
    Case("ReLU", lambda _: ReLU(), (3,)),
    Case("ReLU, images", lambda _: ReLU(), (2, 3, 4)),
    Case("LeakyReLU", lambda _: LeakyReLU(), (3,)),
    Case("LeakyReLU, steep", lambda _: LeakyReLU(0.2), (3,)),
    Case("PReLU", lambda dtype: PReLU(dtype=dtype), (3,)),
    Case("PReLU, features", lambda dtype: PReLU(3, 0.1, dtype=dtype), (3,)),
    Case("PReLU, images", lambda dtype: PReLU(2, dtype=dtype), (2, 3, 4)),
    Case("PReLU, sequences", lambda dtype: PReLU(3, axis=-1, dtype=dtype), (4, 3)),
    Case("ELU", lambda _: ELU(), (3,)),
    Case("ELU, alpha", lambda _: ELU(0.5), (3,)),
    Case("SELU", lambda _: SELU(), (3,)),
    Case("Clamp", lambda _: Clamp(-0.5, 0.75), (3,)),
    Case("Clamp, from below", lambda _: Clamp(min=-0.5), (3,)),
    Case("Clamp, from above", lambda _: Clamp(max=0.75), (3,)),
    Case("HardTanh", lambda _: HardTanh(), (3,)),
    Case("HardTanh, bounds", lambda _: HardTanh(-0.5, 0.75), (3,)),
    Case("GELU", lambda _: GELU(), (3,)),
    Case("GELU, images", lambda _: GELU(), (2, 3, 4)),
    Case("GELU, tanh", lambda _: GELU("tanh"), (3,)),
    Case("Mish", lambda _: Mish(), (3,)),
    Case("SiLU", lambda _: SiLU(), (3,)),
    Case("Softplus", lambda _: Softplus(), (3,)),
    Case("Softplus, beta", lambda _: Softplus(2.5), (3,)),
    Case("Softmax", lambda _: Softmax(), (3,)),
    Case("Softmax, channels", lambda _: Softmax(axis=1), (2, 3, 4)),
    Case("LogSoftmax", lambda _: LogSoftmax(), (3,)),
    Case("LogSoftmax, channels", lambda _: LogSoftmax(axis=1), (2, 3, 4)),
    Case(
        "Sequential",
        lambda dtype: Sequential(
            Dense(2, 4, rng=1, dtype=dtype), Tanh(), Dense(4, 1, rng=2, dtype=dtype), Sigmoid()
        ),
        (2,),
    ),
    Case(
        "Sequential, nested",
        lambda dtype: Sequential(
            Tanh(),
            Sequential(Dense(3, 4, rng=1, dtype=dtype), Sequential(Sigmoid())),
            Dense(4, 2, rng=2, dtype=dtype),
        ),
        (3,),
    ),
    Case(
        "Residual",
        lambda dtype: Residual(Sequential(Dense(3, 3, rng=1, dtype=dtype), Tanh())),
        (3,),
    ),
    Case("Residual, images", lambda _: Residual(Tanh()), (2, 3, 4)),
    Case(
        "Concat",
        lambda dtype: Concat(
            Dense(3, 2, rng=1, dtype=dtype),
            Tanh(),
            Sequential(Dense(3, 4, rng=2, dtype=dtype), Tanh(), Dense(4, 1, rng=3, dtype=dtype)),
        ),
        (3,),
    ),
    Case("Concat, one branch", lambda dtype: Concat(Dense(3, 2, rng=1, dtype=dtype)), (3,)),
    Case("Dropout", lambda _: Dropout(rng=1), (6,)),
    Case("Dropout, images", lambda _: Dropout(0.2, rng=1), (2, 3, 4)),
    Case(
        "BatchNorm",
        lambda dtype: BatchNorm(3, dtype=dtype),
        (3,),
    ),
    Case(
        "BatchNorm, images",
        lambda dtype: BatchNorm(3, eps=1e-3, momentum=0.3, dtype=dtype),
        (3, 4, 2),
    ),
    Case(
        "BatchNorm, not affine",
        lambda dtype: BatchNorm(3, affine=False, dtype=dtype),
        (3,),
    ),
    Case("LayerNorm", lambda dtype: LayerNorm(4, dtype=dtype), (4,)),
    Case("LayerNorm, sequences", lambda dtype: LayerNorm(4, eps=0.1, dtype=dtype), (3, 4)),
    Case("LayerNorm, images", lambda dtype: LayerNorm((3, 4), dtype=dtype), (2, 3, 4)),
    Case("LayerNorm, not affine", lambda dtype: LayerNorm(4, affine=False, dtype=dtype), (4,)),
    Case("RMSNorm", lambda dtype: RMSNorm(4, dtype=dtype), (4,)),
    Case("RMSNorm, sequences", lambda dtype: RMSNorm(4, eps=0.1, dtype=dtype), (3, 4)),
    Case("RMSNorm, images", lambda dtype: RMSNorm((3, 4), dtype=dtype), (2, 3, 4)),
    Case("RMSNorm, not affine", lambda dtype: RMSNorm(4, affine=False, dtype=dtype), (4,)),
    Case("GroupNorm", lambda dtype: GroupNorm(2, 4, dtype=dtype), (4,)),
    Case(
        "GroupNorm, images",
        lambda dtype: GroupNorm(2, 4, eps=0.1, dtype=dtype),
        (4, 2, 3),
    ),
    Case(
        "GroupNorm, not affine",
        lambda dtype: GroupNorm(3, 3, affine=False, dtype=dtype),
        (3, 4),
    ),
    Case("Identity", lambda _: Identity(), (3,)),
    Case("Add, one input", lambda _: Add(), (3,)),
    Case("Join, one input", lambda _: Join(), (3,)),
    Case("Multiply, one input", lambda _: Multiply(), (3,)),
    Case("Scale", lambda dtype: Scale(3, 0.5, dtype=dtype), (3,)),
    Case("Scale, sequences", lambda dtype: Scale(3, dtype=dtype), (4, 3)),
    Case("Rescaling", lambda _: Rescaling(0.5, -2.0), (2, 3)),
    Case(
        "Rescaling, channels",
        lambda _: Rescaling([[[2.0]], [[-3.0]]], [[[0.5]], [[0.0]]]),
        (2, 3, 4),
    ),
    Case("NTKDense", lambda dtype: NTKDense(3, 2, rng=1, dtype=dtype), (3,)),
    Case("NTKDense, no bias", lambda dtype: NTKDense(2, 4, bias=False, rng=1, dtype=dtype), (2,)),
    Case("Standardize", lambda dtype: Standardize(3, dtype=dtype).adapt(_table), (3,)),
    Case("RobustScale", lambda dtype: RobustScale(3, dtype=dtype).adapt(_table), (3,)),
    Case("Impute", lambda dtype: Impute(3, dtype=dtype).adapt(_table), (3,)),
    Case("Impute, marked", lambda dtype: Impute(3, True, dtype=dtype).adapt(_table), (3,)),
    Case(
        "PiecewiseLinearEncoding",
        lambda dtype: PiecewiseLinearEncoding(3, 4, dtype=dtype).adapt(_table),
        (3,),
    ),
    Case("PeriodicEncoding", lambda dtype: PeriodicEncoding(3, 2, 0.3, rng=1, dtype=dtype), (3,)),
    Case("Increasing", lambda _: Increasing(), (3,)),
    Case("StopGradient", lambda _: StopGradient(), (3,)),
    Case("GradientReversal", lambda _: GradientReversal(0.5), (3,)),
    Case(
        "Graph",
        lambda dtype: Graph(
            "x",
            h=Dense(3, 3, rng=1, dtype=dtype),
            a=(Tanh(), "h"),
            s=(Add(), "a", "x", "h"),
            p=(Multiply(), "s", "a"),
            y=(Join(), "s", "p"),
        ),
        (3,),
    ),
    Case(
        "Graph, a U-Net",
        lambda dtype: Graph(
            "x",
            seen=Conv2D(1, 2, 3, padding=1, rng=1, dtype=dtype),
            deep=Sequential(MaxPool2D(2), Tanh()),
            up=Conv2DTranspose(2, 1, 2, stride=2, rng=2, dtype=dtype),
            y=(Join(), "seen", "up"),
        ),
        (1, 2, 4),
    ),
    Case("Flatten", lambda _: Flatten(), (2, 3, 4)),
    Case("Flatten, rows", lambda _: Flatten(), (3,)),
    Case("Permute", lambda _: Permute(3, 1, 2), (2, 3, 4)),
    Case("Reshape", lambda _: Reshape((2, 3)), (6,)),
    Case("Reshape, the rest", lambda _: Reshape((-1, 4)), (2, 3, 4)),
    Case("Concat, images", lambda _: Concat(Tanh(), Sigmoid()), (2, 3, 4)),
    Case(
        "Concat of Residual",
        lambda dtype: Concat(
            Residual(Sequential(Dense(2, 2, rng=1, dtype=dtype), Sigmoid())),
            Residual(Concat(Dense(2, 1, rng=2, dtype=dtype), Dense(2, 1, rng=3, dtype=dtype))),
        ),
        (2,),
    ),
    Case("Embedding", lambda dtype: Embedding(6, 3, rng=1, dtype=dtype), (4,), indices=6),
    Case("Embedding, one each", lambda dtype: Embedding(6, 3, rng=1, dtype=dtype), (), indices=6),
    Case("Embedding, grids", lambda dtype: Embedding(5, 2, rng=1, dtype=dtype), (2, 3), indices=5),
    Case(  # the padding row is not the derivative, so x does without
        "Embedding, padding",
        lambda dtype: Embedding(6, 3, padding_idx=5, rng=1, dtype=dtype),
        (4,),
        indices=5,
    ),
    Case("LSTM", lambda dtype: LSTM(3, 2, rng=1, dtype=dtype), (4, 3)),
    Case("LSTM, one step", lambda dtype: LSTM(2, 3, rng=1, dtype=dtype), (1, 2)),
    Case(
        "LSTM, last state",
        lambda dtype: LSTM(1, 4, return_sequences=False, rng=1, dtype=dtype),
        (6, 1),
    ),
    Case("GRU", lambda dtype: GRU(3, 2, rng=1, dtype=dtype), (4, 3)),
    Case("GRU, one step", lambda dtype: GRU(2, 3, rng=1, dtype=dtype), (1, 2)),
    Case(
        "GRU, last state",
        lambda dtype: GRU(1, 4, return_sequences=False, rng=1, dtype=dtype),
        (6, 1),
    ),
    Case(
        "Sequential of Embedding and LSTM",
        lambda dtype: Sequential(
            Embedding(6, 3, rng=1, dtype=dtype),
            LSTM(3, 2, rng=2, dtype=dtype),
            LSTM(2, 2, return_sequences=False, rng=3, dtype=dtype),
            Dense(2, 1, rng=4, dtype=dtype),
        ),
        (4,),
        indices=6,
    ),
    Case("Conv2D", lambda dtype: Conv2D(2, 3, 3, rng=1, dtype=dtype), (2, 4, 5)),
    Case(
        "Conv2D, every argument",
        lambda dtype: Conv2D(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, rng=1, dtype=dtype),
        (4, 6, 3),
    ),
    Case(
        "Conv2D, same",
        lambda dtype: Conv2D(1, 2, (2, 3), padding="same", dilation=(3, 1), rng=1, dtype=dtype),
        (1, 4, 3),
    ),
    Case(
        "Conv2D, depthwise",
        lambda dtype: Conv2D(3, 6, 2, groups=3, bias=False, rng=1, dtype=dtype),
        (3, 3, 4),
    ),
    Case(
        "Conv2D, rows left over",
        lambda dtype: Conv2D(2, 2, (1, 2), stride=3, rng=1, dtype=dtype),
        (2, 5, 4),
    ),
    Case(
        "Conv2DTranspose",
        lambda dtype: Conv2DTranspose(3, 2, 2, stride=2, rng=1, dtype=dtype),
        (3, 2, 3),
    ),
    Case(
        "Conv2DTranspose, every argument",
        lambda dtype: Conv2DTranspose(
            4, 6, (3, 2), (2, 1), (1, 0), (1, 1), dilation=(1, 2), groups=2, rng=1, dtype=dtype
        ),
        (4, 2, 3),
    ),
    Case("MaxPool2D", lambda _: MaxPool2D(2), (2, 5, 4)),
    Case("MaxPool2D, overlapping", lambda _: MaxPool2D((3, 2), (1, 2), (1, 0)), (2, 4, 5)),
    Case("AvgPool2D", lambda _: AvgPool2D(2), (2, 5, 4)),
    Case("AvgPool2D, overlapping", lambda _: AvgPool2D((3, 2), (2, 1), (1, 1)), (2, 4, 3)),
    Case("GlobalAvgPool2D", lambda _: GlobalAvgPool2D(), (2, 3, 4)),
    Case("UpSample2D", lambda _: UpSample2D((2, 3)), (2, 2, 3)),
    Case("Conv1D", lambda dtype: Conv1D(2, 3, 3, rng=1, dtype=dtype), (5, 2)),
    Case(
        "Conv1D, every argument",
        lambda dtype: Conv1D(4, 6, 2, 2, (1, 2), 2, 2, bias=False, rng=1, dtype=dtype),
        (6, 4),
    ),
    Case(
        "Conv1D, causal",
        lambda dtype: Conv1D(2, 3, 2, padding="causal", dilation=2, rng=1, dtype=dtype),
        (4, 2),
    ),
    Case("Pad2D", lambda _: Pad2D((1, 0, 2, 1), value=0.5), (2, 3, 2)),
    Case("Pad2D, copies", lambda _: Pad2D((1, 2, 0, 2), "reflect"), (2, 3, 3)),
    Case("Columns", lambda _: Columns(2, 0, 2), (4,)),
    Case(
        "Positions",
        lambda dtype: Positions(5, 3, rng=1, dtype=dtype),
        (4, 3),
    ),
    Case("SinusoidalPositions", lambda _: SinusoidalPositions(3), (4, 3)),
    Case("Flip", lambda _: Flip(), (4, 3)),
    Case("Flip, images", lambda _: Flip(-2), (2, 3, 4)),
    Case("MeanOverTime", lambda _: MeanOverTime(), (4, 3)),
    Case(
        "MultiHeadAttention",
        lambda dtype: MultiHeadAttention(4, 2, rng=1, dtype=dtype),
        (3, 4),
    ),
    Case(
        "MultiHeadAttention, causal",
        lambda dtype: MultiHeadAttention(4, 2, causal=True, bias=False, rng=1, dtype=dtype),
        (3, 4),
    ),
]

LAYER_CASES: dict[str, tuple[Layer, Array]] = {
    case.name: (case.make(np.float64), case.x(BATCH)) for case in CASES
}

_logits = np.array([[0.3, -2.0], [1.5, 0.1], [-0.7, 4.0]])
_labels = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
_probabilities = 1 / (1 + np.exp(-_logits))
_scores = np.array([[0.3, -2.0, 1.1], [1.5, 0.1, -0.4], [-0.7, 4.0, 0.9], [0.2, -0.1, 0.6]])
_shares = np.exp(_scores) / np.exp(_scores).sum(axis=1, keepdims=True)  # their softmax
_classes = np.array([0, 2, 1, 2])
_soft = np.array([[1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.0, 0.5, 0.5], [0.1, 0.8, 0.1]])
_class_weight = [0.5, 2.0, 1.0]

LOSS_CASES: dict[str, tuple[Loss, Array, Array]] = {
    "BCELoss": (BCELoss(), _probabilities, _labels),
    "BCELoss, soft targets": (BCELoss(), _probabilities, 0.1 + 0.8 * _labels),
    "BCEWithLogitsLoss": (BCEWithLogitsLoss(), _logits, _labels),
    "BCEWithLogitsLoss, soft targets": (BCEWithLogitsLoss(), _logits, 0.1 + 0.8 * _labels),
    "BCEWithLogitsLoss, pos_weight": (BCEWithLogitsLoss(3.0), _logits, _labels),
    "BCEWithLogitsLoss, pos_weight of each": (BCEWithLogitsLoss([3.0, 0.5]), _logits, _labels),
    "CrossEntropyLoss": (CrossEntropyLoss(), _scores, _classes),
    "CrossEntropyLoss, probabilities": (CrossEntropyLoss(), _scores, _soft),
    "CrossEntropyLoss, weight": (CrossEntropyLoss(_class_weight), _scores, _classes),
    "CrossEntropyLoss, weight, probabilities": (CrossEntropyLoss(_class_weight), _scores, _soft),
    "CrossEntropyLoss, smoothed": (CrossEntropyLoss(label_smoothing=0.1), _scores, _classes),
    "CrossEntropyLoss, weight, smoothed": (CrossEntropyLoss(_class_weight, 0.2), _scores, _soft),
    "CrossEntropyLoss, sequences": (
        CrossEntropyLoss(_class_weight),
        np.stack([_scores, -_scores], axis=1),  # (batch, time, classes)
        np.stack([_classes, 2 - _classes], axis=1),
    ),
    "NLLLoss": (NLLLoss(), np.log(_shares), _classes),
    "NLLLoss, weight": (NLLLoss(_class_weight), np.log(_shares), _classes),
    "CategoricalCrossEntropyLoss": (CategoricalCrossEntropyLoss(), _shares, _classes),
    "CategoricalCrossEntropyLoss, probabilities": (CategoricalCrossEntropyLoss(), _shares, _soft),
    "CategoricalCrossEntropyLoss, weight, smoothed": (
        CategoricalCrossEntropyLoss(_class_weight, 0.1),
        _shares,
        _classes,
    ),
    "MeanLoss": (MeanLoss(), _logits, _labels),
    "MSELoss": (MSELoss(), _logits, _labels),
    "L1Loss": (L1Loss(), _logits, _labels),
    "HuberLoss": (HuberLoss(), _logits, _labels),
    "HuberLoss, delta": (HuberLoss(0.4), _logits, _labels),
    "HingeLoss": (HingeLoss(), _logits, 2 * _labels - 1),
    "HingeLoss, margin": (HingeLoss(0.2), _logits, 2 * _labels - 1),
    "FocalLoss": (FocalLoss(), _logits, _labels),
    "FocalLoss, gamma": (FocalLoss(0.5, 0.5), _logits, _labels),
    "KLDivLoss": (KLDivLoss(), np.log(_shares), _shares[::-1].copy()),
    "KLDivLoss, log_target": (KLDivLoss(log_target=True), np.log(_shares), np.log(_shares[::-1])),
    "PinballLoss": (PinballLoss((0.1, 0.5, 0.8)), _scores, _scores[::-1, 1:2].copy()),
    "PoissonLoss": (PoissonLoss(), _logits, 3 * _labels),
    "PoissonLoss, rates": (PoissonLoss(log_input=False), np.exp(_logits), 3 * _labels),
    "CosineLoss": (CosineLoss(), _scores, _scores[::-1].copy()),
}


def vectors(parameters: Sequence[Parameter]) -> list[Parameter]:
    """Return those with one axis."""
    return [parameter for parameter in parameters if parameter.value.ndim == 1]


OPTIMIZER_CASES: dict[str, Callable[[Sequence[Parameter]], Optimizer]] = {
    "SGD": lambda parameters: SGD(parameters, lr=0.1),
    "SGD, lr 1.2": lambda parameters: SGD(parameters, lr=1.2),
    "SGD, momentum": lambda parameters: SGD(parameters, lr=0.01, momentum=0.9),
    "SGD, Nesterov": lambda parameters: SGD(parameters, lr=0.01, momentum=0.9, nesterov=True),
    "SGD, decay": lambda parameters: SGD(
        parameters, lr=0.01, momentum=0.5, weight_decay=0.01, no_decay=vectors(parameters)
    ),
    "Adam": Adam,
    "Adam, decay": lambda parameters: Adam(parameters, lr=0.01, weight_decay=0.01),
    "AdamW": lambda parameters: AdamW(parameters, lr=0.01),
    "AdamW, no_decay": lambda parameters: AdamW(parameters, lr=0.01, no_decay=vectors(parameters)),
    "NAdam": NAdam,
    "NAdam, decay": lambda parameters: NAdam(
        parameters, lr=0.01, weight_decay=0.01, no_decay=vectors(parameters)
    ),
    "RMSprop": RMSprop,
    "RMSprop, momentum, centered": lambda parameters: RMSprop(
        parameters, momentum=0.5, centered=True
    ),
    "RMSprop, decay": lambda parameters: RMSprop(
        parameters, weight_decay=0.01, no_decay=vectors(parameters)
    ),
    "Adagrad": lambda parameters: Adagrad(parameters, lr=0.1),
    "Adagrad, all options": lambda parameters: Adagrad(
        parameters,
        lr=0.1,
        lr_decay=0.01,
        weight_decay=0.01,
        initial_accumulator_value=0.1,
        no_decay=vectors(parameters),
    ),
    "Lion": lambda parameters: Lion(parameters, lr=0.01),
    "Lion, decay": lambda parameters: Lion(
        parameters, lr=0.01, weight_decay=0.1, no_decay=vectors(parameters)
    ),
    "Rprop": Rprop,
    "Lookahead": lambda parameters: Lookahead(SGD(parameters, lr=0.1), k=2),
    "Lookahead, AdamW": lambda parameters: Lookahead(
        AdamW(parameters, lr=0.01, no_decay=vectors(parameters))
    ),
    "Lookahead, Rprop": lambda parameters: Lookahead(Rprop(parameters), alpha=0.8),
    "Averaged": lambda parameters: Averaged(Adam(parameters)),
    "Averaged, decay": lambda parameters: Averaged(
        Lookahead(SGD(parameters, lr=0.1, weight_decay=0.01)), decay=0.9, start=2
    ),
    "Accumulate": lambda parameters: Accumulate(Adam(parameters, lr=0.01), micro_batch_size=7),
}
