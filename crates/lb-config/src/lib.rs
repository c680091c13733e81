//! The configuration file: what the user typed, what the program runs on, and precise diagnostics.
