_base_ = ['artnet_r18_d_kinetics.py']
# TSN: a clip from each of two segments, their scores averaged before the loss.
clip = dict(_base_.train_clip, num_segments=2)
train_pipeline = [_base_.open_video, clip, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(clip, test_mode=True), *_base_.val_frames]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
