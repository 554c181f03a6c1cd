# From scratch: it has 168,913 training videos, and weights of Kinetics have learned from mirrored
# clips. Whoever compares with networks that start there sets load_from.
_base_ = [
    '_base_/models/artnet_r18_d.py',
    '_base_/datasets/sthv2.py',
    '_base_/schedules/sgd_175k_steps.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=174), data_preprocessor=dict(mirrored=False))
