# The spatial stream of two-stream networks (Simonyan and Zisserman), from scratch: single frames
# to a 2D network, of MMAction2 and with this recipe's dropout.
_base_ = [
    '_base_/datasets/kinetics400_rgb_224.py',
    '_base_/schedules/sgd_250k_steps.py',
    '_base_/default_runtime.py',
]
model = dict(
    type='ClipRecognizer2D',
    backbone=dict(type='ResNet', depth=50, pretrained=None, norm_eval=False),
    cls_head=dict(
        type='TSNHead', num_classes=400, in_channels=2048, dropout_ratio=0.2, average_clips='score'
    ),
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123, 117, 104], crop_size=224),
    test_cfg=dict(max_testing_views=25),
)
frame = dict(_base_.train_clip, clip_len=1)
train_pipeline = [_base_.open_video, frame, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(frame, test_mode=True), *_base_.val_frames]
test_pipeline = [_base_.open_video, dict(_base_.test_clips, clip_len=1), *_base_.test_frames]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
