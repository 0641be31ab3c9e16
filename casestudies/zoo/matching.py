"""Match a saved state, of which only the order is known, to a network, by shape and order of use."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from torch import Tensor, nn

from casestudies.graph import record, uses

Shape = tuple[int, ...]


def match_in_order(state: dict[str, Tensor], module: nn.Module, inputs: Sequence[Tensor]) -> dict[str, str]:
    """Match a saved state with a module: within each shape, in order of use on these inputs.

    Gives {module's name: state's name}. Integer entries (`num_batches_tracked`) are left out on both sides.
    Raises ValueError that names what is missing or left over.
    """
    held: dict[str, tuple[str, Tensor]] = {name: ("parameter", p) for name, p in module.named_parameters()}
    held |= {name: ("buffer", b) for name, b in module.named_buffers() if b.is_floating_point()}
    order = [use.name for use in uses(record(module, *inputs)) if use.name in held]
    order += [name for name in held if name not in set(order)]
    buffer_words = {name.rpartition(".")[2] for name, (kind, _) in held.items() if kind == "buffer"}
    pools: dict[tuple[str, Shape], list[str]] = defaultdict(list)
    for name, value in state.items():
        if value.is_floating_point():
            kind = "buffer" if name.rpartition(".")[2] in buffer_words else "parameter"
            pools[kind, tuple(value.shape)].append(name)
    matching = {}
    for name in order:
        kind, tensor = held[name]
        shape = tuple(tensor.shape)
        pool = pools[kind, shape]
        if not pool:
            raise ValueError(
                f"state has no {kind} of shape {shape} left for {name}; "
                "it belongs to another network or to another version of this one"
            )
        matching[name] = pool.pop(0)
    left = [name for pool in pools.values() for name in pool]
    if left:
        raise ValueError(f"state has {len(left)} entries that the network does not use, such as {left[0]!r}")
    return matching
