_base_ = ['_base_/small.py']
model = dict(cls_head=dict(num_classes=10))
roots = {number: f'data/study/textures_{number}/' for number in (2, 8, 32, 600)}
data_root = roots[600]
videos = dict(num_classes=10, data_root=data_root)
val_videos = dict(ann_file='val_list_videos.txt', **videos)
train_dataloader = dict(
    dataset=dict(ann_file='train_list_videos.txt', pipeline=_base_.train_pipeline, **videos)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **val_videos))
test_dataloader = val_dataloader

study = dict(
    title='How much appearance must be seen to know a motion',
    rows=_base_.rows,
    conditions={
        f'{number} textures': dict(train_dataloader=dict(dataset=dict(data_root=root)))
        for number, root in roots.items()
    },
    tests={'unseen textures': dict()},
    clips={
        root: dict(**_base_.clips, num_textures=number if number < 600 else None)
        for number, root in roots.items()
    },
)
