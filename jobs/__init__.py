"""What people run: one thin module per command."""
