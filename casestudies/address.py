"""Where this course is published: the one place to edit in a fork, followed by `make exercises`.

The install cell of the notebooks, the links in a check's report and the buttons of the book follow. The book that
GitHub builds takes the address of its own repository, and CASESTUDIES_BOOK names another published copy of the book.
"""

from __future__ import annotations

import os
import re

REPOSITORY = "https://github.com/YOUR_ORGANISATION/casestudies"
_NOBODYS = "YOUR_ORGANISATION"  # in the line above, until somebody has written an address into it

# The repository with the student kit, which Colab and Binder open: what `casestudies student-kit --branch` writes,
# pushed to a repository of its own. Never the one above: the solutions are in it. A branch other than main follows
# an @, as in "https://github.com/you/course-for-students@autumn". Empty: the book offers neither, and says so.
STUDENTS = ""


def pages_of(repository: str) -> str:
    """The address at which GitHub Pages publish a repository.

    >>> pages_of("https://github.com/ada/casestudies")
    'https://ada.github.io/casestudies/'
    """
    owner, name = repository.rstrip("/").split("/")[-2:]
    return f"https://{owner.lower()}.github.io/{name}/"


def problem(what: str = "the links in the notebooks lead") -> str:
    """What is missing where `what` would lead nowhere; empty where an address has been written."""
    if _NOBODYS not in REPOSITORY:
        return ""
    return (
        f"{what} to {pages_of(REPOSITORY)}, which is nobody's; write your address into "
        "casestudies/address.py of your fork, and build notebooks and package again"
    )


def students() -> tuple[str, str] | None:
    """Owner and name of the repository with the student kit, and its branch; None where there is none.

    CASESTUDIES_STUDENTS goes before the line above. Raises ValueError for an address that is no repository on GitHub,
    or where the solutions are.
    """
    address = os.environ.get("CASESTUDIES_STUDENTS", STUDENTS).strip()
    if not address:
        return None
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?(?:@([\w./-]+))?", address)
    if found is None:
        raise ValueError(
            f"the student kit's repository is {address!r}; expected https://github.com/you/course-for-students, with "
            "@branch behind it where that is not main (STUDENTS in casestudies/address.py, or CASESTUDIES_STUDENTS)"
        )
    own = {"/".join(REPOSITORY.rstrip("/").split("/")[-2:]), os.environ.get("GITHUB_REPOSITORY", "")}
    if found[2] in (None, "main") and found[1].lower() in {each.lower() for each in own}:
        raise ValueError(
            f"{address} is where the solutions are; push the student kit to a repository of its own, or to another "
            "branch (casestudies student-kit --branch students), and name that"
        )
    return found[1], found[2] or "main"


def book() -> str:
    """The published book, with a slash at its end."""
    return os.environ.get("CASESTUDIES_BOOK", pages_of(REPOSITORY)).rstrip("/") + "/"
