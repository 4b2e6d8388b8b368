"""Metrics: how good predictions are, in numbers that people understand.

Each is a function of the **prediction first and then the target**, as the losses are and
the reverse of scikit-learn's ``(y_true, y_pred)``::

    accuracy(model.predict(x), y)        # of probabilities, or of one number for each class
    accuracy.at(0)(model.predict(x), y)  # of a model that ends in one logit, without Sigmoid()

and can be given to `Trainer` as it is or by its name. There it is added up batch by batch; the
value counts all examples at once, however they were cut into batches.

Your own metric is a function ``(prediction, target) -> float``. `Trainer` calls it
with all predictions of an epoch.
"""

from minifw.metrics.classification import accuracy, binary_accuracy, f1, precision, recall, roc_auc
from minifw.metrics.metric import Metric
from minifw.metrics.regression import mae, mse, r2

__all__ = [
    "Metric",
    "accuracy",
    "binary_accuracy",
    "f1",
    "mae",
    "mse",
    "precision",
    "r2",
    "recall",
    "roc_auc",
]
