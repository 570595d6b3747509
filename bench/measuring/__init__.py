"""What is measured, and how: every module gives plain numbers."""
