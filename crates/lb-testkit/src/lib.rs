//! Test helpers of the edge-lb workspace: scripted backends, a raw client, a load, and the real binary.
//!
//! Everything speaks in bytes over real sockets, so that a test can say and see what a library would hide: a head cut in
//! two, a reset in the middle of a body, the exact bytes that reached a backend.
//!
//! * [`Backend`]: a server that does what its script says, for each connection and request; killed and revived at will. A [`Switch`]
//!   lets its script change while it runs, a [`Gate`] holds it up.
//! * [`Client`]: one blocking connection. [`Load`]: many of them, counted.
//! * [`EdgeLb`]: the real binary, started on port 0 and ended on drop.
//! * [`RedisServer`]: a real `redis-server`. [`KubernetesApi`]: a stateful mock of that API, and the real `kubectl`.
//! * [`eventually`]: waiting with a bound, instead of sleeping.
//!
//! Helpers of tests panic with a message where a test could only do the same; what a test may expect to fail returns an
//! error. Everything has a time limit, so that a hang is a failure with a name. Linux is assumed (`SO_REUSEPORT`, signals).

mod address;
mod backend;
mod binary;
mod build;
mod client;
mod decode;
mod kubernetes;
mod load;
mod message;
mod record;
mod redis;
mod script;
mod serve;
mod silent;
mod switch;
mod wait;

pub use address::Address;
pub use backend::{Backend, BackendBuilder, Place};
pub use binary::{EdgeLb, EdgeLbOptions, Finished};
pub use client::{Client, ReadError, Response};
pub use decode::BodyDecoder;
pub use kubernetes::KubernetesApi;
pub use load::{Load, LoadReport, RunningLoad};
pub use message::{Framing, Headers, RequestHead, ResponseHead};
pub use record::Received;
pub use redis::RedisServer;
pub use script::{Answer, BodyKind, Gate, Reply, Step};
pub use silent::SilentPort;
pub use switch::Switch;
pub use wait::{Stopwatch, eventually, holds_within};
