//! `edge-lb demo`: a backend dies and comes back, and no request is lost.

use lb_testkit::EdgeLb;
use std::time::Duration;

#[test]
fn the_demo_loses_nothing_and_says_so() {
    let said = EdgeLb::command(&["demo", "--seconds", "6", "--plain"], Duration::from_secs(20));
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    said.assert_no_panic();
    let summary = said.stdout.to_lowercase();
    assert!(
        summary.contains("lost")
            && (summary.contains("0 lost")
                || summary.contains("lost 0")
                || summary.contains("no request was lost")),
        "{}",
        said.stdout
    );
    assert!(said.took >= Duration::from_secs(5) && said.took < Duration::from_secs(12), "{:?}", said.took);
}

#[test]
fn bad_arguments_are_refused() {
    for args in [&["demo", "--seconds", "0"][..], &["demo", "--backends", "1"], &["demo", "--algorithm", "x"]]
    {
        let said = EdgeLb::command(args, Duration::from_secs(5));
        assert!(said.code == Some(2) && said.stderr.contains(args[1]), "{said:?}");
    }
}
