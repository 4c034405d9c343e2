"""Call one function many times concurrently; nothing here depends on pytest or on pivots."""
