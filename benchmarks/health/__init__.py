"""What health checks find and what they cry wolf at: injected defects and healthy runs of every domain."""
