"""Record: what happened here, a line of JSON for each event: in a file that only grows, and in the journal."""
