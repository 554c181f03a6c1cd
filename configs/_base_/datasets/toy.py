# Motion clips that artnet_mm.datasets.synthetic writes; frames 86 x 64, clips of 16 x 56 x 56.
data_root = 'data/toy/'
dataset = dict(type='ClipVideoDataset', num_classes=10, data_root=data_root)

train_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='SegmentClipSampler', clip_len=16),
    dict(type='DecordDecode'),
    dict(
        type='MultiScaleCrop',
        input_size=56,
        scales=(1, 0.875, 0.75),
        max_wh_scale_gap=1,
        random_crop=True,
    ),
    dict(type='Resize', scale=(56, 56), keep_ratio=False),
    dict(type='ClipFlip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('filename', 'img_shape')),
]
val_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='SegmentClipSampler', clip_len=16, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='CenterCrop', crop_size=56),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('filename', 'img_shape')),
]
test_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='UniformClipSampler', clip_len=16, num_clips=25),
    dict(type='DecordDecode'),
    dict(type='ClipTenCrop', crop_size=56),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('filename', 'img_shape')),
]

train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        ann_file='train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='val_list_videos.txt',
        data_prefix=dict(video='videos_val'),
        pipeline=val_pipeline,
        test_mode=True,
        **dataset,
    ),
)
test_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        ann_file='val_list_videos.txt',
        data_prefix=dict(video='videos_val'),
        pipeline=test_pipeline,
        test_mode=True,
        **dataset,
    ),
)

val_evaluator = dict(type='VideoAccuracy')
test_evaluator = val_evaluator
