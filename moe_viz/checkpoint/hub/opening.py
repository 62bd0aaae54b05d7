# SPDX-License-Identifier: Apache-2.0
"""From a name on the Hub, or a path into Hugging Face's cache, to one commit of a repository.

Online the Hub says which commit a revision is and what it holds; files of that commit that lie in
the cache are taken from there. Offline the cache says both. Files of two commits never mix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, MissingDependencyError
from ...progress import tell
from .bytecache import ByteCache
from .cache import CachedRepo, within_cache
from .errors import explained
from .repository import HubName, HubPath, HubRepo


def open_hub(source: HubName, cache_gb: float = 0.0) -> HubPath:
    """The repository, or the file in it, that a name on the Hub stands for.

    Raises `CheckpointError` where there is none, access is not granted, or the Hub cannot be
    reached and the cache does not have it; `MissingDependencyError` where huggingface_hub is not
    installed.
    """
    try:
        from huggingface_hub import errors
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"{source}: reading from the Hub needs the package huggingface_hub: "
            "pip install 'moe-viz[model]'; or download the weights and give the folder."
        ) from error
    cache = ByteCache(cache_gb) if cache_gb else None
    kept = CachedRepo.named(source.repository)
    try:
        repo = _asked(source, kept, cache)
    except CheckpointError as error:
        final = (errors.RevisionNotFoundError, errors.HFValidationError)
        commit = None if isinstance(error.__cause__, final) else kept.commit(source.revision)
        if commit is None:
            raise _neither(error, kept) from error
        offline = isinstance(error.__cause__, errors.OfflineModeIsEnabled)
        why = "HF_HUB_OFFLINE is set" if offline else "the Hub did not hand it out"
        repo = _kept(kept, commit, source.revision, why)
        if not offline:
            reason = str(error.__cause__).strip() or type(error.__cause__).__name__
            tell(
                f"{source}: the Hub does not hand it out "
                f"({reason.splitlines()[-1]:.120}); commit "
                f"{commit[:12]} from Hugging Face's cache is taken."
            )
    path = HubPath(repo, source.file)
    if source.file and not path.is_file():
        packed = [name for name in repo.sizes if name.lower().endswith(".gguf")]
        raise CheckpointError(
            f"{source}: there is no such file in the repository. Expected one of "
            f"{', '.join(packed[:12]) or 'its .gguf files, but it has none'}."
        )
    return path


def from_cache(path: Path) -> HubPath | None:
    """The repository or file that a path into Hugging Face's cache stands for; None for others.

    Raises `CheckpointError` where the folder of a repository does not say which commit is meant.
    """
    found = within_cache(path)
    if found is None:
        return None
    repo, commit, file = found
    revision = commit
    if not commit:
        revision, commits = "main", repo.commits()
        commit = repo.commit("main") or (commits[0] if len(commits) == 1 else "")
    if not commit:
        raise CheckpointError(
            f"{path}: is {repo.name} in Hugging Face's cache, without a branch main; expected one "
            f"commit, found {len(repo.commits())} of them. Name one of the folders in "
            f"{repo.folder / 'snapshots'}, or {repo.name}@revision."
        )
    return HubPath(_kept(repo, commit, revision, "a folder of the cache was named"), file)


def _asked(source: HubName, kept: CachedRepo, cache: ByteCache | None) -> HubRepo:
    """What the Hub says of a repository, and which of its files lie in the cache."""
    from huggingface_hub import HfApi, constants

    with explained(source.repository):
        # The endpoint as it is now: the environment's, or what a program has set since.
        api = HfApi(endpoint=constants.ENDPOINT)
        info = api.model_info(
            source.repository, revision=source.revision, files_metadata=True, timeout=30
        )
        # A commit's name becomes a folder's: one like ../.. must not.
        if not (isinstance(info.sha, str) and re.fullmatch("[0-9a-f]{40}", info.sha)):
            raise ValueError(f"its commit is {info.sha!r:.60}")
        files = info.siblings or ()
        sizes = {file.rfilename: file.size or 0 for file in files}
        for name, size in sizes.items():
            if not (isinstance(name, str) and isinstance(size, int) and size >= 0):
                raise ValueError(f"it has a file {name!r:.60} of {size!r:.20} bytes")
    local = _whole(files, kept, info.sha)
    title = kept.title(source.revision)
    return HubRepo(source.repository, info.sha, title, sizes, local, cache=cache)


def _whole(files: Iterable[Any], kept: CachedRepo, commit: str) -> dict[str, Path]:
    """The files of this commit that lie in the cache.

    Also contents that came with another commit, where their checksum says that they are the same:
    who corrects a README does not make anybody fetch the weights again.
    """
    there, found = kept.files(commit), dict[str, Path]()
    for file in files:
        checksum = file.lfs.sha256 if file.lfs else file.blob_id
        path = there.get(file.rfilename) or kept.blob(checksum)
        if path.is_file() and path.stat().st_size == file.size:
            found[file.rfilename] = path
    return found


def _kept(repo: CachedRepo, commit: str, revision: str, why: str) -> HubRepo:
    """A commit as far as the cache has it."""
    local = repo.files(commit)
    sizes = {name: path.stat().st_size for name, path in local.items()}
    return HubRepo(repo.name, commit, repo.title(revision), sizes, local, alone=why)


def _neither(error: CheckpointError, kept: CachedRepo) -> CheckpointError:
    """The Hub's refusal, with what the cache has, if that is not what was asked for."""
    commits = kept.commits()
    if not commits:
        return error
    names = [*kept.refs(), *(commit[:12] for commit in commits)]
    return CheckpointError(
        f"{error} Hugging Face's cache in {kept.folder.parent} has {kept.name} at "
        f"{', '.join(names[:8])}, but not at that revision."
    )
