//! A strict parser of the Prometheus text format 0.0.4, with the rules that `promtool check metrics` would apply.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Labels = BTreeMap<String, String>;

/// One family: its type and its series.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    pub(crate) help: String,
    /// By the sample's full name and labels.
    pub(crate) samples: BTreeMap<(String, Labels), f64>,
}

impl Family {
    /// The value of the one sample with these labels.
    pub(crate) fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels.iter().map(|&(k, v)| (k.to_owned(), v.to_owned())).collect();
        self.samples.get(&(name.to_owned(), labels)).copied()
    }
}

/// The families of `text`, or what is wrong with it.
pub(crate) fn parse(text: &str) -> Result<BTreeMap<String, Family>, String> {
    let mut families = BTreeMap::<String, Family>::new();
    let mut current = String::new();
    if !text.ends_with('\n') {
        return Err("the last line does not end".into());
    }
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| format!("no help: {line}"))?;
            check_name(name)?;
            if families.contains_key(name) {
                return Err(format!("{name} has two HELP lines, or is in two places"));
            }
            families.insert(name.to_owned(), Family { help: help.to_owned(), ..Family::default() });
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| format!("no type: {line}"))?;
            let family = families.get_mut(name).filter(|_| name == current);
            let family = family.ok_or_else(|| format!("TYPE of {name} without its HELP before"))?;
            if !family.kind.is_empty() || !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(format!("bad or second type: {line}"));
            }
            family.kind = kind.to_owned();
        } else {
            let (name, labels, value) = sample(line)?;
            let family = families.get_mut(&current).ok_or_else(|| format!("no family yet: {line}"))?;
            let suffixes: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            if !suffixes.iter().any(|s| name == format!("{current}{s}")) {
                return Err(format!("{name} in the family {current} of type {:?}", family.kind));
            }
            if family.samples.insert((name, labels), value).is_some() {
                return Err(format!("twice: {line}"));
            }
        }
    }
    families.iter().try_for_each(|(name, family)| lint(name, family))?;
    Ok(families)
}

fn check_name(name: &str) -> Result<(), String> {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let ok = first && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if ok { Ok(()) } else { Err(format!("bad name \"{name}\"")) }
}

/// `name{label="value",…} value`
fn sample(line: &str) -> Result<(String, Labels, f64), String> {
    let bad = |what: &str| format!("{what}: {line}");
    let at = line.find(['{', ' ']).ok_or_else(|| bad("no value"))?;
    let (name, mut rest) = line.split_at(at);
    check_name(name)?;
    let mut labels = Labels::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inside.split_once("=\"").ok_or_else(|| bad("no label"))?;
            check_name(label)?;
            let (value, after) = quoted(after).ok_or_else(|| bad("bad label value"))?;
            if labels.insert(label.to_owned(), value).is_some() {
                return Err(bad("label twice"));
            }
            match after.split_at_checked(1) {
                Some((",", more)) => inside = more,
                Some(("}", more)) => {
                    rest = more;
                    break;
                }
                _ => return Err(bad("labels do not end")),
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or_else(|| bad("no space before the value"))?;
    let value = value.parse::<f64>().map_err(|_| bad("no number"))?;
    Ok((name.to_owned(), labels, value))
}

/// The text up to the closing quote, unescaped, and what follows.
fn quoted(text: &str) -> Option<(String, &str)> {
    let (mut out, mut chars) = (String::new(), text.char_indices());
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((out, &text[i + 1..])),
            '\\' => out.push(match chars.next()?.1 {
                'n' => '\n',
                c @ ('\\' | '"') => c,
                _ => return None,
            }),
            c => out.push(c),
        }
    }
    None
}

fn lint(name: &str, family: &Family) -> Result<(), String> {
    if family.kind.is_empty() || family.help.trim().is_empty() || family.samples.is_empty() {
        return Err(format!("{name} has no type, no help or no samples"));
    }
    if (family.kind == "counter") != name.ends_with("_total") {
        return Err(format!("{name} is a {}", family.kind));
    }
    let not_base_units = ["_ms", "_milliseconds", "_minutes", "_kilobytes", "_percent"];
    if not_base_units.iter().any(|u| name.ends_with(u)) || name.chars().any(|c| c.is_ascii_uppercase()) {
        return Err(format!("{name} is not in base units and snake case"));
    }
    if family.kind != "histogram" {
        let bad =
            family.samples.iter().find(|(_, v)| family.kind == "counter" && (**v < 0.0 || v.fract() != 0.0));
        return bad.map_or(Ok(()), |b| Err(format!("{b:?} is no count")));
    }
    let mut series = BTreeSet::new();
    for (_, labels) in family.samples.keys() {
        let mut l = labels.clone();
        l.remove("le");
        series.insert(l);
    }
    series.iter().try_for_each(|labels| histogram(name, family, labels))
}

/// Cumulative buckets with rising bounds, the last of them `+Inf` and equal to the count.
fn histogram(name: &str, family: &Family, labels: &Labels) -> Result<(), String> {
    let mut buckets = vec![];
    for ((n, l), v) in &family.samples {
        let mut rest = l.clone();
        let Some(le) = rest.remove("le") else { continue };
        if n == &format!("{name}_bucket") && rest == *labels {
            buckets.push((le.replace("+Inf", "inf").parse::<f64>().map_err(|e| e.to_string())?, *v));
        }
    }
    buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
    let one = |suffix: &str| family.samples.get(&(format!("{name}{suffix}"), labels.clone())).copied();
    let count = one("_count").ok_or_else(|| format!("{name} {labels:?}: no _count"))?;
    let sum = one("_sum").ok_or_else(|| format!("{name} {labels:?}: no _sum"))?;
    let (top, all) = *buckets.last().ok_or_else(|| format!("{name} {labels:?}: no buckets"))?;
    let rising = buckets.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1);
    if !rising || !top.is_infinite() || all != count || (count == 0.0) != (sum == 0.0) {
        return Err(format!("{name} {labels:?}: {buckets:?}, count {count}, sum {sum}"));
    }
    Ok(())
}

#[test]
fn the_parser_is_strict() {
    let head = "# HELP a_total h\n# TYPE a_total counter\n";
    assert!(parse(&format!("{head}a_total{{x=\"1\\n\\\"\\\\\"}} 2\n")).is_ok());
    let hist = |b: &str| {
        format!("# HELP h_seconds h\n# TYPE h_seconds histogram\n{b}h_seconds_sum 1\nh_seconds_count 2\n")
    };
    let good = "h_seconds_bucket{le=\"1\"} 1\nh_seconds_bucket{le=\"+Inf\"} 2\n";
    assert!(parse(&hist(good)).is_ok());
    for bad in [
        format!("{head}a_total 1"),
        format!("{head}a_total 1\n\n"),
        format!("{head}a_total 1\na_total 1\n"),
        format!("{head}a_total -1\n"),
        format!("{head}a_total x\n"),
        format!("{head}b_total 1\n"),
        format!("{head}a_total{{x=\"1}} 1\n"),
        format!("{head}a_total{{x=\"\\t\"}} 1\n"),
        format!("{head}a_total{{x=\"1\",x=\"1\"}} 1\n"),
        format!("{head}{head}a_total 1\n"),
        head.to_owned(),
        "a_total 1\n".to_owned(),
        "# HELP a h\n# TYPE a counter\na 1\n".to_owned(),
        "# HELP a_ms h\n# TYPE a_ms gauge\na_ms 1\n".to_owned(),
        hist("h_seconds_bucket{le=\"1\"} 1\n"),
        hist("h_seconds_bucket{le=\"1\"} 1\nh_seconds_bucket{le=\"+Inf\"} 3\n"),
        hist("h_seconds_bucket{le=\"1\"} 2\nh_seconds_bucket{le=\"2\"} 1\nh_seconds_bucket{le=\"+Inf\"} 2\n"),
    ] {
        assert!(parse(&bad).is_err(), "{bad}");
    }
}
