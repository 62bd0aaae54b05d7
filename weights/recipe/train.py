"""Train 8x7m: from the recipe's tokens to a Hugging Face folder, within a budget of minutes.

In: `WORK/tokens` and `WORK/tokenizer.model` (`corpus.py`, `vocabulary.py`, `tokens.py`). Out: the
folder named by `--out`. The model that is trained is `moe_viz.model.Mixtral` itself; its routers'
logits reach the load-balancing loss through an ordinary router hook. Checkpoints go to
`WORK/train`; a run that was cut off goes on from the last one.

Weights are bf16 with float32 master copies. Each batch is one domain mix of equal shares, drawn as
windows from anywhere in the training text, with BOS put in front.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from moe_viz.checkpoint.safetensors import save_checkpoint
from moe_viz.config import MixtralConfig
from moe_viz.model import Mixtral, initialise
from moe_viz.routing import Routing

DOMAINS = ("en", "fr", "de", "es", "it", "python", "c", "javascript", "html")
BOS = 1
SEED = 20261123  # also the seed of the untrained twin: step 0 of this run
BATCH_TOKENS = 2048
SHORT, LONG = 256, 2048  # window lengths; the last part of the run sees long ones
LONG_FROM = 0.88  # share of the budget after which windows are long
PEAK_RATE, WARM_UP = 2e-3, 100  # learning rate, and steps until it is reached
BALANCE, Z_LOSS = 0.01, 1e-3  # weights of the two router losses, each summed over layers
LONGEST_STEP = 5.0  # seconds: a step that took longer was suspended, and counts as this much


class Corpus:
    """Token streams of the nine domains, and windows drawn from them."""

    def __init__(self, folder: Path, split: str) -> None:
        index = json.loads((folder / "index.json").read_text())
        self.streams = {d: np.memmap(folder / f"{d}.{split}.bin", "<u2", "r") for d in DOMAINS}
        self.bytes = {d: index[f"{d}.{split}"]["bytes"] for d in DOMAINS}

    def window(self, domain: str, start: int, length: int) -> np.ndarray:
        """BOS and `length` tokens: inputs are all but the last, targets all but the first."""
        return np.concatenate(
            ([BOS], self.streams[domain][start : start + length].astype(np.int64))
        )

    def batch(self, rng: np.random.Generator, length: int) -> Tensor:
        """Windows (BATCH_TOKENS / length, length + 1), domains drawn evenly."""
        rows = []
        for n in rng.integers(0, len(DOMAINS), BATCH_TOKENS // length):
            stream = self.streams[DOMAINS[n]]
            start = rng.integers(0, len(stream) - length)
            rows.append(self.window(DOMAINS[n], start, length))
        return torch.from_numpy(np.stack(rows))


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

    CHUNK = 256

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        loss = x.new_zeros((), dtype=torch.float32)
        dx, dweight = torch.empty_like(x), torch.zeros_like(weight, dtype=torch.float32)
        for n in range(0, len(x), HeadLoss.CHUNK):
            rows = slice(n, n + HeadLoss.CHUNK)
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


def step_loss(model: Mixtral, windows: Tensor) -> tuple[Tensor, float, float]:
    """Loss to minimise, cross-entropy in nats per token, largest load share of any expert."""
    inputs, targets = windows[:, :-1], windows[:, 1:]
    losses = RouterLosses()
    with model.router_hooks(losses):
        x = model.hidden(inputs.flatten(), [inputs.shape[1]] * len(inputs))
    entropy = HeadLoss.apply(model.norm(x), model.head.weight, targets.flatten())
    loss = entropy + BALANCE * sum(losses.balance) + Z_LOSS * sum(losses.z)
    return loss, entropy.item(), max(load.max().item() for load in losses.load)


@torch.no_grad()
def bits_per_byte(model: Mixtral, corpus: Corpus, windows: int = 12, length: int = 512) -> dict:
    """A quick look at each domain: evenly spaced windows of the held-out text."""
    result = {}
    for domain, stream in corpus.streams.items():
        starts = np.linspace(0, len(stream) - length, windows).astype(int)
        rows = torch.from_numpy(np.stack([corpus.window(domain, s, length) for s in starts]))
        logits = model(rows[:, :-1].flatten(), [length] * windows)
        assert logits is not None
        nats = functional.cross_entropy(logits.float(), rows[:, 1:].flatten()).item()
        result[domain] = nats / math.log(2) * len(stream) / corpus.bytes[domain]
    return result


class Trainer:
    """Model, float32 masters, optimiser and the state that makes a run resumable."""

    def __init__(self, config: MixtralConfig, minutes: float) -> None:
        self.budget = minutes * 60
        self.model = initialise(Mixtral(config), SEED).to(torch.bfloat16)
        self.weights = list(self.model.parameters())
        self.masters = [w.detach().float() for w in initialise(Mixtral(config), SEED).parameters()]
        for weight, master in zip(self.weights, self.masters, strict=True):
            weight.grad = torch.zeros_like(weight)
            master.grad = torch.zeros_like(master)
        matrices = [m for m in self.masters if m.ndim > 1]
        vectors = [m for m in self.masters if m.ndim == 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
            lr=PEAK_RATE,
            betas=(0.9, 0.95),
            fused=True,
        )
        self.rng = np.random.default_rng(SEED)
        self.step = 0
        self.spent = 0.0  # seconds of the budget

    def learning_rate(self) -> float:
        """Warm-up by steps, then a cosine over the budget, down to a hundredth."""
        done = min(self.spent / self.budget, 1.0)
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))
        return PEAK_RATE * min(1.0, (self.step + 1) / WARM_UP) * cosine

    def train_step(self, corpus: Corpus) -> dict:
        began = time.perf_counter()
        length = LONG if self.spent > LONG_FROM * self.budget else SHORT
        for weight in self.weights:
            weight.grad.zero_()
        loss, entropy, load = step_loss(self.model, corpus.batch(self.rng, length))
        loss.backward()
        with torch.no_grad():
            gradients = [m.grad for m in self.masters]
            torch._foreach_copy_(gradients, [w.grad for w in self.weights])
            torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
            for group in self.optimiser.param_groups:
                group["lr"] = self.learning_rate()
            self.optimiser.step()
            torch._foreach_copy_(self.weights, self.masters)
        self.step += 1
        self.spent += min(time.perf_counter() - began, LONGEST_STEP)
        return {"step": self.step, "spent": self.spent, "entropy": entropy, "max_load": load}

    def save(self, path: Path) -> None:
        state = {
            "masters": self.masters,
            "optimiser": self.optimiser.state_dict(),
            "rng": json.dumps(self.rng.bit_generator.state),
            "step": self.step,
            "spent": self.spent,
        }
        torch.save(state, path.with_suffix(".partial"))
        os.replace(path.with_suffix(".partial"), path)

    def load(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        with torch.no_grad():
            torch._foreach_copy_(self.masters, state["masters"])
            torch._foreach_copy_(self.weights, self.masters)
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.step, self.spent = state["step"], state["spent"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the recipe's folder")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished weights")
    args = parser.parse_args()

    torch.manual_seed(SEED)
    config = MixtralConfig.preset("8x7m")
    training = Corpus(args.work / "tokens", "train")
    held_out = Corpus(args.work / "tokens", "held_out")
    folder = args.work / "train"
    folder.mkdir(exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    trainer = Trainer(config, args.minutes)
    if checkpoint.exists():
        trainer.load(checkpoint)
        print(f"resumed at step {trainer.step}, {trainer.spent / 60:.1f} minutes in", flush=True)

    saved = looked = trainer.spent
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        while trainer.spent < trainer.budget:
            row = trainer.train_step(training)
            if trainer.spent - looked > min(300, trainer.budget / 5):
                looked = trainer.spent
                row["held_out"] = bits_per_byte(trainer.model, held_out)
            if trainer.spent - saved > 120:
                saved = trainer.spent
                trainer.save(checkpoint)
            if row["step"] % 20 == 0 or "held_out" in row:
                line = json.dumps(row)
                print(line, flush=True)
                log.write(line + "\n")
                log.flush()
    trainer.save(checkpoint)
    save_checkpoint(trainer.model, args.out, tokenizer=args.work / "tokenizer.model")
    tokens = trainer.step * BATCH_TOKENS
    print(f"{trainer.step} steps, {tokens / 1e6:.1f} M tokens, written to {args.out}")


if __name__ == "__main__":
    main()
