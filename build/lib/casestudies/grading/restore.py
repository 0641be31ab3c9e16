"""`casestudies restore`: a course's folder from what `casestudies backup` has written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from casestudies.grading.backup import restore
from casestudies.grading.course import CourseError


def _run(args: argparse.Namespace) -> int:
    try:
        course_id, number = restore(args.archive, args.folder)
    except CourseError as error:
        print(f"casestudies restore: {error}", file=sys.stderr)
        return 2
    print(f"{args.folder}: {number} files of the course {course_id}, each compared.")
    return 0


def add_parser(subparsers: Any) -> None:
    """`casestudies restore FILE FOLDER`"""
    parser = subparsers.add_parser(
        "restore",
        description="Each file in it is compared first.",
    )
    parser.add_argument("archive", type=Path, help="what `casestudies backup` has written")
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet, or is empty")
    parser.set_defaults(run=_run)
