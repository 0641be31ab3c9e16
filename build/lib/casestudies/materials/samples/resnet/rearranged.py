# like: correct-attributes
# file: resnet (final, really).ipynb
"""Right, but the notebook was renamed, a check was deleted, another copied, and cells were added."""

# %% - check_bottleneck

# %% + after basic_block
block = BasicBlock(4, 8, stride=2)
block(torch.randn(1, 4, 8, 8)).shape

# %% = copy check_basic_block
