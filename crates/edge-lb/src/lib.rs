//! The load balancer and traffic manager for the edge: facade over the lb-* crates.
