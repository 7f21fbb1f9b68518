"""What runs on a machine: plain Python 3.11 without packages, shipped inside every bundle.

`loader` starts one phase: `prepare` (stage, never touch what runs), `activate` (apply, restart what changed)
or `operate` (one-time steps on the operations machine). Nothing here knows which platform the machine is of.
"""
