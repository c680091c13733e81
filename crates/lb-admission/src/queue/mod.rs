//! Waiting in line.
