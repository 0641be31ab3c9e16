"""An answer that is wrong only on images larger than those that it is mostly asked about."""

from __future__ import annotations

import pytest
from torch import Tensor, nn

from casestudies import check
from casestudies.checking.parts import Reference, parts

# LeNet-5 takes one size, the trunk of AlexNet takes too long on a larger one, and a table has no images.
BLOCKS = [
    part.id
    for part in parts().values()
    if isinstance(part.reference, Reference)
    and part.id not in ("lenet/lenet5", "alexnet/alexnet_trunk", "identity/repaired_block")
]


def wrong_on_large(part: str) -> object:
    right = parts()[part].reference.factory

    class Scaled(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.block = block

        def forward(self, x: Tensor) -> Tensor:
            return self.block(x) * (1.01 if max(x.shape[-2:]) > 34 else 1.0)

    if isinstance(right, type):
        return type(
            right.__name__,
            (Scaled,),
            {"__init__": lambda self, *a, **k: Scaled.__init__(self, right(*a, **k))},
        )
    return lambda *args, **kwargs: Scaled(right(*args, **kwargs))


@pytest.mark.parametrize("part", BLOCKS)
def test_a_block_that_is_wrong_on_large_images_alone_does_not_pass(part: str) -> None:
    assert check(part, wrong_on_large(part), seed=1).state == "partial"


@pytest.mark.parametrize("part", BLOCKS)
def test_some_image_of_each_run_is_large_and_which_side_is_drawn(part: str) -> None:
    reference, longer = parts()[part].reference, set()
    for seed in range(8):
        images = [each.image for drawn in reference.drawn(seed) for each in (drawn.case, *drawn.beside)]
        large = [image for image in images if max(image[-2:]) > 32]
        assert large
        longer |= {place for image in large for place in (-2, -1) if image[place] > 32}
    assert longer == {-2, -1}


def test_the_long_image_is_one_alone() -> None:
    drawn = parts()["resnet/cifar_resnet"].reference.drawn(3)
    long = [each.image for one in drawn for each in (one.case, *one.beside) if max(each.image) > 32]
    assert len(long) == 1 and long[0][0] == 1 and min(long[0][2:]) < 13
