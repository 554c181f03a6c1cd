# From the weights of Kinetics: it has 15,027 training videos, few for a start from scratch.
_base_ = [
    '_base_/models/artnet_r18_d.py',
    '_base_/datasets/diving48.py',
    '_base_/schedules/finetune_diving48.py',
    '_base_/default_runtime.py',
]
model = dict(cls_head=dict(num_classes=48, dropout_ratio=0.5))
load_from = 'work_dirs/artnet_r18_d_kinetics/iter_250000.pth'
# The last weights count: the best would be chosen on the test videos.
default_hooks = dict(checkpoint=dict(interval=800, save_best=None))
# TSN: a clip from each of two segments.
clip = dict(_base_.train_clip, num_segments=2)
train_pipeline = [_base_.open_video, clip, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(clip, test_mode=True), *_base_.val_frames]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
