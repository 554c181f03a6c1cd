# Diving48 with its second labels (V2); val is what its makers call test. A class is a take-off,
# somersaults, twists and a position, the same in a mirror: ClipFlip and the ten crops stay.
_base_ = ['kinetics400_rgb.py']

# A dive takes the whole video: clips of every second frame see more of it.
train_clip = dict(_base_.train_clip, frame_interval=2)
val_clip = dict(_base_.val_clip, frame_interval=2)
test_clips = dict(_base_.test_clips, frame_interval=2)
train_pipeline = [_base_.open_video, train_clip, *_base_.train_frames]
val_pipeline = [_base_.open_video, val_clip, *_base_.val_frames]
test_pipeline = [_base_.open_video, test_clips, *_base_.test_frames]

videos = dict(num_classes=48, data_root='data/diving48/', data_prefix=dict(video='videos'))
val_videos = dict(ann_file='diving48_val_list_videos.txt', **videos)
train_dataloader = dict(
    batch_size=15,
    dataset=dict(ann_file='diving48_train_list_videos.txt', pipeline=train_pipeline, **videos),
)
val_dataloader = dict(dataset=dict(pipeline=val_pipeline, **val_videos))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline, **val_videos))
val_evaluator = test_evaluator = dict(num_videos=1970)

images = dict(
    dataset=dict(
        type='ClipRawframeDataset',
        data_root='data/diving48_frames/',
        data_prefix=dict(_delete_=True, img='videos'),
    )
)
frames = dict(train_dataloader=images, val_dataloader=images, test_dataloader=images)
selections = dict(frames=dict(_delete_=True, **frames))
