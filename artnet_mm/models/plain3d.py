"""Plain 3D networks of the paper's rivals (Tables 5 and 6): C3D with BN, and LTC."""

from mmaction.models.backbones import C3D
from mmaction.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn


@MODELS.register_module()
class BatchNormC3D(C3D):
    """C3D with BN behind all layers and temporal stride 2 in the first pooling too.

    The variant of Kay et al., "The Kinetics Human Action Video Dataset", 2017, which Table 5
    quotes; of the first pooling they state the stride, and its kernel here is that of the others.
    Four poolings leave one frame of 16, so that the fifth pools space alone:
    (N, 3, 16, 112, 112) -> (N, 4096).
    """

    def __init__(self) -> None:
        super().__init__(norm_cfg=dict(type='BN3d'))
        self.pool1 = nn.MaxPool3d(2)
        self.pool5 = nn.MaxPool3d((1, 2, 2), padding=(0, 1, 1))
        self.fc6 = nn.Sequential(nn.Linear(8192, 4096, bias=False), nn.BatchNorm1d(4096))
        self.fc7 = nn.Sequential(nn.Linear(4096, 4096, bias=False), nn.BatchNorm1d(4096))


@MODELS.register_module()
class LTC(BaseModule):
    """Long-term temporal convolutions (Varol et al., 2016), up to the last dropout.

    Five 3 x 3 x 3 convolutions, each with ReLU and max pooling, of which the first leaves time
    as it is; two fully connected layers with ReLU, and dropout between them. The head has the
    second dropout.

    Args:
        clip_len (int): Frames of a clip. Defaults to 60.
        crop_size (int): Side of the frames. Defaults to 71.
        in_channels (int): Channels of the clip; 2 for flow. Defaults to 3.
        dropout_ratio (float): Defaults to 0.9.
        init_cfg (dict | list, optional): Initialisation by MMEngine. Defaults to Kaiming
            convolutions and normal fully connected layers.

    Raises:
        ValueError: If the poolings would leave nothing of the clip.
    """

    out_channels = (2048,)

    def __init__(
        self,
        clip_len: int = 60,
        crop_size: int = 71,
        in_channels: int = 3,
        dropout_ratio: float = 0.9,
        init_cfg: dict | list | None = None,
    ) -> None:
        if clip_len < 16 or crop_size < 32:
            raise ValueError(
                'LTC takes clips of at least 16 frames of 32 x 32, got '
                f'clip_len={clip_len}, crop_size={crop_size}'
            )
        default = [
            dict(type='Kaiming', layer='Conv3d'),
            dict(type='Normal', layer='Linear', std=0.005),
        ]
        super().__init__(default if init_cfg is None else init_cfg)
        self.shape = in_channels, clip_len, crop_size, crop_size
        layers: list[nn.Module] = []
        for channels in (64, 128, 256, 256, 256):
            pool = (2, 2, 2) if layers else (1, 2, 2)
            layers += [
                nn.Conv3d(in_channels, channels, 3, padding=1),
                nn.ReLU(inplace=True),
                nn.MaxPool3d(pool),
            ]
            in_channels = channels
        self.features = nn.Sequential(*layers)
        places = (clip_len // 16) * (crop_size // 32) ** 2
        self.classifier = nn.Sequential(
            nn.Linear(256 * places, 2048), nn.ReLU(inplace=True), nn.Dropout(dropout_ratio),
            nn.Linear(2048, 2048), nn.ReLU(inplace=True),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) -> (N, 2048).

        Raises:
            ValueError: If the clips have another shape than the network is made for.
        """
        if x.shape[1:] != self.shape:
            raise ValueError(
                f'LTC is made for clips (C, T, H, W) of {self.shape}, got {tuple(x.shape[1:])}: '
                'clip_len and crop_size of model.backbone are those of the pipelines'
            )
        return self.classifier(self.features(x).flatten(1))
