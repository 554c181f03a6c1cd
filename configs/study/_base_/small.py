# One network and one schedule for all rows of a study: clips of 16 x 32 x 32, 8 base channels.
_base_ = [
    '../../_base_/models/artnet_r18_d.py',
    '../../_base_/datasets/kinetics400_rgb.py',
    '../../_base_/schedules/sgd_toy.py',
    '../../_base_/default_runtime.py',
    'rows.py',
]
size, crop = (48, 36), 32
clips = dict(num_train=600, num_val=200, num_frames=24, size=(64, 48), pace=2)
model = dict(
    backbone=dict(base_channels=8, zero_init_residual=True),
    cls_head=dict(in_channels=64, dropout_ratio=0),
    data_preprocessor=dict(crop_size=crop),
)
train_pipeline, val_pipeline = _base_.train_pipeline, _base_.val_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].scale = val_pipeline[2].scale = size
test_pipeline[3].scale = test_pipeline[4].scale = size
train_pipeline[3].input_size = val_pipeline[3].crop_size = crop
train_pipeline[3].scales = (1, 0.875, 0.75)
train_pipeline[4].scale = (crop, crop)
test_pipeline[1].num_clips = 1

loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=16, sampler=dict(stratified=True), **loader)
val_dataloader = dict(batch_size=16, **loader)
test_dataloader = loader
val_evaluator = dict(num_videos=None)
test_evaluator = val_evaluator
train_cfg = dict(max_iters=400, val_interval=100)
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = 400
default_hooks = dict(checkpoint=None)
log_level = 'ERROR'
