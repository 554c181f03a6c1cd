_base_ = ['artnet_r18_d_lstm_kinetics.py']
# ConvNet + LSTM (Table 5) under this data and protocol: a 2D ResNet-50 sees single frames of eight
# segments, in tests 25.
model = dict(backbone=dict(depth=50, arch='c2d'), cls_head=dict(in_channels=2048))
frame = dict(_base_.train_clip, clip_len=1, num_segments=8)
train_pipeline = [_base_.open_video, frame, *_base_.train_frames]
val_pipeline = [_base_.open_video, dict(frame, test_mode=True), *_base_.val_frames]
test_pipeline = [_base_.open_video, dict(_base_.test_clips, clip_len=1), *_base_.test_frames]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=val_pipeline))
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
