//! From a backend's address to a connected socket.

use crate::socket::Socket;
use lb_types::{Address, BackendUrl, Host};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpStream, UnixStream};

/// When the next address of a name is tried beside the one under way (RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Connects. No time-out of its own.
pub(crate) async fn connect(url: &BackendUrl) -> io::Result<Socket> {
    match url.address() {
        Address::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        Address::Tcp { host: Host::Ip(ip), port } => TcpStream::connect((*ip, *port)).await.map(Socket::tcp),
        Address::Tcp { host: Host::Name(name), port } => {
            let all = tokio::net::lookup_host((&**name, *port)).await?.collect();
            first_of(interleaved(all)).await.map(Socket::tcp)
        }
    }
}

/// The families alternate, the resolver's first choice first (RFC 8305 §4).
fn interleaved(all: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = all.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = all.into_iter().partition(|a| a.is_ipv6() == first_is_v6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut out = vec![];
    loop {
        match (first.next(), second.next()) {
            (None, None) => return out,
            (a, b) => out.extend(a.into_iter().chain(b)),
        }
    }
}

/// Happy eyeballs: whichever address answers first, each started [`ATTEMPT_DELAY`] after the one before or as soon as that failed.
async fn first_of(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut left = addresses.into_iter();
    let mut attempts = tokio::task::JoinSet::new();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    loop {
        if let Some(address) = left.next() {
            attempts.spawn(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        tokio::select! {
            biased;
            Some(done) = attempts.join_next() => match done {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(e)) => last = e,
                Err(e) => last = io::Error::other(e),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if left.len() > 0 => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_alternate() {
        let a = |s: &str| s.parse::<SocketAddr>().unwrap();
        let all = vec![a("[::1]:1"), a("[::2]:1"), a("1.1.1.1:1"), a("[::3]:1")];
        assert_eq!(interleaved(all), [a("[::1]:1"), a("1.1.1.1:1"), a("[::2]:1"), a("[::3]:1")]);
    }

    #[tokio::test]
    async fn a_refusing_address_does_not_keep_the_next_waiting() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        let refused = {
            let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            closed.local_addr().unwrap()
        };
        let stream = first_of(vec![refused, good]).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), good);
        assert_eq!(first_of(vec![refused]).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    }
}
