_base_ = ['artnet_r18_d_kinetics.py']
# Beyond the paper: pre-activation bottlenecks, SMART in their 3 x 3 x 3 convolutions. What one unit
# gives is squared by the next, 14 times in a row: responses are bounded (docs/study.md).
model = dict(backbone=dict(depth=50, max_response=10), cls_head=dict(in_channels=2048))
