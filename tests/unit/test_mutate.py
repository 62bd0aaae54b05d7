# SPDX-License-Identifier: Apache-2.0
"""What breaks the house one line at a time breaks what it says, and tells what survived."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tools.mutate import attempt_all, report
from tools.mutation.copies import verdict
from tools.mutation.covering import Coverage, digest, merged
from tools.mutation.javascript import code_only
from tools.mutation.mutants import mutants
from tools.mutation.trials import Trial, pins, sample

ROOT = Path(__file__).parents[2]


def variants(source: str, path: str = "a.py") -> set[str]:
    return {m.text for m in mutants(path, source)}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = a < b", ["x = a <= b"]),
        ("x = a not in b", ["x = a in b"]),
        ("x = a is b", ["x = a is not b"]),
        ("x = (a) == (b)", ["x = (a) != (b)"]),
        ("x = é + b // c", ["x = é - b // c", "x = é + b / c"]),
        ("x = a and b", ["x = a or b"]),
        ("x = not a", ["x =  a"]),
        ("x = -a", ["x = a"]),
        ("x = 2.5", ["x = 3.5"]),
        ("x = True", ["x = False"]),
        ("x = 'é'[1:]", ["x = 'é'[2:]"]),
        ("x = a[b:c]", ["x = a[(b) + 1:c]", "x = a[b:(c) + 1]"]),
        ("x = a == 'b'", ["x = a != 'b'", "x = a == 'b_'"]),
        ("x = a['b']", ["x = a['b_']"]),
        ("x = min(a, b)", ["x = max(a, b)", "x = min(b, a)"]),
        ("x = a.sum(1)", ["x = a.mean(1)", "x = a.sum(0)"]),
        ("x = f(a, axis=-1)", ["x = f(a, axis=0)"]),
        ("x = [a for a in b if a.c]", ["x = [a for a in b if True]"]),
        ("x = a if b else c", ["x = a if True else c", "x = a if False else c"]),
        ("f(a)", ["pass"]),
        ("a += b", ["pass", "a -= b"]),
        ("if a:\n    raise E('no')", ["if True:\n    raise E('no')", "if False:\n    raise E('no')",
                                      "if a:\n    pass"]),
        ("while a:\n    break", ["while False:\n    break", "while a:\n    pass"]),
        ("def f(a='b'):\n    return a", ["def f(a='b_'):\n    return a",
                                         "def f(a='b'):\n    return None"]),
        ("def f() -> bool:\n    return a", ["def f() -> bool:\n    return not (a)"]),
    ],
)  # fmt: skip
def test_a_line_is_broken_in_these_ways(source, expected):
    assert variants(source) == set(expected)


@pytest.mark.parametrize(
    "source",
    [
        '"""Words, 1 < 2."""',
        "import a",
        "def f(a: int = None) -> tuple[int, 3]:\n    ...",
        "x: dict[str, 3] = a",
        "def __repr__(self):\n    return a + 1",
        "assert a < 1",
        "x = f'{a} is at least 1'",
        "if TYPE_CHECKING:\n    a = 1",
        "x = zip(a, strict=True)",
        "x = tuple[int, 3]",
        "__all__ = ['a', 1]",
    ],
)
def test_what_says_nothing_stays(source):
    assert variants(source) == set()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b;", ["a <= b;"]),
        ("if (!a) f();", ["if (a) f();"]),
        ("a === 1 // 2", ["a !== 1 // 2", "a === 2 // 2"]),
        ("Math.max(a, b)", ["Math.min(a, b)"]),
        ("a[t]", ["a[t + 1]"]),
        ("`1 < ${a + b} < 2`", ["`1 < ${a - b} < 2`"]),
        ("/* 1 */ f('2', \"3\", /4/.test(a))", []),
        ('import { a } from "1";', []),
        ("w1 = 0x80", []),
    ],
)
def test_scripts_are_broken_outside_comments_and_strings(source, expected):
    assert variants(source, "a.js") == set(expected)


@pytest.mark.parametrize("path", sorted(ROOT.glob("moe_viz/view/**/*.js")), ids=lambda p: p.name)
def test_of_a_script_only_comments_and_strings_are_blanked(path):
    source = path.read_text(encoding="utf-8")
    code = code_only(source)
    assert len(code) == len(source)
    assert all(b in (a, "⎵") for a, b in zip(source, code, strict=True))
    for pair in ("()", "{}", "[]"):  # a string taken for code, or code for a string, breaks these
        assert code.count(pair[0]) + source.count("${") * (pair == "{}") >= code.count(pair[1])
    assert code.count("(") == code.count(")")
    assert code.count("[") == code.count("]")


def test_a_seed_gives_one_sample():
    asked = ("moe_viz/trace", "moe_viz/routing", "moe_viz/view")
    first, again, other = (sample(40, seed, asked, ROOT) for seed in (1, 1, 2))
    assert [t.key for t in first] == [t.key for t in again] != [t.key for t in other]
    assert len(first) >= 40
    places = [(t.mutant.path, t.mutant.lines[0]) for t in first]
    assert len(set(places)) == len(places)
    assert {t.group for t in first} == {"trace", "routing", "view", "view (js)"}


def test_every_named_breakage_finds_its_text_and_has_its_own_name():
    named = pins(ROOT)
    assert len(named) >= 40
    assert len({trial.name for trial in named}) == len(named)
    for trial in named:
        assert trial.mutant.text != trial.mutant.source
        if trial.mutant.path.endswith(".py"):
            compile(trial.mutant.text, trial.mutant.path, "exec")


def test_a_named_breakage_whose_text_is_gone_is_an_error(tmp_path):
    (tmp_path / "a.py").write_text("x = 1\ny = 1\n")
    for old in ("z", "= 1"):
        listed = tmp_path / "pins.toml"
        listed.write_text(f'[[pin]]\nname = "n"\nfile = "a.py"\nold = "{old}"\nnew = "w"\n')
        with pytest.raises(SystemExit, match="must stand once"):
            pins(tmp_path, listed)


SMALL = """
def larger(a, b):
    if a > b:
        return a
    return b

def lost():
    return 1
""".lstrip()
TESTS = """
import small

def test_larger():
    assert small.larger(2, 1) == 2
    assert small.larger(1, 2) == 2
"""


@pytest.fixture
def small(tmp_path):
    """A tree with one module, whose test does not look at equal numbers, and its coverage."""
    root = tmp_path / "tree"
    root.mkdir()
    (root / "small.py").write_text(SMALL)
    (root / "test_small.py").write_text(TESTS)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    test = "test_small.py::test_larger"
    (tmp_path / "map.json").write_text(
        json.dumps(
            {
                "tests": {test: 0.1},
                "sources": {"small.py": digest(SMALL)},
                "lines": {"small.py": {"2": [test], "3": [test], "4": [test]}},
            }
        )
    )
    return root, Coverage(tmp_path / "map.json"), tmp_path / "results.jsonl"


def test_a_planted_survivor_is_reported_and_the_tree_unchanged(small):
    root, covering, results = small
    found = list(mutants("small.py", SMALL))
    wanted = ["if a >= b:", "if True:", "return 2"]
    trials = [Trial(m, "small", m.operator) for m in found if m.after in wanted]
    before = {p: p.read_bytes() for p in root.glob("*.py")}
    rows = attempt_all(trials, covering, results, (), jobs=2, root=root)
    assert {row["after"]: row["status"] for row in rows} == {
        "if a >= b:": "survived", "if True:": "noticed", "return 2": "uncovered",
    }  # fmt: skip
    (noticed,) = [row for row in rows if row["status"] == "noticed"]
    assert noticed["by"] == "test_small.py::test_larger"
    assert "+ if a >= b:" in report(rows)
    assert "if True:" not in report(rows)
    assert {p: p.read_bytes() for p in root.glob("*.py")} == before
    # A second run tries nothing again, and one that is asked to, only what it is asked for.
    size = len(results.read_text().splitlines())
    assert attempt_all(trials, covering, results, (), root=root) == rows
    assert len(results.read_text().splitlines()) == size == 3
    attempt_all(trials, covering, results, ("survived",), jobs=1, root=root)
    assert len(results.read_text().splitlines()) == 4


def test_what_never_ends_is_told_apart(small):
    root, covering, results = small
    waiting = "import time\ntime.sleep(0 * 60)\n" + SMALL
    (mutant,) = [m for m in mutants("small.py", waiting) if m.after == "time.sleep(1 * 60)"]
    (root / "small.py").write_text(waiting)
    trials = [Trial(mutant, "small", "constant", ("test_small.py::test_larger",))]
    (row,) = attempt_all(trials, covering, results, (), 1, timeout=2, root=root)
    assert row["status"] == "timed out"


@pytest.mark.parametrize(
    ("out", "code", "status"),
    [
        ("1 passed", 0, "survived"),
        ("FAILED a.py::b[c d] - assert 1 == 2", 1, "noticed"),
        ("FAILED a.py::b - TimeoutError: Timeout 30000ms exceeded.", 1, "timed out"),
        ("no tests ran", 5, "error"),
        ("ERROR: not found: a.py::b", 4, "error"),
        ("ImportError while loading conftest", 4, "noticed"),
    ],
)
def test_how_a_test_run_ends_says_what_became_of_a_breakage(out, code, status):
    assert verdict(out, code)["status"] == status


def test_lines_are_measured_for_the_tests_that_run_them(tmp_path):
    """Also through a fixture that tests share, and not for tests that fail."""
    package = tmp_path / "moe_viz"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text("def f():\n    return 1\n\n\ndef g():\n    return 2\n")
    (tmp_path / "test_a.py").write_text(
        "import pytest\nfrom moe_viz import a\n\n"
        "@pytest.fixture(scope='module')\ndef shared():\n    return a.f()\n\n"
        "def test_one(shared):\n    a.g()\n\n"
        "def test_two(shared):\n    pass\n\n"
        "def test_bad(shared):\n    assert not a.g()\n"
    )
    target = tmp_path / "map.json"
    env = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}", "MUTATE_MAP": str(target)}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tools.mutation.covering"]
    subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
    covering = Coverage(target)
    source = (package / "a.py").read_text()
    one, two = "test_a.py::test_one", "test_a.py::test_two"
    assert set(covering.of("moe_viz/a.py", source, [2])) == {one, two}
    assert covering.of("moe_viz/a.py", source, [6]) == [one]
    # Measured again, a test's lines are those of the last time.
    old = json.loads(target.read_text())
    new = {**old, "tests": {one: 1.0}, "lines": {"moe_viz/a.py": {"2": [one]}}, "bad": []}
    both = merged(old, new)
    assert both["lines"]["moe_viz/a.py"]["6"] == []
    assert both["tests"][one] == 1.0
    assert both["bad"] == ["test_a.py::test_bad"]
