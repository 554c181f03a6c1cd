# Motion clips that artnet_mm.datasets.synthetic writes; frames 86 x 64, clips of 16 x 56 x 56.
_base_ = ['kinetics400_rgb.py']
data_root = 'data/toy/'

train_pipeline, val_pipeline = _base_.train_pipeline, _base_.val_pipeline
test_pipeline = _base_.test_pipeline
train_pipeline[2].scale = val_pipeline[2].scale = None
test_pipeline[3].scale = test_pipeline[4].scale = None
test_pipeline[1].num_clips = 10
train_pipeline[3].input_size = val_pipeline[3].crop_size = 56
train_pipeline[3].scales = (1, 0.875, 0.75)
train_pipeline[4].scale = (56, 56)

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
