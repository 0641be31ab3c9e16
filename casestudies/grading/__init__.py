"""Grading: builds the assignments, runs submissions in a sandbox, and reaches the verdict outside of it.

notebooks   text sources -> nbgrader's source notebooks -> what students get
cells       the instructor's cells of one assignment, and what a graded cell asks for
handed_in   which of the files of a submission is the notebook, and which come along
strays      what lies beside the submissions, and where it belongs
times       when it was handed in
sanitise    what students write, as HTML that can do nothing
pages       what feedback, class report and formgrader need of a browser
intake      a submission as it arrives -> a notebook rebuilt around the instructor's cells
elsewhere   where work may stand that is not in the cells that ask for it
submission  what was handed in, and the digest of everything that its result depends on
sandbox     a process without references, network or other submissions, that forks one child a submission; the
            program in it is `casestudies.sandboxed`
cgroups     a control group for each submission, where one can be made
executor    runs one notebook in a child and asks its questions
verdicts    what came out: one state a graded part
secret      the secret of a course, from which its questions are drawn
arrivals    when it came in, as far as somebody saw it
lateness    the time of each submission in the gradebook, written anew in each run
penalties   what being late costs, by a plugin that may fail
plugins     the same behind nbgrader's own commands
locks       one command at a time that grades in a course's folder
worker      a grading process, with limits of its own
pools       grading processes of this machine or of a cluster, and the boundary around each submission
course      a whole class: parallel, resumable
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def importing() -> Iterator[None]:
    """Around imports of torch or nbgrader: the garbage collector would look through half a million objects, again and
    again, and find that all of them stay. Later it leaves them alone, and looks less often: a module is a
    hundred objects."""
    gc.disable()
    try:
        yield
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
    finally:
        gc.enable()


def _import_jsonschema() -> None:
    """Before nbformat does, and without two packages for formats that no notebook's schema mentions. The grammar of
    internationalised addresses takes 1.5 s to build, and durations bring a library of dates along.

    jsonschema does without where such a package is missing.
    """
    left_out = ("rfc3987_syntax", "isoduration")
    if "jsonschema" in sys.modules or any(name in sys.modules for name in left_out):
        return
    for name in left_out:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        import jsonschema  # noqa: F401
    finally:
        for name in left_out:
            del sys.modules[name]


_import_jsonschema()
