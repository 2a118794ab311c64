-- The original has 18 fields in dream_metrics, and their names are recorded nowhere: these are the parts of health.

CREATE TABLE dream_procedures (
    id TEXT PRIMARY KEY, base_procedure_id TEXT, base_procedure_name TEXT, dream_type TEXT, code TEXT, model_used TEXT,
    reasoning TEXT, generated_description TEXT, status TEXT, tier INTEGER, viability_score REAL, claude_reasoning TEXT,
    test_outcome TEXT, test_error TEXT, test_timestamp INTEGER, novelty_score REAL, cross_project_matches INTEGER,
    effectiveness_metric REAL, generated_at INTEGER, evaluated_at INTEGER, created_by TEXT);

CREATE TABLE dream_generation_runs (
    id INTEGER PRIMARY KEY, strategy TEXT, timestamp INTEGER, total_dreams_generated INTEGER,
    constraint_relaxation_count INTEGER, cross_project_synthesis_count INTEGER, parameter_exploration_count INTEGER,
    conditional_variant_count INTEGER, duration_seconds REAL, model_usage TEXT);

CREATE TABLE dream_metrics (
    timestamp INTEGER, strategy TEXT, total_dreams INTEGER, health_score REAL, healthy INTEGER, novelty_score REAL,
    quality_score REAL, leverage_score REAL, efficiency_score REAL, average_novelty REAL, high_novelty_count INTEGER,
    average_viability REAL, tier1_count INTEGER, tier2_count INTEGER, tier3_count INTEGER, tier1_success_rate REAL,
    adoption_rate REAL, call_seconds REAL);
