"""Right throughout, with raw parameters, functional calls and einsum."""

# %% basic_block
class Norm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels))
        self.shift = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))

    def forward(self, x):
        return F.batch_norm(x, self.mean, self.variance, self.scale, self.shift, self.training)


def weight(out_channels, in_channels, kernel):
    w = torch.empty(out_channels, in_channels, kernel, kernel)
    return nn.Parameter(nn.init.kaiming_normal_(w))


def fits(in_channels, out_channels, stride):
    return stride == 1 and in_channels == out_channels


class BasicBlock(nn.Module):
    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__()
        self.stride = stride
        self.project = not fits(in_channels, out_channels, stride)
        if self.project:
            self.norm_p, self.w_p = Norm(out_channels), weight(out_channels, in_channels, 1)
        self.norm_2, self.w_2 = Norm(out_channels), weight(out_channels, out_channels, 3)
        self.norm_1, self.w_1 = Norm(out_channels), weight(out_channels, in_channels, 3)

    def forward(self, x):
        skip = self.norm_p(F.conv2d(x, self.w_p, stride=self.stride)) if self.project else x
        x = F.relu(self.norm_1(F.conv2d(x, self.w_1, stride=self.stride, padding=1)))
        return F.relu(skip + self.norm_2(F.conv2d(x, self.w_2, padding=1)))

# %% bottleneck
class Bottleneck(nn.Module):
    def __init__(self, in_channels, channels, stride=1):
        super().__init__()
        self.stride = stride
        out_channels = 4 * channels
        self.weights = nn.ParameterList(
            [weight(channels, in_channels, 1), weight(channels, channels, 3), weight(out_channels, channels, 1)]
        )
        self.norms = nn.ModuleList([Norm(channels), Norm(channels), Norm(out_channels)])
        self.project = not fits(in_channels, out_channels, stride)
        if self.project:
            self.weights.append(weight(out_channels, in_channels, 1))
            self.norms.append(Norm(out_channels))

    def forward(self, x):
        w, norm = self.weights, self.norms
        out = F.relu(norm[0](torch.einsum("nihw,oi->nohw", x, w[0].flatten(1))))
        out = F.relu(norm[1](F.conv2d(out, w[1], stride=self.stride, padding=1)))
        out = norm[2](F.conv2d(out, w[2]))
        if self.project:
            x = norm[3](F.conv2d(x, w[3], stride=self.stride))
        return F.relu(out + x)

# %% residual_stage
def residual_stage(in_channels, out_channels, num_blocks, stride):
    first = BasicBlock(in_channels, out_channels, stride)
    return nn.Sequential(first, *(BasicBlock(out_channels, out_channels) for _ in range(1, num_blocks)))

# %% cifar_resnet
class CifarResNet(nn.Sequential):
    def __init__(self, num_blocks=3, num_classes=10):
        super().__init__()
        self.append(nn.Conv2d(3, 16, 3, padding="same", bias=False)).append(Norm(16)).append(nn.ReLU())
        width = 16
        for channels, stride in ((16, 1), (32, 2), (64, 2)):
            self.append(residual_stage(width, channels, num_blocks, stride))
            width = channels
        self.append(nn.AdaptiveAvgPool2d(1)).append(nn.Flatten()).append(nn.Linear(width, num_classes))

# %% repaired_block
class RepairedBlock(BasicBlock):
    """After repairing all three, it is the block of part 1."""

# %% degradation
# Its training error is higher, so this is no overfitting.
