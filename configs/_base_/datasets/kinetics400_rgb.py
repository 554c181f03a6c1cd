# Paths as MMAction2 prepares Kinetics-400; frames 170 x 128, clips of 16 x 112 x 112.
# With FRAMES=1 in the environment, JPEG images in a folder a video, in <data_root>_frames.
frames = '{{$FRAMES:0}}' != '0'
data_root = 'data/kinetics400_frames/' if frames else 'data/kinetics400/'
source = 'img' if frames else 'video'
dataset = dict(
    type='ClipRawframeDataset' if frames else 'ClipVideoDataset',
    num_classes=400,
    data_root=data_root,
)

meta_keys = ('video_id', 'filename', 'frame_dir', 'img_shape')
train_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='SegmentClipSampler', clip_len=16, num_segments=1),
    dict(type='ClipDecode', scale=(170, 128)),
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
    dict(type='PackActionInputs', meta_keys=meta_keys),
]
val_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='SegmentClipSampler', clip_len=16, num_segments=1, test_mode=True),
    dict(type='ClipDecode', scale=(170, 128)),
    dict(type='CenterCrop', crop_size=112),
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=meta_keys),
]
# Every frame once, in 8 bits: ClipPreprocessor makes the 250 views on the device.
test_pipeline = [
    dict(type='ClipDecordInit'),
    dict(type='UniformClipSampler', clip_len=16, num_clips=25),
    dict(type='ShareFrames'),
    dict(type='ClipDecode', scale=(170, 128), in_order=True),
    dict(type='ClipResize', scale=(170, 128)),
    dict(type='PackActionInputs', collect_keys=('imgs', 'clips'), meta_keys=meta_keys),
]

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='RestartableSampler', shuffle=True),
    dataset=dict(
        ann_file='kinetics400_train_list_videos.txt',
        data_prefix={source: 'videos_train'},
        pipeline=train_pipeline,
        **dataset,
    ),
)
val_videos = dict(
    ann_file='kinetics400_val_list_videos.txt',
    data_prefix={source: 'videos_val'},
    test_mode=True,
    **dataset,
)
one_by_one = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_dataloader = dict(dataset=dict(pipeline=val_pipeline, **val_videos), **one_by_one)
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **val_videos), **one_by_one)

val_evaluator = dict(type='VideoAccuracy', num_videos=19796)
test_evaluator = val_evaluator
