//! Looks: the admin API and the metrics endpoint.
