# SPDX-License-Identifier: Apache-2.0
"""Build the training corpus: download, extract, clean, de-duplicate, split, list the sources.

In: sources.py and the network.  Out, under DIR (--work): corpus/<domain>/train.jsonl and
held_out.jsonl, one {"source", "file", "text"} per line, corpus/summary.json; and SOURCES.md beside
this file.  A stage skips what is already there; delete a stage's folder to do it again.

    python weights/recipe/corpus.py --work DIR
"""

from __future__ import annotations

import argparse
import json
import os
import time
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from multiprocessing import Pool
from pathlib import Path

import archives
import cleaners
from filters import Lines, Paragraphs, in_language, is_written_by_hand, without_addresses
from held_out import hash_of, held_out, parts, size
from sources import DOMAINS, LANGUAGES, ROWS, Row

SOURCE_CAP = 5_000_000  # bytes of one source in one domain
PROCESSES = 2


def write(path: Path, documents: Iterable[dict]) -> None:
    """Atomically: a file that is there is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8") as out:
        for document in documents:
            out.write(json.dumps(document, ensure_ascii=False) + "\n")
    os.replace(partial, path)


def read(path: Path) -> Iterator[dict]:
    """The documents of one .jsonl file."""
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def download(work: Path) -> None:
    missing = archives.fetch(work)
    if missing:
        print("not available, left out:", " ".join(missing))


def extract(work: Path) -> None:
    (work / "extract").mkdir(exist_ok=True)
    jobs = sorted({(row.registry, p, work) for row in ROWS for p in row.packages})
    with Pool(PROCESSES) as pool:
        for line in pool.imap_unordered(archives.extract, jobs):
            if line:
                print(line, flush=True)


def _clean_path(work: Path, row: Row) -> Path:
    return work / "clean" / row.domain / f"{row.source}.jsonl"


def _clean_row(job: tuple[Path, Row]) -> str:
    work, row = job
    target = _clean_path(work, row)
    if target.exists():
        return ""

    def documents() -> Iterator[dict]:
        for package in row.packages:
            with zipfile.ZipFile(archives.zip_path(work, row.registry, package)) as files:
                for name in sorted(files.namelist()):
                    if not archives.matches(name, row.globs):
                        continue
                    text = _clean(files.read(name), row)
                    if text:
                        yield {"source": row.source, "file": f"{package}/{name}", "text": text}

    write(target, documents())
    return f"clean {row.domain} {row.source}: {target.stat().st_size / 1e6:.2f} MB"


def _clean(data: bytes, row: Row) -> str | None:
    try:
        text = getattr(cleaners, row.cleaner)(data)
    except (AssertionError, OSError, UnicodeDecodeError, ValueError) as error:
        print(f"  skipped a file of {row.source}: {error!r}")
        return None
    # U+2581 stands for a space inside SentencePiece, so it would not survive a round trip.
    if any(c in text for c in "\ufffd\0\u2581"):
        return None
    if row.domain in LANGUAGES:
        return in_language(without_addresses(text), row.domain)
    return text if size(text) > 300 and is_written_by_hand(text, row.domain) else None


def clean(work: Path) -> None:
    with Pool(PROCESSES) as pool:
        for line in pool.imap_unordered(_clean_row, [(work, row) for row in ROWS]):
            if line:
                print(line, flush=True)


def _deduplicate(job: tuple[Path, str]) -> str:
    """DIR/unique/<domain>.jsonl: every source up to its cap, its files in hash order."""
    work, domain = job
    target = work / "unique" / f"{domain}.jsonl"
    if target.exists():
        return ""
    paths = [_clean_path(work, row) for row in ROWS if row.domain == domain]
    paragraphs, lines = Paragraphs(), Lines(0.75 if domain == "html" else 0.6)
    if domain in LANGUAGES:
        for path in paths:
            for document in read(path):
                paragraphs.count(document["text"])

    def documents() -> Iterator[dict]:
        for path in paths:
            left = SOURCE_CAP
            for document in sorted(read(path), key=hash_of):
                text = document["text"]
                if domain in LANGUAGES:
                    text = paragraphs.first_only(text)
                elif not lines.is_new(text):
                    continue
                if size(text) < 200 or left < size(text):
                    continue
                left -= size(text)
                yield {**document, "text": text}

    write(target, documents())
    return f"unique {domain}: {target.stat().st_size / 1e6:.1f} MB"


def deduplicate(work: Path) -> None:
    with Pool(PROCESSES) as pool:
        for line in pool.imap_unordered(_deduplicate, [(work, d) for d in DOMAINS]):
            if line:
                print(line, flush=True)


def split(work: Path) -> None:
    summary_path = work / "corpus" / "summary.json"
    if summary_path.exists():
        return
    summary = {}
    for domain in DOMAINS:
        documents = list(read(work / "unique" / f"{domain}.jsonl"))
        chosen = held_out(documents)
        summary[domain] = {}
        for name in ("train", "held_out"):
            part = [
                p
                for d in documents
                if (d["file"] in chosen) == (name == "held_out")
                for p in parts(d)
            ]
            write(work / "corpus" / domain / f"{name}.jsonl", part)
            per_source: dict[str, int] = defaultdict(int)
            for document in part:
                per_source[document["source"]] += size(document["text"])
            summary[domain][name] = {
                "bytes": sum(per_source.values()),
                "documents": len(part),
                "sources": dict(sorted(per_source.items())),
            }
        print(
            f"split {domain}: {summary[domain]['train']['bytes'] / 1e6:.1f} MB train, "
            f"{summary[domain]['held_out']['bytes'] / 1e3:.0f} kB held out",
            flush=True,
        )
    summary_path.write_text(json.dumps(summary, indent=1))


def sources(work: Path) -> None:
    """SOURCES.md beside this file: what went in, in which version, under which licence."""
    summary = json.loads((work / "corpus" / "summary.json").read_text())
    used = {
        (d, s): sum(summary[d][part]["sources"].get(s, 0) for part in ("train", "held_out"))
        for d in DOMAINS
        for s in {row.source for row in ROWS if row.domain == d}
    }
    out = [
        "# Sources of the training text",
        "",
        "Written by `corpus.py` (stage `sources`); the text itself is not in this repository.",
        "Sizes are bytes of clean text used, training and held out together.",
        "",
        "| source | domain | clean MB | licence | packages and versions |",
        "|---|---|--:|---|---|",
    ]
    for row in ROWS:
        bytes_ = used[row.domain, row.source]
        if not bytes_:
            continue
        packages = []
        for package in row.packages:
            version = archives.version_of(work / "download", row.registry, package)
            packages.append(f"{archives.bare(package)} {version}")
        out.append(
            f"| {row.source} ({row.registry}) | {row.domain} | {bytes_ / 1e6:.2f} | "
            f"{row.licence} | {', '.join(packages)} |"
        )
    path = Path(__file__).parent / "SOURCES.md"
    _, heading, rest = path.read_text().partition("\n## ") if path.exists() else ("", "", "")
    path.write_text("\n".join(out) + "\n" + heading + rest)  # what follows is of prose.py


STAGES = (download, extract, clean, deduplicate, split, sources)


def main() -> None:
    parser = argparse.ArgumentParser(description="Build the training corpus.")
    parser.add_argument("--work", type=Path, required=True, help="folder for everything made here")
    work = parser.parse_args().work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for stage in STAGES:
        began = time.monotonic()
        stage(work)
        print(f"{stage.__name__}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
