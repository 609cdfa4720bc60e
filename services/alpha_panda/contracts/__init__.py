"""What the parts of the platform agree on: wire records, names of topics and keys, instruments, manifest models.

Imports nothing of the project but `errors`. Holds no rule of trading and no clock, and does no I/O, but for
`manifests`, which reads the files that it is given.
"""
