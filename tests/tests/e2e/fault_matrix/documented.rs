//! `docs/faults.md` speaks of each fault, and its configuration is one.

use super::ROWS;
use edge_lb_tests::SOON;
use lb_testkit::EdgeLb;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/faults.md");
    std::fs::read_to_string(path).expect("the page is there")
}

#[test]
fn each_row_stands_in_the_page() {
    let page = page();
    for (fault, by, ..) in ROWS {
        let row = format!("| {} | {} |", fault.name(), by.name());
        assert!(page.contains(&row), "docs/faults.md lacks {row:?}: paste the summary there");
    }
}

#[test]
fn the_page_s_configuration_is_good() {
    let page = page();
    let text =
        page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("there is one");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("faults.toml");
    std::fs::write(&file, text).unwrap();
    let said = EdgeLb::command(&["check".as_ref(), file.as_os_str()], SOON);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
}
