_base_ = ['kinetics400_rgb.py', 'flow_images.py']
train_dataloader = dict(dataset=_base_.train_flow)
val_dataloader = dict(dataset=_base_.val_flow)
test_dataloader = dict(dataset=_base_.val_flow)
selections = dict(_delete_=True)  # flow is images
