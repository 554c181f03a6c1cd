# Beyond the paper: its network with bounded responses, trained as of today. On GPUs with
# bfloat16 also --cfg-options optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype=bfloat16
# model.compile_cfg.mode=default.
_base_ = ['artnet_r18_d_kinetics.py', '_base_/schedules/today.py']
model = dict(
    backbone=dict(max_response=10),
    cls_head=dict(label_smooth_eps=0.1),
    data_preprocessor=dict(
        blending=dict(type='RandomBatchAugment', augments=[_base_.mixup, _base_.cutmix])
    ),
)
param_scheduler = [_base_.warm_up, _base_.cosine]
custom_hooks = [_base_.ema]
# Every second frame: the same 16 frames span twice the time.
train_pipeline = [_base_.open_video, dict(_base_.train_clip, frame_interval=2)]
val_pipeline = [_base_.open_video, dict(_base_.val_clip, frame_interval=2)]
test_pipeline = [_base_.open_video, dict(_base_.test_clips, frame_interval=2)]
train_pipeline += _base_.train_frames
val_pipeline += _base_.val_frames
test_pipeline += _base_.test_frames
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
