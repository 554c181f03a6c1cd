_base_ = ['_base_/small.py']
# MIRACL-VC1 (Rekik and others, 2014): 10 words by 15 speakers, of whom 3 are left out in each fold.
data_root = 'data/miracl_words/'
model = dict(cls_head=dict(num_classes=10))
videos = dict(num_classes=10, data_root=data_root, data_prefix=dict(video=''))
train_dataloader = dict(
    dataset=dict(ann_file='fold1_train.txt', pipeline=_base_.train_pipeline, **videos)
)
val_dataloader = dict(
    dataset=dict(ann_file='fold1_test.txt', pipeline=_base_.val_pipeline, **videos)
)
test_dataloader = dict(
    dataset=dict(ann_file='fold1_test.txt', pipeline=_base_.test_pipeline, **videos)
)
folds = {
    f'fold {n}': dict(
        train_dataloader=dict(dataset=dict(ann_file=f'fold{n}_train.txt')),
        val_dataloader=dict(dataset=dict(ann_file=f'fold{n}_test.txt')),
        test_dataloader=dict(dataset=dict(ann_file=f'fold{n}_test.txt')),
    )
    for n in range(1, 6)
}

study = dict(
    title='Words of unseen speakers: MIRACL-VC1',
    rows=_base_.rows,
    conditions=folds,
    folds=True,  # the mean is over all of them
    tests={'unseen speakers': dict()},
)
