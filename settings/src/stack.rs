//! Files over each other: what a later one says counts, key by key, and each key remembers where it was said.
//!
//! All files become one tree whose places count through the texts one after the other, so that one pass of the typed
//! reader finds a fault anywhere and its place tells the file.

use crate::fault::{Fault, line_of, told};
use crate::{Settings, Wrong};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer};

/// What is said of a fault whose message says no more.
const LOOK: &str = "see docs/reference/configuration.md";

/// A file that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    pub file: PathBuf,
    pub text: String,
}

/// Where a key was said last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
}

/// All files of one kind, and what they say together.
#[derive(Clone, Debug)]
pub struct Stacked<T> {
    pub value: T,
    /// In their order, the last counts most.
    pub files: Vec<PathBuf>,
    origins: BTreeMap<String, Origin>,
}

/// One key as it counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// With dots: `limits.streams`.
    pub key: String,
    pub value: toml::Value,
    /// None: the default.
    pub origin: Option<Origin>,
}

/// Reads texts in their order, the last counts most. `more` looks at what [`Settings::check`] cannot.
///
/// # Errors
/// The first fault.
pub fn stack<T: Settings>(
    texts: &[Text],
    more: impl Fn(&T) -> Result<(), Wrong>,
) -> Result<Stacked<T>, Fault> {
    let sources = Sources(texts);
    let mut all: Spanned<DeTable<'_>> = Spanned::new(0..0, DeTable::new());
    for (start, one) in sources.starts() {
        let parsed = DeTable::parse(&one.text).map_err(|e| {
            let at = e.span().map_or(0, |s| s.start);
            sources.fault(start + at, &told(e.message()).what, LOOK)
        })?;
        let over = shifted(parsed.into_inner(), start);
        for (key, belongs) in T::BELONGS {
            if over.contains_key(*key) {
                all.get_mut().remove(*belongs);
            }
        }
        lay_over(all.get_mut(), over);
    }
    let mut origins = BTreeMap::new();
    collect(all.get_ref(), "", &mut |key, at| {
        if let Some(origin) = sources.origin(at) {
            origins.insert(key, origin);
        }
    });
    let value = T::deserialize(Deserializer::from(all)).map_err(|e| {
        let told = told(e.message());
        let hint = told.hint.as_deref().unwrap_or(LOOK);
        sources.fault(e.span().map_or(0, |s| s.start), &told.what, hint)
    })?;
    let stacked = Stacked {
        value,
        files: texts.iter().map(|t| t.file.clone()).collect(),
        origins,
    };
    let checked = stacked.value.check().and_then(|()| more(&stacked.value));
    checked.map_err(|wrong| stacked.fault(wrong))?;
    Ok(stacked)
}

impl<T> Stacked<T> {
    /// The place of a value that is wrong.
    #[must_use]
    pub fn fault(&self, wrong: Wrong) -> Fault {
        // Of a key that nobody set: its table lacks it.
        let above = wrong.key.split_once('.').map_or("", |(table, _)| table);
        let at = self.origins.get(&wrong.key);
        let at = at.or_else(|| self.origins.get(above));
        Fault {
            file: match (at, self.files.last()) {
                (Some(at), _) => at.file.clone(),
                (None, last) => last.cloned().unwrap_or_default(),
            },
            line: at.map_or(0, |o| o.line),
            what: wrong.what,
            hint: wrong.hint,
        }
    }
}

impl<T: Settings> Stacked<T> {
    /// Every key that has a value, with its place.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        let mut entries = Vec::new();
        // Made by derived code from plain values, which TOML can hold.
        if let Ok(table) = toml::Table::try_from(&self.value) {
            flatten(&table, "", &mut |key, value| {
                let origin = self.origins.get(&key).cloned();
                entries.push(Entry { key, value, origin });
            });
        }
        entries
    }
}

/// Texts one after the other, each with a line end of its own behind it.
struct Sources<'a>(&'a [Text]);

impl<'a> Sources<'a> {
    fn starts(&self) -> impl Iterator<Item = (usize, &'a Text)> {
        self.0.iter().scan(0, |next, one| {
            let start = *next;
            *next += one.text.len() + 1;
            Some((start, one))
        })
    }

    fn origin(&self, at: usize) -> Option<Origin> {
        let (start, one) = self.starts().take_while(|(start, _)| *start <= at).last()?;
        Some(Origin {
            file: one.file.clone(),
            line: line_of(&one.text, at - start),
        })
    }

    fn fault(&self, at: usize, what: &str, hint: &str) -> Fault {
        let origin = self.origin(at);
        Fault {
            line: origin.as_ref().map_or(0, |o| o.line),
            file: origin.map(|o| o.file).unwrap_or_default(),
            what: what.to_owned(),
            hint: hint.to_owned(),
        }
    }
}

fn moved(span: Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}

fn shifted(table: DeTable<'_>, by: usize) -> DeTable<'_> {
    table
        .into_iter()
        .map(|(key, value)| {
            let key = Spanned::new(moved(key.span(), by), key.into_inner());
            (key, shifted_value(value, by))
        })
        .collect()
}

fn shifted_value(value: Spanned<DeValue<'_>>, by: usize) -> Spanned<DeValue<'_>> {
    let span = moved(value.span(), by);
    let inner = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(shifted(table, by)),
        DeValue::Array(array) => {
            DeValue::Array(array.into_iter().map(|v| shifted_value(v, by)).collect())
        }
        other => other,
    };
    Spanned::new(span, inner)
}

/// Tables join, everything else is replaced whole.
fn lay_over<'i>(below: &mut DeTable<'i>, over: DeTable<'i>) {
    for (key, value) in over {
        // The key's own place is the newer one.
        let before = below.remove(key.get_ref().as_ref());
        let span = value.span();
        let joined = match (before.map(Spanned::into_inner), value.into_inner()) {
            (Some(DeValue::Table(mut before)), DeValue::Table(table)) => {
                lay_over(&mut before, table);
                DeValue::Table(before)
            }
            (_, value) => value,
        };
        below.insert(key, Spanned::new(span, joined));
    }
}

/// Every key and table with the place of its name.
fn collect(table: &DeTable<'_>, above: &str, out: &mut impl FnMut(String, usize)) {
    for (key, value) in table {
        let name = joined(above, key.get_ref());
        if let DeValue::Table(inner) = value.get_ref() {
            collect(inner, &name, out);
        }
        out(name, key.span().start);
    }
}

fn flatten(table: &toml::Table, above: &str, out: &mut impl FnMut(String, toml::Value)) {
    for (key, value) in table {
        let name = joined(above, key);
        match value {
            toml::Value::Table(inner) => flatten(inner, &name, out),
            value => out(name, value.clone()),
        }
    }
}

fn joined(above: &str, key: &str) -> String {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    let key = if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if above.is_empty() {
        key
    } else {
        format!("{above}.{key}")
    }
}

/// The only text of a file, for a look at that alone.
impl Text {
    /// `text` as if it were `file`.
    #[must_use]
    pub fn new(file: &Path, text: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            text: text.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ceiling::Ceiling;
    use crate::issuer::Issuer;
    use crate::link::Link;

    fn texts(all: &[&str]) -> Vec<Text> {
        let name = |n: usize| PathBuf::from(format!("{n}.toml"));
        let numbered = all.iter().enumerate();
        numbered.map(|(n, t)| Text::new(&name(n), *t)).collect()
    }

    fn read<T: Settings>(all: &[&str]) -> Result<Stacked<T>, String> {
        stack::<T>(&texts(all), |_| Ok(())).map_err(|f| f.to_string())
    }

    #[test]
    fn the_last_file_that_names_a_key_counts_and_is_its_origin() {
        let got = read::<Ceiling>(&[
            "max_duration_s = 60\ngroups = [\"adm\"]\n",
            "# more\n\ngroups = []\n[approval]\na = [{ group = \"g\", count = 1 }]",
            "approval.b = [{ group = \"g\", count = 2 }]",
        ])
        .unwrap();
        assert_eq!(got.value.max_duration_s, 60);
        assert!(got.value.groups.is_empty());
        assert_eq!(got.value.approval.len(), 2);
        let place = |key: &str| {
            let all = got.entries();
            let found = all.iter().find(|e| e.key == key).expect(key).clone();
            found
                .origin
                .map(|o| format!("{}:{}", o.file.display(), o.line))
        };
        assert_eq!(place("max_duration_s").as_deref(), Some("0.toml:1"));
        assert_eq!(place("groups").as_deref(), Some("1.toml:3"));
        assert_eq!(place("approval.a").as_deref(), Some("1.toml:5"));
        assert_eq!(place("approval.b").as_deref(), Some("2.toml:1"));
        assert_eq!(place("max_stale_s"), None);
    }

    #[test]
    fn a_fault_names_file_and_line_whichever_file_it_is_in() {
        let good = "max_duration_s = 60\n# é\n";
        for (bad, want) in [
            (
                "\nmax_durations_s = 5",
                "1.toml: line 2: unknown key `max_durations_s`; did you mean `max_duration_s`?",
            ),
            (
                "max_duration_s = \"a\"",
                "1.toml: line 1: invalid type: string \"a\", expected u64; see docs/reference/configuration.md",
            ),
            (
                "\n\nmax_duration_s = 0",
                "1.toml: line 3: `max_duration_s` must be 1 to 43200; write a number within these",
            ),
            (
                "[approval]\nadmin = []",
                "1.toml: line 2: approval of admin: claim rules.approval is outside its limits: 1 to 4 groups; name groups and how",
            ),
            ("x", "1.toml: line 1: key with no value, expected `=`; "),
        ] {
            let got = read::<Ceiling>(&[good, bad, "max_stale_s = 1"]).unwrap_err();
            assert!(got.starts_with(want), "{bad:?}: {got}");
        }
    }

    #[test]
    fn a_table_may_be_completed_by_another_file() {
        let half = "[https]\ncert = \"/c\"";
        let got = read::<Issuer>(&[half, "https.key = \"/k\""]).unwrap();
        assert!(got.value.https.is_some());
        let got = read::<Issuer>(&["", half]).unwrap_err();
        assert!(got.starts_with("1.toml: line 1: `key` is missing"), "{got}");
    }

    #[test]
    fn what_belongs_to_a_key_goes_with_it() {
        let first = "issuer = \"https://a\"\nca = \"/a\"";
        let got = read::<Link>(&[first, "agent = \"/b\""]).unwrap();
        assert_eq!(got.value.ca, Some("/a".into()));
        let got = read::<Link>(&[first, "issuer = \"https://b\""]).unwrap();
        assert_eq!(got.value.ca, None);
    }

    #[test]
    fn no_file_at_all_is_the_default() {
        let got = read::<Ceiling>(&[]).unwrap();
        assert_eq!(got.value, Ceiling::default());
        assert!(got.entries().iter().all(|e| e.origin.is_none()));
    }
}
