# MMAction2's own C3D, from scratch under this data and test protocol.
_base_ = [
    '_base_/models/artnet_r18_d.py',
    '_base_/datasets/kinetics400_rgb.py',
    '_base_/schedules/sgd_250k_steps.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='C3D', pretrained=None),
    cls_head=dict(in_channels=4096, spatial_type=None, dropout_ratio=0.5),
)
# It has no BN, so not the recipe's 0.1; this is the rate of the C3D paper.
optim_wrapper = dict(optimizer=dict(lr=0.003))
