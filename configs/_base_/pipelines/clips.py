# Named steps of the pipelines: frames 170 x 128, clips of 16 x 112 x 112.
# A leaf that changes one puts its pipeline together from these again.
open_video = dict(type='ClipVideoInit')
train_clip = dict(type='SegmentClipSampler', clip_len=16, num_segments=1)
val_clip = dict(**train_clip, test_mode=True)
test_clips = dict(type='UniformClipSampler', clip_len=16, num_clips=25)

decode = dict(type='ClipDecode', scale=(170, 128))
random_crop = dict(
    type='MultiScaleCrop',
    input_size=112,
    scales=(1, 0.875, 0.75, 0.66),
    max_wh_scale_gap=1,
    random_crop=True,
)
resize_crop = dict(type='Resize', scale=(112, 112), keep_ratio=False)
flip = dict(type='ClipFlip', flip_ratio=0.5)
centre_crop = dict(type='CenterCrop', crop_size=112)
meta_keys = ('video_id', 'filename', 'frame_dir', 'img_shape')
pack = [
    dict(type='FormatShape', input_format='NCTHW'),
    dict(type='PackActionInputs', meta_keys=meta_keys),
]

# In tests every frame once, in 8 bits: ClipPreprocessor makes the views on the device.
share_frames = dict(type='ShareFrames')
resize_frames = dict(type='ClipResize', scale=(170, 128))
pack_frames = dict(type='PackActionInputs', collect_keys=('imgs', 'clips'), meta_keys=meta_keys)

# What follows the choice of clips.
train_frames = [decode, random_crop, resize_crop, flip, *pack]
val_frames = [decode, centre_crop, *pack]
test_frames = [share_frames, decode, resize_frames, pack_frames]

train_pipeline = [open_video, train_clip, *train_frames]
val_pipeline = [open_video, val_clip, *val_frames]
test_pipeline = [open_video, test_clips, *test_frames]
