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
    memory_format='channels_last',  # of few channels
)
decode = dict(_base_.decode, scale=size)
train_pipeline = [
    _base_.open_video,
    _base_.train_clip,
    decode,
    dict(_base_.random_crop, input_size=crop, scales=(1, 0.875, 0.75)),
    dict(_base_.resize_crop, scale=(crop, crop)),
    _base_.flip,
    *_base_.pack,
]
centre_crop = dict(_base_.centre_crop, crop_size=crop)
val_pipeline = [_base_.open_video, _base_.val_clip, decode, centre_crop, *_base_.pack]
test_pipeline = [
    _base_.open_video,
    dict(_base_.test_clips, num_clips=1),
    _base_.share_frames,
    decode,
    dict(_base_.resize_frames, scale=size),
    _base_.pack_frames,
]
selections = dict(_delete_=True)

loader = dict(num_workers=0, persistent_workers=False)
train_dataloader = dict(batch_size=16, sampler=dict(stratified=True), **loader)
val_dataloader = dict(batch_size=16, **loader)
test_dataloader = loader
val_evaluator = dict(num_videos=None)
test_evaluator = val_evaluator
train_cfg = dict(max_iters=800, val_interval=200)
param_scheduler = [_base_.warm_up, dict(_base_.cosine, end=800)]
default_hooks = dict(checkpoint=None)
log_level = 'ERROR'
