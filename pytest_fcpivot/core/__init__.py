"""What everything else is made of: it imports nothing else of this package."""
