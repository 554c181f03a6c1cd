_base_ = ['textures.py']
train_cfg = dict(max_iters=400, val_interval=100)
param_scheduler = [_base_.warm_up, dict(_base_.cosine, end=400)]
stock = dict(train_dataloader=dict(sampler=dict(stratified=False)))


def backbone(**options):
    return dict(model=dict(backbone=options))


study = dict(
    title='What shortens the start, in which a network learns nothing',
    rows=dict(
        _delete_=True,
        **{
            'C3D': dict(**backbone(arch='c3d', zero_init_residual=False), **stock),
            'C3D, both': backbone(arch='c3d'),
            'ARTNet (d)': dict(**backbone(zero_init_residual=False), **stock),
            'ARTNet (d), stratified batches': backbone(zero_init_residual=False),
            'ARTNet (d), zero-initialised residuals': dict(**backbone(), **stock),
            'ARTNet (d), both': backbone(),
            'ARTNet (d), limit 10': dict(
                **backbone(zero_init_residual=False, max_response=10), **stock
            ),
            'ARTNet (d), limit 10, both': backbone(max_response=10),
        },
    ),
    conditions=dict(_delete_=True, **{'': dict()}),
    clips={'_delete_': True, _base_.data_root: _base_.study.clips[_base_.data_root]},
)
