"""The risk gate (DESIGN, section 5): facts in, ruling out. Pure; the risk service gathers the facts.

`gate.decide` judges a signal, `losses.loss_latches` a scope's day, `position` tells what may be closed.
"""
