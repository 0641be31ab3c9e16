# like: correct-attributes
"""One mistake in the stage: every block strides."""

# %% residual_stage
def residual_stage(in_channels, out_channels, num_blocks, stride):
    sizes = [in_channels] + [out_channels] * num_blocks
    return nn.Sequential(*[BasicBlock(sizes[i], sizes[i + 1], stride) for i in range(num_blocks)])
