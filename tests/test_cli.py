"""The console script: what it prints, what it says about bad input, and what it leaves unimported."""

from __future__ import annotations

import ast
import csv
import io
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from casestudies import cli, zoo
from casestudies.costs import ledger


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    try:
        status = cli.main(argv)
    except SystemExit as stop:  # argparse
        status = stop.code
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_ledger_prints_the_table_under_the_networks_name(capsys):
    status, out, _ = run(capsys, "ledger", "lenet5")
    table = str(ledger(zoo.skeleton("lenet5"), (1, 32, 32)))
    assert (status, out) == (0, table.replace("LeNet5", "lenet5") + "\n")


def test_ledger_takes_the_side_of_the_image(capsys):
    _, out, _ = run(capsys, "ledger", "cifar_resnet20", "--image", "64")
    assert out.startswith("cifar_resnet20, one image of 3 x 64 x 64\n")


def test_ledger_csv_sums_to_the_totals(capsys):
    _, out, _ = run(capsys, "ledger", "cifar_resnet20", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert sum(int(row["macs"]) for row in rows) == 40_551_040  # tests/networks.py


def test_networks_lists_them_with_year_parameters_and_macs(capsys, monkeypatch):
    few = {name: zoo.VARIANTS[name] for name in ("lenet5", "vgg19")}
    monkeypatch.setattr(zoo, "VARIANTS", few)
    _, out, _ = run(capsys, "networks")
    assert [line.split() for line in out.splitlines()] == [
        ["network", "year", "image", "parameters", "MACs"],
        ["lenet5", "1998", "1", "x", "32", "x", "32", "61,706", "416,520"],
        ["vgg19", "2014", "3", "x", "224", "x", "224", "143,667,240", "19,632,062,464"],
    ]


# arguments, what the error says
BAD_INPUT = [
    (["ledger", "resnet5O"], "casestudies ledger: name is 'resnet5O'; did you mean 'resnet50'?"),
    (
        ["ledger", "resnet50", "--image", "0"],
        "casestudies ledger: --image is 0; expected the side of the image",
    ),
    (["ledger", "alexnet_2012", "--image", "100"], "the smallest square image that works is 3 x 227 x 227"),
    (["ledger", "lenet5", "--image", "64"], "the square images that work are 1 x 32 x 32 to 1 x 35 x 35"),
    (["ledger", "resnet50", "--image", "big"], "argument --image: invalid int value: 'big'"),
    (["ledgers", "resnet50"], "invalid choice: 'ledgers'"),
    ([], "the following arguments are required: command"),
]


@pytest.mark.parametrize("argv, message", BAD_INPUT)
def test_bad_input_is_one_sentence_on_stderr_and_status_2(capsys, argv, message):
    status, out, err = run(capsys, *argv)
    assert (status, out) == (2, "")
    assert message in err and "Traceback" not in err


def test_the_version_is_that_of_the_project(capsys):
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    assert run(capsys, "--version") == (0, f"casestudies {tomllib.loads(text)['project']['version']}\n", "")


def test_help_lists_every_subcommand(capsys):
    status, out, _ = run(capsys, "--help")
    expected = ["networks", "ledger", *(name for name, module, _ in cli.ELSEWHERE if cli.exists(module))]
    assert status == 0
    assert [name for name in expected if f"\n    {name}" not in out] == []


@pytest.mark.parametrize("name", [name for name, module, _ in cli.ELSEWHERE if cli.exists(module)])
def test_each_subcommand_of_another_module_has_help_and_runs(name):
    parser = cli.parser(name)
    subcommand = parser._subparsers._group_actions[0].choices[name]
    assert callable(subcommand.get_default("run")) or subcommand._subparsers


def test_a_module_that_does_not_exist_is_left_out():
    assert not cli.exists("casestudies.nothing") and not cli.exists("casestudies.nothing.at_all")


@pytest.mark.parametrize("name", ["grade", "init", "student-kit", "sample-class", "exercises"])
def test_grading_without_its_extra_says_what_to_install(capsys, monkeypatch, name):
    monkeypatch.setattr(cli, "exists", lambda module: module != "nbgrader")
    status, out, err = run(capsys, name, "resnet", "--force")
    assert (status, out) == (2, "")
    assert err == (
        f"casestudies {name}: grading is not part of this installation; "
        "to add it: pip install 'casestudies[grading]'\n"
    )
    assert f"    {name}" in run(capsys, "--help")[1]


def test_help_imports_neither_torch_nor_numpy():
    code = "import sys, casestudies.cli as c\ntry: c.main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('torch', 'numpy') if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_module_runs_as_a_script():
    command = [sys.executable, "-m", "casestudies", "ledger", "nothing"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")


def test_a_reader_that_stops_early_is_no_error():
    command = f"{sys.executable} -m casestudies ledger lenet5 | head -n 1"
    result = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


def test_memory_of_a_network_is_printed_and_drawn(capsys, tmp_path):
    from casestudies.costs import memory

    path = tmp_path / "lenet5.svg"
    command = ["ledger", "lenet5", "--memory", "--training", "--batch", "4", "--optimizer", "adam"]
    assert cli.main([*command, "--picture", str(path)]) == 0
    held = memory(zoo.skeleton("lenet5"), (1, 32, 32), batch=4, training=True, optimizer="adam")
    assert f"{held.total:,}" in capsys.readouterr().out
    assert f"{held.saved / 1e6:.1f} MB are kept" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "options, message",
    [
        (["--training"], "--training goes with --memory"),
        (["--batch", "1"], "--batch goes with --memory"),
        (["--training", "--batch", "4"], "--training and --batch go with --memory"),
        (
            ["--memory", "--optimizer", "adam"],
            "--optimizer is adam, and only training has one; add --training",
        ),
        (["--memory", "--training", "--optimizer", "lion"], "optimizer is 'lion'; expected one of sgd"),
        (["--memory", "--batch", "0"], "batch is 0"),
        (["--memory", "--picture", "x.png"], "--picture is x.png"),
        (["--memory", "--picture", "nowhere/x.svg"], "there is no folder nowhere"),
        (["--memory", "--csv"], "--csv writes the ledger, and does not go with --memory"),
        (
            ["--memory", "--against", "torchinfo"],
            "--against compares MACs of one image, and does not go with --memory",
        ),
        (["--against", "fvcore", "--csv"], "does not go with --csv"),
        (["--against", "fvcore", "--training", "--batch", "4"], "does not go with --training and --batch"),
        (["--against", "thop"], "tool is 'thop'"),
        (["--against", ""], "tools is ''; expected some of torchinfo"),
        (["--against", ","], "tools is ','; expected some of torchinfo"),
        (["--memory", "--image", "8"], "too small: layer"),
        (["--memory", "--image", "99999999999"], "more bytes than torch can count"),
        (["--image", "99999999999"], "more bytes than torch can count"),
        (["--memory", "--image", "-3"], "--image is -3"),
    ],
)
def test_options_of_the_ledger_that_do_not_go_together_are_named(capsys, options, message):
    status, out, err = run(capsys, "ledger", "vgg16", *options)
    assert (status, out) == (2, "")
    assert message in err and err.count("\n") == 1


def summaries() -> dict[str, str]:
    return {name: summary for name, (_, summary) in cli.COMMANDS.items()}


def test_each_sentence_of_the_help_is_typed_once():
    package = Path(cli.__file__).parent
    text = {path: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    for name, summary in summaries().items():
        typed = [path.name for path, code in text.items() for _ in range(code.count(f'"{summary}'))]
        assert typed == ["cli.py"], (name, summary)
    calls = [
        (path.name, keyword.arg)
        for path, code in text.items()
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "subparsers.add_parser"
        for keyword in node.keywords
        if keyword.arg == "help"
    ]
    assert calls == []


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_subcommand_and_the_list_of_them_say_the_same(capsys, name):
    top, one = (" ".join(run(capsys, *argv)[1].split()) for argv in (["--help"], [name, "--help"]))
    summary = summaries()[name]
    assert summary in top and f"{summary[0].upper()}{summary[1:]}." in one


def test_commands_are_in_the_order_of_the_help(capsys):
    out = run(capsys, "--help")[1].replace("\n", " \n")
    places = [out.index(f"\n    {name} ") for name in cli.COMMANDS]
    assert places == sorted(places)


@pytest.mark.parametrize("command", [["grade", "resnet", "--course"], ["backup"], ["student-kit"], ["init"]])
def test_a_link_that_leads_to_itself_is_a_sentence(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert cli.main([*command, str(loop)]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and told[0].startswith(f"casestudies {command[0]}: ")
    assert list(tmp_path.iterdir()) == [loop]
