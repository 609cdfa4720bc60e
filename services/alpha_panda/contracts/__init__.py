"""What the parts of the platform agree on: wire records, names of topics and keys, instruments, manifest models.

Imports nothing of the project but `errors`. Holds no rule, no I/O, no clock.
"""
