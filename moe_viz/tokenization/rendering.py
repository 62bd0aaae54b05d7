# SPDX-License-Identifier: Apache-2.0
"""Chat templates, rendered where they can do no harm.

In: a Jinja template and its variables. Out: the text. The work is done by `sandbox.py` in a process
of its own, which is ended when a template takes too long.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, MissingDependencyError

#: Seconds that a template may take, and that Python may take to start.
SECONDS, STARTING = 10.0, 60.0


class Renderer:
    """A process that renders templates, started when the first one comes."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def render(self, template: str, variables: Mapping[str, Any], where: str = "") -> str:
        """The text of a template.

        Raises `InputError` where the template refuses these messages, is no Jinja, or takes more
        time or memory than a template may.

        >>> Renderer().render("{% for m in messages %}[{{ m.role }}]{% endfor %}",
        ...                   {"messages": [{"role": "user"}]})
        '[user]'
        """
        try:
            question = json.dumps({"template": template, "variables": dict(variables)})
        except (TypeError, ValueError) as error:
            raise InputError(
                f"Chat messages must hold texts, numbers, lists and mappings ({error})."
            ) from error
        with self._lock:
            reply = self._reply(question.encode() + b"\n")
        said = json.loads(reply) if reply else {"error": f"it runs for more than {SECONDS:g} s"}
        if "text" in said:
            try:
                said["text"].encode("utf-8")
                return said["text"]
            except UnicodeEncodeError:
                said = {"error": "it writes half of a surrogate pair, which is no text"}
        raise InputError(
            f"The chat template of {where or 'this model'} does not take this conversation: "
            f"{said['error']}. Change the messages, or give the text or token ids instead."
        )

    def _reply(self, question: bytes) -> bytes:
        """One line of the process's; nothing if it had to be ended."""
        process = self._process
        if process is None or process.poll() is not None:
            try:
                self._process = process = _start()
                ready = _line(process, b"", STARTING)
            except OSError:  # this program has no Python beside it
                ready = b""
            if not ready or process is None:
                self.close()
                raise InputError(
                    f"No process could be started to render a chat template ({sys.executable}). "
                    "Give the text or token ids instead."
                )
        try:
            reply = _line(process, question, SECONDS)
        except BaseException:  # interrupted: the answer would be taken for the next one's
            self.close()
            raise
        if not reply:
            self.close()
        return reply

    def close(self) -> None:
        """End the process; the next template starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def _start() -> subprocess.Popen[bytes]:
    try:
        import jinja2
        import markupsafe
    except ImportError as error:
        raise MissingDependencyError(
            "Chat templates need the package jinja2: pip install 'moe-viz[model]'."
        ) from error
    # Isolated from the environment and the current folder; where Jinja lies is said here.
    folders = {str(Path(str(m.__file__)).parents[1]): None for m in (jinja2, markupsafe)}
    script = Path(__file__).with_name("sandbox.py")
    return subprocess.Popen(
        [sys.executable, "-I", str(script), *folders],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _line(process: subprocess.Popen[bytes], question: bytes, seconds: float) -> bytes:
    """What a process answers, one line; nothing if it takes longer, and it is ended then."""
    assert process.stdin is not None
    assert process.stdout is not None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        process.stdin.write(question)
        process.stdin.flush()
        reply = process.stdout.readline()
    except OSError:  # it has ended
        reply = b""
    finally:
        timer.cancel()
    return reply if reply.endswith(b"\n") else b""


_shared = Renderer()
atexit.register(_shared.close)


def render(template: str, variables: Mapping[str, Any], where: str = "") -> str:
    """The text of a template, by the process that all tokenizers share."""
    return _shared.render(template, variables, where)
