//! LoadBalancer: the engine, health checks and discovery composed behind one handle.
