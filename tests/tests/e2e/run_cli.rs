//! `edge-lb run`: bad input is told and ends it with the right exit code.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Backend, EdgeLb, Finished};
use std::path::Path;

fn run(args: &[&str]) -> Finished {
    let said = EdgeLb::command(&[&["run"], args].concat(), SOON);
    said.assert_no_panic();
    assert!(!said.stdout.contains("ready"), "{}", said.stdout);
    said
}

#[track_caller]
fn assert_says(said: &Finished, code: i32, words: &[&str]) {
    assert_eq!(said.code, Some(code), "{}", said.stderr);
    for word in words {
        assert!(said.stderr.contains(word), "{word:?} is not in:\n{}", said.stderr);
    }
}

fn run_file(file: &Path) -> Finished {
    run(&["--config", file.to_str().expect("temporary folders have plain names")])
}

fn run_config(text: &str) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.toml");
    std::fs::write(&file, text).unwrap();
    run_file(&file)
}

#[test]
fn no_backends() {
    assert_says(&run(&["--listen", "127.0.0.1:0"]), 2, &["--to"]);
    assert_says(&run(&[]), 2, &["--config", "--to"]);
    let none = Setup::default();
    assert_says(&run_config(&none.text()), 2, &["backends"]);
    assert_says(&run_config(&none.pool("backends = []").text()), 2, &["backends"]);
}

#[test]
fn duplicate_ids() {
    let twice = Setup::default().backend_at("same", "http://127.0.0.1:1", "").backend_at(
        "same",
        "http://127.0.0.1:2",
        "",
    );
    assert_says(&run_config(&twice.text()), 2, &["same"]);
    let to = ["--to", "http://127.0.0.1:1", "--to", "http://127.0.0.1:1"];
    assert_says(&run(&[&["--listen", "127.0.0.1:0"], &to[..]].concat()), 2, &["http://127.0.0.1:1", "twice"]);
}

#[test]
fn weight_0_everywhere() {
    let zeros = Setup::default().backend_at("a", "http://127.0.0.1:1", "weight = 0").backend_at(
        "b",
        "http://127.0.0.1:2",
        "weight = 0",
    );
    assert_says(&run_config(&zeros.text()), 2, &["weight"]);
}

#[test]
fn bad_urls() {
    for url in [
        "127.0.0.1:1",
        "ftp://127.0.0.1",
        "http://",
        "http://a:99999",
        "http://a b",
        "unix:relative",
        "http://a?q=1",
    ] {
        let from_flags = run(&["--listen", "127.0.0.1:0", "--to", url]);
        assert_says(&from_flags, 2, &[url]);
        assert_says(&run_config(&Setup::default().backend_at("a", url, "").text()), 2, &[url]);
    }
}

#[test]
fn a_port_in_use() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = run(&["--listen", &address, "--to", "http://127.0.0.1:1"]);
    assert_says(&said, 1, &[&address]);
    let said = run(&["--listen", "127.0.0.1:0", "--to", "http://127.0.0.1:1", "--admin", &address]);
    assert_says(&said, 1, &[&address]);
}

#[test]
fn a_port_in_use_by_another_edge_lb() {
    // Its own listeners share their port among its workers; with another process they must not.
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let address = lb.address().to_string();
    assert_says(&run(&["--listen", &address, "--to", &a.url()]), 1, &[&address]);
}

#[test]
fn bad_addresses() {
    for address in ["8080", "127.0.0.1", "localhost:x", "127.0.0.1:70000", "unix:x", ""] {
        assert_says(&run(&["--listen", address, "--to", "http://127.0.0.1:1"]), 2, &["--listen"]);
    }
    // 192.0.2.0/24 is for documentation: no machine has it.
    assert_says(&run(&["--listen", "192.0.2.1:0", "--to", "http://127.0.0.1:1"]), 1, &["192.0.2.1"]);
}

#[test]
fn unreadable_files() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.toml");
    assert_says(&run_file(&missing), 2, &["missing.toml"]);
    assert_says(&run_file(folder.path()), 2, &[folder.path().to_str().unwrap()]);
    let binary = folder.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0x00, 0x80]).unwrap();
    assert_says(&run_file(&binary), 2, &["binary.toml", "UTF-8"]);
}

#[test]
fn unknown_and_clashing_arguments() {
    assert_says(&run(&["--lisen", "127.0.0.1:0"]), 2, &["--lisen", "--listen"]);
    assert_says(&run(&["--config", "x.toml", "--to", "http://a"]), 2, &["--config", "--to"]);
    assert_says(
        &run(&["--listen", "127.0.0.1:0", "--to", "http://a", "--algorithm", "fastest"]),
        2,
        &["fastest"],
    );
    let said = EdgeLb::command(&["rum"], SOON);
    assert_says(&said, 2, &["rum", "run"]);
}

#[test]
fn version_help_and_completions() {
    for (args, says) in [
        (&["--version"][..], env!("CARGO_PKG_VERSION")),
        (&["--help"], "demo"),
        (&["run", "--help"], "--listen"),
        (&["completions", "bash"], "edge-lb"),
        (&["completions", "zsh"], "edge-lb"),
        (&["completions", "fish"], "edge-lb"),
    ] {
        let said = EdgeLb::command(args, SOON);
        assert!(said.code == Some(0) && said.stdout.contains(says), "{args:?}: {said:?}");
    }
}
