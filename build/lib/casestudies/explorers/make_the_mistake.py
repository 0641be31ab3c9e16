"""Make a classic mistake of a chapter, and see what it does to the drawing, to the numbers and to a training curve.

    from casestudies.explorers import MakeTheMistake
    MakeTheMistake("resnet")

Each switch is a mistake that the checks know; see `casestudies.mistakes`. Drawings and numbers are computed here; the
curves were recorded, since they take minutes: `casestudies experiment mistakes`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

import traitlets

from casestudies import mistakes
from casestudies.experiments import recorded
from casestudies.explorers.base import Explorer, fixed, module, plural
from casestudies.mistakes import RIGHT, Figures, MistakeRun

MEASURES = {"test_error": "test error", "train_error": "training error"}
DECIMALS = 4  # of what the output looks like


def curve_of(runs: Iterable[MistakeRun]) -> dict[str, Any]:
    """For each measure and epoch the mean over the seeds, the least and the most; runs that stopped do not count."""
    runs = list(runs)
    whole = [run for run in runs if not run.error]
    stopped = [run.error for run in runs if run.error]
    curve: dict[str, Any] = {
        "runs": len(runs),
        "stopped": len(stopped),
        "why": stopped[0] if stopped else "",
    }
    for measure in MEASURES:
        columns = zip(*(getattr(run.history, measure) for run in whole), strict=True)
        curve[measure] = [[round(v, 6) for v in (sum(c) / len(c), min(c), max(c))] for c in columns]
    return curve


def for_page(svg: str) -> str:
    """A drawing that takes its colours from the explorer around it."""
    return re.sub(r"<style>.*?</style>", "", svg, flags=re.DOTALL).replace("var(--f-", "var(--x-")


def range_text(last: list[float]) -> str:
    """
    >>> range_text([0.0172, 0.0141, 0.0197])
    '1.7 % (1.4 to 2.0)'
    """
    mean, least, most = (fixed(100 * value, 1) for value in last)
    return f"{mean} % ({least} to {most})"


class MakeTheMistake(Explorer):
    """Chapter, mistake -> the wrong block beside the right one: drawing, figures, and curves of training."""

    title = "Make the mistake"
    _esm = module("make_the_mistake")

    chapter = traitlets.Unicode().tag(sync=True)
    mistake = traitlets.Unicode(RIGHT, help="id of the mistake that is made, or none").tag(sync=True)
    measure = traitlets.Enum(list(MEASURES), "test_error").tag(sync=True)
    part = traitlets.Unicode(help="the part of the assignment whose mistakes they are").tag(sync=True)
    words = traitlets.Dict(help="what the part asks for, and what was trained").tag(sync=True)
    switches: traitlets.List[Any] = traitlets.List(help="see casestudies.mistakes.Switch").tag(sync=True)
    drawings = traitlets.Dict(help="the SVGs, each once").tag(sync=True)
    curves = traitlets.Dict(help="mistake -> see `curve_of`").tag(sync=True)

    def __init__(self, chapter: str, runs: Iterable[MistakeRun] | None = None, **settings: Any) -> None:
        """`runs` are by default the recorded ones."""
        bench = mistakes.bench(chapter)
        made = mistakes.switches(chapter)
        runs = recorded("mistakes") if runs is None else runs
        mine = [run for run in runs if run.chapter == chapter]
        missing = sorted({one.id for one in made} - {run.mistake for run in mine})
        if missing:
            raise ValueError(
                f"runs has none of {chapter} {missing[0]}; "
                "make it with `casestudies experiment mistakes --out casestudies/recorded`"
            )
        drawings: dict[str, str] = {}
        shown = []
        for one in made:
            content = asdict(one)
            for side in ("drawing", "expected"):
                svg = for_page(content[side])
                content[side] = next(
                    (name for name, known in drawings.items() if known == svg), f"d{len(drawings)}"
                )
                drawings.setdefault(content[side], svg)
            shown.append(content)
        super().__init__(
            chapter=chapter,
            part=bench.part,
            words={"noun": bench.noun, "trained": bench.trained},
            switches=shown,
            drawings=drawings,
            curves={one.id: curve_of(run for run in mine if run.mistake == one.id) for one in made},
            **settings,
        )

    @traitlets.validate("mistake")
    def _known(self, proposal: Any) -> str:
        ids = [one["id"] for one in self.switches]
        if ids and proposal["value"] not in ids:
            raise traitlets.TraitError(f"mistake is {proposal['value']!r}; expected one of {', '.join(ids)}")
        return proposal["value"]

    def shown(self) -> dict[str, Any]:
        """The switch that is on."""
        return next(one for one in self.switches if one["id"] == self.mistake)

    def figures(self) -> tuple[Figures, Figures]:
        """The right block and the one with the mistake."""
        one = self.shown()
        return Figures(**one["right"]), Figures(**one["figures"])

    def rows(self) -> list[tuple[str, ...]]:
        """The table of the page: name of a figure, right, and with the mistake."""
        right, wrong = (text_of(one) for one in self.figures())
        pairs = zip(right, right.values(), wrong.values(), strict=True)
        return [row[:2] if self.mistake == RIGHT else row for row in pairs]

    def sentence(self) -> str:
        one = self.shown()
        right, wrong = self.figures()
        said = f"{one['label'][0].upper()}{one['label'][1:]}. {one['text']} "
        if wrong.error:
            return f"{said}The {self.words['noun']} does not run: {wrong.error}"
        said += f"The {self.words['noun']} has {count(right.parameters, wrong.parameters, 'parameter')} "
        said += f"and {count(right.macs, wrong.macs, 'MAC')}. "
        return said + self.training()

    def training(self) -> str:
        now, right = self.curves[self.mistake], self.curves[RIGHT]
        if now["stopped"] == now["runs"]:
            return f"{self.words['trained']} cannot be trained: {now['why']}"
        name, epochs = MEASURES[self.measure], len(now[self.measure])
        last, best = now[self.measure][-1], right[self.measure][-1]
        said = f"{self.words['trained']}, trained on the digits for {plural(epochs, 'epoch')}, "
        said += f"has a {name} of {range_text(last)} over {plural(now['runs'] - now['stopped'], 'seed')}"
        if now["stopped"]:
            said += f"; {plural(now['stopped'], 'run')} stopped: {now['why']}"
        if self.mistake == RIGHT:
            return f"{said}."
        said += f"; without the mistake {range_text(best)}."
        if last[1] <= best[2] and best[1] <= last[2]:
            said += (
                " The seeds alone make as much difference: the end of this curve does not show the mistake."
            )
        return said


def count(right: int, wrong: int, noun: str) -> str:
    """
    >>> count(10, 10, "MAC"), count(10, 12, "parameter")
    ('10 MACs', '12 parameters instead of 10')
    """
    return plural(wrong, noun) + (f" instead of {right:,}" if right != wrong else "")


def text_of(one: Figures) -> dict[str, str]:
    """The figures of a block as the page's table writes them; a block that does not run has none."""
    texts = {
        "Parameters": f"{one.parameters:,}",
        "MACs": f"{one.macs:,}",
        "Output": " × ".join(map(str, one.shape)),
        "Mean": fixed(one.mean, DECIMALS),
        "Deviation": fixed(one.deviation, DECIMALS),
        "Least": fixed(one.least, DECIMALS),
        "Zeros": f"{fixed(100 * one.zeros, 1)} %",
        "Gradient": fixed(one.gradient, DECIMALS),
    }
    return {name: "–" if one.error else text for name, text in texts.items()}
