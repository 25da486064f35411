"""How the demo model is trained and evaluated. Nothing else imports this package."""
