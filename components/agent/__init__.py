"""What runs on a machine: plain Python 3.11 without packages, shipped inside every bundle.

`loader` starts one phase: `prepare` (stage, never touch what runs), `activate` (apply, restart what changed),
`operate` (one-time steps on the operations machine), `drain` (take a machine's pods and Node away), `sweep` (have what
cloud controllers made taken down) or `rotate_host_key` (give sshd another host key). Only `cloud` and `disks` know of
a platform, by what the bundle says.
"""
