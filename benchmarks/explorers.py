"""What an answer of the explorer "Draw a digit" costs in the page, beside torch on one thread.

    python benchmarks/explorers.py                 30 rounds, in which the page and torch take turns
    python benchmarks/explorers.py --rounds 100

Both compute the logits of the same digits with the same weights, one digit at a time: the page in Chromium, in
double precision, with all maps kept; torch in single precision. A round takes the mean of 50 answers; the median of
the rounds is printed, and the ratio. The first answers, while either still prepares, are left out.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "book" / "_ext"))
ANSWERS = 50

PREPARE = """([source, weights, shapes, scale]) => {
  const code = source.replace("export default", "const widget =") + "; return { T, prepare, compute };";
  const { T, prepare, compute } = new Function(code)();
  Object.assign(globalThis, { prepare, compute, scale, parts: T.cut(T.halves(weights), shapes) });
}"""
TIME = """([pixels, answers]) => {
  const start = performance.now();
  for (let i = 0; i < answers; i++) compute(prepare(pixels[i % pixels.length], scale), parts);
  return (performance.now() - start) / answers;
}"""


def main() -> int:
    import chromium  # of book/_ext
    from playwright.sync_api import sync_playwright

    from casestudies.explorers import DrawADigit
    from casestudies.networks.lenet import LeNet5

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=30)
    rounds = parser.parse_args().rounds
    path = chromium.find()
    if path is None:
        print("Chromium is missing; this benchmark needs it (apt-get install chromium).", file=sys.stderr)
        return 1
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = LeNet5().eval()
    explorer = DrawADigit(network)
    pixels = [image for images in explorer.samples for image in images]
    images = []
    for one in pixels:
        explorer.pixels = one
        images.append(explorer.image().float())

    def by_torch() -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            for i in range(ANSWERS):
                network(images[i % len(images)])
        return 1000 * (time.perf_counter() - start) / ANSWERS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        page = browser.new_page()
        page.evaluate(PREPARE, [explorer._esm, explorer.weights, explorer.shapes, explorer.scale])
        times: dict[str, list[float]] = {"page": [], "torch": []}
        for _ in range(rounds + 3):
            times["page"].append(page.evaluate(TIME, [pixels, ANSWERS]))
            times["torch"].append(by_torch())
        browser.close()
    middle = {name: statistics.median(values[3:]) for name, values in times.items()}
    ratios = [p / t for p, t in zip(times["page"][3:], times["torch"][3:], strict=True)]
    print(f"page   {middle['page']:.3f} ms an answer")
    print(f"torch  {middle['torch']:.3f} ms an answer, one thread")
    print(f"page / torch: {statistics.median(ratios):.2f} (median of {rounds} rounds)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
