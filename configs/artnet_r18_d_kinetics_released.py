_base_ = ['artnet_r18_d_kinetics.py']
model = dict(backbone=dict(shortcut_kernel=3))
