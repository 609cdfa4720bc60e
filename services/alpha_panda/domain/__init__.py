"""The rules of trading, pure: clock-free, I/O-free, the same answer to the same question.

Depends on `contracts` and `errors` alone. Time, prices and stored state come in as arguments; what is to be done
goes out as a value. Nothing here reads a clock, a setting or an environment variable, draws a random number, or
logs.
"""
