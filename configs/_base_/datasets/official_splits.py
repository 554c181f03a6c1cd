# Official splits: lists of tools/data/build_annotations.py, and how many videos they test.
_base_ = ['kinetics400_rgb.py']
num_videos = {'ucf101': (3783, 3734, 3696), 'hmdb51': (1530, 1530, 1530)}


def of_split(data, n, number):
    test = dict(ann_file=f'{data}_test_split{n}.txt', metainfo=dict(split=(data, n)))
    train = dict(test, ann_file=f'{data}_train_split{n}.txt')
    return dict(
        split=n,
        train_dataloader=dict(dataset=train),
        val_dataloader=dict(dataset=test),
        test_dataloader=dict(dataset=test),
        val_evaluator=dict(num_videos=number),
        test_evaluator=dict(num_videos=number),
    )


selections = dict(
    official_splits={
        data: {str(n): of_split(data, str(n), number) for n, number in enumerate(numbers, 1)}
        for data, numbers in num_videos.items()
    }
)
