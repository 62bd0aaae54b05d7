# SPDX-License-Identifier: Apache-2.0
"""The prose of `stories.py`: fetched, read, cleaned, split, counted; after `corpus.py`.

In: DIR as `corpus.py` leaves it.  Out: DIR/prose/<language>/train.jsonl and held_out.jsonl, in the
form of the corpus, DIR/prose/summary.json, and the table in `SOURCES.md`.

Version two's corpus and its held-out files stay as they are: what stands there already is left out
here.  Held out is a fixed share of blocks, chosen by their names alone: a block's translations are
held out with it, and another version of a package holds out the same blocks.

    python weights/recipe/prose.py --work DIR
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from multiprocessing import Pool
from pathlib import Path

import archives
import story_readers
from corpus import PROCESSES, read, write
from filters import Paragraphs, in_language, without_addresses
from held_out import size
from sources import LANGUAGES, Row
from stories import STORIES
from unseen import Unseen

SOURCE_CAP = 5_000_000  # bytes of one source in one language
CAPS = {"anarchism": 2_500_000, "state-of-the-union": 2_500_000, "service-public": 2_000_000}
HELD_OUT = 0.06  # share of blocks
_LANGUAGE = re.compile(r"(?<![A-Za-z])(?:en|fr|de|es|it)(?:[_-][A-Za-z]{2})?(?![A-Za-z])")


def block_name(row: Row, file: str, block: str) -> str:
    """What a block is called, the same in all languages.

    >>> row = Row("game", "fr", "deb", ("game-data",), (), "po", "GPL")
    >>> block_name(row, "l10n/fr_FR.po", "quests/rats.txt")
    'game/l10n/*.po#quests/rats.txt'
    """
    return f"{row.source}/{_LANGUAGE.sub('*', file)}#{block}"


def is_held_out(name: str) -> bool:
    """By the block's name alone."""
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest) < HELD_OUT * 2**64


def extract(work: Path) -> None:
    jobs = sorted({(row.registry, p, work) for row in STORIES for p in row.packages})
    with Pool(PROCESSES) as pool:
        for line in pool.imap_unordered(archives.extract, jobs):
            if line:
                print(line, flush=True)


def blocks(work: Path, row: Row) -> Iterator[dict]:
    """The blocks of one source in one language, clean."""
    read_file = getattr(story_readers, row.cleaner)
    for package in row.packages:
        with zipfile.ZipFile(archives.zip_path(work, row.registry, package)) as files:
            for file in sorted(files.namelist()):
                if not archives.matches(file, row.globs):
                    continue
                try:
                    found = read_file(files.read(file))
                except (OSError, UnicodeDecodeError, ValueError) as error:
                    print(f"  skipped {file}: {type(error).__name__}")
                    continue
                for block, paragraphs in found:
                    text = "\n\n".join(p for p in paragraphs if not set(p) & set("\ufffd\0\u2581"))
                    clean = in_language(without_addresses(text), row.domain)
                    if clean:
                        name = block_name(row, file, block)
                        yield {"source": row.source, "file": name, "text": clean}


def _build(job: tuple[Path, str]) -> tuple[str, dict]:
    """Both splits of one language, and their sizes."""
    work, language = job
    target = work / "prose" / language
    paragraphs, ours = Paragraphs(), Unseen()
    documents: list[dict] = []
    for row in STORIES:
        if row.domain == language:
            found = sorted(blocks(work, row), key=lambda d: _order(d["file"]))
            documents += found
            for document in found:
                paragraphs.count(document["text"])
    for document in read(work / "unique" / f"{language}.jsonl"):
        paragraphs.count(document["text"])
        paragraphs.first_only(document["text"])  # stands in version two's corpus: not again here
    splits, left = {"train": [], "held_out": []}, {}
    for document in documents:
        source = document["source"]
        text = "\n\n".join(
            p for p in paragraphs.first_only(document["text"]).split("\n\n") if not ours.shares(p)
        )
        room = left.setdefault(source, CAPS.get(source, SOURCE_CAP))
        if size(text) < 200 or size(text) > room:
            continue
        left[source] -= size(text)
        split = "held_out" if is_held_out(document["file"]) else "train"
        splits[split].append({**document, "text": text})
    summary = {}
    for split, rows in splits.items():
        write(target / f"{split}.jsonl", rows)
        sizes: dict[str, int] = defaultdict(int)
        for document in rows:
            sizes[document["source"]] += size(document["text"])
        summary[split] = {"bytes": sum(sizes.values()), "documents": len(rows), "sources": sizes}
    print(f"prose {language}: {ours.found} paragraphs of ours left out", flush=True)
    return language, summary


def _order(name: str) -> str:
    """Blocks of a source in hash order: so its cap takes some of every part."""
    return hashlib.blake2b(name.encode(), digest_size=8, salt=b"order").hexdigest()


def build(work: Path) -> None:
    with Pool(PROCESSES) as pool:
        summary = dict(pool.imap(_build, [(work, language) for language in LANGUAGES]))
    (work / "prose" / "summary.json").write_text(json.dumps(summary, indent=1))
    for language, splits in summary.items():
        train, held = splits["train"], splits["held_out"]
        print(
            f"prose {language}: {train['bytes'] / 1e6:.2f} MB train, {held['bytes'] / 1e3:.0f} kB "
            f"held out in {held['documents']} blocks",
            flush=True,
        )


def table(work: Path) -> str:
    """What went in, in which version, under which licence: a part of SOURCES.md."""
    summary = json.loads((work / "prose" / "summary.json").read_text())
    out = [
        "| source | language | clean MB | licence | package and version |",
        "|---|---|--:|---|---|",
    ]
    for row in STORIES:
        splits = summary[row.domain].values()
        bytes_ = sum(split["sources"].get(row.source, 0) for split in splits)
        if bytes_:
            names = (
                f"{archives.bare(p)} {archives.version_of(work / 'download', row.registry, p)}"
                for p in row.packages
            )
            out.append(
                f"| {row.source} ({row.registry}) | {row.domain} | {bytes_ / 1e6:.2f} | "
                f"{row.licence} | {', '.join(names)} |"
            )
    return "\n".join(out) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the part of the corpus that is prose.")
    parser.add_argument("--work", type=Path, required=True, help="the folder corpus.py filled")
    work = parser.parse_args().work.resolve()
    began = time.monotonic()
    missing = archives.fetch(work)
    if missing:
        print("not available, left out:", " ".join(missing))
    extract(work)
    build(work)
    path = Path(__file__).parent / "SOURCES.md"
    before, begin, rest = path.read_text().partition("<!-- prose -->\n")
    _, end, after = rest.partition("<!-- /prose -->")
    path.write_text(before + begin + table(work) + end + after)
    print(f"prose: {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
