//! The Kubernetes driver against a stateful mock of the API, looked at and changed with the real kubectl.

use lb_autoscale::driver::kubernetes::{Access, Cluster, KubernetesDriver, KubernetesSettings, Workload};
use lb_autoscale::driver::retry::Retry;
use lb_autoscale::{Driver, DriverError, EventSink, Order};
use lb_testkit::KubernetesApi;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MS: fn(u64) -> Duration = Duration::from_millis;
const REPLICAS: &str = "jsonpath={.spec.replicas}";

fn workload(kind: &str, name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1
kind: {kind}
metadata: {{name: {name}, namespace: shop}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: {name}, image: nothing}}]}}
"
    )
}

fn driver(url: String, name: &str, retry: Retry) -> (KubernetesDriver, Arc<Mutex<Vec<String>>>) {
    driver_of(KubernetesSettings::new(name).cluster(Cluster::at(url)).retry(retry))
}

fn driver_of(settings: KubernetesSettings) -> (KubernetesDriver, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(vec![]));
    let log = said.clone();
    let events: EventSink = Arc::new(move |event| log.lock().unwrap().push(event.to_string()));
    (KubernetesDriver::new(settings.namespace("shop"), Some(events)).unwrap(), said)
}

async fn replicas(driver: &KubernetesDriver) -> (u32, u32) {
    let r = driver.replicas().await.unwrap();
    (r.desired, r.current)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_is_scaled_and_kubectl_sees_it() {
    let api = KubernetesApi::start();
    api.apply(&workload("Deployment", "web", 2));
    let (driver, said) = driver(api.url(), "web", Retry::default());
    assert_eq!(replicas(&driver).await, (2, 2));
    driver.scale(Order::new(5, 2)).await.unwrap();
    assert_eq!(api.kubectl(&["get", "deployment", "web", "-o", REPLICAS]), "5");
    assert_eq!(
        api.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.kind}"]),
        "Deployment",
        "and nothing else of it"
    );
    assert_eq!(*said.lock().unwrap(), ["order: 5 instances ordered, at try 1"]);
    // By hand.
    api.kubectl(&["scale", "deployment/web", "--replicas=3"]);
    assert_eq!(replicas(&driver).await, (3, 3));
    driver.scale(Order::new(0, 3)).await.unwrap();
    assert_eq!(replicas(&driver).await, (0, 0));
    assert_eq!(driver.instances(), None);
    driver.shutdown().await.unwrap();
    assert_eq!(driver.scale(Order::new(1, 0)).await, Err(DriverError::Closed));
    assert_eq!(api.kubectl(&["get", "deployment", "web", "-o", REPLICAS]), "0", "who closes changes nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stateful_set_is_scaled_by_way_of_a_kubeconfig() {
    let api = KubernetesApi::start();
    api.apply(&workload("StatefulSet", "db", 1));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let config = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": "me" } }],
        "clusters": [{ "name": "test", "cluster": { "server": api.url() } }],
        "users": [{ "name": "me", "user": { "token": "secret" } }],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    let cluster = Cluster::new(Access::Kubeconfig { path: Some(path), context: None });
    let settings = KubernetesSettings::new("db").workload(Workload::StatefulSet).cluster(cluster);
    let (driver, _) = driver_of(settings);
    driver.scale(Order::new(3, 1)).await.unwrap();
    assert_eq!(api.kubectl(&["get", "statefulset", "db", "-o", REPLICAS]), "3");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_an_error_at_once_and_an_api_that_is_away_is_tried_again() {
    let mut api = KubernetesApi::start();
    let (nobody, said) = driver(api.url(), "nobody", Retry::default());
    let error = nobody.scale(Order::new(5, 2)).await.unwrap_err();
    let DriverError::Failed { tries: 1, reason } = &error else { panic!("{error}") };
    assert!(reason.starts_with("the API answered 404: "), "{reason}");
    assert!(said.lock().unwrap().is_empty());
    assert!(nobody.replicas().await.is_err());

    api.kill();
    let (away, said) = driver(api.url(), "web", Retry::new(3, MS(1), MS(2)));
    let error = away.scale(Order::new(5, 2)).await.unwrap_err();
    assert!(matches!(error, DriverError::Failed { tries: 3, .. }), "{error}");
    assert_eq!(said.lock().unwrap().len(), 2, "{:?}", said.lock().unwrap());
}

/// Waits for the first try to fail.
async fn first_failed(said: &Mutex<Vec<String>>) {
    let failed = async {
        while said.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(MS(20_000), failed).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_order_waits_for_an_api_that_says_nothing_and_the_latest_order_counts() {
    let api = KubernetesApi::start();
    api.apply(&workload("Deployment", "web", 2));
    let cluster = Cluster::at(api.url()).timeout(MS(100));
    let (driver, said) =
        driver_of(KubernetesSettings::new("web").cluster(cluster).retry(Retry::new(100, MS(50), MS(200))));
    let driver = Arc::new(driver);
    let order = |desired| {
        let driver = driver.clone();
        tokio::spawn(async move { driver.scale(Order::new(desired, 2)).await })
    };
    api.signal("STOP");
    let first = order(4);
    first_failed(&said).await;
    assert!(said.lock().unwrap()[0].contains("no answer within 100ms"), "{:?}", said.lock().unwrap());
    let second = order(6);
    assert_eq!(first.await.unwrap(), Err(DriverError::Superseded));
    api.signal("CONT");
    second.await.unwrap().unwrap();
    assert_eq!(api.kubectl(&["get", "deployment", "web", "-o", REPLICAS]), "6");
}

#[tokio::test]
async fn an_order_beyond_int32_is_refused() {
    let (driver, _) = driver("http://127.0.0.1:1".to_owned(), "web", Retry::default());
    let error = driver.scale(Order::new(u32::MAX, 1)).await.unwrap_err();
    assert_eq!(error.to_string(), "4294967295 instances are wanted, and at most 2147483647 are made");
}
