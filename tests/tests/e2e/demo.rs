//! `edge-lb demo`: one backend dies, one turns slow, one starts to fail; all are taken out and come back, and no request is lost.

use lb_testkit::EdgeLb;
use std::time::Duration;

/// The line of the timetable that begins with these words, without its time.
fn told<'a>(stdout: &'a str, begin: &str) -> &'a str {
    let event = |l: &'a str| l.split_once(" s  ").map(|(_, event)| event).filter(|e| e.starts_with(begin));
    stdout.lines().find_map(event).unwrap_or_else(|| panic!("{begin:?} is not told:\n{stdout}"))
}

#[test]
fn the_demo_loses_nothing_and_says_who_was_out_and_why() {
    // Longer than need be, so that a busy machine has time to notice everything.
    let said = EdgeLb::command(&["demo", "--seconds", "12", "--plain"], Duration::from_secs(60));
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
    said.assert_no_panic();
    let out = &said.stdout;
    for (backend, fault, reason, back) in [
        ("b", "killed", ": ejected: 5 fail", ""),
        ("c", "turned slow", ": breaker open: slow-call-rate", ": probes-succeeded"),
        ("d", "started to fail", ": ejected: 5 failures in a row", ": its ejection is over"),
    ] {
        told(out, &format!("{backend} {fault}"));
        let taken_out = told(out, &format!("{backend} taken out after"));
        assert!(taken_out.contains(reason), "{taken_out}\n{out}");
        let returned = told(out, &format!("{backend} back after"));
        assert!(returned.contains(back) && returned.contains("; slow start from "), "{returned}\n{out}");
    }
    for sentence in ["  No request was lost.", "     taken out after ", "  lost       0"] {
        assert!(out.lines().any(|l| l.starts_with(sentence)), "{sentence:?}\n{out}");
    }
    assert!(out.is_ascii() && out.lines().all(|l| l.len() <= 80), "{out}");
}

#[test]
fn bad_arguments_are_refused() {
    for args in [&["demo", "--seconds", "0"][..], &["demo", "--backends", "3"], &["demo", "--algorithm", "x"]]
    {
        let said = EdgeLb::command(args, Duration::from_secs(5));
        assert!(said.code == Some(2) && said.stderr.contains(args[1]), "{said:?}");
    }
}
