"""The errors that this library raises, by kind.

Every error of this library is a `MoeVizError`, and every message says what was expected, what was
found, in which file or argument, and what to do next. Nothing here imports anything.
"""


class MoeVizError(Exception):
    """The root of every error that this library raises on purpose."""


class ConfigError(MoeVizError):
    """A model configuration that is incomplete, impossible, or not Mixtral's architecture."""


class CheckpointError(MoeVizError):
    """A folder or file of weights that is missing, damaged, or not what its config promises."""


class TokenizerError(MoeVizError):
    """A tokenizer file that is missing or unreadable, or a text it cannot turn into tokens."""


class InputError(MoeVizError):
    """Texts, token ids, lengths or settings that the model cannot run as they were given."""


class PromptError(MoeVizError):
    """A curated prompt, label or topic that does not exist."""


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
