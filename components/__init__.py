"""The cluster's components. Outputs appear here and not before; what a plan can know comes from the plan."""
