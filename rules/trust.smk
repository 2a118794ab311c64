"""Trust: outcomes of all families -> trust of each model and context -> the routing table."""

TRUST = flow.families["trust"]
