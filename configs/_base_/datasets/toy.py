# Motion clips of artnet_mm.data_making.motion_clips; frames 86 x 64, clips of 16 x 56 x 56.
_base_ = ['kinetics400_rgb.py']
data_root = 'data/toy/'
decode = dict(type='ClipDecode', scale=None)
train_pipeline = [
    _base_.open_video,
    _base_.train_clip,
    decode,
    dict(_base_.random_crop, input_size=56, scales=(1, 0.875, 0.75)),
    dict(_base_.resize_crop, scale=(56, 56)),
    _base_.flip,
    *_base_.pack,
]
centre_crop = dict(_base_.centre_crop, crop_size=56)
val_pipeline = [_base_.open_video, _base_.val_clip, decode, centre_crop, *_base_.pack]
test_pipeline = [
    _base_.open_video,
    dict(_base_.test_clips, num_clips=10),
    _base_.share_frames,
    decode,
    dict(_base_.resize_frames, scale=None),
    _base_.pack_frames,
]

videos = dict(data_root=data_root, num_classes=10)
val_videos = dict(ann_file='val_list_videos.txt', **videos)
train_dataloader = dict(
    batch_size=16,
    num_workers=1,
    sampler=dict(stratified=True),
    dataset=dict(ann_file='train_list_videos.txt', pipeline=train_pipeline, **videos),
)
val_dataloader = dict(num_workers=1, dataset=dict(pipeline=val_pipeline, **val_videos))
test_dataloader = dict(num_workers=1, dataset=dict(pipeline=test_pipeline, **val_videos))

val_evaluator = dict(num_videos=None)
test_evaluator = val_evaluator
selections = dict(_delete_=True)
