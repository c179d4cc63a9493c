"""The calls of the client, a file for each kind of resource. `deltanas.client` joins them."""
