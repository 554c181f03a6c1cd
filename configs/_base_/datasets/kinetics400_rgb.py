# Paths as MMAction2 prepares Kinetics-400.
_base_ = ['../pipelines/clips.py']
dataset = dict(type='ClipVideoDataset', num_classes=400, data_root='data/kinetics400/')

train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='RestartableSampler', shuffle=True),
    dataset=dict(
        ann_file='kinetics400_train_list_videos.txt',
        data_prefix=dict(video='videos_train'),
        pipeline=_base_.train_pipeline,
        **dataset,
    ),
)
val_videos = dict(
    ann_file='kinetics400_val_list_videos.txt',
    data_prefix=dict(video='videos_val'),
    test_mode=True,
    **dataset,
)
one_by_one = dict(
    batch_size=1,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **val_videos), **one_by_one)
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline, **val_videos), **one_by_one)

val_evaluator = dict(type='VideoAccuracy', num_videos=19796)
test_evaluator = val_evaluator

# --frames: JPEG images in a folder per video.
images = dict(type='ClipRawframeDataset', data_root='data/kinetics400_frames/')
train_images = dict(dataset=dict(data_prefix=dict(_delete_=True, img='videos_train'), **images))
val_images = dict(dataset=dict(data_prefix=dict(_delete_=True, img='videos_val'), **images))
selections = dict(
    frames=dict(
        train_dataloader=train_images, val_dataloader=val_images, test_dataloader=val_images
    )
)
