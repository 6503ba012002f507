"""What is known beside the image, as a second branch of the network."""

from torch import nn


def metadata_branch(columns: int, outputs: int) -> nn.Sequential:
    """float32 (N, columns) → (N, outputs), to be added to what the backbone answers.

    The winners of SIIM-ISIC 2020 put the features of such a branch (512 → 128, batch normalization, SiLU, dropout 0.3)
    beside those of the image, under one linear layer. That layer is the sum of two, one on either's features, with one
    bias: the backbone's classifier is the first, the last layer here is the second. It starts at zero, so that training
    starts from what the image alone says.
    """
    last = nn.Linear(128, outputs, bias=False)
    nn.init.zeros_(last.weight)
    return nn.Sequential(
        nn.Linear(columns, 512),
        nn.BatchNorm1d(512),
        nn.SiLU(),
        nn.Dropout(0.3),
        nn.Linear(512, 128),
        nn.BatchNorm1d(128),
        nn.SiLU(),
        last,
    )
