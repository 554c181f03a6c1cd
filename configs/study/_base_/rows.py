# Rows of a study: the blocks of Table 2 at 8 base channels, bounded ones, and their rivals.
# paper: the experiment of the catalogue whose reported figure stands beside the measured one.
rows = {
    'C2D': dict(paper='c2d_r18_kinetics', model=dict(backbone=dict(arch='c2d'))),
    'C3D': dict(paper='c3d_r18_kinetics', model=dict(backbone=dict(arch='c3d'))),
    'C3D, wider': dict(
        model=dict(backbone=dict(arch='c3d', base_channels=9), cls_head=dict(in_channels=72))
    ),
    'R(2+1)D': dict(
        model=dict(
            backbone=dict(
                _delete_=True,
                type='ResNet2Plus1d',
                depth=18,
                base_channels=8,
                pretrained=None,
                pretrained2d=False,
                norm_eval=False,
                zero_init_residual=True,
                conv_cfg=dict(type='Conv2plus1d'),
                norm_cfg=dict(type='BN3d', eps=1e-3),
                conv1_kernel=(3, 7, 7),
                conv1_stride_t=1,
                pool1_stride_t=1,
                inflate=(1, 1, 1, 1),
                temporal_strides=(1, 2, 2, 2),
            )
        )
    ),
    'Relation (s)': dict(
        paper='relation_r18_s_kinetics', model=dict(backbone=dict(arch='relation_s'))
    ),
    'Relation (d)': dict(
        paper='relation_r18_d_kinetics', model=dict(backbone=dict(arch='relation_d'))
    ),
    'Relation (d), limit 10': dict(model=dict(backbone=dict(arch='relation_d', max_response=10))),
    'ARTNet (s)': dict(paper='artnet_r18_s_kinetics', model=dict(backbone=dict(arch='artnet_s'))),
    'ARTNet (s), limit 10': dict(model=dict(backbone=dict(arch='artnet_s', max_response=10))),
    'ARTNet (d)': dict(paper='artnet_r18_d_kinetics', model=dict(backbone=dict(arch='artnet_d'))),
    'ARTNet (d), limit 10': dict(model=dict(backbone=dict(arch='artnet_d', max_response=10))),
}
