# LTC (Varol et al.), from scratch: clips of 60 frames of 71 x 71. The frames are as much larger as
# its authors' 89 x 67 are than crops of 58.
_base_ = [
    '_base_/models/artnet_r18_d.py',
    '_base_/datasets/kinetics400_rgb.py',
    '_base_/schedules/sgd_250k_steps.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='LTC', clip_len=60, crop_size=71),
    cls_head=dict(in_channels=2048, spatial_type=None, dropout_ratio=0.9),
    data_preprocessor=dict(crop_size=71),
)
clip = dict(_base_.train_clip, clip_len=60)
decode = dict(_base_.decode, scale=(109, 82))
crop = dict(_base_.random_crop, input_size=71), dict(_base_.resize_crop, scale=(71, 71))
centre = dict(_base_.centre_crop, crop_size=71)
resize = dict(_base_.resize_frames, scale=(109, 82))
train_pipeline = [_base_.open_video, clip, decode, *crop, _base_.flip, *_base_.pack]
val_pipeline = [_base_.open_video, dict(clip, test_mode=True), decode, centre, *_base_.pack]
test_frames = [_base_.share_frames, decode, resize, _base_.pack_frames]
test_pipeline = [_base_.open_video, dict(_base_.test_clips, clip_len=60), *test_frames]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.003))  # it has no BN; the rate of its authors
