"""Where the gateway meets the disk and the other services."""
