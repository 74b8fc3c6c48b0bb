//! Licence expressions: `OR` asks for one side, `AND` for both.

/// Whether the licences in `allow` satisfy the expression; what cannot be read is not allowed.
pub(super) fn allowed(expression: &str, allow: &[String]) -> bool {
    // Crates older than the expressions write `MIT/Apache-2.0`.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = Words {
        words: spaced.split_whitespace().collect(),
        at: 0,
    };
    let result = any_of(&mut words, allow);
    words.peek().is_none() && result == Some(true)
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.at).copied()
    }

    fn take(&mut self) -> Option<&'a str> {
        let word = self.peek();
        self.at += 1;
        word
    }

    fn take_if(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(word);
        self.at += usize::from(found);
        found
    }
}

fn any_of(words: &mut Words<'_>, allow: &[String]) -> Option<bool> {
    let mut result = all_of(words, allow)?;
    while words.take_if("OR") {
        result |= all_of(words, allow)?;
    }
    Some(result)
}

fn all_of(words: &mut Words<'_>, allow: &[String]) -> Option<bool> {
    let mut result = one(words, allow)?;
    while words.take_if("AND") {
        result &= one(words, allow)?;
    }
    Some(result)
}

fn one(words: &mut Words<'_>, allow: &[String]) -> Option<bool> {
    if words.take_if("(") {
        let result = any_of(words, allow)?;
        return words.take_if(")").then_some(result);
    }
    let mut licence = words.take()?.to_owned();
    if matches!(licence.as_str(), ")" | "OR" | "AND" | "WITH") {
        return None;
    }
    if words.take_if("WITH") {
        licence = format!("{licence} WITH {}", words.take()?);
    }
    Some(allow.contains(&licence))
}
