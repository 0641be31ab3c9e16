"""The benches of the mistakes: each switch is a block that the checks know, its figures are those of the ledger,
and the recorded curves are those that the code trains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from casestudies import experiments, mistakes
from casestudies.checking import parts
from casestudies.checking.engine import check
from casestudies.costs import ledger
from casestudies.data import Split
from casestudies.grading.demands import Draft
from casestudies.mistakes import ADAM, BENCHES, RECIPE, RIGHT, bench, chapters, mistaken, switches
from casestudies.training import History

EACH = [(chapter, mistake) for chapter in chapters() for mistake in BENCHES[chapter].mistakes]


def test_every_full_assignment_has_a_bench() -> None:
    root = Path(__file__).parents[1]
    assert sorted(chapters()) == [name for name in parts.assignments() if not Draft(root, name).small]


@pytest.mark.parametrize("chapter, mistake", EACH)
def test_switch_is_the_mistake_of_the_checks(chapter: str, mistake: str) -> None:
    known = next(one for one in parts.find(bench(chapter).part).mistakes if one.id == mistake)
    [shown] = [one for one in switches(chapter) if one.id == mistake]
    assert (shown.text, shown.see) == (known.text, known.see)
    report = check(bench(chapter).part, known.wrong, seed=0)
    assert mistake in report.mistakes


@pytest.mark.parametrize("chapter", chapters())
def test_block_without_a_mistake_passes_the_check(chapter: str) -> None:
    found = bench(chapter)
    kind = getattr(parts.find(found.part).reference, "kind", "function")
    right = parts.as_function(found.right) if kind == "function" else found.right
    report = check(found.part, right, seed=0)
    assert report.passed and report.points == report.possible


# Hidden in a block to repair, and yet a switch: the page shows it with its code, as the first classic mistake.
TOLD = {("resnet", "relu_before_addition")}


@pytest.mark.parametrize("chapter", chapters())
def test_no_switch_gives_away_what_a_block_to_repair_hides(chapter: str) -> None:
    hidden = {(chapter, id) for part in parts.parts(chapter).values() for id in part.given}
    assert hidden & {(chapter, mistake) for mistake in bench(chapter).mistakes} <= TOLD


@pytest.mark.parametrize("chapter", chapters())
def test_labels_tell_the_switches_apart(chapter: str) -> None:
    labels = [one.label for one in switches(chapter)]
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize("chapter", chapters())
def test_every_weight_is_drawn_before_a_block_is_run(chapter: str) -> None:
    """Also in a reference whose weights are not drawn when it is built: what memory holds is no weight."""
    for mistake in (RIGHT, *(one.id for one in switches(chapter) if not one.figures.error)):
        block = bench(chapter).make(mistake)(*bench(chapter).setting(mistake)[0])
        drawn = [layer for layer in block.modules() if hasattr(layer, "reset_parameters")]
        weights = [weight for layer in drawn for weight in layer.parameters(recurse=False)]
        with torch.no_grad():
            for weight in weights:
                weight.fill_(float("nan"))
        mistakes.fresh(block)
        assert all(bool(weight.isfinite().all()) for weight in weights), mistake


@pytest.mark.parametrize("chapter", [name for name in chapters() if len(bench(name).image) == 3])
def test_figures_are_those_of_the_ledger(chapter: str) -> None:
    for one in switches(chapter):
        if one.figures.error:
            continue
        arguments, image = bench(chapter).setting(one.id)
        counted = ledger(bench(chapter).make(one.id)(*arguments), image)
        assert (one.figures.parameters, one.figures.macs) == (counted.parameters, counted.macs), one.id


# (chapter, mistake, the figure that gives it away)
GIVEN_AWAY = [
    ("resnet", "bias_before_batch_norm", "parameters"),
    ("resnet", "relu_before_addition", "least"),
    ("resnet", "skip_forgotten", "gradient"),
    ("identity", "skip_detached", "gradient"),
    ("mobilenet", "dense_depthwise", "macs"),
    ("mobilenet_v2", "expansion_kept_at_one", "parameters"),
    ("efficientnet", "gate_missing", "parameters"),
    ("lenet", "softmax_inside", "mean"),
]


@pytest.mark.parametrize("chapter, mistake, figure", GIVEN_AWAY)
def test_figure_gives_the_mistake_away(chapter: str, mistake: str, figure: str) -> None:
    one = mistakes.switch(chapter, mistake)
    assert getattr(one.figures, figure) != getattr(one.right, figure)


def test_bias_before_batch_norm_changes_the_parameters_and_nothing_else() -> None:
    one = mistakes.switch("resnet", "bias_before_batch_norm")
    assert one.figures.parameters == one.right.parameters + 2 * 64
    assert replace(one.figures, parameters=one.right.parameters) == one.right


def test_block_that_does_not_run_says_what_torch_says_and_is_not_drawn() -> None:
    one = mistakes.switch("resnet", "projection_without_stride")
    assert one.figures.error.startswith("RuntimeError: The size of tensor a")
    assert one.drawing == "" and one.expected


# The recorded runs


def recorded() -> list[mistakes.MistakeRun]:
    return experiments.recorded("mistakes")


@pytest.mark.parametrize("chapter", chapters())
def test_every_switch_was_trained_with_the_same_seeds(chapter: str) -> None:
    seeds = {mistake: set() for mistake in (RIGHT, *bench(chapter).mistakes)}
    for run in recorded():
        if run.chapter == chapter:
            assert run.seed not in seeds[run.mistake]
            seeds[run.mistake].add(run.seed)
    assert len({frozenset(one) for one in seeds.values()}) == 1 and seeds[RIGHT] >= {0, 1, 2}


def test_recorded_runs_were_made_by_the_recipes_of_the_benches() -> None:
    for run in recorded():
        wanted = {**RECIPE, **bench(run.chapter).recipe, "seed": run.seed}
        if run.history.settings:  # a network that does not run was never trained
            assert {key: run.history.settings[key] for key in wanted} == wanted, run.name
        else:
            assert run.error


class Enough(Exception):
    """The first epoch is over."""


@pytest.mark.parametrize("chapter", chapters())
def test_first_epoch_is_trained_again_as_it_was_recorded(
    chapter: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, seen = mistakes.train, []

    def only_once(*args: object, on_epoch: object = None, **options: object) -> None:
        def stop(history: History) -> None:
            seen.append(history.train_loss[0])
            raise Enough

        train(*args, on_epoch=stop, **options)

    monkeypatch.setattr(mistakes, "train", only_once)
    with pytest.raises(Enough):
        mistaken(chapter, RIGHT)
    [run] = [run for run in recorded() if (run.chapter, run.mistake, run.seed) == (chapter, RIGHT, 0)]
    assert seen == [pytest.approx(run.history.train_loss[0], rel=0.02)]


def few(chapter: str) -> Split:
    data = bench(chapter).data()
    return replace(
        data,
        train_x=data.train_x[:64],
        train_y=data.train_y[:64],
        test_x=data.test_x[:10],
        test_y=data.test_y[:10],
    )


def test_same_seed_gives_the_same_run_and_another_another() -> None:
    one, again, other = (
        mistaken("identity", "skip_forgotten", seed, few("identity"), epochs=2) for seed in (0, 0, 1)
    )
    assert one.history == again.history != other.history


def test_run_survives_its_file() -> None:
    run = mistaken("identity", RIGHT, 0, few("identity"), epochs=1)
    assert mistakes.MistakeRun.from_json(run.to_json()) == run


def test_network_that_does_not_run_is_a_run_with_an_error() -> None:
    run = mistaken("resnet", "projection_without_stride", 0, few("resnet"))
    assert run.error.startswith("RuntimeError: The size of tensor a") and len(run.history) == 0


def test_training_that_diverges_keeps_the_epochs_before_and_says_so() -> None:
    run = mistaken("identity", RIGHT, 0, few("identity"), **{**ADAM, "optimizer": "sgd", "lr": 1e6})
    assert run.error.startswith("FloatingPointError: the loss is no longer finite")


def test_study_keeps_its_runs_and_goes_on_from_them(tmp_path) -> None:
    first = mistakes.mistake_study((0,), tmp_path, ["identity"], epochs=1)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert f"mistakes-digits-identity-{RIGHT}-seed0.json" in files and len(files) == len(first) == 6
    assert mistakes.mistake_study((0,), tmp_path, ["identity"], epochs=1) == first
    assert "skip_detached" in mistakes.mistake_table(first)


@pytest.mark.parametrize(
    "ask, text",
    [
        (lambda: mistaken("after", RIGHT), "chapter is 'after'; expected one of lenet, alexnet"),
        (
            lambda: mistaken("resnet", "relu"),
            "mistake is 'relu'; the switches of resnet are relu_before_addition",
        ),
    ],
)
def test_unknown_names_are_refused(ask, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ask()
