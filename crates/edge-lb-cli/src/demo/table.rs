//! What a moment looks like: the live table on a terminal, or one line for a log.

use super::plan::Phase;
use super::view::{Condition, Row, View, grouped, short};
use crate::style::{Style, clip};

/// How many of the last events are shown under the table.
const EVENTS: usize = 6;
/// The columns that every row takes beside its bar.
const FIXED: usize = 75;
/// Where the bar begins.
const RATE_AT: usize = 23;
/// Longer bars say no more.
const BAR_MAX: usize = 32;
/// Shorter ones say nothing: left out.
const BAR_MIN: usize = 4;

/// The table, one string a line, each at most `width` columns wide. It always has the same number of lines for the same number of
/// backends, so that it can be drawn over.
pub(crate) fn render(view: &View, width: usize, style: Style) -> Vec<String> {
    let bar = match width.saturating_sub(FIXED) {
        ..BAR_MIN => 0,
        room => room.min(BAR_MAX),
    };
    let mut lines = vec![String::new(), format!("  {}", style.bold(&view.title)), String::new()];
    lines.push(style.dim(&cells(
        ["backend", "requests", "share", "p50", "p99", "in flight", "failed", "health"],
        &" ".repeat(bar),
    )));
    lines.extend(view.rows.iter().map(|row| backend(row, bar, style)));
    lines.push(total(view, bar, style));
    lines.push(String::new());
    lines.push(progress(view, width, style));
    lines.push(String::new());
    let first = view.events.len().saturating_sub(EVENTS);
    let shown = &view.events[first..];
    lines.extend(
        shown
            .iter()
            .map(|e| format!("  {}  {}", style.dim(&format!("{:5.1} s", e.at.as_secs_f64())), e.text)),
    );
    lines.extend((shown.len()..EVENTS).map(|_| String::new()));
    lines.iter().map(|l| clip(l, width)).collect()
}

/// One line of the table, without colours: the bar stands before the share.
fn cells(c: [&str; 8], bar: &str) -> String {
    let [id, requests, share, p50, p99, in_flight, failed, health] = c;
    let gap = if bar.is_empty() { "" } else { " " };
    format!(
        "  {id:<9}{requests:>10}  {bar}{gap}{share:>5}{p50:>8}{p99:>8}{in_flight:>10}{failed:>7}  {health}"
    )
}

fn backend(row: &Row, bar: usize, style: Style) -> String {
    let id = format!("{} {:>3} ms", row.id, row.delay.as_millis());
    let share = format!("{:.0} %", row.share * 100.0);
    let line = cells(
        [
            &id,
            &grouped(row.responses),
            &share,
            &short(row.p50),
            &short(row.p99),
            &row.in_flight.to_string(),
            &grouped(row.failed),
            "",
        ],
        &gauge(row.share, bar),
    );
    let health = match row.condition {
        Condition::Healthy => style.green("● healthy"),
        Condition::Killed => style.red("✗ killed"),
        Condition::Out => style.red("✗ out"),
        Condition::Returning => style.yellow("◌ returning"),
    };
    let line = match row.condition {
        Condition::Out => style.dim(&line),
        _ => line,
    };
    format!("{line}{health}")
}

fn total(view: &View, bar: usize, style: Style) -> String {
    let failed = view.rows.iter().map(|r| r.failed).sum();
    let line = cells(
        [
            "all",
            &grouped(view.responses()),
            "",
            &short(view.p50),
            &short(view.p99),
            &view.in_flight().to_string(),
            &grouped(failed),
            "",
        ],
        &" ".repeat(bar),
    );
    // Where bar and share would be there is room for the rate.
    let rate = format!("{}/s", grouped(view.rate.round() as u64));
    let line = match bar {
        0 => line,
        _ => format!("{}{rate:<room$}{}", &line[..RATE_AT], &line[RATE_AT + bar + 6..], room = bar + 6),
    };
    let lost = format!("{} lost", grouped(view.lost));
    let lost = if view.lost == 0 { style.green(&lost) } else { style.red(&lost) };
    format!("{}{lost}", style.bold(&line))
}

/// A bar of `width` columns, filled for `share` in eighths of a column.
fn gauge(share: f64, width: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (width * 8) as f64).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(['▏', '▎', '▍', '▌', '▋', '▊', '▉'][eighths % 8 - 1]);
    }
    let used = bar.chars().count();
    bar.extend(std::iter::repeat_n('░', width - used));
    bar
}

fn progress(view: &View, width: usize, style: Style) -> String {
    let done = view.plan.progress(view.at);
    let seconds = view.plan.end.as_secs_f64();
    let at = view.at.as_secs_f64().min(seconds);
    let caption = view.plan.caption(view.at, &view.victim);
    let caption = match view.phase() {
        Phase::Dead => style.red(&caption),
        Phase::Back => style.green(&caption),
        Phase::Before | Phase::Over => caption,
    };
    let bar = gauge(done, width.saturating_sub(50).clamp(10, BAR_MAX));
    format!("  {} {at:4.1} / {seconds:.0} s   {caption}", style.cyan(&bar))
}

/// The moment in one line of ASCII, for where nothing can be drawn over.
pub(crate) fn line(view: &View) -> String {
    let shares: Vec<_> = view
        .rows
        .iter()
        .map(|r| format!("{} {:.0}% {}", r.id, r.share * 100.0, r.condition.word()))
        .collect();
    format!(
        "{:5.1} s  {} requests, {}/s | {} | p50 {} p99 {} | {} in flight, {} retried, {} lost | {}",
        view.at.as_secs_f64(),
        view.responses(),
        view.rate.round(),
        shares.join(", "),
        short(view.p50).replace('µ', "u"),
        short(view.p99).replace('µ', "u"),
        view.in_flight(),
        view.retries,
        view.lost,
        view.plan.caption(view.at, &view.victim),
    )
}

#[cfg(test)]
mod tests {
    use super::super::plan::Plan;
    use super::super::view::Event;
    use super::*;
    use crate::style::columns;
    use edge_lb::types::Nanos;
    use std::time::Duration;

    const PLAIN: Style = Style { color: false };
    const COLOR: Style = Style { color: true };

    fn row(id: &str, share: f64, condition: Condition) -> Row {
        let p50 = (share > 0.0).then_some(Nanos::from_micros(4_320));
        Row {
            id: id.into(),
            delay: Duration::from_millis(4),
            responses: 23_412,
            share,
            p50,
            p99: p50,
            in_flight: 10,
            failed: 14,
            condition,
        }
    }

    fn view(lost: u64) -> View {
        View {
            title: "edge-lb demo".into(),
            plan: Plan::new(Duration::from_secs(20)),
            at: Duration::from_secs(11),
            victim: "b".into(),
            rows: vec![
                row("a", 0.75, Condition::Healthy),
                row("b", 0.0, Condition::Out),
                row("c", 0.25, Condition::Healthy),
            ],
            rate: 3_801.4,
            p50: Some(Nanos::from_micros(5_000)),
            p99: Some(Nanos::from_micros(27_000)),
            retries: 14,
            lost,
            events: vec![Event { at: Duration::from_secs(6), text: "killed b".into() }],
        }
    }

    #[test]
    fn the_table_of_a_usual_terminal() {
        let lines = render(&view(0), 96, PLAIN);
        let text: Vec<_> = lines.iter().map(|l| l.trim_end()).collect();
        assert_eq!(
            text[..11],
            [
                "",
                "  edge-lb demo",
                "",
                "  backend    requests                        share     p50     p99 in flight failed  health",
                "  a   4 ms     23,412  ███████████████▊░░░░░  75 %  4.3 ms  4.3 ms        10     14  ● healthy",
                "  b   4 ms     23,412  ░░░░░░░░░░░░░░░░░░░░░   0 %       -       -        10     14  ✗ out",
                "  c   4 ms     23,412  █████▎░░░░░░░░░░░░░░░  25 %  4.3 ms  4.3 ms        10     14  ● healthy",
                "  all          70,236  3,801/s                      5.0 ms 27.0 ms        30     42  0 lost",
                "",
                "  █████████████████▋░░░░░░░░░░░░░░ 11.0 / 20 s   b is dead, back in 1 s",
                "",
            ]
        );
        assert_eq!(text[11], "    6.0 s  killed b");
    }

    #[test]
    fn at_80_columns_everything_has_room() {
        let text = render(&view(0), 80, PLAIN).join("\n");
        assert!(text.contains("✗ out") && text.contains("3,801/s") && text.contains("0 lost"), "{text}");
        assert!(text.contains("███▊░  75 %") && text.contains("● healthy"), "{text}");
    }

    #[test]
    fn lines_keep_to_the_width_and_their_number() {
        for width in 0..200 {
            for (style, view) in [(PLAIN, view(0)), (COLOR, view(3))] {
                let lines = render(&view, width, style);
                assert_eq!(lines.len(), 11 + EVENTS);
                for line in lines {
                    assert!(columns(&line) <= width, "{width}: {line:?}");
                }
            }
        }
    }

    #[test]
    fn only_the_last_events_are_shown() {
        let mut v = view(0);
        v.events =
            (0..20).map(|i| Event { at: Duration::from_secs(i), text: format!("event {i}") }).collect();
        let text = render(&v, 80, PLAIN).join("\n");
        assert!(
            text.contains("event 19") && text.contains("event 14") && !text.contains("event 13"),
            "{text}"
        );
    }

    #[test]
    fn losses_are_red_and_none_green() {
        let total = |lost| render(&view(lost), 120, COLOR)[7].clone();
        assert!(total(0).contains("\x1b[32m0 lost"));
        assert!(total(3).contains("\x1b[31m3 lost"));
    }

    #[test]
    fn gauges_fill_by_eighths() {
        assert_eq!(gauge(0.0, 4), "░░░░");
        assert_eq!(gauge(0.5, 4), "██░░");
        assert_eq!(gauge(0.53, 4), "██▏░");
        assert_eq!(gauge(1.0, 4), "████");
        assert_eq!(gauge(7.0, 2), "██");
        assert_eq!(gauge(0.9, 0), "");
    }

    #[test]
    fn the_plain_line_is_ascii_and_has_it_all() {
        let mut v = view(0);
        v.p50 = Some(Nanos::from_micros(850));
        let line = line(&v);
        assert_eq!(
            line,
            " 11.0 s  70236 requests, 3801/s | a 75% healthy, b 0% out, c 25% healthy | p50 850 us p99 27.0 ms \
             | 30 in flight, 14 retried, 0 lost | b is dead, back in 1 s"
        );
        assert!(line.is_ascii());
    }
}
