//! Which backend? The balancing engine: pool, snapshot, lease and algorithms, without I/O.
