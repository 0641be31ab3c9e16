"""What a declaration refuses: the error names the argument, its value and what was expected."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from casestudies import check
from casestudies.checking import parts
from casestudies.checking.parts import (
    Case,
    Dice,
    Group,
    Reference,
    Space,
    Values,
    any_of,
    call,
    mistake,
    part,
    written,
)
from casestudies.checking.tables import table


class Mix(nn.Module):
    def __init__(self, channels: int, bias: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


def double(x: Any) -> Any:
    return 2 * x


ONE = Case(3, image=(2, 3, 4, 5))
CALLS = Group("calls", lambda dice: [call(3)])
AXES = {"channels": (3, 4), "bias": (True, False)}


def space(axes: Any = AXES, shape: Any = ("channels", 5, 6), **options: Any) -> Reference:
    return Reference(Mix, Space(axes, shape, **options))


# what is declared, the error, and what it says
REFUSED: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "an instance for a class": (lambda: Reference(Mix(3), ONE), TypeError, "factory is Mix( (conv)"),
    "no case": (lambda: Reference(Mix), ValueError, "the reference Mix has no case"),
    "another kind": (lambda: Reference(Mix, ONE, kind="module"), ValueError, "kind of the reference Mix is 'module'"),
    "weights in a list": (lambda: Reference(Mix, ONE, weights=["training"]), TypeError, "weights of the reference"),
    "a weight below 0": (lambda: Reference(Mix, ONE, weights={"training": -1}), ValueError, "'training' of the"),
    "a weight in words": (lambda: Reference(Mix, ONE, weights={"training": "1"}), TypeError, "is '1' (str)"),
    "no weight at all": (
        lambda: Reference(Mix, ONE, weights=dict.fromkeys(Reference.WEIGHTS, 0)), ValueError, "are all 0",
    ),
    "a form alone": (lambda: Reference(Mix, ONE, forms=Mix), TypeError, "expected a tuple of classes"),
    "fresh without words": (lambda: Reference(Mix, ONE, fresh=True), TypeError, "fresh of the reference Mix is True"),
    "image and inputs": (lambda: Case(image=(1, 2), inputs=lambda dice: []), ValueError, "both image and inputs"),
    "an image in words": (lambda: Case(image="23"), TypeError, "image of a Case is '23' (str)"),
    "half a pixel": (lambda: Case(image=(2, 0.5)), TypeError, "is 0.5 (float)"),
    "no pixel": (lambda: Case(image=(2, 0)), ValueError, "expected a whole number of at least 1"),
    "no deviation": (lambda: Case(image=(2, 3), scale=0), ValueError, "scale of a Case is 0 (int)"),
    "inputs themselves": (lambda: Case(inputs=[torch.ones(2)]), TypeError, "expected a function of dice"),
    "levels in words": (lambda: space({"channels": "34", "bias": (True,)}), TypeError, "levels of 'channels'"),
    "no level": (lambda: space({"channels": (), "bias": (True,)}), ValueError, "at least one level"),
    "half a pair": (lambda: space({"channels, bias": ((3,),)}), ValueError, "expected a tuple of 2 values"),
    "an unknown size": (lambda: space(shape=("width", 5, 6)), ValueError, "has 'width'; expected a name among"),
    "a shape in words": (lambda: space(shape="channels"), TypeError, "shape of a Space is 'channels'"),
    "a side without levels": (lambda: space(shape=("channels", (), 6)), ValueError, "is () (tuple)"),
    "one condition": (lambda: space(conditions=bool), TypeError, "conditions of a Space"),
    "no batch": (lambda: space(batches=()), ValueError, "batches of a Space is ()"),
    "an empty batch": (lambda: space(batches=(0,)), ValueError, "a batch of a Space is 0"),
    "without what is not there": (lambda: space(without=("groups",)), ValueError, "is no argument of it"),
    "without what is needed": (lambda: space(without=("channels",)), ValueError, "has no default"),
    "levels in levels": (lambda: any_of(any_of(1), 2), TypeError, "give all values to one"),
    "a title in numbers": (lambda: Group(3, lambda dice: []), TypeError, "title of a Group is 3"),
    "calls themselves": (lambda: Group("calls", [call(3)]), TypeError, "make of the group 'calls'"),
    "no points for calls": (lambda: Group("calls", lambda dice: [], 0), ValueError, "expected a number above 0"),
    "a list of groups": (lambda: Values(double, [CALLS]), TypeError, "group 0 of the values of double"),
    "a view in words": (lambda: Values(double, CALLS, view="x"), TypeError, "view of the values of double is 'x'"),
    "a tolerance below 0": (lambda: Values(double, CALLS, tolerance=-1), ValueError, "tolerance of the values"),
    "never asked": (lambda: Values(double, CALLS, repeats=0), ValueError, "whole number of at least 1"),
    "repeats alone": (lambda: Values(double, CALLS, repeats=2), ValueError, "repeats of the values of double is 2"),
    "a part without slash": (lambda: part("mix", 1, "Mix")(space), ValueError, "not of the form assignment/part"),
    "no points": (lambda: part("declared/mix", 0, "Mix")(space), ValueError, "points of declared/mix is 0"),
    "given in one word": (lambda: part("declared/mix", 1, "M", given="a")(space), TypeError, "a list of ids"),
    "a mistake that is none": (lambda: mistake("declared/mix")(3), TypeError, "expected a wrong class or function"),
    "a mistake of part 3": (lambda: mistake(3), TypeError, "part_id of a mistake is 3 (int)"),
    "a mistake of a list": (lambda: mistake(["m/a"]), TypeError, "part_id of a mistake is ['m/a'] (list)"),
    "a table of part 3": (lambda: table([3], Mix, "x"), TypeError, "an id in part_ids of a table is 3 (int)"),
    "no weight of evaluation": (
        lambda: Reference(Mix, ONE, weights={"evaluation": 0}), ValueError, "weight 'evaluation' of the reference",
    ),
    "without a number": (lambda: space(without=[3]), TypeError, "a name in without of a Space is 3 (int)"),
    "negative points": (lambda: written("declared", -1), ValueError, "expected a number of at least 0"),
    "no image": (lambda: Case(image=()), ValueError, "image of a Case is () (tuple)"),
    "no side": (lambda: space(shape=()), ValueError, "shape of a Space is () (tuple)"),
    "levels in a shape": (
        lambda: space(shape=(any_of(3, 4), 5)), TypeError, "a size in shape=(any_of(3, 4), 5) of a Space",
    ),
    "dice of a word": (lambda: Dice("a"), TypeError, "seed of Dice is 'a' (str)"),
    "dice of too large a number": (lambda: Dice(2**64), ValueError, "expected a whole number from -2**63 to"),
    "from 5 to 3": (lambda: Dice(1).integer(5, 3), ValueError, "high of dice.integer is 3 (int)"),
    "from 1.5": (lambda: Dice(1).integer(1.5, 3), TypeError, "low of dice.integer is 1.5"),
    "beyond 64 bits": (lambda: Dice(1).integer(0, 2**63), ValueError, "high of dice.integer is 9223"),
    "no options": (lambda: Dice(1).choice([]), ValueError, "what dice.choice is given is [] (list)"),
    "a number of options": (lambda: Dice(1).choice(3), TypeError, "is 3 (int)"),
    "backwards": (lambda: Dice(1).real(1, 0), ValueError, "high of dice.real is 0 (int)"),
    "up to infinity": (lambda: Dice(1).uniform(0, float("inf"), 2), ValueError, "high of dice.uniform is inf"),
    "farther than a float": (lambda: Dice(1).real(-1e308, 1e308), ValueError, "high of dice.real is 1e+308"),
    "a tensor farther than a float": (
        lambda: Dice(1).uniform(-1e308, 1e308, 2), ValueError, "high of dice.uniform is 1e+308",
    ),
    "higher than a float": (lambda: Dice(1).real(0, 10**400), ValueError, "high of dice.real is 1000"),
    "lower than a float": (lambda: Dice(1).uniform(-(10**400), 0, 2), ValueError, "low of dice.uniform is -1000"),
    "a shape in a tuple": (lambda: Dice(1).normal((2, 3)), TypeError, "each an argument of its own"),
    "fewer than none": (lambda: Dice(1).signs(-1), ValueError, "a size in dice.signs is -1"),
    "a deviation below 0": (lambda: Dice(1).normal(2, scale=-1), ValueError, "scale of dice.normal is -1"),
    "a misspelt state": (
        lambda: call({"$module": {"layer": "ReLU"}, "sate": {}}), ValueError, "a module in call has 'sate'; expected",
    ),
    "a misspelt argument": (
        lambda: call([{"$module": {"layer": "ReLU", "arg": []}}]), ValueError, "a layer in call has 'arg'; expected",
    ),
    "an unknown layer": (
        lambda: call(block={"$module": {"layer": "Conv1d"}}), ValueError, "the name of a layer in call is 'Conv1d'",
    ),
    "an unknown layer in a row": (
        lambda: call({"$module": {"layer": "Sequential", "args": [{"layer": "Conv1d"}]}}), ValueError, "is 'Conv1d'",
    ),
    "a layer without an argument": (
        lambda: call({"$module": {"layer": "Linear", "args": [3]}}), TypeError, "is Linear(3), which cannot be built",
    ),
    "a layer with a misspelt argument": (
        lambda: call({"$module": {"layer": "Linear", "args": [3, 2], "kwargs": {"bais": True}}}), TypeError,
        "unexpected keyword argument 'bais'",
    ),
    "a residual block without a body": (
        lambda: call({"$module": {"layer": "Residual", "args": [None, None, None]}}), TypeError, "is None (NoneType)",
    ),
    "half a residual block": (
        lambda: call({"$module": {"layer": "Residual", "args": []}}), TypeError, "expected a body, a shortcut or",
    ),
    "layers by name": (
        lambda: call({"$module": {"layer": "Sequential", "kwargs": {"body": {"layer": "ReLU"}}}}), TypeError,
        "kwargs of a layer in call, a Sequential, is {'body': {'layer': 'ReLU'}} (dict); expected none",
    ),
    "a module in a dict": (
        lambda: call({"a": {"$module": {"layer": "ReLU"}}}), ValueError, "item 'a' of a dict in call is",
    ),
    "a module in a list in a dict": (
        lambda: call({"a": [{"$module": {"layer": "ReLU"}}]}), ValueError, "item 'a' of a dict in call is",
    ),
    "a module in a dict in a dict": (
        lambda: call({"a": 1, "b": {"c": ({"$module": {"layer": "ReLU"}},)}}), ValueError, "item 'b' of a dict in",
    ),
    "an image that ends": (lambda: Case(image=(k for k in (2, 3))), TypeError, "image of a Case is <generator"),
    "conditions that end": (lambda: space(conditions=(k for k in ())), TypeError, "conditions of a Space is <gen"),
    "a layer in words": (lambda: call({"$module": "ReLU"}), TypeError, "a layer in call is 'ReLU' (str)"),
    "no list of arguments": (
        lambda: call({"$module": {"layer": "Linear", "args": 3}}), TypeError, "args of a layer in call is 3 (int)",
    ),
    "a state in a list": (
        lambda: call({"$module": {"layer": "ReLU"}, "state": []}), TypeError, "state of a module in call is []",
    ),
    "training in words": (
        lambda: call({"$module": {"layer": "ReLU"}, "training": "yes"}), TypeError, "training of a module in call",
    ),
    "then without a tensor": (
        lambda: call({"$module": {"layer": "ReLU"}, "then": 3}), TypeError, "then of a module in call is 3 (int)",
    ),
    "a partial function": (lambda: Values(partial(double, 3), CALLS), TypeError, "of a functools.partial, write"),
    "a mistake without a name": (lambda: mistake("declared/mix", id="A b")(Mix), ValueError, "is 'A b' (str)"),
    "a mistake by number": (lambda: mistake("declared/mix", id=3)(Mix), TypeError, "is 3 (int)"),
    "a mistake of no place": (lambda: mistake("declared/mix", see=None)(Mix), TypeError, "is None"),
    "written answers of two words": (lambda: written("A b", 1), ValueError, "assignment is 'A b' (str)"),
    "a table of no part": (lambda: table([], Mix, "x"), ValueError, "part_ids of a table is [] (list)"),
    "no rows": (lambda: table("declared/mix", Mix, " "), ValueError, "rows of a table is ' ' (str)"),
    "rows in numbers": (lambda: table("declared/mix", Mix, 3), TypeError, "rows of a table is 3"),
    "nothing said": (lambda: table("declared/mix", Mix, "x", said="No."), ValueError, "a sentence with {} in it"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_by_name(case: str) -> None:
    declare, error, said = REFUSED[case]
    with pytest.raises(error, match=re.escape(said)):
        declare()


def small(dice: Dice) -> list[Tensor]:
    return [dice.normal(2, 3, 4, 5)]


# Found when the check runs: no answer is right or wrong then, and the log says why.
UNGRADABLE: dict[str, tuple[Callable[[], Any], object, str]] = {
    "no call": (lambda: Values(double, Group("none", lambda dice: [])), double, "the group 'none' has no call"),
    "no list of calls": (lambda: Values(double, Group("one", lambda dice: call(3))), double, "what make gives"),
    "a gradient of two": (
        lambda: Values(lambda x: (x, x), Group("two", lambda dice: [call(dice.normal(3))]), gradients=True),
        double, "gradients=True expects one tensor",
    ),
    "complex numbers": (
        lambda: Values(lambda x: x * 1j, Group("g", lambda dice: [call(dice.normal(3))])), double, "torch.complex128",
    ),
    "a view of a module": (
        lambda: Values(double, CALLS, view=lambda made, answer: nn.ReLU()), double, "gives a ReLU; give tensors",
    ),
    "a view of an array": (
        lambda: Values(double, CALLS, view=lambda made, answer: {"x": np.ones(3)}), double, "gives a ndarray; give",
    ),
    "a view of a set": (
        lambda: Values(double, CALLS, view=lambda made, answer: [{answer.value.value}]), double, "gives a set; give",
    ),
    "a view of bytes": (lambda: Values(double, CALLS, view=lambda made, answer: b"x"), double, "gives a bytes"),
    "a view of an object": (lambda: Values(double, CALLS, view=lambda made, answer: object()), double, "a object"),
    "inputs in float32": (
        lambda: Reference(Mix, Case(3, inputs=lambda dice: [small(dice)[0].float()])), Mix, "torch.float32",
    ),
    "a tensor for a list": (lambda: Reference(Mix, Case(3, inputs=lambda dice: small(dice)[0])), Mix, "(Tensor)"),
    "no input": (lambda: Reference(Mix, Case(3, inputs=lambda dice: [])), Mix, "what inputs of a Case gives is []"),
    "a condition that never holds": (
        lambda: space(conditions=(lambda channels, **_: channels > 9,)), Mix,
        "condition 0 of a Space is False of all",
    ),
    "a condition that always holds": (
        lambda: space(conditions=(lambda bias, **_: True,)), Mix, "condition 0 of a Space is True of all",
    ),
    "an image that does not fit": (
        lambda: Reference(Mix, Case(3, image=(2, 4, 5, 5))), Mix, "the reference itself fails in Mix(3) on 2×4×5×5",
    ),
    "nothing returned": (lambda: None, Mix, "expected the Reference or Values of declared/part"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNGRADABLE)
def test_it_makes_every_answer_ungradable(
    case: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    declare, answer, said = UNGRADABLE[case]
    monkeypatch.setitem(parts._PARTS, "declared/part", parts.Part("declared/part", 1, "A part", "", declare))
    with caplog.at_level(logging.ERROR):
        assert check("declared/part", answer).state == "ungradable"
    assert said in caplog.text


class Rectified(Mix):
    """There is a ReLU at the end."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


def ignored(x: Any) -> Any:
    """The argument is ignored."""
    return 5


GIVEN: dict[str, tuple[Callable[[], Any], Any, Any]] = {
    "a block": (lambda: Reference(Mix, ONE), Mix, Rectified),
    "a function": (lambda: Values(double, CALLS), double, ignored),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_an_unknown_id_in_given_makes_what_is_not_right_ungradable(
    kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    declare, right, wrong = GIVEN[kind]
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))
    part("example/given", 1, "To repair", given=["rectified", "typo"])(declare)
    mistake("example/given", id="rectified")(wrong)
    with caplog.at_level(logging.ERROR):
        states = [check("example/given", answer).state for answer in (right, wrong, lambda x: x)]
    assert states[:2] == ["passed", "ungradable"]
    assert (
        "given of example/given has 'typo'; expected ids of its mistakes, which are 'rectified'"
        in caplog.text
    )


def test_a_part_of_the_package_cannot_be_declared_by_another() -> None:
    """In a process of its own, which has not read the package's parts."""
    code = """
        from casestudies.checking.parts import part
        part("lenet/mine", points=1, title="Mine")(lambda: None)
        part("lenet/conv_output_size", points=1, title="Mine")(lambda: None)
    """
    made = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True)
    last = made.stderr.strip().splitlines()[-1]
    assert last.startswith("ValueError: part id 'lenet/conv_output_size' is declared by")


# What was given and what is right read alike in words: the report says where they differ.
ALIKE: dict[str, tuple[object, object, str]] = {
    "tensors in a tuple": (
        (1.0, torch.tensor([1.0, 2.0])), (1.0, torch.tensor([1.0, 4.0])),
        "gives (1.0, a tensor of length 2); the values of its item 1 differ: the largest difference is 2 where "
        "values reach 2.",
    ),
    "the end of a list": (
        [0] * 9, [0] * 8 + [3], "gives [0, 0, 0, 0, 0, 0, 0, 0, ...]; its item 8 is 3, not 0.",
    ),
    "the end of a string": (
        "a" * 70, "a" * 69 + "b", f"gives '{'a' * 60}...'; the expected string differs from character 70 on.",
    ),
    "a single number": (
        torch.tensor([1.0, 2.0]), torch.tensor(1.0),
        "gives a tensor of a single number; expected a tensor of length 2.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ALIKE)
def test_the_report_says_where_values_differ_that_read_alike(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    right, wrong, said = ALIKE[case]
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))
    part("example/alike", points=1, title="Alike")(lambda: Values(lambda x: right, CALLS))
    assert check("example/alike", lambda x: wrong).summary.endswith(said)


# A function, calls, a wrong answer that passed or changed what the reference got.
WRONG: dict[str, tuple[Callable[..., Any], Any, Callable[..., Any]]] = {
    "one off in large whole numbers": (double, torch.tensor([20_000]), lambda x: 2 * x + 1),
    "a dict that is changed": (lambda x: x["a"], {"a": 1}, lambda x: x.update(a=2) or 2),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_wrong(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right, argument, answer = WRONG[case]
    made = Values(right, Group("calls", lambda dice: [call(argument)]))
    monkeypatch.setitem(
        parts._PARTS, "declared/part", parts.Part("declared/part", 1, "A part", "", lambda: made)
    )
    assert check("declared/part", answer).state == "wrong"
    assert check("declared/part", right).state == "passed"


@pytest.mark.parametrize(
    "seen", [Fraction(1, 2), np.float32(2), np.bool_(True), np.int64(3), "a", None, True]
)
def test_a_view_gives_numbers_of_any_kind_and_strings(seen: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))
    values = Values(double, CALLS, view=lambda made, answer: [seen] if answer.value.value == 6 else [-1])
    part("example/seen", points=1, title="Seen")(lambda: values)
    assert [check("example/seen", answer, seed=1).state for answer in (double, abs)] == ["passed", "wrong"]


INFINITE = torch.tensor([1.0, -torch.inf, torch.nan], dtype=torch.float64)


def compared(right: Callable[..., Any], answer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))
    part("example/asked", points=1, title="Asked")(lambda: Values(right, CALLS))
    return check("example/asked", answer, seed=1).passed


@pytest.mark.parametrize(
    ("right", "other", "same"),
    [
        (INFINITE, INFINITE.clone(), True),
        (INFINITE, torch.tensor([5.0, -torch.inf, torch.nan], dtype=torch.float64), False),
        (INFINITE, torch.tensor([1.0, torch.inf, torch.nan], dtype=torch.float64), False),
        (INFINITE, torch.tensor([1.0, -torch.inf, 3.0], dtype=torch.float64), False),
        (float("inf"), float("inf"), True),
        (float("nan"), float("nan"), True),
        (float("inf"), 3.0, False),
        (float("inf"), -float("inf"), False),
        (3.0, float("nan"), False),
    ],
)
def test_an_infinity_is_equal_to_itself_and_hides_nothing(right, other, same, monkeypatch):
    def asked(x: Any) -> Any:
        return right

    assert compared(asked, lambda x: other, monkeypatch) is same


REFUSED_FLAGS = {
    "gradients of values": lambda: Values(double, CALLS, gradients="x"),
    "random of values": lambda: Values(double, CALLS, random="no"),
    "keeps_arguments of values": lambda: Values(double, CALLS, keeps_arguments=None),
    "gradients of a group": lambda: Group("calls", lambda dice: [call(3)], gradients="x"),
    "training of a case": lambda: Case(image=(1, 2), training="x"),
}


@pytest.mark.parametrize("name", REFUSED_FLAGS)
def test_a_flag_is_true_or_false(name: str) -> None:
    with pytest.raises(TypeError, match="expected True or False"):
        REFUSED_FLAGS[name]()


@pytest.mark.parametrize(
    ("right", "other", "same"),
    [
        (float("inf"), float("inf"), True),
        (float("nan"), float("nan"), True),
        (float("inf"), 5.0, False),
        (2.0, 2.0, True),
    ],
)
def test_so_is_a_plain_number_of_a_view(right, other, same, monkeypatch):
    def asked(x: Any) -> float:
        return right

    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))
    values = Values(asked, CALLS, view=lambda made, answer: {"value": answer.value.value})
    part("example/asked", points=1, title="Asked")(lambda: values)
    assert check("example/asked", lambda x: other, seed=1).passed is same


def test_several_values_in_one_level_are_written_as_they_were_given() -> None:
    assert repr(any_of((3, 4), "same")) == "any_of((3, 4), 'same')"


@pytest.mark.parametrize("place", [0, -1])
def test_a_decision_has_a_mistake(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))
    part("declared/mix", points=1, title="Mix")(lambda: Reference(Mix, ONE))
    lines = ["self.conv(x)", "    same: x", "        Nothing is done."]
    lines.insert(place % 4, "bias=bias")
    with pytest.raises(ValueError, match="the decision 'bias=bias' has no mistake under it"):
        table("declared/mix", Mix, "\n".join(lines))


def test_a_function_may_draw_from_numpy() -> None:
    """Also where nobody used NumPy's generator before: it is loaded by the first call, which is made again."""
    code = """
        import numpy as np
        from casestudies import check
        from casestudies.checking.parts import Group, Values, call, part

        def draw():
            return float(np.random.rand())

        part("declared/draw", points=1, title="D")(
            lambda: Values(draw, Group("calls", lambda dice: [call()]), random=True)
        )
        print(check("declared/draw", draw).state)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["passed"]


@pytest.mark.parametrize("seen", [1.5, "word", [1, 2.5], {"share": 0.25}, {"all": torch.ones(2)}])
def test_a_view_of_many_answers_gives_what_any_view_gives(seen, monkeypatch):
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))

    def view(made: Any, *answers: Any) -> Any:
        return seen if answers[0].value.value < 1 else None if not isinstance(seen, dict) else {}

    values = Values(lambda x: float(torch.rand(())), CALLS, view=view, random=True, repeats=5)
    part("example/many", points=1, title="Many")(lambda: values)
    assert check("example/many", lambda x: float(torch.rand(()) ** 2)).state == "passed"
    assert check("example/many", lambda x: 2 + float(torch.rand(()))).state == "wrong"


FORMS = {
    "number": lambda answer: 1.0,
    "Boolean": lambda answer: True,
    "string": lambda answer: "x",
    "None": lambda answer: None,
    "list": lambda answer: [1, 2],
    "array": lambda answer: np.ones(3),
    "dict": lambda answer: {"a": 1},
    "Value": lambda answer: answer.value,
    "tensor": lambda answer: torch.ones(2),
}


@pytest.mark.parametrize("other", FORMS)
@pytest.mark.parametrize("right", [name for name in FORMS if name != "array"])
def test_what_a_view_gives_in_another_form_is_wrong(right, other, monkeypatch):
    """Whichever the two forms are: the check itself does not fail."""
    if {right, other} == {"number", "Boolean"}:
        return  # 1.0 == True
    monkeypatch.setattr(parts, "_PARTS", dict(parts._PARTS))
    values = Values(double, CALLS, view=lambda made, answer: FORMS[answer.value.value](answer))
    values.function = lambda x: right
    part("example/forms", points=1, title="Forms")(lambda: values)
    assert check("example/forms", lambda x: other).state == ("passed" if right == other else "wrong")


@pytest.mark.parametrize("decorated", [3, None, [1]])
def test_a_part_is_declared_by_a_function(decorated: Any) -> None:
    with pytest.raises(TypeError, match="expected a function"):
        part("example/decorated", points=1, title="Decorated")(decorated)
