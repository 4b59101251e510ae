"""Rules: what each finding is and when it is reported."""
