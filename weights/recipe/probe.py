# SPDX-License-Identifier: Apache-2.0
"""Can a document's domain be read from its expert counts alone?

In: features (N, F) of N documents and their labels.  Out: the share of documents that a linear
classifier names right, each by a classifier that never saw it.  Multinomial logistic regression
with the penalty ½|w|², as scikit-learn's with C = 1, written out in torch: the recipe needs no
package more for it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

FOLDS = 5


def folds(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A fold for each document, every label spread evenly over them: (N,)."""
    fold = np.empty(len(labels), int)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        fold[rng.permutation(rows)] = np.arange(len(rows)) % FOLDS
    return fold


def fit(x: Tensor, y: Tensor, classes: int) -> Tensor:
    """Weights (F + 1, classes), the last row the intercept, which bears no penalty."""
    weights = torch.zeros(x.shape[1] + 1, classes, dtype=x.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        error = functional.cross_entropy(x @ weights[:-1] + weights[-1], y, reduction="sum")
        total = error + weights[:-1].square().sum() / 2
        total.backward()
        return total

    optimiser.step(loss)  # pyright: ignore[reportArgumentType]
    return weights.detach()


def accuracy(features: np.ndarray, labels: np.ndarray) -> tuple[float, list[float]]:
    """Cross-validated by document, and its 95 % interval (Wilson's)."""
    x, y = torch.from_numpy(features).double(), torch.from_numpy(labels)
    fold = torch.from_numpy(folds(labels, np.random.default_rng(0)))
    right = 0
    for n in range(FOLDS):
        train, test = fold != n, fold == n
        mean, sd = x[train].mean(0), x[train].std(0).clamp(min=1e-9)
        weights = fit((x[train] - mean) / sd, y[train], int(y.max()) + 1)
        scores = (x[test] - mean) / sd @ weights[:-1] + weights[-1]
        right += int((scores.argmax(-1) == y[test]).sum())
    return right / len(labels), wilson(right, len(labels))


def wilson(right: int, n: int) -> list[float]:
    """95 % interval of a share."""
    z, p = 1.96, right / n
    middle, half = p + z * z / (2 * n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    return [(middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)]
