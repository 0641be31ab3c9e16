"""The ledger on networks that are not ours: its MACs, beside half of what torch's own counter says.

    python benchmarks/other_networks.py                     60 networks of timm, one of each family
    python benchmarks/other_networks.py swin_tiny_patch4_window7_224 convnext_atto
    python benchmarks/other_networks.py --differing         only the lines that are not equal

One MAC is one multiply and one add, so `torch.utils.flop_counter` must count exactly twice as many. Networks
are built on the meta device where that is possible, and with random weights elsewhere; nothing is downloaded.
The exit status is the number of lines that are not equal.
timm is no dependency of this project: `pip install timm`.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import warnings
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from casestudies.costs import ledger

# One of each kind: convolutions of all sorts, attention in windows and across channels, relative positions,
# mixers, recurrent layers, evolved cells, and networks whose weights are standardised as they run.
NETWORKS = (
    "beit_base_patch16_224 botnet26t_256 eca_resnet33ts caformer_s18 cait_xxs24_224 coat_lite_tiny coatnet_0_224 "
    "convit_tiny convmixer_768_32 convnext_atto cs3darknet_focus_s crossvit_9_240 davit_tiny deit_tiny_patch16_224 "
    "densenet121 dla34 dm_nfnet_f0 dpn68 edgenext_xx_small efficientformer_l1 efficientformerv2_s0 efficientnet_b0 "
    "efficientvit_b0 efficientvit_m0 ese_vovnet19b_dw eva02_tiny_patch14_224 fastvit_t8 fbnetv3_b focalnet_tiny_srf "
    "gcvit_xxtiny ghostnet_050 gmlp_s16_224 halonet26t hardcorenas_a hgnet_tiny hiera_tiny_224 hrnet_w18_small "
    "inception_next_atto inception_v4 lambda_resnet26t legacy_seresnet18 levit_128s maxvit_tiny_tf_224 mixer_s16_224 "
    "mobilevit_xxs mvitv2_tiny nasnetalarge nest_tiny pit_ti_224 pvt_v2_b0 regnetx_002 res2net50_26w_4s resnest14d "
    "sequencer2d_s skresnet18 swin_tiny_patch4_window7_224 swinv2_tiny_window8_256 tnt_s_patch16_224 volo_d1_224 "
    "xcit_nano_12_p16_224"
).split()


@dataclass(frozen=True)
class Counted:
    """A network and its MACs, as both count them; `error` where ours gives none."""

    name: str
    ours: int | None
    torchs: int  # half of its FLOPs
    error: str = ""

    @property
    def equal(self) -> bool:
        return self.ours == self.torchs

    def line(self) -> str:
        if self.ours is None:
            return f"{self.name:32} {'-':>16} {self.torchs:16,}  {self.error}"
        verdict = "equal" if self.equal else f"differs by {self.ours - self.torchs:+,}"
        return f"{self.name:32} {self.ours:16,} {self.torchs:16,}  {verdict}"


def torchs_macs(network: nn.Module, image: tuple[int, ...]) -> int:
    """Half of the FLOPs of torch's counter, for one image in evaluation."""
    device = next(network.parameters()).device
    # Not under no_grad: there the counter fails where a parameter itself goes into a module, as a token does.
    with FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, *image, device=device))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def count(name: str) -> Counted:
    """Count one of timm's networks both ways."""
    import timm

    network: nn.Module
    try:
        with torch.device("meta"):
            network = timm.create_model(name)
        image = tuple(network.default_cfg["input_size"])
        torchs = torchs_macs(network, image)
    except (
        NotImplementedError,
        RuntimeError,
        ValueError,
    ):  # its constructor or its forward needs real numbers
        network = timm.create_model(name)
        image = tuple(network.default_cfg["input_size"])
        torchs = torchs_macs(network, image)
    try:
        return Counted(name, ledger(network, image).macs, torchs)
    except Exception as error:  # the one sentence in which the ledger says why not, or a fault of ours
        return Counted(name, None, torchs, str(error))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS, help="names of timm's; default: 60 of them")
    parser.add_argument("--differing", action="store_true", help="show only the lines that are not equal")
    args = parser.parse_args()
    if importlib.util.find_spec("timm") is None:
        print("skipped: timm is not installed (pip install timm)")
        return 0
    warnings.simplefilter("ignore")  # timm's own
    print(f"{'network':32} {'MACs, ours':>16} {'torch / 2':>16}")
    wrong = 0
    for name in args.networks:
        counted = count(name)
        wrong += not counted.equal
        if not counted.equal or not args.differing:
            print(counted.line(), flush=True)
    print(f"{len(args.networks) - wrong} of {len(args.networks)} are equal")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
