//! A port on which connecting takes for ever.

use crate::address::Address;
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr};

/// More connections than a queue of length 0 takes.
const FILLERS: usize = 8;

/// A listener that accepts nothing and whose queue is full, so that Linux drops further attempts without an answer, as a
/// host that is down or behind a firewall does.
#[derive(Debug)]
pub struct SilentPort {
    address: SocketAddr,
    _listener: Socket,
    _fillers: Vec<Socket>,
}

impl SilentPort {
    /// On a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is none.
    pub fn start() -> Self {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket can be had");
        let listener = socket();
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a loopback port is free");
        listener.listen(0).expect("a bound socket can listen");
        let local = listener.local_addr().expect("a bound socket has an address");
        let address = local.as_socket().expect("it is an IP address");
        let fillers = (0..FILLERS).map(|_| {
            let filler = socket();
            filler.set_nonblocking(true).expect("a socket can be non-blocking");
            // It is under way, for ever: that is the point.
            let _ = filler.connect(&address.into());
            filler
        });
        Self { address, _fillers: fillers.collect(), _listener: listener }
    }

    /// Its address as a backend's `url`.
    pub fn url(&self) -> String {
        Address::Tcp(self.address).url()
    }
}
