"""The drawing of a block: its data flow, from top to bottom, laid out from its graph.

Everything that is shown comes from the module itself, so a drawing cannot disagree with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from torch import nn

from casestudies.figures.palette import (
    Drawing,
    arrow,
    box,
    paint,
    shape_text,
    svg_element,
    text,
    wanted,
    wanted_text,
)
from casestudies.figures.steps import Step, trace

BOX_HEIGHT, THIN, CIRCLE, GAP = 40, 24, 13, 30  # pixels


@dataclass
class Stack:
    """Steps drawn as one column of boxes that touch, such as a convolution, its batch norm and its ReLU."""

    steps: list[Step]
    inputs: list[Stack] = field(default_factory=list)
    column: int = 0
    top: float = 0.0
    x: float = 0.0  # of its centre
    width: float = 0.0

    @property
    def kind(self) -> str:
        return self.steps[0].kind

    @property
    def heights(self) -> list[float]:
        if self.kind in ("sum", "product"):
            return [2 * CIRCLE]
        if self.kind in ("input", "wire"):
            return [0.0]
        return [BOX_HEIGHT if step.parameters and step.role != "norm" else THIN for step in self.steps]

    @property
    def height(self) -> float:
        return sum(self.heights)

    @property
    def bottom(self) -> float:
        return self.top + self.height

    @property
    def shape(self) -> tuple[int, ...]:
        return self.steps[-1].shape


def _check_all(name: str, values: object, kind: type) -> None:
    wanted(name, values, (list, tuple), f"a list of {kind.__name__}")
    for place, each in enumerate(values if isinstance(values, (list, tuple)) else ()):
        wanted(f"{name}[{place}]", each, kind, f"a {kind.__name__}")


def stacks_of(steps: Sequence[Step]) -> list[Stack]:
    """Join each norm and activation to the layer before it, unless something else reads what lies between."""
    _check_all("steps", steps, Step)
    uses: dict[str, int] = {}
    for step in steps:
        for source in step.inputs:
            uses[source] = uses.get(source, 0) + 1
    where: dict[str, Stack] = {}
    stacks: list[Stack] = []
    for step in steps:
        before = where.get(step.inputs[0]) if len(step.inputs) == 1 else None
        joins = step.kind == "box" and step.role in ("norm", "activation")
        if joins and before is not None and before.kind == "box" and uses[step.inputs[0]] == 1:
            before.steps.append(step)
        else:
            before = Stack([step], [where[source] for source in step.inputs])
            stacks.append(before)
        where[step.name] = before
    return stacks


def longest_path(stacks: Sequence[Stack], free: set[int], ends: set[int]) -> list[Stack]:
    """The longest run of free stacks from a placed stack to a placed stack, both of them included."""
    best: dict[int, list[Stack]] = {}
    found: list[Stack] = []
    for stack in stacks:  # in topological order
        candidates = [best[id(source)] for source in stack.inputs if id(source) in best]
        path = max(candidates, key=len, default=[])
        if id(stack) in ends:
            if path and len(path) + 1 > len(found):
                found = [*path, stack]
            best[id(stack)] = [stack]
        elif id(stack) in free and path:
            best[id(stack)] = [*path, stack]
    return found


def place(stacks: list[Stack]) -> list[tuple[Stack, Stack, int]]:
    """Give each stack a column and a height; return the direct edges that need a lane: (from, to, column)."""
    _check_all("stacks", stacks, Stack)
    if not stacks:
        raise ValueError(f"stacks is {stacks!r}; expected at least one stack, as stacks_of gives them")
    first, last = stacks[0], stacks[-1]
    free = {id(stack) for stack in stacks} - {id(first), id(last)}
    main = longest_path(stacks, free, {id(first), id(last)})
    top = 0.0
    for stack in main:
        stack.top = top
        top = stack.bottom + GAP
    placed = {id(stack) for stack in main}
    free -= placed
    taken: list[tuple[int, float, float]] = []

    def free_column(start: float, end: float) -> int:
        column = 1
        while any(column == other and start < below and above < end for other, above, below in taken):
            column += 1
        taken.append((column, start, end))
        return column

    while free:
        # Join the branches at the nearest placed stack, longest first.
        path = longest_path(stacks, free, placed)
        if len(path) < 3:  # a branch that leads nowhere
            break
        fork, *branch, merge = path
        column = free_column(fork.bottom, merge.top)
        space = merge.top - fork.bottom - sum(stack.height for stack in branch)
        top = fork.bottom
        for stack in branch:
            top += space / (len(branch) + 1)
            stack.column, stack.top = column, top
            top = stack.bottom
        placed |= {id(stack) for stack in branch}
        free -= placed
    lanes = []
    for stack in stacks:
        for source in stack.inputs:
            between = [other for other in main if source.bottom < other.top and other.bottom < stack.top]
            if source.column == stack.column == 0 and between:
                lanes.append((source, stack, free_column(source.bottom, stack.top)))
    order_by_concatenation(stacks)
    return lanes


def order_by_concatenation(stacks: list[Stack]) -> None:
    """Where branches are concatenated, let them stand in the order in which their channels do."""
    for stack in stacks:
        if stack.kind == "concatenation" and len({source.column for source in stack.inputs}) == len(
            stack.inputs
        ):
            new = {source.column: index for index, source in enumerate(stack.inputs)}
            for other in stacks:
                if stack.inputs and other.kind not in ("input", "concatenation"):
                    other.column = new.get(other.column, other.column)


def draw(module: nn.Module, image: Sequence[int], title: str = "", caption: str = "") -> Drawing:
    """The data flow of `module` for an input of shape `image` = (channels, height, width), top to bottom."""
    wanted_text(title=title, caption=caption)
    return draw_steps(trace(module, image), title or type(module).__name__, title, caption)


def draw_steps(steps: list[Step], name: str, title: str = "", caption: str = "") -> Drawing:
    """The drawing of steps that were traced; `name` is what its description calls the module."""
    stacks, wires = without_wires(stacks_of(steps))
    lanes = place(stacks)
    spread = any(stack.kind == "concatenation" for stack in stacks)
    labels = [step.label for stack in stacks for step in stack.steps if stack.kind == "box"]
    box_width = max(150.0, 6.9 * max(map(len, labels), default=0) + 18)
    boxed = {stack.column for stack in stacks}
    columns = 1 + max([*boxed, *(column for *_, column in lanes)])
    left = 6.0 + (70 if not spread else 0)  # shapes are written left of the first column
    centres: list[float] = []
    for column in range(columns):
        room = box_width if column in boxed else 26
        centres.append(left + room / 2)
        left += room + 20
    width = left - 14 + (64 if wires else 0)
    middle = (centres[0] + centres[-1]) / 2 if spread else centres[0]
    for stack in stacks:
        stack.x = middle if spread and stack.kind in ("input", "concatenation") else centres[stack.column]
        stack.width = width - 12 if stack.kind == "concatenation" else box_width
        stack.top += 46 if title else 26
    body: list[str] = []
    if title:
        body.append(text(middle, 16, title, size=15, weight=650))
    body.append(text(middle, stacks[0].top - 6, shape_text(stacks[0].shape), size=12.5, role="soft"))
    in_lane = {(id(source), id(target)): column for source, target, column in lanes}
    for stack in stacks:
        for source in stack.inputs:
            lane = in_lane.get((id(source), id(stack)))
            lane_x = None if lane is None else centres[lane]
            body.extend(connection(source, stack, lane_x, wires.get((id(source), id(stack)), ""), spread))
    for stack in stacks:
        body.extend(stack_shapes(stack))
    end = stacks[-1].bottom
    body.append(arrow([(middle, end), (middle, end + 22)], "soft"))
    body.append(text(middle, end + 37, shape_text(stacks[-1].shape), size=12.5, role="soft"))
    alt = describe_flow(name, stacks, set(wires.values()))
    return Drawing(svg_element("".join(body), width, end + 44, alt), alt, caption)


def without_wires(stacks: list[Stack]) -> tuple[list[Stack], dict[tuple[int, int], str]]:
    """Remove steps that pass their input on unchanged; return the labels of the edges that replace them."""
    wires = {}
    for stack in stacks:
        for index, source in enumerate(stack.inputs):
            if source.kind == "wire":
                stack.inputs[index] = source.inputs[0]
                wires[id(source.inputs[0]), id(stack)] = source.steps[0].label
    return [stack for stack in stacks if stack.kind != "wire"], wires


def connection(source: Stack, target: Stack, lane: float | None, label: str, spread: bool) -> Iterator[str]:
    """The line from one stack to the next, straight down, or around what lies between."""
    start, end = (source.x, source.bottom), (target.x, target.top)
    fork, join = source.bottom + 0.3 * GAP, target.top - 0.45 * GAP
    from_the_side = target.kind in ("sum", "product")
    side = (target.x + CIRCLE, target.top + CIRCLE)
    if lane is not None:
        points = [start, (source.x, fork), (lane, fork)]
        points += [(lane, side[1]), side] if from_the_side else [(lane, join), (target.x, join), end]
        yield arrow(points, "skip")
        if label:
            yield text(lane + 8, (fork + target.top) / 2, label, 12.5, "skip", anchor="start")
        return
    if source.column == target.column and source.x == target.x:
        yield arrow([start, end], "soft")
        if source.kind == "box" and not spread:
            middle = (source.bottom + target.top) / 2 + 4
            yield text(source.x - 9, middle, shape_text(source.shape), 11.5, "soft", anchor="end")
        return
    role = "soft" if spread else "skip"
    if target.kind == "concatenation":
        yield arrow([start, (source.x, target.top)], role)
    elif from_the_side and source.x > target.x:
        yield arrow([start, (source.x, side[1]), side], role)
    else:
        yield arrow([start, (source.x, fork), (target.x, fork), end], role)


def stack_shapes(stack: Stack) -> Iterator[str]:
    """The boxes of a stack, or its circle."""
    x, top = stack.x, stack.top
    if stack.kind in ("sum", "product"):
        style = f"fill:{paint('skip')};fill-opacity:.17;stroke:{paint('skip')};stroke-width:1.5"
        yield f'<circle cx="{x:.1f}" cy="{top + CIRCLE:.1f}" r="{CIRCLE}" style="{style}"/>'
        yield text(x, top + CIRCLE + 6, stack.steps[0].label, 19)
    elif stack.kind != "input":
        for step, height in zip(stack.steps, stack.heights, strict=True):
            yield box(x - stack.width / 2, top, stack.width, height, step.role)
            if height == BOX_HEIGHT:
                yield text(x, top + 17, step.label, 13)
                yield text(x, top + 33, f"{step.parameters:,} parameters", 11, "soft")
            else:
                yield text(x, top + height / 2 + 4.5, step.label, 12)
            top += height


def describe_flow(title: str, stacks: Sequence[Stack], wires: set[str]) -> str:
    """The drawing in words."""

    def words(stack: Stack) -> str:
        return ", ".join(step.label for step in stack.steps)

    main = [words(stack) for stack in stacks if stack.column == 0 and stack.kind == "box"]
    aside = [words(stack) for stack in stacks if stack.column > 0 and stack.kind == "box"] + sorted(wires)
    sentence = f"{title}: an input of {shape_text(stacks[0].shape)} goes through {'; '.join(main)}. "
    if aside:
        sentence += f"Beside it: {'; '.join(aside)}. "
    for kind, what in (("sum", "added"), ("product", "multiplied"), ("concatenation", "concatenated")):
        if any(stack.kind == kind for stack in stacks):
            sentence += f"The paths are {what}. "
    return f"{sentence}The output is {shape_text(stacks[-1].shape)}."
