"""Training and evaluation of the demo model. No other package imports this one."""
