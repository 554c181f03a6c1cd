# The paper's words (Sec. 3.3): the rate is divided by 10 when the validation loss saturates.
# Here: when five validations in a row, 25k iterations, bring no new best one.
_base_ = ['sgd_250k_steps.py']
param_scheduler = [
    dict(type='ReduceOnPlateauLR', monitor='acc/nll', rule='less', factor=0.1, patience=4)
]
