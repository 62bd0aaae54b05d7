# SPDX-License-Identifier: Apache-2.0
"""What is minimised: cross-entropy, and the two losses that keep routers usable.

In: a model and windows of tokens. Out: a loss with gradients.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from moe_viz.model import Mixtral
from moe_viz.routing import Routing


class RouterLosses:
    """A router hook that adds up the load-balancing loss and the z-loss of every layer.

    Balance (arXiv 2101.03961): E · Σ_e (share of assignments) · (mean probability), 1 when even.

    `earlier` holds shares of assignments of batches before this one, (N, L, E): the shares in the
    loss are then the mean over those and this one, while the probabilities are this one's (the
    buffer of arXiv 2501.11873).  So a batch of few domains need not spread each of them evenly.
    """

    def __init__(self, earlier: Sequence[Tensor] = ()) -> None:
        self.earlier = earlier
        self.balance: list[Tensor] = []
        self.z: list[Tensor] = []
        self.load: list[Tensor] = []

    def __call__(self, routing: Routing) -> None:
        E = routing.logits.shape[1]
        load = functional.one_hot(routing.experts, E).float().mean((0, 1))
        earlier = (before[routing.layer] for before in self.earlier)
        shares = torch.stack([load, *earlier]).mean(0)
        self.balance.append(E * (shares * routing.logits.softmax(-1).mean(0)).sum())
        self.z.append(routing.logits.logsumexp(-1).square().mean())
        self.load.append(load)


class HeadLoss(torch.autograd.Function):
    """Mean cross-entropy of the output head, whose logits never stand in float32 all at once.

    Its gradient with respect to the logits, softmax − one-hot, is formed beside the loss, and takes
    the logits' place.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        loss = x.new_zeros((), dtype=torch.float32)
        error = x.new_empty(len(x), len(weight))
        chunk = 128 if x.device.type == "cpu" else 8192  # what a cache holds; what fills a GPU
        for rows in (slice(n, n + chunk) for n in range(0, len(x), chunk)):
            logits, target = torch.mm(x[rows], weight.T, out=error[rows]), targets[rows, None]
            log_p = logits.log_softmax(-1, dtype=torch.float32)
            loss -= log_p.gather(1, target).sum()
            p = log_p.exp_()
            error[rows] = p.scatter_add_(1, target, p.new_full(target.shape, -1.0))
        ctx.save_for_backward(error @ weight, error.T @ x)
        ctx.tokens = len(x)
        return loss / len(x)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        dx, dweight = ctx.saved_tensors
        scale = (gradient / ctx.tokens).to(dx.dtype)
        return dx * scale, dweight * scale, None


def step_loss(
    model: Mixtral,
    windows: Tensor,
    balance: float,
    z_loss: float,
    earlier: Sequence[Tensor] = (),
) -> tuple[Tensor, float, Tensor]:
    """Loss to minimise, cross-entropy in nats per token, shares of assignments (L, E)."""
    inputs, targets = windows[:, :-1], windows[:, 1:]
    losses = RouterLosses(earlier)
    with model.router_hooks(losses):
        x = model.hidden(inputs.flatten(), [inputs.shape[1]] * len(inputs))
    entropy = HeadLoss.apply(model.norm(x), model.head.weight, targets.flatten())
    loss = entropy + balance * sum(losses.balance) + z_loss * sum(losses.z)
    return loss, entropy.item(), torch.stack(losses.load)
