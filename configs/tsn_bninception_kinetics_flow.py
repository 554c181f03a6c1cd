# TSN on stacks of 5 frames of flow, with the dropout that Wang et al. have for them.
_base_ = ['two_stream_r50_kinetics_flow.py']
model = dict(
    backbone=dict(_delete_=True, type='BNInception', in_channels=10),
    cls_head=dict(in_channels=1024, dropout_ratio=0.7),
)
stack = dict(_base_.stack, num_segments=3)
train_pipeline = [_base_.open_video, stack, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(stack, test_mode=True), *_base_.val_frames]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
