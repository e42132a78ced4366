"""For people who write plugins and people who install them; none of it needs a daemon."""
