"""Ray itself: the cluster of a run, its pools of processes, batches and progress."""
