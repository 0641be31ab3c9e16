# like: correct-attributes
"""One mistake in the network: it ends with a softmax."""

# %% cifar_resnet
class CifarResNet(nn.Module):
    def __init__(self, num_blocks=3, num_classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.layer1 = residual_stage(16, 16, num_blocks, 1)
        self.layer2 = residual_stage(16, 32, num_blocks, 2)
        self.layer3 = residual_stage(32, 64, num_blocks, 2)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64, num_classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return F.softmax(self.fc(torch.flatten(self.pool(x), 1)), dim=1)
