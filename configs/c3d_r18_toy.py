_base_ = ['artnet_r18_d_toy.py']
model = dict(backbone=dict(arch='c3d'))
