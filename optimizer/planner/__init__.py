"""Which fleet to have, before any policy runs it: candidates, lower bounds, and what binds. No simulation here."""
