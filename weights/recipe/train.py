"""Train 8x7m: from the recipe's tokens to a Hugging Face folder, within a budget of minutes.

In: `WORK/tokens` and `WORK/tokenizer.model` (`corpus.py`, `vocabulary.py`, `tokens.py`). Out: the
folder named by `--out`. The model that is trained is `moe_viz.model.Mixtral` itself; its routers'
logits reach the load-balancing loss through an ordinary router hook. Checkpoints go to
`WORK/train`; a run that was cut off goes on from the last one.

Weights are bf16 with float32 master copies. Each batch is one domain mix of equal shares, drawn as
windows from anywhere in the training text, with BOS put in front. What `compare.py` varies stands
in `Settings`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from dataclasses import dataclass
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
SHORT, LONG = 256, 2048  # window lengths; the last part of the run sees long ones
LONG_FROM = 0.88  # share of the budget after which windows are long
WARM_UP = 100  # steps until the learning rate is reached
LONGEST_STEP = 5.0  # seconds: a step that took longer was suspended, and counts as this much


@dataclass(frozen=True)
class Settings:
    """What may well be chosen otherwise."""

    optimiser: str = "adamw"  # or "muon", for the matrices inside the layers but for the routers
    rate: float = 2e-3  # peak learning rate
    batch: int = 2048  # tokens of a step
    balance: float = 0.01  # weight of the load-balancing loss, summed over layers
    z_loss: float = 1e-3  # weight of the routers' z-loss, summed over layers
    embedding: float = 0.02  # deviation of the embedding at step 0
    matrices: str = "gpt2"  # deviation of the others at step 0: 0.02, writes smaller; or "torch"


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

    def batch(self, rng: np.random.Generator, tokens: int, length: int) -> Tensor:
        """Windows (tokens / length, length + 1), domains drawn evenly."""
        rows = []
        for n in rng.integers(0, len(DOMAINS), tokens // length):
            stream = self.streams[DOMAINS[n]]
            start = int(rng.integers(0, len(stream) - length))
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


def step_loss(model: Mixtral, windows: Tensor, settings: Settings) -> tuple[Tensor, float, float]:
    """Loss to minimise, cross-entropy in nats per token, largest load share of any expert."""
    inputs, targets = windows[:, :-1], windows[:, 1:]
    losses = RouterLosses()
    with model.router_hooks(losses):
        x = model.hidden(inputs.flatten(), [inputs.shape[1]] * len(inputs))
    entropy = HeadLoss.apply(model.norm(x), model.head.weight, targets.flatten())
    loss = entropy + settings.balance * sum(losses.balance) + settings.z_loss * sum(losses.z)
    return loss, entropy.item(), torch.stack(losses.load).max().item()


@torch.no_grad()
def bits_per_byte(model: Mixtral, corpus: Corpus, windows: int = 12, length: int = 512) -> dict:
    """A quick look at each domain: evenly spaced windows of the held-out text."""
    result = {}
    for domain, stream in corpus.streams.items():
        starts = np.linspace(0, len(stream) - length, windows).astype(int)
        rows = torch.from_numpy(np.stack([corpus.window(domain, s, length) for s in starts]))
        logits = model(rows[:, :-1].flatten(), [length] * windows)
        assert logits is not None
        nats = functional.cross_entropy(logits.float().cpu(), rows[:, 1:].flatten()).item()
        result[domain] = nats / math.log(2) * len(stream) / corpus.bytes[domain]
    return result


def first_step(config: MixtralConfig, settings: Settings) -> Mixtral:
    """The model before any training: the untrained twin of what will become of it."""
    model = initialise(Mixtral(config), SEED)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.startswith("embedding."):
                weight.mul_(settings.embedding / weight.std())
            elif weight.ndim == 2 and settings.matrices == "torch":
                # The deviation of torch's nn.Linear, whose numbers are uniform.
                weight.mul_((3 * weight.shape[1]) ** -0.5 / weight.std())
    return model


class Trainer:
    """Model, float32 masters, optimisers and the state that makes a run resumable."""

    def __init__(self, config: MixtralConfig, settings: Settings, device: str = "cpu") -> None:
        self.settings, self.device = settings, device
        self.model = first_step(config, settings).to(device)
        self.masters = [w.detach().clone() for w in self.model.parameters()]
        self.weights = list(self.model.to(torch.bfloat16).parameters())
        self.optimisers = self._optimisers()
        self.rng = np.random.default_rng(SEED)
        self.step = 0
        self.spent = 0.0  # seconds of the budget

    def _optimisers(self) -> list[torch.optim.Optimizer]:
        names = [name for name, _ in self.model.named_parameters()]
        muon, matrices, vectors = [], [], []
        for name, master in zip(names, self.masters, strict=True):
            inner = name.startswith("layers.") and ".router." not in name and master.ndim == 2
            if inner and self.settings.optimiser == "muon":
                muon.append(master)
            else:
                (matrices if master.ndim == 2 else vectors).append(master)
        optimisers: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [
                    {"params": matrices, "weight_decay": 0.1},
                    {"params": vectors, "weight_decay": 0.0},
                ],
                betas=(0.9, 0.95),
                fused=True,
            )
        ]
        if muon:
            optimisers.append(torch.optim.Muon(muon, adjust_lr_fn="match_rms_adamw"))
        return optimisers

    def learning_rate(self, done: float) -> float:
        """Warm-up by steps, then a cosine over the budget, down to a hundredth."""
        cosine = 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
        return self.settings.rate * min(1.0, (self.step + 1) / WARM_UP) * cosine

    def train_step(self, corpus: Corpus, done: float) -> dict:
        """One step, with this share of the budget done."""
        began = time.perf_counter()
        length = LONG if done > LONG_FROM else SHORT
        windows = corpus.batch(self.rng, self.settings.batch, length)
        loss, entropy, load = step_loss(self.model, windows.to(self.device), self.settings)
        loss.backward()
        for weight, master in zip(self.weights, self.masters, strict=True):
            # No gradient: an expert that no token of this batch went to.
            master.grad = None if weight.grad is None else weight.grad.float()
            weight.grad = None
        torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        for optimiser in self.optimisers:
            for group in optimiser.param_groups:
                group["lr"] = self.learning_rate(done)
            optimiser.step()
        self.copy_masters()
        self.step += 1
        self.spent += min(time.perf_counter() - began, LONGEST_STEP)
        return {"step": self.step, "spent": self.spent, "entropy": entropy, "max_load": load}

    @torch.no_grad()
    def copy_masters(self) -> None:
        """Bring the weights that compute up to date."""
        for weight, master in zip(self.weights, self.masters, strict=True):
            weight.copy_(master)

    def save(self, path: Path) -> None:
        state = {
            "masters": self.masters,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "rng": json.dumps(self.rng.bit_generator.state),
            "step": self.step,
            "spent": self.spent,
        }
        torch.save(state, path.with_suffix(".partial"))
        os.replace(path.with_suffix(".partial"), path)

    def load(self, path: Path) -> None:
        state = torch.load(path, map_location=self.device, weights_only=True)
        for master, saved in zip(self.masters, state["masters"], strict=True):
            master.copy_(saved)
        self.copy_masters()
        for optimiser, saved in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        self.rng.bit_generator.state = json.loads(state["rng"])
        self.step, self.spent = state["step"], state["spent"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="the recipe's folder")
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, required=True, help="folder of the finished weights")
    parser.add_argument("--device", default="cpu", help="cpu, or cuda with a batch that fills it")
    parser.add_argument("--batch", type=int, default=Settings.batch, help="tokens of a step")
    args = parser.parse_args()

    torch.manual_seed(SEED)
    config = MixtralConfig.preset("8x7m")
    training = Corpus(args.work / "tokens", "train")
    held_out = Corpus(args.work / "tokens", "held_out")
    folder = args.work / "train"
    folder.mkdir(exist_ok=True)
    checkpoint = folder / "checkpoint.pt"
    settings, budget = Settings(batch=args.batch), args.minutes * 60
    trainer = Trainer(config, settings, args.device)
    if checkpoint.exists():
        trainer.load(checkpoint)
        print(f"resumed at step {trainer.step}, {trainer.spent / 60:.1f} minutes in", flush=True)

    saved = looked = trainer.spent
    with open(folder / "log.jsonl", "a", encoding="utf-8") as log:
        while trainer.spent < budget:
            row = trainer.train_step(training, trainer.spent / budget)
            if trainer.spent - looked > min(300, budget / 5):
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
    tokens = trainer.step * settings.batch
    print(f"{trainer.step} steps, {tokens / 1e6:.1f} M tokens, written to {args.out}")


if __name__ == "__main__":
    main()
