# I3D with Inception-V1 (Carreira and Zisserman), from scratch on clips of 64 frames of 224 x 224 as
# published. They cost 4.5 times what clips of ARTNet do, which tests of 25 x 10 views can bear. But
# they have 16 times the pixels: in training 8 clips per GPU, 64 a batch, and a quarter of the rate.
_base_ = [
    '_base_/models/artnet_r18_d.py',
    '_base_/datasets/kinetics400_rgb_224.py',
    '_base_/schedules/sgd_250k_steps.py',
    '_base_/default_runtime.py',
]
model = dict(
    backbone=dict(_delete_=True, type='InceptionI3D'),
    cls_head=dict(in_channels=1024, dropout_ratio=0.5),
    data_preprocessor=dict(crop_size=224),
    test_cfg=dict(max_testing_views=5),
)
clip = dict(_base_.train_clip, clip_len=64)
train_pipeline = [_base_.open_video, clip, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(clip, test_mode=True), *_base_.val_frames]
test_pipeline = [_base_.open_video, dict(_base_.test_clips, clip_len=64), *_base_.test_frames]
train_dataloader = dict(batch_size=8, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.025))
auto_scale_lr = dict(base_batch_size=64)
