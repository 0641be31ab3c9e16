"""Explorers: interactive figures that work in the static book without a kernel, and in JupyterLab with one.

In a MyST page, one cell shows one (its text for readers without JavaScript comes with it):

    ```{code-cell} ipython3
    :tags: [remove-input]
    from casestudies.explorers import ConvolutionCost
    ConvolutionCost(kind="bottleneck", in_channels=192, out_channels=32, kernel=5, grid=28, reduced=16)
    ```

The others are shown the same way, each with the settings that its page begins with:

    ZeroWeights(activation="tanh", scale=0)
    ReceptiveField(layers=[(3, 1), (3, 1), (3, 1)])
    CompoundScaling(phi=1)
    ShapeTracer(["vgg16", "resnet18"], network="vgg16")      # without names: a network of each chapter
    NetworkComparison(x="macs", y="error", selected="resnet50")
    DegradationCurves(runs)                                  # casestudies.experiments.Run, any data sets
    YourOwnNetwork("image 3x32x32\\nconv 8 3x3\\nlinear 10")  # a text; see casestudies.explorers.architecture
    TakeBlocksOut(*train_pair())                             # see casestudies.explorers.take_blocks_out
    Questions("resnet")                                      # see casestudies.questions
    Progress()                                               # what the reader's browser keeps of them
    MakeTheMistake("resnet")                                 # see casestudies.mistakes
    DrawADigit(network)                                      # a trained casestudies.networks.lenet.LeNet5
    LookInside("stages")                                     # EfficientNet-Lite0 on photographs; "filters", "classes"

The book's `_config.yml` says `nb_ipywidgets_js: {}`: ipywidgets' own 3.5 MB stay out. Jupyter Book loads every
script of `_static/` by itself, so `_static/explorers.js` too; plain Sphinx needs `html_js_files`.
With a kernel, the settings are traits in both directions: `e = ConvolutionCost(); e.kernel = 3; e.kernel`.
"""

from casestudies.explorers.compound_scaling import CompoundScaling
from casestudies.explorers.convolution_cost import ConvolutionCost
from casestudies.explorers.degradation_curves import DegradationCurves
from casestudies.explorers.draw_a_digit import DrawADigit
from casestudies.explorers.look_inside import LookInside
from casestudies.explorers.make_the_mistake import MakeTheMistake
from casestudies.explorers.network_comparison import NetworkComparison
from casestudies.explorers.question_cards import Progress, Questions
from casestudies.explorers.receptive_field import ReceptiveField
from casestudies.explorers.shape_tracer import ShapeTracer
from casestudies.explorers.take_blocks_out import TakeBlocksOut
from casestudies.explorers.your_own_network import YourOwnNetwork
from casestudies.explorers.zero_weights import ZeroWeights

__all__ = [
    "CompoundScaling",
    "ConvolutionCost",
    "DegradationCurves",
    "DrawADigit",
    "LookInside",
    "MakeTheMistake",
    "NetworkComparison",
    "Progress",
    "Questions",
    "ReceptiveField",
    "ShapeTracer",
    "TakeBlocksOut",
    "YourOwnNetwork",
    "ZeroWeights",
]
