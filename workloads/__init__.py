"""What the fleet serves: traces of requests, torch models and their measured profiles."""
