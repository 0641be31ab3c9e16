"""Spaces of cases: every run asks every level and every pair that may meet, whatever the seed."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Any

import pytest
import torch
from torch import nn

from casestudies import check
from casestudies.checking.blocks import build
from casestudies.checking.parts import Reference, parts
from casestudies.checking.space import Case, Space, any_of, spelled
from casestudies.sandboxed.probe import run_module

SEEDS = range(50)
BLOCKS = {id: part for id, part in parts().items() if isinstance(part.reference, Reference)}
MOST_CASES = 12


def bound(space: Space, case: Case) -> dict[str, Any]:
    """The arguments of a case by name, defaults filled in."""
    given = space.signature.bind(*case.args, **case.kwargs)
    given.apply_defaults()
    return dict(given.arguments)


def places(space: Space, values: dict[str, Any]) -> set[tuple[str, Any]]:
    """The levels that some arguments stand for, found by looking for the values themselves."""
    found = set()
    for names, levels in space.axes.items():
        value = tuple(values[name] for name in names) if len(names) > 1 else values[names[0]]
        for k, level in enumerate(levels):
            if value in (list(level.values) if hasattr(level, "values") else [level]):
                found.add((", ".join(names), k))
    for k, holds in enumerate(space.conditions):
        found.add((f"condition {k}", holds(**values)))
    return found


def sides(space: Space, image: tuple[int, ...]) -> set[tuple[str, Any]]:
    """The batch, and of each side that is free whether it is odd; or half of it, where all are even."""
    found: set[tuple[str, Any]] = {("batch", image[0])}
    for k, side in free(space):
        halves = all(size % 2 == 0 for level in side for size in getattr(level, "values", [1]))
        found.add((f"side {k}", (image[k] // 2 if halves else image[k]) % 2))
    return found


def free(space: Space) -> list[tuple[int, Any]]:
    return [(k, side) for k, side in enumerate(space.shape, start=1) if isinstance(side, tuple)]


def pairs(found: set[Any]) -> set[frozenset[Any]]:
    return {frozenset(pair) for pair in combinations(sorted(found, key=repr), 2)}


def possible(space: Space) -> set[frozenset[Any]]:
    """The pairs of levels that may meet."""
    return {pair for _, values in space.combinations() for pair in pairs(places(space, values))}


@pytest.mark.parametrize("id", BLOCKS)
def test_every_run_has_every_value_and_every_pair_of_arguments(id: str) -> None:
    (space,) = BLOCKS[id].reference.spaces
    wanted = possible(space)
    defaults = {name for name, p in space.signature.parameters.items() if p.default is not p.empty}
    for seed in SEEDS:
        cases = [each.case for each in BLOCKS[id].reference.drawn(seed)]
        met = [places(space, bound(space, case)) for case in cases]
        assert wanted <= {pair for one in met for pair in pairs(one)}
        given = [set(space.signature.bind(*case.args, **case.kwargs).arguments) for case in cases]
        assert all(any(name not in one for one in given) for name in defaults), "a default is never left out"
        written = [
            (name, name in case.kwargs) for case, one in zip(cases, given, strict=True) for name in one
        ]
        assert all((name, by_name) in written for name in defaults for by_name in (False, True))
        assert all(not by_name for name, by_name in written if name not in defaults)


@pytest.mark.parametrize("id", BLOCKS)
def test_every_run_has_every_batch_and_every_side_with_every_argument(id: str) -> None:
    (space,) = BLOCKS[id].reference.spaces
    batches = set(space.batches)
    for seed in SEEDS:
        met: set[frozenset[Any]] = set()
        levels: set[Any] = set()
        trained = set()
        for each in BLOCKS[id].reference.drawn(seed):
            own = places(space, bound(space, each.case))
            levels |= own
            shown = [each.case.image, *(case.image for case in each.beside)]
            if each.case.image[0] > 1:
                shown.append((1, *each.case.image[1:]))  # alone, see `asking`
            trained.add(each.case.image[0])
            for image in shown:
                met |= pairs(own | sides(space, image))
        for batch in batches:
            for level in levels:
                assert frozenset({("batch", batch), level}) in met, (seed, batch, level)
        for k, _ in free(space):
            for parity in (0, 1):
                for level in {*levels, *(("batch", batch) for batch in batches)}:
                    assert frozenset({(f"side {k}", parity), level}) in met, (seed, k, parity, level)
        assert 1 in trained or len(BLOCKS[id].reference.drawn(seed)) == 1, "no batch of one in training mode"


@pytest.mark.parametrize("id", BLOCKS)
def test_cases_are_few_valid_and_as_many_with_every_seed(id: str) -> None:
    reference = BLOCKS[id].reference
    counts, tried = set(), set()
    for seed in SEEDS:
        drawn = reference.drawn(seed)
        counts.add((len(drawn), sum(len(each.beside) for each in drawn)))
        for each in drawn:
            for case in (each.case, *each.beside):
                if case in tried:
                    continue
                tried.add(case)
                run_module(build(reference.factory, case), [torch.zeros(case.image).double()], training=False)
            assert all(case.construction == each.case.construction for case in each.beside)
    assert len(counts) == 1
    assert counts.pop()[0] <= MOST_CASES


@pytest.mark.parametrize("id", BLOCKS)
def test_a_seed_repeats_and_another_one_asks_something_else(id: str) -> None:
    drawn = BLOCKS[id].reference.drawn
    assert drawn(7) == drawn(7)
    (space,) = BLOCKS[id].reference.spaces
    if space.axes:
        assert len({tuple(each.case for each in drawn(seed)) for seed in range(10)}) > 5


# ------------------------------------------------------------------------------------------------------- no luck


def only_where(
    right: Callable[..., nn.Module], holds: Callable[[dict[str, Any], tuple[int, ...]], bool]
) -> Any:
    """A block that is right but where a condition holds, of its arguments and of the shape of its input."""
    signature = inspect.signature(right)

    class Wrapped(nn.Module):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__()
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            self.given = dict(given.arguments)
            self.block = right(*args, **kwargs)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.block(x)
            return out * 1.01 if holds(self.given, tuple(x.shape)) else out

    return Wrapped if isinstance(right, type) else lambda *args, **kwargs: Wrapped(*args, **kwargs)


def conditions(id: str) -> Iterator[tuple[str, Callable[..., bool]]]:
    """Each level alone, each pair of levels of arguments, each batch and each parity, with each level."""
    (space,) = BLOCKS[id].reference.spaces
    levels = {level for _, values in space.combinations() for level in places(space, values)}
    for one in sorted(levels, key=repr):
        yield f"{one}", lambda given, shape, one=one: one in places(space, given)
    for pair in sorted(possible(space), key=repr):
        yield f"{set(pair)}", lambda given, shape, pair=pair: pair <= places(space, given)
    some: list[tuple[str, Any]] = [("batch", batch) for batch in space.batches]
    some += [(f"side {k}", parity) for k, _ in free(space) for parity in (0, 1)]
    for side in some:
        yield f"{side}", lambda given, shape, side=side: side in sides(space, shape)
        for one in sorted(levels, key=repr):
            yield (
                f"{side}, {one}",
                lambda given, shape, side=side, one=one: (
                    side in sides(space, shape) and one in places(space, given)
                ),
            )


@pytest.mark.parametrize("id", [id for id in BLOCKS if id != "alexnet/alexnet_trunk"])
def test_who_is_wrong_in_one_place_only_is_caught_with_any_seed(id: str) -> None:
    """Whatever is asked: a difference in any of it costs marks, as the next test shows."""
    (space,) = BLOCKS[id].reference.spaces
    for seed in range(25):
        asked = []
        for each in BLOCKS[id].reference.drawn(seed):
            given = bound(space, each.case)
            images = [each.case.image, *(case.image for case in each.beside), (1, *each.case.image[1:])]
            asked += [(given, tuple(image)) for image in images]
        missed = [name for name, holds in conditions(id) if not any(holds(*one) for one in asked)]
        assert missed == [], seed


CHOSEN = {
    "stride 3": ("resnet/basic_block", lambda given, shape: given["stride"] == 3),
    "as many channels and stride 2": (
        "resnet/basic_block",
        lambda given, shape: given["in_channels"] == given["out_channels"] and given["stride"] == 2,
    ),
    "odd widths": ("resnet/bottleneck", lambda given, shape: shape[3] % 2 == 1),
    "a batch of one": ("mobilenet/separable_conv", lambda given, shape: shape[0] == 1),
    "a batch of three": ("mobilenet_v2/inverted_residual", lambda given, shape: shape[0] == 3),
    "fewer than four channels": ("efficientnet/mbconv", lambda given, shape: given["in_channels"] < 4),
    "seven channels": ("efficientnet/mbconv", lambda given, shape: given["in_channels"] % 8 == 7),
    "eight channels or more, another expansion than 6": (
        "efficientnet/mbconv",
        lambda given, shape: given["in_channels"] >= 8 and given["expansion"] != 6,
    ),
    "a quarter of fewer channels out": (
        "efficientnet/mbconv",
        lambda given, shape: max(1, given["out_channels"] // 4) < max(1, given["in_channels"] // 4),
    ),
    "a batch of five at stride 2": (
        "nin/nin_block",
        lambda given, shape: shape[0] == 5 and given["stride"] == 2,
    ),
    "ten classes": ("lenet/lenet5", lambda given, shape: given["num_classes"] == 10),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_what_is_wrong_in_one_place_loses_marks_at_home_and_in_the_grade(name: str, monkeypatch: Any) -> None:
    id, holds = CHOSEN[name]
    monkeypatch.setattr(BLOCKS[id], "mistakes", [])  # what it is called is another matter
    monkeypatch.setattr(BLOCKS[id], "_pairs", [])
    answer = only_where(BLOCKS[id].reference.factory, holds)
    answer.__name__ = BLOCKS[id].reference.name
    points = {check(id, answer, seed=seed, hidden=seed % 2 == 1).points for seed in range(4)}
    assert max(points) < BLOCKS[id].points


SQUEEZED = {
    "from the hidden width": lambda given: max(1, given["expansion"] * given["in_channels"] // 24),
    "from the fewer channels": lambda given: max(1, min(given["in_channels"], given["out_channels"]) // 4),
    "from the output": lambda given: max(1, given["out_channels"] // 4),
    "rounded": lambda given: max(1, round(given["in_channels"] / 4)),
    "rounded up": lambda given: -(-given["in_channels"] // 4),
    "without a limit": lambda given: given["in_channels"] // 4,
    "at least 2": lambda given: max(2, given["in_channels"] // 4),
    "at most 1": lambda given: 1,
}


@pytest.mark.parametrize("name", SQUEEZED)
def test_a_gate_of_another_width_is_other_in_some_case_of_every_run(name: str) -> None:
    (space,) = BLOCKS["efficientnet/mbconv"].reference.spaces
    for seed in range(200):
        asked = [bound(space, each.case) for each in BLOCKS["efficientnet/mbconv"].reference.drawn(seed)]
        assert any(SQUEEZED[name](given) != max(1, given["in_channels"] // 4) for given in asked), seed


# ------------------------------------------------------------------------------------------------------ declaring


def test_each_way_to_write_arguments_down() -> None:
    signature = inspect.signature(lambda a, b=1, c=2: None)
    values = {"a": 5, "b": 1, "c": 3}
    assert spelled(signature, values, "defaults left out") == ((5,), {"c": 3})
    assert spelled(signature, values, "by position") == ((5, 1, 3), {})
    assert spelled(signature, values, "by name") == ((5,), {"b": 1, "c": 3})


def block(channels: int, stride: int = 1) -> nn.Module:
    return nn.Conv2d(channels, channels, 1, stride)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"channels": (3,)}, "expected channels, stride"),
        ({"channels": (3,), "stride": (2, 3)}, "never leaves out stride: 1 must be a level"),
        ({"channels": (3,), "stride": (any_of(1, 2),)}, "never leaves out stride: 1 must be a level"),
    ],
)
def test_a_space_that_leaves_something_out_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Reference(block, Space(arguments, shape=("channels", 5, 5)))


def test_a_level_that_no_case_reaches_is_told() -> None:
    space = Space(
        {"channels": (3, 4), "stride": (1, 2)},
        shape=("channels", 5, 5),
        where=lambda channels, stride: channels == 3,
    )
    with pytest.raises(ValueError, match="no case has channels = 4"):
        Reference(block, space).drawn(0)


def test_what_is_no_case_is_named_where_the_reference_is_declared() -> None:
    case = Case(2, image=(1, 3, 4, 5))
    with pytest.raises(TypeError, match="case 1 of the reference ReLU is .*list.*expected a Case or a Space"):
        Reference(nn.ReLU, case, [case])
    with pytest.raises(ValueError, match="ReLU has 'forward'; expected 'structure', 'evaluation'"):
        Reference(nn.ReLU, case, weights={"forward": 4.0})
