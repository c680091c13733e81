//! Scaling with drivers that do what the test says: no processes, and the runtime's time is skipped.

use lb_autoscale::{AutoScale, Driven, Driver, DriverError, DriverFuture, Metric, Order, Stage};
use lb_balancer::admission::queue::QueueSettings;
use lb_balancer::discover::DiscoverFuture;
use lb_balancer::{Discover, InstanceTemplate, LoadBalancer, ScaleSettings, SelectOptions};
use lb_core::PoolSettings;
use lb_types::{Backend, BackendId, Clock, LoadReport, Nanos, Outcome, RequestInfo};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Takes orders, refuses the first few, and has instances if it keeps a list.
struct Fake {
    orders: Mutex<Vec<u32>>,
    refuses: usize,
    instances: Option<Mutex<Vec<Driven>>>,
    is_shut: Mutex<bool>,
    /// How its instances begin.
    stage: Stage,
}

impl Fake {
    fn new(refuses: usize, has_list: bool) -> Arc<Self> {
        let instances = has_list.then(Mutex::default);
        let is_shut = Mutex::new(false);
        Arc::new(Self { orders: Mutex::default(), refuses, instances, is_shut, stage: Stage::Ready })
    }

    /// Its instances start until the test says otherwise.
    fn starting() -> Arc<Self> {
        let instances = Some(Mutex::default());
        let is_shut = Mutex::new(false);
        Arc::new(Self { orders: Mutex::default(), refuses: 0, instances, is_shut, stage: Stage::Starting })
    }

    fn orders(&self) -> Vec<u32> {
        self.orders.lock().unwrap().clone()
    }

    fn carry_out(&self, order: &Order) -> Result<(), DriverError> {
        let mut orders = self.orders.lock().unwrap();
        orders.push(order.desired);
        if orders.len() <= self.refuses {
            return Err(DriverError::Failed { tries: 1, reason: "no".to_owned() });
        }
        let Some(instances) = &self.instances else { return Ok(()) };
        let mut instances = instances.lock().unwrap();
        instances.retain(|i| !order.going.contains(&i.id));
        while instances.len() < order.desired as usize {
            let n = u16::try_from(instances.len() + 1).unwrap();
            let address = SocketAddr::from(([127, 0, 0, 1], 9000 + n));
            instances.push(Driven::new(format!("i-{n}"), self.stage, address));
        }
        Ok(())
    }
}

impl Driver for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn scale(&self, order: Order) -> DriverFuture<'_> {
        Box::pin(async move { self.carry_out(&order) })
    }

    fn instances(&self) -> Option<Vec<Driven>> {
        self.instances.as_ref().map(|all| all.lock().unwrap().clone())
    }

    fn shutdown(&self) -> DriverFuture<'_> {
        *self.is_shut.lock().unwrap() = true;
        Box::pin(async { Ok(()) })
    }
}

fn fixed() -> Backend {
    Backend::new("fixed", "http://127.0.0.1:1".parse().unwrap())
}

fn ids(lb: &LoadBalancer) -> Vec<BackendId> {
    lb.all_backends().iter().map(|b| b.id.clone()).collect()
}

async fn within(limit: Duration, what: &str, holds: impl Fn() -> bool) {
    let looking = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(limit, looking).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

#[tokio::test(start_paused = true)]
async fn an_order_that_fails_is_given_again_and_one_that_is_agreed_on_is_not() {
    let driver = Fake::new(3, false);
    let settings = ScaleSettings::new(AutoScale::new());
    let lb = LoadBalancer::builder().backend(fixed());
    let lb = lb.auto_scaler(settings, driver.clone(), InstanceTemplate::default()).build().unwrap();
    let running = lb.start().unwrap();
    within(Duration::from_secs(60), "it agrees", || driver.orders().len() == 4).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(driver.orders(), [2, 2, 2, 2]);
    let status = lb.autoscale_status().unwrap();
    assert_eq!((status.desired, status.current, status.starting, status.driver_errors), (2, 2, 2, 3));
    assert!(status.instances.is_none());
    running.shutdown().await;
    assert!(*driver.is_shut.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn ready_instances_are_backends_beside_those_that_were_there() {
    let driver = Fake::new(0, true);
    let settings = ScaleSettings::new(AutoScale::new().instances(2, 4));
    let lb = LoadBalancer::builder().backend(fixed());
    let lb = lb.auto_scaler(settings, driver.clone(), InstanceTemplate::default()).build().unwrap();
    let running = lb.start().unwrap();
    within(Duration::from_secs(10), "two are backends", || ids(&lb).len() == 3).await;
    assert_eq!(ids(&lb), ["fixed", "i-1", "i-2"].map(BackendId::from));
    // One crashes: it is out at once, and back at its new place.
    let stage = |stage, port| {
        let mut all = driver.instances.as_ref().unwrap().lock().unwrap();
        all[0].stage = stage;
        all[0].address.set_port(port);
    };
    stage(Stage::Waiting, 9001);
    within(Duration::from_secs(10), "it is out", || ids(&lb).len() == 2).await;
    stage(Stage::Ready, 9999);
    within(Duration::from_secs(10), "it is back", || ids(&lb).len() == 3).await;
    assert_eq!(lb.get_backend(&"i-1".into()).unwrap().url.to_string(), "http://127.0.0.1:9999");
    running.shutdown().await;
}

/// CPU is what the program says, else what the instance reports; nobody else's algorithm is asked to keep reports.
#[tokio::test]
async fn cpu_comes_from_the_program_or_from_load_reports() {
    let driver = Fake::new(0, true);
    let supplied = |id: &BackendId| (*id == "i-1").then_some(90.0);
    let settings = ScaleSettings::new(AutoScale::new().instances(3, 4)).cpu_from(supplied);
    let lb = LoadBalancer::builder().auto_scaler(settings, driver.clone(), InstanceTemplate::default());
    let lb = lb.build().unwrap();
    let running = lb.start().unwrap();
    let cpu = || lb.autoscale_status().unwrap().decision.unwrap().inputs.metrics.cpu;
    within(Duration::from_secs(10), "three are backends", || ids(&lb).len() == 3).await;
    for id in ["i-1", "i-2"] {
        let state = lb.pool().snapshot_full().get(&id.into()).unwrap().state().clone();
        assert!(state.wants_reports());
        let report =
            LoadReport { application_utilization: 0.5, cpu_utilization: 0.1, ..LoadReport::default() };
        state.report(&report, lb.pool().now());
    }
    within(Duration::from_secs(10), "it is known", || cpu().known == 2).await;
    assert_eq!((cpu().sum_percent.round(), cpu().unknown), (140.0, 1));
    let m = lb.metrics();
    assert_eq!(
        (m.cpu.map(f64::round), m.cpu_known, m.queued, m.queue_delay),
        (Some(70.0), Some(2), None, None)
    );
    assert!(m.requests_per_second.is_some());
    running.shutdown().await;
    let settings = ScaleSettings::new(AutoScale::new().metric(Metric::InFlight));
    let lb = LoadBalancer::builder().backend(fixed());
    let lb = lb.auto_scaler(settings, Fake::new(0, true), InstanceTemplate::default()).build().unwrap();
    assert!(!lb.pool().settings().load_reports);
}

#[tokio::test(start_paused = true)]
async fn in_a_dry_run_nothing_is_ordered() {
    let driver = Fake::new(0, true);
    let settings = ScaleSettings::new(AutoScale::new().dry_run(true));
    let lb = LoadBalancer::builder().backend(fixed());
    let lb = lb.auto_scaler(settings, driver.clone(), InstanceTemplate::default()).build().unwrap();
    let running = lb.start().unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(driver.orders(), Vec::<u32>::new());
    let events = lb.autoscale_status().unwrap().events;
    assert_eq!(events.iter().filter(|e| e.kind == "scale-up").count(), 1, "told once: {events:?}");
    assert!(lb.set_scaling_dry_run(false));
    within(Duration::from_secs(10), "two are backends", || ids(&lb).len() == 3).await;
    running.shutdown().await;
}

/// The runtime's time, which is skipped.
struct TokioClock(tokio::time::Instant);

impl Clock for TokioClock {
    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

/// With the default queue, whose overload control refuses after a second elsewhere.
#[tokio::test(start_paused = true)]
async fn who_parks_is_not_refused_for_a_long_wait() {
    let driver = Fake::starting();
    let settings = ScaleSettings::new(AutoScale::new().instances(0, 1));
    let mut pool = PoolSettings::default();
    pool.max_connections = Some(1);
    let lb = LoadBalancer::builder().settings(pool).queuing(QueueSettings::new());
    let lb = lb.clock(Arc::new(TokioClock(tokio::time::Instant::now())));
    let lb = lb.auto_scaler(settings, driver.clone(), InstanceTemplate::default()).build().unwrap();
    let running = lb.start().unwrap();
    let parked = (0..8).map(|_| {
        let asked = lb.queue_request(&RequestInfo::default(), &SelectOptions::default());
        tokio::spawn(async move {
            let lease = asked.await.expect("it is not refused");
            tokio::time::sleep(Duration::from_secs(1)).await;
            lease.complete(Outcome::Success { ttfb: Nanos::from_millis(1) });
        })
    });
    let parked: Vec<_> = parked.collect();
    within(Duration::from_secs(10), "one is started", || driver.orders() == [1]).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let m = lb.metrics();
    assert!(m.queued == Some(8) && m.queue_delay.is_some_and(|ms| ms >= 20_000), "{m:?}");
    driver.instances.as_ref().unwrap().lock().unwrap()[0].stage = Stage::Ready;
    for one in parked {
        one.await.unwrap();
    }
    running.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_number_by_hand_is_a_decision_that_stands() {
    let driver = Fake::new(0, true);
    let settings = ScaleSettings::new(AutoScale::new().instances(1, 4));
    let lb = LoadBalancer::builder().auto_scaler(settings, driver.clone(), InstanceTemplate::default());
    let lb = lb.build().unwrap();
    let running = lb.start().unwrap();
    within(Duration::from_secs(10), "one is a backend", || ids(&lb).len() == 1).await;
    for outside in [0, 5] {
        let said = lb.scale_to(outside, "ops").unwrap_err().to_string();
        assert_eq!(said, format!("desired = {outside}: must be from 1 to 4"));
    }
    assert!(lb.scale_to(3, "ops").unwrap());
    within(Duration::from_secs(10), "three are backends", || ids(&lb).len() == 3).await;
    let events = lb.autoscale_status().unwrap().events;
    let texts: Vec<_> = events.iter().map(|e| (e.kind, e.text.as_str())).collect();
    assert!(texts.contains(&("by-hand", "3 instances ordered by ops")), "{texts:?}");
    assert!(texts.contains(&("scale-up", "up 2 of 1: by hand")), "{texts:?}");
    let decision = || lb.autoscale_status().unwrap().decision.unwrap();
    within(Duration::from_secs(10), "it cools down", || {
        let left = decision().inputs.cooldown_down_left;
        decision().current == 3 && left > Nanos::ZERO
    })
    .await;
    running.shutdown().await;
}

/// A source that gives the lists that it is sent.
struct Fed(tokio::sync::mpsc::UnboundedReceiver<Vec<Backend>>);

impl Discover for Fed {
    fn describe(&self) -> String {
        "fed".to_owned()
    }

    fn next(&mut self) -> DiscoverFuture<'_> {
        Box::pin(async {
            match self.0.recv().await {
                Some(list) => Ok(list),
                None => std::future::pending().await,
            }
        })
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_ordered_before_it_is_known_how_many_there_are_and_what_others_order_counts() {
    let driver = Fake::new(0, false);
    let (feed, fed) = tokio::sync::mpsc::unbounded_channel();
    let settings = ScaleSettings::new(AutoScale::new().instances(2, 10));
    let lb = LoadBalancer::builder().discover(Box::new(Fed(fed)) as Box<dyn Discover>);
    let lb = lb.auto_scaler(settings, driver.clone(), InstanceTemplate::default()).build().unwrap();
    let running = lb.start().unwrap();
    let found = |n: u16| {
        (1..=n).map(|i| Backend::new(format!("p-{i}"), format!("http://10.0.0.{i}").parse().unwrap()))
    };
    // A restart beside a workload of four, whose API is slow to answer: an order for the minimum would take two away.
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(driver.orders(), Vec::<u32>::new());
    feed.send(found(4).collect()).unwrap();
    let current = || lb.autoscale_status().unwrap().current;
    within(Duration::from_secs(10), "four are found", || current() == 4).await;
    assert!(lb.scale_to(5, "ops").unwrap());
    within(Duration::from_secs(10), "a fifth is ordered", || driver.orders() == [5] && current() == 5).await;
    feed.send(found(5).collect()).unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    // Somebody else makes them seven.
    feed.send(found(7).collect()).unwrap();
    within(Duration::from_secs(10), "seven are there", || current() == 7).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!((driver.orders(), current()), (vec![5], 7));
    running.shutdown().await;
}

#[test]
fn to_zero_needs_a_queue() {
    let settings = ScaleSettings::new(AutoScale::new().instances(0, 1));
    let lb = LoadBalancer::builder().auto_scaler(settings, Fake::new(0, true), InstanceTemplate::default());
    let said = lb.build().unwrap_err().to_string();
    assert!(said.contains("autoscale.min_instances = 0: needs queuing"), "{said}");
}
