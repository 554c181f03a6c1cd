# Paths as MMAction2 prepares Kinetics-400; frames 170 x 128, clips of 16 x 112 x 112.
data_root = 'data/kinetics400/'
dataset = dict(type='ClipVideoDataset', num_classes=400, data_root=data_root)

train_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='SegmentClipSampler', clip_len=16, num_segments=1),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(170, 128), keep_ratio=False),
    dict(
        type='MultiScaleCrop',
        input_size=112,
        scales=(1, 0.875, 0.75, 0.66),
        max_wh_scale_gap=1,
        random_crop=True,
    ),
    dict(type='Resize', scale=(112, 112), keep_ratio=False),
    dict(type='ClipFlip', flip_ratio=0.5),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'filename', 'frame_dir', 'img_shape')),
]
val_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='SegmentClipSampler', clip_len=16, num_segments=1, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(170, 128), keep_ratio=False),
    dict(type='CenterCrop', crop_size=112),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'filename', 'frame_dir', 'img_shape')),
]
test_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='UniformClipSampler', clip_len=16, num_clips=25),
    dict(type='DecordDecode'),
    dict(type='Resize', scale=(170, 128), keep_ratio=False),
    dict(type='ClipTenCrop', crop_size=112),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'filename', 'frame_dir', 'img_shape')),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        ann_file='kinetics400_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_videos = dict(
    ann_file='kinetics400_val_list_videos.txt',
    data_prefix=dict(video='videos_val'),
    test_mode=True,
    **dataset,
)
# One video at a time: Recognizer3D chunks views (max_testing_views) for a batch of one only.
in_order = dict(
    batch_size=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_dataloader = dict(num_workers=8, dataset=dict(pipeline=val_pipeline, **val_videos), **in_order)
# Few workers: each holds videos of 250 views, 150 MB.
test_dataloader = dict(
    num_workers=4, dataset=dict(pipeline=test_pipeline, **val_videos), **in_order
)

val_evaluator = dict(type='VideoAccuracy', num_videos=19796)
test_evaluator = val_evaluator
