//! The configurations on the pages are good ones: whoever copies one has something that runs.

use edge_lb_tests::SOON;
use lb_testkit::EdgeLb;

/// The whole configurations of a page: those that say where to listen.
fn configurations(page: &str) -> Vec<String> {
    let path = format!("{}/../docs/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.contains("[[listeners]]")).map(str::to_owned).collect()
}

#[test]
fn the_configurations_of_the_pages_are_good() {
    let pages = [
        ("admission.md", 1),
        ("autoscaling.md", 2),
        ("connections.md", 1),
        ("faults.md", 1),
        ("sessions.md", 1),
        ("geography.md", 2),
        ("compression.md", 1),
        ("mirroring.md", 1),
        ("gate.md", 1),
        ("gateway.md", 2),
        ("rollouts.md", 1),
    ];
    for (page, least) in pages {
        let found = configurations(page);
        assert!(found.len() >= least, "docs/{page} has {} configurations", found.len());
        for text in found {
            // Secrets are the reader's own.
            let text = text.replace("env:SESSION_SECRET", "a secret of sixteen bytes or more");
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("page.toml");
            std::fs::write(&file, &text).unwrap();
            let said = EdgeLb::command(&["check".as_ref(), file.as_os_str()], SOON);
            assert_eq!(said.code, Some(0), "docs/{page}: {}\n{text}", said.stderr);
        }
    }
}
