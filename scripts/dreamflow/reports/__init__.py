"""Reports of the cohort family: what was planned, what was made, and what the scores say.

Only names here: the modules load libraries of tables and statistics, which would double the time to start.
"""

LONG_TABLES = ("parsing/aggregated_scores.csv", "summary/evaluation_scores.csv")  # the original has it twice
TABLE_FILES = (
    *LONG_TABLES,
    "summary/generation_scores.csv",
    "summary/final_results.csv",
    "summary/perfect_score_paths.csv",
    "summary/evaluation_model_template_pivot.csv",
    "summary/ranking.csv",
    "analysis/variance_analysis.csv",
    "analysis/variance_components.csv",
    "analysis/evaluator_agreement.csv",
    "analysis/paired_differences.csv",
)
FINDINGS_FILE = "summary/findings.md"
STATE_FILE = "state.json"
REPORT_FILES = (*TABLE_FILES, FINDINGS_FILE, STATE_FILE)  # under data/cohorts/<cohort_id>/reports/
CROSS_FILES = (  # under data/7_cross_experiment/
    "aggregated_scores.csv",
    "evaluation_scores_by_template_model.csv",
)
