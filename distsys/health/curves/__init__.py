"""What is wrong with a run that ended, from its curves alone: plain numbers, no loop, no tracker, no domain."""
