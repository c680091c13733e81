//! What a moment looks like: the live table on a terminal, or one line for a log.

use super::view::{Condition, Row, View, grouped, short};
use crate::style::{Style, clip};

/// How many of the last events are shown under the table.
const EVENTS: usize = 8;
/// The columns that every row takes beside its bar: with the shortest bar it is an 80-column terminal's.
const FIXED: usize = 77;
/// Where the bar begins.
const BAR_AT: usize = 6;
/// Longer bars say no more.
const BAR_MAX: usize = 32;
/// Shorter ones say nothing: left out.
const BAR_MIN: usize = 3;

/// The table, one string a line, each at most `width` columns wide. It always has the same number of lines for the same number of
/// backends, so that it can be drawn over.
pub(crate) fn render(view: &View, width: usize, style: Style) -> Vec<String> {
    let bar = match width.saturating_sub(FIXED) {
        ..BAR_MIN => 0,
        room => room.min(BAR_MAX),
    };
    let mut lines = vec![String::new(), format!("  {}", style.bold(&view.title))];
    lines.push(style.dim(&format!("  {}", view.cast)));
    lines.push(String::new());
    lines.push(
        style.dim(&cells(["", "share", "p50", "p99", "in flight", "failed", "condition"], &" ".repeat(bar))),
    );
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
fn cells(c: [&str; 7], bar: &str) -> String {
    let [id, share, p50, p99, in_flight, failed, condition] = c;
    format!("  {id:<4}{bar}{share:>6}{p50:>8}{p99:>8}{in_flight:>10}{failed:>7}  {condition}")
}

fn backend(row: &Row, bar: usize, style: Style) -> String {
    let share = format!("{:.0} %", row.share * 100.0);
    let line = cells(
        [
            &row.id,
            &share,
            &short(row.p50),
            &short(row.p99),
            &row.in_flight.to_string(),
            &grouped(row.failed),
            "",
        ],
        &gauge(row.share, bar),
    );
    let words = row.condition.words();
    let condition = match row.condition {
        Condition::Healthy => style.green(&format!("● {words}")),
        Condition::Out(_) => style.red(&format!("✗ {words}")),
        Condition::Unnoticed(_) => style.red(&format!("● {words}")),
        Condition::Ramping(_) | Condition::HalfOpen => style.yellow(&format!("◌ {words}")),
    };
    let line = match row.condition {
        Condition::Out(_) => style.dim(&line),
        _ => line,
    };
    format!("{line}{condition}")
}

fn total(view: &View, bar: usize, style: Style) -> String {
    let failed = view.rows.iter().map(|r| r.failed).sum();
    let line = cells(
        ["all", "", &short(view.p50), &short(view.p99), &view.in_flight().to_string(), &grouped(failed), ""],
        &" ".repeat(bar),
    );
    // Where bar and share would be there is room for the rate.
    let rate = format!("{}/s", grouped(view.rate.round() as u64));
    let room = bar + 6;
    let line = format!("{}{rate:<room$}{}", &line[..BAR_AT], &line[BAR_AT + room..]);
    let lost = format!("{} lost", grouped(view.lost));
    let lost = if view.lost == 0 { style.green(&lost) } else { style.red(&lost) };
    format!("{}{} requests, {lost}", style.bold(&line), grouped(view.responses()))
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
    let caption = view.caption();
    let caption = if view.is_troubled() { style.red(&caption) } else { caption };
    let bar = gauge(done, width.saturating_sub(55).clamp(10, BAR_MAX));
    format!("  {} {at:4.1} / {seconds:.0} s   {caption}", style.cyan(&bar))
}

/// The moment in one line of ASCII, for where nothing can be drawn over. Reasons stand in the lines of the events.
pub(crate) fn line(view: &View) -> String {
    let share = |r: &Row| match r.condition.word() {
        Some(word) => format!("{} {word}", r.id),
        None => format!("{} {:.0}%", r.id, r.share * 100.0),
    };
    let shares: Vec<_> = view.rows.iter().map(share).collect();
    format!(
        "{:5.1} s {:>5}/s  p99 {:>7}  {} lost  {}",
        view.at.as_secs_f64(),
        view.rate.round(),
        short(view.p99).replace('µ', "u"),
        view.lost,
        shares.join(", "),
    )
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Fault, Plan};
    use super::super::view::Event;
    use super::*;
    use crate::style::columns;
    use edge_lb::types::Nanos;
    use std::time::Duration;

    const PLAIN: Style = Style { color: false };
    const COLOR: Style = Style { color: true };

    fn row(id: &str, share: f64, condition: Condition) -> Row {
        let p50 = (share > 0.0).then_some(Nanos::from_micros(4_320));
        Row { id: id.into(), responses: 23_412, share, p50, p99: p50, in_flight: 10, failed: 14, condition }
    }

    fn view(lost: u64) -> View {
        View {
            title: "edge-lb demo".into(),
            cast: "a request takes a 4.0 ms".into(),
            plan: Plan::new(Duration::from_secs(20)),
            at: Duration::from_secs(11),
            rows: vec![
                row("a", 0.75, Condition::Healthy),
                row("b", 0.03, Condition::Ramping(12)),
                row("c", 0.0, Condition::Out("breaker open: slow-call-rate".into())),
                row("d", 0.0, Condition::Out("ejected: 5 failures in a row".into())),
                row("e", 0.22, Condition::HalfOpen),
                row("f", 0.0, Condition::Unnoticed(Fault::Dead)),
            ],
            rate: 3_801.4,
            p50: Some(Nanos::from_micros(5_000)),
            p99: Some(Nanos::from_micros(27_000)),
            lost,
            events: vec![Event { at: Duration::from_secs(6), text: "killed b".into() }],
        }
    }

    #[test]
    fn the_table_of_a_usual_terminal() {
        let lines = render(&view(0), 80, PLAIN);
        let text: Vec<_> = lines.iter().map(|l| l.trim_end()).collect();
        assert_eq!(
            text[..16],
            [
                "",
                "  edge-lb demo",
                "  a request takes a 4.0 ms",
                "",
                "          share     p50     p99 in flight failed  condition",
                "  a   ██▎  75 %  4.3 ms  4.3 ms        10     14  ● healthy",
                "  b   ▏░░   3 %  4.3 ms  4.3 ms        10     14  ◌ slow start: 12 %",
                "  c   ░░░   0 %       -       -        10     14  ✗ breaker open: slow-call-rate",
                "  d   ░░░   0 %       -       -        10     14  ✗ ejected: 5 failures in a row",
                "  e   ▋░░  22 %  4.3 ms  4.3 ms        10     14  ◌ half-open: being tried",
                "  f   ░░░   0 %       -       -        10     14  ● dead: not noticed yet",
                "  all 3,801/s    5.0 ms 27.0 ms        60     84  140,472 requests, 0 lost",
                "",
                "  █████████████▊░░░░░░░░░░░ 11.0 / 20 s   c is slow, d answers 500, 1 s more",
                "",
                "    6.0 s  killed b",
            ]
        );
    }

    #[test]
    fn where_there_is_room_the_bars_are_longer() {
        let lines = render(&view(0), 96, PLAIN);
        assert!(lines[5].starts_with("  a   ██████████████▎░░░░  75 %"), "{}", lines[5]);
        let narrow = render(&view(0), 70, PLAIN);
        assert!(narrow[5].starts_with("  a     75 %"), "{}", narrow[5]);
    }

    #[test]
    fn lines_keep_to_the_width_and_their_number() {
        for width in 0..200 {
            for (style, view) in [(PLAIN, view(0)), (COLOR, view(3))] {
                let lines = render(&view, width, style);
                assert_eq!(lines.len(), 9 + 6 + EVENTS);
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
            text.contains("event 19") && text.contains("event 12") && !text.contains("event 11"),
            "{text}"
        );
    }

    #[test]
    fn losses_are_red_and_none_green() {
        let total = |lost| render(&view(lost), 120, COLOR)[11].clone();
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
        let line = super::line(&v);
        assert_eq!(
            line,
            " 11.0 s  3801/s  p99 27.0 ms  0 lost  a 75%, b 3%, c breaker open, d ejected, e half-open, f 0%"
        );
        v.p99 = Some(Nanos::from_micros(850));
        v.rows.truncate(4);
        let line = super::line(&v);
        assert!(line.is_ascii() && columns(&line) <= 80, "{line}");
    }
}
