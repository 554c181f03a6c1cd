_base_ = ['artnet_r18_d_jester.py']
model = dict(backbone=dict(arch='c3d'))
