//! Checks by a function of the backend.

use crate::support::{Told, backend};
use lb_health::{HealthCheck, HealthChecker, HealthReport};
use std::sync::Arc;
use std::time::Duration;

fn checker(told: &Arc<Told>) -> HealthChecker {
    let settings = HealthCheck::default().thresholds(1, 1).timeout(Duration::from_secs(5));
    HealthChecker::builder(settings, told.clone())
        .custom(|backend| async move {
            match backend.metadata.get("is").map(String::as_str) {
                Some("slow") => {
                    tokio::time::sleep(Duration::from_millis(40)).await;
                    HealthReport::healthy()
                }
                Some("hung") => std::future::pending().await,
                Some("buggy") => panic!("a bug in the function"),
                Some(other) => HealthReport::unhealthy(format!("it is {other}")).details("seen"),
                None => HealthReport::healthy().latency(Duration::from_millis(7)).details("fine"),
            }
        })
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_the_function_says_counts_as_any_check_does() {
    let told = Arc::new(Told::default());
    let checker = checker(&told);
    let set = ["slow", "hung", "buggy", "broken"].map(|is| backend(is).metadata("is", is));
    // A function goes where it likes: TLS is no matter to it.
    let https = lb_types::Backend::new("good", "https://127.0.0.1".parse().unwrap());
    checker.set_backends(set.into_iter().chain([https]).collect()).unwrap();
    let status = checker.check_all_backends().await;
    let errors: Vec<_> = status.iter().map(|(id, s)| (id.as_str(), s.last_error.as_deref())).collect();
    let wanted = [
        ("broken", Some("it is broken")),
        ("buggy", Some("the check panicked")),
        ("good", None),
        ("hung", Some("no result within 5s")),
        ("slow", None),
    ];
    assert_eq!(errors, wanted);
    assert_eq!(status["good"].average_latency, Some(7.0), "the latency that the function gives");
    assert!(status["slow"].average_latency.unwrap() >= 40.0, "the latency that is measured");
    assert_eq!(status["good"].details.as_deref(), Some("fine"));
    assert_eq!(status["broken"].details.as_deref(), Some("seen"));
    let mut told = told.take();
    told.sort();
    assert_eq!(told.iter().filter(|(_, healthy)| *healthy).count(), 2);
}
