"""What a graded cell asks for is read from its text."""

import pytest

from casestudies.grading.cells import Check, Run, UnprotectedCheck, hidden_lines, steps, without_hidden

HIDDEN = "a = 1\n### BEGIN HIDDEN TESTS\nb = 2\n### END HIDDEN TESTS\nc = 3"

# (cell, its steps)
READ = {
    "one check": ('check("a/b", X)', [Check("a/b", "X")]),
    "keywords": ('check(part="a/b", answer=X, seed=3)', [Check("a/b", "X", seed=3)]),
    "an expression": ('check("a/b", lambda x: f(x, 1))', [Check("a/b", "lambda x: f(x, 1)")]),
    "import of check": ('from casestudies import check\ncheck("a/b", X)', [Check("a/b", "X")]),
    "two on a line": ('check("a/b", X); check("a/c", Y)', [Check("a/b", "X"), Check("a/c", "Y")]),
    "hidden check": (
        '### BEGIN HIDDEN TESTS\ncheck("a/b", X, hidden=True)\n### END HIDDEN TESTS',
        [Check("a/b", "X", hidden=True)],
    ),
    "statements between": ('y = 1\ncheck("a/b", y)', [Run("y = 1"), Check("a/b", "y")]),
    "plain with hidden tests": (HIDDEN, [Run("a = 1"), Run("b = 2", hidden=True), Run("c = 3")]),
    "decorated": ("@d\ndef f():\n    return 1", [Run("@d\ndef f():\n    return 1")]),
    "a method named check": ("thing.check(1)", [Run("thing.check(1)")]),
    "comments only": ("# nothing", []),
}

# (cell, words of the error)
REFUSED = {
    "in an assertion": ('assert check("a/b", X).passed', "statement of its own"),
    "in a loop": ('for X in Y:\n    check("a/b", X)', "statement of its own"),
    "assigned": ('r = check("a/b", X)', "statement of its own"),
    "a computed part": ("check(name, X)", "constant"),
    "a computed hidden": ('check("a/b", X, hidden=flag)', "constant"),
    "too many arguments": ('check("a/b", X, True)', "not check"),
    "unknown keyword": ('check("a/b", X, points=4)', "not check"),
    "unpacked": ('check("a/b", **kw)', "not check"),
}


@pytest.mark.parametrize("name", READ)
def test_steps_of(name):
    text, expected = READ[name]
    assert steps(text) == expected


@pytest.mark.parametrize("name", REFUSED)
def test_a_check_that_only_the_student_could_judge_is_refused(name):
    text, words = REFUSED[name]
    with pytest.raises(UnprotectedCheck, match=words):
        steps(text)


def test_hidden_lines_include_their_delimiters():
    assert hidden_lines(HIDDEN) == {2, 3, 4}


def test_students_see_the_rest():
    assert without_hidden(HIDDEN) == "a = 1\nc = 3"
