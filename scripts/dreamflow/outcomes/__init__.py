"""Outcomes of models: what was verified of their answers, for experiences and for trust."""
