"""Plain and residual networks of several depths, epoch by epoch, from runs that were made before.

from casestudies.experiments import degradation_study
from casestudies.explorers import DegradationCurves
DegradationCurves(degradation_study(depths=(8, 20, 56)))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import traitlets

from casestudies.experiments import Run
from casestudies.explorers.base import Explorer, fixed, module, plural
from casestudies.language import message

# key: (name, unit, what a stored figure is multiplied by, decimals)
MEASURES: dict[str, tuple[str, str, float, int]] = {
    "train_error": (message("training error"), "%", 100, 2),
    "test_error": (message("test error"), "%", 100, 2),
    "train_loss": (message("training loss"), "", 1, 3),
    "gradient_norm": (message("gradient norm of the first layer"), "", 1, 4),
}
DATA = {"digits": message("digits"), "cifar10": "CIFAR-10", "fashion_mnist": "Fashion-MNIST"}
PUBLISHED = {"digits": 8, "cifar10": 32, "fashion_mnist": 28}  # side of the images
FAMILIES = {"both": (False, True), "plain": (False,), "residual": (True,)}


# One network on one data set: its data, depth, residual and seeds, and for each key of MEASURES, epoch by epoch, the
# mean over the seeds, the least and the most.
Curve = dict[str, Any]


def summarise(runs: Iterable[Run]) -> list[Curve]:
    """One curve for each network and data set: per epoch the mean over the seeds, the least and the most.

    Runs of one curve that have different lengths count as far as the shortest goes. Six significant digits.
    """
    groups: dict[tuple[str, int, bool], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.history.settings["data"], run.depth, run.residual), []).append(run)
    curves = []
    for (data, depth, residual), same in sorted(groups.items()):
        curve: Curve = {"data": data, "depth": depth, "residual": residual, "seeds": len(same)}
        for key in MEASURES:
            columns = list(zip(*(getattr(run.history, key) for run in same), strict=False))
            curve[key] = [[brief(sum(c) / len(c)), brief(min(c)), brief(max(c))] for c in columns]
        curves.append(curve)
    return curves


def titles(runs: Iterable[Run]) -> dict[str, str]:
    """The names of the data sets, with the size of the images where it is not the published one."""
    names = dict(DATA)
    for run in runs:
        data, (*_, side) = run.history.settings["data"], run.history.settings.get("image", (None,))
        if side not in (None, PUBLISHED.get(data)):
            names[data] = f"{DATA.get(data, data)} at {side} × {side}"
    return names


def brief(value: float) -> float:
    return float(f"{value:.6g}")


class DegradationCurves(Explorer):
    """Depth, plain or residual, data set, measure, epoch -> curves, and what depth does to the networks."""

    title = "Does depth help?"
    _esm = module("degradation_curves")

    data = traitlets.Unicode("", help="name of the data set").tag(sync=True)
    family = traitlets.Enum(list(FAMILIES), "both").tag(sync=True)
    depths = traitlets.List(traitlets.Int(), help="the depths that are shown").tag(sync=True)
    measure = traitlets.Enum(list(MEASURES), "train_error").tag(sync=True)
    epoch = traitlets.Int(1, min=1, help="the epoch whose figures are read").tag(sync=True)
    curves: traitlets.List[Any] = traitlets.List(help="see `summarise`").tag(sync=True)
    names = traitlets.Dict(DATA).tag(sync=True)
    measures = traitlets.Dict({key: list(row) for key, row in MEASURES.items()}).tag(sync=True)

    def __init__(self, runs: Iterable[Run], **settings: Any) -> None:
        """By default all depths on the first data set, after its last epoch."""
        runs = list(runs)
        curves = summarise(runs)
        if not curves:
            raise ValueError("runs is empty; pass at least one Run, such as those of `degradation_study()`")
        data = settings.setdefault("data", curves[0]["data"])
        mine = [curve for curve in curves if curve["data"] == data]
        settings.setdefault("depths", sorted({curve["depth"] for curve in curves}))
        settings.setdefault("epoch", max((len(curve["train_error"]) for curve in mine), default=1))
        super().__init__(curves=curves, names=titles(runs), **settings)

    @traitlets.validate("data")
    def _recorded(self, proposal: Any) -> str:
        known = sorted({curve["data"] for curve in self.curves})
        if known and proposal["value"] not in known:
            raise traitlets.TraitError(f"data is {proposal['value']!r}; there are runs on {', '.join(known)}")
        return proposal["value"]

    def shown(self) -> list[Curve]:
        """The curves of the present settings, plain before residual, shallow before deep."""
        wanted = [
            curve
            for curve in self.curves
            if curve["data"] == self.data
            and curve["depth"] in self.depths
            and curve["residual"] in FAMILIES[self.family]
        ]
        return sorted(wanted, key=lambda curve: (curve["residual"], curve["depth"]))

    def figures(self) -> dict[str, float]:
        """Name of the network -> the mean of the measure at the present epoch, in the measure's unit."""
        factor = MEASURES[self.measure][2]
        return {network(curve): factor * self._at(curve)[0] for curve in self.shown()}

    def _at(self, curve: Curve) -> Sequence[float]:
        values = curve[self.measure]
        return values[min(self.epoch, len(values)) - 1]

    def sentence(self) -> str:
        curves = self.shown()
        if not curves:
            return f"There is no such run on {self.names.get(self.data, self.data)}: choose another depth."
        name, unit, factor, decimals = MEASURES[self.measure]
        epochs = max(len(curve[self.measure]) for curve in curves)
        read = [
            f"{network(curve)} {fixed(factor * self._at(curve)[0], decimals)}{' ' + unit if unit else ''}"
            for curve in curves
        ]
        said = (
            f"{self.names.get(self.data, self.data)}, {name} after {plural(min(self.epoch, epochs), 'epoch')}: "
            f"{', '.join(read)}."
        )
        for residual in (False, True):
            mine = [curve for curve in curves if curve["residual"] is residual]
            if len(mine) > 1 and self.measure != "gradient_norm":
                shallow, deep = self._at(mine[0])[0], self._at(mine[-1])[0]
                change = "rises" if deep > shallow else "falls" if deep < shallow else "stays the same"
                said += f" From {network(mine[0])} to {network(mine[-1])} it {change}."
        return said


def network(curve: Curve) -> str:
    return f"{'residual' if curve['residual'] else 'plain'}-{curve['depth']}"
