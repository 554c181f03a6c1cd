# C3D with BN everywhere, the variant of Kay et al. that Table 5 quotes.
_base_ = ['c3d_vgg11_kinetics.py']
model = dict(backbone=dict(_delete_=True, type='BatchNormC3D'))
optim_wrapper = dict(optimizer=dict(lr=0.1))  # the recipe's, as there is BN
