//! Moves the bytes: an HTTP/1.1 reverse proxy on hyper connection APIs.
