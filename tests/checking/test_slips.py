"""Slips: wrong functions are told as edits of the reference's formula, and conditions are asked on both sides."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from casestudies import check
from casestudies.checking import parts as declarations
from casestudies.checking.edges import sides
from casestudies.checking.formulas import Formula, formula_of, power
from casestudies.checking.parts import Call, Dice, Group, Values, call, find
from casestudies.checking.slips import Known, Search
from casestudies.sandboxed import messages
from casestudies.sandboxed.probe import Probe

SIZE = "lenet/conv_output_size"


def sentences(part: str, answer: Any, seed: int = 3) -> str:
    return " ".join(each["sentence"] for each in check(part, answer, seed=seed).differences)


def test_a_missing_term_is_shown_in_the_formula() -> None:
    report = check(SIZE, lambda size, kernel, stride=1, padding=0: (size + 2 * padding) // stride + 1, seed=3)
    assert report.mistakes == []
    assert report.differences == [
        {
            "asked": "(size + 2 * padding - kernel) // stride + 1",
            "yours": "(size + 2 * padding) // stride + 1",
            "where": "conv_output_size",
            "sentence": "Yours behaves like `(size + 2 * padding) // stride + 1`; asked for: "
            "`(size + 2 * padding - kernel) // stride + 1`. The difference: the term `kernel` is missing.",
        }
    ]
    assert "kernel" in report.place and "missing" not in report.place


def test_a_default_is_told() -> None:
    told = sentences(
        SIZE, lambda size, kernel, stride=1, padding=1: (size + 2 * padding - kernel) // stride + 1
    )
    assert "the default of `padding` is 1; it is 0." in told


def test_several_slips_at_once_are_told() -> None:
    told = sentences("efficientnet/compound_scaling", lambda phi, alpha=1.2, beta=1.1, gamma=1.15: (
        beta**phi, alpha**phi, gamma ** (2 * phi)
    ))  # fmt: skip
    assert "order is different" in told and "`gamma` is squared" in told


def test_a_known_mistake_keeps_its_name_beside_the_formula() -> None:
    report = check(
        SIZE, lambda size, kernel, stride=1, padding=0: (size + 2 * padding - kernel) // stride, seed=3
    )
    assert report.mistakes == ["plus_one_forgotten"]
    assert report.differences[0]["yours"] == "(size + 2 * padding - kernel) // stride"


def test_beside_a_known_mistake_no_formula_is_shown_that_does_something_else() -> None:
    for seed in range(8):
        report = check("identity/inert_blocks", passed_on_unless_inert, seed=seed)
        assert report.mistakes == ["inert_not_passed_on"]
        assert all("a * 2" not in each["yours"] for each in report.differences)


def test_what_raises_in_every_call_is_given_no_name() -> None:
    def answer(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    report = check("identity/residual_step", answer, seed=3)
    assert report.state == "raised" and not report.mistakes and not report.differences


def test_nonsense_is_given_no_explanation() -> None:
    report = check(SIZE, lambda size, kernel, stride=1, padding=0: (size * 31 + kernel * 17) % 23, seed=3)
    assert not report.mistakes and not report.differences


def a_fixed_share(x: Tensor, drop_rate: float, training: bool) -> Tensor:
    if not training or drop_rate == 0:
        return x
    kept = torch.ones(len(x))
    kept[torch.randperm(len(x))[: round(drop_rate * len(x))]] = 0
    return x * kept.view(-1, 1, 1, 1) / (1 - drop_rate)


def detached(x: Tensor, drop_rate: float, training: bool) -> Tensor:
    return find("efficientnet/drop_connect").reference.function(x.detach(), drop_rate, training)


@pytest.mark.parametrize(("answer", "told"), [(a_fixed_share, "fixed share"), (detached, "detached")])
def test_random_functions_are_looked_at_in_many_calls(answer: Any, told: str) -> None:
    report = check("efficientnet/drop_connect", answer, seed=3)
    assert not report.passed and told in " ".join(each["sentence"] for each in report.differences)


@pytest.mark.parametrize("seed", range(25))
def test_channels_are_asked_on_both_sides_of_every_condition(seed: int) -> None:
    reference = find("efficientnet/round_channels").reference
    calls = [made for k, group in enumerate(reference.groups) for made in group.make(Dice(seed + k))]
    found = sides(reference.function, calls)
    assert len(found) == 2 and all(each == {-1, 0, 1} for each in found.values())


def count_of(numbers: list[int], more: list[int]) -> int:
    found = [0]
    for number in numbers:
        found.append(number)
    return len(found) + len(more)


def searched(function: Any, answer: Any, calls: list[Call]) -> list[str]:
    probe = Probe(answer)
    known = []
    for made in calls:
        got = probe.handle(messages.Call(list(made.args)))
        known.append(Known(made.args, {}, got, got.value.value != function(*made.args)))
    return [each for slip in Search(function, known, lambda _: True).run() for each in slip.words()]


def test_edits_leave_the_arguments_of_a_call_alone() -> None:
    calls = [call([3, 4, 5], [1]), call([2], [1, 2])]
    assert searched(count_of, lambda numbers, more: len(numbers) + len(more), calls)
    assert [made.args for made in calls] == [([3, 4, 5], [1]), ([2], [1, 2])]


def factorial(n: int) -> int:
    return 1 if n < 2 else n * factorial(n - 1)


@pytest.mark.parametrize("seed", range(3))
def test_a_reference_that_calls_itself_is_read_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    monkeypatch.setattr(factorial, "__module__", "casestudies.checks.lenet")  # as if it were one of ours
    monkeypatch.setattr(declarations, "_PARTS", dict(declarations._PARTS))
    group = Group("calls", lambda dice: [call(dice.integer(3, 9)) for _ in range(4)])
    declarations.part("example/factorial", points=1, title="Factorial")(lambda: Values(factorial, group))
    added, forgotten = lambda n: factorial(n) + 1, lambda n: factorial(n) // n  # fmt: skip  # noqa: E731
    assert "1 too many" in sentences("example/factorial", added, seed)
    assert not check("example/factorial", forgotten, seed=seed).passed
    assert caplog.text == ""


def test_a_power_of_millions_of_digits_is_not_computed() -> None:
    start = time.thread_time()
    with pytest.raises(OverflowError):
        power(10**6, 10**9)
    assert time.thread_time() - start < 0.1


def test_the_formula_runs_as_the_function() -> None:
    for part in ("vgg/receptive_field", "efficientnet/round_channels", "mobilenet_v2/inverted_residual_macs"):
        reference = find(part).reference
        formula = formula_of(reference.function)
        assert isinstance(formula, Formula)
        for index, group in enumerate(reference.groups):
            for made in group.make(Dice(index)):
                right = reference.function(*made.args, **made.kwargs)
                assert (
                    formula.run(*made.args, **made.kwargs)
                    == formula.plain(*made.args, **made.kwargs)
                    == right
                )


def test_only_random_functions_are_called_several_times() -> None:
    with pytest.raises(ValueError, match="only a random function"):
        Values(count_of, Group("none", lambda dice: []), repeats=3)


def test_a_function_is_compared_with_some_call() -> None:
    with pytest.raises(ValueError, match="count_of is compared with no call; give Values at least one Group"):
        Values(count_of)


def stack_with_biases(channels: int, num_convs: int) -> tuple[int, int]:
    return num_convs * (9 * channels**2 + channels), (2 * num_convs + 1) ** 2 * channels**2


def field_moved_first(layers: list[tuple[int, int]]) -> int:
    field, step = 1, 1
    for kernel, stride in layers:
        step *= stride
        field += (kernel - 1) * step
    return field


def test_brackets_that_only_make_room_for_another_edit_are_not_told() -> None:
    def answer(channels: int, num_convs: int) -> tuple[int, int]:
        return num_convs * (9 * channels**2 - channels), (2 * num_convs + 1) ** 2 * channels**2

    told = sentences("vgg/stack_versus_single", answer)
    assert "`channels` is subtracted" in told and "brackets" not in told


def test_a_move_is_one_difference() -> None:
    (told,) = check("vgg/receptive_field", field_moved_first, seed=3).differences
    assert told["yours"] == "step = step * stride; field = field + (kernel - 1) * step"
    assert "not there" not in told["sentence"] and "as well" not in told["sentence"]


def test_a_rule_that_is_left_out_is_not_told_as_a_condition_that_never_holds() -> None:
    def answer(channels: int, width: float, divisor: int = 8) -> int:
        return max(divisor, int(channels * width + divisor / 2) // divisor * divisor)

    (told,) = check("efficientnet/round_channels", answer, seed=3).differences
    assert told["yours"] == "rounded"


def test_a_float_is_told_of_the_result() -> None:
    def answer(size: int, kernel: int, stride: int = 1, padding: int = 0) -> float:
        return (size + 2 * padding - kernel) // stride + 1.0

    (told,) = check(SIZE, answer, seed=3).differences
    assert "2.0" not in told["sentence"] and "it is a float" in told["sentence"].lower()


def flipped(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight.flip(-1, -2), padding=weight.shape[-1] // 2, groups=x.shape[1])


def detached_filters(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight.detach(), padding=weight.shape[-1] // 2, groups=x.shape[1])


@pytest.mark.parametrize("answer", [flipped, detached_filters])
def test_what_is_done_to_a_tensor_is_told_where_it_changes_something(answer: Any) -> None:
    (told,) = check("mobilenet/depthwise_conv", answer, seed=3).differences
    assert told["yours"].startswith("F.conv2d(x, weight.") and ".shape[-1]" not in told["sentence"]


def turned_and_shared(x: Tensor, weight: Tensor) -> Tensor:
    return flipped(x, weight[:1].expand_as(weight))


def test_two_slips_on_one_argument_are_told() -> None:
    (told,) = check("mobilenet/depthwise_conv", turned_and_shared, seed=3).differences
    assert "weight[:1].expand_as(weight).flip(-1, -2)" in told["yours"]


def test_zero_that_is_taken_for_nothing_given_is_told() -> None:
    def answer(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> tuple[float, ...]:
        return tuple(base ** (phi or 1) for base in (alpha, beta, gamma))

    (told,) = check("efficientnet/compound_scaling", answer, seed=3).differences
    assert "`phi` counts as 1 where it is 0" in told["sentence"]


POWERS: dict[str, Any] = {
    "(alpha * beta * gamma) ** 2 ** phi": lambda phi, a, b, c: (a * b * c) ** 2**phi,
    "alpha * (beta * gamma) ** 2 ** phi": lambda phi, a, b, c: a * (b * c) ** 2**phi,
    "alpha ** phi * beta ** 2 ** phi * gamma ** 2 ** phi": lambda phi, a, b, c: (
        a**phi * b**2**phi * c**2**phi
    ),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("yours", POWERS)
def test_powers_in_another_grouping_are_taken_from_the_right(yours: str, seed: int) -> None:
    def answer(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
        return POWERS[yours](phi, alpha, beta, gamma)

    (told,) = check("efficientnet/flops_growth", answer, seed=seed).differences
    assert told["yours"] == yours and "there are other brackets" in told["sentence"]


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_default_written_out_in_some_places_is_told_with_any_seed(seed: int) -> None:
    def answer(channels: int, width: float, divisor: int = 8) -> int:
        wanted = channels * width
        rounded = max(divisor, int(wanted + divisor / 2) // 8 * 8)
        return rounded + divisor if rounded < 0.9 * wanted else rounded

    told = sentences("efficientnet/round_channels", answer, seed)
    assert told.count("`8` in place of `divisor`") == 1


@pytest.mark.parametrize("seed", range(3))
def test_what_is_given_to_a_block_is_told_by_the_words_in_which_it_raises(seed: int) -> None:
    def answer(blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
        found = []
        for index, block in enumerate(blocks):
            out = block(tolerance)
            if out.shape == a.shape and float((out - a).abs().max()) <= tolerance:
                found.append(index)
            a = out
        return found

    (told,) = check("identity/inert_blocks", answer, seed=seed).differences
    assert "`tolerance` in place of `a`" in told["sentence"]


def test_biases_are_told_beside_another_order() -> None:
    def answer(channels: int, num_convs: int) -> tuple[int, int]:
        stack, single = stack_with_biases(channels, num_convs)
        return single + channels, stack

    told = sentences("vgg/stack_versus_single", answer)
    assert "order is different" in told.lower() and "`channels` is added" in told


def test_a_square_too_many_is_told_beside_another_argument() -> None:
    def answer(i: int, reduced: int, out: int, kernel: int, height: int, width: int) -> int:
        return kernel**2 * height**2 * reduced * (i + out)

    told = sentences("inception/bottleneck_macs", answer)
    assert "`kernel ** 2` is a factor too many" in told and "wherever `width` belongs" in told


def transposed_if_square(a: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    w1 = w1.T if w1.shape[0] == w1.shape[1] else w1
    return F.relu(F.relu(a @ w1.T + b1) @ w2.T + b2 + a)


def test_an_edit_that_is_made_in_some_calls_is_told_of_these() -> None:
    (told,) = check("identity/residual_step", transposed_if_square, seed=3).differences
    assert told["when"].startswith("In some calls, such as residual_step(<4×6 tensor>")
    assert "the transpose is missing" in told["sentence"]


def test_a_function_without_arguments_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def six() -> int:
        return 6

    monkeypatch.setattr(declarations, "_PARTS", dict(declarations._PARTS))
    group = Group("calls", lambda dice: [call()])
    declarations.part("example/six", points=1, title="Six")(lambda: Values(six, group))
    told = sentences("example/six", lambda: 5)
    assert told == "Yours behaves like `5`; asked for: `6`. The difference: `5` in place of `6`."
    assert caplog.text == ""


def raising(x: float) -> float:
    if x < 0:
        raise ValueError(f"x is {x}; expected a number of at least 0")
    return x**0.5 + 1


def asserting(x: float) -> float:
    assert x >= 0
    return x**0.5 + 1


def catching(x: float) -> float:
    try:
        return math.sqrt(x) + 1
    except ValueError:
        raise


def waiting(x: float) -> float:
    while x < -100:
        x += 1
    return abs(x) ** 0.5 + 1


def roots(monkeypatch: pytest.MonkeyPatch, function: Any) -> None:
    monkeypatch.setattr(declarations, "_PARTS", dict(declarations._PARTS))
    groups = [
        Group("squares", lambda dice: [call(4.0), call(9.0)]),
        Group("below", lambda dice: [call(-2.0)]),
    ]
    declarations.part("example/root", points=1, title="Roots")(lambda: Values(function, *groups))


@pytest.mark.parametrize("function", [raising, asserting, catching, waiting], ids=lambda each: each.__name__)
def test_a_function_that_cannot_be_edited_is_passed_over_in_silence(
    function: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    roots(monkeypatch, function)
    for seed in (1, 2):
        report = check("example/root", lambda x: 7 * x - 11, seed=seed)
        assert (report.state, report.differences) == ("wrong", [])
        assert f"{function.__name__}(4) gives 17; expected 3." in report.summary
    assert caplog.text == ""


def test_what_a_function_with_a_raise_computes_is_still_changed_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    roots(monkeypatch, raising)
    assert "+" in sentences("example/root", lambda x: x**0.5 - 1 if x >= 0 else raising(x))


def test_a_fault_of_the_search_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise IndexError("a fault of ours")

    roots(monkeypatch, raising)
    monkeypatch.setattr(Search, "several", fail)
    assert check("example/root", lambda x: 7 * x - 11, seed=1).state == "wrong"
    assert "no explanation of example/root" in caplog.text and "a fault of ours" in caplog.text


def test_chance_in_some_calls_is_given_no_explanation() -> None:
    def answer(size: int, kernel: int, stride: int = 1, padding: int = 0) -> int:
        right = (size + 2 * padding - kernel) // stride + 1
        return right if stride == 1 else (31 * size + 17 * kernel) % 23

    assert not check(SIZE, answer, seed=3).differences


def test_an_argument_that_is_changed_is_told_beside_other_values() -> None:
    def answer(x: Tensor, weight: Tensor) -> Tensor:
        return F.conv2d(x.clamp_(max=0.5), weight, padding=weight.shape[-1] // 2, groups=x.shape[1])

    assert (
        "It also changes its argument in place." in check("mobilenet/depthwise_conv", answer, seed=3).summary
    )


def total_of_one(x: Tensor, mask: Tensor) -> float:
    return float(x.sum())


def twice_of_one(x: Tensor, mask: Tensor) -> Tensor:
    return x * 2


def one_of_none(x: Tensor) -> int:
    return 1


GIVEN_BACK: dict[str, Any] = {
    "right": None, "1": lambda x, *_: 1, "None": lambda *_: None, "x": lambda x, *_: x, "a list": lambda x, *_: [x],
    "the last": lambda *given: given[-1], "3 x": lambda x, *_: x * 3, "a mean": lambda x, *_: float(x.mean()),
}  # fmt: skip


@pytest.mark.parametrize("right", [total_of_one, twice_of_one, one_of_none])
def test_an_argument_that_is_changed_and_never_read_is_told(
    right: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(declarations, "_PARTS", dict(declarations._PARTS))
    several = right is not one_of_none
    group = Group("calls", lambda dice: [call(*(dice.normal(3) for _ in range(1 + several)))])
    declarations.part("example/changed", points=1, title="Changed")(lambda: Values(right, group))
    changes: dict[str, Any] = {
        "the last": lambda *given: given[-1].zero_(),
        "the first": lambda x, *_: x.mul_(2),
        "all": lambda *given: [each.add_(1) for each in given],
    }
    for changed, change in changes.items():
        for returned, gives in GIVEN_BACK.items():

            def answer(*given: Tensor, change: Any = change, gives: Any = gives or right) -> Any:
                change(*given)
                return gives(*given)

            report = check("example/changed", answer, seed=1)
            assert report.state == "wrong" and "in place" in report.summary, (changed, returned)
            if gives is None and changed == "the last":
                assert "as if `" in report.summary and ".zero_()` were there as well" in report.summary


def passed_on_unless_inert(blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    found = []
    with torch.no_grad():
        for index, block in enumerate(blocks):
            out = block(a)
            if out.shape == a.shape and (out - a).abs().max() <= tolerance:
                found.append(index)
            else:
                a = out
    return found


def ended_where_the_shape_changes(blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    found = []
    with torch.no_grad():
        for index, block in enumerate(blocks):
            out = block(a)
            if out.shape != a.shape:
                break
            if (out - a).abs().max() <= tolerance:
                found.append(index)
            a = out
    return found


def passed_on_if_inert(blocks: list[nn.Module], a: Tensor, tolerance: float = 1e-6) -> list[int]:
    found = []
    with torch.no_grad():
        for index, block in enumerate(blocks):
            out = block(a)
            if out.shape == a.shape and (out - a).abs().max() <= tolerance:
                found.append(index)
                a = out
    return found


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("seed", [3, 8])
def test_a_loop_that_ends_early_is_told_as_what_it_behaves_like(seed: int, hidden: bool) -> None:
    report = check("identity/inert_blocks", ended_where_the_shape_changes, seed=seed, hidden=hidden)
    (told,) = report.differences
    assert told["sentence"] == "Yours behaves as if `if out.shape != a.shape: break` were there as well."


def test_a_statement_that_is_carried_out_under_a_condition_is_told() -> None:
    told = sentences("identity/inert_blocks", passed_on_if_inert)
    assert "<= tolerance: a = out`; asked for: `a = out`." in told


def test_a_return_is_shown_as_one_where_the_other_line_is_none() -> None:
    def first(numbers: list[int]) -> int:
        total = 0
        for number in numbers:
            total += number
            return total
        return total

    def total_of(numbers: list[int]) -> int:
        total = 0
        for number in numbers:
            total = total + number
        return total

    probe, known = Probe(first), []
    for numbers in ([2, 3, 4], [5, 7], [1, 1, 8]):
        known.append(Known((numbers,), {}, probe.handle(messages.Call([numbers])), True))
    shown = [
        each["yours"] for slip in Search(total_of, known, lambda _: True).run() for each in slip.differences()
    ]
    assert "return total" in shown and "total" not in shown


FLOPS = "efficientnet/flops_growth"
OTHER_BRACKETS = {
    "alpha * beta ** 2 * gamma ** 2 ** phi": lambda phi, alpha=1.2, beta=1.1, gamma=1.15: (
        alpha * beta**2 * gamma**2**phi
    ),
    "(alpha * beta) ** 2 * gamma ** 2 ** phi": lambda phi, alpha=1.2, beta=1.1, gamma=1.15: (
        (alpha * beta) ** 2 * gamma**2**phi
    ),
}


@pytest.mark.parametrize("seed", [3, 8])
@pytest.mark.parametrize("written", OTHER_BRACKETS)
def test_other_brackets_are_told(written: str, seed: int) -> None:
    (told,) = check(FLOPS, OTHER_BRACKETS[written], seed=seed, hidden=True).differences
    assert told["yours"] == written and "brackets" in told["sentence"]


@pytest.mark.parametrize("seed", [3, 8])
def test_a_power_of_a_product_is_held_against_powers_of_its_factors(seed: int) -> None:
    def answer(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
        return alpha * (beta**2 * gamma**2) ** phi

    (told,) = check(FLOPS, answer, seed=seed, hidden=True).differences
    assert told["yours"] == "alpha * beta ** (2 * phi) * gamma ** (2 * phi)"
    assert told["sentence"].endswith("The difference: the exponent `phi` is missing: `alpha` counts once.")


@pytest.mark.parametrize("seed", [3, 8])
def test_a_number_in_place_of_a_product_is_told_rather_than_that_it_was_rounded(seed: int) -> None:
    def answer(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> float:
        return 2**phi

    (told,) = check(FLOPS, answer, seed=seed).differences
    assert told["yours"] == "2 ** phi" and "round" not in told["sentence"]


@pytest.mark.parametrize("hidden", [False, True])
def test_rounding_to_digits_is_told(hidden: bool) -> None:
    def answer(phi: float, alpha: float = 1.2, beta: float = 1.1, gamma: float = 1.15) -> tuple[float, ...]:
        return tuple(round(each**phi, 2) for each in (alpha, beta, gamma))

    (told,) = check("efficientnet/compound_scaling", answer, seed=3, hidden=hidden).differences
    assert told["yours"] == "(round(alpha ** phi, 2), round(beta ** phi, 2), round(gamma ** phi, 2))"


def no_biases_in_all(model: nn.Module) -> float:
    linear = sum(p.numel() for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters())
    return linear / sum(p.numel() for p in model.parameters() if p.dim() > 1)


@pytest.mark.parametrize("hidden", [False, True])
def test_which_parameters_are_counted_is_told(hidden: bool) -> None:
    (told,) = check("alexnet/fully_connected_share", no_biases_in_all, seed=3, hidden=hidden).differences
    assert "for p in model.parameters() if p.dim() > 1" in told["yours"]
    assert "only those with `p.dim() > 1` are counted" in told["sentence"]


@pytest.mark.parametrize(
    ("zeros", "named"),
    [
        (("bn1.weight", "bn2.weight"), ["shift_kept"]),
        (("conv2.weight", "bn2.running_mean"), ["shift_kept_statistics_reset"]),
        (("bn1.weight", "bn1.bias", "bn2.bias"), []),
    ],
)
@pytest.mark.parametrize("seed", [3, 8])
def test_no_mistake_is_named_that_the_state_of_a_block_belies(
    zeros: tuple[str, ...], named: list[str], seed: int
) -> None:
    def answer(block: nn.Module) -> None:
        with torch.no_grad():
            for name in zeros:
                block.state_dict()[name].zero_()

    assert check("identity/make_identity_", answer, seed=seed).mistakes == named
