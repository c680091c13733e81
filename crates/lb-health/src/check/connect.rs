//! A fresh connection to a target: TCP to an address or a name, or a unix socket.
//!
//! A name's addresses are tried in the resolver's order until one connects. It lacks happy eyeballs: an address that
//! swallows packets takes the whole time limit; and a look-up under way cannot be called off (it is the operating system's).

use super::CheckError;
use lb_types::{Address, Host};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;

/// The most addresses of one name that are tried.
const ADDRESSES_MAX: usize = 8;

pub(crate) enum Connection {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

pub(crate) async fn connect(address: &Address) -> Result<Connection, CheckError> {
    match address {
        Address::Tcp { host: Host::Ip(ip), port } => {
            let at = SocketAddr::new(*ip, *port);
            TcpStream::connect(at).await.map(Connection::Tcp).map_err(|e| failed(&at, &e))
        }
        Address::Tcp { host: Host::Name(name), port } => by_name(name, *port).await.map(Connection::Tcp),
        #[cfg(unix)]
        Address::Unix(path) => {
            UnixStream::connect(path).await.map(Connection::Unix).map_err(|e| failed(&path.display(), &e))
        }
        #[cfg(not(unix))]
        Address::Unix(path) => Err(failed(&path.display(), &io::ErrorKind::Unsupported.into())),
    }
}

async fn by_name(name: &str, port: u16) -> Result<TcpStream, CheckError> {
    let unresolved = |error: String| CheckError::Resolve { host: name.to_owned(), error };
    let addresses = tokio::net::lookup_host((name, port)).await.map_err(|e| unresolved(e.to_string()))?;
    let none = unresolved("it has no address".to_owned());
    first_that_connects(addresses, none).await
}

/// `error` if there is no address at all.
async fn first_that_connects(
    addresses: impl Iterator<Item = SocketAddr>,
    mut error: CheckError,
) -> Result<TcpStream, CheckError> {
    for at in addresses.take(ADDRESSES_MAX) {
        match TcpStream::connect(at).await {
            Ok(stream) => return Ok(stream),
            Err(e) => error = failed(&at, &e),
        }
    }
    Err(error)
}

fn failed(address: &impl ToString, error: &io::Error) -> CheckError {
    CheckError::Connect { address: address.to_string(), error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::{TcpListener, TcpSocket};

    #[tokio::test]
    async fn addresses_are_tried_in_turn_within_the_bound() {
        let taken = TcpSocket::new_v4().unwrap();
        taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let refusing = taken.local_addr().unwrap(); // bound, so nobody else's, and not listened on
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let listening = listener.local_addr().unwrap();

        let connects = |refusals: usize| {
            let addresses = std::iter::repeat_n(refusing, refusals).chain([listening]);
            first_that_connects(addresses, CheckError::Panicked)
        };
        assert_eq!(connects(ADDRESSES_MAX - 1).await.unwrap().peer_addr().unwrap(), listening);
        let error = connects(ADDRESSES_MAX).await.unwrap_err();
        assert!(
            matches!(&error, CheckError::Connect { address, .. } if *address == refusing.to_string()),
            "{error}"
        );
        let none = CheckError::Other("none".into());
        assert_eq!(first_that_connects(std::iter::empty(), none.clone()).await.unwrap_err(), none);
    }
}
