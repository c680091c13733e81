//! `docs/faults.md` speaks of each fault.

use super::ROWS;

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
