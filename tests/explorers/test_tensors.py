"""The core of tensors that computes in the page, against torch, in real Chromium: hundreds of random cases each."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from casestudies.explorers.base import HERE
from casestudies.networks.resnet import PadShortcut

pytestmark = pytest.mark.browser

CASES = 200
SOURCE = (HERE / "tensors.js").read_text("utf-8")
WORKER = (HERE / "worker.js").read_text("utf-8")

# Calls one function of the core a case; a tensor travels as {shape, data}, an array of numbers as {numbers}.
CALL = """([source, name, double, cases]) => {
  const T = new Function(source + "; return tensors();")();
  const Kind = double ? Float64Array : Float32Array;
  const entries = (value, change) =>
    Object.fromEntries(Object.entries(value).map(([key, one]) => [key, change(one)]));
  const read = (value) => value?.shape ? T.tensor(value.shape, Kind.from(value.data))
    : value?.numbers ? Float64Array.from(value.numbers)
    : value && typeof value === "object" && !Array.isArray(value) ? entries(value, read) : value;
  const write = (value) => value?.shape ? [value.shape, [...value.data], value.data.constructor.name]
    : ArrayBuffer.isView(value) ? [...value] : Array.isArray(value) ? value.map(write)
    : entries(value, write);
  return cases.map((args) => {
    try { return write(T[name](...args.map(read))); } catch (error) { return String(error.message); }
  });
}"""


@pytest.fixture(scope="module")
def core(browser: Any) -> Iterator[Callable[..., list[Any]]]:
    """core(name, cases, double): what the function of that name makes of each case's arguments."""
    page = browser.new_page()
    yield lambda name, cases, double=False: page.evaluate(CALL, [SOURCE, name, double, cases])
    page.close()


def sent(x: Tensor | None) -> Any:
    return None if x is None else {"shape": list(x.shape), "data": x.flatten().tolist()}


def numbers(x: Tensor) -> dict[str, list[float]]:
    return {"numbers": x.tolist()}


def received(answer: Any, dtype: torch.dtype = torch.float32) -> Tensor:
    assert not isinstance(answer, str), answer
    shape, values, kind = answer
    assert kind == ("Float64Array" if dtype == torch.float64 else "Float32Array")
    return torch.tensor(values, dtype=dtype).view(shape)


# Each maker returns the arguments for the page, and what torch makes of them.


def make_conv(rng: random.Random) -> tuple[list[Any], Tensor]:
    groups = rng.choice([1, 1, 2, 3])
    channels, out = groups * rng.randint(1, 4), groups * rng.randint(1, 4)
    if rng.random() < 0.2:
        groups = out = channels  # depthwise
    kernel = rng.randint(1, 5), rng.randint(1, 5)
    settings = {"stride": rng.randint(1, 3), "padding": rng.randint(0, 3), "groups": groups}
    x = torch.randn(rng.randint(1, 3), channels, rng.randint(5, 11), rng.randint(5, 11))
    weight = torch.randn(out, channels // groups, *kernel)
    bias = rng.choice([None, torch.randn(out)])
    return [sent(x), sent(weight), sent(bias), settings], F.conv2d(x, weight, bias, **settings)


def make_pool(maximum: bool):
    def make(rng):
        kernel = rng.randint(1, 4)
        window = {"kernel": kernel, "stride": rng.randint(1, 4), "padding": rng.randint(0, kernel // 2)}
        x = torch.randn(rng.randint(1, 3), rng.randint(1, 4), rng.randint(4, 11), rng.randint(4, 11))
        return [sent(x), window], (F.max_pool2d if maximum else F.avg_pool2d)(x, *window.values())

    return make


def make_linear(rng):
    x = torch.randn(rng.randint(1, 4), rng.randint(1, 60))
    weight = torch.randn(rng.randint(1, 20), x.shape[1])
    bias = rng.choice([None, torch.randn(len(weight))])
    return [sent(x), sent(weight), sent(bias)], F.linear(x, weight, bias)


def make_norm(rng):
    x = torch.randn(rng.randint(1, 3), rng.randint(1, 5), rng.randint(1, 6), rng.randint(1, 6)) * 3
    gamma, beta, mean = torch.randn(3, x.shape[1])
    variance = torch.rand(x.shape[1]) + 0.01
    settings = {
        "gamma": numbers(gamma),
        "beta": numbers(beta),
        "mean": numbers(mean),
        "variance": numbers(variance),
    }
    return [sent(x), settings], F.batch_norm(x, mean, variance, gamma, beta)


def make_activation(rng):
    name = rng.choice(["relu", "relu6", "tanh", "sigmoid", "silu"])
    x = torch.randn(rng.randint(1, 3), rng.randint(1, 30)) * rng.choice([1, 4, 20])
    return [sent(x), name], getattr(torch if name in ("tanh", "sigmoid") else F, name)(x)


def make_softmax(rng):
    x = torch.randn(rng.randint(1, 4), rng.randint(1, 20)) * rng.choice([1, 10, 1000])
    return [sent(x)], x.softmax(1)


def make_sum(rng):
    a, b = torch.randn(2, rng.randint(1, 3), rng.randint(1, 4), 5, 4)
    scale = rng.choice([1, 0.5, 0])
    return [sent(a), sent(b), scale], a + scale * b


def make_average(rng):
    x = torch.randn(rng.randint(1, 3), rng.randint(1, 5), rng.randint(1, 7), rng.randint(1, 7))
    return [sent(x)], x.mean((2, 3))


def make_pad(rng):
    channels, extra, stride = rng.randint(1, 4), rng.randint(0, 4), rng.randint(1, 3)
    x = torch.randn(rng.randint(1, 3), channels, rng.randint(1, 7), rng.randint(1, 7))
    return [sent(x), channels + extra, stride], PadShortcut(channels, channels + extra, stride)(x)


MAKERS = {
    "conv2d": make_conv,
    "maxPool": make_pool(True),
    "averagePool": make_pool(False),
    "linear": make_linear,
    "batchNorm": make_norm,
    "activation": make_activation,
    "softmax": make_softmax,
    "add": make_sum,
    "globalAverage": make_average,
    "padShortcut": make_pad,
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("name", MAKERS)
def test_core_computes_what_torch_computes(core, name, dtype):
    rng, before = random.Random(name), torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        try:
            cases, wanted = zip(*(MAKERS[name](rng) for _ in range(CASES)), strict=True)
        finally:
            torch.set_default_dtype(before)
    tolerance = dict(rtol=1e-4, atol=2e-5) if dtype == torch.float32 else dict(rtol=1e-10, atol=1e-12)
    for answer, right in zip(core(name, cases, dtype == torch.float64), wanted, strict=True):
        torch.testing.assert_close(received(answer, dtype), right, **tolerance)


def test_statistics_are_those_that_torch_trains_with_and_stores(core):
    torch.manual_seed(1)
    batches = [torch.randn(torch.randint(2, 5, ()), 3, 4, 3, dtype=torch.float64) * 2 for _ in range(CASES)]
    for x, found in zip(batches, core("moments", [[sent(x)] for x in batches], True), strict=True):
        axes = (0, 2, 3)
        for key, right in [
            ("mean", x.mean(axes)),
            ("variance", x.var(axes, unbiased=False)),
            ("unbiased", x.var(axes)),
        ]:
            torch.testing.assert_close(torch.tensor(found[key], dtype=x.dtype), right)


def test_every_finite_half_is_read_as_torch_reads_it(core):
    import base64

    halves = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(torch.float16)
    halves = halves[halves.isfinite()]
    text = base64.b64encode(halves.numpy().astype("<f2").tobytes()).decode()
    [found] = core("halves", [[text]])
    assert found == halves.double().tolist()


def zeros(*shape: int) -> Any:
    return sent(torch.zeros(shape))


# (function, arguments, what is said)
WRONG = [
    ("conv2d", [zeros(1, 3, 8, 8), zeros(4, 2, 3, 3)], "expects 2 channels and receives 3"),
    ("conv2d", [zeros(1, 1, 2, 8), zeros(1, 1, 3, 3)], "window of 3 does not fit into 2 + 2 x 0 pixels"),
    ("linear", [zeros(1, 5), zeros(2, 4)], "expects 4 features and receives 5"),
    ("add", [zeros(1, 2), zeros(1, 3)], "1 x 2 and 1 x 3 cannot be added"),
    ("tensor", [[2, 2], {"numbers": [0, 0, 0]}], "shape is 2 x 2, but there are 3 numbers"),
    ("cut", [{"numbers": [0, 0, 0]}, [[2], [2]]], "the shapes need 4 numbers, and there are 3"),
    ("cut", [{"numbers": [0, 0, 0, 0, 0]}, [[2], [2]]], "the shapes need 4 numbers, and there are 5"),
]


@pytest.mark.parametrize("name, arguments, text", WRONG)
def test_what_does_not_fit_is_said(core, name, arguments, text):
    [said] = core(name, [arguments])
    assert text in said


# Work in a worker

WORK = """async (source) => {
  const [inWorker, tensors] = new Function(source + "; return [inWorker, tensors];")();
  const make = () => {
    const T = tensors();
    return (x) => [T.softmax(T.tensor([1, 2], Float64Array.of(x, x))).data[0], x, typeof document === "undefined"];
  };
  const answers = [];
  await new Promise((done) => {
    const work = inWorker(make, [tensors], (result) => { answers.push(result); if (result[1] === 9) done(); });
    for (let i = 0; i < 10; i++) work.ask(i);
  });
  return answers;
}"""


def test_worker_answers_the_last_question_only(browser):
    page = browser.new_page()
    page.goto("about:blank")
    assert page.evaluate(WORK, SOURCE + WORKER) == [[0.5, 9, True]]
    page.close()


def test_where_no_worker_is_allowed_the_page_does_the_work(browser):
    page = browser.new_page()
    page.route("**/*", lambda route: route.fulfill(
        content_type="text/html", body="<title>x</title>",
        headers={"Content-Security-Policy": "worker-src 'none'"},
    ))  # fmt: skip
    page.goto("http://localhost/")
    assert page.evaluate(WORK, SOURCE + WORKER) == [[0.5, 9, False]]
    page.close()
