"""Cohorts: concepts x templates x models x replicates -> draft -> essay -> evaluation."""
