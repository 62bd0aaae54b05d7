# SPDX-License-Identifier: Apache-2.0
"""Texts and conversations that tokenizers get wrong: made by a seed, and picked by hand."""

from __future__ import annotations

import random
from collections.abc import Sequence

#: Pieces of the five languages of Mixtral, of code, and of what lies beyond ASCII.
WORDS = (
    "The river froze", "l'été à Noël, déjà", "Größe, Füße und Straße", "¿Qué pasó mañana?",
    "perché è così", "don't I'LL we've", "def f(x):\n\treturn x**2", "<div class='a'>&nbsp;</div>",
    "for (int i=0;i<10;++i){}", "SELECT * FROM t;", "{\"key\": [1, 2.5e-3, null]}", "0123456789",
    "3.14159", "１２３", "½ ² ₃", "中文字符", "日本語のテキスト", "한국어",
    "שלום עולם", "مرحبا بالعالم",
    "हिन्दी", "ไทย", "Ελληνικά", "Кириллица", "😀", "👩‍👩‍👧‍👦", "🇩🇪🇫🇷", "👍🏽", "é", "ﬁ", "İ", "ǅ",
    "Ω", "𝔘𝔫𝔦", "𐍈", "\u200f\u202e", "\ufeff", "\u00ad", "\x00", "\x07\x1b[0m", "\x7f", "\u2028",
    "\r\n", "\n\n\n", "\t\t", " ", "  ", "        ", "\u00a0",
    "\u3000", "▁", "▁▁a", "Ġ", "Ċ", "<0x0A>",
    "<0xE4>", "�", "[INST] hi [/INST]", "[INST]", "[/INST]", "<<SYS>>", "<s>", "</s>", "<unk>",
    "<pad>", "###", "---", "...", "…", "“quoted”", "a" * 40, "ab" * 30, "\\n", "\\u00e9", "://x.y/?q=1#z",
)  # fmt: skip

#: One by one, since a mixture may hide what happens at the ends of a text.
PICKED = (
    *WORDS, *(f" {word}" for word in WORDS[:20]), *(f"{word} " for word in WORDS[:20]),
    " a", "  a", "   a", "a ", "a  ", "\na", " \n a", "\n", "\t", "a\n", "   ", "A" * 500,
    "word " * 50, " ".join("abcdefghijklmnopqrstuvwxyz"), "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢L", "<s>Hello</s>", "<s> [INST] x [/INST]",
)  # fmt: skip


def hard_texts(count: int = 500, names: Sequence[str] = (), seed: int = 15) -> list[str]:
    """So many different texts; `names` are names of tokens that occur in some of them."""
    rng = random.Random(seed)
    texts = dict.fromkeys(PICKED)
    while len(texts) < count:
        words = rng.choices((*WORDS, *names, *names), k=rng.randint(1, 8))
        between = rng.choice(("", " ", " ", "\n", "  "))
        texts[between.join(words)] = None
    return list(texts)[:count]


def conversations(count: int = 50, names: Sequence[str] = (), seed: int = 15) -> list[list[dict]]:
    """So many conversations, the user's message first and last, some with a system prompt."""
    rng = random.Random(seed)
    texts = [t for t in hard_texts(400, names, seed) if t.strip()]
    made = []
    for n in range(count):
        turns = [
            {"role": ("user", "assistant")[i % 2], "content": rng.choice(texts)}
            for i in range(2 * rng.randint(0, 3) + 1)
        ]
        made.append([{"role": "system", "content": rng.choice(texts)}] * (n % 4 == 3) + turns)
    return made
