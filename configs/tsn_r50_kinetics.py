# MMAction2's own TSN, from scratch under this data, recipe and test protocol.
_base_ = [
    '_base_/datasets/kinetics400_rgb.py',
    '_base_/schedules/sgd_250k_steps.py',
    '_base_/default_runtime.py',
]
model = dict(
    type='ClipRecognizer2D',
    backbone=dict(type='ResNet', depth=50, pretrained=None, norm_eval=False),
    cls_head=dict(
        type='TSNHead', num_classes=400, in_channels=2048, dropout_ratio=0.4, average_clips='score'
    ),
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123, 117, 104], crop_size=112),
    test_cfg=dict(max_testing_views=25),
)
# Single frames, in training of three segments, to a 2D network.
frame = dict(_base_.train_clip, clip_len=1, num_segments=3)
train_pipeline = [_base_.open_video, frame, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(frame, test_mode=True), *_base_.val_frames]
test_pipeline = [_base_.open_video, dict(_base_.test_clips, clip_len=1), *_base_.test_frames]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
