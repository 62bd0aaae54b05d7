# SPDX-License-Identifier: Apache-2.0
"""ES modules as one classic script: what a notebook's output and an offline page can hold.

In: the package path of an entry module. Out: one function that holds it and all that it imports,
without imports, exports, comments and indentation; nothing else becomes global. No bundler is
needed, since the modules keep to a few plain forms; any other form is refused.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from ..files import package_text

_IMPORT = re.compile(r"^import\s*\{([\w\s$,]+)\}\s*from\s*\"(\.{1,2}/[^\"]+\.js)\";$", re.M)
_NAME = r"(?:async function|function|class|const|let|var) ([\w$]+)"
_EXPORT = re.compile(rf"^export (?={_NAME})", re.M)
_DECLARED = re.compile(rf"^{_NAME}", re.M)
_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/).)*\*/[ \t]*)\n", re.M | re.S)

#: What licences ask to be kept where a script goes, comments being left out.
NOTICE = "/*! moe_viz, SPDX-License-Identifier: Apache-2.0 */"
#: What joining would break: forms that JavaScript has and these modules do without.
_REFUSED = {
    r"^export\s+default\b": "a default export",
    r"^export\s*[*{]": "a re-export or a list of exports",
    r"^export\b": "this form of export",
    r"^import\b": "this form of import",
    r"\bimport\s*[(.]": "a dynamic import, or import.meta",
    r"^(?:const|let|var)\s*[\[{]": "a destructuring declaration at the top",
    r"^(?:const|let|var) .*,$": "several declarations in one",
    r"^(?:[^`\n]*`[^`\n]*`)*[^`\n]*`[^`\n]*$": "a template over several lines",
    r"</script|<!--": "text that ends a script element, or hides it,",
}


def inert(data: Any) -> str:
    """JSON, or a JavaScript literal, that cannot end the script element it stands in.

    >>> inert(["</script>", 1])
    '["\\\\u003c/script>",1]'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    # Escaped as JSON allows: no "</script>", no "<!--", no line separator of Unicode can occur.
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@dataclass(frozen=True)
class Module:
    """What joining needs to know of a module."""

    path: str
    code: str  # without imports, exports and comments
    imports: dict[str, list[str]]  # names, by the path of the module that they are taken from
    exports: frozenset[str]
    names: tuple[str, ...]  # declared at the top


@cache
def script(entry: str, function: str, name: str) -> str:
    """A script that declares `name`, which does what the entry module's `function` does.

    Raises `ValueError`, with the module's path, for what cannot be joined: an import that does not
    resolve, circular imports, two modules that declare the same name, and any import or export but
    `import { a } from "./b.js"` and `export` before a declaration.

    >>> print(*script("view/js/theme.js", "isDark", "looksDark").splitlines()[:2], sep="\\n")
    /*! moe_viz, SPDX-License-Identifier: Apache-2.0 */
    function looksDark() {
    """
    modules = ordered(entry, package_text)
    code = "\n".join(module.code for module in modules)
    if function not in modules[-1].exports:
        raise ValueError(f"{entry} does not export {function}.")
    body = f'"use strict";\n{code}\nreturn {function}(...arguments);'
    return f"{NOTICE}\nfunction {name}() {{\n{body}\n}}"


def ordered(entry: str, read: Callable[[str], str]) -> list[Module]:
    """The entry module and all that it imports, each after its own imports."""
    done: dict[str, Module] = {}
    _visit(entry, (), done, partial(_module, read))
    owners: dict[str, str] = {}
    for module in done.values():
        for name in module.names:
            if name in owners:
                raise ValueError(f"{module.path} and {owners[name]} both declare {name}.")
            owners[name] = module.path
        for path, names in module.imports.items():
            for name in names:
                if name not in done[path].exports:
                    raise ValueError(f"{module.path} imports {name}, which {path} does not export.")
    return list(done.values())


def _visit(
    path: str, way: tuple[str, ...], done: dict[str, Module], load: Callable[[str], Module]
) -> None:
    if path in way:
        raise ValueError(f"Imports run in a circle: {' → '.join((*way, path))}.")
    if path in done:
        return
    try:
        module = load(path)
    except FileNotFoundError:
        by = f", imported by {way[-1]}," if way else ""
        raise ValueError(f"{path}{by} is missing.") from None
    for imported in module.imports:
        _visit(imported, (*way, path), done, load)
    done[path] = module


def _module(read: Callable[[str], str], path: str) -> Module:
    source = _COMMENT.sub("", read(path) + "\n")
    imports: dict[str, list[str]] = {}
    for found in _IMPORT.finditer(source):
        names = [name.strip() for name in found[1].split(",") if name.strip()]
        if renamed := [name for name in names if " " in name]:
            raise ValueError(f"{path}: {renamed[0]!r} renames, which one scope cannot do.")
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), found[2]))
        imports.setdefault(target, []).extend(names)
    source = _IMPORT.sub("", source)
    exports = frozenset(m[1] for m in _EXPORT.finditer(source))
    code = _EXPORT.sub("", source)
    for pattern, what in _REFUSED.items():
        if found := re.search(pattern, code, re.M):
            line = found[0].strip().splitlines()[0][:60]
            raise ValueError(f"{path}: {what} cannot be joined into one script: {line!r}.")
    return Module(
        path,
        "\n".join(line for raw in code.splitlines() if (line := raw.strip())),
        imports,
        exports,
        tuple(m[1] for m in _DECLARED.finditer(code)),
    )
