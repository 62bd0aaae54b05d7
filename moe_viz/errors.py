# SPDX-License-Identifier: Apache-2.0
"""The errors that this library raises, by kind.

Every error of this library is a `MoeVizError`, and every message says what was expected, what was
found, in which file or argument, and what to do next. Nothing here imports anything.
"""


class MoeVizError(Exception):
    """The root of every error that this library raises on purpose."""


class ConfigError(MoeVizError):
    """A model configuration that is incomplete, impossible, or not Mixtral's architecture."""


class OtherFamilyError(ConfigError):
    """A configuration of another family than Mixtral's; `described` is the file that says so."""

    described: object = None


class CheckpointError(MoeVizError):
    """A folder or file of weights that is missing, damaged, or not what its config promises."""


class TokenizerError(MoeVizError):
    """A tokenizer file that is missing or unreadable, or a text it cannot turn into tokens."""


class InputError(MoeVizError):
    """Texts, token ids, lengths or settings that the model cannot run as they were given."""


class PromptError(MoeVizError):
    """A curated prompt, label or topic that does not exist."""


class NumberError(MoeVizError):
    """Numbers that are none: NaN or infinity in router logits, gates, losses or output logits."""


class HookError(MoeVizError):
    """A router hook that returned something which is not a routing decision for its tokens."""


class TraceError(MoeVizError):
    """A trace or trace file that is damaged, of a later version, or lacks what was asked for."""


class PlacementError(MoeVizError):
    """A device, dtype or placement that this machine or this version does not offer."""


class OutputError(MoeVizError):
    """A path that cannot be written. Nothing that was there before has been touched."""


class MissingDependencyError(MoeVizError):
    """A package that this call needs and that is not installed here."""


def refused(what: str, expected: str, found: object, advice: str = "") -> InputError:
    """The error for something of a kind that a call does not take.

    >>> print(refused("record", "a text", {"input_ids": [1, 2]}, "Give its ids."))
    record takes a text; found a dict with the keys 'input_ids'. Give its ids.
    """
    return InputError(f"{what} takes {expected}; found {kind_of(found)}. {advice}".rstrip())


def kind_of(value: object) -> str:
    """What something is, as a message names it: its kind, and enough to recognise it.

    >>> kind_of(None), kind_of(3.5), kind_of({1, 2}), kind_of("a" * 60)
    ('None', 'the float 3.5', 'a set of 2', "the str 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…")
    """
    name = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, str | bytes | int | float | complex):
        said = repr(value)
        return f"the {name} {said if len(said) <= 40 else said[:39] + '…'}"
    if hasattr(value, "keys") and hasattr(value, "__getitem__"):
        keys = [repr(key) for key in value]  # type: ignore[attr-defined]
        return f"a {name} with the keys {', '.join(keys[:6]) or 'none'}{' …' if keys[6:] else ''}"
    if hasattr(value, "shape"):
        return f"a {name} of shape {tuple(value.shape)}"  # type: ignore[attr-defined]
    if hasattr(value, "__len__"):
        return f"a {name} of {len(value)}"  # type: ignore[arg-type]
    return f"a {name}"


def first_line(error: BaseException) -> str:
    """What an error of another library says, as part of a message; its kind, if it says nothing.

    >>> first_line(ValueError("no such thing\\nat all")), first_line(AssertionError())
    ('no such thing', 'AssertionError')
    """
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
