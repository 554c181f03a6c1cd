# MMAction2's own I3D, from scratch under this data, recipe and test protocol.
_base_ = [
    '_base_/models/artnet_r18_d.py',
    '_base_/datasets/kinetics400_rgb.py',
    '_base_/schedules/sgd_250k_steps.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet3d',
        depth=50,
        pretrained=None,
        pretrained2d=False,
        conv1_kernel=(5, 7, 7),
        conv1_stride_t=2,
        pool1_stride_t=2,
        norm_eval=False,
        zero_init_residual=False,
        inflate=((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0)),
    ),
    cls_head=dict(in_channels=2048, dropout_ratio=0.5),
)
