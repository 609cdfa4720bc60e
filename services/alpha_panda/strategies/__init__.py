"""The strategies that ship. They use `alpha_panda.sdk` and nothing else of the project: copy one to begin yours."""
