"""A network with the commonest fault there is: a softmax in front of a loss that applies softmax itself."""

import torch
from torch import nn

model = nn.Sequential(
    nn.Linear(4, 16),
    nn.ReLU(),
    nn.Linear(16, 3),
    nn.Softmax(dim=-1),
)
ready = (model, (torch.randn(32, 4), torch.randint(3, (32,))), nn.CrossEntropyLoss())
