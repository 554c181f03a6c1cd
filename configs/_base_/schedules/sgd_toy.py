# Minutes on two CPU cores: a warm-up, then a cosine down to nothing.
train_cfg = dict(type='IterBasedTrainLoop', max_iters=800, val_interval=200)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.03, momentum=0.9, weight_decay=5e-4),
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bias_lr_mult=2),
)
param_scheduler = [
    dict(type='LinearLR', by_epoch=False, start_factor=0.1, end=50),
    dict(type='CosineAnnealingLR', by_epoch=False, begin=50, end=800, eta_min=0),
]
auto_scale_lr = dict(enable=False, base_batch_size=16)
