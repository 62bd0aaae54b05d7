# SPDX-License-Identifier: Apache-2.0
"""What a Mixtral costs, counted exactly: parameters, bytes, FLOPs and cache, part by part.

In: a `MixtralConfig` or the name of a preset. Out: a `Ledger` of whole numbers. Nothing is
measured or estimated here, and torch is not needed: this is the arithmetic that a reader can redo
by hand, and the tests compare it with the bytes of real files. What other families cost is counted
on their own modules, and has its place here as a `GuestLedger`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from .config import PRESETS, MixtralConfig
from .errors import ConfigError, refused

#: Bytes of one stored number.
DTYPE_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}

#: Mistral 7B (arXiv 2310.06825), the dense model that the name "8x7B" points at.
MISTRAL_7B = 7_241_732_096


@dataclass(frozen=True)
class Part:
    """One kind of tensor: how many parameters there are of it, and how many a token uses."""

    name: str
    total: int
    active: int


@dataclass(frozen=True)
class Blocks:
    """The blocks of one decoder layer with experts, and the parameters of each."""

    layer: int  # the model's number of it
    width: int  # D: a token's state is so many numbers
    attention: int
    norm: int  # of each of the two
    router: int
    expert: int  # of one expert
    experts: int  # E
    chosen: int  # k
    shared: int = 0  # of experts that every token uses
    rest: int = 0  # of what is none of these
    dense: tuple[int, ...] = ()  # the model's layers that have no experts


@dataclass(frozen=True)
class Ledger:
    """The exact counts of one configuration.

    >>> ledger("mixtral-8x7b").total, ledger("mixtral-8x7b").active
    (46702792704, 12879925248)
    """

    config: MixtralConfig

    @property
    def name(self) -> str:
        """What the configuration is called."""
        return self.config.name

    @property
    def choice(self) -> str:
        """Which experts a token goes to, for a sentence."""
        c = self.config
        return f"{c.experts_per_token} of {c.experts} experts in each of its {c.layers} layers"

    # One layer. The letters are those of `MixtralConfig`.

    @property
    def attention(self) -> int:
        """Parameters of wq, wk, wv and wo in one layer."""
        c = self.config
        return 2 * c.hidden_size * c.head_dim * (c.heads + c.kv_heads)

    @property
    def expert(self) -> int:
        """Parameters of one expert of one layer: w1, w2 and w3, a single feed-forward block."""
        return 3 * self.config.hidden_size * self.config.expert_size

    @property
    def router(self) -> int:
        """Parameters of one layer's router: one row for each expert."""
        return self.config.hidden_size * self.config.experts

    @property
    def norms(self) -> int:
        """Parameters of one layer's two RMSNorms."""
        return 2 * self.config.hidden_size

    @property
    def layer(self) -> int:
        """Parameters of one whole layer."""
        return self.attention + self.config.experts * self.expert + self.router + self.norms

    def blocks(self, layer: int | None = None) -> Blocks:
        """One layer, block by block; the first by default.

        Raises `ConfigError` for a layer that the model has not.

        >>> ledger("mixtral-8x7b").blocks(7).expert
        176160768
        """
        c, layer = self.config, 0 if layer is None else layer
        if layer not in range(c.layers):
            raise ConfigError(f"layer must be one of 0 … {c.layers - 1}, found {layer!r}.")
        return Blocks(layer, c.hidden_size, self.attention, self.norms // 2, self.router,
                      self.expert, c.experts, c.experts_per_token)  # fmt: skip

    # The whole model.

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """Every parameter of the model under one of six names.

        >>> for part in ledger("mixtral-8x7b").parts:
        ...     print(f"{part.name:12}{part.total:>15,}{part.active:>15,}")
        embedding       131,072,000    131,072,000
        attention     1,342,177,280  1,342,177,280
        routers           1,048,576      1,048,576
        experts      45,097,156,608 11,274,289,152
        norms               266,240        266,240
        output head     131,072,000    131,072,000
        """
        c = self.config
        table = c.vocab_size * c.hidden_size
        attention, routers = c.layers * self.attention, c.layers * self.router
        norms = c.layers * self.norms + c.hidden_size
        experts = c.layers * self.expert
        return (
            Part("embedding", table, table),
            Part("attention", attention, attention),
            Part("routers", routers, routers),
            Part("experts", experts * c.experts, experts * c.experts_per_token),
            Part("norms", norms, norms),
            Part("output head", table, table),
        )

    @property
    def total(self) -> int:
        """Parameters that must be stored."""
        return sum(part.total for part in self.parts)

    @property
    def active(self) -> int:
        """Parameters that one token uses, both embedding tables counted whole."""
        return sum(part.active for part in self.parts)

    @property
    def shared(self) -> int:
        """Parameters that every token uses: everything but the experts."""
        return sum(part.total for part in self.parts if part.name != "experts")

    def bytes(self, dtype: str = "bfloat16") -> int:
        """Bytes of all weights stored in `dtype`: float32, float16, bfloat16 or int8."""
        return self.total * bytes_of(dtype)

    def cache_per_token(self, dtype: str = "bfloat16") -> int:
        """Bytes of keys and values that each token of the context keeps.

        >>> ledger("mixtral-8x7b").cache_per_token()
        131072
        """
        c = self.config
        return 2 * c.layers * c.kv_heads * c.head_dim * bytes_of(dtype)

    def flops_per_token(self, attended: int = 0, head: bool = True) -> int:
        """Floating-point operations of one token's forward pass, a multiply-add counted as two.

        `attended` is the number of positions its attention looks at: their scores and weighted
        sums are added. Norms, softmaxes and activations are left out, as is usual.

        >>> account = ledger("mixtral-8x7b")
        >>> account.flops_per_token(head=False), account.flops_per_token()
        (25235030016, 25497174016)
        >>> account.flops_per_token(attended=1) - account.flops_per_token()
        524288
        """
        c = self.config
        per_layer = self.attention + self.router + c.experts_per_token * self.expert
        scores = 4 * c.layers * c.heads * c.head_dim * attended
        output = 2 * c.vocab_size * c.hidden_size if head else 0
        return 2 * c.layers * per_layer + output + scores

    @cached_property
    def dense_twin(self) -> int:
        """Parameters of the dense model that the name points at: one expert, and no router.

        For Mixtral 8x7B this is Mistral 7B to the parameter; eight times it is *not* Mixtral.

        >>> ledger("mixtral-8x7b").dense_twin == MISTRAL_7B
        True
        """
        c = self.config
        spare = (c.experts - 1) * self.expert + self.router
        return self.total - c.layers * spare


@dataclass(frozen=True)
class GuestLedger:
    """The counts of one configuration of another family."""

    name: str
    parts: tuple[Part, ...]
    experts: dict[int, int] = field(default_factory=dict)  # parameters, by the layer's number
    choices: dict[int, tuple[int, int]] = field(default_factory=dict)  # by layer: k of E
    layers: int = 0  # of the model, those without experts too
    by_layer: dict[int, Blocks] = field(default_factory=dict)  # those with experts

    def blocks(self, layer: int | None = None) -> Blocks:
        """One layer with experts, block by block; the first by default.

        Raises `ConfigError` for a layer that has no experts, or that the model has not.
        """
        wanted = next(iter(self.by_layer), None) if layer is None else layer
        if wanted not in self.by_layer:
            raise ConfigError(
                f"layer must be one of those with experts ({', '.join(map(str, self.by_layer))}), "
                f"found {layer!r}."
            )
        return self.by_layer[wanted]

    @property
    def choice(self) -> str:
        """Which experts a token goes to, for a sentence.

        >>> GuestLedger("a guest", (), choices={1: (8, 64), 2: (8, 64)}).choice
        '8 of 64 experts in each of 2 layers'
        """
        kinds = list(dict.fromkeys(self.choices.values()))
        counts = [sum(choice == kind for choice in self.choices.values()) for kind in kinds]
        return " and ".join(
            f"{k} of {E} experts in each of {n} layers"
            for (k, E), n in zip(kinds, counts, strict=True)
        )

    @property
    def total(self) -> int:
        """Parameters that must be stored."""
        return sum(part.total for part in self.parts)

    @property
    def active(self) -> int:
        """Parameters that a token of a text uses, both embedding tables counted whole."""
        return sum(part.active for part in self.parts)

    @property
    def shared(self) -> int:
        """Parameters that every token uses: everything but the chosen experts."""
        return sum(part.active for part in self.parts if part.name != "experts")

    def bytes(self, dtype: str = "bfloat16") -> int:
        """Bytes of all weights stored in `dtype`: float32, float16, bfloat16 or int8."""
        return self.total * bytes_of(dtype)

    def expert_bytes(self, dtype: str = "bfloat16") -> dict[int, int]:
        """Bytes of all experts of each layer that has some."""
        return {layer: count * bytes_of(dtype) for layer, count in self.experts.items()}


def ledger(model: str | MixtralConfig) -> Ledger:
    """The ledger of a preset (`"mixtral-8x7b"`, `"mixtral-8x22b"`, `"8x7m"`) or of a config.

    >>> f"{ledger('8x7m').total:,}"
    '24,263,936'
    """
    if isinstance(model, str):
        return Ledger(MixtralConfig.preset(model))
    if not isinstance(model, MixtralConfig):
        raise refused(
            "ledger", f"a MixtralConfig, or the name of a preset ({', '.join(PRESETS)})", model,
            "Of a loaded model: ledger(model.config).",
        )  # fmt: skip
    return Ledger(model)


def bytes_of(dtype: str) -> int:
    """Bytes of one number of a dtype. Raises `ConfigError` for one that is not known here."""
    try:
        return DTYPE_BYTES[dtype]
    except KeyError:
        raise ConfigError(
            f"dtype must be one of {', '.join(DTYPE_BYTES)}, found {dtype!r}."
        ) from None
