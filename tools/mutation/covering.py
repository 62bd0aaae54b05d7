# SPDX-License-Identifier: Apache-2.0
"""Which tests run which lines of moe_viz: measured as a plugin of pytest, read by `mutate.py`.

In: a test run with `-p tools.mutation.covering`, and MUTATE_MAP, the path of the map to write. Out:
that map as JSON: for each line the tests that run it, for each test its seconds. Tests that fail
are left out. What runs in another process (the command line's, say) is not seen. What a fixture
wider than a test runs counts for every test that asks for it, and what a module of tests runs when
it is imported for all of its tests.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import coverage
import pytest

from tools import rooms

#: Tests of what runs in a browser, where no coverage is measured: by folder of the scripts.
SCRIPT_TESTS = {
    "moe_viz/view/charts/*": ("tests/browser/test_charts*", "tests/browser/test_pixels_charts*",
                              "tests/browser/test_finding*", "tests/unit/test_js*", "tests/js/*"),
    "moe_viz/view/pages/*": ("tests/browser/test_slides*", "tests/browser/test_report*",
                             "tests/browser/test_pixels*", "tests/unit/test_js*", "tests/js/*"),
    "moe_viz/view/live/*": ("tests/live/*", "tests/browser/test_live*", "tests/js/*"),
    "moe_viz/view/*": ("tests/browser/test_pixels*", "tests/browser/test_page*",
                       "tests/browser/test_layer_change*", "tests/browser/test_beside*",
                       "tests/browser/test_scale*", "tests/browser/test_finding*",
                       "tests/browser/test_many*", "tests/browser/test_grid*",
                       "tests/browser/test_diagram*", "tests/browser/test_standing*",
                       "tests/browser/test_explorer*", "tests/browser/test_slides*",
                       "tests/browser/test_guest_page*", "tests/browser/test_twin*",
                       "tests/unit/test_js*", "tests/js/*"),
}  # fmt: skip


class Coverage:
    """A map of coverage: who runs a line, the fastest first."""

    def __init__(self, path: Path) -> None:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        self.seconds: dict[str, float] = content["tests"]
        self.digests: dict[str, str] = content["sources"]
        self.lines: dict[str, dict[str, list[str]]] = content["lines"]
        self.stale: set[str] = set()

    def of(self, path: str, source: str, lines: Iterable[int]) -> list[str]:
        """Tests that run these lines of a file.

        What is run on import (constants, signatures' defaults apart), and what is kept by a cache,
        is covered by all tests that run anything of the file; so are files that have changed since
        the map was made.
        """
        if path.endswith(".js"):
            patterns = next(p for folder, p in SCRIPT_TESTS.items() if fnmatch(path, folder))
            found = {t for t in self.seconds if any(fnmatch(t, p + "::*") for p in patterns)}
        elif self.digests.get(path) != digest(source):
            self.stale.add(path)
            found = self._whole(path, source)
        else:
            found = set[str]()
            for line in lines:
                spans = _spans(source, line)
                if spans is None:
                    found |= self._whole(path, source) or self._importers(path)
                else:
                    mine = self.lines.get(path, {})
                    found |= {t for n in spans for t in mine.get(str(n), ())}
        return sorted(found, key=lambda test: (self.seconds.get(test, 0), test))

    def _whole(self, path: str, source: str) -> set[str]:
        """Tests that run a function of the file; importing it is not enough."""
        inside = {
            line
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.FunctionDef)
            for line in range(node.body[0].lineno, (node.end_lineno or 0) + 1)
        }
        lines = self.lines.get(path, {})
        return {test for line, tests in lines.items() if int(line) in inside for test in tests}

    def _importers(self, path: str) -> set[str]:
        """Tests of the files that know this one."""
        name = rooms.name_of(rooms.PACKAGE.parent / path)
        return {
            test
            for module in rooms.modules()
            if name in rooms.ours(module)
            for test in self._whole(
                module.relative_to(rooms.PACKAGE.parent).as_posix(), module.read_text("utf-8")
            )
        }


def digest(source: str) -> str:
    """Tells whether a file is the one that was measured."""
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _spans(source: str, line: int) -> range | None:
    """Lines that a measurement may give a line's statement under; None where all is to be taken.

    Coverage knows a statement of several lines by some of them only.
    """
    function, statement = None, range(line, line + 1)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or 0):
            continue
        body = getattr(node, "body", None)
        if isinstance(node, ast.FunctionDef):
            function = node
            stop = node.body[0].lineno
            # A default is at work wherever the function runs.
            statement = range(stop, (node.end_lineno or 0) + 1) if line < stop else statement
        elif isinstance(body, list):
            if line < body[0].lineno:
                statement = range(node.lineno, body[0].lineno)
        else:
            statement = range(node.lineno, (node.end_lineno or 0) + 1)
    if function is None or any(_name(d) == "cache" or _name(d) == "lru_cache"
                               for d in function.decorator_list):  # fmt: skip
        return None
    return statement


def _name(node: ast.expr) -> str:
    node = node.func if isinstance(node, ast.Call) else node
    return getattr(node, "id", getattr(node, "attr", ""))


class _Measuring:
    """Switches the context of the measurement to the test, fixture or module at work."""

    def __init__(self, target: Path) -> None:
        self.target, self.now = target, ""
        self.seconds: dict[str, float] = defaultdict(float)
        self.bad: set[str] = set()
        self.shared: dict[str, set[str]] = defaultdict(set)  # fixture or module: its tests
        self.coverage = coverage.Coverage(
            data_file=None, source_pkgs=["moe_viz"], concurrency=["thread", "greenlet"]
        )
        self.coverage.start()

    def enter(self, context: str) -> str:
        before, self.now = self.now, context
        self.coverage.switch_context(context)
        return before

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self, collector: pytest.Collector):
        before = self.enter(f"module {collector.nodeid}")
        try:
            return (yield)
        finally:
            self.enter(before)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        for item in session.items:
            self.shared[f"module {item.nodeid.partition('::')[0]}"].add(item.nodeid)
            known = getattr(item, "_fixtureinfo", None)
            for definitions in known.name2fixturedefs.values() if known else ():
                for definition in definitions:
                    self.shared[_fixture(definition)].add(item.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item):
        before = self.enter(item.nodeid)
        try:
            return (yield)
        finally:
            self.enter(before)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any):
        wide = fixturedef.scope != "function"
        before = self.enter(_fixture(fixturedef)) if wide else self.now
        try:
            return (yield)
        finally:
            if wide:
                self.enter(before)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.seconds[report.nodeid] += report.duration
        if report.outcome != "passed":
            self.bad.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        good = set(self.seconds) - self.bad
        lines: dict[str, dict[str, list[str]]] = {}
        sources: dict[str, str] = {}
        for file in data.measured_files():
            path = Path(file)
            inside = path.relative_to(Path.cwd()).as_posix()
            sources[inside] = digest(path.read_text(encoding="utf-8"))
            lines[inside] = {
                str(line): sorted({t for c in contexts for t in self.shared.get(c, {c})} & good)
                for line, contexts in data.contexts_by_lineno(file).items()
            }
        tests = {test: round(self.seconds[test], 3) for test in good}
        self.target.write_text(
            json.dumps(
                {"tests": tests, "sources": sources, "lines": lines, "bad": sorted(self.bad)}
            )
        )


def _fixture(definition: Any) -> str:
    return f"fixture {definition.baseid} {definition.argname}"


def merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """A map of some tests on top of an earlier one; of files that have changed only the new."""
    again = set(new["tests"]) | set(new["bad"])
    lines: dict[str, dict[str, list[str]]] = {}
    for path in {*old["lines"], *new["lines"]}:
        same = old["sources"].get(path) == new["sources"].get(path, old["sources"].get(path))
        before = old["lines"].get(path, {}) if same else {}
        after = new["lines"].get(path, {})
        lines[path] = {
            n: sorted({*(t for t in before.get(n, ()) if t not in again), *after.get(n, ())})
            for n in {*before, *after}
        }
    tests = {t: s for t, s in old["tests"].items() if t not in again} | new["tests"]
    bad = sorted({*(t for t in old["bad"] if t not in again), *new["bad"]})
    sources = {**old["sources"], **new["sources"]}
    return {"tests": tests, "sources": sources, "lines": lines, "bad": bad}


def pytest_configure(config: pytest.Config) -> None:
    """Measure, where a map is asked for."""
    if target := os.environ.get("MUTATE_MAP"):
        config.pluginmanager.register(_Measuring(Path(target)), "moe_viz covering")
