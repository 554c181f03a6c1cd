custom_imports = dict(imports=['artnet_mm'], allow_failed_imports=False)
default_scope = 'mmaction'

default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=20, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='CheckpointHook',
        by_epoch=False,
        interval=5000,
        max_keep_ckpts=3,
        save_best='acc/avg',
        rule='greater',
        backend_args=dict(backend='whole_files'),
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
    checkpoint_guard=dict(type='CheckpointGuardHook'),
    restart=dict(type='RestartHook'),
    batch_size=dict(type='BatchSizeHook'),
    finite_loss=dict(type='FiniteLossHook'),
    broken_samples=dict(type='BrokenSamplesHook'),
)

env_cfg = dict(
    cudnn_benchmark=True,  # batches and chunks of views come in a few fixed shapes
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl', timeout=1800),  # seconds until a hung process ends the run
)
log_processor = dict(type='LogProcessor', window_size=20, by_epoch=False)
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(type='ActionVisualizer', vis_backends=vis_backends)

log_level = 'INFO'
load_from = None
resume = False
