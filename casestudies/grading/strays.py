"""What lies in submitted/ and is no submission of an assignment, and where it belongs.

Only names are looked at, no more than a few of each student and not deep, and no link is followed: a watch asks once
a second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from casestudies.grading.handed_in import ENTRIES_COUNT, NAMED_NOTEBOOK, hidden, may_be_work, passed_over
from casestudies.sandboxed.quoting import printable, quoted

LOOKED_AT = 200  # entries of the folders within one student's
DEPTH = 3  # folders within it
SHOWN = 5  # names in one sentence


def same_name(folder: str, name: str) -> bool:
    """Whether a folder was meant to be named so: other capitals, blanks for underscores, a number behind."""

    def bare(text: str) -> str:
        text = re.sub(r"\s*[(\[]?\d*[)\]]?$", "", text.casefold().strip())
        return re.sub(r"[\s_-]+", "", text)

    return bare(folder) == bare(name)


def dotted(submitted: Path, name: str) -> dict[str, str]:
    """The folders of submitted/ that are passed over for the dot before their name, and hold something that is called
    like the assignment, and why they were not graded."""
    found: dict[str, str] = {}
    try:
        with os.scandir(submitted) as entries:
            folders = sorted(e.name for e in entries if e.name[0] == "." and e.is_dir(follow_symlinks=False))
        for each in folders:
            if any(_is_called(inside, name) for inside, _ in _entries(submitted / each, LOOKED_AT)):
                found[each] = (
                    f"The folder {quoted(each)} was not looked at, since its name begins with a dot, as those of a "
                    "system do. If it is a student's, rename it."
                )
    except OSError:
        pass
    return found


def loose(submitted: Path, name: str) -> list[str]:
    """The files in submitted/ itself that nobody handed in, by all that their names say: no notebook or archive, and
    not called like the assignment."""
    return [each for each, link in _no_folders(submitted) if not (link or _may_be_work(each, name))]


def in_no_folder(submitted: Path, name: str) -> dict[str, str]:
    """What else lies in submitted/ itself and is no folder, and why it was not graded."""
    found: dict[str, str] = {}
    for each, link in _no_folders(submitted):
        if not (link or _may_be_work(each, name)):
            continue
        found[each] = (
            f"{quoted(each)} is a link, which is not followed; put the student's folder itself in its place."
            if link
            else f"{quoted(each)} lies in no student's folder; if it was handed in for {name!r}, move it to "
            f"submitted/<student>/{name}/."
        )
    return found


def _no_folders(submitted: Path) -> list[tuple[str, bool]]:
    """Names of what is no folder, but for a system's files, and which of them are links."""
    try:
        with os.scandir(submitted) as entries:
            inside = [(e.name, e.is_symlink()) for e in entries if not e.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted((each, link) for each, link in inside if not hidden(each))


def _may_be_work(file: str, name: str) -> bool:
    return may_be_work(file) or same_name(file.partition(".")[0], name)


def misplaced(folder: Path, name: str, others: Sequence[str]) -> str:
    """Why a student's folder that has none for the assignment does hold something that may be one; "" where not.

    `others` are the other assignments, whose folders are none of this one's business.
    """
    try:
        inside = sorted(_entries(folder, ENTRIES_COUNT))
    except OSError as error:
        return f"The folder {quoted(folder.name)} cannot be read: {error.strerror}."
    files = [each for each, is_dir in inside if not is_dir]
    folders = [each for each, is_dir in inside if is_dir and not _of_another(each, name, others)]
    if same_name(folder.name, name):
        if folders:
            first, *rest = map(printable, folders)
            more = f", and so on with {_names(folders[1:])}" if rest else ""
            return (
                f"The folder {quoted(folder.name)} is called like the assignment and holds the folder "
                f"{quoted(first)}: student and assignment are the wrong way round; move "
                f"submitted/{printable(folder.name)}/{first}/ to submitted/{first}/{name}/{more}."
            )
        if files:
            return (
                f"{quoted(files[0])} lies in a folder that is called like the assignment, and in no student's; "
                f"move it to submitted/<student>/{name}/."
            )
    if loose := [*files, *(each for each in folders if same_name(each, name))]:
        return (
            f"{quoted(min(loose))} lies beside the folder {name!r}, not in it; if it was handed in for "
            f"{name!r}, move it to submitted/{printable(folder.name)}/{name}/."
        )
    if place := _deeper(folder, folders, name, others):
        return (
            f"{quoted(place)} does not lie in the folder {name!r} of a student; if it was handed in for {name!r}, "
            f"move it to submitted/<student>/{name}/."
        )
    return ""


def _deeper(folder: Path, waiting: list[str], name: str, others: Sequence[str]) -> str:
    """Where, in folders of other names, something is called like the assignment; "" where nothing is."""
    left = LOOKED_AT
    for _ in range(DEPTH):
        below: list[str] = []
        for place in waiting:
            try:
                inside = sorted(_entries(folder / place, left))
            except OSError:
                continue
            left -= len(inside)
            for each, is_dir in inside:
                if (is_dir or NAMED_NOTEBOOK.search(each)) and _is_called(each, name):
                    return f"{place}/{each}"
                if is_dir and not _of_another(each, name, others):
                    below.append(f"{place}/{each}")
        waiting = below
    return ""


def _is_called(entry: str, name: str) -> bool:
    """Whether a folder, or a notebook, is called like the assignment."""
    notebook = NAMED_NOTEBOOK.search(entry)
    return same_name(entry[: notebook.start()] if notebook else entry, name)


def _entries(folder: Path, most: int) -> Iterator[tuple[str, bool]]:
    """Names in a folder, and which are folders; not those that no student made."""
    with os.scandir(folder) as entries:
        for each in entries:
            if most <= 0:
                return
            most -= 1
            is_dir = each.is_dir(follow_symlinks=False)
            if not (passed_over(each.name) if is_dir else hidden(each.name)):
                yield each.name, is_dir


def _of_another(folder: str, name: str, others: Sequence[str]) -> bool:
    return not same_name(folder, name) and any(same_name(folder, each) for each in others)


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(quoted(each) for each in names[:SHOWN])
    return shown + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


__all__ = ["dotted", "in_no_folder", "loose", "misplaced", "same_name"]
