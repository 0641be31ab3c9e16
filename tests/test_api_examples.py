"""Every example of the page on the package runs as a reader would run it, and prints what is shown."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
from collections.abc import Iterator
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

PAGE = (Path(__file__).parents[1] / "book" / "api.md").read_text(encoding="utf-8")
OBJECTS = re.findall(r"^\.\. auto(?:function|class|exception):: (\S+)$", PAGE, re.MULTILINE)
COLUMN = 86  # characters of code that a laptop shows beside the contents, which tests/browser measures
NEEDED = {"against": ("torchinfo",), "to_onnx": ("onnx", "onnxruntime")}  # not in every clone


def documented(shown: Any) -> Iterator[tuple[str, Any]]:
    """An object itself, and the methods and properties of a class, by name."""
    yield "", shown
    for name, member in vars(shown).items() if isinstance(shown, type) else ():
        if inspect.isroutine(member) or isinstance(member, (property, cached_property)):
            yield f".{name}", member


def examples() -> Iterator[Any]:
    for path in OBJECTS:
        module, _, name = path.rpartition(".")
        shown = getattr(importlib.import_module(module), name)
        for member, each in documented(shown):
            # What the page takes for granted, and nothing else of the module. The name of that is needed since a part
            # may be declared twice by one module only, and `--doctest-modules` declares it as well.
            known = {"torch": torch, "nn": nn, name: shown, "__name__": shown.__module__}
            test = doctest.DocTestParser().get_doctest(
                each.__doc__ or "", known, f"{name}{member}", None, None
            )
            if test.examples:
                yield pytest.param(test, id=test.name)


@pytest.mark.parametrize("test", tuple(examples()))
def test_an_example_runs_with_what_the_page_takes_for_granted(test: doctest.DocTest) -> None:
    if missing := [module for module in NEEDED.get(test.name, ()) if find_spec(module) is None]:
        pytest.skip(f"{missing[0]} is not installed")
    told: list[str] = []
    failed, tried = doctest.DocTestRunner(verbose=False).run(test, out=told.append)
    assert tried and not failed, "".join(told)


@pytest.mark.parametrize("test", tuple(examples()))
def test_an_example_fits_its_column(test: doctest.DocTest) -> None:
    shown = [line for each in test.examples for line in (f">>> {each.source}{each.want}").splitlines()]
    assert [line for line in shown if len(line) > COLUMN] == []
