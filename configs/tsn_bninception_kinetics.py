# TSN with BN-Inception, as Wang et al. have it: single frames, in training of three segments.
_base_ = ['two_stream_r50_kinetics.py']
model = dict(
    backbone=dict(_delete_=True, type='BNInception'),
    cls_head=dict(in_channels=1024, dropout_ratio=0.8),
)
frame = dict(_base_.frame, num_segments=3)
train_pipeline = [_base_.open_video, frame, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(frame, test_mode=True), *_base_.val_frames]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
