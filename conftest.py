"""Examples in docstrings that need what not every clone has."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

NEEDED = {
    "casestudies.against.against": ("torchinfo",),
    "casestudies.export.to_onnx": ("onnx", "onnxruntime"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for module in NEEDED.get(item.name, ()) if isinstance(item, pytest.DoctestItem) else ():
            if find_spec(module) is None:
                item.add_marker(pytest.mark.skip(reason=f"{module} is not installed"))
