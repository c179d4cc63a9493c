"""The public `/v1` and the agents' `/internal/v1`, one file for each resource."""
