//! Files by pattern, as Go's `filepath.Glob` finds them: wildcards in any part of a path, names in order.

use std::path::{Component, Path, PathBuf};

/// Most paths that one pattern may name.
const PATHS_MAX: usize = 100_000;

/// A pattern whose brackets or backslashes do not end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub(crate) struct BadPattern;

/// The files and folders that `pattern` names, in its order and then by name; what cannot be listed holds none.
///
/// `*` stands for any characters within one part of the path, `?` for one, `[a-c]` and `[^a]` for one of a set; a
/// backslash takes the next character as it is.
pub(crate) fn glob(pattern: &Path) -> Result<Vec<PathBuf>, BadPattern> {
    let parts: Vec<Component<'_>> = pattern.components().collect();
    for part in &parts {
        matches(&part_text(part), "")?;
    }
    if !has_wildcards(&pattern.to_string_lossy()) {
        return Ok(if pattern.symlink_metadata().is_ok() { vec![pattern.to_owned()] } else { Vec::new() });
    }
    let mut found = vec![PathBuf::new()];
    for part in parts {
        let text = part_text(&part);
        if !has_wildcards(&text) {
            found.iter_mut().for_each(|path| path.push(part));
            found.retain(|path| path.symlink_metadata().is_ok());
            continue;
        }
        let folders = std::mem::take(&mut found);
        for folder in folders {
            let names = names_in(&folder).into_iter().filter(|name| matches(&text, name) == Ok(true));
            found.extend(names.map(|name| folder.join(name)));
            found.truncate(PATHS_MAX);
        }
    }
    Ok(found)
}

/// What `pattern` names; a bad pattern names nothing.
pub(crate) fn matching_files(pattern: &Path) -> Vec<PathBuf> {
    glob(pattern).unwrap_or_default()
}

fn part_text(part: &Component<'_>) -> String {
    part.as_os_str().to_string_lossy().into_owned()
}

fn has_wildcards(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

fn names_in(folder: &Path) -> Vec<String> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let Ok(entries) = std::fs::read_dir(listed) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// Whether `pattern` matches all of `name`. Steps are at most the product of both lengths.
fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let tokens = tokens(pattern)?;
    let name: Vec<char> = name.chars().collect();
    let (mut at, mut in_name) = (0, 0);
    let mut last_star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match tokens.get(at) {
            Some(Token::Star) => {
                last_star = Some((at, in_name));
                at += 1;
            }
            Some(Token::One(set)) if set.has(name[in_name]) => (at, in_name) = (at + 1, in_name + 1),
            _ => {
                // The last star takes one character more.
                let Some((star, taken)) = last_star else { return Ok(false) };
                last_star = Some((star, taken + 1));
                (at, in_name) = (star + 1, taken + 1);
            }
        }
    }
    Ok(tokens[at..].iter().all(|token| matches!(token, Token::Star)))
}

enum Token {
    Star,
    One(Set),
}

/// Which characters may stand at a place.
struct Set {
    negated: bool,
    /// First and last of each range.
    ranges: Vec<(char, char)>,
}

impl Set {
    fn has(&self, c: char) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&c)) != self.negated
    }
}

fn tokens(pattern: &str) -> Result<Vec<Token>, BadPattern> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' => Token::Star,
            '?' => Token::One(Set { negated: true, ranges: Vec::new() }),
            '[' => Token::One(set(&mut rest)?),
            '\\' => exactly(rest.next().ok_or(BadPattern)?),
            c => exactly(c),
        });
    }
    Ok(tokens)
}

fn exactly(c: char) -> Token {
    Token::One(Set { negated: false, ranges: vec![(c, c)] })
}

/// What stands between brackets, from behind the first to behind the last.
fn set(rest: &mut std::str::Chars<'_>) -> Result<Set, BadPattern> {
    let negated = rest.as_str().starts_with('^');
    if negated {
        rest.next();
    }
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty() && rest.as_str().starts_with(']') {
            rest.next();
            return Ok(Set { negated, ranges });
        }
        let first = set_char(rest)?;
        let last = if rest.as_str().starts_with('-') {
            rest.next();
            set_char(rest)?
        } else {
            first
        };
        ranges.push((first, last));
    }
}

fn set_char(rest: &mut std::str::Chars<'_>) -> Result<char, BadPattern> {
    match rest.next() {
        None | Some('-' | ']') => Err(BadPattern),
        Some('\\') => rest.next().ok_or(BadPattern),
        Some(c) => Ok(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_gos_do() {
        for (pattern, name, is_match) in [
            ("", "", true),
            ("abc", "abc", true),
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("*", "", true),
            ("a*b*c", "axxbxxbc", true),
            ("a*b*c", "axxbxx", false),
            ("?.yml", "é.yml", true),
            ("?", "", false),
            ("[a-c]x", "bx", true),
            ("[^a-c]x", "bx", false),
            ("[^a]", "b", true),
            ("[\\]a]", "]", true),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("a[", "a[", false),
        ] {
            match matches(pattern, name) {
                Ok(found) => assert_eq!(found, is_match, "{pattern} {name}"),
                Err(BadPattern) => assert_eq!(pattern, "a["),
            }
        }
        for bad in ["[", "[]", "[]a]", "[a", "[a-", "[a-]", "[-x]", "\\", "a[^"] {
            assert_eq!(matches(bad, "a"), Err(BadPattern), "{bad}");
        }
    }

    #[test]
    fn wildcards_stand_in_folders_too() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        for name in ["b/x.yml", "a/x.yml", "a/y.yml", "c.yml"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("it is made");
            std::fs::write(path, "").expect("it is written");
        }
        let found = |pattern: &str| {
            let paths = glob(&folder.path().join(pattern)).expect("the pattern is sound");
            let names = paths.iter().map(|path| {
                path.strip_prefix(folder.path()).expect("it is in the folder").display().to_string()
            });
            names.collect::<Vec<_>>()
        };
        assert_eq!(found("*/x.yml"), ["a/x.yml", "b/x.yml"]);
        assert_eq!(found("[^b]/*"), ["a/x.yml", "a/y.yml"]);
        assert_eq!(found("*.yml"), ["c.yml"]);
        assert_eq!(found("c.yml"), ["c.yml"]);
        assert_eq!(found("c.yml/*"), Vec::<String>::new());
        assert_eq!(found("d.yml"), Vec::<String>::new());
        assert_eq!(glob(Path::new("a/[")), Err(BadPattern));
        assert!(matching_files(Path::new("[")).is_empty());
    }
}
