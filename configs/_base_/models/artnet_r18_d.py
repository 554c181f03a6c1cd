model = dict(
    type='ClipRecognizer3D',
    backbone=dict(type='ARTNet', depth=18, arch='artnet_d'),
    cls_head=dict(type='TSNClipHead', num_classes=400, in_channels=512, dropout_ratio=0.2),
    # 104, 117, 123 in the authors' BGR
    data_preprocessor=dict(type='ClipPreprocessor', mean=[123, 117, 104], crop_size=112),
    # views per forward pass in testing: bounds the memory, changes no score
    test_cfg=dict(max_testing_views=25),
)
