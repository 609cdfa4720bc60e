"""The command line: `alpha-panda`. Thin: reads arguments, calls `compose`, prints."""
