# The paper's words (Sec. 3.3): the rate is divided by 10 when the validation loss saturates.
# Here: when five validations in a row (25k iterations on Kinetics) bring no new best one.
# For any leaf: name this file after it in _base_, and set param_scheduler = _base_.plateau.
plateau = [dict(type='ReduceOnPlateauLR', monitor='acc/nll', rule='less', factor=0.1, patience=4)]
