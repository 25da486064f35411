"""Recipes, shipped and from files, and the prompts in them."""
