"""Trust: what each model can be expected to achieve in each context, from verified outcomes."""
