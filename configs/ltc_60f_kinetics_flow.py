_base_ = ['ltc_60f_kinetics.py', '_base_/datasets/flow_images.py']
model = dict(backbone=dict(in_channels=2), data_preprocessor=dict(mean=[128, 128]))
train_dataloader = dict(dataset=_base_.train_flow)
val_dataloader = dict(dataset=_base_.val_flow)
test_dataloader = dict(dataset=_base_.val_flow)
selections = dict(_delete_=True)  # flow is images
