"""The secret of a course, and the seeds that are drawn from it.

A check asks a block about random inputs. If a student could compute them at home, a file with the right answers
would do in place of the block. So the seed of every check depends on a secret that only the course's folder holds:
the same in every regrade of the course, unpredictable outside it.

All submissions of an assignment are asked the same cases, each with weights and inputs of its own. So nobody's cases
are easier than another's, and what the judge knows of a case serves the whole class.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from casestudies.grading.handed_in import own_files
from casestudies.grading.tables import NotAFile, open_file

NAME = "course_secret"
BYTES = 32


class SecretError(RuntimeError):
    """The secret cannot be read or made; one sentence says what to do."""


def course_secret(folder: Path) -> bytes:
    """The secret of the course whose gradebook lies in `folder`; made at first use, with mode 600.

    An existing file is never overwritten: another secret would grade the same work with other questions. Raises
    SecretError where it cannot be read or written, is a link, or does not hold 32 bytes as hexadecimal digits.
    """
    path = folder / NAME
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    draft = folder / f".{NAME}.{os.getpid()}.{secrets.token_hex(4)}"
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)  # fails where another run was faster; then that one's secret counts
        except FileExistsError:
            pass
        except OSError:  # a file system without hard links
            if not os.path.lexists(path):
                os.rename(draft, path)
    except OSError as error:
        raise SecretError(
            f"the secret of the course cannot be written to {path}: {error.strerror}; "
            "make the folder writable, or put the course's saved secret there"
        ) from None
    finally:
        draft.unlink(missing_ok=True)
    return _read(path)


def damage(folder: Path) -> str:
    """What is wrong with the secret of a course, in a sentence; "" where it is sound, or not made yet.

    For commands that need it only now and then: a damaged one is best noticed while a backup of it is still there.
    """
    try:
        _read(folder / NAME)
    except FileNotFoundError:
        return ""
    except SecretError as error:
        return str(error)
    return ""


def tell_of_damage(folder: Path, command: str) -> None:
    """Says on standard error what is wrong with the secret; `command` is the one that has looked."""
    if sentence := damage(folder):
        print(f"casestudies {command}: {sentence}", file=sys.stderr)


def _read(path: Path) -> bytes:
    advice = "put the saved secret back, or delete the file and grade everything again with a new one"
    try:
        with open_file(path, links=False) as file:
            data = file.read(4 * BYTES)
    except FileNotFoundError:
        raise
    except NotAFile:
        raise SecretError(f"{path}, the secret of the course, is not a regular file; {advice}") from None
    except OSError as error:
        raise SecretError(f"{path}, the secret of the course, cannot be read: {error.strerror}") from None
    try:
        value = bytes.fromhex(data.decode("ascii").strip())
    except ValueError:
        value = b""
    if len(value) != BYTES:
        raise SecretError(
            f"{path}, the secret of the course, does not hold {2 * BYTES} hexadecimal digits; {advice}"
        )
    return value


def submission_seed(
    secret: bytes, assignment: str, notebook: bytes | None, files: Mapping[str, bytes]
) -> str:
    """Two seeds in hexadecimal digits, with "/" between: the submission's own, and that of its assignment's cases.

    The first is the HMAC-SHA256, keyed with the course's secret, over the assignment's name, the notebook and the
    other files, but not those that are laid beside a submission on its way: the same work gets the same seed. Each
    part is preceded by its length, so that no two submissions share a text. The second is over the assignment's name
    alone; no text of the first kind begins as its text does.
    """
    cases = hmac.new(secret, b"cases of " + assignment.encode(), hashlib.sha256)
    mac = hmac.new(secret, digestmod=hashlib.sha256)

    def add(data: bytes) -> None:
        mac.update(len(data).to_bytes(8, "big") + data)

    add(assignment.encode())
    add(b"" if notebook is None else notebook)
    for name, data in sorted(own_files(files).items()):
        add(name.encode("utf-8", "surrogateescape"))
        add(data)
    return f"{mac.hexdigest()}/{cases.hexdigest()}"
