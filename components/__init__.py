"""The cluster's components. Outputs appear here and not before; every value that a plan can know comes from the plan."""
