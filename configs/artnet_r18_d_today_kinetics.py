# Beyond the paper: its network with bounded responses, trained as of today. --cfg-options adds
# bfloat16 (optim_wrapper.type=AmpOptimWrapper optim_wrapper.dtype=bfloat16) and compilation
# (model.compile_cfg.mode=default) on a GPU, and takes any part away by itself:
#   the bound              model.backbone.max_response=None
#   label smoothing        model.cls_head.label_smooth_eps=0
#   mixup and cutmix       model.data_preprocessor.blending=None
#   RandAugment            train_dataloader.dataset.pipeline.6.num_ops=0
#   the average of weights custom_hooks="[]"
#   two clips per video    train_dataloader.collate_fn.type=pseudo_collate
#                          train_dataloader.dataset.num_repeats=1 train_dataloader.batch_size=32
#   every second frame     train_dataloader.dataset.pipeline.1.frame_interval=1
#                          val_dataloader.dataset.pipeline.1.frame_interval=1
#                          test_dataloader.dataset.pipeline.1.frame_interval=1
# The cosine is taken away by a config over this one that states another param_scheduler.
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
train_pipeline += [*_base_.train_frames[:-2], _base_.randaugment, *_base_.pack]
val_pipeline += _base_.val_frames
test_pipeline += _base_.test_frames
train_dataloader = dict(
    batch_size=16,
    collate_fn=_base_.repeats.collate_fn,
    dataset=dict(pipeline=train_pipeline, **_base_.repeats.dataset),
)
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
