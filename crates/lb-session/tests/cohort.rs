//! Two pools, a split that grows between them, and sessions that stay.

use lb_session::cohort::{POINTS, point};
use lb_session::{Affinity, Ignored, Moment, SessionAffinity, SessionId, SessionManager};
use lb_types::{BackendId, Nanos, RequestInfo};
use proptest::prelude::*;

fn pool(name: &str, cookie: &str) -> SessionManager {
    // One secret for both: they tell their cookies apart all the same.
    SessionManager::new(SessionAffinity::cookie().cookie_name(cookie), name, [7; 32]).unwrap()
}

/// A browser: one cookie of each name.
#[derive(Default)]
struct Jar(Vec<(String, String)>);

impl Jar {
    fn set(&mut self, set_cookie: &str) {
        let (name, value) = set_cookie.split(';').next().unwrap().split_once('=').unwrap();
        self.0.retain(|(n, _)| n != name);
        self.0.push((name.into(), value.into()));
    }

    fn header(&self) -> String {
        self.0.iter().map(|(n, v)| format!("{n}={v}")).collect::<Vec<_>>().join("; ")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn who_has_not_crossed_keeps_its_backend_and_who_has_keeps_the_new_one(
        clients in prop::collection::hash_set(any::<u128>(), 1..20),
        mut steps in prop::collection::vec(0..=POINTS, 1..12),
        one_name in any::<bool>(),
    ) {
        steps.extend([0, POINTS]);
        steps.sort_unstable();
        let pools = [pool("blue", "LB"), pool("green", if one_name { "LB" } else { "LB_GREEN" })];
        let mut drawn = 0;
        for client in clients {
            let client = SessionId::from_random(client);
            let mut jar = Jar::default();
            let mut was: Option<(usize, SessionId, BackendId)> = None;
            for (n, &share) in steps.iter().enumerate() {
                let at = Moment { now: Nanos::from_secs(n as u64), unix_s: 1_800_000_000 + n as u32 };
                let side = usize::from(point(client, "checkout") < share);
                let header = jar.header();
                let headers = [("cookie", &*header)];
                let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
                let resolved = pools[side].resolve(&request, || { drawn += 1; SessionId::from_random(drawn) }, at);
                let session = resolved.session.unwrap();
                match &was {
                    Some((before, id, backend)) if *before == side => {
                        prop_assert_eq!(&resolved.affinity, &Affinity::Backend(backend.clone()));
                        prop_assert_eq!(session, *id);
                    }
                    crossed => {
                        prop_assert_eq!(&resolved.affinity, &Affinity::None);
                        prop_assert!(crossed.is_none() || side == 1, "nobody moves back");
                        // Under one name the other pool's cookie is seen, and is foreign.
                        prop_assert_eq!(resolved.ignored, (crossed.is_some() && one_name).then_some(Ignored::Foreign));
                        let backend = pools[side].assign(session, &format!("{}-{drawn}", pools[side].pool()).into(), at);
                        jar.set(&pools[side].set_cookie(session, at, true).unwrap());
                        was = Some((side, session, backend));
                    }
                }
            }
            prop_assert_eq!(was.map(|(side, ..)| side), Some(1), "100 % are all");
        }
    }
}
