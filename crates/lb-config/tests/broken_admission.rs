//! Wrong queues, load shedding, adaptive concurrency and rate limits: what is said, and where.

mod common;

use common::check;
use lb_config::Format::Toml;

const POOL: &str = "[[listeners]]\naddress = \"127.0.0.1:8080\"\n[pools.web]\nbackends = [{ url = \"http://127.0.0.1:9001\" }]\n";

fn pool(keys: &str, said: &str) {
    check(Toml, &format!("{POOL}{keys}\n"), said);
}

#[test]
fn queues() {
    pool(
        "queuing = { max_queue_size = 0, queue_timeout = \"2h\", priority_header = \"X Priority\" }",
        "f:5:30: error: `max_queue_size` must be a whole number from 1 to 1000000, not 0
f:5:49: error: `queue_timeout` must be from 1ms to 1h
f:5:73: error: \"X Priority\" is no header name",
    );
    pool(
        "queuing = { priority_levels = [\"a\", \"A\"] }",
        "f:5:31: error: `priority_levels` has \"A\" twice",
    );
    pool(
        "queuing = { priority_levels = [\"a\", \"b\"], priority_weights = [1] }",
        "f:5:62: error: `priority_weights` must be 2 whole numbers from 1 to 1000, one for each level",
    );
    pool(
        "queuing = { priority_queue = false, priority_header = \"X-P\" }",
        "f:5:37: error: `priority_header` does nothing with priority_queue = false",
    );
}

#[test]
fn load_shedding() {
    pool(
        "load_shedding = { cpu_threshold = 0, memory_threshold = \"none\", queue_threshold = 5 }",
        "f:5:35: error: `cpu_threshold` must be a number from 1 to 100, not 0
f:5:65: error: `queue_threshold` does nothing without `queuing`
  help: add queuing = {}",
    );
    pool(
        "load_shedding = { shed_response = { status = 100, headers = { Content-Length = \"3\" } } }",
        "f:5:46: error: `status` must be a whole number from 200 to 599, not 100
f:5:63: error: header `Content-Length` is set by the proxy itself",
    );
}

#[test]
fn adaptive_concurrency() {
    pool("adaptive_concurrency = { min = 30, max = 20 }", "f:5:1: error: `adaptive_concurrency` needs `queuing`: while it learns, requests would be refused that only have to wait
  help: add queuing = {}
f:5:32: error: `min` = 30: must be from 1 to 20");
}

#[test]
fn rate_limits() {
    pool(
        "rate_limit = { window = \"0s\", key = \"route\", storage = \"nowhere\" }",
        "f:5:1: error: missing key `limit`
  help: it takes whole number, 1–1000000000
f:5:25: error: `window` must be from 1ms to 1d
f:5:37: error: `key` = \"route\" is for the limit of a route
  help: use \"service\": one limit for all of the pool
f:5:56: error: `storage`: there is no store \"nowhere\" under `stores`
  help: add [stores.nowhere] with type = \"redis\", or use \"memory\"",
    );
    pool(
        "rate_limit = { limit = 1000000000, window = \"1s\", key = \"service\", ipv6_prefix = 48, on_store_failure = \"shut\" }",
        "f:5:24: error: `limit` = 1000000000: must be 10000000 a second at most
f:5:68: error: `ipv6_prefix` does nothing without key = \"client-ip\"
f:5:86: error: `on_store_failure` does nothing without `storage`
  help: add storage = \"NAME\", a store under `stores`
f:5:105: error: `on_store_failure` must be one of local, open, closed, not \"shut\"",
    );
}
