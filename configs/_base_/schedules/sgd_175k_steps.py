# As for Kinetics, for 0.7 times as many videos: all times 0.7.
_base_ = ['sgd_250k_steps.py']
train_cfg = dict(max_iters=175000)
param_scheduler = [
    dict(
        type='MultiStepLR',
        by_epoch=False,
        milestones=[49000, 98000, 126000, 154000],
        gamma=0.1,
    )
]
