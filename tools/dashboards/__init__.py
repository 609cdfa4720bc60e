"""Makes Grafana's dashboards of `charts/alpha-panda/dashboards` from what is said of each panel here.

`python -m tools.dashboards charts/alpha-panda/dashboards` writes them; a test fails when they differ. Whoever likes to draw
in Grafana: change the panel here afterwards, what is exported there has all its defaults in it.
"""
