_base_ = ['artnet_r18_d_kinetics_flow.py']
# TSN: a clip from each of two segments, their scores averaged before the loss.
train_pipeline, val_pipeline = _base_.train_pipeline, _base_.val_pipeline
train_pipeline[1].num_segments = val_pipeline[1].num_segments = 2
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
