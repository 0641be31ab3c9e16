"""What a student chose stands in our sentences as text: on one line, bounded, and it does nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from casestudies.sandboxed.quoting import named, printable, quoted

MARKUP = set('<>&`*[]{}$\\|~#"')


@given(st.text(), st.integers(1, 50))
def test_printable_is_one_bounded_line(text: str, most: int) -> None:
    found = printable(text, most)
    assert found.isprintable() and len(found) <= most + 4
    found.encode()


@given(st.text(alphabet=st.characters(), max_size=200))
def test_quoted_has_no_markup(text: str) -> None:
    found = quoted(text)
    assert not MARKUP & set(found[1:-1]) and "'" not in found[1:-1] and "://" not in found


@given(st.text())
def test_a_name_that_is_none_is_quoted(text: str) -> None:
    assert named(text) == text or named(text) == quoted(text)


def test_what_can_be_read_is_still_read() -> None:
    assert quoted("resnet (1).ipynb") == "'resnet (1).ipynb'"
    assert printable("größe × 2") == "größe × 2"


def test_what_cannot_be_printed_is_said_to_be_so() -> None:
    class Worse:
        def __str__(self) -> str:
            raise ValueError

    assert printable(Worse()) == "(cannot be printed)"
