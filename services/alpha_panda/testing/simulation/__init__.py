"""Deterministic simulation of the whole platform: every service as a process of its own, all faults, from one seed.

`loop` schedules, `network` and `ports` are what lies between the processes, `plan` draws what happens, `world` wires
it, `invariants` judges. `run.simulate(seed)` does all of it; `python -m alpha_panda.testing.simulation SEED` repeats a
run exactly.
"""
