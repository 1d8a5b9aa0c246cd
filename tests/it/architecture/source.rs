//! Reads the repository's Rust files and blanks out what is not code.

use std::path::Path;

/// One file, in the forms that the rules ask about.
pub(super) struct Source {
    /// From the repository's root, with `/`.
    pub(super) path: String,
    /// As written.
    pub(super) text: String,
    /// Comments, strings and characters are spaces; `#[cfg(test)] mod … { … }` is gone.
    pub(super) code: String,
    /// What the `#[cfg(test)]` modules held, blanked too.
    pub(super) tests: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let blank = blank(text);
        let (code, tests) = split_tests(&blank);
        Self { path: path.to_owned(), text: text.to_owned(), code, tests }
    }

    /// `["gate", "cooldown"]` of `src/gate/cooldown.rs`, `["gate"]` of `src/gate/mod.rs`.
    pub(super) fn module(&self) -> Vec<&str> {
        let inner = self.path.strip_prefix("src/").unwrap_or(&self.path);
        let inner = inner.strip_suffix(".rs").unwrap_or(inner);
        inner.split('/').filter(|part| *part != "mod").collect()
    }
}

/// All Rust files of the package.
pub(super) fn all() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for top in ["src", "tests", "benches"] {
        walk(root, &root.join(top), &mut found);
    }
    found
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<Source>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a folder that can be read").path()) {
        if path.is_dir() {
            walk(root, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("Rust files are UTF-8");
            let name = path.strip_prefix(root).expect("below the root").to_string_lossy().replace('\\', "/");
            found.push(Source::new(&name, &text));
        }
    }
}

/// Replaces comments, strings and character literals by spaces, keeping line breaks, so that lines still match.
fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            out.extend(chars[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        }
    }
    out
}

/// Where the comment, string or character literal that begins at `at` ends; `at` itself if none begins there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let peek = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    let after_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (chars[at], peek(1)) {
        ('/', '/') => (at..chars.len()).find(|i| chars[*i] == '\n').unwrap_or(chars.len()),
        ('/', '*') => block_comment_end(chars, at),
        ('"', _) => string_end(chars, at + 1),
        ('r', '"' | '#') if !after_word => raw_string_end(chars, at, at + 1),
        ('b' | 'c', 'r') if !after_word => raw_string_end(chars, at, at + 2),
        ('\'', '\\') => (at + 3..chars.len()).find(|i| chars[*i] == '\'').map_or(chars.len(), |i| i + 1),
        // anything else after a quote is a lifetime
        ('\'', _) if peek(2) == '\'' => at + 3,
        _ => at,
    }
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut i: usize) -> usize {
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// `hashes` is where the `#`s or the quote begin; `at` if this is a raw identifier and no string.
fn raw_string_end(chars: &[char], at: usize, hashes: usize) -> usize {
    let quote = (hashes..chars.len()).find(|i| chars[*i] != '#').unwrap_or(chars.len());
    if chars.get(quote) != Some(&'"') {
        return at;
    }
    let count = quote - hashes;
    let closes = |i: usize| chars[i] == '"' && (1..=count).all(|n| chars.get(i + n) == Some(&'#'));
    (quote + 1..chars.len()).find(|i| closes(*i)).map_or(chars.len(), |i| i + 1 + count)
}

/// Splits blanked text into the code and what stands in `#[cfg(test)] mod … { … }`.
fn split_tests(blank: &str) -> (String, String) {
    const MARK: &str = "#[cfg(test)]";
    let (mut code, mut tests, mut rest) = (String::new(), String::new(), blank);
    while let Some(start) = rest.find(MARK) {
        let item = &rest[start + MARK.len()..];
        let head = item.find(['{', ';']).unwrap_or(item.len());
        let is_block = item[..head].split_whitespace().any(|word| word == "mod") && item[head..].starts_with('{');
        let end = if is_block { head + braces_end(&item[head..]) } else { head };
        code.push_str(&rest[..start]);
        if is_block {
            tests.push_str(&item[..end]);
        } else {
            code.push_str(&item[..end]);
        }
        rest = &item[end..];
    }
    code.push_str(rest);
    (code, tests)
}

/// Where the block that begins at the first character ends.
fn braces_end(text: &str) -> usize {
    let mut depth = 0;
    for (i, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return i + 1;
        }
    }
    text.len()
}
