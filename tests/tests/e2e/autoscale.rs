//! Auto-scaling: instances are processes (the binary itself, in front of one scripted backend), which come and go with the load.

use edge_lb_tests::{SOON, Setup, admin, metric};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Load, Reply, Step, eventually};
use serde_json::Value;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Windows as short as they may be; half of a window has to be known.
const QUICK: &str =
    "metrics_window = \"2s\", cooldown_period = \"1s\", known_percent = 40, drain_grace = \"5s\"";

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A driver whose instances stand in front of `origin`. `mark` is in their environment.
fn driver(origin: &Backend, mark: &str, more: &str) -> String {
    let (program, url) = (EdgeLb::program().display().to_string(), origin.url());
    format!(
        "driver = {{ type = \"process\", command = [{program:?}, \"run\", \"--listen\", \"{{host}}:{{port}}\", \"--to\", \"{url}\"], \
         environment = {{ E2E = \"{mark}\" }}, probe_interval = \"50ms\", stop_grace = \"5s\"{more} }}"
    )
}

/// Answers after a while.
fn slow(id: &str, time: Duration) -> Backend {
    Backend::with(id, move |_| Reply::ok("done").after(Step::Pause(time)))
}

fn status(lb: &EdgeLb) -> Value {
    let answer = admin(lb, "GET", "/api/v1/autoscale/main");
    assert_eq!(answer.status(), 200, "{}", answer.text());
    serde_json::from_str(&answer.text()).expect("it is JSON")
}

fn ready(lb: &EdgeLb) -> usize {
    let status = status(lb);
    status["instances"].as_array().unwrap().iter().filter(|i| i["stage"] == "ready").count()
}

fn kinds(lb: &EdgeLb) -> Vec<String> {
    status(lb)["events"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap().to_owned()).collect()
}

fn happened(lb: &EdgeLb, kind: &str) -> usize {
    kinds(lb).iter().filter(|k| *k == kind).count()
}

/// The processes that carry the mark and are instances.
fn alive(mark: &str) -> usize {
    let wanted = format!("E2E={mark}");
    let carries = |pid: &Path| {
        let environment = std::fs::read(pid.join("environ")).unwrap_or_default();
        let mut variables = environment.split(|b| *b == 0);
        let is_ours = variables.clone().any(|v| v == wanted.as_bytes());
        is_ours && variables.any(|v| v.starts_with(b"EDGE_LB_INSTANCE="))
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter(|entry| carries(&entry.path())).count()
}

fn kill(pid: u64) {
    let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status().unwrap();
    assert!(killed.success());
}

fn wave(mark: &str, origin: &Backend) -> EdgeLb {
    let scale = format!(
        "autoscale = {{ min_instances = 2, max_instances = 6, metric = \"in-flight\", target = {{ value = 50, rise_window = \"1s\" }}, {QUICK}, {} }}",
        driver(origin, mark, "")
    );
    let pool = format!("algorithm = \"least-connections\"\nmax_connections = 4\nqueuing = {{}}\n{scale}");
    Setup::default().pool(&pool).admin().start()
}

#[test]
fn a_load_wave_takes_the_pool_up_and_down_and_loses_nothing() {
    let (origin, mark) = (slow("origin", ms(100)), "wave");
    let lb = wave(mark, &origin);
    eventually(SOON, "two are ready", || ready(&lb) == 2);
    let load = Load::new(lb.address()).connections(20).requests_each(100_000).start();
    eventually(ms(30_000), "six are ready", || ready(&lb) == 6);
    // One is killed under load: another takes its place.
    let pid = status(&lb)["instances"][0]["pid"].as_u64().unwrap();
    kill(pid);
    eventually(SOON, "it is told of", || happened(&lb, "crashed") == 1);
    eventually(SOON, "six are ready again", || ready(&lb) == 6);
    load.stop();
    let report = load.join();
    report.assert_all_ok(report.status(200));
    // Six may be there within half a second: a few rounds of the twenty clients.
    assert!(report.status(200) > 20, "{report:?}");
    let rest = Load::new(lb.address()).connections(1).requests_each(100_000).every(ms(100)).start();
    eventually(ms(30_000), "two are left", || ready(&lb) == 2 && alive(mark) == 2);
    rest.stop();
    let report = rest.join();
    report.assert_all_ok(report.status(200));
    assert_eq!(metric(&lb, "edge_lb_autoscale_current_instances", &["pool=\"main\""]), 2.0);
    assert!(metric(&lb, "edge_lb_autoscale_decisions_total", &["direction=\"up\""]) >= 1.0);
    assert!(metric(&lb, "edge_lb_autoscale_decisions_total", &["direction=\"down\""]) >= 1.0);
    let finished = lb.stop();
    finished.assert_no_panic();
    assert_eq!(alive(mark), 0, "SIGTERM leaves none");
}

#[test]
fn scaled_to_zero_the_first_requests_park_and_bring_one_instance() {
    let (origin, mark) = (Backend::start("origin"), "zero");
    let scale = format!(
        "queuing = {{}}\nmax_connections = 100\nautoscale = {{ min_instances = 0, metric = \"in-flight\", {QUICK}, {} }}",
        driver(&origin, mark, "")
    );
    let lb = Setup::default().pool(&scale).admin().start();
    assert_eq!(admin(&lb, "GET", "/readyz").status(), 200, "at zero it serves");
    assert_eq!(alive(mark), 0);
    Load::new(lb.address()).connections(8).requests_each(1).run_to_end().assert_all_ok(8);
    assert_eq!(happened(&lb, "starting"), 1, "{:?}", kinds(&lb));
    eventually(ms(30_000), "it goes when nothing comes", || alive(mark) == 0);
    eventually(SOON, "and is told of", || happened(&lb, "stopped") == 1);
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 200, "and comes back");
}

#[test]
fn a_parked_request_waits_no_longer_than_the_queue_says() {
    let pool = "queuing = { queue_timeout = \"500ms\" }\nautoscale = { min_instances = 0, driver = { type = \"process\", \
                command = [\"sleep\", \"60\"], environment = { E2E = \"never\" } } }";
    let lb = Setup::default().pool(pool).admin().start();
    let answer = Client::get(lb.address(), "/").unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (503, "Service busy, please try again later"));
    assert_eq!(happened(&lb, "starting"), 1);
    lb.stop().assert_no_panic();
    assert_eq!(alive("never"), 0);
}

#[test]
fn a_command_that_fails_is_given_up_and_harms_nobody() {
    let fixed = Backend::start("fixed");
    let pool = "autoscale = { min_instances = 1, driver = { type = \"process\", command = [\"sh\", \"-c\", \"echo no; exit 3\"], \
                retry = { tries = 2, first = \"10ms\" }, rest = \"1m\" } }";
    let lb = Setup::new([&fixed]).pool(pool).admin().start();
    eventually(SOON, "it is given up", || happened(&lb, "gave-up") >= 1);
    eventually(SOON, "and the driver rests", || {
        metric(&lb, "edge_lb_autoscale_driver_errors_total", &[]) >= 1.0
    });
    let events = status(&lb)["events"].to_string();
    assert!(events.contains("exit status: 3") && events.contains("no new one for another"), "{events}");
    assert!(happened(&lb, "crashed") <= 2, "{events}");
    Load::new(lb.address()).connections(4).requests_each(25).run_to_end().assert_all_ok(100);
}

#[test]
fn an_instance_that_stays_ill_is_replaced() {
    let origin =
        Backend::with("origin", |r| Reply::status(if r.head.target == "/health" { 500 } else { 200 }));
    let more = format!(
        "health_check = {{ path = \"/health\", interval = \"200ms\", unhealthy_threshold = 1 }}\nautoscale = {{ min_instances = 1, \
         replace_unhealthy_after = \"1s\", drain_grace = \"0s\", {} }}",
        driver(&origin, "ill", "")
    );
    let lb = Setup::default().pool(&more).admin().start();
    eventually(SOON, "it is replaced", || happened(&lb, "replaced") >= 1);
    eventually(SOON, "by another", || status(&lb)["instances"].to_string().contains("main-2"));
    lb.stop().assert_no_panic();
    assert_eq!(alive("ill"), 0);
}

#[test]
fn a_killed_proxy_leaves_nobody_or_finds_them_again() {
    let folder = folder_of_its_own();
    let origin = Backend::start("origin");
    for (orphans, mark) in [("die", "orphans-die"), ("stay", "orphans-stay")] {
        let state = folder.path().join(format!("{orphans}.json"));
        let more = format!(", state_file = {state:?}, orphans = \"{orphans}\"");
        let scale = format!("autoscale = {{ min_instances = 2, {} }}", driver(&origin, mark, &more));
        let setup = Setup::default().pool(&scale).admin();
        let lb = setup.start();
        eventually(SOON, "two are ready", || ready(&lb) == 2);
        lb.crash();
        if orphans == "die" {
            eventually(SOON, "the kernel ended them", || alive(mark) == 0);
        }
        let lb = setup.start();
        eventually(SOON, "two are ready again", || ready(&lb) == 2 && alive(mark) == 2);
        assert_eq!(happened(&lb, "adopted"), if orphans == "stay" { 2 } else { 0 });
        // A ready instance takes traffic a moment later: without a queue nobody waits for that.
        eventually(SOON, "the pool serves", || admin(&lb, "GET", "/readyz").status() == 200);
        assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 200);
        lb.stop().assert_no_panic();
        assert_eq!(alive(mark), 0, "{orphans}");
    }
}

#[test]
fn a_webhook_that_does_not_answer_is_told_of_and_harms_nobody() {
    let fixed = Backend::start("fixed");
    let deaf = Backend::with("deaf", |_| Reply::ok("late").after(Step::Pause(Duration::from_secs(30))));
    let folder = folder_of_its_own();
    let found = folder.path().join("found.json");
    std::fs::write(&found, "{\"backends\": []}").unwrap();
    let pool = format!(
        "discovery = {{ type = \"file\", path = {found:?} }}\nautoscale = {{ driver = {{ type = \"webhook\", url = \"{}/\", timeout = \"100ms\", \
         retry = {{ tries = 2, first = \"10ms\" }} }} }}",
        deaf.url()
    );
    let lb = Setup::new([&fixed]).pool(&pool).admin().start();
    eventually(SOON, "it fails", || metric(&lb, "edge_lb_autoscale_driver_errors_total", &[]) >= 1.0);
    let status = status(&lb);
    assert!(status["events"].to_string().contains("no answer within 100ms"), "{status}");
    assert!(status["instances"].is_null());
    Load::new(lb.address()).connections(4).requests_each(25).run_to_end().assert_all_ok(100);
    // Nothing is done in a dry run.
    let mut client = Client::connect(lb.admin()).unwrap();
    client.set_host(&lb.admin().to_string());
    let answer = client.request("POST", "/api/v1/autoscale/main", &[], b"{\"dry_run\": true}").unwrap();
    assert!(answer.status() == 200 && answer.text().contains("\"dry_run\": true"), "{}", answer.text());
    // By hand: within the bounds, and by somebody.
    let mut ask = |body: &str| {
        let answer = client.request("POST", "/api/v1/autoscale/main", &[], body.as_bytes()).unwrap();
        (answer.status(), answer.text())
    };
    let (status, said) = ask("{\"desired\": 99}");
    assert!(status == 400 && said.contains("desired = 99: must be from 2 to 10"), "{said}");
    for bad in ["{}", "{\"by\": \"ops\", \"dry_run\": true}", "{\"desired\": 3, \"by\": \"\"}"] {
        assert_eq!(ask(bad).0, 400, "{bad}");
    }
    assert_eq!(ask("{\"desired\": 3, \"by\": \"ops\"}").0, 200);
    eventually(SOON, "it is told of", || {
        let events = self::status(&lb)["events"].to_string();
        events.contains("3 instances ordered by ops") && events.contains(": by hand (dry run)")
    });
}

#[test]
fn the_demo_goes_up_and_down_and_loses_nothing() {
    let said = EdgeLb::command(&["demo", "--autoscale", "--seconds", "20"], ms(60_000));
    assert_eq!(said.code, Some(0), "{}{}", said.stdout, said.stderr);
    for words in [
        "somebody kills elastic-",
        "crashed: signal: 9",
        "2 → 6 → 2 instances",
        "; 0 left behind",
        " 0 lost;",
    ] {
        assert!(said.stdout.contains(words), "{words}: {}", said.stdout);
    }
}

fn folder_of_its_own() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder can be made")
}

#[test]
fn while_one_starts_slowly_the_others_serve_and_nobody_else_is_started() {
    let (origin, mark) = (slow("origin", ms(100)), "slow-start");
    // All but the first take two seconds to listen.
    let (program, url) = (EdgeLb::program().display().to_string(), origin.url());
    let script = "[ \"$NAME\" = main-1 ] || sleep 2; exec \"$0\" run --listen \"$1\" --to \"$2\"";
    // Three at once on instances of four that shall be half full: two, and never a third.
    let pool = format!(
        "algorithm = \"least-connections\"\nmax_connections = 4\nqueuing = {{}}\nautoscale = {{ min_instances = 1, max_instances = 6, \
         metric = \"in-flight\", target = {{ value = 50, rise_window = \"1s\" }}, {QUICK}, driver = {{ type = \"process\", \
         command = [\"sh\", \"-c\", {script:?}, {program:?}, \"{{host}}:{{port}}\", \"{url}\"], \
         environment = {{ E2E = \"{mark}\", NAME = \"{{id}}\" }}, probe_interval = \"50ms\", stop_grace = \"5s\" }} }}"
    );
    let lb = Setup::default().pool(&pool).admin().start();
    eventually(SOON, "the first is ready", || ready(&lb) == 1);
    let load = Load::new(lb.address()).connections(3).requests_each(100_000).start();
    eventually(SOON, "a second one starts", || happened(&lb, "starting") == 2);
    let before = origin.request_count();
    eventually(SOON, "the first serves meanwhile", || origin.request_count() > before + 10);
    assert_eq!(ready(&lb), 1);
    eventually(SOON, "the second is ready", || ready(&lb) == 2);
    let before = origin.request_count();
    eventually(SOON, "both serve", || origin.request_count() > before + 30);
    load.stop();
    let report = load.join();
    report.assert_all_ok(report.status(200));
    assert_eq!(happened(&lb, "starting"), 2, "{:?}", kinds(&lb));
    lb.stop().assert_no_panic();
    assert_eq!(alive(mark), 0);
}

/// Two ports side by side that are free, below those that the system gives out by itself; one of them is held.
fn two_ports() -> (std::net::TcpListener, u16) {
    let bind = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).ok();
    let start = u16::try_from(std::process::id() % 5_000).expect("it is less") * 2 + 20_000;
    let both = |port: u16| bind(port).filter(|_| bind(port + 1).is_some()).map(|held| (held, port));
    (start..=32_000).step_by(2).find_map(both).expect("two ports are free")
}

#[test]
fn a_port_that_is_taken_is_passed_over_and_told_of_when_there_is_no_other() {
    let (origin, mark) = (Backend::start("origin"), "ports");
    let (held, port) = two_ports();
    let more = format!(
        ", ports = [{port}, {}], retry = {{ tries = 100, first = \"50ms\", longest = \"100ms\" }}",
        port + 1
    );
    let pool = format!("autoscale = {{ min_instances = 2, {} }}", driver(&origin, mark, &more));
    let lb = Setup::default().pool(&pool).admin().start();
    eventually(SOON, "one is ready", || ready(&lb) == 1);
    let events = || status(&lb)["events"].to_string();
    let none = format!("no port from {port} to {} is free at 127.0.0.1", port + 1);
    eventually(SOON, "the other has no port", || events().contains(&none));
    let at = |port: u16| format!("starting at 127.0.0.1:{port},");
    assert!(events().contains(&at(port + 1)) && !events().contains(&at(port)), "{}", events());
    eventually(SOON, "the pool serves", || admin(&lb, "GET", "/readyz").status() == 200);
    Load::new(lb.address()).connections(2).requests_each(10).run_to_end().assert_all_ok(20);
    drop(held);
    eventually(SOON, "the other has the port that is free now", || ready(&lb) == 2);
    assert!(events().contains(&at(port)), "{}", events());
    lb.stop().assert_no_panic();
    assert_eq!(alive(mark), 0);
}

#[test]
fn cpu_comes_from_load_reports_which_clients_do_not_see() {
    let agrees = Backend::start("agrees");
    let busy = Backend::with("busy", |_| {
        let answer = Answer::new(200).body("done");
        Reply::answer(answer.header("endpoint-load-metrics", "TEXT cpu_utilization=0.4, rps_fractional=10"))
    });
    let folder = folder_of_its_own();
    let found = folder.path().join("found.json");
    std::fs::write(&found, format!("{{\"backends\": [{{\"id\": \"busy\", \"url\": {:?}}}]}}", busy.url()))
        .unwrap();
    let pool = format!(
        "algorithm = \"round-robin\"\ndiscovery = {{ type = \"file\", path = {found:?} }}\nautoscale = {{ min_instances = 1, metric = \"cpu\", \
         driver = {{ type = \"webhook\", url = \"{}/\" }} }}",
        agrees.url()
    );
    let lb = Setup::default().pool(&pool).admin().start();
    eventually(SOON, "it is found", || admin(&lb, "GET", "/readyz").status() == 200);
    let answer = Client::get(lb.address(), "/").unwrap();
    assert_eq!((answer.status(), answer.header("endpoint-load-metrics")), (200, None));
    eventually(SOON, "it is known", || {
        let cpu = status(&lb)["decision"]["metrics"]["cpu"].clone();
        cpu["known"] == 1 && (cpu["sum_percent"].as_f64().unwrap() - 40.0).abs() < 0.1
    });
}
