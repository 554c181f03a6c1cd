# The authors' solver: 250k iterations of 256 clips, the rate divided by 10 at fixed steps.
train_cfg = dict(type='RestartableTrainLoop', max_iters=250000, val_interval=5000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.1, momentum=0.9, weight_decay=5e-4),
    # BN: no decay. Biases of convolutions and classifier: no decay, twice the rate.
    paramwise_cfg=dict(norm_decay_mult=0, bias_decay_mult=0, bias_lr_mult=2),
)
param_scheduler = [
    dict(
        type='MultiStepLR',
        by_epoch=False,
        milestones=[70000, 140000, 180000, 220000],
        gamma=0.1,
    )
]
auto_scale_lr = dict(enable=False, base_batch_size=256)
