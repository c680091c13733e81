//! Is it up? Active health checks with thresholds, jitter and events.
