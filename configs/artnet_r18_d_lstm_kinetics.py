_base_ = ['artnet_r18_d_kinetics.py']
# Long-term modelling: clips of eight segments, read by an LSTM.
model = dict(cls_head=dict(consensus=dict(type='LSTMConsensus')))
clip = dict(_base_.train_clip, num_segments=8)
train_pipeline = [_base_.open_video, clip, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(clip, test_mode=True), *_base_.val_frames]
# 32 clips a GPU, as everywhere; the rate goes with the number of videos.
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
optim_wrapper = dict(optimizer=dict(lr=0.0125))
auto_scale_lr = dict(base_batch_size=32)
