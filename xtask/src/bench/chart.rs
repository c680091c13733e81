//! A bar chart as SVG: one bar for each row, its range as a thin line, no scripts and no fonts to load.

use std::fmt::Write as _;

/// One bar.
#[derive(Clone, Debug)]
pub(super) struct Bar {
    pub(super) label: String,
    pub(super) value: f64,
    /// Least and greatest round.
    pub(super) range: Option<(f64, f64)>,
    /// Drawn in the colour of what is ours.
    pub(super) ours: bool,
}

const LABEL_WIDTH: f64 = 150.0;
const BAR_WIDTH: f64 = 420.0;
const ROW_HEIGHT: f64 = 28.0;
const TOP: f64 = 40.0;

pub(super) fn svg(title: &str, bars: &[Bar]) -> String {
    let most =
        bars.iter().map(|bar| bar.range.map_or(bar.value, |(_, max)| max.max(bar.value))).fold(0.0, f64::max);
    let scale = if most > 0.0 { BAR_WIDTH / most } else { 0.0 };
    let width = LABEL_WIDTH + BAR_WIDTH + 90.0;
    let mut rows = String::new();
    let mut top = TOP;
    for bar in bars {
        let colour = if bar.ours { "#c2410c" } else { "#64748b" };
        let (middle, length) = (top + ROW_HEIGHT / 2.0, bar.value * scale);
        // Writing to a string cannot fail.
        let _ = writeln!(
            rows,
            r#"<text x="{:.1}" y="{:.1}" text-anchor="end">{}</text>"#,
            LABEL_WIDTH - 8.0,
            middle + 4.5,
            escaped(&bar.label)
        );
        let _ = writeln!(
            rows,
            r#"<rect x="{LABEL_WIDTH:.1}" y="{:.1}" width="{length:.1}" height="18" rx="2" fill="{colour}"/>"#,
            top + 5.0
        );
        let mut end = length;
        if let Some((min, max)) = bar.range {
            let (from, to) = (LABEL_WIDTH + min * scale, LABEL_WIDTH + max * scale);
            let _ = writeln!(
                rows,
                r##"<path d="M{from:.1} {middle:.1}H{to:.1}" stroke="#111827" stroke-width="1.5"/>"##
            );
            end = end.max(max * scale);
        }
        let _ = writeln!(
            rows,
            r#"<text x="{:.1}" y="{:.1}">{:.2}</text>"#,
            LABEL_WIDTH + end + 6.0,
            middle + 4.5,
            bar.value
        );
        top += ROW_HEIGHT;
    }
    let height = top + 12.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"15\" font-weight=\"bold\">{}</text>\n{rows}</svg>\n",
        escaped(title)
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::{Bar, svg};

    #[test]
    fn bars_are_to_scale_and_text_is_escaped() {
        let bar = |label: &str, value, range| Bar { label: label.into(), value, range, ours: false };
        let text = svg("a < b", &[bar("one", 10.0, Some((5.0, 20.0))), bar("two", 20.0, None)]);
        assert!(text.contains("a &lt; b"));
        assert!(text.contains(r#"width="210.0""#), "{text}");
        assert!(text.contains(r#"width="420.0""#), "{text}");
        assert_eq!(text.matches("<path").count(), 1);
    }

    #[test]
    fn nothing_to_show_is_still_a_picture() {
        assert!(svg("empty", &[]).ends_with("</svg>\n"));
        assert!(
            !svg("zero", &[Bar { label: "a".into(), value: 0.0, range: None, ours: true }]).contains("NaN")
        );
    }
}
