//! How many requests a backend bears.
