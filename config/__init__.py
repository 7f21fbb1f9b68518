"""What the cluster is to be, as plain values: settings, plan, certificates, versions.

Nothing in this package imports pulumi or touches a machine, so a test or a preview can compute the whole
cluster.
"""
