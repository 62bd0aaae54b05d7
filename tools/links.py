# SPDX-License-Identifier: Apache-2.0
"""Do sentences about other people's work name their source, and do addresses answer?

In: the course's text and the README. Out: sentences that name another model, paper or program, hold
a number, a comparison, "first" or "only", and have no source within their paragraph; numbers of
papers that the reading list does not have. With a network, `make links` also asks for every address
outside.

    python tools/links.py [--ask]
"""

from __future__ import annotations

import argparse
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jupytext

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
READING = FOLDER / "READING.md"
#: Other people's models, papers and programs, by name.
NAMED = re.compile(
    r"\b(?:Llama|GPT|Switch(?! off)|GShard|GLaM|ST-MoE|OLMoE|DeepSeek|Qwen|Granite|gpt-oss"
    r"|Phi-\d|Mistral|vLLM|SGLang|llama\.cpp|TheBloke|MT-Bench|MegaBlocks|PaLM|Gemini|Claude|NVIDIA|[ATH]\d00?"
    r"|[Pp]aper|[Aa]nnouncement|[Pp]ublished|[Rr]eported)\b"
)
#: What makes a sentence a claim that one would want to look up. Numbers in names do not.
CLAIM = re.compile(
    r"\d|\b(?:first|only|more|less|fewer|better|worse|best|worst|faster|slower|larger|smaller|twice"
    r"|half|third|most|least|than|never|always|ahead|behind|two|three|four)\b"
)
_NUMBERED = re.compile(
    r"8x\d+[Bm]|(?:Llama|Mistral) ?\d?(?: \d+B)?|GPT-[\d.]+|\[\d\d\]|\(\d\d_\w+\.ipynb\)|V\d|Qwen\d"
    r"|notebooks? \d\d|sections? \d+(?: and \d+)?|[ATH]\d00?|\*\*.*?\*\*:"
)
_CODE = re.compile(r"`[^`]*`|\bon paper\b")
#: A source: an address, a paper's number on arXiv, the reading list, a notebook that has it.
SOURCE = re.compile(r"\b\d{4}\.\d{5}\b|https?://|(?:READING|families)\.md|\]\(\d\d_\w+\.ipynb\)")
PAPER = re.compile(r"\b\d{4}\.\d{5}\b")
ADDRESS = re.compile(r"https?://[^\s)>\"`]+[^\s)>\"`.,;:]")


def texts() -> dict[str, str]:
    """What is checked: README and course, as Markdown, by file name."""
    found = {p.name: p.read_text("utf-8") for p in (ROOT / "README.md", *FOLDER.glob("*.md"))}
    found["notebooks/README.md"] = (FOLDER / "README.md").read_text("utf-8")
    found["README.md"] = (ROOT / "README.md").read_text("utf-8")
    for path in sorted(FOLDER.glob("[0-9][0-9]_*.py")):
        cells = jupytext.read(path).cells
        found[path.name] = "\n\n".join(c.source for c in cells if c.cell_type == "markdown")
    return found


def paragraphs(text: str) -> Iterator[str]:
    """Paragraphs and entries of lists, of text and of slides' short forms, each on one line."""
    text = re.sub(r"```.*?```", "", text, flags=re.S)
    text = re.sub(r"^(?:<!-- slide|-->|#.*|\|.*)$", "\n", text, flags=re.M)
    for block in re.split(r"\n\s*\n|\n(?=[-*] )", text):
        if line := " ".join(block.split()):
            yield line


def unsourced(text: str) -> list[str]:
    """Claims about others without a source in their paragraph.

    >>> unsourced("Switch trains seven times as fast, 7 at best. So do we.")
    ['Switch trains seven times as fast, 7 at best.']
    >>> unsourced("Switch is 7 times as fast (arXiv 2101.03961).")
    []
    """
    found = []
    for paragraph in paragraphs(text):
        if SOURCE.search(paragraph):
            continue
        for sentence in re.split(r"(?<=[.!?:])\s+(?=[A-Z*`\[(])", _CODE.sub("", paragraph)):
            if NAMED.search(sentence) and CLAIM.search(_NUMBERED.sub("", sentence)):
                found.append(sentence)
    return found


def unlisted(text: str) -> list[str]:
    """Numbers of papers that the reading list does not have."""
    listed = set(PAPER.findall(READING.read_text("utf-8")))
    return sorted(set(PAPER.findall(text)) - listed)


def addresses() -> dict[str, str]:
    """Every address outside, and where it was first seen; papers by their number too."""
    found: dict[str, str] = {}
    for name, text in texts().items():
        for address in ADDRESS.findall(text):
            if not re.match(r"https?://(?:localhost|127\.0\.0\.1|example\.)", address):
                found.setdefault(address, name)
    return found


def answer(address: str) -> str:
    """What is wrong with an address; nothing where it answers."""
    request = urllib.request.Request(address, headers={"User-Agent": "Mozilla/5.0 (links)"})
    try:
        with urllib.request.urlopen(request, timeout=20) as reply:
            return "" if reply.status < 400 else f"status {reply.status}"
    except (OSError, ValueError) as error:
        return str(error)


def main() -> None:
    """Say what lacks a source; with --ask, which addresses do not answer."""
    parser = argparse.ArgumentParser(description="Sources and addresses of the course.")
    parser.add_argument("--ask", action="store_true", help="ask for every address outside")
    wrong = 0
    asked = parser.parse_args().ask
    for name, text in texts().items():
        for line in [*unsourced(text), *(f"{n} is not in READING.md" for n in unlisted(text))]:
            print(f"{name}: {line}")
            wrong += 1
    known = addresses()
    if asked:
        with ThreadPoolExecutor(8) as pool:
            for (address, name), said in zip(known.items(), pool.map(answer, known), strict=True):
                if said:
                    print(f"{name}: {address}: {said}")
                    wrong += 1
    else:
        print(f"{len(known)} addresses outside: not checked here")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
