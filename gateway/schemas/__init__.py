"""The shapes of the public JSON: what requests may say and what answers look like."""
