"""A copy of what cannot be made again: the gradebook, the course's secret, and what the instructor wrote.

    casestudies backup vision-2026.zip               gradebook, secret, configuration, assignments, tables
    casestudies backup vision-2026.zip --submissions also what was handed in, graded and given back
    casestudies restore vision-2026.zip vision-2026  a folder in which everything works as before

The gradebook is copied as SQLite copies it, so that a backup may be made while somebody grades. The archive is for
its owner alone, as the secret in it is; it is read again, and each file compared, before it has its name.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from casestudies.grading import arrivals, comments, extensions, secret
from casestudies.grading.course import Course, CourseError
from casestudies.grading.materials import COURSE, appear, staging
from casestudies.grading.notebooks import find_root
from casestudies.grading.sandbox import MIB
from casestudies.grading.tables import open_file

MANIFEST_BYTES = 64 * MIB
MANIFEST = "backup.json"
GRADEBOOK = "gradebook.db"
WRITTEN = (secret.NAME, extensions.NAME, arrivals.NAME, comments.NAME, "students.csv", ".gitignore")
# These say who a student is, or what only the grader may know; the first are made with this mode, too.
PRIVATE = {secret.NAME, GRADEBOOK, *WRITTEN} - {".gitignore"}
WORK = ("submitted", "autograded", "feedback")


class BackupError(CourseError):
    """A backup cannot be made or restored; one sentence says what to do."""


# --------------------------------------------------------------------------- backup


def _files(course: Course, submissions: bool) -> Iterator[tuple[str, Path]]:
    """What goes into the archive, by its path in the course's folder; no link is followed."""
    for name in WRITTEN:
        yield name, course.folder / name
    if course.root == course.folder:  # else they are in the clone, and in its history
        for pattern in COURSE:
            for path in sorted(course.root.glob(pattern)):
                yield path.relative_to(course.root).as_posix(), path
    for step in WORK if submissions else ():
        for folder, folders, names in os.walk(course.step(step)):
            folders.sort()
            for name in sorted(names):
                path = Path(folder, name)
                yield (Path(step) / path.relative_to(course.step(step))).as_posix(), path


def _copy_gradebook(course: Course, target: Path) -> None:
    """The gradebook as it is at one moment, whoever writes to it meanwhile."""
    from sqlalchemy import make_url

    url = make_url(course.db_url)
    if url.get_backend_name() != "sqlite":
        raise BackupError(
            f"the gradebook is in {url.get_backend_name()}, which has its own command for a backup (pg_dump); "
            "nothing was written"
        )
    path = Path(url.database or "")
    if not path.is_file():
        raise BackupError(f"there is no gradebook at {path}; nothing is graded yet, and nothing was written")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=60)) as source:
            with closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
                (fault,) = copy.execute("PRAGMA integrity_check").fetchone()
    except sqlite3.Error as error:
        raise BackupError(f"the gradebook {path} cannot be copied: {error}; nothing was written") from None
    if fault != "ok":
        raise BackupError(f"the gradebook {path} is damaged: {fault}; nothing was written")


def back_up(course: Course, archive: Path, submissions: bool = False) -> dict[str, str]:
    """Writes the archive, and returns the SHA-256 of each file in it.

    Raises BackupError where the archive exists, there is no gradebook or secret, or nothing can be written.
    """
    if os.path.lexists(archive):
        raise BackupError(f"{archive} exists; name a new file, and nothing is overwritten")
    secret_file = course.folder / secret.NAME
    if not secret_file.is_file():
        raise BackupError(
            f"{secret_file} is missing, without which no grade can be made again; nothing was written"
        )
    course.secret()  # a damaged one is not worth a backup
    found: dict[str, str] = {}
    draft = archive.with_name(f".{archive.name}.{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory() as scratch:
            copy = Path(scratch, GRADEBOOK)
            _copy_gradebook(course, copy)
            archive.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            with (
                os.fdopen(descriptor, "w+b") as file,
                zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed,
            ):
                for name, path in [(GRADEBOOK, copy), *_files(course, submissions)]:
                    if path.is_symlink() or not path.is_file():
                        continue
                    data = path.read_bytes()
                    found[name] = hashlib.sha256(data).hexdigest()
                    packed.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
                made = datetime.now(UTC).isoformat(timespec="seconds")
                manifest = {"course_id": course.course_id, "made": made, "files": found}
                packed.writestr(zipfile.ZipInfo(MANIFEST), json.dumps(manifest, indent=1))
        _checked(draft)
        draft.rename(archive)
    except OSError as error:
        raise BackupError(f"{archive} cannot be written: {error.strerror}; nothing was changed") from None
    finally:
        draft.unlink(missing_ok=True)
    return found


# --------------------------------------------------------------------------- restore


def _digest(packed: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    with packed.open(name) as file:
        while block := file.read(MIB):
            digest.update(block)
    return digest.hexdigest()


def _checked(archive: Path) -> tuple[str, dict[str, str]]:
    """The course_id of a backup, and its files, after each was compared with its SHA-256."""
    try:
        with open_file(archive) as file, zipfile.ZipFile(file) as packed:
            if packed.getinfo(MANIFEST).file_size > MANIFEST_BYTES:
                raise ValueError(f"{MANIFEST} is larger than {MANIFEST_BYTES // MIB} MiB")
            manifest = json.loads(packed.read(MANIFEST))
            course_id, files = manifest["course_id"], manifest["files"]
            if set(packed.namelist()) != {MANIFEST, *files} or not isinstance(course_id, str):
                raise ValueError("it has other files than it says")
            for name, expected in files.items():
                parts = PurePosixPath(name).parts
                if not parts or name.startswith("/") or ".." in parts or "\\" in name:
                    raise ValueError(f"{name!r} is no path in a course")
                if _digest(packed, name) != expected:
                    raise ValueError(f"{name} is damaged")
    except OSError as error:
        raise BackupError(f"{archive} cannot be read: {error.strerror}; nothing was changed") from None
    except (
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        EOFError,
        RuntimeError,  # a password, a method of packing that Python does not know, brackets without end
    ) as error:
        raise BackupError(
            f"{archive} is no sound backup of a course: {error}; take another one, nothing was changed"
        ) from None
    return course_id, files


def restore(archive: Path, folder: Path) -> tuple[str, int]:
    """Makes the folder of a course from a backup; returns its course_id and how many files it has.

    Raises BackupError where the backup is damaged, or `folder` exists and is not empty. All of it appears at once.
    """
    course_id, files = _checked(archive)
    folder = Path(os.path.abspath(folder))
    if folder.is_symlink() or folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(
            f"{folder} exists and is not an empty folder, and nothing was changed in it; name a new one, or rename "
            "that one first"
        )
    staged: Path | None = None
    try:
        staged = staging(folder)
        with zipfile.ZipFile(archive) as packed:
            for name in files:
                path = staged / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(name) as source, path.open("xb") as target:
                    shutil.copyfileobj(source, target)
                if name in PRIVATE:
                    path.chmod(0o600)
        (staged / "submitted").mkdir(exist_ok=True)
        appear(staged, folder)
    except OSError as error:
        raise BackupError(
            f"{folder} cannot be made: {error.strerror}; make room or set permissions, nothing was changed"
        ) from None
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)
    return course_id, len(files)


# --------------------------------------------------------------------------- the command


def _back_up(args: argparse.Namespace) -> int:
    try:
        course = Course.open(find_root(args.course), args.course)
        found = back_up(course, args.archive, args.submissions)
    except CourseError as error:
        print(f"casestudies backup: {error}", file=sys.stderr)
        return 2
    size = args.archive.stat().st_size / MIB
    print(f"{args.archive}: {len(found)} files of the course {course.course_id}, {size:.1f} MiB, compared.")
    if not args.submissions:
        print("Submissions are not in it (--submissions).")
    print("The course's secret is in it: keep it where no student can read it.")
    return 0


def add_parser(subparsers: Any) -> None:
    """`casestudies backup FILE`"""
    backup = subparsers.add_parser(
        "backup",
        description="These cannot be made again. Works also while somebody grades.",
    )
    backup.add_argument("archive", type=Path, help="a file that does not exist yet, such as vision-2026.zip")
    backup.add_argument(
        "--submissions", action="store_true", help="also submissions, graded notebooks, feedback"
    )
    backup.add_argument(
        "--course", type=Path, help="the course's folder (default: CASESTUDIES_COURSE, or here)"
    )
    backup.set_defaults(run=_back_up)
