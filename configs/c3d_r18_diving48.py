_base_ = ['artnet_r18_d_diving48.py']
model = dict(backbone=dict(arch='c3d'))
load_from = 'work_dirs/c3d_r18_kinetics/iter_250000.pth'
