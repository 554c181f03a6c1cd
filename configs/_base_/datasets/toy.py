# Motion clips that artnet_mm.datasets.synthetic writes; frames 86 x 64, clips of 16 x 56 x 56.
_base_ = ['kinetics400_rgb.py']
data_root = 'data/toy/'

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
    dict(type='PackActionInputs', meta_keys=('video_id', 'filename', 'frame_dir', 'img_shape')),
]
val_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='SegmentClipSampler', clip_len=16, test_mode=True),
    dict(type='DecordDecode'),
    dict(type='CenterCrop', crop_size=56),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'filename', 'frame_dir', 'img_shape')),
]
test_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='UniformClipSampler', clip_len=16, num_clips=25),
    dict(type='DecordDecode'),
    dict(type='ClipTenCrop', crop_size=56),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=('video_id', 'filename', 'frame_dir', 'img_shape')),
]

videos = dict(data_root=data_root, num_classes=10)
val_videos = dict(ann_file='val_list_videos.txt', **videos)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    dataset=dict(ann_file='train_list_videos.txt', pipeline=train_pipeline, **videos),
)
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=val_pipeline, **val_videos))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **val_videos))

val_evaluator = dict(num_videos=None)
test_evaluator = val_evaluator
