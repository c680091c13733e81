//! Unix sockets and IPv6, on both sides.

use edge_lb_tests::Setup;
use lb_testkit::{Backend, Client, EdgeLb, Load, Place};

#[test]
fn backends_on_unix_sockets_and_ipv6() {
    let folder = tempfile::tempdir().unwrap();
    let a = Backend::builder("a").place(Place::Unix(folder.path().join("a.sock"))).start();
    let b = Backend::builder("b").place(Place::V6).start();
    let c = Backend::start("c");
    let check = "health_check = { type = \"tcp\", interval = \"100ms\" }\nalgorithm = \"round-robin\"";
    let lb = Setup::new([&a, &b, &c]).pool(check).start();
    let report = Load::new(lb.address()).connections(3).requests_each(30).run_to_end();
    report.assert_all_ok(90);
    assert_eq!((report.from("a"), report.from("b"), report.from("c")), (30, 30, 30));
    // A dead one is tried elsewhere, a living one is found again.
    a.kill();
    Load::new(lb.address()).requests_each(10).run_to_end().assert_all_ok(10);
    a.revive();
}

#[test]
fn listeners_on_unix_sockets_and_ipv6() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("front.sock");
    let listen = format!("unix:{}", path.display());
    let a = Backend::start("a");
    let run = EdgeLb::options().arg("--to").arg(a.url()).arg("--workers").arg("2");
    let lb = run
        .arg("--listen")
        .arg("[::1]:0")
        .arg("--listen")
        .arg(&listen)
        .arg("--listen")
        .arg("127.0.0.1:0")
        .start();
    let [six, unix, four] = lb.addresses() else { panic!("{:?}", lb.addresses()) };
    assert_eq!(unix.to_string(), listen);
    for (address, client) in [(six, "::1"), (four, "127.0.0.1"), (unix, "unknown")] {
        Load::new(address).connections(4).requests_each(10).run_to_end().assert_all_ok(40);
        assert_eq!(a.requests().last().unwrap().head.headers.get("x-forwarded-for"), Some(client));
    }
    let finished = lb.stop();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert!(!path.exists(), "the socket's file is gone");
}

#[test]
fn a_stale_socket_file_is_replaced_and_a_living_one_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("front.sock");
    let a = Backend::start("a");
    // The file of a process that died.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let listen = format!("unix:{}", path.display());
    let lb = EdgeLb::options().arg("--to").arg(a.url()).arg("--listen").arg(&listen).start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "a");
    let second = EdgeLb::command(&["run", "--to", &a.url(), "--listen", &listen], edge_lb_tests::SOON);
    assert!(second.code == Some(1) && second.stderr.contains(&listen), "{second:?}");
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "a", "the first is not disturbed");
}
