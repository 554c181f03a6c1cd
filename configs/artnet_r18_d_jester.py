# From scratch: it has 118,562 training videos, of gestures before a camera, like no others.
_base_ = [
    '_base_/models/artnet_r18_d.py',
    '_base_/datasets/jester.py',
    '_base_/schedules/sgd_125k_steps.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=27), data_preprocessor=dict(mirrored=False))
