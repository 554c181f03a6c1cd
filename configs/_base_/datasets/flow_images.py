# What makes flow of an RGB config's data: as tools/data/extract_flow.py stores it, x and y in 8-bit
# images, 128 for no motion. Pipelines stay: what mirrors clips negates x in flow.
flow = dict(
    type='ClipRawframeDataset',
    modality='Flow',
    filename_tmpl='flow_{}_{:05d}.jpg',
    data_root='data/kinetics400_flow/',
)
train_flow = dict(data_prefix=dict(_delete_=True, img='videos_train'), **flow)
val_flow = dict(data_prefix=dict(_delete_=True, img='videos_val'), **flow)
