"""Where this course is published: the one place to edit in a fork, followed by `make exercises`.

The install cell of the notebooks, the links in a check's report and the buttons of the book follow. The book that
GitHub builds takes the address of its own repository, and CASESTUDIES_BOOK names another published copy of the book.
"""

from __future__ import annotations

import os

REPOSITORY = "https://github.com/YOUR_ORGANISATION/casestudies"


def pages_of(repository: str) -> str:
    """The address at which GitHub Pages publish a repository.

    >>> pages_of("https://github.com/ada/casestudies")
    'https://ada.github.io/casestudies/'
    """
    owner, name = repository.rstrip("/").split("/")[-2:]
    return f"https://{owner.lower()}.github.io/{name}/"


def book() -> str:
    """The published book, with a slash at its end."""
    return os.environ.get("CASESTUDIES_BOOK", pages_of(REPOSITORY)).rstrip("/") + "/"
