_base_ = ['artnet_r18_d_ucf101.py']
load_from = 'work_dirs/artnet_r18_d_tsn_kinetics/iter_250000.pth'
