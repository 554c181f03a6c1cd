# Fine-tuning: 3500 iterations of 8 x 15 videos, the rate divided by 10 every 1500.
_base_ = ['sgd_250k_steps.py']
train_cfg = dict(max_iters=3500, val_interval=500)
optim_wrapper = dict(optimizer=dict(lr=0.001), clip_grad=dict(max_norm=40, norm_type=2))
param_scheduler = [dict(type='StepLR', by_epoch=False, step_size=1500, gamma=0.1)]
auto_scale_lr = dict(base_batch_size=120)
