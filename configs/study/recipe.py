_base_ = ['avletters.py']
# What each part of _base_/schedules/today.py brings to a bounded network, on real videos.
bounded = dict(backbone=dict(max_response=10))
fall = dict(type='MultiStepLR', by_epoch=False, milestones=[400, 600, 800], gamma=0.1)
mixed = dict(
    type='RandomBatchAugment',
    augments=[
        dict(type='MixupBlending', num_classes=26, alpha=0.8),
        dict(type='CutmixBlending', num_classes=26, alpha=1.0),
    ],
)
ema = dict(type='EMAHook', momentum=0.01, update_buffers=True)
randaugment = dict(type='TorchVisionWrapper', op='RandAugment', num_ops=2, magnitude=9)
open_video, train_clip, *train_frames = _base_.train_pipeline
_, val_clip, *val_frames = _base_.val_pipeline
_, test_clip, *test_frames = _base_.test_pipeline
slow = dict(
    train_dataloader=[open_video, dict(train_clip, frame_interval=2), *train_frames],
    val_dataloader=[open_video, dict(val_clip, frame_interval=2), *val_frames],
    test_dataloader=[open_video, dict(test_clip, frame_interval=2), *test_frames],
)
augmented = [open_video, train_clip, *train_frames[:-2], randaugment, *train_frames[-2:]]
twice = dict(
    batch_size=8, collate_fn=dict(type='repeat_pseudo_collate'), dataset=dict(num_repeats=2)
)
parts = {
    'the rate falls in steps': dict(param_scheduler=[_base_.warm_up, fall]),
    'every second frame': {k: dict(dataset=dict(pipeline=slow[k])) for k in slow},
    'label smoothing': dict(model=dict(cls_head=dict(label_smooth_eps=0.1))),
    'mixup and cutmix': dict(model=dict(data_preprocessor=dict(blending=mixed))),
    'RandAugment': dict(train_dataloader=dict(dataset=dict(pipeline=augmented))),
    'average of weights': dict(custom_hooks=[ema]),
    'two clips of a video': dict(train_dataloader=twice),
}
slow_augmented = [*slow['train_dataloader'][:-2], randaugment, *train_frames[-2:]]
everything = dict(
    **parts['label smoothing'],
    **parts['average of weights'],
    train_dataloader=dict(twice, dataset=dict(num_repeats=2, pipeline=slow_augmented)),
    val_dataloader=dict(dataset=dict(pipeline=slow['val_dataloader'])),
    test_dataloader=dict(dataset=dict(pipeline=slow['test_dataloader'])),
)
everything['model'] = dict(everything['model'], **parts['mixup and cutmix']['model'])
model = bounded
study = dict(
    title='Parts of a recipe of today, each by itself, on spoken letters',
    rows=dict(
        _delete_=True,
        **{'ARTNet (d), limit 10': dict(), **parts, 'all parts, with the cosine': everything},
    ),
)
