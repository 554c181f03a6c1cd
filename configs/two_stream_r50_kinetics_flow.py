# The temporal stream: a stack of 5 frames of flow, x and y of each, is an image of 10 channels.
_base_ = ['two_stream_r50_kinetics.py', '_base_/datasets/flow_images.py']
model = dict(backbone=dict(in_channels=10), data_preprocessor=dict(mean=[128, 128]))
stack = dict(_base_.frame, clip_len=5)
train_pipeline = [_base_.open_video, stack, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(stack, test_mode=True), *_base_.val_frames]
test_pipeline = [_base_.open_video, dict(_base_.test_clips, clip_len=5), *_base_.test_frames]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **_base_.train_flow))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline, **_base_.val_flow))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **_base_.val_flow))
selections = dict(_delete_=True)  # flow is images
