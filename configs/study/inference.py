_base_ = ['textures.py']
test_dataloader = dict(dataset=dict(pipeline=_base_.test_pipeline))
ema = dict(custom_hooks=[dict(type='EMAHook', momentum=0.01)])
limits = {
    f'limit {limit}': dict(model=dict(backbone=dict(max_response=limit)))
    for limit in (30, 10, 3, 1)
}

study = dict(
    title='Limits in training and in tests, and what else helps in inference',
    rows=dict(
        _delete_=True,
        **{
            'ARTNet (d)': dict(),
            'ARTNet (d), EMA': ema,
            **{f'ARTNet (d), {name}': limit for name, limit in limits.items()},
            'C3D': dict(model=dict(backbone=dict(arch='c3d'))),
        },
    ),
    conditions=dict(_delete_=True, **{'': dict()}),
    clips={'_delete_': True, _base_.data_root: _base_.study.clips[_base_.data_root]},
    tests=dict(
        _delete_=True,
        **{
            'as trained': dict(),
            'probabilities averaged': dict(model=dict(cls_head=dict(average_clips='prob'))),
            **{f'{name} in tests': limit for name, limit in limits.items()},
        },
    ),
)
