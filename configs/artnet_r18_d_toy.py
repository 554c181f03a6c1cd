_base_ = [
    '_base_/models/artnet_r18_d.py',
    '_base_/datasets/toy.py',
    '_base_/schedules/sgd_toy.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(base_channels=8, max_response=10, zero_init_residual=True),
    cls_head=dict(num_classes=10, in_channels=64, dropout_ratio=0),
    data_preprocessor=dict(crop_size=56),
    test_cfg=dict(max_testing_views=50),
)
default_hooks = dict(checkpoint=dict(interval=200))
