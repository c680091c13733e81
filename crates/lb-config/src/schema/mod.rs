//! Every key of the configuration file, built or planned: the one table that the resolver, its suggestions, the refusal
//! of what is not built yet and the reference in `docs/configuration.md` all read.
//!
//! A key that the resolver asks for must stand here, and a test walks the table: each built key has a [`Proof`] that
//! it does something, and each default that is a value is set and must change nothing. So no key is accepted and ignored.

mod admission;
mod agent;
mod autoscale;
mod backend;
mod breaker;
mod compression;
mod gate;
mod geo;
mod health;
mod kubernetes;
mod mirror;
mod outlier;
mod pool;
mod pooling;
mod proof;
mod response;
mod retry;
mod route;
mod session;
mod split;
mod store;
mod top;

pub use backend::BACKENDS_FILE;
pub use top::ROOT;

/// A table of the file: its keys, built and planned.
#[derive(Debug)]
#[non_exhaustive]
pub struct Section {
    /// Its place, with capitals for what the user chooses: `pools.NAME.backends`.
    pub path: &'static str,
    /// What it is, and what is on when it is absent.
    pub doc: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [Key],
}

impl Section {
    /// The key of this name.
    pub fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|k| k.name == name)
    }

    /// This section and all below it, each once.
    pub fn walk(&'static self) -> Vec<&'static Section> {
        let mut sections = Vec::new();
        self.walk_into(&mut sections);
        sections
    }

    fn walk_into(&'static self, sections: &mut Vec<&'static Section>) {
        if sections.iter().any(|s| s.path == self.path) {
            return;
        }
        sections.push(self);
        for below in self.keys.iter().filter_map(|k| k.kind.section()) {
            below.walk_into(sections);
        }
    }
}

/// One key.
#[derive(Debug)]
#[non_exhaustive]
pub struct Key {
    /// As it is typed.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is left out.
    pub default: Default,
    /// What it does, in a line.
    pub doc: &'static str,
    /// Whether it can be used today.
    pub status: Status,
}

/// What a key takes.
#[derive(Debug)]
#[non_exhaustive]
pub enum Kind {
    /// A value, described for the reference.
    Value(&'static str),
    /// A table of its own.
    Table(&'static Section),
    /// A text that stands for the table's `name`, or the table.
    TextOrTable(&'static Section),
    /// The same, or a list of texts and tables.
    OneOrMore(&'static Section),
    /// A list of tables.
    List(&'static Section),
    /// Tables under names that the user chooses.
    Named(&'static Section),
}

impl Kind {
    /// The section that describes what is inside.
    pub fn section(&self) -> Option<&'static Section> {
        match self {
            Self::Value(_) => None,
            Self::Table(s) | Self::TextOrTable(s) | Self::OneOrMore(s) | Self::List(s) | Self::Named(s) => {
                Some(s)
            }
        }
    }
}

/// What holds when a key is left out.
#[derive(Debug)]
#[non_exhaustive]
pub enum Default {
    /// It may not be left out.
    Required,
    /// This value, in TOML.
    Value(&'static str),
    /// Something that no value says.
    Text(&'static str),
}

/// Whether a key can be used today.
#[derive(Debug)]
#[non_exhaustive]
pub enum Status {
    /// It works; how a test shows that it does something.
    Built(Proof),
    /// It is refused; the capability that will bring it.
    Planned(&'static str),
    /// It stands in tables of its own, whose keys carry the proofs.
    Section,
}

/// How a test shows that a key is not ignored. The texts are the keys of the section, in TOML.
#[derive(Debug)]
#[non_exhaustive]
pub enum Proof {
    /// `before` and `after`, which has the key, resolve to different configurations.
    Changes {
        /// The section without the key, or with another value of it.
        before: &'static str,
        /// The section with the key.
        after: &'static str,
    },
    /// The section with the key at this value is refused: it has no other value that changes anything today.
    Refused {
        /// The section with the key.
        with: &'static str,
    },
}

impl Key {
    const fn built(
        name: &'static str,
        takes: &'static str,
        default: Default,
        proof: Proof,
        doc: &'static str,
    ) -> Self {
        Self { name, kind: Kind::Value(takes), default, doc, status: Status::Built(proof) }
    }

    const fn section(name: &'static str, kind: Kind, default: Default, doc: &'static str) -> Self {
        Self { name, kind, default, doc, status: Status::Section }
    }

    const fn planned(name: &'static str, capability: &'static str) -> Self {
        let (kind, default) = (Kind::Value(""), Default::Text(""));
        Self { name, kind, default, doc: "", status: Status::Planned(capability) }
    }

    /// Whether the key can be used today.
    pub fn is_built(&self) -> bool {
        !matches!(self.status, Status::Planned(_))
    }
}

/// What may have been meant by an unknown key of a section: its nearest key, or the section that has the key.
pub(crate) fn suggest(section: &'static Section, unknown: &str) -> Option<String> {
    let wanted = snake_case(unknown);
    // The library's name for it.
    let wanted = if wanted == "auto_scaler" { "autoscale".to_owned() } else { wanted };
    let names = || section.keys.iter().map(|k| (k.is_built(), k.name));
    if let Some(name) = nearest(&wanted, names().filter(|(built, _)| *built).map(|(_, n)| n)) {
        return Some(format!("did you mean `{name}`?"));
    }
    let elsewhere = ROOT.walk().into_iter().find(|s| s.key(&wanted).is_some_and(Key::is_built));
    if let Some(s) = elsewhere {
        let place =
            if s.path.is_empty() { "the top of the file".to_owned() } else { format!("`{}`", s.path) };
        return Some(format!("`{wanted}` belongs in {place}"));
    }
    nearest(&wanted, names().map(|(_, n)| n)).map(|name| format!("did you mean `{name}`?"))
}

/// The name that is at most a third of its letters away (a swap counts one), else one that begins as the other does.
pub(crate) fn nearest<'n>(wanted: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // A text that long is no slip of the finger, and the distance costs the product of the lengths.
    if wanted.len() > 64 {
        return None;
    }
    let mut begun = None;
    let mut best: Option<(usize, &str)> = None;
    for n in names {
        let distance = strsim::damerau_levenshtein(wanted, n);
        if distance <= (n.len() / 3).max(1) && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, n));
        }
        if wanted.len() >= 3 && (n.starts_with(wanted) || (n.len() >= 3 && wanted.starts_with(n))) {
            begun = begun.or(Some(n));
        }
    }
    best.map(|(_, n)| n).or(begun)
}

/// `maxConnections` and `max-connections` as `max_connections`.
fn snake_case(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for (i, c) in name.chars().enumerate().take(80) {
        if c.is_ascii_uppercase()
            && i > 0
            && !out.ends_with('_')
            && name.contains(|c: char| c.is_ascii_lowercase())
        {
            out.push('_');
        }
        out.push(if c == '-' { '_' } else { c.to_ascii_lowercase() });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_get_the_nearest_suggestion() {
        let pool = ROOT.walk().into_iter().find(|s| s.path == "pools.NAME").unwrap();
        for (unknown, help) in [
            ("helth_check", Some("did you mean `health_check`?")),
            ("healthCheck", Some("did you mean `health_check`?")),
            ("max-connections", Some("did you mean `max_connections`?")),
            ("algoritm", Some("did you mean `algorithm`?")),
            ("backend", Some("did you mean `backends`?")),
            ("weight", Some("`weight` belongs in `pools.NAME.backends`")),
            ("workers", Some("`workers` belongs in the top of the file")),
            ("health", Some("did you mean `health_check`?")),
            ("circuit_braker", Some("did you mean `circuit_breaker`?")),
            ("zzz", None),
        ] {
            assert_eq!(suggest(pool, unknown).as_deref(), help, "{unknown}");
        }
        assert_eq!(suggest(pool, &"x".repeat(1_000_000)), None);
    }

    #[test]
    fn names_are_unique_within_a_section() {
        for section in ROOT.walk() {
            for (i, key) in section.keys.iter().enumerate() {
                assert!(
                    section.keys[..i].iter().all(|k| k.name != key.name),
                    "{}.{}",
                    section.path,
                    key.name
                );
            }
        }
    }
}
