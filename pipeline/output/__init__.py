"""Read, write and verify the files of an output: plans, run file, provenance records and report."""
