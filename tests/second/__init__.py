"""What is computed here beside the same thing computed by others: one file a field, one other program a test."""
