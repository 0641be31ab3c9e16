"""Random networks in the language of `casestudies.explorers.architecture`, and mistakes in them."""

from __future__ import annotations

import random

from casestudies.explorers.architecture import ACTIVATIONS, Mistake, build

PLAIN = ["norm", "norm", *ACTIVATIONS, "dropout", "lrn"]


def window(rng: random.Random) -> str:
    """A kernel, square or not, or none."""
    side = rng.choice([1, 1, 2, 3, 3, 3, 4, 5, 7])
    return rng.choice(
        ["", f" {side}x{side}", f" {side}", f" {side} x {rng.choice([1, 3, side])}", f" {side}×{side}"]
    )


def layer(rng: random.Random, groups: int) -> str:
    """One line, not always one that fits."""
    kind = rng.choice(["conv"] * 4 + ["separable", "pool", "pool", "plain", "plain", "plain"])
    stride = rng.choice(["", "", "", " /2", " stride 2", " /3"])
    if kind == "plain":
        return rng.choice(PLAIN)
    if kind == "pool":
        kernel = rng.randint(1, 4)
        ends = rng.choice(["", " pad 1", f" pad {kernel // 2} ceil", " ceil"])
        return f"{rng.choice(['maxpool', 'avgpool'])} {kernel}{rng.choice(['', f'x{kernel}'])}{stride}{ends}"
    out = groups * rng.randint(1, 12)
    if kind == "separable":
        return f"separable {out}{window(rng)}{stride}"
    ends = [
        f" pad {rng.randint(0, 3)}",
        f" groups {rng.choice([1, 2, groups])}",
        " bias",
        " no bias",
        " depthwise",
    ]
    extra = "".join(rng.sample(ends, rng.choice([0, 0, 1, 2])))
    return f"conv {out}{window(rng)}{stride}{extra}"


def lines(rng: random.Random, count: int, indent: str, before: list[str], groups: int) -> list[str]:
    """`count` lines that make a network together with those before; blocks and repeats inside."""
    made: list[str] = []
    while len(made) < count:
        kind = rng.random()
        if kind < 0.2 and len(indent) < 6:
            step = " " * rng.choice([1, 2, 4])
            head = f"{indent}{rng.choice(['block', 'block', f'repeat {rng.randint(1, 3)}'])}"
            inside = lines(rng, rng.randint(1, 4), indent + step, [], groups)
            tried = [head, *inside]
        else:
            tried = [indent + layer(rng, groups) + rng.choice(["", "", "  # a remark", " "])]
        if not before or fits([*before, *made, *tried]):
            made += tried
    return made


def fits(written: list[str]) -> bool:
    try:
        build("\n".join(written))
    except Mistake:
        return False
    return True


def random_network(seed: int) -> str:
    """A network that can be built."""
    rng = random.Random(seed)
    height, width = rng.choice([(32, 32), (28, 28), (33, 47), (64, 64), (224, 224), (19, 8)])
    groups = rng.choice([1, 2, 3, 4])
    image = [f"image {groups * rng.randint(1, 3)}{rng.choice(['x', ' x ', '×'])}{height}x{width}"]
    body = lines(rng, rng.randint(1, 9), "", image, groups)
    ends = [
        ["global", "linear 10"],
        ["linear 20", "relu", "dropout", "linear 10"],
        ["flatten", "norm", "linear 7"],
        [],
    ]
    whole = [*image, *body, *rng.choice(ends)]
    return rng.choice(["\n", "\n\n"]).join(whole)


def spoiled(seed: int) -> str:
    """A random network with something changed somewhere: most cannot be built any more."""
    rng = random.Random(f"spoiled {seed}")
    written = random_network(seed).split("\n")
    at = rng.randrange(len(written))
    letters = list(written[at])
    for _ in range(rng.randint(1, 2)):
        place = rng.randrange(len(letters) + 1)
        change = rng.choice(["insert", "drop", "swap line", "indent", "number"])
        if change == "insert":
            letters.insert(place, rng.choice(list("abcorn 0123456789x/#\t-×É")))
        elif change == "drop" and letters:
            letters.pop(min(place, len(letters) - 1))
        elif change == "swap line":
            written[at], written[0] = written[0], written[at]
        elif change == "indent":
            letters[:0] = " "
        else:
            letters += list(f" {rng.choice([0, 7, 99999, 'pad 30', 'groups 5', 'linear', 'no'])}")
    written[at] = "".join(letters)
    return "\n".join(written)
