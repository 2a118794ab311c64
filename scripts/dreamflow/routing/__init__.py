"""Choosing a model: contexts, states, costs, the routing table and the choices made from it."""
