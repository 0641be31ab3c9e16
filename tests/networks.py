"""Verified figures: one row a variant. Every network of the package is held to them, to the last digit.

The counts were measured before this package existed, on other people's source or on separate builds, with
hooks and with `torch.utils.flop_counter`; `id` is the row's name in that record. Columns:

    name        in casestudies.zoo
    id          of the record, = if the same; one network may be there under two ids, or with two image sizes
    channels, side of the image
    parameters  weights, biases, and the scale and shift of batch norms
    macs        of convolutions and linear layers, one image; fvcore, thop and others add norms and pooling
    outputs     numbers in the outputs of all convolutions and linear layers, one image
    layers      convolutions and linear layers on the longest path
    source      what was counted
"""

from typing import NamedTuple

SOURCES = {
    "lite": "efficientnet_lite_pytorch 0.1.0, the code that the weights were published for",
    "caffe": "the authors' or the Model Zoo's Caffe prototxt, parsed, and a separate build",
    "own": "a separate build from the paper or its released configuration",
    "timm": "timm 1.0.29",
    "torchvision": "torchvision 0.28.0",
}


class Figures(NamedTuple):
    name: str
    id: str
    channels: int
    side: int
    parameters: int
    macs: int
    outputs: int
    layers: int
    source: str

    @property
    def image(self) -> tuple[int, int, int]:
        return (self.channels, self.side, self.side)


# Counted in training, where the auxiliary heads run as well. All others: in evaluation.
COUNTED_IN_TRAINING = {"googlenet_paper_aux"}

TABLE = """
name                      id                      ch side  parameters           macs     outputs layers source

# LeNet-5
# The paper counts 7 layers in the original: also S2, S4 and the output, which are neither kind.
lenet5_original           =                        1   32      60,000        325,680       6,508      4 own
lenet5                    lenet5_modern_32         1   32      61,706        416,520       6,518      5 own
lenet5_28                 lenet5_modern_28_pad2    1   28      61,706        416,520       6,518      5 own
lenet5_rgb                lenet5_modern_rgb32      3   32      62,006        651,720       6,518      5 own
lenet5_coursera           =                        3   32      62,958        849,320       8,086      5 own

# AlexNet
alexnet_2012              alexnet_2012_2group      3  227  60,965,224    724,406,816     659,272      8 caffe
alexnet_2012_ungrouped    =                        3  227  62,378,344  1,135,256,096     659,272      8 own
alexnet                   alexnet_owt_torchvision  3  224  61,100,840    714,188,480     494,184      8 torchvision

# VGG
vgg11                     =                        3  224 132,863,336  7,609,090,048   7,435,240     11 torchvision
vgg11_bn                  =                        3  224 132,868,840  7,609,090,048   7,435,240     11 torchvision
vgg13                     =                        3  224 133,047,848 11,308,466,176  12,252,136     13 torchvision
vgg13_bn                  =                        3  224 133,053,736 11,308,466,176  12,252,136     13 torchvision
vgg16                     =                        3  224 138,357,544 15,470,264,320  13,556,712     16 torchvision
vgg16_bn                  =                        3  224 138,365,992 15,470,264,320  13,556,712     16 torchvision
vgg19                     =                        3  224 143,667,240 19,632,062,464  14,861,288     19 torchvision
vgg19_bn                  =                        3  224 143,678,248 19,632,062,464  14,861,288     19 torchvision
vgg16_c                   vgg16_C                  3  224 133,638,952 11,770,888,192  13,556,712     16 own

# ResNet (ImageNet)
resnet18                  resnet18_v1              3  224  11,689,512  1,814,073,344   2,484,712     18 own
resnet18                  resnet18_v1.5            3  224  11,689,512  1,814,073,344   2,484,712     18 torchvision
resnet34                  resnet34_v1              3  224  21,797,672  3,663,761,408   3,739,112     34 own
resnet34                  resnet34_v1.5            3  224  21,797,672  3,663,761,408   3,739,112     34 torchvision
resnet50_v1               =                        3  224  25,557,032  3,857,973,248  10,588,136     50 caffe
resnet50                  resnet50_v1.5            3  224  25,557,032  4,089,184,256  11,114,984     50 torchvision
resnet101_v1              =                        3  224  44,549,160  7,570,194,432  15,706,088    101 caffe
resnet101                 resnet101_v1.5           3  224  44,549,160  7,801,405,440  16,232,936    101 torchvision
resnet152_v1              =                        3  224  60,192,808 11,282,415,616  22,028,264    152 caffe
resnet152                 resnet152_v1.5           3  224  60,192,808 11,513,626,624  22,555,112    152 torchvision

# Plain (ImageNet)
plain18                   =                        3  224  11,515,688  1,794,805,760   2,309,096     18 own

# ResNet (ImageNet)
resnet18_a                resnet18_A               3  224  11,515,688  1,794,805,760   2,309,096     18 own
resnet18_c                resnet18_C               3  224  12,043,816  1,878,298,624   3,061,736     18 own

# Plain (ImageNet)
plain34                   =                        3  224  21,623,848  3,644,493,824   3,563,496     34 own

# ResNet (ImageNet)
resnet34_a                resnet34_A               3  224  21,623,848  3,644,493,824   3,563,496     34 own
resnet34_c                resnet34_C               3  224  22,716,840  3,830,747,136   4,943,336     34 own

# ResNet (CIFAR)
cifar_resnet20            =                        3   32     269,722     40,551,040     188,426     20 own
cifar_resnet20_b          cifar_resnet20_B         3   32     272,474     40,813,184     200,714     20 own

# Plain (CIFAR)
cifar_plain20             =                        3   32     269,722     40,551,040     188,426     20 own

# ResNet (CIFAR)
cifar_resnet32            =                        3   32     464,154     68,862,592     303,114     32 own
cifar_resnet32_b          cifar_resnet32_B         3   32     466,906     69,124,736     315,402     32 own

# Plain (CIFAR)
cifar_plain32             =                        3   32     464,154     68,862,592     303,114     32 own

# ResNet (CIFAR)
cifar_resnet44            =                        3   32     658,586     97,174,144     417,802     44 own
cifar_resnet44_b          cifar_resnet44_B         3   32     661,338     97,436,288     430,090     44 own

# Plain (CIFAR)
cifar_plain44             =                        3   32     658,586     97,174,144     417,802     44 own

# ResNet (CIFAR)
cifar_resnet56            =                        3   32     853,018    125,485,696     532,490     56 own
cifar_resnet56_b          cifar_resnet56_B         3   32     855,770    125,747,840     544,778     56 own

# Plain (CIFAR)
cifar_plain56             =                        3   32     853,018    125,485,696     532,490     56 own

# ResNet (CIFAR)
cifar_resnet110           =                        3   32   1,727,962    252,887,680   1,048,586    110 own
cifar_resnet110_b         cifar_resnet110_B        3   32   1,730,714    253,149,824   1,060,874    110 own

# Plain (CIFAR)
cifar_plain110            =                        3   32   1,727,962    252,887,680   1,048,586    110 own

# ResNet (CIFAR)
cifar_resnet1202          =                        3   32  19,421,274  2,829,238,912  11,485,194   1202 own
cifar_resnet164           cifar_resnet164_postact  3   32   1,704,154    247,646,720   3,264,522    164 own

# Pre-activation ResNet (CIFAR)
cifar_preresnet20         =                        3   32     269,722     40,551,040     188,426     20 own
cifar_preresnet32         =                        3   32     464,154     68,862,592     303,114     32 own
cifar_preresnet44         =                        3   32     658,586     97,174,144     417,802     44 own
cifar_preresnet56         =                        3   32     853,018    125,485,696     532,490     56 own
cifar_preresnet110        =                        3   32   1,727,962    252,887,680   1,048,586    110 own
cifar_preresnet164        =                        3   32   1,703,258    244,500,992   3,227,658    164 own
cifar_preresnet1001       =                        3   32  10,327,706  1,487,849,984  19,226,634   1001 own

# Pre-activation ResNet (ImageNet)
preresnet18               =                        3  224  11,687,720  1,814,073,344   2,484,712     18 own
preresnet34               =                        3  224  21,795,880  3,663,761,408   3,739,112     34 own
preresnet50               =                        3  224  25,549,352  4,089,184,256  11,114,984     50 own
preresnet101              =                        3  224  44,541,480  7,801,405,440  16,232,936    101 own
preresnet152              =                        3  224  60,185,128 11,513,626,624  22,555,112    152 own
preresnet200              =                        3  224  64,666,152 15,007,481,856  32,188,904    200 own

# NIN
nin_cifar10               =                        3   32     966,986    222,486,528     631,424      9 own
nin_imagenet              nin_imagenet_224         3  224   7,595,176  1,100,188,800   1,704,096     12 own
nin_imagenet              nin_imagenet_227         3  227   7,595,176  1,105,996,320   1,735,488     12 own
nin_d2l                   =                        3  224   7,439,608    965,572,864   1,599,864     12 own

# GoogLeNet
googlenet                 googlenet_paper          3  224   6,998,552  1,582,671,872   3,227,160     22 caffe
googlenet_aux             googlenet_paper_aux      3  224  13,378,280  1,591,044,096   3,235,304     22 caffe
googlenet_bn              googlenet_paper_bn       3  224   7,005,832  1,582,671,872   3,227,160     22 own
googlenet_torchvision     =                        3  224   6,624,904  1,498,376,192   3,227,160     22 torchvision
googlenet_torchvision_aux =                        3  224  13,004,888  1,498,376,192   3,227,160     22 torchvision

# MobileNetV1
mobilenet_v1              mobilenet_v1_1.0_224     3  224   4,231,976    568,740,352   5,043,688     28 own
mobilenet_v1_1.0_192      =                        3  192   4,231,976    418,121,728   3,705,832     28 own
mobilenet_v1_1.0_160      =                        3  160   4,231,976    290,675,200   2,573,800     28 own
mobilenet_v1_1.0_128      =                        3  128   4,231,976    186,400,768   1,647,592     28 own
mobilenet_v1_0.75_224     =                        3  224   2,585,560    325,400,448   3,783,016     28 own
mobilenet_v1_0.75_192     =                        3  192   2,585,560    239,273,472   2,779,624     28 own
mobilenet_v1_0.75_160     =                        3  160   2,585,560    166,396,800   1,930,600     28 own
mobilenet_v1_0.75_128     =                        3  128   2,585,560    106,770,432   1,235,944     28 own
mobilenet_v1_0.5_224      =                        3  224   1,331,592    149,497,088   2,522,344     28 own
mobilenet_v1_0.5_192      =                        3  192   1,331,592    109,970,432   1,853,416     28 own
mobilenet_v1_0.5_160      =                        3  160   1,331,592     76,524,800   1,287,400     28 own
mobilenet_v1_0.5_128      =                        3  128   1,331,592     49,160,192     824,296     28 own
mobilenet_v1_0.25_224     =                        3  224     470,072     41,030,272   1,261,672     28 own
mobilenet_v1_0.25_192     =                        3  192     470,072     30,212,608     927,208     28 own
mobilenet_v1_0.25_160     =                        3  160     470,072     21,059,200     644,200     28 own
mobilenet_v1_0.25_128     =                        3  128     470,072     13,570,048     412,648     28 own
mobilenet_v1_full         mobilenet_v1_fullconv    3  224  29,294,088  4,867,293,184   3,111,912     15 own
mobilenet_v1_shallow      =                        3  224   2,887,976    307,323,392   4,040,168     18 own
mobilenet_v1_1.25_224     mobilenet_v1_1.25        3  224   6,270,840    879,516,800   6,304,360     28 timm

# MobileNetV2
mobilenet_v2_1.4_224      =                        3  224   6,108,776    582,195,824   9,574,424     53 torchvision
mobilenet_v2_1.3_224      =                        3  224   5,386,792    509,374,560   8,983,288     53 torchvision
mobilenet_v2              mobilenet_v2_1.0_224     3  224   3,504,872    300,774,272   6,679,112     53 torchvision
mobilenet_v2_1.0_192      =                        3  192   3,504,872    221,316,608   4,907,368     53 torchvision
mobilenet_v2_1.0_160      =                        3  160   3,504,872    154,083,200   3,408,200     53 torchvision
mobilenet_v2_1.0_128      =                        3  128   3,504,872     99,074,048   2,181,608     53 torchvision
mobilenet_v2_1.0_96       =                        3   96   3,504,872     56,289,152   1,227,592     53 torchvision
mobilenet_v2_0.75_224     =                        3  224   2,636,424    209,069,792   5,856,304     53 torchvision
mobilenet_v2_0.75_192     =                        3  192   2,636,424    153,941,888   4,302,856     53 torchvision
mobilenet_v2_0.75_160     =                        3  160   2,636,424    107,295,200   2,988,400     53 torchvision
mobilenet_v2_0.75_128     =                        3  128   2,636,424     69,129,728   1,912,936     53 torchvision
mobilenet_v2_0.75_96      =                        3   96   2,636,424     39,445,472   1,076,464     53 torchvision
mobilenet_v2_0.5_224      =                        3  224   1,968,680     97,131,840   3,641,112     53 torchvision
mobilenet_v2_0.5_192      =                        3  192   1,968,680     71,701,760   2,675,368     53 torchvision
mobilenet_v2_0.5_160      =                        3  160   1,968,680     50,184,000   1,858,200     53 torchvision
mobilenet_v2_0.5_128      =                        3  128   1,968,680     32,578,560   1,189,608     53 torchvision
mobilenet_v2_0.5_96       =                        3   96   1,968,680     18,885,440     669,592     53 torchvision
mobilenet_v2_0.35_224     =                        3  224   1,677,128     59,285,808   2,863,776     53 torchvision
mobilenet_v2_0.35_192     =                        3  192   1,677,128     43,896,512   2,104,264     53 torchvision
mobilenet_v2_0.35_160     =                        3  160   1,677,128     30,874,800   1,461,600     53 torchvision
mobilenet_v2_0.35_128     =                        3  128   1,677,128     20,220,672     935,784     53 torchvision
mobilenet_v2_0.35_96      =                        3   96   1,677,128     11,934,128     526,816     53 torchvision

# EfficientNet
efficientnet_b0           =                        3  224   5,288,548    385,814,752   6,748,036     82 torchvision
efficientnet_b1           =                        3  240   7,794,184    686,802,832  10,884,328    116 torchvision
efficientnet_b2           =                        3  260   9,109,994    993,561,872  13,832,834    116 torchvision
efficientnet_b3           =                        3  300  12,233,232  1,827,141,392  23,831,296    131 torchvision
efficientnet_b4           =                        3  380  19,341,616  4,393,771,024  49,489,032    161 torchvision
efficientnet_b5           =                        3  456  30,389,784 10,266,384,752  98,857,400    195 torchvision
efficientnet_b6           =                        3  528  43,040,704 19,067,593,536 167,393,400    225 torchvision
efficientnet_b7           =                        3  600  66,347,960 37,745,884,192 289,939,464    274 torchvision
efficientnet_lite0        =                        3  224   4,652,008    385,187,552   6,738,696     50 lite
"""


def _parse(line: str) -> Figures:
    name, id_, *numbers, source = line.split()
    return Figures(
        name, name if id_ == "=" else id_, *(int(number.replace(",", "")) for number in numbers), source
    )


_, *_lines = [line for line in TABLE.splitlines() if line and not line.startswith("#")]
FIGURES = [_parse(line) for line in _lines]
