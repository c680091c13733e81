//! A real `redis-server` for a test.
