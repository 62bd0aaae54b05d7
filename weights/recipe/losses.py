"""What is minimised: cross-entropy, and the two losses that keep routers usable.

In: a model and windows of tokens. Out: a loss with gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moe_viz.model import Mixtral
from moe_viz.routing import Routing


class RouterLosses:
    """A router hook that adds up the load-balancing loss and the z-loss of every layer.

    Balance (arXiv 2101.03961): E · Σ_e (share of assignments) · (mean probability), 1 when even.
    """

    def __init__(self) -> None:
        self.balance: list[Tensor] = []
        self.z: list[Tensor] = []
        self.load: list[Tensor] = []

    def __call__(self, routing: Routing) -> None:
        E = routing.logits.shape[1]
        load = functional.one_hot(routing.experts, E).float().mean((0, 1))
        self.balance.append(E * (load * routing.logits.softmax(-1).mean(0)).sum())
        self.z.append(routing.logits.logsumexp(-1).square().mean())
        self.load.append(load)


class HeadLoss(torch.autograd.Function):
    """Mean cross-entropy of the output head, without ever holding all logits.

    For each chunk of tokens the gradient is formed beside the loss, while its logits are still in
    the cache.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        loss = x.new_zeros((), dtype=torch.float32)
        dx, dweight = torch.empty_like(x), torch.zeros_like(weight, dtype=torch.float32)
        chunk = 256 if x.device.type == "cpu" else 8192  # what a cache holds; what fills a GPU
        for rows in (slice(n, n + chunk) for n in range(0, len(x), chunk)):
            logits, target = (x[rows] @ weight.T).float(), targets[rows, None]
            log_sum = logits.logsumexp(-1, keepdim=True)
            loss += (log_sum - logits.gather(1, target)).sum()
            # d loss / d logits = softmax − one-hot
            error = logits.sub_(log_sum).exp_()
            error.scatter_add_(1, target, error.new_full(target.shape, -1.0))
            error = error.div_(len(x)).to(x.dtype)
            dx[rows] = error @ weight
            dweight += error.T @ x[rows]
        ctx.save_for_backward(dx, dweight.to(weight.dtype))
        return loss / len(x)

    @staticmethod
    def backward(ctx, gradient: Tensor):  # type: ignore[override]
        dx, dweight = ctx.saved_tensors
        scale = gradient.to(dx.dtype)
        return dx * scale, dweight * scale, None


def step_loss(
    model: Mixtral, windows: Tensor, balance: float, z_loss: float
) -> tuple[Tensor, float, float]:
    """Loss to minimise, cross-entropy in nats per token, largest load share of any expert."""
    inputs, targets = windows[:, :-1], windows[:, 1:]
    losses = RouterLosses()
    with model.router_hooks(losses):
        x = model.hidden(inputs.flatten(), [inputs.shape[1]] * len(inputs))
    entropy = HeadLoss.apply(model.norm(x), model.head.weight, targets.flatten())
    loss = entropy + balance * sum(losses.balance) + z_loss * sum(losses.z)
    return loss, entropy.item(), torch.stack(losses.load).max().item()
