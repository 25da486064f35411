"""Recipes: the shipped files, loading, and prompts."""
