//! What `build()` takes and refuses.

use crate::support::{backend, builder};
use lb_balancer::core::PoolError;
use lb_balancer::{BuildError, HealthCheck, LoadBalancer, PoolSettings, SelectOptions, StaticList};
use lb_types::RequestInfo;
use std::time::Duration;

#[test]
fn each_mistake_has_its_own_error_that_names_the_pool() {
    let mut settings = PoolSettings::default();
    settings.panic_threshold = 101;
    let hour = Duration::from_secs(3601);
    let cases = [
        (LoadBalancer::builder(), "pool \"p\" has no backends and no discovery that could find any"),
        (builder(&["a", "b", "a"]), "pool \"p\": backend id \"a\" is used twice"),
        (builder(&[]).backend(backend("a").weight(0)), "all 1 backends have weight 0"),
        (builder(&["a"]).settings(settings), "panic_threshold = 101"),
        (builder(&["a"]).selection_timeout(hour), "selection_timeout = 3601s: must be at most 3600s"),
        (
            builder(&["a"]).health_check(HealthCheck::tcp().interval(Duration::ZERO)),
            "health_check.interval = 0ns",
        ),
        (
            LoadBalancer::builder()
                .backend(lb_types::Backend::new("s", "unix:/a.sock".parse().unwrap()))
                .health_check(HealthCheck::default().port(81)),
            "backend \"s\": health_check.port = 81: a backend on a unix socket has no host",
        ),
    ];
    for (builder, wanted) in cases {
        let error = builder.name("p").build().unwrap_err().to_string();
        assert!(error.starts_with("pool \"p\"") && error.contains(wanted), "{error}");
    }
    let twice = builder(&["a", "a"]).build().unwrap_err();
    let wanted = PoolError::DuplicateId("a".into());
    assert_eq!(twice, BuildError::Pool { pool: "default".into(), error: wanted });
}

#[test]
fn discovery_alone_is_enough_and_build_needs_no_runtime() {
    let lb = LoadBalancer::builder().discover(StaticList::new(vec![backend("a")])).build().unwrap();
    assert!(lb.all_backends().is_empty() && !lb.is_usable());
    assert_eq!(lb.discovery_status()[0].source, "static list");
    let refused = lb.select_backend(&RequestInfo::default(), &SelectOptions::default());
    assert_eq!(refused.unwrap_err().to_string(), "the pool has no backends");
    assert_eq!(lb.start().unwrap_err().to_string(), "a balancer starts inside a tokio runtime only");
}

#[test]
fn seeded_balancers_repeat_themselves() {
    let draw = |seed| {
        let lb = builder(&["a", "b", "c", "d"])
            .seed(seed)
            .algorithm(lb_balancer::Algorithm::Random)
            .build()
            .unwrap();
        (0..32).map(|_| crate::support::pick(&lb).backend().id().to_string()).collect::<String>()
    };
    assert_eq!(draw(7), draw(7));
    assert_ne!(draw(7), draw(8));
    assert!(["a", "b", "c", "d"].iter().all(|id| draw(7).contains(id)));
}
