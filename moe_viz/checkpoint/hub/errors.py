# SPDX-License-Identifier: Apache-2.0
"""What goes wrong between us and the Hub, in messages that say what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ...errors import CheckpointError, first_line


@contextmanager
def explained(name: str) -> Iterator[None]:
    """What huggingface_hub raises about a repository, as errors of this library."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{name}: is gated: its owner asks who downloads it. Accept the terms on its page "
            "while logged in, then log in here: `hf auth login`, or HF_TOKEN in the environment."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"{name}: the Hub has no such repository, or hides it from you. Expected "
            "org/name as on its page; for a private one, log in (`hf auth login`, or HF_TOKEN). "
            "If you meant a folder on this disk: there is none of this name."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(
            f"{name}: has no such revision. Expected a branch, a tag or a commit after the @, "
            "or none for main."
        ) from error
    except errors.OfflineModeIsEnabled as error:
        raise CheckpointError(
            f"{name}: HF_HUB_OFFLINE is set, so the Hub is not asked, and it is not in Hugging "
            f"Face's cache ({_cache()}). Unset it; or download the weights and give the folder."
        ) from error
    except errors.HFValidationError as error:
        raise CheckpointError(f"{name}: is not the name of a repository ({error}).") from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        hint = "Is the token right (HF_TOKEN, or `hf auth whoami`)?" if status == 401 else ""
        raise CheckpointError(
            f"{name}: the Hub answered with {status} ({str(error).splitlines()[-1]:.200}). "
            f"{hint or 'Try again later.'}"
        ) from error
    except (client_error(), OSError) as error:  # no connection, no such host
        raise CheckpointError(
            f"{name}: there is no such folder or file here, and the Hub cannot be reached "
            f"({str(error) or type(error).__name__:.200}). Expected '8x7m', the embedded model; a "
            "folder of weights; a .gguf file; or org/name on the Hub, which needs a network (and, "
            "if it is set, the right HF_ENDPOINT)."
        ) from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{name}: what answered is not the Hub, or not well ({first_line(error)}). Does this "
            "network show a login page first? Is HF_ENDPOINT, if it is set, the address of a Hub?"
        ) from error


def _cache() -> str:
    from huggingface_hub import constants

    return constants.HF_HUB_CACHE


def client_error() -> type[Exception]:
    """The base class of errors of huggingface_hub's HTTP client, whichever one it uses."""
    from huggingface_hub.errors import HfHubHTTPError

    return HfHubHTTPError.__bases__[0]
