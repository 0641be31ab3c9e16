"""Tables of mistakes: each row is an edit of the reference's source, and a row that does not fit says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from casestudies.checking import parts
from casestudies.checking.parts import Part, Reference
from casestudies.checking.sources import Edited, TableError
from casestudies.checking.tables import table


def scale(x: float, by: float = 2.0) -> float:
    return by * x


class Sized(nn.Module):
    """relu(linear(x)) + x"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width, bias=False)
        self.last = nn.Sequential(nn.ReLU(), nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        return self.last(y) + scale(x)


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Iterator[Part]:
    made = Part("tried/part", 1, "A part", "tried.html#here", lambda: Reference(Sized))
    monkeypatch.setitem(parts._PARTS, made.id, made)
    yield made


def declared(part: Part, rows: str, **options: object) -> dict[str, parts.Mistake]:
    table(part.id, (Sized, scale), rows, **options)
    return {known.id: known for known in part.mistakes}


def outputs(known: parts.Mistake) -> Tensor:
    block = known.wrong(2).double()
    nn.init.eye_(block.linear.weight)
    return block(torch.tensor([[-1.0, 3.0]]).double())


# heading, what is written instead, the output on (-1, 3) with the identity as weight
ROWS = [
    ("self.last(y) + scale(x)", "self.last(y)", (0.0, 3.0)),
    ("forward: scale(x)", "x", (-1.0, 6.0)),
    ("by: float = 2.0", "by: float = 3.0", (-3.0, 12.0)),
    ("nn.ReLU()", "", (-3.0, 9.0)),
    ("nn.ReLU(), nn.Identity()", "nn.Tanh()", (-2.0 - 0.761594155956, 6.0 + 0.995054753687)),
    ("every Sized: nn.Identity()", "nn.ReLU(), nn.Hardtanh()", (-2.0, 7.0)),
    ("y = self.linear(x)", "y = self.linear(x); x = -x", (2.0, -3.0)),
    ("return by * x", "return by", (2.0, 5.0)),
]


@pytest.mark.parametrize(("right", "wrong", "expected"), ROWS)
def test_mistake_is_the_reference_with_the_edit(
    part: Part, right: str, wrong: str, expected: tuple[float, ...]
) -> None:
    known = declared(part, f"{right}\n    other: {wrong}\n        It is other.\n")
    torch.testing.assert_close(outputs(known["other"]), torch.tensor([expected]).double())


def test_sentence_link_and_name_are_those_of_the_row(part: Part) -> None:
    rows = "bias=False  # why\n    with_bias: bias=True\n        There is\n        a bias.\n"
    known = declared(part, rows, said="The block: {}")["with_bias"]
    assert (known.text, known.see) == ("The block: There is a bias.", "tried.html#why")
    assert known.wrong.__name__ == "WithBias" and known.wrong(2).linear.bias is not None
    assert declared(part, "nn.ReLU()\n    gone:\n        No ReLU.\n")["gone"].see == part.see


def test_another_place_is_changed_as_well(part: Part) -> None:
    rows = "nn.ReLU()\n    other:\n        + scale(x) => 0\n        Nothing is added.\n"
    torch.testing.assert_close(outputs(declared(part, rows)["other"]), torch.tensor([[-1.0, 3.0]]).double())


def test_rows_are_left_out(part: Part) -> None:
    assert declared(part, "nn.ReLU()\n    gone:\n        No ReLU.\n", but=["gone"]) == {}


PAIRS = """
nn.ReLU()
    no_relu:
        There is no ReLU.
    tanh: nn.Tanh()
        It is tanh.
self.last(y) + scale(x)
    doubled: 2 * (self.last(y) + scale(x))
        It is doubled.
scale(x)
    plain: x
        It is not scaled.
self.last(y) + scale(x)
    subtracted: self.last(y) - scale(x)
        It is subtracted.
"""


def test_edits_that_do_not_overlap_are_made_together(part: Part) -> None:
    declared(part, PAIRS)
    pairs = {(pair.one.id, pair.other.id): pair for pair in part.pairs}
    # Two of the same place are none, unless one puts something around the piece; and a change inside a piece goes
    # with one of the piece that keeps what it changes.
    assert set(pairs) == {
        ("no_relu", "doubled"),
        ("no_relu", "plain"),
        ("tanh", "doubled"),
        ("tanh", "plain"),
        ("doubled", "plain"),
        ("doubled", "subtracted"),
        ("no_relu", "subtracted"),
        ("tanh", "subtracted"),
        ("plain", "subtracted"),
    }
    both = parts.Mistake("both", "", "", pairs["doubled", "plain"].declared)
    torch.testing.assert_close(outputs(both), torch.tensor([[-2.0, 12.0]]).double())
    both = parts.Mistake("both", "", "", pairs["doubled", "subtracted"].declared)
    torch.testing.assert_close(outputs(both), torch.tensor([[4.0, -6.0]]).double())
    both = parts.Mistake("both", "", "", pairs["plain", "subtracted"].declared)
    torch.testing.assert_close(outputs(both), torch.tensor([[1.0, 0.0]]).double())


def test_block_as_it_was_given_has_all_its_mistakes(part: Part) -> None:
    declared(part, PAIRS)
    part.given = frozenset({"no_relu", "doubled", "plain"})
    given = parts.Mistake("given", "", "", part.as_given)
    torch.testing.assert_close(outputs(given), torch.tensor([[-4.0, 12.0]]).double())
    part.given = frozenset({"no_relu", "tanh"})
    assert part.as_given is None


# rows, what the error says
WRONG = [
    ("nn.Dropout()\n    a:\n        Text.", "`nn.Dropout()` does not occur in Sized, scale; where it stands"),
    ("nn.ReLU()\n    a: nn.ReLU()\n        Text.", "the edit of `nn.ReLU()` changes nothing"),
    ("x\n    a: 2\n        Text.", "`x` occurs"),
    ("nn.ReLU()\n    a: nn.Tahn(\n        Text.", "`nn.Tahn(` is not Python"),
    ("nn.ReLU()\n    a: Tahn()\n        Text.", "nothing is named Tahn there"),
    ("scale(x)\n    a: 1\n        + x => 2\n        Text.", "`x` occurs"),
    (
        "scale(x)\n    a: 1\n        + forward: scale(x) => 2\n        Text.",
        "two of its edits change the same place",
    ),
]


@pytest.mark.parametrize(("rows", "message"), WRONG)
def test_row_that_does_not_fit_says_which_it_is(part: Part, rows: str, message: str) -> None:
    known = declared(part, rows)["a"]
    with pytest.raises(TableError) as raised:
        _ = known.wrong
    assert str(raised.value).startswith("tried/part, a: ")
    assert message in str(raised.value)


def test_row_without_a_sentence_is_refused(part: Part) -> None:
    with pytest.raises(TableError, match="tried/part, a: there is no sentence for the student to read"):
        declared(part, "nn.ReLU()\n    a: nn.Tanh()\n")


def test_row_without_a_decision_is_refused(part: Part) -> None:
    with pytest.raises(TableError, match="the line 'a: nn.Tanh\\(\\)' is not a mistake"):
        declared(part, "    a: nn.Tanh()\n        Text.\nnn.ReLU()\n")


@pytest.mark.parametrize("blanks", ["", " ", "  ", "    "])
def test_place_is_what_stands_behind_the_decision(part: Part, blanks: str) -> None:
    known = declared(part, f"return by * x{blanks}# why\n    other: return by\n        It is other.\n")[
        "other"
    ]
    assert known.see == "tried.html#why"
    torch.testing.assert_close(outputs(known), torch.tensor([[2.0, 5.0]]).double())


def test_sign_in_a_string_begins_no_place(part: Part) -> None:
    known = declared(part, "print('a # b')\n    other: print('#')\n        It is other.\n")["other"]
    assert known.see == part.see and known.declared.edits[0].right == "print('a # b')"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "nn.ReLU()  # two words\n    a: nn.Tanh()\n        Text.",
            "a decision with one place of the chapter",
        ),
        ("nn.ReLU()\n    a: nn.Tanh()  # why\n        Text.", "a mistake without a `#`: the place"),
    ],
)
def test_place_that_would_be_lost_is_refused(part: Part, rows: str, message: str) -> None:
    with pytest.raises(TableError, match=message):
        declared(part, rows)


SAME = "nn.ReLU()\n    a: nn.Tanh()\n        {}\n    a: nn.ELU()\n        {}\n"


def test_id_names_one_mistake_of_a_part(part: Part) -> None:
    with pytest.raises(TableError, match="^tried/part has two mistakes a with different"):
        declared(part, SAME.format("It is tanh.", "It is another."))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("nn.Dropout()\n    a:\n        Text.", ", tried/part, a: `nn.Dropout()` does not occur"),
        ("nn.ReLU()\n    a: nn.Tanh()\n", ", tried/part, a: there is no sentence"),
        (SAME.format("It is tanh.", "It is another."), ": tried/part has two mistakes a with different"),
    ],
)
def test_error_names_the_file_of_a_part_of_the_package(part: Part, rows: str, said: str) -> None:
    part.declare.__module__ = "casestudies.checks.tried"
    with pytest.raises(TableError) as raised:
        _ = declared(part, rows)["a"].wrong
    assert str(raised.value).startswith(f"casestudies/checks/tried.py{said}")


def test_mistake_may_have_several_forms(part: Part) -> None:
    declared(part, SAME.format("It is not ReLU.", "It is not ReLU."))
    assert [known.id for known in part.mistakes] == ["a", "a"]


def test_class_cannot_take_the_id_of_a_row(part: Part) -> None:
    declared(part, "nn.ReLU()\n    other:\n        No ReLU.\n")

    class Other(nn.Module):
        """Something else."""

    with pytest.raises(ValueError, match="tried/part has two mistakes other with different sentences"):
        parts.mistake("tried/part")(Other)


@pytest.mark.parametrize("but", ["gne", ["gne"]])
def test_row_to_leave_out_must_be_there(part: Part, but: object) -> None:
    with pytest.raises(TableError, match="tried/part: but has gne, which is no row of the table"):
        declared(part, "nn.ReLU()\n    gone:\n        No ReLU.\n", but=but)


def test_table_of_a_part_that_is_not_declared_says_so() -> None:
    with pytest.raises(ValueError, match=r"there is no part 'tried/none'; declare it with @part"):
        table("tried/none", scale, "x\n    a: y\n        Text.")


def test_nothing_is_compiled_before_it_is_asked_for(part: Part) -> None:
    known = declared(part, PAIRS)["tanh"].declared
    assert isinstance(known, Edited) and "made" not in vars(known) and "places" not in vars(known)
