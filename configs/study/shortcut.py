_base_ = ['_base_/small.py']
root = 'data/study/shortcut/'
model = dict(cls_head=dict(num_classes=5))
videos = dict(num_classes=5, data_root=root)
val_videos = dict(ann_file='val_list_videos.txt', **videos)
train_dataloader = dict(
    dataset=dict(ann_file='train_list_videos.txt', pipeline=_base_.train_pipeline, **videos)
)
val_dataloader = dict(dataset=dict(pipeline=_base_.val_pipeline, **val_videos))
test_dataloader = val_dataloader

study = dict(
    title='Shortcut: texture and motion go together in training only',
    rows=_base_.rows,
    conditions={'': dict()},
    tests={
        'answers by motion': dict(),
        'answers by texture': dict(
            test_dataloader=dict(dataset=dict(ann_file='val_list_kinds.txt'))
        ),
    },
    clips={root: dict(**_base_.clips, shortcut=True)},
)
