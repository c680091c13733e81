//! How many connections an address has open, over all workers of a listener.
//!
//! Only addresses with open connections are in the table, so it is bounded by `max_connections`. An IPv6 client has a /64 at its disposal, which
//! counts as one address; an IPv4 address that came as IPv6 counts as what it is. One lock, once when a connection opens and once when
//! it closes, and only where there is a limit.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The bits of an IPv6 address that say whose it is.
const NETWORK: u128 = !0 << 64;

#[derive(Debug)]
pub(super) struct PerIp {
    max: u32,
    open: Mutex<HashMap<IpAddr, u32>>,
}

impl PerIp {
    /// At least one: with none, addresses would stay in the table.
    pub(super) fn new(max: u32) -> Self {
        Self { max: max.max(1), open: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection in until the guard is dropped; `None`: the address has its number.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Entered> {
        let key = key(ip);
        let mut open = self.lock();
        let n = open.entry(key).or_insert(0);
        if *n >= self.max {
            return None;
        }
        *n += 1;
        Some(Entered { table: self.clone(), key })
    }
}

fn key(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & NETWORK).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// One open connection.
#[derive(Debug)]
pub(super) struct Entered {
    table: Arc<PerIp>,
    key: IpAddr,
}

impl Drop for Entered {
    fn drop(&mut self) {
        let mut open = self.table.lock();
        if let Some(n) = open.get_mut(&self.key) {
            *n -= 1;
            if *n == 0 {
                open.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let table = Arc::new(PerIp::new(2));
        let held = [table.enter(ip("2001:db8::1")), table.enter(ip("2001:db8::ffff:2"))];
        assert!(held.iter().all(Option::is_some));
        assert!(table.enter(ip("2001:db8::3")).is_none());
        assert!(table.enter(ip("2001:db8:0:1::1")).is_some());
        let v4 = [table.enter(ip("10.0.0.1")), table.enter(ip("::ffff:10.0.0.1"))];
        assert!(v4.iter().all(Option::is_some) && table.enter(ip("10.0.0.1")).is_none());
        assert!(table.enter(ip("10.0.0.2")).is_some());
        drop((held, v4));
        assert!(table.lock().is_empty(), "who has nothing open is not in it");
    }

    proptest! {
        #[test]
        fn as_many_as_are_open(max in 1u32..4, steps in prop::collection::vec((0u8..4, any::<bool>()), 0..80)) {
            let table = Arc::new(PerIp::new(max));
            let mut open: [Vec<Entered>; 4] = Default::default();
            for (who, enters) in steps {
                let own = &mut open[usize::from(who)];
                if enters {
                    let entered = table.enter(IpAddr::from([10, 0, 0, who]));
                    prop_assert_eq!(entered.is_some(), own.len() < max as usize);
                    own.extend(entered);
                } else {
                    own.pop();
                }
                prop_assert_eq!(table.lock().len(), open.iter().filter(|o| !o.is_empty()).count());
            }
        }
    }
}
