"""The services as processes over real Kafka and Redis, to be killed, frozen and cut off at chosen points.

`Platform` is what a test holds; `python -m alpha_panda.testing.processes` is what each process runs: the same as
`alpha-panda service`, and it dies or freezes where a plan says so.
"""
