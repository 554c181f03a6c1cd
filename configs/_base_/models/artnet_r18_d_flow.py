_base_ = ['artnet_r18_d.py']
model = dict(
    backbone=dict(in_channels=2),
    data_preprocessor=dict(mean=[128, 128]),
)
