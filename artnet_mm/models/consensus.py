"""Consensus on features: what the clips of a video say together (Sec. 5 leaves it open)."""

import torch
from mmaction.registry import MODELS
from torch import Tensor, nn


class FeatureConsensus(nn.Module):
    """Joins the features of a video's clips, in their order in time, before the classifier.

    :class:`TSNClipHead` gives ``in_channels`` and classifies what comes out.

    Args:
        in_channels (int): Channels of the features of a clip.
        out_channels (int): Channels of what they become.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.in_channels, self.out_channels = in_channels, out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, C_in) of K clips -> (N, C_out)."""
        raise NotImplementedError


@MODELS.register_module()
class LSTMConsensus(FeatureConsensus):
    """LSTM over the clips of a video, whose outputs are averaged (Donahue; Ng and others).

    As the classifier is linear, that is the average of the scores after each clip, as in LRCN.

    Args:
        in_channels (int): Channels of the features of a clip.
        hidden_channels (int): Channels of the LSTM. Defaults to 512.
        num_layers (int): LSTMs one on top of the other. Defaults to 1.
    """

    def __init__(self, in_channels: int, hidden_channels: int = 512, num_layers: int = 1) -> None:
        super().__init__(in_channels, hidden_channels)
        self.lstm = nn.LSTM(in_channels, hidden_channels, num_layers, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, C_in) of K clips -> (N, hidden_channels)."""
        return self.lstm(x)[0].mean(1)


@MODELS.register_module()
class AttentionConsensus(FeatureConsensus):
    """Weighted mean of the clips of a video, by weights that are a softmax over the clips.

    The logit of a clip is w . tanh(V x + b); w starts at 0, and so the network with TSN's average.

    Args:
        in_channels (int): Channels of the features of a clip.
        hidden_channels (int): Rows of V. Defaults to 128.
    """

    def __init__(self, in_channels: int, hidden_channels: int = 128) -> None:
        super().__init__(in_channels, in_channels)
        self.hidden = nn.Linear(in_channels, hidden_channels)
        self.logit = nn.Linear(hidden_channels, 1, bias=False)
        nn.init.zeros_(self.logit.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, C) of K clips -> (N, C)."""
        weights = self.logit(torch.tanh(self.hidden(x))).softmax(1)
        return (weights * x).sum(1)
