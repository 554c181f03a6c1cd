# Minutes on two CPU cores: a warm-up, then a cosine down to nothing.
_base_ = ['sgd_250k_steps.py']
train_cfg = dict(max_iters=700, val_interval=100)
optim_wrapper = dict(optimizer=dict(lr=0.03))
warm_up = dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=50)
cosine = dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=700, eta_min=0)
param_scheduler = [warm_up, cosine]
auto_scale_lr = dict(base_batch_size=16)
