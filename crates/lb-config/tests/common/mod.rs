//! What the tests of broken files share.

use lb_config::{Format, parse};

/// Asserts the plain messages of a broken text, and that each also shows the line that it is about.
#[track_caller]
pub(crate) fn check(format: Format, text: &str, wanted: &str) {
    let error = parse(text, format, "f").expect_err("the text is broken");
    assert_eq!(error.to_string(), wanted);
    let rendered = error.render(false);
    for d in error.diagnostics() {
        assert!(rendered.contains(&format!("error: {}", d.message)), "{rendered}");
        assert!(rendered.contains(&format!("f:{}:{}", d.line, d.column)), "{rendered}");
        let line = text.lines().nth(d.line - 1).unwrap_or_default();
        assert!(line.chars().count() + 1 >= d.column, "column {} of {line:?}", d.column);
    }
}
