"""How the demo model is made: its photos, its drawn scenes, its words and its two stages of training."""
