_base_ = ['artnet_r18_d_sthv2.py']
model = dict(backbone=dict(arch='c3d'))
