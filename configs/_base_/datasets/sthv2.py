# Something-Something V2: paths as MMAction2 prepares it. Some of its 174 classes name left or
# right, so nothing is mirrored: not in training, here, nor in tests, by the leaf's mirrored=False.
_base_ = ['kinetics400_rgb.py']

# An action takes the whole video, some 48 frames at 12 per second, of which clips of every second
# frame see most.
train_clip = dict(_base_.train_clip, frame_interval=2)
val_clip = dict(_base_.val_clip, frame_interval=2)
test_clips = dict(_base_.test_clips, frame_interval=2)
train_frames = [_base_.decode, _base_.random_crop, _base_.resize_crop, *_base_.pack]
train_pipeline = [_base_.open_video, train_clip, *train_frames]
val_pipeline = [_base_.open_video, val_clip, *_base_.val_frames]
test_pipeline = [_base_.open_video, test_clips, *_base_.test_frames]

videos = dict(num_classes=174, data_root='data/sthv2/', data_prefix=dict(video='videos'))
val_videos = dict(ann_file='sthv2_val_list_videos.txt', **videos)
train_dataloader = dict(
    dataset=dict(ann_file='sthv2_train_list_videos.txt', pipeline=train_pipeline, **videos)
)
val_dataloader = dict(dataset=dict(pipeline=val_pipeline, **val_videos))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **val_videos))
val_evaluator = test_evaluator = dict(num_videos=24777)

images = dict(
    dataset=dict(
        type='ClipRawframeDataset',
        data_root='data/sthv2_frames/',
        data_prefix=dict(_delete_=True, img='videos'),
    )
)
frames = dict(train_dataloader=images, val_dataloader=images, test_dataloader=images)
selections = dict(frames=dict(_delete_=True, **frames))
