//! Kubernetes: pods behind a service are backends, and the load sets a deployment's replicas. The API is kmock, which schedules nothing: the tests say with the
//! real `kubectl` which pods there are, and scripted backends stand for them.

use edge_lb_tests::{Setup, admin};
use lb_testkit::{Backend, Client, EdgeLb, KubernetesApi, Load, Reply, Step, eventually};
use serde_json::Value;
use std::collections::BTreeSet;
use std::time::Duration;

/// kmock and kubectl are Python and Go on a busy machine.
const LIMIT: Duration = Duration::from_secs(40);

const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nothing}]}
";

/// Answers with its id, after a while.
fn slow(id: &'static str) -> Backend {
    Backend::with(id, move |_| Reply::ok(id).after(Step::Pause(Duration::from_millis(50))))
}

/// A slice of the service `web` with one pod: this backend. Each has a port of its own, so each is a slice of its own.
fn slice(backend: &Backend) -> String {
    let (id, url) = (backend.id(), backend.url());
    let port = url.rsplit(':').next().expect("it has a port").trim_end_matches('/');
    format!(
        "apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: web-{id}
  namespace: shop
  labels: {{kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{{name: http, port: {port}, protocol: TCP}}]
endpoints:
- {{addresses: ['127.0.0.1'], conditions: {{ready: true, serving: true, terminating: false}}, targetRef: {{kind: Pod, name: {id}}}}}
"
    )
}

fn discovery(api: &KubernetesApi) -> String {
    format!(
        "discovery = {{ type = \"kubernetes\", service = \"web\", namespace = \"shop\", port = \"http\", timeout = \"5s\", api = {{ url = \"{}\" }} }}",
        api.url()
    )
}

/// Who answers a handful of requests.
fn who(lb: &EdgeLb) -> BTreeSet<String> {
    let answers = (0..6).filter_map(|_| Client::get(lb.address(), "/").ok());
    answers.filter(|r| r.status() == 200).map(|r| r.text()).collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

fn json(lb: &EdgeLb, path: &str) -> Value {
    let answer = admin(lb, "GET", path);
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("it is JSON")
}

fn events(lb: &EdgeLb, kind: &str) -> Vec<Value> {
    let status = json(lb, "/api/v1/autoscale/main");
    status["events"].as_array().unwrap().iter().filter(|e| e["kind"] == kind).cloned().collect()
}

fn replicas(api: &KubernetesApi) -> u32 {
    let text = api.kubectl(&["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"]);
    text.parse().expect("it is a number")
}

#[test]
fn requests_follow_the_pods_of_a_service() {
    let api = KubernetesApi::start();
    let [a, b] = ["a", "b"].map(Backend::start);
    api.apply(&slice(&a));
    let lb = Setup::default().admin().pool(&discovery(&api)).start();
    eventually(LIMIT, "the first pod is used", || who(&lb) == set(&["a"]));
    let load = Load::new(lb.address()).connections(2).requests_each(1_000_000).start();
    api.apply(&slice(&b));
    eventually(LIMIT, "so is the second", || who(&lb) == set(&["a", "b"]));
    api.kubectl(&["delete", "endpointslice", "web-a", "--wait=false"]);
    eventually(LIMIT, "one that is gone is not", || who(&lb) == set(&["b"]));
    load.stop();
    let report = load.join();
    report.assert_all_ok(report.status(200));
    let pool = json(&lb, "/api/v1/pools/main").to_string();
    assert!(pool.contains("kubernetes service shop/web"), "{pool}");
}

/// Two pods of which each has room for ten requests, and a deployment that is scaled to hold five.
fn scaled(api: &KubernetesApi, pods: [&Backend; 2]) -> EdgeLb {
    api.apply(DEPLOYMENT);
    pods.iter().for_each(|pod| api.apply(&slice(pod)));
    let scale = format!(
        "max_connections = 10\nqueuing = {{ overload = {{ enabled = false }} }}\nautoscale = {{ min_instances = 2, max_instances = 5, metric = \"in-flight\", \
         target = {{ value = 50, rise_window = \"1s\" }}, metrics_window = \"2s\", cooldown_period = \"1s\", known_percent = 40, \
         driver = {{ type = \"kubernetes\", kind = \"deployment\", name = \"web\", namespace = \"shop\", \
         retry = {{ tries = 2, first = \"10ms\" }}, api = {{ url = \"{}\" }} }} }}",
        api.url()
    );
    let lb = Setup::default().admin().pool(&discovery(api)).pool(&scale).start();
    eventually(LIMIT, "both pods are used", || who(&lb) == set(&["a", "b"]));
    lb
}

#[test]
fn load_sets_the_replicas_of_a_deployment() {
    let api = KubernetesApi::start();
    let [a, b] = ["a", "b"].map(slow);
    let lb = scaled(&api, [&a, &b]);
    assert_eq!(replicas(&api), 2, "there was nothing to do yet");
    // All of their room: twice the target.
    let load = Load::new(lb.address()).connections(20).requests_each(1_000_000).start();
    eventually(LIMIT, "more are ordered", || replicas(&api) > 2);
    load.stop();
    let report = load.join();
    report.assert_all_ok(report.status(200));
    eventually(LIMIT, "it is told", || {
        !events(&lb, "ordered").is_empty() && !events(&lb, "scale-up").is_empty()
    });
    assert!(events(&lb, "driver-error").is_empty());
    lb.stop().assert_no_panic();
}

#[test]
fn without_the_api_traffic_goes_on_and_the_failure_is_told() {
    let mut api = KubernetesApi::start();
    let [a, b] = ["a", "b"].map(slow);
    let lb = scaled(&api, [&a, &b]);
    api.kill();
    let load = Load::new(lb.address()).connections(20).requests_each(1_000_000).start();
    eventually(LIMIT, "the order's failure is told", || {
        events(&lb, "driver-error").iter().any(|e| e.to_string().contains("onnect"))
    });
    eventually(LIMIT, "the discovery says so, too", || {
        json(&lb, "/api/v1/pools/main")["discovery"].to_string().contains("shop/web: ")
    });
    load.stop();
    let report = load.join();
    report.assert_all_ok(report.status(200));
    assert_eq!(who(&lb), set(&["a", "b"]), "the pods that were found last serve on");
    lb.stop().assert_no_panic();
}
