_base_ = ['c3d_r18_kinetics.py']
model = dict(backbone=dict(shortcut_kernel=3))
