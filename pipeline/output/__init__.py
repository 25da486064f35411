"""The files that a run writes: plan, run file, provenance and report, and how they are verified."""
