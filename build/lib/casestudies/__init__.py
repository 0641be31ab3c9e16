"""The classic convolutional networks: reference implementations, costs, and checks that name the mistake.

from casestudies import check
check("resnet/basic_block", BasicBlock)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from casestudies.checking.engine import check
    from casestudies.costs import ledger, memory
    from casestudies.graph import Graph, record
    from casestudies.zoo import build

__version__ = "0.2.0"
__all__ = ["Graph", "build", "check", "ledger", "memory", "record"]

# Loaded at first use: `import casestudies` alone should cost nothing.
_HOMES = {
    "Graph": "casestudies.graph",
    "build": "casestudies.zoo",
    "check": "casestudies.checking.engine",
    "ledger": "casestudies.costs",
    "memory": "casestudies.costs",
    "record": "casestudies.graph",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'casestudies' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
