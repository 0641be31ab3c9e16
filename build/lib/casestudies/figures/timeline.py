"""The memory of a network, layer by layer: what it holds while each layer runs, and what training keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from casestudies.figures.curves import drawing, subplots
from casestudies.figures.palette import Drawing, colour, wanted, wanted_text

if TYPE_CHECKING:
    from casestudies.costs import Memory

MB = 1e6


def timeline(memory: Memory, title: str = "", caption: str = "") -> Drawing:
    """Activations in memory over the layers of a forward pass, in MB.

    The filled curve is what is held while a layer runs. In training the line is what autograd keeps of it for
    the backward pass, so it only rises.
    """
    from casestudies.costs import Memory

    wanted("memory", memory, Memory, "what casestudies.memory(network, image) gives")
    wanted_text(title=title, caption=caption)
    if not memory.steps:
        raise ValueError(
            f"memory is that of {memory.network}, in which nothing runs; there is nothing to draw"
        )
    places = range(1, len(memory.steps) + 1)
    held = [step.held / MB for step in memory.steps]
    figure, axes = subplots(width=5.6, height=2.6)
    axes.fill_between(places, held, step="mid", color=colour("conv"), alpha=0.3, linewidth=0)
    axes.plot(places, held, drawstyle="steps-mid", color=colour("conv"), label="held")
    if memory.training and memory.saved is not None:
        kept = [step.kept / MB for step in memory.steps]
        axes.plot(places, kept, drawstyle="steps-mid", color=colour("skip"), label="kept for backward")
        axes.legend(loc="upper left")
    axes.set(xlabel="layer, in the order in which they run", ylabel="activations, MB", title=title)
    axes.set_xlim(1, max(2, len(memory.steps)))
    axes.set_ylim(bottom=0)
    highest = max(range(len(held)), key=held.__getitem__)
    step = memory.steps[highest]
    images = "one image" if memory.batch == 1 else f"{memory.batch} images"
    alt = (
        f"{title or memory.network}, {'training' if memory.training else 'inference'} on {images}: activations reach "
        f"{memory.peak / MB:.1f} MB at layer {highest + 1} of {len(memory.steps)}, {step.layer} {step.kind}."
    )
    if memory.saved is not None and memory.training:
        alt += f" {memory.saved / MB:.1f} MB are kept for the backward pass."
    return drawing(figure, alt, caption)
