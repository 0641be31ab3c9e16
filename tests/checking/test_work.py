"""How much a check does for an answer, counted: what would take long and tell nothing more is not done."""

import gc
from collections import Counter
from itertools import accumulate
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from casestudies.checking import blocks, explain, operands
from casestudies.checking.compare import close, tolerance_of
from casestudies.checking.engine import check
from casestudies.checking.explain import recording_of
from casestudies.checking.parts import Reference, assignments, in_form, parts
from casestudies.checking.sources import built_as
from casestudies.checking.space import Dice, seed_of
from casestudies.checking.transplant import slots_in
from casestudies.checks.alexnet import AlexNetTrunk, TwoTowers
from casestudies.graph import Held
from casestudies.sandboxed.messages import Recorded
from casestudies.sandboxed.probe import StudentError, run_module


def counted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[dict[str, Any]]:
    """Calls of a function of a module, by their named arguments, as they come."""
    function, calls = getattr(module, name), []

    def noted(*args: Any, **kwargs: Any) -> Any:
        calls.append(kwargs)
        return function(*args, **kwargs)

    monkeypatch.setattr(module, name, noted)
    return calls


@pytest.mark.parametrize(
    "forged",
    [
        nn.Sequential(nn.AvgPool2d(300, 1), nn.AdaptiveAvgPool2d(9), nn.Conv2d(3, 6, 1)),
        nn.Sequential(nn.Conv2d(3, 1, 60), nn.AdaptiveAvgPool2d(9), nn.Conv2d(1, 6, 1)),
        nn.Sequential(nn.Conv2d(3, 8, 41), nn.AdaptiveAvgPool2d(9), nn.Conv2d(8, 6, 1)),
    ],
)
def test_no_recording_makes_the_judge_work_for_long(forged: nn.Module) -> None:
    """Made on the meta device it cost nothing, and its results are small."""
    right = recording_of(nn.Conv2d(3, 6, 3, device="meta"), [torch.empty(2, 3, 11, 11, device="meta")], False)
    yours = recording_of(forged.to("meta"), [torch.empty(1, 3, 560, 560, device="meta")], False)
    assert explain.read(Recorded(right.to_json()), right) is not None
    assert sum(value.numel for value in yours.values) < explain.ROOM + explain.ROOM_PER_NUMBER * 10_000
    assert explain.read(Recorded(yours.to_json()), right) is None


@pytest.mark.parametrize("raises", [False, True])
def test_no_check_waits_for_a_full_collection_of_garbage(raises: bool) -> None:
    rounds = Counter[int]()
    meanwhile: list[Counter[int]] = []

    def conv_macs(*args: Any, **kwargs: Any) -> int:
        if not meanwhile:
            rounds.clear()
        for _ in range(30):  # objects as in thousands of runs of a block
            kept.extend([[] for _ in range(1000)])
        meanwhile.append(rounds.copy())
        if raises:
            raise ValueError("no")
        return 1

    def seen(phase: str, details: dict[str, int]) -> None:
        rounds[details["generation"]] += phase == "start"

    kept: list[Any] = []
    before = gc.get_threshold()
    gc.callbacks.append(seen)
    try:
        gc.set_threshold(100, 2, 2)
        check("alexnet/grouped_conv_macs", conv_macs, seed=1)
        during = gc.get_threshold()
    finally:
        gc.callbacks.remove(seen)
        gc.set_threshold(*before)
    assert during == (100, 2, 2)
    assert meanwhile[-1][0] and meanwhile[-1][1] and not meanwhile[-1][2]


def test_what_no_match_of_weights_mends_is_compared_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    part = parts("resnet")["resnet/cifar_resnet"]
    wrong = next(known.wrong for known in part.mistakes if known.id == "in_place_addition")
    monkeypatch.setattr(blocks, "_recognise", lambda *_: blocks.Explanation([]))
    calls = counted(monkeypatch, blocks, "_behaviour")
    assert "does not run in training mode" in str(check(part.id, wrong, seed=3).criteria)
    assert isinstance(part.reference, Reference)
    cases = len(part.reference.drawn(3))
    # Each case in the order in which parameters are listed, and in one match of those that were not right like that.
    assert len(calls) <= 2 * cases


def test_the_same_layers_are_not_carried_out_to_find_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).double()
    graph = recording_of(block, [x], training=False)
    other = recording_of(nn.Sequential(block[0], nn.SiLU()), [x], training=False)
    state = {name: value.detach() for name, value in block.named_parameters()}
    calls = counted(monkeypatch, explain, "with_weights")
    matching = {name: name for name in state}
    same = explain.compare_graphs(graph, graph, [x], state, [matching])
    assert same is not None and not same.differences and not calls
    found = explain.compare_graphs(graph, other, [x], state, [matching])
    assert found is not None and found.differences and calls


@pytest.mark.parametrize("assignment", assignments())
def test_a_reference_recorded_without_contents_is_the_one_that_is_computed(assignment: str) -> None:
    for part in parts(assignment).values():
        reference = part.reference
        if not isinstance(reference, Reference):
            continue
        for form in (None, *reference.forms):
            factory = in_form(reference.factory, form)
            for drawn in reference.drawn(5)[:2]:
                for training in (False, True):
                    real = recording_of(
                        blocks.build(factory, drawn.case), drawn.case.inputs(Dice(0)), training
                    )
                    assert blocks.right_recording(factory, drawn.case, training) == real


def test_nothing_is_computed_for_the_plan_of_a_large_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = parts("alexnet")["alexnet/alexnet_trunk"].reference
    assert isinstance(reference, Reference)
    case = reference.drawn(5)[0].case
    expected = blocks.plan_of(reference.factory, case)
    blocks.plan_asked.cache_clear()
    blocks.right_recording.cache_clear()
    blocks._TRACED.clear()

    def runs(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("it runs")

    monkeypatch.setattr(blocks, "run_module", runs)
    assert blocks.plan_asked(reference.factory, case) == expected


def test_the_weights_of_a_large_candidate_are_found_without_convolutions() -> None:
    part = parts("alexnet")["alexnet/alexnet_trunk"]
    assert isinstance(part.reference, Reference)
    case = part.reference.drawn(5)[0].case
    image = [x[:1].float() for x in case.inputs(Dice(0))]
    told = 0
    for known in part.mistakes:
        module = blocks.built_only(known.wrong, case)
        try:
            ran = run_module(module, image, training=False, trace=True)
        except StudentError:
            continue
        blocks._TRACED.clear()
        with blocks.NothingConvolved():
            again = run_module(module, image, training=False, trace=True)
        assert again.output.value.shape == ran.output.value.shape
        found = tuple(slots_in(module, blocks.asked(ran.uses)))
        assert blocks.slots_on_one(known.wrong, case) == found
        told += 1
    assert told > len(part.mistakes) // 2


def test_convolutions_that_do_not_fit_raise_where_nothing_is_convolved() -> None:
    x: Tensor = torch.zeros(1, 3, 5, 5)
    with blocks.NothingConvolved():
        assert not nn.Conv2d(3, 2, 3)(x).any()
        with pytest.raises(RuntimeError, match="channels"):
            nn.Conv2d(4, 2, 3)(x)
        with pytest.raises(RuntimeError, match="type"):
            nn.Conv2d(3, 2, 3)(x.double())


def test_the_plan_of_a_large_candidate_is_made_without_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    part = parts("alexnet")["alexnet/alexnet_trunk"]
    assert isinstance(part.reference, Reference)
    case = part.reference.drawn(5)[0].case
    for kept in ("_TRACED", "_SHELF", "_FORMS", "_JUST_BUILT"):
        monkeypatch.setattr(blocks, kept, {})
    convolved = 0

    class Counting(TorchDispatchMode):
        """What reaches torch below the mode in which nothing is convolved."""

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal convolved
            convolved += func is torch.ops.aten.convolution.default
            return func(*args, **(kwargs or {}))

    failures = 0
    for known in part.mistakes:
        convolved = 0
        with Counting():
            plan = blocks.plan_of.__wrapped__(known.wrong, case)
        failures += plan.failed is not None
        assert convolved <= (plan.failed is not None), known.id  # the one that raises
        blocks._TRACED.clear()
        with monkeypatch.context() as really:
            really.setattr(blocks.NothingConvolved, "RULES", {})
            real = blocks.plan_of.__wrapped__(known.wrong, case)
        assert (real.slots, real.counts, real.shape) == (plan.slots, plan.counts, plan.shape), known.id
        assert real.failed == plan.failed or blocks.alike(real.failed, plan.failed), known.id
    assert 0 < failures < len(part.mistakes)


def test_a_block_is_not_asked_again_for_what_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    class Half(AlexNetTrunk):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).half()

    calls = counted(monkeypatch, blocks, "ask_together")
    monkeypatch.setattr(blocks, "_recognise", lambda *_: blocks.Explanation([]))
    assert "float16" in str(check("alexnet/alexnet_trunk", Half, seed=1).criteria)
    once = len(calls)
    # The network that works in float32 only is asked for everything at once.
    calls.clear()
    monkeypatch.setattr(Half, "forward", lambda self, x: AlexNetTrunk.forward(self, x.float()).half())
    assert not check("alexnet/alexnet_trunk", Half, seed=1).passed
    assert (once, len(calls)) == (1, 1)


def test_where_nobody_looks_any_further_nothing_is_recorded_in_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = parts("resnet")["resnet/cifar_resnet"]
    wrong = next(known.wrong for known in part.mistakes if known.id == "softmax_inside")
    monkeypatch.setattr(blocks, "_recognise", lambda *_: blocks.Explanation([]))
    monkeypatch.setattr(blocks, "LAYERS_COMPARED", 1000)
    recorded, modes = blocks.recorded, Counter[bool]()

    def noted(subject: Any, factory: Any, seen: Any, training: bool) -> Any:
        modes[training] += 1
        return recorded(subject, factory, seen, training)

    monkeypatch.setattr(blocks, "recorded", noted)
    report = check(part.id, wrong, seed=1)
    assert report.differences and modes[False] and not modes[True]


def test_a_few_numbers_tell_apart_what_all_of_them_do() -> None:
    dice = Dice(3)
    plain = dice.normal(3, 4, 5)
    holes = plain.clone()
    holes[1, 2, 3] = float("nan")
    huge = plain.clone()
    huge[0, 0, 0] = float("inf")
    slight, other = plain * (1 + 1e-8), plain.clone()
    other[2, 3, 4] += 1
    values = [plain, holes, huge, slight, other, plain.float(), -plain, plain.reshape(12, 5), plain * 0]
    layers = [SimpleNamespace(value=k) for k in range(len(values))]
    same = explain.SameValues(dict(enumerate(values)), dict(enumerate(values)))
    told = {}
    for one in layers:
        for another in layers:
            a, b = values[one.value], values[another.value]
            told[one.value, another.value] = same(one, another)  # type: ignore[arg-type]
            assert told[one.value, another.value] == close(b.reshape(a.shape), a, tolerance_of(b, 1e-6))
    assert told[0, 3] and told[0, 5] and told[0, 7] and not told[0, 4] and not told[0, 6]


def test_most_pairs_of_layers_are_told_apart_by_a_few_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {k: Dice(k).normal(100) for k in range(10)}
    same = explain.SameValues(values, dict(values))
    calls = counted(monkeypatch, explain, "close")
    layers = [SimpleNamespace(value=k) for k in values]
    assert sum(same(one, other) for one in layers for other in layers) == 10  # type: ignore[arg-type]
    assert len(calls) == 10


def test_candidates_of_a_large_block_are_run_as_often_as_its_size_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Swapped(nn.Module):
        """Two towers that exchange their halves: several differences, which no known mistake explains."""

        def __init__(self) -> None:
            super().__init__()
            channels, kernels, paddings = (3, 96, 256, 384, 384, 256), (11, 5, 3, 3, 3), (0, 2, 1, 1, 1)
            self.towers = nn.ModuleList(
                nn.Conv2d(
                    channels[i] // (1 if i in (0, 2) else 2),
                    channels[i + 1] // 2,
                    kernels[i],
                    4 if i == 0 else 1,
                    paddings[i],
                )
                for i in range(5)
                for _ in range(2)
            )

        def forward(self, x: Tensor) -> Tensor:
            for i in range(5):
                inputs = (x, x) if i in (0, 2) else x.chunk(2, dim=1)[::-1]
                x = torch.cat([self.towers[2 * i + k](inputs[k]) for k in range(2)], dim=1).relu()
                if i < 2:
                    x = nn.functional.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2)
                if i in (0, 1, 4):
                    x = nn.functional.max_pool2d(x, 3, stride=2)
            return x

    calls = counted(monkeypatch, blocks, "_first_image")
    report = check("alexnet/alexnet_trunk", Swapped, seed=2)
    assert len(report.differences) > 1 and not report.mistakes
    numbers = sum(each.numel() for each in Swapped().parameters())
    assert 0 < len(calls) <= blocks.NUMBERS_RUN // numbers + 1


@pytest.mark.parametrize("assignment", assignments())
def test_what_only_changes_forward_has_the_sizes_of_the_reference_unbuilt(assignment: str) -> None:
    unbuilt = 0
    for part in parts(assignment).values():
        reference = part.reference
        if not isinstance(reference, Reference):
            continue
        case = reference.drawn(5)[0].case
        for known in part.mistakes:
            for form in (None, *reference.forms):
                wrong = in_form(known.wrong, form)
                if not isinstance(wrong, type) or built_as(wrong) is None:
                    continue
                unbuilt += 1
                module = blocks.built_only(wrong, case)
                assert blocks.sizes_of(wrong, case) == blocks._sizes(
                    [*module.parameters(), *module.buffers()]
                )
    assert unbuilt or assignment in ("identity", "vgg")


@pytest.mark.parametrize("assignment", ["alexnet", "lenet", "mobilenet_v2", "resnet"])
def test_a_candidate_made_of_the_layers_of_another_does_as_one_that_is_built(
    assignment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kept in ("_TRACED", "_SHELF", "_FORMS", "_JUST_BUILT"):
        monkeypatch.setattr(blocks, kept, {})
    monkeypatch.setattr(blocks, "_WITH_OTHER_METHODS", set())
    monkeypatch.setattr(blocks, "_shelved", 0)
    made = 0
    for part in parts(assignment).values():
        reference = part.reference
        if not isinstance(reference, Reference):
            continue
        case = reference.drawn(5)[0].case
        for known in [*part.mistakes, *part.pairs[:: max(1, len(part.pairs) // 20)]]:
            module = blocks._with_other_methods(known.wrong, case)
            if module is None:
                continue
            made += 1
            with torch.random.fork_rng():
                built = blocks.build(known.wrong, case)
            assert [type(each) for each in module.modules()] == [type(each) for each in built.modules()]
            for name, tensor in module.state_dict().items():
                tensor.copy_(built.state_dict()[name])
            told = []
            for each in (built, module):
                try:
                    told.append(run_module(each, case.inputs(Dice(0)), training=False).output.value)
                except StudentError as error:
                    told.append(torch.tensor(len(str(error.error)), dtype=torch.float64))
            assert torch.allclose(told[0], told[1], rtol=0, atol=0, equal_nan=True)
    assert made > 3


def test_a_layer_that_holds_more_than_settings_is_not_taken_for_another() -> None:
    for held, kept in (
        (3, True),
        ((1, "same"), True),
        (nn.functional.relu, True),
        (Held, False),
        ([{}], False),
    ):
        layer = nn.Sequential(nn.Linear(2, 2))
        layer[0].held = held
        made = blocks._made_of(layer, {}, {})
        assert (made is not None) == kept
        if made is not None:
            assert made is not layer and made[0] is not layer[0] and made[0].weight is layer[0].weight


def test_what_two_mistakes_build_is_what_one_of_them_builds() -> None:
    part = parts("resnet")["resnet/cifar_resnet"]
    known = {each.id: each.wrong for each in part.mistakes}
    pair = next(
        each for each in part.pairs if (each.one.id, each.other.id) == ("sum_pooled", "relu_missing_between")
    )
    assert built_as(pair.wrong) is known["relu_missing_between"]
    assert built_as(known["relu_missing_between"]) is None


def test_an_edit_outside_of_forward_is_built() -> None:
    known = {each.id: each for each in parts("alexnet")["alexnet/alexnet_trunk"].mistakes}
    assert built_as(known["tanh_for_relu"].wrong) is AlexNetTrunk
    assert built_as(known["bias_missing"].wrong) is None
    assert built_as(known["torchvision_trunk"].wrong) is None  # edits in both
    formed = built_as(in_form(known["tanh_for_relu"].wrong, TwoTowers))
    assert formed is in_form(AlexNetTrunk, TwoTowers)


def test_sources_of_an_operand_that_mixes_parameters_are_all_told() -> None:
    shapes = [(4, 2), (3,), (5, 2), (2, 2)]
    starts = [0, 8, 11, 21]
    kept = [
        operands._Kept(Held(f"w{k}", "parameter", shape, "float64", True, k), start)
        for k, (shape, start) in enumerate(zip(shapes, starts, strict=True))
    ]

    def told(places: list[int]) -> list[str]:
        operand = operands._Operand(0, (len(places),), torch.tensor(places))
        return [each.held.name for each in operands._sources(operand, kept)]

    assert told([9, 8, 10]) == ["w1"]
    assert told([24, 3, 21]) == ["w0", "w3"]  # and nothing of what stands between
    assert told([20, 11, 0]) == ["w0", "w2"]


def test_weights_that_are_read_as_they_are_kept_are_not_followed() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.turned, self.linear = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3), nn.Linear(4, 2)
            self.other = nn.Parameter(torch.randn(2, 3))

        def forward(self, x: Tensor) -> Tensor:
            x = nn.functional.conv2d(self.conv(x), self.turned.weight.transpose(2, 3), self.turned.bias)
            return self.linear(x.mean((2, 3))) @ self.other

    graph = recording_of(Two().double(), [torch.randn(2, 3, 5, 5, dtype=torch.float64)], training=False)
    followed = operands._handled(graph, operands._kept(graph))
    assert {each.held.name for each in followed} == {"other", "turned.weight", "linear.weight"}
    assert [each.start for each in followed] == [0, *accumulate(each.size for each in followed[:-1])]


@pytest.mark.parametrize("shelf", [True, False])
def test_a_candidate_that_nobody_has_run_is_run_once(shelf: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    part = parts("resnet")["resnet/basic_block"]
    wrong = {known.id: known.wrong for known in part.mistakes}
    for kept in ("_TRACED", "_SHELF", "_FORMS", "_JUST_BUILT", "_ALONE"):
        monkeypatch.setattr(blocks, kept, {})
    monkeypatch.setattr(blocks, "_shelved", 0 if shelf else blocks.SHELF_BYTES)
    blocks._sizes_of.cache_clear()
    runs = Counter[str]()

    def noted(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        runs[type(module).__name__] += 1
        return run_module(module, *args, **kwargs)

    monkeypatch.setattr(blocks, "run_module", noted)
    assert check(part.id, wrong["relu_before_addition"], seed=3).mistakes == ["relu_before_addition"]
    names = {each.__name__ for each in wrong.values()} - {"ReluBeforeAddition"}
    ran = [count for name, count in runs.items() if name in names]
    # But for those that raise, or use the weights in another order than the reference does.
    assert len(ran) > 5 and sum(count == 1 for count in ran) > 0.7 * len(ran)


def test_what_explained_one_answer_of_a_class_is_tried_first_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    part = parts("resnet")["resnet/basic_block"]
    wrong = {known.id: known.wrong for known in part.mistakes}
    monkeypatch.setattr(blocks, "_ALONE", {})
    tried: list[str] = []
    compare = blocks.compare

    def noted(seen: Any, factory: Any, quick: bool = False, **options: Any) -> Any:
        if quick:
            tried.append(factory.__name__)
        return compare(seen, factory, quick, **options)

    monkeypatch.setattr(blocks, "compare", noted)

    def named(mistake: str, own: int, cases: int = 7) -> tuple[list[str], int]:
        tried.clear()
        found = check(part.id, wrong[mistake], seed=seed_of(cases, own)).mistakes
        return found, len(set(tried))

    first, all_of_them = named("relu_before_addition", 1)
    assert first == ["relu_before_addition"] and all_of_them > 5
    assert named("relu_before_addition", 2) == (first, 1)
    other = next(each for each in wrong if named(each, 3)[0] not in ([], first) and each != first[0])
    assert named(other, 4)[0] == named(other, 3)[0] != first  # the first is tried for it, and is not it
    assert named("relu_before_addition", 5)[0] == first
    assert named("relu_before_addition", 1, cases=8)[1] > 5  # in other cases, others may do the same


def test_each_case_that_confirms_a_condition_has_work_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class TwoSlips(parts("resnet")["resnet/basic_block"].reference.factory):  # type: ignore[misc]
        """One at stride 1, and one everywhere, so that each case which confirms the first is looked into."""

        def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
            super().__init__(in_channels, out_channels, stride)
            if stride == 1:
                self.residual.append(nn.Tanh())

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.silu(self.residual(x) + self.shortcut(x))

    given: list[int] = []
    find = blocks._difference_in

    def used_up(*args: Any) -> Any:
        *_, work = args
        given.append(work.left)
        found = find(*args)
        work.left = 0  # as after a case that takes all that there is
        return found

    monkeypatch.setattr(blocks, "_difference_in", used_up)
    report = check("resnet/basic_block", TwoSlips, seed=3)
    assert any("`stride` is 1" in each.get("when", "") for each in report.differences)
    assert len(given) > len(report.compared) and set(given) == {blocks.LAYERS_COMPARED}
