# The 2D baseline that starts from images: TSN with MMPretrain's ResNet-50 and its ImageNet weights.
_base_ = ['tsn_r50_kinetics.py']
checkpoint = 'https://download.openmmlab.com/mmclassification/v0/resnet/'
checkpoint += 'resnet50_8xb32_in1k_20210831-ea4938fc.pth'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.ResNet',
        depth=50,
        out_indices=(3,),
        init_cfg=dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.'),
    ),
    # Of the images that those weights have seen; in tests they are in the preprocessor too.
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375]),
)
