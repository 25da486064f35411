"""The weights that a recipe names: required, found, checked, locked and mirrored."""
