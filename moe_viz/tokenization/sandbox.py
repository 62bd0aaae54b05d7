# SPDX-License-Identifier: Apache-2.0
"""What renders chat templates, in a process of its own: a template is a program from the internet.

Run as a script by `rendering.py`; nothing else imports it. In: one JSON object a line on stdin,
with a template and what it may use. Out: one a line on stdout, with the text or an error. Jinja's
sandbox keeps a template from reaching Python, the limits here from filling the memory, and the
parent from running for ever.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

#: Bytes of memory for this process, where the system can limit it; characters of a text.
MEMORY, LONGEST = 2**30, 5_000_000
#: Seconds of work for one template: the parent ends it sooner, unless it was killed itself.
SECONDS = 20


def environment() -> Any:
    """Jinja as chat templates expect it: transformers' globals, filters and settings."""
    import jinja2
    from jinja2 import nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """`{% generation %}` marks what the assistant said; here it is said, no more."""

        tags = {"generation"}  # noqa: RUF012  # Jinja's own

        def parse(self, parser: Any) -> Any:
            """The tag's body, as it is."""
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body).set_lineno(line)

    class Bounded(ImmutableSandboxedEnvironment):
        """`*` and `**` make nothing that is longer than a text may be."""

        intercepted_binops = frozenset(("*", "**"))

        def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
            """The product or power, if it is of a reasonable size."""
            if operator == "**" or not all(isinstance(x, int | float) for x in (left, right)):
                size = len(left) if hasattr(left, "__len__") else abs(left)
                times = len(right) if hasattr(right, "__len__") else abs(right)
                if size * times > LONGEST:
                    raise MemoryError
            return super().call_binop(context, operator, left, right)

    made = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])

    def raise_exception(message: str) -> None:
        raise jinja2.TemplateError(message)

    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    made.filters["tojson"] = _tojson
    return made


def _tojson(value: Any, ensure_ascii: bool = False, **how: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, **how)  # Jinja's own would escape HTML


def render(environment: Any, template: str, variables: dict[str, Any]) -> str:
    """The text, as far as it may go."""
    parts, length = [], 0
    for part in environment.from_string(template).generate(**variables):
        parts.append(part)
        length += len(part)
        if length > LONGEST:
            raise MemoryError
    return "".join(parts)


def answer(made: Any, line: str) -> dict[str, str]:
    """The answer to one question: a text, or what went wrong."""
    try:
        question = json.loads(line)
        return {"text": render(made, question["template"], question["variables"])}
    except MemoryError:
        return {"error": "it takes too much memory"}
    except RecursionError:
        return {"error": "it calls itself too often"}
    except OverflowError:
        return {"error": "it asks for too long a range, or too large a number"}
    except Exception as error:
        return {"error": str(error)[:500] or type(error).__name__}


def limit(what: str, value: int) -> None:
    """Have the system end this process beyond a limit, where it can."""
    try:
        import resource

        which = getattr(resource, what)
        resource.setrlimit(which, (value, resource.getrlimit(which)[1]))
    except (ImportError, AttributeError, ValueError, OSError):
        pass  # not on this system: the parent limits the time in any case


def main(ask: Callable[[], str] = sys.stdin.readline) -> None:
    """Answer until stdin ends, which it does with the parent."""
    sys.path[:0] = sys.argv[1:]
    made = environment()
    limit("RLIMIT_AS", MEMORY)
    print("{}", flush=True)  # ready
    while line := ask():
        limit("RLIMIT_CPU", int(time.process_time()) + SECONDS)
        print(json.dumps(answer(made, line)), flush=True)  # ASCII: no encoding to agree on


if __name__ == "__main__":
    main()
