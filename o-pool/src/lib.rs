//! Which connection to use: one dial per peer at a time, leases, eviction, backoff, health.
