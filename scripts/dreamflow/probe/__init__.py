"""Tasks with exact answers: what a model can do is measured on them, and what a student learns is checked on them."""
