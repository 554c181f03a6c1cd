# MMAction2's own R(2+1)D, from scratch under this data, recipe and test protocol.
_base_ = [
    '_base_/models/artnet_r18_d.py',
    '_base_/datasets/kinetics400_rgb.py',
    '_base_/schedules/sgd_250k_steps.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(
        _delete_=True,
        type='ResNet2Plus1d',
        depth=34,
        pretrained=None,
        pretrained2d=False,
        norm_eval=False,
        zero_init_residual=False,
        conv_cfg=dict(type='Conv2plus1d'),
        norm_cfg=dict(type='BN3d', eps=1e-3),  # theirs is SyncBN, which needs CUDA
        conv1_kernel=(3, 7, 7),
        conv1_stride_t=1,
        pool1_stride_t=1,
        inflate=(1, 1, 1, 1),
        temporal_strides=(1, 2, 2, 2),
    ),
    cls_head=dict(dropout_ratio=0.5),
)
