# SPDX-License-Identifier: Apache-2.0
"""Which breakages to try: a seeded sample of mutants, or the named ones of pins.toml.

In: a tree, a seed. Out: trials, the same for the same source and seed.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from math import ceil
from pathlib import Path

from tools.mutation.mutants import Mutant, mutants

PINS = Path(__file__).parents[1] / "pins.toml"


@dataclass(frozen=True)
class Trial:
    """A breakage to try: a mutant, the group it counts in, what to call it, and its tests."""

    mutant: Mutant
    group: str
    name: str
    tests: tuple[str, ...] = ()  # those that run the line, where empty

    @property
    def key(self) -> str:
        """The same for the same breakage of the same text, wherever in the file it stands."""
        m = self.mutant
        around = m.source[max(0, m.start - 60) : m.stop + 60]
        return _hash(m.path, around, m.operator, m.new, self.name)


def sample(size: int, seed: int, only: Sequence[str], root: Path) -> list[Trial]:
    """So many mutants, spread over rooms (a view's scripts apart), at most one a line.

    Each mutant's rank is a hash of the seed and of the text around it, so a change elsewhere in the
    source changes little of the sample.
    """
    strata: dict[str, list[Trial]] = {}
    for group, path in _sources(only, root):
        source = (root / path).read_text(encoding="utf-8")
        best: dict[int, tuple[str, Trial]] = {}
        for mutant in mutants(path, source):
            trial = Trial(mutant, group, mutant.operator)
            rank = _hash(seed, trial.key)
            best[mutant.lines[0]] = min(best.get(mutant.lines[0], ("~", trial)), (rank, trial),
                                        key=lambda pair: pair[0])  # fmt: skip
        strata.setdefault(group, []).extend(trial for _, trial in best.values())
    whole = sum(map(len, strata.values()))
    chosen: list[Trial] = []
    least = size // (2 * len(strata)) if strata else 0  # small rooms count too
    rest = size - sum(min(least, len(found)) for found in strata.values())
    for found in strata.values():
        ranked = sorted(found, key=lambda trial: _hash(seed, trial.key))
        wanted = min(least, len(found)) + ceil(rest * len(found) / whole)
        chosen += islice((trial for trial in ranked if _sound(trial.mutant)), wanted)
    return chosen


def _sources(only: Sequence[str], root: Path) -> Iterator[tuple[str, str]]:
    for place in only:
        whole = sorted((root / place).rglob("*")) if (root / place).is_dir() else [root / place]
        for path in whole:
            if path.suffix in (".py", ".js"):
                script = " (js)" if path.suffix == ".js" else ""
                yield place.removeprefix("moe_viz/") + script, path.relative_to(root).as_posix()


def _sound(mutant: Mutant) -> bool:
    if mutant.path.endswith(".js"):
        return True
    try:
        compile(mutant.text, mutant.path, "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


def pins(root: Path, path: Path = PINS) -> list[Trial]:
    """The named breakages; an error where one does not find its text exactly once."""
    trials = []
    for pin in tomllib.loads(path.read_text(encoding="utf-8"))["pin"]:
        texts = {p: p.read_text(encoding="utf-8") for p in sorted(root.glob(pin["file"]))}
        found = [(p, t.index(pin["old"])) for p, t in texts.items() if pin["old"] in t]
        if len(found) != 1 or texts[found[0][0]].count(pin["old"]) != 1:
            raise SystemExit(
                f"{pin['name']}: its old text must stand once in {pin['file']}, found in "
                f"{len(found)} files."
            )
        (home, start), old, new = found[0], pin["old"], pin["new"]
        head = _alike(old, new)  # only the lines that change are to be covered
        tail = _alike(old[head:][::-1], new[head:][::-1])
        stop = len(old) - tail
        mutant = Mutant(home.relative_to(root).as_posix(), texts[home], start + head,
                        start + stop, new[head : len(new) - tail], "pin")  # fmt: skip
        trials.append(Trial(mutant, "pins", pin["name"], tuple(pin.get("tests", ()))))
    return trials


def equivalents(path: Path = PINS) -> dict[tuple[str, str, str], str]:
    """Mutants that change nothing anybody could see, by file and line before and after: why."""
    listed = tomllib.loads(path.read_text(encoding="utf-8")).get("equivalent", [])
    return {(e["file"], e["before"], e["after"]): e["why"] for e in listed}


def _alike(a: str, b: str) -> int:
    """How many characters two texts have in common at their beginning."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))


def _hash(*parts: object) -> str:
    return hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()
