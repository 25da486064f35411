"""What a run has to do: manifest, plan and the checks before any work."""
