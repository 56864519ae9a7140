"""What is watched during a run: series by control interval, alerts on them, single requests, Chrome traces."""
