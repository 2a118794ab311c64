"""Reports of the cohort family: what was planned, what was made, and what the scores say."""
