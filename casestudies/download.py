"""Fetch one file: checked by its hash, kept in a cache, resumed where it was cut off."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import urllib.error
import urllib.request
from pathlib import Path

CHUNK = 1 << 18  # bytes
TIMEOUT = 30  # seconds without a byte


class DownloadError(OSError):
    """A file could not be downloaded; the message says why, and what to do. It is an OSError."""


def cache_folder() -> Path:
    """Where downloads are kept: CASESTUDIES_CACHE, or the user's cache folder."""
    chosen = os.environ.get("CASESTUDIES_CACHE")
    if chosen:
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("casestudies"))


def fetch(url: str, path: Path, digest: str, algorithm: str = "sha256", progress: bool | None = None) -> Path:
    """The file at `url`, kept as `path`; it is only fetched where `path` does not exist yet.

    `digest` is the file's hash in hexadecimal, or the beginning of it. Data arrive beside `path`, in a file that
    ends in ".part", and a later call goes on where it ends. Only a complete file whose hash agrees gets its name.
    """
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    receive(url, part, path, progress)
    found = file_digest(part, algorithm)
    if not found.startswith(digest):
        part.unlink()
        raise DownloadError(
            f"{url} came with {algorithm} {found[: len(digest)]} and should have {digest}; what came was deleted. "
            f"Try again, or fetch it another way and put it at {path}"
        )
    part.replace(path)
    return path


def file_digest(path: Path, algorithm: str) -> str:
    """The hash of a file in hexadecimal; `algorithm` is a name that hashlib knows, such as "sha256"."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def receive(url: str, part: Path, path: Path, progress: bool | None) -> None:
    """Append to `part` what it lacks of the file at `url`."""
    from tqdm import tqdm

    start = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            if response.status != http.client.PARTIAL_CONTENT:
                start = 0  # the server sends the file from its beginning
            length = response.headers.get("Content-Length")
            total = start + int(length) if length else None
            quiet = not (sys.stderr.isatty() if progress is None else progress)
            with (
                part.open("r+b" if start else "wb") as file,
                tqdm(
                    total=total, initial=start, disable=quiet, unit="B", unit_scale=True, desc=path.name
                ) as bar,
            ):
                file.seek(start)
                while block := response.read(CHUNK):
                    file.write(block)
                    bar.update(len(block))
                arrived = file.tell()
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # all of it is there already; the hash decides
        raise DownloadError(f"{url} answers {error.code} {error.reason}; {otherwise(path)}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise DownloadError(f"{url} cannot be reached ({reason}); {otherwise(path)}") from error
    if total is not None and arrived < total:
        raise DownloadError(
            f"{url} broke off after {arrived:,} of {total:,} bytes; call again, and it goes on from there"
        )


def otherwise(path: Path) -> str:
    return f"connect to the network and try again, or fetch it another way and put it at {path}"
